//! The supervisor of one stream: keeps a main pipeline running, gives a leg that stalls a pipeline of its own, and brings it back.
//!
//! Sequential on purpose: rooms report into one queue, and one loop decides. The rules:
//!
//! - panic, hang, broken chain, failure: the pipeline is torn down and rebuilt from the stores' offsets, after a wait that doubles, at
//!   most so many times in ten minutes; then the process ends and says why.
//! - a leg that stalls is detached: the next generation goes without it, and the leg catches up in a pipeline that is assigned the same
//!   partitions by hand, with a gate of its own. Within one gate of the front, both drain and one generation reads for all again.
//! - a topic that changed, or a partition whose records are lost, waits for a person.

mod house;
mod legs;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tributary_core::restart::{Policy, Restarts, Verdict};
use tributary_core::span::{Leg, Legs};

pub use self::house::{House, RunError, run};
use self::legs::Detached;
use crate::board::{Board, PartitionState};
use crate::kafka_consumer::Mode;
use crate::line::{Line, NotReady};
use crate::messages::{Cause, Trouble};
use crate::pipeline::Pipeline;
use crate::room::{Event, Reports};
use crate::telemetry::{LegMeter, StreamMeter};

const TICK: Duration = Duration::from_millis(200);
/// A message that takes longer than this will not end.
const HUNG: Duration = Duration::from_secs(30);
/// How often a person's decision is looked for.
const ASK_PERSON: Duration = Duration::from_secs(3);
/// How often the world is asked whether it is back.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// The healthy leg of a pipeline that loses the other may take this long to finish.
const DETACH: Duration = Duration::from_secs(5);
const PERIOD: Duration = Duration::from_secs(600);

/// The supervisor gave up: no restart mends it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{stream}: {why}")]
pub struct GaveUp {
    /// Of which stream.
    pub stream: String,
    /// In words.
    pub why: String,
}

/// One stream's supervisor.
pub struct Supervisor {
    line: Arc<Line>,
    wanted: Legs,
    board: Board,
    meter: StreamMeter,
    inbox: UnboundedReceiver<Event>,
    outbox: UnboundedSender<Event>,
    generations: u64,
    main: Option<Pipeline>,
    /// Partitions that the main pipeline reads.
    partitions: BTreeSet<i32>,
    detached: BTreeMap<Leg, Detached>,
    not_before: Instant,
    started: Instant,
    restarts: Restarts,
    restarted: u64,
    problem: Option<String>,
}

impl Supervisor {
    /// For one stream and the legs that this process is to feed.
    pub fn new(line: Arc<Line>, wanted: Legs, board: Board) -> Self {
        let (outbox, inbox) = unbounded_channel();
        let settings = &line.settings.pipeline;
        let policy = Policy {
            backoff: settings.restart_backoff,
            backoff_max: settings.restart_backoff_max,
            budget: settings.restart_budget,
            period: PERIOD,
        };
        let meter = StreamMeter::new(&line.stream.name);
        meter.begin(wanted);
        Self {
            line,
            wanted,
            board,
            meter,
            inbox,
            outbox,
            generations: 0,
            main: None,
            partitions: BTreeSet::new(),
            detached: BTreeMap::new(),
            not_before: Instant::now(),
            started: Instant::now(),
            restarts: Restarts::new(policy),
            restarted: 0,
            problem: None,
        }
    }

    /// Runs until the stop is asked for (then ends in order) or nothing helps any more.
    ///
    /// # Errors
    /// [`GaveUp`], with what must change.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<(), GaveUp> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut impatient = stop.clone();
        let done = loop {
            let step = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break Ok(()),
                Some(event) = self.inbox.recv() => self.heard(event).await,
                _ = tick.tick() => {
                    // What is asked here may wait for the world; a stop does not wait with it.
                    tokio::select! {
                        biased;
                        _ = impatient.wait_for(|stop| *stop) => break Ok(()),
                        step = self.tick() => step,
                    }
                }
            };
            if let Err(gave_up) = step {
                break Err(gave_up);
            }
            self.show();
        };
        self.shutdown().await;
        done
    }

    /// The main pipeline and those of the legs that catch up.
    fn running(&self) -> impl Iterator<Item = &Pipeline> {
        self.main.iter().chain(self.detached.values().filter_map(Detached::pipeline))
    }

    fn reports(&mut self) -> Reports {
        self.generations += 1;
        Reports::new(self.generations, self.outbox.clone())
    }

    fn gave_up(&self, why: impl Into<String>) -> GaveUp {
        GaveUp { stream: self.line.stream.name.clone(), why: why.into() }
    }

    async fn heard(&mut self, event: Event) -> Result<(), GaveUp> {
        let (generation, room, cause) = match event {
            Event::Assigned(assigned) => {
                if self.main.as_ref().is_some_and(|m| m.generation == assigned.generation) {
                    self.partitions = assigned.partitions.into_iter().collect();
                }
                return Ok(());
            }
            Event::Trouble(Trouble { room, generation, cause }) => (generation, room, cause),
            Event::Down { room, generation, panicked: true } => (generation, room, Cause::Panicked),
            Event::Down { room, generation, panicked: false } => (generation, room, Cause::Failed(format!("{room} ended"))),
        };
        // Rooms of a pipeline that is taken down in order are gone, too: that is no failure. A stall is said again and again; it counts when
        // something follows from it.
        let is_ours = self.running().any(|pipeline| pipeline.generation == generation);
        if cause == Cause::Panicked || (is_ours && !matches!(cause, Cause::Stalled(_))) {
            self.meter.failed(room, kind(&cause));
        }
        if let Cause::Fatal(why) = cause {
            return Err(self.gave_up(format!("{room}: {why}")));
        }
        if self.main.as_ref().is_some_and(|m| m.generation == generation) {
            return self.main_in_trouble(room, cause).await;
        }
        self.detached_in_trouble(generation, room, &cause).await;
        Ok(())
    }

    async fn main_in_trouble(&mut self, room: &'static str, cause: Cause) -> Result<(), GaveUp> {
        match &cause {
            Cause::Stalled(leg) => {
                let leg = *leg;
                let others = self.main.as_ref().map_or(Legs::NONE, |m| m.legs.without(leg));
                // The last leg has nobody to hold up: it goes on trying where it is.
                if !others.is_empty() {
                    self.meter.failed(room, kind(&cause));
                    self.detach(leg).await;
                }
                Ok(())
            }
            Cause::TopicChanged(why) => {
                tracing::error!(stream = self.line.stream.name, "{why}");
                self.meter.blocked(self.partitions.len().max(1));
                self.problem = Some(why.clone());
                self.tear_down(room, kind(&cause)).await;
                self.not_before = Instant::now() + self.line.settings.pipeline.restart_backoff;
                Ok(())
            }
            cause => self.rebuild(room, cause).await,
        }
    }

    /// Tears the main pipeline down and says when to build the next.
    async fn rebuild(&mut self, room: &'static str, cause: &Cause) -> Result<(), GaveUp> {
        let words = match cause {
            Cause::ChainBroken(why) | Cause::Failed(why) => why.clone(),
            Cause::Panicked => "panicked".to_owned(),
            Cause::Hung(since) => format!("busy with one message for {since:?}"),
            other => format!("{other:?}"),
        };
        self.tear_down(room, kind(cause)).await;
        match self.restarts.broke(self.started.elapsed()) {
            Verdict::Again(wait) => {
                tracing::error!(stream = self.line.stream.name, room, "{words}; rebuilding in {wait:?}");
                self.problem = Some(format!("{room}: {words}"));
                self.not_before = Instant::now() + wait;
                Ok(())
            }
            Verdict::GiveUp => {
                let budget = self.line.settings.pipeline.restart_budget;
                Err(self.gave_up(format!(
                    "{room}: {words}; more than {budget} rebuilds in {PERIOD:?}, so something outside must change"
                )))
            }
        }
    }

    async fn tear_down(&mut self, room: &'static str, cause: &'static str) {
        self.restarted += 1;
        self.meter.restarted(room, cause);
        for leg in self.wanted.iter() {
            LegMeter::new(&self.line.stream.name, leg).attached(false);
        }
        if let Some(main) = self.main.take() {
            main.kill().await;
        }
    }

    async fn tick(&mut self) -> Result<(), GaveUp> {
        let hung = self.main.as_ref().and_then(|m| m.pulses.iter().map(crate::room::Pulse::read).find(|(_, busy)| *busy > HUNG));
        self.show_actors();
        if let Some((room, busy)) = hung {
            self.meter.failed(room, kind(&Cause::Hung(busy)));
            return self.rebuild(room, &Cause::Hung(busy)).await;
        }
        if self.main.is_none() && Instant::now() >= self.not_before {
            return self.start_main().await;
        }
        self.tend_detached().await
    }

    /// Builds the main pipeline with every wanted leg that is not on its own.
    async fn start_main(&mut self) -> Result<(), GaveUp> {
        let legs = self.detached.keys().fold(self.wanted, |legs, leg| legs.without(*leg));
        let ready = async {
            let ready = self.line.ready(legs).await?;
            if legs == Legs::only(Leg::Serving) {
                // No other leg's pipeline of this process will make them wait for a refill.
                let partitions: Vec<i32> = (0..ready.topic.partitions).collect();
                self.line.refill(&ready, &partitions).await?;
            }
            Ok(ready)
        };
        let ready = match ready.await {
            Ok(ready) => ready,
            Err(not_ready) => return self.not_ready(legs, not_ready),
        };
        let reports = self.reports();
        match Pipeline::start(&self.line, &ready, legs, Mode::Group, &reports) {
            Ok(pipeline) => {
                tracing::info!(stream = self.line.stream.name, generation = reports.generation, %legs, "pipeline started");
                self.meter.generation(reports.generation);
                self.meter.blocked(0);
                for leg in self.wanted.iter() {
                    LegMeter::new(&self.line.stream.name, leg).attached(legs.has(leg));
                }
                self.partitions.clear();
                self.problem = None;
                self.main = Some(pipeline);
                Ok(())
            }
            Err(error) => Err(self.gave_up(error.to_string())),
        }
    }

    fn not_ready(&mut self, legs: Legs, why: NotReady) -> Result<(), GaveUp> {
        let wait = match &why {
            NotReady::Fatal(why) => return Err(self.gave_up(why)),
            NotReady::Person(_) => {
                self.meter.blocked(self.partitions.len().max(1));
                ASK_PERSON
            }
            NotReady::Kafka(_) => ASK_AGAIN,
            NotReady::Leg { leg, .. } if !legs.without(*leg).is_empty() => {
                // The other leg begins; this one comes when its store does.
                self.detached.insert(*leg, Detached::waiting(BTreeMap::new()));
                Duration::ZERO
            }
            NotReady::Leg { .. } => ASK_AGAIN,
        };
        let words = why.to_string();
        if self.problem.as_ref() != Some(&words) {
            tracing::warn!(stream = self.line.stream.name, "not ready: {words}");
        }
        self.problem = Some(words);
        self.not_before = Instant::now() + wait;
        Ok(())
    }

    async fn shutdown(&mut self) {
        let until = Instant::now() + self.line.settings.pipeline.shutdown_deadline.saturating_sub(Duration::from_secs(2));
        let mut endings = Vec::new();
        for (_, detached) in std::mem::take(&mut self.detached) {
            endings.extend(detached.into_pipeline());
        }
        endings.extend(self.main.take());
        let drains = endings.into_iter().map(|p| {
            let legs = p.legs;
            p.drain(legs, until)
        });
        let clean = futures::future::join_all(drains).await.into_iter().all(|clean| clean);
        if clean {
            tracing::info!(stream = self.line.stream.name, "everything that was read is durable");
        } else {
            tracing::warn!(
                stream = self.line.stream.name,
                "the deadline came first; what was under way is read again at the next start"
            );
        }
        self.show();
    }

    /// Puts how actors and detached legs are where Prometheus reads it. A leg that catches up has rooms of the same names: the worse of two counts.
    fn show_actors(&self) {
        let now = chrono::Utc::now().timestamp_millis() as f64 / 1000.0;
        let mut actors: BTreeMap<&'static str, (f64, Option<u64>)> = BTreeMap::new();
        for pulse in self.running().flat_map(|pipeline| &pipeline.pulses) {
            let (at, waiting) = (now - pulse.silent().as_secs_f64(), pulse.waiting());
            let shown = actors.entry(pulse.read().0).or_insert((at, waiting));
            *shown = (shown.0.min(at), shown.1.max(waiting));
        }
        for (leg, detached) in &self.detached {
            detached.show_behind(&LegMeter::new(&self.line.stream.name, *leg), *leg, self.main.as_ref());
        }
        let rows: Vec<_> = actors.into_iter().map(|(actor, (at, waiting))| (actor, at, waiting)).collect();
        self.meter.actors(&rows);
    }

    /// Puts the state where others read it.
    fn show(&self) {
        let name = self.line.stream.name.clone();
        self.board.update(|state| {
            state.stream = name;
            state.generation = self.main.as_ref().map_or(0, |m| m.generation);
            state.legs = self.main.as_ref().map_or(Vec::new(), |m| m.legs.iter().map(Leg::as_str).collect());
            state.catching_up = self.detached.keys().map(|leg| leg.as_str()).collect();
            state.problem = self.problem.clone().or_else(|| self.detached.values().find_map(|d| d.problem.clone()));
            state.restarts = self.restarted;
            state.partitions.clear();
            state.blocked.clear();
            let Some(main) = &self.main else { return };
            let load = main.gate.load();
            state.in_flight = (load.rows, load.bytes);
            if main.progress.is_kafka_away() {
                state.problem.get_or_insert_with(|| "Kafka does not answer; the pipeline waits for it".to_owned());
            }
            state.blocked = main.progress.blocked_partitions();
            for (partition, p) in main.progress.partitions() {
                let durable = |leg: Leg| main.legs.has(leg).then(|| p.durable[leg as usize]);
                state.partitions.insert(
                    partition,
                    PartitionState {
                        low: p.watermarks.map(|(low, _)| low),
                        high: p.watermarks.map(|(_, high)| high),
                        bronze: durable(Leg::Bronze),
                        serving: durable(Leg::Serving),
                    },
                );
            }
            for (leg, detached) in &self.detached {
                for (partition, p) in detached.partitions() {
                    let Some(shown) = state.partitions.get_mut(&partition) else { continue };
                    match leg {
                        Leg::Bronze => shown.bronze = Some(p.durable[0]),
                        Leg::Serving => shown.serving = Some(p.durable[1]),
                    }
                }
            }
        });
    }
}

/// What kind of failure it is, in one word for metrics.
fn kind(cause: &Cause) -> &'static str {
    match cause {
        Cause::ChainBroken(_) => "chain_broken",
        Cause::Panicked => "panicked",
        Cause::Hung(_) => "hung",
        Cause::Stalled(_) => "stalled",
        Cause::TopicChanged(_) => "topic_changed",
        Cause::Failed(_) => "failed",
        Cause::Fatal(_) => "fatal",
    }
}
