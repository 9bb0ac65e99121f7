//! Two tables compared as bags of rows without holding either: first by sums per day, then, where these differ, by the rows.
//!
//! Assumes rows as numbers of one [`Hasher`](super::canon::Hasher). Promises that equal sums and counts mean equal bags, but for an
//! accident of 128 bits, and memory of days; only the days that differ cost memory of rows.

use std::collections::{BTreeMap, HashMap};

/// A day, or the whole of a table without days.
pub(crate) type Group = Option<i32>;

/// Rows and the sum of their numbers, by day.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums(BTreeMap<Group, (u64, u128)>);

impl Sums {
    /// Adds a row.
    pub(crate) fn add(&mut self, group: Group, row: u128) {
        let (rows, sum) = self.0.entry(group).or_default();
        *rows += 1;
        *sum = sum.wrapping_add(row);
    }

    /// All rows.
    pub(crate) fn rows(&self) -> u64 {
        self.0.values().map(|(rows, _)| rows).sum()
    }

    /// Where they differ.
    pub(crate) fn differing(&self, other: &Sums) -> Vec<Group> {
        let mut groups: Vec<Group> = self.0.keys().chain(other.0.keys()).copied().collect();
        groups.sort_unstable();
        groups.dedup();
        groups.retain(|group| self.0.get(group) != other.0.get(group));
        groups
    }
}

/// How many rows of each number one side has more than the other.
#[derive(Debug, Default)]
pub(crate) struct Bag(HashMap<u128, i64, ahash::RandomState>);

impl Bag {
    /// A row that should be there.
    pub(crate) fn expect(&mut self, row: u128) {
        *self.0.entry(row).or_default() += 1;
    }

    /// A row that is there.
    pub(crate) fn find(&mut self, row: u128) {
        *self.0.entry(row).or_default() -= 1;
    }

    /// Takes one of the rows that are there and should not be; whether there was one.
    pub(crate) fn take_extra(&mut self, row: u128) -> bool {
        self.0.get_mut(&row).filter(|balance| **balance < 0).map(|balance| *balance += 1).is_some()
    }

    /// Takes one of the rows that should be there and are not; whether there was one.
    pub(crate) fn take_missing(&mut self, row: u128) -> bool {
        self.0.get_mut(&row).filter(|balance| **balance > 0).map(|balance| *balance -= 1).is_some()
    }

    /// Rows that are not there, and rows that should not be.
    pub(crate) fn balance(&self) -> (u64, u64) {
        let sum = |sign: i64| self.0.values().filter(|b| b.signum() == sign).map(|b| b.unsigned_abs()).sum();
        (sum(1), sum(-1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_days_that_differ_are_named() {
        let (mut a, mut b) = (Sums::default(), Sums::default());
        for (group, row) in [(Some(1), 10), (Some(1), 20), (Some(2), 5), (None, 7)] {
            a.add(group, row);
        }
        for (group, row) in [(Some(1), 20), (Some(1), 10), (Some(2), 6), (Some(3), u128::MAX)] {
            b.add(group, row);
        }
        assert_eq!(a.differing(&b), [None, Some(2), Some(3)]);
        assert_eq!((a.differing(&a), a.rows()), (vec![], 4));
    }

    #[test]
    fn a_row_that_comes_twice_is_one_too_many() {
        let mut bag = Bag::default();
        [1, 2, 2, 3].into_iter().for_each(|row| bag.expect(row));
        [1, 2, 3, 3, 4].into_iter().for_each(|row| bag.find(row));
        assert_eq!(bag.balance(), (1, 2));
        assert!(bag.take_missing(2) && !bag.take_missing(2));
        assert!(bag.take_extra(3) && !bag.take_extra(3) && !bag.take_extra(1));
        assert_eq!(bag.balance(), (0, 1));
    }
}
