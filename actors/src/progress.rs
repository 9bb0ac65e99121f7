//! Where one pipeline is, per partition: what the consumer has sealed, what each leg has made durable, what Kafka has.
//!
//! Written by the consumer's thread and the ledger, read by the supervisor and by whoever asks for the state. A map under a lock that
//! is held for a few assignments; nothing here decides anything.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tributary_core::span::{Leg, Legs, Span};

/// Shared by the rooms of one pipeline.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    partitions: BTreeMap<i32, Partition>,
    /// What was sent to the legs and is not durable in all of them: where it ends, and Kafka's time of its newest record.
    under_way: BTreeMap<i32, VecDeque<(i64, i64)>>,
    legs: Legs,
    blocked: BTreeMap<i32, String>,
    durable_at: [Option<Instant>; 2],
    pending_since: [Option<Instant>; 2],
    kafka_away: bool,
}

/// One partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// End of what was sent to the legs.
    pub sealed: i64,
    /// Per leg, the next offset to make durable.
    pub durable: [i64; 2],
    /// Per leg, Kafka's time of the newest record made durable, once there is one: milliseconds since 1970.
    pub newest_ms: [Option<i64>; 2],
    /// Kafka's watermarks, once known.
    pub watermarks: Option<(i64, i64)>,
}

impl Progress {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A partition is read from `start`; the legs have what lies below their floors.
    pub fn assigned(&self, partition: i32, start: i64, floor: [i64; 2]) {
        let mut state = self.lock();
        state.blocked.remove(&partition);
        state.under_way.remove(&partition);
        let new = Partition { sealed: start, durable: floor, newest_ms: [None; 2], watermarks: None };
        state.partitions.insert(partition, new);
    }

    /// A partition is not ours any more.
    pub fn revoked(&self, partition: i32) {
        let mut state = self.lock();
        state.partitions.remove(&partition);
        state.under_way.remove(&partition);
        state.blocked.remove(&partition);
    }

    /// A partition waits for a person.
    pub fn blocked(&self, partition: i32, why: String) {
        let mut state = self.lock();
        state.partitions.remove(&partition);
        state.blocked.insert(partition, why);
    }

    /// What is about to be sent to the legs ends here, and its newest record has this time of Kafka's.
    pub fn newest(&self, partition: i32, to: i64, record_ms: i64) {
        self.lock().under_way.entry(partition).or_default().push_back((to, record_ms));
    }

    /// These spans were sent to the legs.
    pub fn sealed(&self, spans: &[Span], legs: Legs) {
        let mut state = self.lock();
        state.legs = legs;
        for span in spans {
            if let Some(p) = state.partitions.get_mut(&span.partition) {
                p.sealed = span.to;
            }
        }
        let now = Instant::now();
        for leg in legs.iter() {
            state.pending_since[leg as usize].get_or_insert(now);
        }
    }

    /// Kafka's watermarks of a partition.
    pub fn watermarks(&self, partition: i32, low: i64, high: i64) {
        if let Some(p) = self.lock().partitions.get_mut(&partition) {
            p.watermarks = Some((low, high));
        }
    }

    /// A leg has made these spans durable.
    pub fn durable(&self, leg: Leg, spans: &[Span]) {
        let mut state = self.lock();
        let State { partitions, under_way, legs, .. } = &mut *state;
        for span in spans {
            let Some(p) = partitions.get_mut(&span.partition) else { continue };
            let at = &mut p.durable[leg as usize];
            *at = (*at).max(span.to);
            let Some(under_way) = under_way.get_mut(&span.partition) else { continue };
            let newest = under_way.iter().take_while(|(to, _)| *to <= p.durable[leg as usize]).last();
            p.newest_ms[leg as usize] = newest.map_or(p.newest_ms[leg as usize], |(_, ms)| Some(*ms));
            let everywhere = legs.iter().map(|leg| p.durable[leg as usize]).min().unwrap_or(i64::MAX);
            while under_way.front().is_some_and(|(to, _)| *to <= everywhere) {
                under_way.pop_front();
            }
        }
        let now = Instant::now();
        state.durable_at[leg as usize] = Some(now);
        let behind = state.partitions.values().any(|p| p.durable[leg as usize] < p.sealed);
        state.pending_since[leg as usize] = behind.then_some(now);
    }

    /// Since when a leg has owed something without making anything durable.
    pub fn stalled_since(&self, leg: Leg) -> Option<Instant> {
        let state = self.lock();
        let owes = state.partitions.values().any(|p| p.durable[leg as usize] < p.sealed);
        let since = state.pending_since[leg as usize].max(state.durable_at[leg as usize]);
        if owes { since } else { None }
    }

    /// Whether a leg has made anything durable within this time.
    pub fn moved_within(&self, leg: Leg, time: Duration) -> bool {
        self.lock().durable_at[leg as usize].is_some_and(|at| at.elapsed() <= time)
    }

    /// No broker answers, or one does again.
    pub fn set_kafka_away(&self, away: bool) {
        self.lock().kafka_away = away;
    }

    /// Whether no broker answers.
    pub fn is_kafka_away(&self) -> bool {
        self.lock().kafka_away
    }

    /// All partitions that are read.
    pub fn partitions(&self) -> BTreeMap<i32, Partition> {
        self.lock().partitions.clone()
    }

    /// All partitions that wait for a person, and why.
    pub fn blocked_partitions(&self) -> BTreeMap<i32, String> {
        self.lock().blocked.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_durable_record_is_known_per_leg() {
        let progress = Progress::default();
        progress.assigned(0, 10, [10, 10]);
        let span = |from, to| Span { partition: 0, epoch: 1, from, to, floor: [10, 10] };
        for (from, to, ms) in [(10, 20, 1_000), (20, 30, 2_000)] {
            progress.newest(0, to, ms);
            progress.sealed(&[span(from, to)], Legs::BOTH);
        }
        let newest = || progress.partitions()[&0].newest_ms;
        assert_eq!(newest(), [None, None]);
        progress.durable(Leg::Bronze, &[span(10, 20), span(20, 30)]);
        progress.durable(Leg::Serving, &[span(10, 20)]);
        assert_eq!(newest(), [Some(2_000), Some(1_000)]);
        progress.durable(Leg::Serving, &[span(20, 30)]);
        assert_eq!(newest(), [Some(2_000), Some(2_000)]);
    }

    #[test]
    fn a_leg_owes_from_the_first_seal_until_everything_is_durable() {
        let progress = Progress::default();
        progress.assigned(0, 10, [10, 10]);
        assert!(progress.stalled_since(Leg::Bronze).is_none());
        let span = |from, to| Span { partition: 0, epoch: 1, from, to, floor: [10, 10] };
        progress.sealed(&[span(10, 20)], Legs::BOTH);
        let first = progress.stalled_since(Leg::Bronze).unwrap();
        progress.sealed(&[span(20, 30)], Legs::BOTH);
        assert_eq!(progress.stalled_since(Leg::Bronze), Some(first), "still since the first");
        progress.durable(Leg::Bronze, &[span(10, 20)]);
        assert!(progress.stalled_since(Leg::Bronze).unwrap() > first, "some progress was made");
        progress.durable(Leg::Bronze, &[span(20, 30)]);
        assert!(progress.stalled_since(Leg::Bronze).is_none());
        assert!(progress.stalled_since(Leg::Serving).is_some());
        assert!(progress.moved_within(Leg::Bronze, Duration::from_secs(60)));
        assert!(!progress.moved_within(Leg::Serving, Duration::from_secs(60)), "it never has");
    }
}
