//! Every message that crosses a wall, on one screen.
//!
//! Data flows one way, by `try_send`; the gate bounds it, so that a full mailbox is a broken law. `Fence` and `Drain` travel behind
//! the data they are about and answer through their [`Ack`] when everything before them is durable or forgotten.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use actix::Message;
use tributary_core::batch::Batch;
use tributary_core::span::{Leg, Span};
use tributary_core::window::PartitionDelta;

use crate::gate::Ticket;

/// Generation of a pipeline: what it sends is dropped by any other.
pub type Generation = u64;

/// Consumer → both legs: decoded rows and the offsets they cover.
#[derive(Message, Clone)]
#[rtype(result = "()")]
pub struct EventBatch {
    /// Generation that read it.
    pub generation: Generation,
    /// The rows.
    pub batch: Arc<Batch>,
    /// What they cover, one span per partition, not yet cut to any floor.
    pub spans: Arc<[Span]>,
    /// Oldest Kafka record time among the rows, milliseconds since 1970.
    pub oldest_record_ms: Option<i64>,
    /// Credit for the rows' memory; given back when the last leg has let go of them.
    pub ticket: Arc<Ticket>,
}

/// Aggregator → sink: what the rows add up to, per partition.
#[derive(Message)]
#[rtype(result = "()")]
pub struct WindowBatch {
    /// Generation that read it.
    pub generation: Generation,
    /// One delta per span, above the serving floor.
    pub deltas: Vec<PartitionDelta>,
    /// Oldest Kafka record time among the rows, milliseconds since 1970.
    pub oldest_record_ms: Option<i64>,
}

/// Sinks → ledger: these spans are durable.
#[derive(Message, Clone)]
#[rtype(result = "()")]
pub struct Durable {
    /// Generation of the sink.
    pub generation: Generation,
    /// Which store.
    pub leg: Leg,
    /// What it has now.
    pub spans: Vec<Span>,
}

/// Consumer → sinks, behind the data: these partitions are being taken away; make them durable or forget them, then answer.
#[derive(Message, Clone)]
#[rtype(result = "()")]
pub struct Fence {
    /// Partition and the epoch that ends.
    pub partitions: Arc<[(i32, u32)]>,
    /// Answer here.
    pub done: Ack,
}

/// Supervisor → rooms, behind the data: answer when everything before this is durable.
#[derive(Message, Clone)]
#[rtype(result = "()")]
pub struct Drain {
    /// Answer here.
    pub done: Ack,
}

/// Where to say that a [`Fence`] or [`Drain`] is done. Dropping it without a word is an answer too: the room is gone.
#[derive(Clone)]
pub struct Ack(Sender<Leg>);

impl Ack {
    /// A pair: hand out clones of the first, wait on the second.
    pub fn channel() -> (Self, std::sync::mpsc::Receiver<Leg>) {
        let (tx, rx) = std::sync::mpsc::channel();
        (Self(tx), rx)
    }

    /// Done, as far as this leg goes.
    pub fn done(&self, leg: Leg) {
        // The asker may have stopped waiting: its deadline passed.
        let _ = self.0.send(leg);
    }
}

/// Waits until `n` legs have answered or the deadline has passed; says whether all did.
pub fn await_acks(answers: &std::sync::mpsc::Receiver<Leg>, n: usize, until: Instant) -> bool {
    (0..n).all(|_| answers.recv_timeout(until.saturating_duration_since(Instant::now())).is_ok())
}

/// Room → supervisor: this pipeline cannot go on as it is.
#[derive(Message, Debug, Clone)]
#[rtype(result = "()")]
pub struct Trouble {
    /// Who says so.
    pub room: &'static str,
    /// Of which generation.
    pub generation: Generation,
    /// Why.
    pub cause: Cause,
}

/// Why a pipeline cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// A batch was lost or came twice inside the house.
    ChainBroken(String),
    /// A room panicked.
    Panicked,
    /// A room has been busy with one message for longer than anything should take.
    Hung(Duration),
    /// One leg makes nothing durable while work waits.
    Stalled(Leg),
    /// The topic is not the one that the stores know.
    TopicChanged(String),
    /// Something outside failed in a way that a rebuild may mend.
    Failed(String),
    /// Something that no rebuild mends: schema, permissions, a failed fsync.
    Fatal(String),
}

/// Consumer → supervisor: the partitions this process reads now.
#[derive(Message, Debug, Clone)]
#[rtype(result = "()")]
pub struct Assigned {
    /// Of which generation.
    pub generation: Generation,
    /// In order.
    pub partitions: Vec<i32>,
}
