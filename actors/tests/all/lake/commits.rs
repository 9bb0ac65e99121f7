//! Commits on real files: chains, races, strangers.

use std::sync::atomic::{AtomicBool, Ordering};

use arrow_schema::{DataType, Field, Schema};
use deltalake::kernel::transaction::TransactionError;
use deltalake::logstore::CommitOrBytes;
use object_store::path::Path;
use object_store::{ObjectStore, PutOptions, PutPayload, PutResult, Result};
use tributary_actors::lake::delta_log::{Commit, CommitError, DeltaLog, Kind, Move};
use tributary_actors::lake::fsync_store::FsyncStore;
use tributary_actors::lake::snapshot::Snapshot;
use tributary_actors::lake::table::redefine;
use uuid::Uuid;

use super::{app, commit};
use crate::common::intercepted::{Between, Intercepted};
use crate::common::lake::{Table, verify_chain, versions};
use crate::common::payments::stream;

#[tokio::test(flavor = "multi_thread")]
async fn commits_chain_and_a_new_head_sees_them() {
    let table = Table::new(&stream()).await;
    let mut log = DeltaLog::open(table.store.clone()).await.unwrap();
    for n in 0..10 {
        let commit = commit(&log, &[(0, n * 10, n * 10 + 10), (3, n, n + 1)]);
        assert_eq!(log.commit(&commit).await.unwrap(), 1 + n as u64);
    }
    let truth = verify_chain(&table.store).await;
    assert_eq!(truth, [(app(0), 100), (app(3), 10)].into());
    let again = DeltaLog::open(table.store.clone()).await.unwrap();
    assert_eq!((again.txns(), again.version()), (log.txns(), 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_begins_elsewhere_is_foreign_and_changes_nothing() {
    let table = Table::new(&stream()).await;
    let mut log = DeltaLog::open(table.store.clone()).await.unwrap();
    let first = commit(&log, &[(0, 0, 10), (1, 0, 10)]);
    log.commit(&first).await.unwrap();
    for (spans, foreign) in
        [([(0, 5, 20), (1, 10, 20)], vec![0]), ([(0, 10, 20), (1, 11, 20)], vec![1]), ([(0, 0, 20), (1, 0, 20)], vec![0, 1])]
    {
        let commit = commit(&log, &spans);
        match log.commit(&commit).await {
            Err(CommitError::Foreign(found)) => assert_eq!(found, foreign),
            other => panic!("{spans:?}: {other:?}"),
        }
    }
    assert_eq!(versions(&table.store).await, [0, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_of_different_partitions_all_land() {
    let table = Table::new(&stream()).await;
    let writers = (0..2).map(|partition| {
        let store = table.store.clone();
        tokio::spawn(async move {
            let mut log = DeltaLog::open(store).await.unwrap();
            for n in 0..60 {
                let commit = commit(&log, &[(partition, n, n + 1)]);
                log.commit(&commit).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!(verify_chain(&table.store).await, [(app(0), 60), (app(1), 60)].into());
    assert_eq!(versions(&table.store).await.len(), 121, "one version per commit, and the table's first");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_writers_of_one_partition_exactly_one_wins_each_span() {
    let table = Table::new(&stream()).await;
    let (mut a, mut b) = (DeltaLog::open(table.store.clone()).await.unwrap(), DeltaLog::open(table.store.clone()).await.unwrap());
    let mut wins = [0, 0];
    for n in 0..40 {
        let (ours, theirs) = (commit(&a, &[(0, n, n + 1)]), commit(&b, &[(0, n, n + 1)]));
        let outcomes = tokio::join!(a.commit(&ours), b.commit(&theirs));
        match outcomes {
            (Ok(_), Err(CommitError::Foreign(_))) => wins[0] += 1,
            (Err(CommitError::Foreign(_)), Ok(_)) => wins[1] += 1,
            other => panic!("span {n}: {other:?}"),
        }
        // The loser has read the winner's version; the winner has not read further than its own.
        assert_eq!((a.txn(&app(0)), b.txn(&app(0))), (Some(n + 1), Some(n + 1)));
    }
    assert_eq!(wins[0] + wins[1], 40);
    assert_eq!(verify_chain(&table.store).await, [(app(0), 40)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_head_never_commits_over_what_it_has_not_read() {
    let table = Table::new(&stream()).await;
    let mut stale = DeltaLog::open(table.store.clone()).await.unwrap();
    let first = commit(&stale, &[(0, 0, 5)]);
    let mut other = DeltaLog::open(table.store.clone()).await.unwrap();
    for n in 0..5 {
        let commit = commit(&other, &[(0, n, n + 1)]);
        other.commit(&commit).await.unwrap();
    }
    assert!(matches!(stale.commit(&first).await, Err(CommitError::Foreign(found)) if found == [0]));
    assert_eq!(verify_chain(&table.store).await, [(app(0), 5)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_head_commits_what_follows_on_what_it_has_not_read() {
    let table = Table::new(&stream()).await;
    let mut owner = DeltaLog::open(table.store.clone()).await.unwrap();
    let first = commit(&owner, &[(0, 0, 5)]);
    owner.commit(&first).await.unwrap();
    let mut heir = DeltaLog::open(table.store.clone()).await.unwrap();
    let last = commit(&owner, &[(0, 5, 9)]);
    owner.commit(&last).await.unwrap();
    // The partition changes hands: the heir asked the table where to begin, but its head is from before.
    let next = commit(&owner, &[(0, 9, 12)]);
    assert_eq!(heir.commit(&next).await.unwrap(), 3);
    assert_eq!(verify_chain(&table.store).await, [(app(0), 12)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_change_of_the_schema_is_told() {
    let table = Table::new(&stream()).await;
    let mut log = DeltaLog::open(table.store.clone()).await.unwrap();
    let first = table.store.read_commit_entry(0).await.unwrap().unwrap();
    let metadata = String::from_utf8(first.to_vec()).unwrap().lines().find(|l| l.contains("metaData")).unwrap().to_owned();
    let put = table.store.write_commit_entry(1, CommitOrBytes::LogBytes(metadata.into()), Uuid::new_v4()).await;
    put.unwrap();
    let commit = commit(&log, &[(0, 0, 5)]);
    assert!(matches!(log.commit(&commit).await, Err(CommitError::TableChanged(1))));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_commit_put_again_is_recognised_as_the_own() {
    let table = Table::new(&stream()).await;
    let mut log = DeltaLog::open(table.store.clone()).await.unwrap();
    let commit = commit(&log, &[(0, 0, 5)]);
    let version = log.commit(&commit).await.unwrap();
    // Whoever was killed after the put and tries again with the same id.
    let mut heir = DeltaLog::open(table.store.clone()).await.unwrap();
    assert_eq!(heir.commit(&commit).await.unwrap(), version);
    assert_eq!(versions(&table.store).await, [0, 1]);
    let taken = table.store.write_commit_entry(1, CommitOrBytes::LogBytes("{}".into()), Uuid::new_v4()).await;
    assert!(matches!(taken, Err(TransactionError::VersionAlreadyExists(1))), "{taken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_was_handed_over_is_not_foreign_to_a_head_that_is_behind() {
    let table = Table::new(&stream()).await;
    let (mut ours, mut theirs) =
        (DeltaLog::open(table.store.clone()).await.unwrap(), DeltaLog::open(table.store.clone()).await.unwrap());
    let first = commit(&ours, &[(0, 0, 10), (1, 0, 10)]);
    ours.commit(&first).await.unwrap();
    theirs.refresh().await.unwrap();
    for n in 1..4 {
        let commit = commit(&theirs, &[(0, n * 10, n * 10 + 10)]);
        theirs.commit(&commit).await.unwrap();
    }
    // Read from where the table is, by somebody whose head is not there yet.
    let next = commit(&ours, &[(0, 40, 50), (1, 10, 20)]);
    assert_eq!(ours.txn(&app(0)), Some(10));
    ours.commit(&next).await.unwrap();
    assert_eq!(verify_chain(&table.store).await, [(app(0), 50), (app(1), 20)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_with_a_gap_is_an_error_that_names_it() {
    let table = Table::new(&stream()).await;
    let mut log = DeltaLog::open(table.store.clone()).await.unwrap();
    for n in 0..3 {
        let next = commit(&log, &[(0, n, n + 1)]);
        log.commit(&next).await.unwrap();
    }
    std::fs::remove_file(table.root().join("_delta_log/00000000000000000002.json")).unwrap();
    let Err(error) = DeltaLog::open(table.store.clone()).await else { panic!("it was opened") };
    assert!(error.to_string().contains("version 2 is missing"), "{error}");
}

/// The answer to a put of a log entry is lost, once.
#[derive(Debug, Default)]
struct Forgetful(AtomicBool);

#[async_trait::async_trait]
impl Between for Forgetful {
    async fn put(&self, inner: &dyn ObjectStore, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let done = inner.put_opts(location, payload, opts).await?;
        if location.as_ref().ends_with(".json") && !self.0.swap(true, Ordering::Relaxed) {
            return Err(object_store::Error::Generic { store: "forgetful", source: "no answer".into() });
        }
        Ok(done)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_changes_the_columns_is_not_told_of_it_but_all_others_are() {
    let table = Table::new(&stream()).await;
    let mut other = DeltaLog::open(table.store.clone()).await.unwrap();
    let store = table.through(Intercepted::new(FsyncStore::new(), Forgetful::default()));
    let mut log = DeltaLog::open(store).await.unwrap();
    let snapshot = Snapshot::open(&table.store).await.unwrap();
    assert!(redefine(&snapshot, snapshot.schema(), true).unwrap().is_none(), "there is nothing to change");
    let kpi = Schema::new(vec![Field::new("page", DataType::Utf8, false), Field::new("purchases", DataType::Int64, false)]);
    let metadata = redefine(&snapshot, &kpi, false).unwrap();
    assert!(metadata.is_some());
    let moves = vec![Move { app: "gold/kpi@x@1".to_owned(), expected: None, next: 7 }];
    let rebuilt = Commit { metadata, moves, ..Commit::new("WRITE", Kind::Replace(None)) };
    assert_eq!(log.commit(&rebuilt).await.unwrap(), 1);
    let now = Snapshot::open(&table.store).await.unwrap();
    assert_eq!((now.by_date(), now.schema().fields().len(), now.id()), (false, 2, snapshot.id()));
    assert_eq!(now.metadata().configuration(), snapshot.metadata().configuration());
    assert_eq!(log.commit(&Commit::new("WRITE", Kind::Note)).await.unwrap(), 2);
    let theirs = commit(&other, &[(0, 0, 5)]);
    assert!(matches!(other.commit(&theirs).await, Err(CommitError::TableChanged(1))));
}
