//! A finite run: so many records over a stretch of event time, good ones mixed with late, repeated and wrong ones.
//!
//! Assumes nothing of its numbers; [`Plan::check`] refuses what could not be compared with the stores afterwards. Promises that a
//! plan makes the same records each time it is asked, exactly `count` of them, and that each says what it is.

use serde::Serialize;

use super::course::Course;
use super::dress;
use super::flaw::{FLAWS, Flaw, OVERSIZED};
use super::model::{Event, Model, Population, Profile};
use super::text::{Clock, push_digits};
use crate::stream::Limits;

const MINUTE_US: i64 = 60_000_000;
const HOUR_US: i64 = 60 * MINUTE_US;
/// A late event is at most this much older than the stream's position.
pub const LATEST_US: i64 = 26 * HOUR_US;
/// A repeated event was among the last so many distinct ones.
const RECENT: usize = 4096;

/// What to make. Shares are fractions of `count`, each record being one thing only.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// Records, all kinds together.
    pub count: u64,
    /// Decides everything that is not said here.
    pub seed: u64,
    /// Event time of the first event, microseconds since 1970.
    pub start_us: i64,
    /// The events spread over this much event time.
    pub span_us: i64,
    /// Who acts.
    pub population: Population,
    /// How traffic is spread.
    pub profile: Profile,
    /// Share of records that are wrong in one of the ways of [`FLAWS`].
    pub malformed: f64,
    /// Share of valid events that are older than their place in the stream, by a minute to [`LATEST_US`].
    pub late: f64,
    /// Share of records that repeat an earlier event to the byte.
    pub duplicate: f64,
    /// Share of valid events that are written unusually (see [`dress`]).
    pub unusual: f64,
    /// Records of two megabytes, spread evenly.
    pub oversized: u64,
}

/// Why a plan was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// Shares out of order.
    #[error("the shares of malformed, late, duplicate and unusual records must each be 0 to 1, together at most 1")]
    Shares,
    /// More oversized records than records.
    #[error("{oversized} oversized records do not fit into {count}")]
    Oversized {
        /// Asked for.
        oversized: u64,
        /// Of so many.
        count: u64,
    },
    /// Nothing to spread over.
    #[error("the span must be positive")]
    Span,
    /// Some events would be `future`.
    #[error(
        "events would be up to {0} s ahead of the clock: beyond {1} s they count as `future`, not as valid. Choose an earlier start or a shorter span"
    )]
    Future(i64, i64),
    /// Some events would be `ancient`.
    #[error("events would be up to {0} days old: beyond {1} days they count as `ancient`, not as valid. Choose a later start")]
    Ancient(i64, i64),
}

/// What a record is.
#[derive(Debug, Clone, Copy)]
pub enum Made {
    /// A valid event.
    Valid {
        /// Its values.
        event: Event,
        /// It was there before.
        duplicate: bool,
        /// It is older than its place in the stream.
        late: bool,
    },
    /// A wrong one.
    Flawed(&'static Flaw),
}

/// A record, ready to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// The user's id in decimal digits.
    pub key: &'a [u8],
    /// None: a null value.
    pub payload: Option<&'a [u8]>,
    /// What it is.
    pub made: Made,
}

impl Plan {
    /// Refuses a plan whose valid events would not all be valid to a reader that receives them from `now_us` on.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, now_us: i64, limits: &Limits) -> Result<(), PlanError> {
        let shares = [self.malformed, self.late, self.duplicate, self.unusual];
        if shares.iter().any(|share| !(0.0..=1.0).contains(share)) || shares.iter().sum::<f64>() > 1.0 {
            return Err(PlanError::Shares);
        }
        if self.oversized > self.count {
            return Err(PlanError::Oversized { oversized: self.oversized, count: self.count });
        }
        if self.span_us <= 0 {
            return Err(PlanError::Span);
        }
        let ahead = self.start_us.saturating_add(self.span_us).saturating_sub(now_us);
        if ahead > limits.max_ahead_ms * 1000 {
            return Err(PlanError::Future(ahead / 1_000_000, limits.max_ahead_ms / 1000));
        }
        // A day's grace: Kafka's clock moves on while the records are sent.
        let late = if self.late > 0.0 { LATEST_US } else { 0 };
        let age = now_us.saturating_sub(self.start_us).saturating_add(late + 24 * HOUR_US);
        if age > limits.max_age_ms.saturating_mul(1000) {
            return Err(PlanError::Ancient(age / (24 * HOUR_US), limits.max_age_ms / 86_400_000));
        }
        Ok(())
    }

    /// The records, from the first.
    pub fn records(&self) -> Records {
        let bound = |share: f64| (share.clamp(0.0, 1.0) * 2f64.powi(32)) as u64;
        let bounds = [
            bound(self.malformed),
            bound(self.malformed + self.late),
            bound(self.malformed + self.late + self.duplicate),
            bound(self.malformed + self.late + self.duplicate + self.unusual),
        ];
        Records {
            model: Model::new(self.seed, self.profile),
            course: Course::new(self),
            population: self.population,
            mixed: bounds[3] > 0,
            bounds,
            oversized: self.oversized,
            count: self.count,
            start_us: self.start_us,
            next: 0,
            recent: Vec::with_capacity(RECENT),
            clock: Clock::default(),
            key: Vec::new(),
            payload: Vec::new(),
        }
    }
}

/// Lends one record after the other.
#[derive(Debug)]
pub struct Records {
    model: Model,
    course: Course,
    population: Population,
    mixed: bool,
    bounds: [u64; 4],
    oversized: u64,
    count: u64,
    start_us: i64,
    next: u64,
    recent: Vec<Event>,
    clock: Clock,
    key: Vec<u8>,
    payload: Vec<u8>,
}

impl Records {
    /// The next record; its bytes are good until the next call.
    #[allow(clippy::should_implement_trait)] // it lends, which Iterator cannot say
    pub fn next(&mut self) -> Option<Record<'_>> {
        if self.next >= self.count {
            return None;
        }
        let number = self.next;
        self.next += 1;
        let at_us = self.course.at(number);
        let made = self.make(number, at_us);
        self.payload.clear();
        let (user, full) = match &made {
            Made::Valid { event, .. } => {
                self.model.write(event, &mut self.payload);
                (event.user, true)
            }
            Made::Flawed(flaw) => {
                let event = self.model.event(at_us, self.population.after(at_us - self.start_us));
                (event.user, flaw.write(&event, &mut self.clock, &mut self.payload))
            }
        };
        self.key.clear();
        push_digits(&mut self.key, user);
        Some(Record { key: &self.key, payload: full.then_some(&self.payload[..]), made })
    }

    fn make(&mut self, number: u64, at_us: i64) -> Made {
        // Evenly spread: one wherever the running share passes a whole number.
        let share = |n: u64| u128::from(n) * u128::from(self.oversized) / u128::from(self.count);
        if self.oversized > 0 && share(number + 1) > share(number) {
            return Made::Flawed(&OVERSIZED);
        }
        let [malformed, late, duplicate, unusual] = self.bounds;
        let draw = if self.mixed { self.model.draw() } else { 0 };
        let kind = if self.mixed { draw >> 32 } else { u64::MAX };
        if kind < malformed {
            return Made::Flawed(&FLAWS[(draw as u32 as usize) % FLAWS.len()]);
        }
        if (late..duplicate).contains(&kind) && !self.recent.is_empty() {
            let event = self.recent[(draw as u32 as usize) % self.recent.len()];
            return Made::Valid { event, duplicate: true, late: false };
        }
        let users = self.population.after(at_us - self.start_us);
        let is_late = (malformed..late).contains(&kind);
        let at_us = if is_late { at_us - self.lateness() } else { at_us };
        let mut event = self.model.event(at_us, users);
        if (duplicate..unusual).contains(&kind) {
            event = dress::put_on(event, 1 + (draw as u32 as usize % dress::NAMES.len()) as u8);
        }
        if duplicate > late {
            match self.recent.get_mut((number % RECENT as u64) as usize) {
                Some(slot) => *slot = event,
                None => self.recent.push(event),
            }
        }
        Made::Valid { event, duplicate: false, late: is_late }
    }

    /// Six in ten by up to half an hour, three by up to six hours, one by up to a day and some: minutes and days of the past.
    fn lateness(&mut self) -> i64 {
        let most = match self.model.below(10) {
            0..6 => 30 * MINUTE_US,
            6..9 => 6 * HOUR_US,
            _ => LATEST_US,
        };
        MINUTE_US + self.model.below((most - MINUTE_US) as u64) as i64
    }
}
