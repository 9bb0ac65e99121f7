//! Endless made-up traffic, at any rate from one event in ten seconds to what the machine can make.
//!
//! Makes the topic if it is missing, and waits for Kafka as long as it takes. Promises the rate within one percent while Kafka and the
//! processor keep up (two cores with the broker on them: half a million in one second, not a million); waits when they do not, and does
//! not pour out afterwards what it would have sent meanwhile. It counts an event when Kafka has acknowledged it, sends none twice, and
//! says at the end how many arrived and how many did not.
//!
//! The work is done by a thread of its own (`producer`): it must neither wait for other rooms nor make them wait. The actor
//! [`Generator`] is a shell around its [`GeneratorHandle`] that starts it, watches it and stops it.
//! [`outbox`] is the way into Kafka, which `tributary generate` takes too.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture};
use rdkafka::error::KafkaError;
use tributary_core::settings;
use tributary_core::traffic::Profile;

pub mod outbox;
mod producer;

use outbox::{Outbox, Size, Tally};

use crate::kafka::{client_config, topic};

/// The name of this room.
pub const NAME: &str = "generator";

/// Above this rate the large outbox is worth its memory.
const HIGH_RATE: f64 = 20_000.0;

/// What to send, and where to.
#[derive(Debug, Clone)]
pub struct Config {
    /// Rate and users.
    pub traffic: settings::Generator,
    /// How traffic is spread over pages and hours.
    pub profile: Profile,
    /// Decides the draws; differs per process unless a test wants otherwise, since event ids follow from it.
    pub seed: u64,
    /// Name of the stream, for metrics.
    pub stream: String,
    /// Kafka topic.
    pub topic: String,
    /// How to reach Kafka.
    pub kafka: settings::Kafka,
    /// Where it is.
    pub bootstrap: String,
}

impl Config {
    fn outbox(&self, size: Size, tally: &Arc<Tally>) -> Result<Outbox, KafkaError> {
        Outbox::open(client_config(&self.kafka, &self.bootstrap), &self.topic, size, Arc::clone(tally))
    }
}

/// What became of the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Report {
    /// Acknowledged by Kafka.
    pub delivered: u64,
    /// Refused by Kafka, for good.
    pub failed: u64,
    /// Without an answer when the deadline passed: they may have arrived.
    pub unanswered: u64,
}

/// A generator at work. Dropping it stops it too, without waiting for what is on its way.
#[derive(Debug)]
pub struct GeneratorHandle {
    stop: Sender<Instant>,
    thread: Option<JoinHandle<Report>>,
    tally: Arc<Tally>,
}

impl GeneratorHandle {
    /// Starts a generator.
    ///
    /// # Errors
    /// When librdkafka refuses the settings or there can be no further thread. That Kafka is away is not an error.
    pub fn start(config: Config) -> Result<Self, StartError> {
        let size = if config.traffic.events_per_second > HIGH_RATE { Size::LARGE } else { Size::SMALL };
        let tally = Arc::new(Tally::default());
        let outbox = config.outbox(size, &tally)?;
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new()
            .name("generator".to_owned())
            .spawn(move || producer::Producer::new(config, size, outbox).run(&stopped))?;
        Ok(Self { stop, thread: Some(thread), tally })
    }

    /// Events that Kafka has acknowledged so far.
    pub fn delivered(&self) -> u64 {
        self.tally.delivered()
    }

    /// Whether it is still at work: it ends before it is told to only by a panic.
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Makes no more, waits for what is on its way until the deadline, and says what became of everything. None: its thread panicked.
    pub fn stop(mut self, until: Instant) -> Option<Report> {
        // A failure means that the thread is gone; join says so.
        let _ = self.stop.send(until);
        self.thread.take()?.join().ok()
    }
}

impl Drop for GeneratorHandle {
    fn drop(&mut self) {
        let _ = self.stop.send(Instant::now());
    }
}

/// Why a generator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Settings that librdkafka refuses.
    #[error("generator: {0}")]
    Kafka(#[from] KafkaError),
    /// No thread.
    #[error("generator: cannot start its thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// The longest that the thread sleeps: delivery reports of a slow generator wait no longer than this.
const TICK: Duration = Duration::from_secs(1);
/// How often Kafka is asked whether it is there.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// A line about progress this often.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// The room of the generator: first the topic, then the thread. A thread that panicked is replaced at the next tick: made-up traffic
/// is not worth a pipeline's life.
pub struct Generator {
    config: Config,
    handle: Option<GeneratorHandle>,
    halted: bool,
    starts: u64,
}

impl Generator {
    /// A room that makes traffic from when its topic is there.
    pub fn new(config: Config) -> Self {
        Self { config, handle: None, halted: false, starts: 0 }
    }

    fn prepare(&mut self, ctx: &mut Context<Self>) {
        let Config { kafka, bootstrap, topic, .. } = self.config.clone();
        let ensured = async move { topic::ensure(&kafka, &bootstrap, &topic).await };
        ctx.spawn(ensured.into_actor(self).map(|ensured, room, ctx| match ensured {
            Ok(_) => {
                room.watch();
                ctx.run_interval(TICK, |room, _| room.watch());
            }
            Err(error) => {
                tracing::warn!(target: "generator", %error, "no traffic until its topic is there; asking again");
                ctx.run_later(ASK_AGAIN, Self::prepare);
            }
        }));
    }

    fn watch(&mut self) {
        if self.halted || self.handle.as_ref().is_some_and(GeneratorHandle::is_running) {
            return;
        }
        if self.handle.take().is_some() {
            tracing::error!(target: "generator", "the generator's thread panicked; starting another");
        }
        // The same seed again would repeat event ids.
        let seed = self.config.seed.wrapping_add(self.starts);
        self.starts += 1;
        match GeneratorHandle::start(Config { seed, ..self.config.clone() }) {
            Ok(handle) => self.handle = Some(handle),
            Err(error) => {
                tracing::error!(target: "generator", %error, "no traffic: the generator's client cannot be made; check the settings of Kafka (tributary config show). Trying again")
            }
        }
    }
}

impl Actor for Generator {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.prepare(ctx);
    }
}

/// Supervisor → generator: make no more; answer when everything made has arrived, at the latest at `until`. None: there was no thread.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "Option<Report>")]
pub struct Halt {
    /// Patience.
    pub until: Instant,
}

impl Handler<Halt> for Generator {
    type Result = Option<Report>;

    /// Blocks its arbiter, on which nothing else lives.
    fn handle(&mut self, halt: Halt, _: &mut Self::Context) -> Self::Result {
        self.halted = true;
        self.handle.take()?.stop(halt.until)
    }
}
