//! A `delta_writer` between a real table and probes.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr};
use deltalake::logstore::LogStoreRef;
use tributary_actors::delta_writer::{Config, DeltaWriter};
use tributary_actors::gate::{Gate, Load};
use tributary_actors::lake::delta_log::DeltaLog;
use tributary_actors::messages::{Ack, Drain, Durable, EventBatch, Fence};
use tributary_actors::room::Pulse;
use tributary_actors::sink::Edges;
use tributary_core::span::Leg;

use crate::common::lake::Table;
use crate::common::payments::{TOPIC, stream};
use crate::common::probe::{Ears, Kept, Probe, answer, ears};

pub(crate) struct Writer {
    pub(crate) table: Table,
    pub(crate) gate: Arc<Gate>,
    pub(crate) addr: Addr<DeltaWriter>,
    pub(crate) durable: Kept<Durable>,
    pub(crate) ears: Ears,
}

/// Longer than any test: nothing is committed before it is asked for.
pub(crate) const NEVER: Duration = Duration::from_secs(3600);

impl Writer {
    pub(crate) async fn open(flush: Duration) -> Self {
        let table = Table::beside(&stream()).await;
        let store = table.store.clone();
        Self::over(table, store, flush).await
    }

    pub(crate) async fn over(table: Table, store: LogStoreRef, flush: Duration) -> Self {
        let (probe, durable) = Probe::<Durable>::open();
        Self::reporting_to(table, store, flush, probe.recipient(), durable)
    }

    pub(crate) fn reporting_to(
        table: Table,
        store: LogStoreRef,
        flush: Duration,
        ledger: actix::Recipient<Durable>,
        durable: Kept<Durable>,
    ) -> Self {
        let gate = Gate::new(100_000, 1 << 30);
        let (reports, consumer, ears) = ears();
        let edges = Edges { gate: Arc::clone(&gate), ledger, consumer, reports };
        let config = Config {
            stream: stream(),
            topic: TOPIC.to_owned(),
            incarnation: 1,
            store,
            flush,
            file_bytes: 64 << 20,
            min_free_bytes: 0,
        };
        let addr = DeltaWriter::new(config, edges, Pulse::new("user_events", "delta_writer")).start();
        Self { table, gate, addr, durable, ears }
    }

    pub(crate) fn send(&self, batch: EventBatch) {
        self.addr.try_send(batch).unwrap();
    }

    /// Waits until everything sent so far is durable or forgotten.
    pub(crate) async fn drain(&self) {
        let (done, answers) = Ack::channel();
        self.addr.try_send(Drain { done }).unwrap();
        assert_eq!(answer(&answers).await, Leg::Bronze);
    }

    pub(crate) fn fence(&self, partitions: &[(i32, u32)]) -> std::sync::mpsc::Receiver<Leg> {
        let (done, answers) = Ack::channel();
        self.addr.try_send(Fence { partitions: partitions.into(), done }).unwrap();
        answers
    }

    /// Another instance's head of the same table.
    pub(crate) async fn stranger(&self) -> DeltaLog {
        DeltaLog::open(self.table.store.clone()).await.unwrap()
    }

    /// Asserts that all credit came back.
    pub(crate) async fn empty(&self) {
        crate::common::until("credit comes back", || self.gate.load() == Load::default()).await;
    }
}
