//! What every room has: a tombstone that tells when it is gone, a pulse that tells how long it has been busy, a thread of its own.
//!
//! actix catches no panic: the task dies, the thread lives on, and all senders see a closed mailbox. So each actor holds a
//! [`Tombstone`], whose drop is the message. And a handler that never returns answers no ping, so health is read from outside, from the
//! [`Pulse`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use crate::messages::{Assigned, Cause, Generation, Trouble};

/// Mail that a room may hold. The gate lets fewer batches in than that: a full mailbox is a broken law.
pub const MAILBOX: usize = 2 * crate::gate::MOST_BATCHES + 16;

/// What rooms tell the supervisor. Few and small: control, never data.
#[derive(Debug)]
pub enum Event {
    /// A pipeline cannot go on.
    Trouble(Trouble),
    /// A room is gone.
    Down {
        /// Which.
        room: &'static str,
        /// Of which generation.
        generation: Generation,
        /// Whether by a panic.
        panicked: bool,
    },
    /// The partitions that are read now.
    Assigned(Assigned),
}

/// The way to the supervisor, stamped with the pipeline's generation.
#[derive(Debug, Clone)]
pub struct Reports {
    /// Generation of the sender.
    pub generation: Generation,
    to: UnboundedSender<Event>,
}

impl Reports {
    /// For a pipeline of this generation.
    pub fn new(generation: Generation, to: UnboundedSender<Event>) -> Self {
        Self { generation, to }
    }

    /// This pipeline cannot go on.
    pub fn trouble(&self, room: &'static str, cause: Cause) {
        // Without a supervisor the process is ending.
        let _ = self.to.send(Event::Trouble(Trouble { room, generation: self.generation, cause }));
    }

    /// The consumer reads these partitions now.
    pub fn assigned(&self, partitions: Vec<i32>) {
        let _ = self.to.send(Event::Assigned(Assigned { generation: self.generation, partitions }));
    }

    /// A tombstone for a room.
    pub fn tombstone(&self, room: &'static str) -> Tombstone {
        Tombstone { room, reports: self.clone() }
    }
}

/// Tells the supervisor when the room that holds it is dropped.
#[derive(Debug)]
pub struct Tombstone {
    room: &'static str,
    reports: Reports,
}

impl Drop for Tombstone {
    fn drop(&mut self) {
        let panicked = std::thread::panicking();
        let _ = self.reports.to.send(Event::Down { room: self.room, generation: self.reports.generation, panicked });
    }
}

/// Since when a room has been busy with one message.
#[derive(Debug, Clone)]
pub struct Pulse {
    room: &'static str,
    started: Instant,
    busy_since: Arc<AtomicU64>,
}

impl Pulse {
    /// An idle room.
    pub fn new(room: &'static str) -> Self {
        Self { room, started: Instant::now(), busy_since: Arc::default() }
    }

    /// Busy until the guard is dropped.
    pub fn busy(&self) -> Busy {
        let now = self.started.elapsed().as_millis() as u64 + 1;
        self.busy_since.store(now, Ordering::Relaxed);
        Busy(Arc::clone(&self.busy_since))
    }

    /// Name of the room and how long it has been busy.
    pub fn read(&self) -> (&'static str, Duration) {
        match self.busy_since.load(Ordering::Relaxed) {
            0 => (self.room, Duration::ZERO),
            since => (self.room, self.started.elapsed().saturating_sub(Duration::from_millis(since - 1))),
        }
    }
}

/// See [`Pulse::busy`].
pub struct Busy(Arc<AtomicU64>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Relaxed);
    }
}
