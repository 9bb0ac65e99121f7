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
    /// What was sent to the legs and is not durable in all of them.
    under_way: BTreeMap<i32, VecDeque<UnderWay>>,
    legs: Legs,
    blocked: BTreeMap<i32, String>,
    durable_at: [Option<Instant>; 2],
    pending_since: [Option<Instant>; 2],
    kafka_away: bool,
}

/// Pieces of one partition that are kept apart.
const MOST_UNDER_WAY: usize = 1024;

/// Records of one partition on their way to the legs.
#[derive(Debug, Clone, Copy)]
struct UnderWay {
    /// Where they end.
    to: i64,
    /// Kafka's times of the oldest and the newest of them, milliseconds since 1970.
    times_ms: (i64, i64),
}

/// One partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// End of what was sent to the legs.
    pub sealed: i64,
    /// Per leg, the next offset to make durable.
    pub durable: [i64; 2],
    /// Per leg, Kafka's time of the oldest record that waits, or, when none does, of the newest made durable, once there is one:
    /// milliseconds since 1970.
    pub since_ms: [Option<i64>; 2],
    /// Kafka's watermarks, once known.
    pub watermarks: Option<(i64, i64)>,
}

impl Partition {
    /// Says since when each leg lags, now that these records are under way.
    fn wait_for(&mut self, under_way: &VecDeque<UnderWay>) {
        for (durable, since) in self.durable.into_iter().zip(&mut self.since_ms) {
            let waiting = under_way.iter().find(|records| records.to > durable).map(|records| records.times_ms.0);
            let newest = under_way.iter().take_while(|records| records.to <= durable).last().map(|records| records.times_ms.1);
            *since = waiting.or(newest).or(*since);
        }
    }
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
        let new = Partition { sealed: start, durable: floor, since_ms: [None; 2], watermarks: None };
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

    /// What is about to be sent to the legs ends here, and its oldest and newest record have these times of Kafka's.
    pub fn under_way(&self, partition: i32, to: i64, times_ms: (i64, i64)) {
        let mut state = self.lock();
        let State { partitions, under_way, .. } = &mut *state;
        let waiting = under_way.entry(partition).or_default();
        let waiting_is_full = waiting.len() >= MOST_UNDER_WAY;
        match waiting.back_mut() {
            // A store that is away for long: what is read meanwhile is one piece.
            Some(last) if waiting_is_full => {
                *last = UnderWay { to, times_ms: (last.times_ms.0.min(times_ms.0), last.times_ms.1.max(times_ms.1)) };
            }
            _ => waiting.push_back(UnderWay { to, times_ms }),
        }
        if let Some(p) = partitions.get_mut(&partition) {
            p.wait_for(waiting);
        }
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
            p.wait_for(under_way);
            let everywhere = legs.iter().map(|leg| p.durable[leg as usize]).min().unwrap_or(i64::MAX);
            while under_way.front().is_some_and(|records| records.to <= everywhere) {
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
    fn since_when_a_leg_lags_is_known() {
        let progress = Progress::default();
        progress.assigned(0, 10, [10, 10]);
        let span = |from, to| Span { partition: 0, epoch: 1, from, to, floor: [10, 10] };
        let since = || progress.partitions()[&0].since_ms;
        assert_eq!(since(), [None, None]);
        for (from, to, times_ms) in [(10, 20, (1_000, 1_900)), (20, 30, (2_000, 2_900))] {
            progress.under_way(0, to, times_ms);
            progress.sealed(&[span(from, to)], Legs::BOTH);
        }
        assert_eq!(since(), [Some(1_000), Some(1_000)], "the oldest that waits");
        progress.durable(Leg::Bronze, &[span(10, 20), span(20, 30)]);
        progress.durable(Leg::Serving, &[span(10, 20)]);
        assert_eq!(since(), [Some(2_900), Some(2_000)], "nothing waits for bronze: the newest that it has");
        progress.durable(Leg::Serving, &[span(20, 30)]);
        assert_eq!(since(), [Some(2_900), Some(2_900)]);
        progress.under_way(0, 40, (9_000, 9_000));
        assert_eq!(since(), [Some(9_000), Some(9_000)], "after a silence it is the new one that waits");
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
