//! `postgres_sink`: deltas become window rows, once.
//!
//! Keeps one delta per partition and merges all of them every so often in one transaction that also moves the offsets. While a merge
//! is in flight, or PostgreSQL is away, later deltas add up: what is held grows with windows and keys, not with events. A partition
//! that somebody else has moved is forgotten and read again; the others are not touched.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};
use sqlx::PgConnection;
use tributary_core::span::{Admission, Broken, Frontier, Leg, Span};
use tributary_core::stream::{Measure, Stream};
use tributary_core::window::PartitionDelta;

use crate::gate::Ticket;
use crate::messages::{Ack, Cause, Drain, Fence, WindowBatch};
use crate::room::{MAILBOX, Pulse, Tombstone, keep_beating};
use crate::serving::merge::{Merged, Target};
use crate::serving::{ServingError, connect};
use crate::sink::Edges;
use crate::telemetry::{self, LegMeter, StreamMeter};

/// The name of this room.
pub const NAME: &str = "postgres_sink";

/// Memory that one held cell is charged with: key, group texts, amount, hash table.
const CELL_BYTES: usize = 160;
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(2);
const LOG_EVERY: Duration = Duration::from_secs(10);

/// What the sink is told at its birth.
#[derive(Clone)]
pub struct Config {
    /// Declaration.
    pub stream: Arc<Stream>,
    /// Which topic of that name.
    pub incarnation: i32,
    /// Where PostgreSQL is.
    pub database_url: String,
    /// How often deltas are merged.
    pub merge: Duration,
}

/// The room.
pub struct PostgresSink {
    config: Config,
    target: Arc<Target>,
    edges: Edges,
    pulse: Pulse,
    meter: LegMeter,
    stream_meter: StreamMeter,
    connection: Option<PgConnection>,
    held: BTreeMap<i32, PartitionDelta>,
    oldest_record_ms: Option<i64>,
    ticket: Option<Ticket>,
    frontier: Frontier,
    in_flight: bool,
    waiting: Vec<Ack>,
    _tombstone: Tombstone,
}

impl PostgresSink {
    /// For one pipeline.
    pub fn new(config: Config, edges: Edges, pulse: Pulse) -> Self {
        let target = Arc::new(Target::new(Arc::clone(&config.stream), config.incarnation));
        let meter = LegMeter::new(&config.stream.name, Leg::Serving);
        let stream_meter = StreamMeter::new(&config.stream.name);
        let _tombstone = edges.reports.tombstone(NAME);
        Self {
            config,
            target,
            edges,
            pulse,
            meter,
            stream_meter,
            connection: None,
            held: BTreeMap::new(),
            oldest_record_ms: None,
            ticket: None,
            frontier: Frontier::new(Leg::Serving),
            in_flight: false,
            waiting: Vec::new(),
            _tombstone,
        }
    }

    /// Adds a delta to what is held of its partition.
    fn hold(&mut self, delta: PartitionDelta) -> Result<(), Broken> {
        let span = delta.span;
        match self.frontier.admit(&span)? {
            Admission::Stale => return Ok(()),
            // A new assignment reads again from the store's own offset: what is held from before would count twice.
            Admission::First => drop(self.held.remove(&span.partition)),
            Admission::Next => {}
        }
        if span.is_empty() {
            return Ok(());
        }
        match self.held.get_mut(&span.partition) {
            Some(held) => held.absorb(delta)?,
            None => {
                self.held.insert(span.partition, delta);
            }
        }
        Ok(())
    }

    fn charge(&mut self) {
        let bytes = self.held.values().map(|d| d.cells.len() * CELL_BYTES).sum();
        match &self.ticket {
            Some(ticket) => ticket.resize(0, bytes),
            None => self.ticket = Some(self.edges.gate.charge(bytes)),
        }
    }

    fn merge(&mut self, ctx: &mut Context<Self>) {
        if self.in_flight {
            return;
        }
        if self.held.is_empty() {
            self.waiting.drain(..).for_each(|ack| ack.done(Leg::Serving));
            return;
        }
        self.in_flight = true;
        let merge = Merge {
            deltas: std::mem::take(&mut self.held).into_values().collect(),
            oldest_record_ms: self.oldest_record_ms.take(),
            begun: Instant::now(),
            _ticket: self.ticket.take(),
        };
        let work = run(self.config.clone(), Arc::clone(&self.target), self.meter.clone(), self.connection.take(), merge);
        ctx.spawn(work.into_actor(self).map(|(connection, merge, ended), sink, ctx| sink.merged(connection, &merge, ended, ctx)));
    }

    fn merged(
        &mut self,
        connection: Option<PgConnection>,
        merge: &Merge,
        ended: Result<Merged, ServingError>,
        ctx: &mut Context<Self>,
    ) {
        self.in_flight = false;
        self.connection = connection;
        let merged = match ended {
            Ok(merged) => merged,
            Err(error) => return self.edges.reports.trouble(NAME, Cause::Fatal(error.to_string())),
        };
        if !merged.foreign.is_empty() {
            self.foreign(&merged.foreign);
        }
        if !merged.done.is_empty() {
            self.stream_meter.windows(merged.rows);
            self.pulse.meter().gave(merged.rows);
            self.done(merge, merged.done);
        }
        if !self.waiting.is_empty() {
            self.merge(ctx);
        }
    }

    fn done(&mut self, merge: &Merge, spans: Vec<Span>) {
        let now_ms = chrono::Utc::now().timestamp_millis();
        let records = spans.iter().map(|s| (s.to - s.from).unsigned_abs()).sum();
        let age = merge.oldest_record_ms.map(|oldest| (now_ms - oldest) as f64 / 1000.0);
        self.meter.committed(records, merge.begun.elapsed().as_secs_f64(), age, now_ms as f64 / 1000.0);
        if let Some(newest) = merge.deltas.iter().filter_map(|d| d.newest_event_ms).max() {
            self.stream_meter.newest_event(newest);
        }
        self.count(merge, &spans);
        self.edges.durable(NAME, Leg::Serving, spans);
    }

    /// Counts the events of these spans by the tables that count them, also where that is none.
    fn count(&self, merge: &Merge, spans: &[Span]) {
        for (index, window) in
            self.config.stream.windows.iter().enumerate().filter(|(_, w)| matches!(w.measure, Measure::Count { .. }))
        {
            let landed = merge.deltas.iter().filter(|delta| spans.contains(&delta.span)).flat_map(|delta| &delta.cells);
            let events: i128 = landed.filter(|(key, _)| usize::from(key.window) == index).map(|(_, amount)| amount).sum();
            self.stream_meter.window_events(&window.table, u64::try_from(events).unwrap_or(0));
        }
    }

    fn foreign(&mut self, found: &[(Span, i64)]) {
        self.meter.outcome("foreign");
        tracing::warn!(stream = self.config.stream.name, partitions = ?found, "another instance has moved these partitions; reading again from where it is");
        let again: Vec<i32> = found.iter().map(|(span, _)| span.partition).collect();
        for partition in &again {
            self.held.remove(partition);
            self.frontier.give_up(*partition);
        }
        self.edges.reread(again);
    }
}

/// Deltas on their way.
struct Merge {
    deltas: Vec<PartitionDelta>,
    oldest_record_ms: Option<i64>,
    begun: Instant,
    _ticket: Option<Ticket>,
}

/// Merges until every delta is known to be in, or known to be somebody else's. Ends with an error only when no retry mends it.
async fn run(
    config: Config,
    target: Arc<Target>,
    meter: LegMeter,
    mut connection: Option<PgConnection>,
    merge: Merge,
) -> (Option<PgConnection>, Merge, Result<Merged, ServingError>) {
    let mut ended = Merged::default();
    let mut open: Vec<PartitionDelta> = merge.deltas.clone();
    let mut unsure = false;
    let mut wait = FIRST_WAIT;
    let mut logged: Option<Instant> = None;
    loop {
        let error = match attempt(&config, &target, &meter, &mut connection, &mut open, &mut ended, &mut unsure).await {
            Ok(()) => return (connection, merge, Ok(ended)),
            Err(error) if error.is_permanent() => return (None, merge, Err(error)),
            Err(error) => error,
        };
        // Whatever went wrong, this session's state is unknown: a new one asks what landed.
        connection = None;
        meter.retried();
        if logged.is_none_or(|at| at.elapsed() > LOG_EVERY) {
            logged = Some(Instant::now());
            tracing::warn!(%error, "the windows cannot be written; trying again until they can");
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

async fn attempt(
    config: &Config,
    target: &Target,
    meter: &LegMeter,
    connection: &mut Option<PgConnection>,
    open: &mut Vec<PartitionDelta>,
    ended: &mut Merged,
    unsure: &mut bool,
) -> Result<(), ServingError> {
    if connection.is_none() {
        *connection = Some(connect(&config.database_url).await?);
    }
    let Some(session) = connection else { return Ok(()) };
    if *unsure {
        let resolved = target.resolve(session, open).await?;
        *unsure = false;
        if !resolved.landed.is_empty() {
            meter.outcome("landed");
        }
        if !resolved.again.is_empty() {
            meter.outcome("repeated");
        }
        open.retain(|d| resolved.again.iter().any(|s| s.partition == d.span.partition));
        ended.done.extend(resolved.landed);
        ended.foreign.extend(resolved.foreign);
    }
    if open.is_empty() {
        return Ok(());
    }
    *unsure = true;
    let begun = Instant::now();
    let merged = target.merge(session, open).await?;
    telemetry::transaction("merge", begun.elapsed().as_secs_f64());
    *unsure = false;
    ended.rows += merged.rows;
    ended.done.extend(merged.done);
    ended.foreign.extend(merged.foreign);
    Ok(())
}

impl Actor for PostgresSink {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        keep_beating(ctx, &self.pulse);
        ctx.run_interval(self.config.merge, |sink, ctx| sink.merge(ctx));
    }
}

impl Handler<WindowBatch> for PostgresSink {
    type Result = ();

    fn handle(&mut self, batch: WindowBatch, _: &mut Self::Context) {
        if batch.generation != self.edges.reports.generation {
            return;
        }
        let pulse = self.pulse.clone();
        let _busy = pulse.take(batch.deltas.iter().map(|delta| delta.cells.len()).sum());
        for delta in batch.deltas {
            if let Err(broken) = self.hold(delta) {
                return self.edges.reports.trouble(NAME, Cause::ChainBroken(broken.to_string()));
            }
        }
        if let Some(oldest) = batch.oldest_record_ms {
            self.oldest_record_ms = Some(self.oldest_record_ms.map_or(oldest, |o| o.min(oldest)));
        }
        self.charge();
    }
}

impl Handler<Fence> for PostgresSink {
    type Result = ();

    fn handle(&mut self, fence: Fence, ctx: &mut Self::Context) {
        self.waiting.push(fence.done);
        self.merge(ctx);
    }
}

impl Handler<Drain> for PostgresSink {
    type Result = ();

    fn handle(&mut self, drain: Drain, ctx: &mut Self::Context) {
        self.waiting.push(drain.done);
        self.merge(ctx);
    }
}
