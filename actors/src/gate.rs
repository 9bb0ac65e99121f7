//! The only backpressure in the house: credits in rows and bytes, taken at the door, given back when the last holder lets go.
//!
//! The consumer takes a [`Ticket`] before it takes records from Kafka's queue. Both legs share it while they need the decoded rows;
//! what they keep afterwards (encoded Parquet, window deltas) is charged by [`Gate::charge`], which never waits: it shuts the door
//! for the next batch instead. Nothing has to be acknowledged for credit to return: dropping is enough, also in a panic.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Batches that the gate lets in at most: each counts as at least this fraction of the rows, so that no mailbox can fill.
pub const MOST_BATCHES: usize = 64;

/// Credits of one pipeline.
#[derive(Debug)]
pub struct Gate {
    limit: Load,
    load: Mutex<Load>,
    freed: Condvar,
}

/// Rows and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Decoded rows.
    pub rows: usize,
    /// Bytes, decoded or encoded.
    pub bytes: usize,
}

impl Gate {
    /// A gate that lets this much in.
    pub fn new(rows: usize, bytes: usize) -> Arc<Self> {
        Arc::new(Self { limit: Load { rows, bytes }, load: Mutex::default(), freed: Condvar::new() })
    }

    /// Takes credit for a batch, waiting up to `wait` for it. A batch larger than the whole gate passes when nothing else is inside.
    pub fn admit(self: &Arc<Self>, rows: usize, bytes: usize, wait: Duration) -> Option<Ticket> {
        let until = Instant::now() + wait;
        let mut load = self.lock();
        loop {
            let fits = load.rows + rows <= self.limit.rows && load.bytes + bytes <= self.limit.bytes;
            if fits || *load == Load::default() {
                load.rows += rows;
                load.bytes += bytes;
                return Some(Ticket { gate: Arc::clone(self), held: Mutex::new(Load { rows, bytes }) });
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            load = self.freed.wait_timeout(load, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// A ticket for bytes that are already in memory. Never waits.
    pub fn charge(self: &Arc<Self>, bytes: usize) -> Ticket {
        self.lock().bytes += bytes;
        Ticket { gate: Arc::clone(self), held: Mutex::new(Load { rows: 0, bytes }) }
    }

    /// The rows that a batch counts as.
    pub fn weight(&self, rows: usize) -> usize {
        rows.max(self.limit.rows / MOST_BATCHES)
    }

    /// What may be inside.
    pub fn limit(&self) -> Load {
        self.limit
    }

    /// What is inside now.
    pub fn load(&self) -> Load {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Load> {
        // A panic elsewhere never leaves the sums half-changed.
        self.load.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Credit in use; given back on drop.
#[derive(Debug)]
pub struct Ticket {
    gate: Arc<Gate>,
    held: Mutex<Load>,
}

impl Ticket {
    /// Sets what this ticket holds to what is really there. Growing never waits.
    pub fn resize(&self, rows: usize, bytes: usize) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let mut load = self.gate.lock();
        load.rows = load.rows + rows - held.rows;
        load.bytes = load.bytes + bytes - held.bytes;
        *held = Load { rows, bytes };
        drop(load);
        self.gate.freed.notify_all();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.resize(0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_shuts_at_its_limit_and_opens_when_a_ticket_is_dropped() {
        let gate = Gate::new(100, 1000);
        let a = gate.admit(60, 10, Duration::ZERO).unwrap();
        assert!(gate.admit(60, 10, Duration::ZERO).is_none(), "rows");
        assert!(gate.admit(1, 991, Duration::ZERO).is_none(), "bytes");
        let waiter = std::thread::spawn({
            let gate = Arc::clone(&gate);
            move || gate.admit(60, 10, Duration::from_secs(30)).is_some()
        });
        drop(a);
        assert!(waiter.join().unwrap());
        assert_eq!(gate.load(), Load::default());
    }

    #[test]
    fn a_giant_batch_passes_alone() {
        let gate = Gate::new(10, 10);
        let giant = gate.admit(1000, 1000, Duration::ZERO).unwrap();
        assert!(gate.admit(1, 1, Duration::ZERO).is_none());
        drop(giant);
        assert!(gate.admit(1, 1, Duration::ZERO).is_some());
    }

    #[test]
    fn what_a_leg_keeps_shuts_the_door_for_the_next() {
        let gate = Gate::new(100, 100);
        let kept = gate.charge(99);
        assert!(gate.admit(1, 2, Duration::ZERO).is_none());
        kept.resize(0, 10);
        assert!(gate.admit(1, 2, Duration::ZERO).is_some());
    }

    #[test]
    fn a_panic_gives_the_credit_back() {
        let gate = Gate::new(10, 10);
        let ticket = gate.admit(10, 10, Duration::ZERO).unwrap();
        let _ = std::thread::spawn(move || {
            let _held = ticket;
            panic!("on purpose");
        })
        .join();
        assert_eq!(gate.load(), Load::default());
    }
}
