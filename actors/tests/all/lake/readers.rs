//! Other programs read our tables back: after compaction, checkpoints, cleanup and vacuum they find the same rows, and the tags.
//!
//! By tests/readers/read.py (delta-rs, DuckDB, Polars) with the Python of `make setup-tests`, and by scripts/spark.sh (Apache Spark),
//! which downloads it: that one runs where TRIBUTARY_SPARK is set. Where a reader is missing, a line says SKIPPED.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tributary_actors::lake::compaction::{Choice, compact};
use tributary_actors::lake::delta_log::DeltaLog;
use tributary_actors::lake::offsets::next_offsets;
use tributary_actors::lake::snapshot::Snapshot;
use tributary_actors::lake::upkeep::{checkpoint, clean_log};
use tributary_actors::lake::vacuum::vacuum;

use crate::common::lake::{Table, rows};
use crate::common::payments::stream;
use crate::common::rewriter::{Rewriter, land};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The Python that `make setup-tests` makes.
fn python() -> Option<PathBuf> {
    let venv = std::env::var("TRIBUTARY_VENV").map_or_else(|_| repository().join(".venv"), PathBuf::from);
    Some(venv.join("bin/python")).filter(|python| python.exists())
}

/// A table that has been through everything: a checkpoint of the library's, ours, compaction, cleanup, vacuum, and commits since.
async fn lived() -> (Table, Vec<(i32, i64)>) {
    let table = Table::new(&stream()).await;
    let mut log = DeltaLog::open(table.store.clone()).await.unwrap();
    // Of partition 5 there is nothing but the beginning: its offset lives in checkpoints only, later on.
    land(&mut log, &stream(), &[(0, 0..10), (5, 7..19)]).await.unwrap();
    for n in 1..60_i64 {
        land(&mut log, &stream(), &[(0, n * 10..n * 10 + 10)]).await.unwrap();
        if n == 20 {
            let mut theirs = deltalake::DeltaTable::new(table.store.clone());
            theirs.load().await.unwrap();
            deltalake::protocol::checkpoints::create_checkpoint(&theirs, None).await.unwrap();
        }
        if n % 20 == 10 {
            checkpoint(&table.store, 1).await.unwrap().unwrap();
            let snapshot = Snapshot::open(&table.store).await.unwrap();
            let below = Some(next_offsets(snapshot.txns(), "ingest", "payments"));
            let choice = Choice { today: i32::MAX, target_bytes: 128 << 20, below };
            compact("bronze.payments", &table.store, &Rewriter::default(), &choice, || true).await.unwrap();
        }
    }
    let found = rows(&table.store).await;
    checkpoint(&table.store, 1).await.unwrap();
    land(&mut log, &stream(), &[(0, 600..610)]).await.unwrap();
    clean_log(&table.store, Duration::ZERO).await.unwrap();
    vacuum(&table.store, Duration::ZERO, false).await.unwrap();
    let expected = found.into_iter().chain((600..610).map(|offset| (0, offset)));
    let mut expected: Vec<_> = expected.collect();
    expected.sort_unstable();
    (table, expected)
}

fn run(command: &mut Command) -> Option<Value> {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(77) {
        println!("{errors}");
        return None;
    }
    assert!(output.status.success(), "{}\n{errors}", String::from_utf8_lossy(&output.stdout));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn expect(answers: &Value, rows: &[(i32, i64)]) {
    let sum = |of: fn(&(i32, i64)) -> i64| Value::from(rows.iter().map(of).sum::<i64>().to_string());
    assert_eq!(answers["rows"], Value::from(rows.len().to_string()), "{answers}");
    assert_eq!(answers["kafka_partition"], sum(|row| i64::from(row.0)), "{answers}");
    assert_eq!(answers["kafka_offset"], sum(|row| row.1), "{answers}");
}

#[tokio::test(flavor = "multi_thread")]
async fn delta_rs_duckdb_and_polars_find_the_same_rows_and_tags() {
    let Some(python) = python() else {
        println!("SKIPPED other readers: there is no Python environment; `make setup-tests` makes one");
        return;
    };
    let (table, expected) = lived().await;
    let mut command = Command::new(python);
    command.arg(repository().join("tests/readers/read.py")).arg(table.folder.path());
    let report = run(&mut command).unwrap();
    let report = &report["bronze.payments"];
    let readers = report["readers"].as_object().unwrap();
    assert_eq!(readers.len(), 3, "{report}");
    for answers in readers.values() {
        expect(answers, &expected);
    }
    assert_eq!(report["rows_by_tags"], expected.len(), "the tags are in the checkpoint");
    assert_eq!(report["version"], Snapshot::open(&table.store).await.unwrap().version());
}

#[tokio::test(flavor = "multi_thread")]
async fn apache_spark_finds_the_same_rows() {
    if std::env::var_os("TRIBUTARY_SPARK").is_none() {
        println!("SKIPPED Apache Spark: it is downloaded and run where TRIBUTARY_SPARK is set");
        return;
    }
    let (table, expected) = lived().await;
    let mut command = Command::new(repository().join("scripts/spark.sh"));
    let Some(report) = run(command.arg("read").arg(table.folder.path())) else { return };
    let report = &report["bronze.payments"];
    expect(&report["answers"], &expected);
    assert_eq!(report["version"], Snapshot::open(&table.store).await.unwrap().version());
}
