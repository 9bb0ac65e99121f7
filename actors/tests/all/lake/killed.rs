//! A process that commits without end, killed at any moment: after each round the table is whole.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tributary_actors::lake::delta_log::{Commit, DeltaLog, Kind};
use tributary_actors::lake::encoder::Encoder;
use tributary_actors::lake::{bronze, files, lake_url};

use super::{app, commit};
use crate::common::lake::{Table, rows, verify_chain, versions};
use crate::common::payments::{batch, stream};
use crate::common::probe::span;
use crate::common::{Dice, until};

const LAKE: &str = "TRIBUTARY_TEST_LAKE";

/// Not a test of its own: what the other one starts and kills.
#[tokio::test(flavor = "multi_thread")]
async fn the_process_that_is_killed() {
    let Ok(lake) = std::env::var(LAKE) else { return };
    let stream = stream();
    let store = bronze(&lake_url(&lake).unwrap(), &stream.name, []).unwrap();
    let mut log = DeltaLog::open(store.clone()).await.unwrap();
    loop {
        let ranges = [0, 1].map(|p| {
            let from = log.txn(&app(p)).unwrap_or(0);
            (p, from..from + 7)
        });
        let mut encoder = Encoder::new(Arc::clone(&stream));
        encoder.write(&batch(&stream, &ranges).rows).unwrap();
        let cut = encoder.finish().unwrap();
        let paths: Vec<String> = cut.iter().map(|f| files::new_path(f.date)).collect();
        files::put(&store, cut.iter().zip(&paths)).await.unwrap();
        let spans = ranges.map(|(p, range)| span(p, range.start, range.end, 0));
        let moves = commit(&log, &spans.map(|s| (s.partition, s.from, s.to))).moves;
        let adds = cut.iter().zip(&paths).map(|(file, path)| files::add(file, path, 1, &spans)).collect();
        log.commit(&Commit { adds, moves, ..Commit::new("TEST", Kind::Append) }).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_moment_leaves_a_whole_table() {
    let table = Table::new(&stream()).await;
    let (mut before, mut dice) = (0, Dice(7));
    for round in 0..20 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "lake::killed::the_process_that_is_killed"])
            .env(LAKE, table.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let log = table.root().join("_delta_log");
        until("the first commit of a round", || std::fs::read_dir(&log).unwrap().count() > before + 2).await;
        tokio::time::sleep(Duration::from_micros(dice.roll(20_000))).await;
        child.kill().unwrap();
        child.wait().unwrap();
        before = std::fs::read_dir(&log).unwrap().count();
        let at = verify_chain(&table.store).await;
        let expected: Vec<(i32, i64)> = [0, 1].into_iter().flat_map(|p| (0..at[&app(p)]).map(move |o| (p, o))).collect();
        assert_eq!(rows(&table.store).await, expected, "round {round}");
        let head = DeltaLog::open(table.store.clone()).await.unwrap();
        assert_eq!(head.txns().iter().map(|(a, n)| (a.clone(), *n)).collect::<BTreeMap<_, _>>(), at);
    }
    println!("{} versions", versions(&table.store).await.len());
}
