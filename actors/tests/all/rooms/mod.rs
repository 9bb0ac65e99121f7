//! Each room alone, between probes: what it takes, what it refuses, what it answers and when, and that credit comes back exactly.

mod aggregator;
mod consumer;
mod health;
mod ledger;
mod sink;
mod writer;
mod writer_setup;

use std::ops::Range;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tributary_actors::gate::{Gate, Load};
use tributary_actors::messages::EventBatch;
use tributary_core::batch::Batch;
use tributary_core::span::Span;

use crate::common::payments::{batch, stream};

/// Runs a test on an actix system of its own.
fn in_system(test: impl Future<Output = ()>) {
    actix::System::new().block_on(test);
}

/// A batch of generation 7 with every record of these spans.
fn full(gate: &Arc<Gate>, spans: &[Span]) -> EventBatch {
    let ranges: Vec<_> = spans.iter().map(|s| (s.partition, s.from..s.to)).collect();
    sparse(gate, spans, &ranges)
}

/// The same with the records of these ranges only.
fn sparse(gate: &Arc<Gate>, spans: &[Span], ranges: &[(i32, Range<i64>)]) -> EventBatch {
    let batch = batch(&stream(), ranges);
    let rows = batch.rows.num_rows();
    let ticket = gate.admit(gate.weight(rows), batch.rows.get_array_memory_size(), Duration::from_secs(10)).expect("credit");
    EventBatch { generation: 7, batch: Arc::new(batch), spans: spans.into(), oldest_record_ms: None, ticket: Arc::new(ticket) }
}

/// Watches a batch until it is gone: its rows may never be in memory without credit. Returns how often it looked.
fn watch_credit(gate: &Arc<Gate>, batch: &Arc<Batch>) -> std::thread::JoinHandle<Result<u64, Load>> {
    let (gate, rows): (_, Weak<Batch>) = (Arc::clone(gate), Arc::downgrade(batch));
    std::thread::spawn(move || {
        let mut looks = 0;
        loop {
            let load = gate.load();
            // The load was read first: if the rows are still there now, they were there then.
            if rows.strong_count() == 0 {
                return Ok(looks);
            }
            if load.rows == 0 {
                return Err(load);
            }
            looks += 1;
        }
    })
}
