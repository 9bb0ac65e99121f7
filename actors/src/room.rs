//! What every room has: a tombstone that tells when it is gone, a pulse that tells how long it has been busy, a thread of its own.
//!
//! actix catches no panic: the task dies, the thread lives on, and all senders see a closed mailbox. So each actor holds a
//! [`Tombstone`], whose drop is the message. And a handler that never returns answers no ping, so health is read from outside, from the
//! [`Pulse`], which also counts what the room takes and how long that takes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix::{Actor, AsyncContext, Context};
use tokio::sync::mpsc::UnboundedSender;

use crate::messages::{Assigned, Cause, Generation, Trouble};
use crate::telemetry::ActorMeter;

/// Mail that a room may hold. The gate lets fewer batches in than that: a full mailbox is a broken law.
pub const MAILBOX: usize = 2 * crate::gate::MOST_BATCHES + 16;
/// How often an idle room shows that it lives.
const BEAT: Duration = Duration::from_secs(1);

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

/// Since when a room has been busy with one message, when it last showed that it lives, and what waits for it.
#[derive(Debug, Clone)]
pub struct Pulse {
    room: &'static str,
    meter: ActorMeter,
    started: Instant,
    busy_since: Arc<AtomicU64>,
    /// Milliseconds since `started`.
    beaten: Arc<AtomicU64>,
    posted: Arc<AtomicU64>,
    taken: Arc<AtomicU64>,
}

impl Pulse {
    /// An idle room of a stream.
    pub fn new(stream: &str, room: &'static str) -> Self {
        let meter = ActorMeter::new(stream, room);
        let (busy_since, beaten, posted, taken) = Default::default();
        Self { room, meter, started: Instant::now(), busy_since, beaten, posted, taken }
    }

    fn millis(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// Busy until the guard is dropped.
    pub fn busy(&self) -> Busy {
        let mut busy = self.engaged();
        busy.since = Some(Instant::now());
        busy
    }

    /// The same for a room that waits inside a message: it counts its busy time itself.
    pub fn engaged(&self) -> Busy {
        self.busy_since.store(self.millis() + 1, Ordering::Relaxed);
        Busy { pulse: self.clone(), since: None }
    }

    /// Busy with a batch of so many records until the guard is dropped.
    pub fn take(&self, records: usize) -> Busy {
        self.taken.fetch_add(1, Ordering::Relaxed);
        self.meter.took(records as u64);
        self.busy()
    }

    /// A batch was put into the room's mailbox.
    pub fn posted(&self) {
        self.posted.fetch_add(1, Ordering::Relaxed);
    }

    /// The room lives.
    pub fn beat(&self) {
        self.beaten.store(self.millis(), Ordering::Relaxed);
    }

    /// Name of the room and how long it has been busy.
    pub fn read(&self) -> (&'static str, Duration) {
        match self.busy_since.load(Ordering::Relaxed) {
            0 => (self.room, Duration::ZERO),
            since => (self.room, self.started.elapsed().saturating_sub(Duration::from_millis(since - 1))),
        }
    }

    /// How long ago it last showed that it lives.
    pub fn silent(&self) -> Duration {
        self.started.elapsed().saturating_sub(Duration::from_millis(self.beaten.load(Ordering::Relaxed)))
    }

    /// Batches that wait in its mailbox; none where nobody counts them.
    pub fn waiting(&self) -> Option<u64> {
        let posted = self.posted.load(Ordering::Relaxed);
        (posted > 0).then(|| posted.saturating_sub(self.taken.load(Ordering::Relaxed)))
    }

    /// Counts what the room does.
    pub fn meter(&self) -> &ActorMeter {
        &self.meter
    }
}

/// See [`Pulse::busy`].
pub struct Busy {
    pulse: Pulse,
    since: Option<Instant>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.pulse.busy_since.store(0, Ordering::Relaxed);
        self.pulse.beat();
        if let Some(since) = self.since {
            self.pulse.meter.handled(since.elapsed().as_secs_f64());
        }
    }
}

/// Lets an idle room show that it lives.
pub fn keep_beating<A: Actor<Context = Context<A>>>(ctx: &mut Context<A>, pulse: &Pulse) {
    let pulse = pulse.clone();
    pulse.beat();
    ctx.run_interval(BEAT, move |_, _| pulse.beat());
}
