//! `delta_writer`: rows become bronze, once.
//!
//! Encodes as batches come, cuts by age or bytes, and has at most one commit in flight while the next files fill. Files and the
//! offsets that they cover land in one version of the table, or not at all. Assumes spans that chain; a gap is a lost batch and
//! breaks the pipeline. When somebody else owns an offset, everything held is dropped (files mix partitions) and read again.

mod land;

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{BooleanArray, RecordBatch};
use deltalake::logstore::LogStoreRef;
use tributary_core::batch::{Columns, Status};
use tributary_core::span::{Admission, Broken, Chain, Frontier, Leg, Span};
use tributary_core::stream::Stream;

use self::land::{Cut, Ended};
use crate::gate::Ticket;
use crate::lake::delta_log::DeltaLog;
use crate::lake::encoder::{EncodeError, Encoder};
use crate::lake::upkeep::Upkeep;
use crate::messages::{Ack, Cause, Drain, EventBatch, Fence};
use crate::room::{MAILBOX, Pulse, Tombstone, keep_beating};
use crate::sink::Edges;
use crate::telemetry::{LegMeter, StreamMeter, TableMeter};

/// The name of this room.
pub const NAME: &str = "delta_writer";

/// What the writer is told at its birth.
#[derive(Clone)]
pub struct Config {
    /// Declaration.
    pub stream: Arc<Stream>,
    /// Topic, for application ids.
    pub topic: String,
    /// Which topic of that name.
    pub incarnation: i32,
    /// The table.
    pub store: LogStoreRef,
    /// Commit at the latest after this long.
    pub flush: Duration,
    /// Cut files at this size.
    pub file_bytes: usize,
    /// Wait below this much free space.
    pub min_free_bytes: u64,
}

/// Partitions that are taken away, with the epochs that end.
type Leaving = Arc<[(i32, u32)]>;

/// The room.
pub struct DeltaWriter {
    config: Config,
    edges: Edges,
    pulse: Pulse,
    meter: LegMeter,
    stream_meter: StreamMeter,
    table_meter: TableMeter,
    /// Away while a commit is in flight, and until the table is open.
    log: Option<DeltaLog>,
    upkeep: Option<Upkeep>,
    encoder: Encoder,
    chain: Chain,
    /// The chain has grown since the ledger was told of a commit.
    untold: bool,
    frontier: Frontier,
    held: Option<Ticket>,
    oldest: Option<Instant>,
    oldest_record_ms: Option<i64>,
    statuses: [u64; Status::ALL.len()],
    /// Who waits until nothing is held, and the partitions that go then.
    waiting: Vec<(Ack, Leaving)>,
    _tombstone: Tombstone,
}

impl DeltaWriter {
    /// For one pipeline.
    pub fn new(config: Config, edges: Edges, pulse: Pulse) -> Self {
        let meter = LegMeter::new(&config.stream.name, Leg::Bronze);
        let stream_meter = StreamMeter::new(&config.stream.name);
        let table_meter = TableMeter::new(&config.stream.bronze_table());
        let encoder = Encoder::new(Arc::clone(&config.stream));
        let _tombstone = edges.reports.tombstone(NAME);
        Self {
            config,
            edges,
            pulse,
            meter,
            stream_meter,
            table_meter,
            log: None,
            upkeep: None,
            encoder,
            chain: Chain::default(),
            untold: false,
            frontier: Frontier::new(Leg::Bronze),
            held: None,
            oldest: None,
            oldest_record_ms: None,
            statuses: [0; Status::ALL.len()],
            waiting: Vec::new(),
            _tombstone,
        }
    }

    /// Joins the batch's spans to the chain; returns what of it is new.
    fn join(&mut self, spans: &[Span]) -> Result<Vec<Span>, Broken> {
        let mut fresh = Vec::with_capacity(spans.len());
        for span in spans {
            let new = span.above_floor(Leg::Bronze);
            if self.frontier.admit(&new)? != Admission::Stale && !new.is_empty() {
                self.chain.join(new)?;
                self.untold = true;
                fresh.push(new);
            }
        }
        Ok(fresh)
    }

    fn take_rows(&mut self, batch: &EventBatch, fresh: &[Span]) -> Result<(), EncodeError> {
        let columns = Columns::of(self.config.stream.fields.len());
        match rows_of(&batch.batch.rows, columns, &batch.spans, fresh) {
            Part::All => {
                self.encoder.write(&batch.batch.rows)?;
                self.statuses.iter_mut().zip(batch.batch.statuses).for_each(|(sum, n)| *sum += n);
            }
            Part::Some(mask) => {
                let Ok(rows) = arrow_select::filter::filter_record_batch(&batch.batch.rows, &mask) else { return Ok(()) };
                for code in rows.column(columns.status).as_dictionary::<arrow_array::types::UInt8Type>().keys().values() {
                    if let Some(sum) = self.statuses.get_mut(usize::from(*code)) {
                        *sum += 1;
                    }
                }
                self.encoder.write(&rows)?;
            }
            Part::None => {}
        }
        Ok(())
    }

    fn charge(&mut self) {
        let bytes = self.encoder.bytes();
        match &self.held {
            Some(ticket) => ticket.resize(0, bytes),
            None => self.held = Some(self.edges.gate.charge(bytes)),
        }
    }

    /// Cuts when something waits for it, or age or size say so, and no commit is in flight.
    fn cut_if_due(&mut self, ctx: &mut Context<Self>) {
        if self.log.is_none() {
            return;
        }
        if self.encoder.rows() == 0 {
            // A range without records has no file to be tagged on: the next range extends over it. Until then nothing is owed.
            if std::mem::take(&mut self.untold) && !self.chain.is_empty() {
                self.edges.durable(NAME, Leg::Bronze, self.chain.spans().to_vec());
            }
            for (ack, leaving) in self.waiting.drain(..) {
                // Whoever reads a partition next begins at the table's offset, in front of such a range.
                for (partition, _) in leaving.iter() {
                    self.chain.forget(*partition);
                }
                ack.done(Leg::Bronze);
            }
            return;
        }
        let due = !self.waiting.is_empty()
            || self.oldest.is_some_and(|o| o.elapsed() >= self.config.flush)
            || self.encoder.file_bytes() >= self.config.file_bytes;
        if due {
            self.cut(ctx);
        }
    }

    fn cut(&mut self, ctx: &mut Context<Self>) {
        let Some(log) = self.log.take() else { return };
        let files = match self.encoder.finish() {
            Ok(files) => files,
            Err(error) => return self.edges.reports.trouble(NAME, Cause::Fatal(error.to_string())),
        };
        let ticket = self.held.take();
        if let Some(ticket) = &ticket {
            ticket.resize(0, files.iter().map(|f| f.bytes.len()).sum());
        }
        (self.oldest, self.untold) = (None, false);
        let cut = Cut {
            files,
            spans: self.chain.take(),
            statuses: std::mem::take(&mut self.statuses),
            oldest_record_ms: self.oldest_record_ms.take(),
            begun: Instant::now(),
            _ticket: ticket,
        };
        let landing = land::land(self.config.clone(), self.meter.clone(), log, cut);
        ctx.spawn(landing.into_actor(self).map(|(log, cut, ended), writer, ctx| writer.landed(log, cut, ended, ctx)));
    }

    fn landed(&mut self, log: DeltaLog, cut: Cut, ended: Ended, ctx: &mut Context<Self>) {
        self.log = Some(log);
        match ended {
            Ended::Done(version) => self.done(&cut, version),
            Ended::Foreign(found) => self.foreign(&cut, &found),
            Ended::Failed(why) => return self.edges.reports.trouble(NAME, Cause::Failed(why)),
            Ended::Fatal(why) => return self.edges.reports.trouble(NAME, Cause::Fatal(why)),
        }
        self.cut_if_due(ctx);
    }

    fn done(&mut self, cut: &Cut, version: u64) {
        let rows: u64 = cut.files.iter().map(|f| f.rows).sum();
        let bytes: u64 = cut.files.iter().map(|f| f.bytes.len() as u64).sum();
        let now_ms = chrono::Utc::now().timestamp_millis();
        let age = cut.oldest_record_ms.map(|oldest| (now_ms - oldest) as f64 / 1000.0);
        self.meter.committed(rows, cut.begun.elapsed().as_secs_f64(), age, now_ms as f64 / 1000.0);
        self.pulse.meter().gave(rows);
        self.table_meter.committed(version, cut.files.iter().map(|f| f.bytes.len() as u64));
        tracing::debug!(version, rows, bytes, took_us = cut.begun.elapsed().as_micros() as u64, "committed");
        for status in Status::ALL.into_iter().filter(|s| *s != Status::Ok) {
            let n = cut.statuses[status as usize];
            if n > 0 {
                self.stream_meter.rejected(status.as_str(), n);
            }
        }
        if let Some(upkeep) = &mut self.upkeep {
            upkeep.committed(version);
        }
        self.edges.durable(NAME, Leg::Bronze, cut.spans.clone());
    }

    /// The files mixed partitions: all of them, and what was held behind them, is dropped and read again from the table's offsets.
    fn foreign(&mut self, cut: &Cut, found: &[i32]) {
        self.meter.outcome("foreign");
        tracing::warn!(stream = self.config.stream.name, partitions = ?found, "another instance has moved these partitions; reading again from where it is");
        self.encoder.clear();
        (self.held, self.oldest, self.oldest_record_ms, self.statuses) = (None, None, None, [0; Status::ALL.len()]);
        let mut again: Vec<i32> = cut.spans.iter().map(|s| s.partition).collect();
        again.extend(self.chain.take().iter().map(|s| s.partition));
        again.sort_unstable();
        again.dedup();
        for partition in &again {
            self.frontier.give_up(*partition);
        }
        self.edges.reread(again);
    }
}

/// Which rows of a batch are new.
enum Part {
    All,
    Some(BooleanArray),
    None,
}

fn rows_of(rows: &RecordBatch, columns: Columns, all: &[Span], fresh: &[Span]) -> Part {
    if rows.num_rows() == 0 || fresh.is_empty() {
        return Part::None;
    }
    if fresh == all {
        return Part::All;
    }
    let partitions = rows.column(columns.kafka_partition).as_primitive::<Int32Type>().values();
    let offsets = rows.column(columns.kafka_offset).as_primitive::<Int64Type>().values();
    let is_new = |(partition, offset): (&i32, &i64)| {
        fresh.iter().any(|s| s.partition == *partition && s.from <= *offset && *offset < s.to)
    };
    let mask: BooleanArray = partitions.iter().zip(offsets).map(|row| Some(is_new(row))).collect();
    Part::Some(mask)
}

impl Actor for DeltaWriter {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        keep_beating(ctx, &self.pulse);
        let opening = DeltaLog::open(self.config.store.clone());
        ctx.wait(opening.into_actor(self).map(|opened, writer, _| match opened {
            Ok(log) => {
                let store = writer.config.store.clone();
                writer.upkeep = Some(Upkeep::new(store, writer.table_meter.clone(), log.version()));
                writer.log = Some(log);
            }
            Err(error) if error.is_permanent() => writer.edges.reports.trouble(NAME, Cause::Fatal(error.to_string())),
            Err(error) => writer.edges.reports.trouble(NAME, Cause::Failed(error.to_string())),
        }));
        let tick = (self.config.flush / 20).clamp(Duration::from_millis(5), Duration::from_millis(50));
        ctx.run_interval(tick, |writer, ctx| writer.cut_if_due(ctx));
    }
}

impl Handler<EventBatch> for DeltaWriter {
    type Result = ();

    fn handle(&mut self, batch: EventBatch, ctx: &mut Self::Context) {
        if batch.generation != self.edges.reports.generation {
            return;
        }
        let pulse = self.pulse.clone();
        let _busy = pulse.take(batch.batch.rows.num_rows());
        let fresh = match self.join(&batch.spans) {
            Ok(fresh) => fresh,
            Err(broken) => return self.edges.reports.trouble(NAME, Cause::ChainBroken(broken.to_string())),
        };
        if let Err(error) = self.take_rows(&batch, &fresh) {
            return self.edges.reports.trouble(NAME, Cause::Fatal(error.to_string()));
        }
        if self.encoder.rows() > 0 {
            self.oldest.get_or_insert_with(Instant::now);
            if let Some(oldest) = batch.oldest_record_ms {
                self.oldest_record_ms = Some(self.oldest_record_ms.map_or(oldest, |o| o.min(oldest)));
            }
        }
        drop(batch); // the rows' credit, as far as this leg goes
        self.charge();
        self.cut_if_due(ctx);
    }
}

impl Handler<Fence> for DeltaWriter {
    type Result = ();

    fn handle(&mut self, fence: Fence, ctx: &mut Self::Context) {
        self.waiting.push((fence.done, fence.partitions));
        self.cut_if_due(ctx);
    }
}

impl Handler<Drain> for DeltaWriter {
    type Result = ();

    fn handle(&mut self, drain: Drain, ctx: &mut Self::Context) {
        self.waiting.push((drain.done, Arc::default()));
        self.cut_if_due(ctx);
    }
}
