//! How many events are due by now: pacing as arithmetic.
//!
//! Assumes that `now` never goes back (it is raised if it does). Promises the rate within rounding over any stretch in which the
//! caller came back at least every [`CATCH_UP`]; what a longer pause missed is forgiven, not poured out in one burst.

use std::time::Duration;

/// The longest pause that is made up for.
pub const CATCH_UP: Duration = Duration::from_secs(2);
/// At high rates events go out in bunches this far apart: a hundred wake-ups a second instead of a million.
const BUNCH: Duration = Duration::from_millis(10);

/// Accumulates the right to send.
#[derive(Debug, Clone)]
pub struct Pace {
    last: Duration,
    credit: f64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { last: Duration::ZERO, credit: 0.0 }
    }
}

impl Pace {
    /// Whole events due at `now` (time since any fixed origin) at this rate per second; they count as sent.
    pub fn due(&mut self, now: Duration, rate: f64) -> u64 {
        let passed = now.saturating_sub(self.last).min(CATCH_UP);
        self.last = self.last.max(now);
        self.credit += rate.max(0.0) * passed.as_secs_f64();
        // The nudge keeps ten tenths from falling short of one by rounding.
        let whole = (self.credit + 1e-9).floor();
        self.credit = (self.credit - whole).max(0.0);
        whole as u64
    }

    /// How long to sleep until something is due, at this rate, and never longer than `at_most`.
    pub fn wait(&self, rate: f64, at_most: Duration) -> Duration {
        if rate <= 0.0 {
            return at_most;
        }
        let next = (1.0 - self.credit).max(0.0) / rate;
        Duration::try_from_secs_f64(next).unwrap_or(at_most).max(BUNCH).min(at_most)
    }

    /// Forgets what became due up to `now`: after a pause that the receiver asked for.
    pub fn forgive(&mut self, now: Duration) {
        self.last = self.last.max(now);
    }
}
