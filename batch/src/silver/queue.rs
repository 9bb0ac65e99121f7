//! Days that wait to be made: the largest first, no more of them at once than there is memory for.

use std::sync::{Condvar, Mutex, PoisonError};

use tributary_core::table::TableFile;

/// What a day needs, roughly: chunks on their way, row groups being written, parts being sent; and what was seen.
const BYTES_PER_DAY: u64 = 64 << 20;
const BYTES_PER_ROW: u64 = 22;

/// A day and its files of bronze, in order.
#[derive(Debug)]
pub(super) struct QueuedDay {
    pub(super) day: i32,
    pub(super) files: Vec<TableFile>,
    bytes: u64,
}

impl QueuedDay {
    /// Of which no more than `most_rows` are wanted.
    pub(super) fn new(day: i32, files: Vec<TableFile>, most_rows: u64) -> Self {
        let rows = files.iter().filter_map(|f| f.rows).sum::<u64>().min(most_rows);
        Self { day, files, bytes: BYTES_PER_DAY + BYTES_PER_ROW * rows }
    }
}

pub(super) struct Queue {
    state: Mutex<State>,
    freed: Condvar,
    room: u64,
}

struct State {
    /// The next one is the last.
    days: Vec<QueuedDay>,
    in_use: u64,
}

/// The memory that a day may use, until it is dropped.
pub(super) struct Room<'a> {
    queue: &'a Queue,
    bytes: u64,
}

impl Queue {
    pub(super) fn new(mut days: Vec<QueuedDay>, room: u64) -> Self {
        days.sort_by_key(|d| d.bytes);
        Self { state: Mutex::new(State { days, in_use: 0 }), freed: Condvar::new(), room }
    }

    /// The next day, as soon as there is room for it; one that needs more than there is, when no other is being made.
    pub(super) fn next(&self) -> Option<(QueuedDay, Room<'_>)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let bytes = state.days.last()?.bytes;
            if state.in_use == 0 || state.in_use.saturating_add(bytes) <= self.room {
                state.in_use += bytes;
                return Some((state.days.pop()?, Room { queue: self, bytes }));
            }
            state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.queue.state.lock().unwrap_or_else(PoisonError::into_inner).in_use -= self.bytes;
        self.queue.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn day(day: i32, rows: u64) -> QueuedDay {
        let file = TableFile {
            path: String::new(),
            size: 0,
            rows: Some(rows),
            date: Some(day),
            stats: None,
            tags: BTreeMap::new(),
            modified_ms: 0,
        };
        QueuedDay::new(day, vec![file], u64::MAX)
    }

    #[test]
    fn the_largest_day_comes_first_and_another_one_waits_for_room() {
        let queue = Queue::new(vec![day(1, 10), day(2, 1_000_000_000), day(3, 20)], 200 << 20);
        let (first, room) = queue.next().unwrap();
        assert_eq!(first.day, 2);
        std::thread::scope(|threads| {
            let second = threads.spawn(|| queue.next().map(|(d, _)| d.day));
            std::thread::sleep(std::time::Duration::from_millis(20));
            assert!(!second.is_finished(), "no room for two");
            drop(room);
            assert_eq!(second.join().unwrap(), Some(3));
        });
        assert_eq!(queue.next().map(|(d, _)| d.day), Some(1));
        assert!(queue.next().is_none());
    }

    #[test]
    fn small_days_are_made_together() {
        let queue = Queue::new(vec![day(1, 10), day(2, 10)], 200 << 20);
        let both = (queue.next().unwrap(), queue.next().unwrap());
        assert_eq!((both.0.0.day, both.1.0.day), (2, 1));
    }
}
