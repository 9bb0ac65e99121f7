//! `offset_ledger`: what each leg has made durable, how far that is behind Kafka, and which leg stalls.
//!
//! Writes Kafka's group offsets last, for other people's lag dashboards; they are never read for position. Reports a leg that owes
//! something and has made nothing durable for too long; what follows from that is the supervisor's to decide.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use actix::{Actor, AsyncContext, Context, Handler};
use tributary_core::span::{Leg, Legs};

use crate::gate::{Gate, Load};
use crate::kafka_consumer::Control;
use crate::messages::{Cause, Drain, Durable};
use crate::progress::{Partition, Progress};
use crate::room::{MAILBOX, Pulse, Reports, Tombstone};
use crate::telemetry::{LegMeter, PartitionPosition, StreamMeter};

/// The name of this room.
pub const NAME: &str = "offset_ledger";

const TICK: Duration = Duration::from_millis(250);
const COMMIT: Duration = Duration::from_secs(2);
/// With the gate shut, a leg that stalls holds up the other: patience is shorter then.
const SHUT_PATIENCE: Duration = Duration::from_secs(5);

/// What the ledger is told at its birth.
pub struct Config {
    /// Stream, for labels.
    pub stream: String,
    /// Legs of the pipeline.
    pub legs: Legs,
    /// A leg may owe for this long.
    pub stall_after: Duration,
    /// Whether offsets go to Kafka's group: the main pipeline's do.
    pub commits_to_group: bool,
}

/// The room.
pub struct OffsetLedger {
    config: Config,
    progress: Progress,
    gate: Arc<Gate>,
    consumer: Sender<Control>,
    reports: Reports,
    pulse: Pulse,
    meter: StreamMeter,
    legs: Vec<(Leg, LegMeter)>,
    committed: BTreeMap<i32, i64>,
    committed_at: Instant,
    /// Since when the gate has been more than nine tenths full.
    full_since: Option<Instant>,
    /// Whether there was ever a partition.
    has_read: bool,
    _tombstone: Tombstone,
}

impl OffsetLedger {
    /// For one pipeline.
    pub fn new(
        config: Config,
        progress: Progress,
        gate: Arc<Gate>,
        consumer: Sender<Control>,
        reports: Reports,
        pulse: Pulse,
    ) -> Self {
        let meter = StreamMeter::new(&config.stream);
        let legs = config.legs.iter().map(|leg| (leg, LegMeter::new(&config.stream, leg))).collect();
        let _tombstone = reports.tombstone(NAME);
        Self {
            config,
            progress,
            gate,
            consumer,
            reports,
            pulse,
            meter,
            legs,
            committed: BTreeMap::new(),
            committed_at: Instant::now(),
            full_since: None,
            has_read: false,
            _tombstone,
        }
    }

    fn tick(&mut self) {
        let _busy = self.pulse.busy();
        let load = self.gate.load();
        let limit = self.gate.limit();
        if self.config.commits_to_group {
            self.meter.gate((load.rows, load.bytes), (limit.rows, limit.bytes));
        }
        self.show();
        self.watch_for_stalls(load);
        if self.committed_at.elapsed() >= COMMIT {
            self.commit();
        }
    }

    /// Puts where the partitions are where Prometheus reads it. Before the first one is read, whoever read them last is right.
    fn show(&mut self) {
        let partitions = self.progress.partitions();
        self.has_read |= !partitions.is_empty();
        if !self.has_read {
            return;
        }
        if self.config.commits_to_group {
            self.meter.high_watermarks(partitions.iter().filter_map(|(partition, p)| Some((*partition, p.watermarks?.1))));
        }
        for (leg, meter) in &self.legs {
            let position = |(partition, p): (&i32, &Partition)| {
                let next = p.durable[*leg as usize];
                PartitionPosition {
                    partition: *partition,
                    next,
                    lag: p.watermarks.map(|(_, high)| high - next),
                    since_ms: p.since_ms[*leg as usize],
                }
            };
            meter.positions(&partitions.iter().map(position).collect::<Vec<_>>());
        }
    }

    fn watch_for_stalls(&mut self, load: Load) {
        let limit = self.gate.limit();
        let full = load.rows * 10 > limit.rows * 9 || load.bytes * 10 > limit.bytes * 9;
        if full {
            self.full_since.get_or_insert_with(Instant::now);
        } else {
            self.full_since = None;
        }
        let shut = self.full_since.is_some_and(|since| since.elapsed() > SHUT_PATIENCE);
        let patience = if shut { SHUT_PATIENCE.min(self.config.stall_after) } else { self.config.stall_after };
        for (leg, _) in &self.legs {
            if self.progress.stalled_since(*leg).is_some_and(|since| since.elapsed() > patience) {
                self.reports.trouble(NAME, Cause::Stalled(*leg));
            }
        }
    }

    fn commit(&mut self) {
        self.committed_at = Instant::now();
        if !self.config.commits_to_group {
            return;
        }
        let offsets: BTreeMap<i32, i64> = self
            .progress
            .partitions()
            .into_iter()
            .filter_map(|(partition, p)| Some((partition, self.config.legs.iter().map(|leg| p.durable[leg as usize]).min()?)))
            .collect();
        let moved: Vec<(i32, i64)> =
            offsets.iter().filter(|(p, next)| self.committed.get(*p) != Some(*next)).map(|(p, next)| (*p, *next)).collect();
        if !moved.is_empty() {
            let _ = self.consumer.send(Control::Commit(moved));
        }
        self.committed = offsets;
    }
}

impl Drop for OffsetLedger {
    fn drop(&mut self) {
        if !self.has_read {
            return;
        }
        // Nobody reads them any more, as far as this pipeline knows; the next one says where it is.
        if self.config.commits_to_group {
            self.meter.high_watermarks([]);
            self.meter.gate_gone();
        }
        self.legs.iter().for_each(|(_, meter)| meter.positions(&[]));
    }
}

impl Actor for OffsetLedger {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(2 * MAILBOX);
        ctx.run_interval(TICK, |ledger, _| ledger.tick());
    }
}

impl Handler<Durable> for OffsetLedger {
    type Result = ();

    fn handle(&mut self, durable: Durable, _: &mut Self::Context) {
        if durable.generation == self.reports.generation {
            self.progress.durable(durable.leg, &durable.spans);
        }
    }
}

impl Handler<Drain> for OffsetLedger {
    type Result = ();

    fn handle(&mut self, drain: Drain, _: &mut Self::Context) {
        self.tick();
        self.commit();
        drain.done.done(Leg::Bronze);
    }
}
