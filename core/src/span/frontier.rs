//! How far one leg has taken each partition, and which reads of it still count.
//!
//! A partition is read under an epoch: each assignment, and each re-read after a fence, has a higher one. What still travels under
//! an earlier epoch is stale and dropped; the first span of a new epoch begins at the store's own offset; every other span begins
//! where the one before it ended.

use std::collections::BTreeMap;

use super::{Broken, Leg, Span};

/// What becomes of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Its records are read again under another epoch, or have been: drop it.
    Stale,
    /// The first of its epoch: what is held of the partition from before is read again.
    First,
    /// It goes on where the one before it ended.
    Next,
}

/// Where the next span of each partition must begin.
#[derive(Debug)]
pub struct Frontier {
    leg: Leg,
    /// Epoch, and where the next span begins.
    ends: BTreeMap<i32, (u32, i64)>,
    /// Epochs up to this one no longer count.
    dead: BTreeMap<i32, u32>,
}

impl Frontier {
    /// Nothing taken yet.
    pub fn new(leg: Leg) -> Self {
        Self { leg, ends: BTreeMap::new(), dead: BTreeMap::new() }
    }

    /// Judges a span that was cut [above the floor](Span::above_floor), and moves to its end when it is admitted.
    ///
    /// # Errors
    /// [`Broken`] when offsets before it are missing or come twice; nothing has moved.
    pub fn admit(&mut self, span: &Span) -> Result<Admission, Broken> {
        let partition = span.partition;
        if self.dead.get(&partition).is_some_and(|dead| span.epoch <= *dead) {
            return Ok(Admission::Stale);
        }
        let (expected, admission) = match self.ends.get(&partition) {
            Some((epoch, _)) if span.epoch < *epoch => return Ok(Admission::Stale),
            Some((epoch, end)) if span.epoch == *epoch => (*end, Admission::Next),
            _ => (span.floor[self.leg as usize], Admission::First),
        };
        Broken::check(partition, expected, span.from)?;
        self.ends.insert(partition, (span.epoch, span.to));
        Ok(admission)
    }

    /// The partition is read again from the store's offset: nothing more counts of the epoch that it is read under now.
    pub fn give_up(&mut self, partition: i32) {
        if let Some((epoch, _)) = self.ends.remove(&partition) {
            self.dead.insert(partition, epoch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(epoch: u32, from: i64, to: i64, floor: i64) -> Span {
        Span { partition: 4, epoch, from, to, floor: [floor, 1000] }
    }

    #[test]
    fn an_epoch_begins_at_the_floor_and_goes_on_where_it_ended() {
        let mut frontier = Frontier::new(Leg::Bronze);
        assert_eq!(frontier.admit(&span(1, 15, 20, 15)), Ok(Admission::First));
        assert_eq!(frontier.admit(&span(1, 20, 30, 15)), Ok(Admission::Next));
        assert_eq!(frontier.admit(&span(1, 30, 30, 15)), Ok(Admission::Next));
        assert_eq!(frontier.admit(&span(2, 30, 40, 30)), Ok(Admission::First));
    }

    #[test]
    fn a_gap_and_an_overlap_are_refused_and_nothing_moves() {
        let mut frontier = Frontier::new(Leg::Bronze);
        assert_eq!(frontier.admit(&span(1, 7, 9, 5)), Err(Broken::Gap { partition: 4, expected: 5, got: 7 }));
        assert_eq!(frontier.admit(&span(1, 4, 9, 5)), Err(Broken::Overlap { partition: 4, expected: 5, got: 4 }));
        assert_eq!(frontier.admit(&span(1, 5, 9, 5)), Ok(Admission::First));
        assert_eq!(frontier.admit(&span(1, 8, 12, 5)), Err(Broken::Overlap { partition: 4, expected: 9, got: 8 }));
        assert_eq!(frontier.admit(&span(1, 9, 12, 5)), Ok(Admission::Next));
    }

    #[test]
    fn what_travels_under_an_earlier_epoch_is_stale() {
        let mut frontier = Frontier::new(Leg::Bronze);
        assert_eq!(frontier.admit(&span(2, 0, 5, 0)), Ok(Admission::First));
        assert_eq!(frontier.admit(&span(1, 5, 9, 0)), Ok(Admission::Stale));
        frontier.give_up(4);
        assert_eq!(frontier.admit(&span(2, 5, 9, 0)), Ok(Admission::Stale));
        assert_eq!(frontier.admit(&span(3, 5, 9, 5)), Ok(Admission::First));
    }
}
