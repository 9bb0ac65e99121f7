//! Idempotent producers: who has written which sequence numbers to a partition.
//!
//! May assume: checked and noted under the partition's lock, in log order. Promises: the last five batches of every
//! producer are known, so that a retry is answered with the offset of the first write instead of being written twice;
//! a gap is refused. The state follows from the log, and a snapshot is only a shorter way to it.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::batch::Header;
use crate::disk;

/// Batches remembered per producer; clients keep at most this many in flight.
const WINDOW: usize = 5;
/// A producer that was silent this long is forgotten (Kafka's `producer.id.expiration.ms`).
const EXPIRY_MS: i64 = 24 * 3600 * 1000;
/// More producers than this are not remembered at once; the longest silent go first.
const MOST: usize = 10_000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Written {
    first: i32,
    last: i32,
    offset: i64,
    count: i32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Producer {
    epoch: i16,
    last_seen_ms: i64,
    window: VecDeque<Written>,
}

/// The verdict on a batch before it is written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the next one.
    Append,
    /// It was written before, at this offset; `end` is the offset after it.
    Duplicate {
        /// Where the first copy stands.
        offset: i64,
        /// The offset after it, which must be durable before the retry is confirmed.
        end: i64,
    },
    /// Its sequence does not follow the last one.
    OutOfOrder,
    /// A newer instance of this producer has taken over.
    Fenced,
}

/// All producers of one partition.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Producers {
    by_id: HashMap<i64, Producer>,
}

fn follows(last: i32, first: i32) -> bool {
    if last == i32::MAX { first == 0 } else { first == last + 1 }
}

impl Producers {
    /// What to do with a batch. Batches of plain producers are always appended.
    pub(crate) fn check(&self, header: &Header) -> Verdict {
        if !header.is_idempotent() {
            return Verdict::Append;
        }
        // As Kafka: a producer that is not known (its records may have been deleted since) starts where it says.
        let Some(known) = self.by_id.get(&header.producer_id) else { return Verdict::Append };
        if header.producer_epoch < known.epoch {
            return Verdict::Fenced;
        }
        if header.producer_epoch > known.epoch {
            return if header.base_sequence == 0 { Verdict::Append } else { Verdict::OutOfOrder };
        }
        let (first, last) = (header.base_sequence, header.last_sequence());
        if let Some(w) = known.window.iter().find(|w| w.first == first && w.last == last) {
            return Verdict::Duplicate { offset: w.offset, end: w.offset + i64::from(w.count) };
        }
        match known.window.back() {
            Some(w) if !follows(w.last, first) => Verdict::OutOfOrder,
            _ => Verdict::Append,
        }
    }

    /// Notes a batch that is in the log, at `header.base_offset`.
    pub(crate) fn note(&mut self, header: &Header, now_ms: i64) {
        if !header.is_idempotent() {
            return;
        }
        if self.by_id.len() >= MOST && !self.by_id.contains_key(&header.producer_id) {
            self.forget_silent(now_ms);
        }
        let producer = self.by_id.entry(header.producer_id).or_insert_with(|| Producer {
            epoch: header.producer_epoch,
            last_seen_ms: now_ms,
            window: VecDeque::with_capacity(WINDOW),
        });
        if producer.epoch != header.producer_epoch {
            producer.epoch = header.producer_epoch;
            producer.window.clear();
        }
        producer.last_seen_ms = now_ms;
        if producer.window.len() == WINDOW {
            producer.window.pop_front();
        }
        producer.window.push_back(Written {
            first: header.base_sequence,
            last: header.last_sequence(),
            offset: header.base_offset,
            count: header.last_offset_delta + 1,
        });
    }

    /// Drops who has been silent for too long, and if that is not enough, the half that has been silent longest.
    pub(crate) fn forget_silent(&mut self, now_ms: i64) {
        self.by_id.retain(|_, p| now_ms - p.last_seen_ms < EXPIRY_MS);
        if self.by_id.len() >= MOST {
            let mut seen: Vec<i64> = self.by_id.values().map(|p| p.last_seen_ms).collect();
            seen.sort_unstable();
            let median = seen[seen.len() / 2];
            self.by_id.retain(|_, p| p.last_seen_ms > median);
        }
    }

    /// Saves the state, durably.
    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        let json = serde_json::to_vec(self).map_err(io::Error::other)?;
        disk::write_atomic(path, &json)
    }

    /// Reads a saved state; `None` when there is none that can be read.
    pub(crate) fn load(path: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::batch::{self, testing};

    fn batch_of(epoch: i16, first: i32, count: usize, offset: i64) -> Header {
        let mut bytes = testing::batch(Some((9, epoch, first)), &vec![0; count]);
        batch::place(&mut bytes, offset, 0);
        Header::parse(&bytes).unwrap()
    }

    fn written(batches: &[(i32, usize)]) -> Producers {
        let mut producers = Producers::default();
        let mut offset = 0;
        for (first, count) in batches {
            producers.note(&batch_of(0, *first, *count, offset), 0);
            offset += *count as i64;
        }
        producers
    }

    #[test]
    fn the_next_batch_is_appended_a_gap_refused_and_a_retry_recognised() {
        let producers = written(&[(0, 10), (10, 5)]);
        assert_eq!(producers.check(&batch_of(0, 15, 1, 0)), Verdict::Append);
        assert_eq!(producers.check(&batch_of(0, 16, 1, 0)), Verdict::OutOfOrder);
        assert_eq!(producers.check(&batch_of(0, 10, 5, 0)), Verdict::Duplicate { offset: 10, end: 15 });
        assert_eq!(producers.check(&batch_of(0, 10, 4, 0)), Verdict::OutOfOrder);
    }

    #[test]
    fn only_five_batches_are_remembered() {
        let producers = written(&[(0, 1), (1, 1), (2, 1), (3, 1), (4, 1), (5, 1)]);
        assert_eq!(producers.check(&batch_of(0, 0, 1, 0)), Verdict::OutOfOrder);
        assert_eq!(producers.check(&batch_of(0, 1, 1, 0)), Verdict::Duplicate { offset: 1, end: 2 });
    }

    #[test]
    fn a_new_epoch_starts_at_zero_and_fences_the_old_one() {
        let mut producers = written(&[(0, 3)]);
        assert_eq!(producers.check(&batch_of(1, 3, 1, 0)), Verdict::OutOfOrder);
        assert_eq!(producers.check(&batch_of(1, 0, 1, 0)), Verdict::Append);
        producers.note(&batch_of(1, 0, 1, 3), 0);
        assert_eq!(producers.check(&batch_of(0, 3, 1, 0)), Verdict::Fenced);
    }

    #[test]
    fn sequences_go_on_after_the_largest_number() {
        let producers = written(&[(i32::MAX, 1)]);
        assert_eq!(producers.check(&batch_of(0, 0, 1, 0)), Verdict::Append);
        let wrapped = written(&[(i32::MAX - 1, 4)]);
        assert_eq!(wrapped.check(&batch_of(0, 2, 1, 0)), Verdict::Append);
    }

    #[test]
    fn silent_producers_are_forgotten_and_a_snapshot_keeps_the_others() {
        let mut producers = written(&[(0, 3)]);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p");
        producers.save(&path).unwrap();
        assert_eq!(Producers::load(&path).unwrap(), producers);
        producers.forget_silent(EXPIRY_MS);
        assert_eq!(producers, Producers::default());
    }
}
