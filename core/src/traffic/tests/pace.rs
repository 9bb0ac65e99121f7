//! The rate is held, whatever it is and however unevenly the caller comes back.

use std::time::Duration;

use crate::traffic::Pace;
use crate::traffic::pace::CATCH_UP;

/// Runs the loop of a producer for so many simulated seconds, each sleep longer than asked by 0 to `jitter`.
fn sent(rate: f64, seconds: u64, jitter: Duration) -> (u64, u64) {
    let (mut pace, mut now, mut sent, mut wakes) = (Pace::default(), Duration::ZERO, 0, 0u32);
    while now < Duration::from_secs(seconds) {
        now += pace.wait(rate, Duration::from_secs(1)) + jitter * (wakes * 37 % 11) / 10;
        sent += pace.due(now, rate);
        wakes += 1;
    }
    (sent, u64::from(wakes))
}

#[test]
fn every_rate_is_held_within_one_percent() {
    for (rate, seconds) in [(0.1, 10_000), (1.0, 1_000), (5.0, 1_000), (333.3, 100), (50_000.0, 60), (1e6, 60)] {
        for jitter in [0, 3, 40] {
            let (sent, _) = sent(rate, seconds, Duration::from_millis(jitter));
            let off = sent as f64 / (rate * seconds as f64) - 1.0;
            assert!(off.abs() < 0.01, "{rate}/s with jitter {jitter} ms: {sent} in {seconds} s, off by {off}");
        }
    }
}

#[test]
fn a_slow_rate_wakes_rarely_and_a_high_one_sends_in_bunches() {
    assert!(sent(0.1, 1_000, Duration::ZERO).1 <= 1_001);
    assert!(sent(5.0, 1_000, Duration::ZERO).1 <= 5_100);
    assert!(sent(1e6, 100, Duration::ZERO).1 <= 10_001);
}

#[test]
fn a_long_pause_is_forgiven() {
    let mut pace = Pace::default();
    assert_eq!(pace.due(Duration::from_secs(1), 100.0), 100);
    assert_eq!(pace.due(Duration::from_secs(61), 100.0), 100 * CATCH_UP.as_secs());
    pace.forgive(Duration::from_secs(100));
    assert_eq!(pace.due(Duration::from_secs(101), 100.0), 100);
    assert_eq!(pace.due(Duration::from_secs(90), 100.0), 0, "time that goes back counts nothing");
}

#[test]
fn nothing_is_due_at_rate_zero() {
    let mut pace = Pace::default();
    assert_eq!(pace.due(Duration::from_secs(1), 0.0), 0);
    assert_eq!(pace.wait(0.0, Duration::from_secs(1)), Duration::from_secs(1));
}
