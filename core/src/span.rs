//! Which offsets a batch covers, and the law that keeps every event exactly once: spans chain.
//!
//! A span is half-open, `[from, to)`, in Kafka's own "next offset" convention. `to` is the consumer's position, not the last
//! offset plus one: transaction markers and aborted records move the position without a message. A store accepts a span only if it
//! begins where the store ends; a lost batch therefore shows as a broken chain instead of a hole.

mod frontier;

use std::cmp::Ordering;
use std::fmt;

pub use frontier::{Admission, Frontier};

/// The two stores that an event lands in. A leg is everything between the consumer and one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Leg {
    /// Delta bronze.
    Bronze = 0,
    /// Windows in PostgreSQL.
    Serving = 1,
}

impl Leg {
    /// Both.
    pub const ALL: [Leg; 2] = [Leg::Bronze, Leg::Serving];

    /// The name in logs, metrics and `--roles`.
    pub fn as_str(self) -> &'static str {
        match self {
            Leg::Bronze => "bronze",
            Leg::Serving => "serving",
        }
    }
}

impl fmt::Display for Leg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of legs: what a pipeline feeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Legs(u8);

impl Legs {
    /// No leg.
    pub const NONE: Legs = Legs(0);
    /// Both legs: the normal pipeline.
    pub const BOTH: Legs = Legs(0b11);

    /// Just this one.
    pub fn only(leg: Leg) -> Self {
        Legs(1 << leg as u8)
    }

    /// Whether `leg` is among them.
    pub fn has(self, leg: Leg) -> bool {
        self.0 & (1 << leg as u8) != 0
    }

    /// These and `leg`.
    #[must_use]
    pub fn with(self, leg: Leg) -> Self {
        Legs(self.0 | 1 << leg as u8)
    }

    /// These without `leg`.
    #[must_use]
    pub fn without(self, leg: Leg) -> Self {
        Legs(self.0 & !(1 << leg as u8))
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// In the order of [`Leg::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Leg> {
        Leg::ALL.into_iter().filter(move |leg| self.has(*leg))
    }
}

impl fmt::Display for Legs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Leg::as_str).collect();
        write!(f, "{{{}}}", names.join(", "))
    }
}

/// What one batch covers of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Kafka partition.
    pub partition: i32,
    /// Which assignment of the partition to this process the span was read under. A later assignment, or a re-read after a fence,
    /// has a higher epoch; what still travels under the old one is dropped.
    pub epoch: u32,
    /// First offset covered.
    pub from: i64,
    /// First offset not covered: the consumer's position.
    pub to: i64,
    /// Per leg, the offset below which that store already had everything when the assignment began.
    pub floor: [i64; 2],
}

impl Span {
    /// The part of this span that `leg` does not have yet: rows below its `from` must be dropped before they count.
    pub fn above_floor(&self, leg: Leg) -> Span {
        let floor = self.floor[leg as usize];
        Span { from: self.from.max(floor), to: self.to.max(floor), ..*self }
    }

    /// Whether it covers nothing.
    pub fn is_empty(&self) -> bool {
        self.from >= self.to
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:[{}, {})", self.partition, self.from, self.to)
    }
}

/// Why a span was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Offsets between the two are missing: a batch was lost on the way.
    #[error("partition {partition}: offsets [{expected}, {got}) are missing")]
    Gap {
        /// Kafka partition.
        partition: i32,
        /// Where the chain ends.
        expected: i64,
        /// Where the refused span begins.
        got: i64,
    },
    /// Offsets would be counted twice.
    #[error("partition {partition}: offsets [{got}, {expected}) came twice")]
    Overlap {
        /// Kafka partition.
        partition: i32,
        /// Where the chain ends.
        expected: i64,
        /// Where the refused span begins.
        got: i64,
    },
}

impl Broken {
    /// Whether a chain that ends at `expected` goes on at `got`.
    pub(crate) fn check(partition: i32, expected: i64, got: i64) -> Result<(), Self> {
        match got.cmp(&expected) {
            Ordering::Greater => Err(Broken::Gap { partition, expected, got }),
            Ordering::Less => Err(Broken::Overlap { partition, expected, got }),
            Ordering::Equal => Ok(()),
        }
    }
}

/// Spans that were joined end to end: one per partition, what the next commit will cover.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chain {
    spans: Vec<Span>,
}

impl Chain {
    /// Joins a span to the chain of its partition. An empty span joins anywhere it touches. A span of a later epoch may only
    /// follow when nothing of the earlier epoch is held.
    ///
    /// # Errors
    /// [`Broken`] when it does not begin where the partition's chain ends; the chain is unchanged.
    pub fn join(&mut self, span: Span) -> Result<(), Broken> {
        match self.spans.iter_mut().find(|s| s.partition == span.partition) {
            None => {
                self.spans.push(span);
                self.spans.sort_unstable_by_key(|s| s.partition);
            }
            Some(held) => {
                Broken::check(span.partition, held.to, span.from)?;
                held.to = span.to;
                held.epoch = span.epoch;
            }
        }
        Ok(())
    }

    /// The joined spans, by partition.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Forgets a partition and says what was held of it.
    pub fn forget(&mut self, partition: i32) -> Option<Span> {
        let at = self.spans.iter().position(|s| s.partition == partition)?;
        Some(self.spans.remove(at))
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Takes all, leaving none.
    pub fn take(&mut self) -> Vec<Span> {
        std::mem::take(&mut self.spans)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(partition: i32, from: i64, to: i64) -> Span {
        Span { partition, epoch: 1, from, to, floor: [0, 0] }
    }

    #[test]
    fn spans_that_touch_become_one() {
        let mut chain = Chain::default();
        chain.join(span(1, 10, 20)).unwrap();
        chain.join(span(0, 5, 6)).unwrap();
        chain.join(span(1, 20, 35)).unwrap();
        assert_eq!(chain.spans(), [span(0, 5, 6), span(1, 10, 35)]);
    }

    #[test]
    fn a_gap_and_an_overlap_are_refused_and_change_nothing() {
        let mut chain = Chain::default();
        chain.join(span(3, 10, 20)).unwrap();
        assert_eq!(chain.join(span(3, 21, 30)), Err(Broken::Gap { partition: 3, expected: 20, got: 21 }));
        assert_eq!(chain.join(span(3, 19, 30)), Err(Broken::Overlap { partition: 3, expected: 20, got: 19 }));
        assert_eq!(chain.spans(), [span(3, 10, 20)]);
    }

    #[test]
    fn the_floor_cuts_what_a_store_already_has() {
        let s = Span { floor: [15, 40], ..span(0, 10, 20) };
        assert_eq!((s.above_floor(Leg::Bronze).from, s.above_floor(Leg::Bronze).to), (15, 20));
        assert!(s.above_floor(Leg::Serving).is_empty());
    }

    #[test]
    fn legs_read_like_a_set() {
        assert_eq!(Legs::BOTH.without(Leg::Serving), Legs::only(Leg::Bronze));
        assert_eq!(Legs::BOTH.to_string(), "{bronze, serving}");
        assert!(Legs::NONE.is_empty());
    }
}
