//! `window_aggregator`: rows become additive deltas per partition; nothing is kept.
//!
//! Drops what lies below the serving floor *before* folding, because a merged delta cannot be cut. Assumes batches in the order in
//! which the consumer sealed them. Promises one [`WindowBatch`] per batch, also when no row counts: offsets move all the same.

use std::sync::Arc;

use actix::{Actor, Context, Handler, Recipient};
use tributary_core::span::{Leg, Span};
use tributary_core::stream::Stream;
use tributary_core::window::Folder;

use crate::messages::{Cause, Drain, EventBatch, Fence, WindowBatch};
use crate::room::{MAILBOX, Pulse, Reports, Tombstone, keep_beating};

/// The name of this room.
pub const NAME: &str = "window_aggregator";

/// The room.
pub struct WindowAggregator {
    folder: Folder,
    sink: Recipient<WindowBatch>,
    fences: Recipient<Fence>,
    drains: Recipient<Drain>,
    sink_pulse: Pulse,
    reports: Reports,
    pulse: Pulse,
    _tombstone: Tombstone,
}

/// Where this room's mail goes.
pub struct Edges {
    /// Deltas.
    pub sink: Recipient<WindowBatch>,
    /// Fences, behind the deltas.
    pub fences: Recipient<Fence>,
    /// Drains, behind the deltas.
    pub drains: Recipient<Drain>,
    /// Told of what is put into the sink's mailbox.
    pub sink_pulse: Pulse,
}

impl WindowAggregator {
    /// For one pipeline.
    pub fn new(stream: Arc<Stream>, edges: Edges, reports: Reports, pulse: Pulse) -> Self {
        let _tombstone = reports.tombstone(NAME);
        let Edges { sink, fences, drains, sink_pulse } = edges;
        Self { folder: Folder::new(stream), sink, fences, drains, sink_pulse, reports, pulse, _tombstone }
    }
}

impl Actor for WindowAggregator {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        keep_beating(ctx, &self.pulse);
    }
}

impl Handler<EventBatch> for WindowAggregator {
    type Result = ();

    fn handle(&mut self, batch: EventBatch, _: &mut Self::Context) {
        if batch.generation != self.reports.generation {
            return;
        }
        let _busy = self.pulse.take(batch.batch.rows.num_rows());
        let spans: Vec<Span> = batch.spans.iter().map(|s| s.above_floor(Leg::Serving)).collect();
        let deltas = match self.folder.fold(&batch.batch.rows, &spans) {
            Ok(deltas) => deltas,
            Err(error) => return self.reports.trouble(NAME, Cause::Fatal(error.to_string())),
        };
        let folded = WindowBatch { generation: batch.generation, deltas, oldest_record_ms: batch.oldest_record_ms };
        drop(batch); // the rows' credit, as far as this leg goes
        self.pulse.meter().gave(folded.deltas.iter().map(|delta| delta.cells.len() as u64).sum());
        self.sink_pulse.posted();
        if self.sink.try_send(folded).is_err() {
            self.reports.trouble(NAME, Cause::ChainBroken("postgres_sink did not take a delta".to_owned()));
        }
    }
}

impl Handler<Fence> for WindowAggregator {
    type Result = ();

    fn handle(&mut self, fence: Fence, _: &mut Self::Context) {
        // A sink that is gone drops the answer's channel, which is an answer.
        let _ = self.fences.try_send(fence);
    }
}

impl Handler<Drain> for WindowAggregator {
    type Result = ();

    fn handle(&mut self, drain: Drain, _: &mut Self::Context) {
        let _ = self.drains.try_send(drain);
    }
}
