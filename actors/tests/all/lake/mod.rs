//! The lake as users rely on it: commits that chain, whatever the store does; files that other engines read; nothing that a power cut
//! or a kill takes back.

mod checkpoints;
mod columns;
mod commits;
mod compactions;
mod encoder;
mod faults;
mod killed;
mod power;
mod readers;
mod snapshots;
mod vacuums;

use deltalake::kernel::Add;
use tributary_actors::lake::delta_log::{Commit, DeltaLog, Kind, Move};
use tributary_actors::lake::offsets::{SPANS_TAG, TaggedSpan, format_spans, ingest_app};
use uuid::Uuid;

/// The application id of a partition.
fn app(partition: i32) -> String {
    ingest_app("payments", 1, partition)
}

/// A commit of these spans, with one tagged file that nobody opens.
fn commit(log: &DeltaLog, spans: &[(i32, i64, i64)]) -> Commit {
    let moves = spans.iter().map(|(partition, from, to)| {
        let app = app(*partition);
        Move { expected: log.txn(&app).map(|_| *from), app, next: *to }
    });
    let tagged: Vec<TaggedSpan> = spans
        .iter()
        .map(|(partition, from, to)| TaggedSpan { partition: *partition, from: *from, to: *to, rows: (to - from).unsigned_abs() })
        .collect();
    let add = Add {
        path: format!("event_date=2026-01-01/{}.parquet", Uuid::new_v4()),
        partition_values: [("event_date".to_owned(), Some("2026-01-01".to_owned()))].into(),
        size: 1,
        modification_time: 1,
        data_change: true,
        tags: Some([(SPANS_TAG.to_owned(), Some(format_spans(1, &tagged)))].into()),
        ..Default::default()
    };
    Commit { adds: vec![add], moves: moves.collect(), ..Commit::new("TEST", Kind::Append) }
}
