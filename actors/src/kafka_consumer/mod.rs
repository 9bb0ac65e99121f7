//! `kafka_consumer`: reads one topic once, for every leg of a pipeline.
//!
//! One OS thread owns librdkafka's consumer, polls it, decodes straight from its payloads into columns, and drops it. What it assumes:
//! the stores are the only truth about positions ([`floors`]); Kafka's group only says which partitions are ours. What it
//! promises: spans that chain from the lowest floor on, batches that never exceed their credit, and that a partition is not given up
//! before both legs have made it durable or forgotten it.

mod assign;
pub mod floors;
mod reader;
mod thread;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use actix::Recipient;
use rdkafka::ClientConfig;
use tributary_core::span::Legs;
use tributary_core::stream::Stream;

use crate::gate::Gate;
use crate::kafka::KafkaError;
use crate::kafka::topic::Topic;
use crate::messages::{EventBatch, Fence};
use crate::progress::Progress;
use crate::room::{Pulse, Reports};
use crate::telemetry::StreamMeter;

/// The name of this room.
pub const NAME: &str = "kafka_consumer";

/// Who decides which partitions are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Kafka's consumer group.
    Group,
    /// The supervisor: these.
    Manual(Vec<i32>),
}

/// What to read, and how.
pub struct Config {
    /// Declaration.
    pub stream: Arc<Stream>,
    /// Topic, with the identity that the stores know.
    pub topic: Topic,
    /// Which topic of that name.
    pub incarnation: i32,
    /// Which legs read along.
    pub legs: Legs,
    /// Who assigns.
    pub mode: Mode,
    /// librdkafka's settings.
    pub client: ClientConfig,
    /// Rows of a batch at most.
    pub batch_rows: usize,
    /// How long a small batch waits for more.
    pub batch_wait: Duration,
    /// Where the stores are.
    pub floors: Arc<dyn floors::Floors>,
}

/// Who is told what.
pub struct Edges {
    /// Both legs' first rooms, and what counts what waits for them.
    pub batches: Vec<(Recipient<EventBatch>, Pulse)>,
    /// The same rooms, for fences.
    pub fences: Vec<Recipient<Fence>>,
    /// The supervisor.
    pub reports: Reports,
    /// Credit.
    pub gate: Arc<Gate>,
    /// Where this pipeline is.
    pub progress: Progress,
    /// Health.
    pub pulse: Pulse,
    /// Counters.
    pub meter: StreamMeter,
}

/// What the thread can be told.
#[derive(Debug)]
pub enum Control {
    /// Send on what was read, take no more, stay in the group; then answer.
    Seal(Sender<()>),
    /// Somebody else moved these partitions' offsets: fence, ask the stores, read again from there.
    Reread(Vec<i32>),
    /// Tell the group these next offsets (for lag dashboards).
    Commit(Vec<(i32, i64)>),
    /// Leave the group and end.
    Stop,
}

/// The running thread.
pub struct Consumer {
    control: Sender<Control>,
    thread: Option<JoinHandle<()>>,
}

impl Consumer {
    /// Starts the thread; the channel was made before it, because the rooms it feeds speak to it.
    ///
    /// # Errors
    /// When librdkafka refuses its settings or no thread can be had.
    pub fn start(config: Config, edges: Edges, (control, ear): (Sender<Control>, Receiver<Control>)) -> Result<Self, KafkaError> {
        let thread = thread::spawn(config, edges, ear)?;
        Ok(Self { control, thread: Some(thread) })
    }

    /// Tells the thread something; nothing happens when it is gone.
    pub fn tell(&self, control: Control) {
        let _ = self.control.send(control);
    }

    /// Waits for the thread to end, up to `wait`; says whether it did.
    pub fn join(&mut self, wait: Duration) -> bool {
        let until = std::time::Instant::now() + wait;
        while self.thread.as_ref().is_some_and(|t| !t.is_finished()) {
            if std::time::Instant::now() >= until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        if let Some(thread) = self.thread.take() {
            // A panic was reported by the tombstone.
            let _ = thread.join();
        }
        true
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.tell(Control::Stop);
    }
}
