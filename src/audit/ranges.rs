//! Sets of offsets as half-open ranges: what was skipped, what is missing, what came twice.
//!
//! Assumes few ranges (a healthy partition has one). Promises that a [`Ranges`] in hand is sorted, disjoint and without neighbours
//! that touch.

use std::fmt;

use serde::{Serialize, Serializer};

/// A set of offsets, `[from, to)` by `[from, to)`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ranges(Vec<(i64, i64)>);

impl Ranges {
    /// Just `[from, to)`.
    pub(crate) fn of(from: i64, to: i64) -> Self {
        let mut one = Ranges::default();
        one.add(from, to);
        one
    }

    /// Adds `[from, to)`; what is in already stays in once. An empty or reversed range adds nothing.
    pub(crate) fn add(&mut self, from: i64, to: i64) {
        if from >= to {
            return;
        }
        // Ranges that end before `from` stay on the left, those that begin after `to` on the right; what is between is swallowed.
        let left = self.0.partition_point(|r| r.1 < from);
        let right = self.0.partition_point(|r| r.0 <= to);
        if left == right {
            self.0.insert(left, (from, to));
            return;
        }
        let joined = (self.0[left].0.min(from), self.0[right - 1].1.max(to));
        self.0[left] = joined;
        self.0.drain(left + 1..right);
    }

    /// Adds all of `other`.
    pub(crate) fn add_all(&mut self, other: &Ranges) {
        for (from, to) in other.iter() {
            self.add(from, to);
        }
    }

    /// The ranges in order.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (i64, i64)> + '_ {
        self.0.iter().copied()
    }

    /// How many offsets.
    pub(crate) fn count(&self) -> u64 {
        self.0.iter().map(|(from, to)| from.abs_diff(*to)).sum()
    }

    /// Whether `offset` is in.
    pub(crate) fn has(&self, offset: i64) -> bool {
        let at = self.0.partition_point(|r| r.1 <= offset);
        self.0.get(at).is_some_and(|r| r.0 <= offset)
    }

    /// The lowest offset.
    pub(crate) fn first(&self) -> Option<i64> {
        self.0.first().map(|r| r.0)
    }

    /// The highest offset plus one.
    pub(crate) fn end(&self) -> Option<i64> {
        self.0.last().map(|r| r.1)
    }

    /// Whether nothing is in.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is both here and in `[from, to)`.
    pub(crate) fn within(&self, from: i64, to: i64) -> Ranges {
        let mut both = Ranges::default();
        let start = self.0.partition_point(|r| r.1 <= from);
        for (a, b) in self.0[start..].iter().take_while(|r| r.0 < to) {
            both.add((*a).max(from), (*b).min(to));
        }
        both
    }

    /// What of `[from, to)` is not here.
    pub(crate) fn without(&self, from: i64, to: i64) -> Ranges {
        let mut rest = Ranges::default();
        let mut at = from;
        for (a, b) in self.within(from, to).iter() {
            rest.add(at, a);
            at = b;
        }
        rest.add(at, to);
        rest
    }
}

impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (from, to)) in self.iter().enumerate() {
            write!(f, "{}[{from}, {to})", if i == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

impl Serialize for Ranges {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(|(from, to)| [from, to]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(list: &[(i64, i64)]) -> Ranges {
        let mut set = Ranges::default();
        for (from, to) in list {
            set.add(*from, *to);
        }
        set
    }

    #[test]
    fn ranges_that_touch_or_overlap_become_one() {
        assert_eq!(ranges(&[(10, 20), (0, 5), (5, 10)]).to_string(), "[0, 20)");
        assert_eq!(ranges(&[(0, 5), (10, 15), (20, 25), (4, 21)]).to_string(), "[0, 25)");
        assert_eq!(ranges(&[(0, 5), (6, 9), (3, 3), (8, 2)]).to_string(), "[0, 5) [6, 9)");
    }

    #[test]
    fn within_and_without_share_a_range_between_them() {
        let set = ranges(&[(0, 5), (10, 15), (20, 25)]);
        assert_eq!(set.within(3, 22).to_string(), "[3, 5) [10, 15) [20, 22)");
        assert_eq!(set.without(3, 22).to_string(), "[5, 10) [15, 20)");
        assert_eq!(set.without(5, 10).to_string(), "[5, 10)");
        assert!(set.without(11, 14).is_empty());
        assert_eq!((set.count(), set.first(), set.end()), (15, Some(0), Some(25)));
    }

    #[test]
    fn has_is_half_open() {
        let set = ranges(&[(0, 5), (10, 15)]);
        assert!(set.has(0) && set.has(4) && set.has(10));
        assert!(!set.has(5) && !set.has(9) && !set.has(15) && !set.has(-1));
    }
}
