//! A pipeline: the rooms that one read of a topic feeds. The unit of restart.
//!
//! Built sink first, each room on a thread of its own; taken down in the order in which records flow. Nothing is kept across
//! generations: the stores know where to go on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, Addr, Arbiter, Recipient};
use tributary_core::span::{Leg, Legs};

use crate::delta_writer::{self, DeltaWriter};
use crate::gate::Gate;
use crate::kafka::KafkaError;
use crate::kafka_consumer::{self, Consumer, Control, Mode};
use crate::line::{Line, Ready};
use crate::messages::{Ack, Drain, await_acks};
use crate::offset_ledger::{self, OffsetLedger};
use crate::postgres_sink::{self, PostgresSink};
use crate::progress::Progress;
use crate::room::{Pulse, Reports};
use crate::sink;
use crate::telemetry::StreamMeter;
use crate::window_aggregator::{self, WindowAggregator};

/// Running rooms.
pub struct Pipeline {
    /// Counts up; what another generation sends is dropped.
    pub generation: u64,
    /// Which legs it feeds.
    pub legs: Legs,
    /// Where it is.
    pub progress: Progress,
    /// Its credit.
    pub gate: Arc<Gate>,
    /// Health of its rooms.
    pub pulses: Vec<Pulse>,
    consumer: Consumer,
    /// Per leg, the first room of that leg; the ledger comes after.
    drains: BTreeMap<Leg, Recipient<Drain>>,
    ledger: Recipient<Drain>,
    arbiters: Vec<Arbiter>,
}

/// Rooms that stand still this long after their arbiter was stopped are left behind.
const JOIN: Duration = Duration::from_secs(5);

impl Pipeline {
    /// Builds the rooms. Call on the system's own thread: only it may make arbiters.
    ///
    /// # Errors
    /// When librdkafka refuses its settings.
    pub fn start(line: &Line, ready: &Ready, legs: Legs, mode: Mode, reports: &Reports) -> Result<Self, KafkaError> {
        let settings = &line.settings.pipeline;
        let gate = Gate::new(settings.gate_rows, settings.gate_bytes);
        let progress = Progress::default();
        let (control, ear) = std::sync::mpsc::channel();
        let mut rooms = Rooms { stream: line.stream.name.clone(), arbiters: Vec::new(), pulses: Vec::new() };

        let (ledger, _): (Addr<OffsetLedger>, _) = rooms.open(offset_ledger::NAME, {
            let config = offset_ledger::Config {
                stream: line.stream.name.clone(),
                legs,
                stall_after: settings.stall_after,
                commits_to_group: mode == Mode::Group,
            };
            let (progress, gate, control, reports) = (progress.clone(), Arc::clone(&gate), control.clone(), reports.clone());
            move |pulse| OffsetLedger::new(config, progress, gate, control, reports, pulse)
        });
        let edges = sink::Edges {
            gate: Arc::clone(&gate),
            ledger: ledger.clone().recipient(),
            consumer: control.clone(),
            reports: reports.clone(),
        };
        let mut drains = BTreeMap::new();
        let (mut batches, mut fences) = (Vec::new(), Vec::new());
        if legs.has(Leg::Serving) {
            let (sink, sink_pulse): (Addr<PostgresSink>, _) = rooms.open(postgres_sink::NAME, {
                let config = postgres_sink::Config {
                    stream: Arc::clone(&line.stream),
                    incarnation: ready.incarnation,
                    database_url: line.database_url.clone(),
                    merge: settings.window_merge,
                };
                let edges = edges.clone();
                move |pulse| PostgresSink::new(config, edges, pulse)
            });
            let (aggregator, pulse): (Addr<WindowAggregator>, _) = rooms.open(window_aggregator::NAME, {
                let (stream, reports) = (Arc::clone(&line.stream), reports.clone());
                let edges = window_aggregator::Edges {
                    sink: sink.clone().recipient(),
                    fences: sink.clone().recipient(),
                    drains: sink.recipient(),
                    sink_pulse,
                };
                move |pulse| WindowAggregator::new(stream, edges, reports, pulse)
            });
            batches.push((aggregator.clone().recipient(), pulse));
            fences.push(aggregator.clone().recipient());
            drains.insert(Leg::Serving, aggregator.recipient());
        }
        if legs.has(Leg::Bronze) {
            let (writer, pulse): (Addr<DeltaWriter>, _) = rooms.open(delta_writer::NAME, {
                let config = delta_writer::Config {
                    stream: Arc::clone(&line.stream),
                    topic: ready.topic.name.clone(),
                    incarnation: ready.incarnation,
                    store: line.table.clone(),
                    flush: settings.bronze_flush,
                    file_bytes: settings.bronze_file_bytes,
                    min_free_bytes: settings.min_free_bytes,
                };
                move |pulse| DeltaWriter::new(config, edges, pulse)
            });
            batches.push((writer.clone().recipient(), pulse));
            fences.push(writer.clone().recipient());
            drains.insert(Leg::Bronze, writer.recipient());
        }
        let pulse = rooms.pulse(kafka_consumer::NAME);
        let consumer = Consumer::start(
            kafka_consumer::Config {
                stream: Arc::clone(&line.stream),
                topic: ready.topic.clone(),
                incarnation: ready.incarnation,
                legs,
                mode,
                client: line.consumer_config(),
                batch_rows: settings.batch_rows,
                batch_wait: settings.batch_wait,
                floors: Arc::new(line.floors(ready, legs)),
            },
            kafka_consumer::Edges {
                batches,
                fences,
                reports: reports.clone(),
                gate: Arc::clone(&gate),
                progress: progress.clone(),
                pulse,
                meter: StreamMeter::new(&line.stream.name),
            },
            (control, ear),
        )?;
        let Rooms { arbiters, pulses, .. } = rooms;
        let ledger = ledger.recipient();
        Ok(Self { generation: reports.generation, legs, progress, gate, pulses, consumer, drains, ledger, arbiters })
    }

    /// Ends in order: the consumer seals and stays in the group, the legs make durable what they hold, the ledger tells the group, the
    /// consumer leaves. Legs outside `legs` are not waited for. Says whether everything was durable before `until`.
    pub async fn drain(self, legs: Legs, until: Instant) -> bool {
        let waited = tokio::task::spawn_blocking(move || {
            let (sealed, answer) = std::sync::mpsc::channel();
            self.consumer.tell(Control::Seal(sealed));
            let left = until.saturating_duration_since(Instant::now());
            let mut clean = answer.recv_timeout(left).is_ok();
            let (done, answers) = Ack::channel();
            let asked =
                legs.iter().filter_map(|leg| self.drains.get(&leg)).filter(|r| r.try_send(Drain { done: done.clone() }).is_ok());
            let asked = asked.count();
            drop(done);
            clean &= await_acks(&answers, asked, until) && asked == legs.iter().filter(|l| self.legs.has(*l)).count();
            let (done, answers) = Ack::channel();
            if self.ledger.try_send(Drain { done }).is_ok() {
                clean &= await_acks(&answers, 1, until);
            }
            (self, clean)
        });
        match waited.await {
            Ok((pipeline, clean)) => {
                pipeline.end(until).await;
                clean
            }
            Err(_) => false,
        }
    }

    /// Ends at once; what was under way is read again.
    pub async fn kill(self) {
        self.end(Instant::now() + JOIN).await;
    }

    async fn end(mut self, until: Instant) {
        self.consumer.tell(Control::Stop);
        let joined = tokio::task::spawn_blocking(move || {
            let left = |floor: Duration| until.saturating_duration_since(Instant::now()).max(floor);
            if !self.consumer.join(left(Duration::from_secs(1))) {
                tracing::warn!("the consumer's thread does not end; it is left behind, its batches go nowhere");
            }
            for arbiter in &self.arbiters {
                arbiter.stop();
            }
            // A thread stuck in synchronous code cannot be ended: join with patience, then leave it behind.
            let (tell, told) = std::sync::mpsc::channel();
            let arbiters = std::mem::take(&mut self.arbiters);
            let n = arbiters.len();
            for arbiter in arbiters {
                let tell = tell.clone();
                std::thread::spawn(move || {
                    let _ = arbiter.join();
                    let _ = tell.send(());
                });
            }
            let until = Instant::now() + left(Duration::from_secs(1));
            let all = (0..n).all(|_| told.recv_timeout(until.saturating_duration_since(Instant::now())).is_ok());
            if !all {
                tracing::warn!("a room does not end; its thread is left behind, its messages go nowhere");
            }
        });
        let _ = joined.await;
    }
}

struct Rooms {
    stream: String,
    arbiters: Vec<Arbiter>,
    pulses: Vec<Pulse>,
}

impl Rooms {
    fn pulse(&mut self, name: &'static str) -> Pulse {
        let pulse = Pulse::new(&self.stream, name);
        self.pulses.push(pulse.clone());
        pulse
    }

    /// A room on a thread of its own, and what tells how it is.
    fn open<A: Actor<Context = actix::Context<A>>>(
        &mut self,
        name: &'static str,
        build: impl FnOnce(Pulse) -> A + Send + 'static,
    ) -> (Addr<A>, Pulse) {
        let pulse = self.pulse(name);
        let shown = pulse.clone();
        let arbiter = Arbiter::new();
        let addr = A::start_in_arbiter(&arbiter.handle(), move |_| build(pulse));
        self.arbiters.push(arbiter);
        (addr, shown)
    }
}
