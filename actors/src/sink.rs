//! What `delta_writer` and `postgres_sink` are both wired to, and what both say to it: how far they are, what to read again, and that
//! a chain is broken.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use actix::Recipient;
use tributary_core::span::{Leg, Span};

use crate::gate::Gate;
use crate::kafka_consumer::Control;
use crate::messages::{Cause, Durable};
use crate::room::Reports;

/// A sink's place in its pipeline.
#[derive(Debug, Clone)]
pub struct Edges {
    /// Charged for what a sink holds.
    pub gate: Arc<Gate>,
    /// Hears what is durable.
    pub ledger: Recipient<Durable>,
    /// Reads again what somebody else has moved.
    pub consumer: Sender<Control>,
    /// To the supervisor.
    pub reports: Reports,
}

impl Edges {
    /// Every record of these spans is durable in the leg's store.
    pub fn durable(&self, room: &'static str, leg: Leg, spans: Vec<Span>) {
        let durable = Durable { generation: self.reports.generation, leg, spans };
        if self.ledger.try_send(durable).is_err() {
            self.reports.trouble(room, Cause::ChainBroken("offset_ledger did not take a report".to_owned()));
        }
    }

    /// These partitions are to be read again from the store's own offsets.
    pub fn reread(&self, partitions: Vec<i32>) {
        // A consumer that is gone has told the supervisor: the next pipeline begins at the store's offsets anyway.
        let _ = self.consumer.send(Control::Reread(partitions));
    }
}
