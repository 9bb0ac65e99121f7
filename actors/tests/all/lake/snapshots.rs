//! One version of a table, in memory: what the log says, whatever happens to the log beside it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use deltalake::logstore::CommitOrBytes;
use deltalake::protocol::checkpoints::create_checkpoint;
use deltalake::{DeltaTable, DeltaTableError};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{GetOptions, GetResult, ObjectStore, PutOptions, PutPayload, PutResult, Result};
use tributary_actors::lake::LakeError;
use tributary_actors::lake::changes::changes;
use tributary_actors::lake::delta_log::{Commit, DeltaLog, Kind};
use tributary_actors::lake::files::remove;
use tributary_actors::lake::fsync_store::FsyncStore;
use tributary_actors::lake::history::history;
use tributary_actors::lake::snapshot::Snapshot;
use tributary_actors::lake::upkeep::{checkpoint, clean_log};
use tributary_core::table::parse_date;
use uuid::Uuid;

use super::{app, commit};
use crate::common::intercepted::{Between, Intercepted};
use crate::common::lake::{Table, files};
use crate::common::payments::stream;
use crate::common::rewriter::land;

/// A bronze table of so many commits of ten records, each over one or two days.
async fn filled(commits: i64) -> (Table, DeltaLog) {
    let table = Table::new(&stream()).await;
    let mut log = DeltaLog::open(table.store.clone()).await.unwrap();
    for n in 0..commits {
        land(&mut log, &stream(), &[(0, n * 10..n * 10 + 10)]).await.unwrap();
    }
    (table, log)
}

fn forget(table: &Table, versions: std::ops::Range<u64>) {
    for version in versions {
        std::fs::remove_file(table.root().join(format!("_delta_log/{version:020}.json"))).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_says_what_the_log_says() {
    let (table, log) = filled(12).await;
    let snapshot = Snapshot::open(&table.store).await.unwrap();
    assert_eq!((snapshot.version(), snapshot.txns()), (12, log.txns()));
    let adds: BTreeMap<String, _> = files(&table.store).await.into_iter().map(|add| (add.path.clone(), add)).collect();
    let pinned = snapshot.pinned("bronze.payments");
    assert_eq!(pinned.files.len(), adds.len());
    for file in &pinned.files {
        let add = &adds[&file.path];
        assert_eq!((file.size, file.modified_ms), (add.size as u64, add.modification_time));
        assert_eq!(file.date, parse_date(add.partition_values["event_date"].as_ref().unwrap()));
        assert_eq!(file.stats, add.stats);
        assert_eq!(file.tags["tributary.spans"], *add.tags.as_ref().unwrap()["tributary.spans"].as_ref().unwrap());
    }
    assert_eq!((pinned.rows(), pinned.by_date, pinned.days()), (120, true, vec![20_454, 20_455]));
    let names: Vec<&str> = pinned.schema.fields().iter().map(|f| f.name().as_str()).collect();
    assert_eq!(names[..6], ["payment_id", "payment_kind", "shop", "amount", "paid_at", "ingestion_timestamp"]);
    assert_eq!(pinned.schema.field_with_name("paid_at").unwrap().data_type().to_string(), "Timestamp(µs, \"UTC\")");
    assert_eq!(pinned.schema.field_with_name("event_date").unwrap().data_type().to_string(), "Date32");
    let first = table.store.read_commit_entry(0).await.unwrap().unwrap();
    assert!(String::from_utf8(first.to_vec()).unwrap().contains(&pinned.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_is_read_as_it_was_for_as_long_as_the_log_has_it() {
    let table = Table::new(&stream()).await;
    let mut log = DeltaLog::open(table.store.clone()).await.unwrap();
    let mut was: Vec<Vec<String>> = vec![Vec::new()];
    for n in 0..30_i64 {
        let mut next = commit(&log, &[(0, n, n + 1)]);
        let mut alive = was[n as usize].clone();
        if n % 3 == 2 {
            let snapshot = Snapshot::open(&table.store).await.unwrap();
            next.removes.push(remove(&snapshot.files()[&alive.remove(0)], true));
        }
        alive.push(next.adds[0].path.clone());
        was.push(alive);
        log.commit(&next).await.unwrap();
        if n == 9 || n == 19 {
            checkpoint(&table.store, 1).await.unwrap().unwrap();
        }
    }
    let as_it_was = async |version: usize| {
        let snapshot = Snapshot::at(&table.store, version as u64).await.unwrap();
        let mut expected = was[version].clone();
        expected.sort();
        assert_eq!(snapshot.files().keys().cloned().collect::<Vec<_>>(), expected, "version {version}");
        assert_eq!(snapshot.version(), version as u64);
    };
    for version in 0..=30 {
        as_it_was(version).await;
    }
    forget(&table, 0..15);
    for version in [10, 20, 21, 30] {
        as_it_was(version).await;
    }
    for (version, words) in [(3, "versions 10 to 30"), (31, "versions 10 to 30")] {
        match Snapshot::at(&table.store, version).await {
            Err(error @ LakeError::Refused { .. }) => assert!(error.to_string().contains(words), "{error}"),
            other => panic!("{version}: {other:?}"),
        }
    }
    match Snapshot::at(&table.store, 12).await {
        Err(error) => assert!(error.to_string().contains("version 11 is missing"), "{error}"),
        Ok(_) => panic!("a version that is gone was read"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_follows_the_log_also_over_what_was_cleaned_away_behind_a_checkpoint() {
    let (table, mut log) = filled(5).await;
    let mut snapshot = Snapshot::open(&table.store).await.unwrap();
    assert!(!snapshot.refresh().await.unwrap());
    land(&mut log, &stream(), &[(0, 50..60)]).await.unwrap();
    assert!(snapshot.refresh().await.unwrap());
    let same = |a: &Snapshot, b: &Snapshot| {
        assert_eq!((a.version(), a.files(), a.txns()), (b.version(), b.files(), b.txns()));
    };
    same(&snapshot, &Snapshot::open(&table.store).await.unwrap());
    for n in 6..10 {
        land(&mut log, &stream(), &[(0, n * 10..n * 10 + 10)]).await.unwrap();
    }
    checkpoint(&table.store, 1).await.unwrap().unwrap();
    forget(&table, 0..11);
    assert!(snapshot.refresh().await.unwrap());
    same(&snapshot, &Snapshot::open(&table.store).await.unwrap());
    assert_eq!(snapshot.version(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_in_the_place_of_another_is_seen_for_what_it_is() {
    let (table, _) = filled(3).await;
    let mut snapshot = Snapshot::open(&table.store).await.unwrap();
    assert!(snapshot.is_newest().await.unwrap());
    let (before, _log) = filled(5).await;
    // Its log is longer: what follows is not what follows on ours.
    std::fs::remove_dir_all(table.root()).unwrap();
    std::fs::rename(before.root(), table.root()).unwrap();
    assert!(!snapshot.is_newest().await.unwrap());
    assert!(snapshot.refresh().await.unwrap());
    let fresh = Snapshot::open(&table.store).await.unwrap();
    assert_eq!((snapshot.id(), snapshot.version(), snapshot.files()), (fresh.id(), 5, fresh.files()));
    std::fs::remove_dir_all(table.root()).unwrap();
    assert!(!snapshot.is_newest().await.unwrap());
    assert!(snapshot.refresh().await.is_err(), "there is none any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_wrote_the_checkpoint_the_table_is_the_same() {
    let (table, log) = filled(30).await;
    let by_entries = Snapshot::open(&table.store).await.unwrap();
    let mut theirs = DeltaTable::new(table.store.clone());
    theirs.load().await.unwrap();
    create_checkpoint(&theirs, None).await.unwrap();
    forget(&table, 0..31);
    let by_theirs = Snapshot::open(&table.store).await.unwrap();
    assert_eq!((by_theirs.files(), by_theirs.txns()), (by_entries.files(), by_entries.txns()));
    assert_eq!(by_theirs.metadata(), by_entries.metadata());
    // Ours, from theirs and what follows.
    let mut log = DeltaLog::open(log.store().clone()).await.unwrap();
    land(&mut log, &stream(), &[(0, 300..310), (3, 0..5)]).await.unwrap();
    let before = Snapshot::open(&table.store).await.unwrap();
    let written = checkpoint(&table.store, 1).await.unwrap().unwrap();
    assert_eq!((written.version, written.files), (31, before.files().len() as u64));
    forget(&table, 31..32);
    let by_ours = Snapshot::open(&table.store).await.unwrap();
    assert_eq!((by_ours.files(), by_ours.txns()), (before.files(), before.txns()));
    assert_eq!(by_ours.metadata(), before.metadata());
    // And theirs reads ours.
    let mut theirs = DeltaTable::new(table.store.clone());
    theirs.load().await.unwrap();
    assert_eq!(theirs.version(), Some(31));
    assert_eq!(theirs.get_file_uris().unwrap().count(), before.files().len());
    let offset = theirs.snapshot().unwrap().transaction_version(table.store.as_ref(), app(3)).await.unwrap();
    assert_eq!(offset, Some(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_is_encoded_in_the_log_and_plain_in_the_table() {
    let (table, mut log) = filled(1).await;
    let add = r#"{"add":{"path":"event_date=2026-01-05/a%20b%2525.parquet","partitionValues":{"event_date":"2026-01-05"},"size":7,"modificationTime":1,"dataChange":true,"stats":"{\"numRecords\":3}"}}"#;
    table.store.write_commit_entry(2, CommitOrBytes::LogBytes(add.into()), Uuid::new_v4()).await.unwrap();
    let path = "event_date=2026-01-05/a b%25.parquet";
    let by_entries = Snapshot::open(&table.store).await.unwrap();
    assert_eq!(by_entries.files()[path].rows, Some(3));
    checkpoint(&table.store, 1).await.unwrap().unwrap();
    let by_checkpoint = Snapshot::open(&table.store).await.unwrap();
    assert_eq!(by_checkpoint.files(), by_entries.files());
    let gone = Commit { removes: vec![remove(&by_checkpoint.files()[path], true)], ..Commit::new("DELETE", Kind::Replace(None)) };
    log.commit(&gone).await.unwrap();
    assert!(!Snapshot::open(&table.store).await.unwrap().files().contains_key(path));
    checkpoint(&table.store, 1).await.unwrap().unwrap();
    assert!(!Snapshot::open(&table.store).await.unwrap().files().contains_key(path));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_a_newer_protocol_is_refused() {
    let (table, _) = filled(1).await;
    let newer = r#"{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["deletionVectors"],"writerFeatures":["deletionVectors"]}}"#;
    table.store.write_commit_entry(2, CommitOrBytes::LogBytes(newer.into()), Uuid::new_v4()).await.unwrap();
    let refused = Snapshot::open(&table.store).await;
    assert!(
        matches!(&refused, Err(LakeError::Refused { problem, .. }) if problem.contains("reader version is 3")),
        "{refused:?}"
    );
    assert!(matches!(checkpoint(&table.store, 1).await, Err(LakeError::Refused { .. })));
}

/// The checkpoint that was listed is superseded before it is read.
#[derive(Debug, Default)]
struct Gone(AtomicU64);

#[async_trait::async_trait]
impl Between for Gone {
    async fn put(&self, inner: &dyn ObjectStore, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        inner.put_opts(location, payload, opts).await
    }

    async fn get(&self, inner: &dyn ObjectStore, location: &Path, options: GetOptions) -> Result<GetResult> {
        if location.as_ref().ends_with("checkpoint.parquet") && self.0.fetch_add(1, Ordering::Relaxed) < 2 {
            return Err(object_store::Error::NotFound { path: location.to_string(), source: "cleaned".into() });
        }
        inner.get_opts(location, options).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cleanup_takes_away_while_it_is_read_is_read_again() {
    let (table, _) = filled(5).await;
    checkpoint(&table.store, 1).await.unwrap().unwrap();
    let gone = Intercepted::new(FsyncStore::new(), Gone::default());
    let store = table.through(gone.clone());
    assert_eq!(Snapshot::open(&store).await.unwrap().version(), 5);
    assert_eq!(gone.0.load(Ordering::Relaxed), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_table_is_none_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let lake = tributary_actors::lake::lake_url(folder.path().to_str().unwrap()).unwrap();
    let store = tributary_actors::lake::table(&lake, "silver.nothing", []).unwrap();
    assert!(Snapshot::find(&store).await.unwrap().is_none());
    let error = Snapshot::open(&store).await.unwrap_err();
    assert!(matches!(&error, LakeError::Delta { source, .. } if matches!(**source, DeltaTableError::NotATable(_))), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "looking creates nothing");
    for name in ["silver", "brass.events", "gold.", "gold.a/b", "gold.a.b", "gold... "] {
        assert!(tributary_actors::lake::table(&lake, name, []).is_err(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_the_days_whose_rows_changed_and_not_those_that_were_only_moved() {
    let (table, mut log) = filled(12).await;
    let snapshot = Snapshot::open(&table.store).await.unwrap();
    let later: Vec<_> = snapshot.files().values().filter(|f| f.date == Some(20_455)).cloned().collect();
    let moved = |change| Commit {
        removes: vec![remove(&later[0], change)],
        ..Commit::new("OPTIMIZE", if change { Kind::Replace(None) } else { Kind::Rearrange })
    };
    log.commit(&moved(false)).await.unwrap();
    let days = async |after, until| {
        let found = changes(&table.store, after, until).await.unwrap();
        found.map(|c| (c.days.into_iter().collect::<Vec<_>>(), c.commits, c.undated || c.redefined))
    };
    assert_eq!(days(12, 13).await, Some((vec![], 0, false)));
    let next = Commit { removes: vec![remove(&later[1], true)], ..moved(true) };
    log.commit(&next).await.unwrap();
    assert_eq!(days(12, 14).await, Some((vec![20_455], 1, false)));
    assert_eq!(days(0, 1).await, Some((vec![20_454], 1, false)));
    assert_eq!(days(0, 12).await, Some((vec![20_454, 20_455], 12, false)));
    assert_eq!(days(14, 14).await, Some((vec![], 0, false)));
    assert_eq!(days(15, 14).await, None);
    assert_eq!(days(13, 15).await, None, "a version that is not there yet");
    checkpoint(&table.store, 1).await.unwrap().unwrap();
    forget(&table, 0..6);
    assert_eq!(days(4, 14).await, None, "what the log no longer has");
    assert_eq!(days(5, 14).await.unwrap().1, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_tells_what_happened_newest_first() {
    let (table, mut log) = filled(3).await;
    let snapshot = Snapshot::open(&table.store).await.unwrap();
    let file = snapshot.files().values().next().unwrap();
    let mut gone = Commit { removes: vec![remove(file, true)], ..Commit::new("WRITE", Kind::Replace(Some("x = 1".to_owned()))) };
    gone.parameters.insert("run".to_owned(), "17".to_owned());
    log.commit(&gone).await.unwrap();
    let events = history(&table.store, 10).await.unwrap();
    assert_eq!(events.iter().map(|e| e.version).collect::<Vec<_>>(), [4, 3, 2, 1, 0]);
    let newest = &events[0];
    assert_eq!(newest.operation.as_deref(), Some("WRITE"));
    assert_eq!((newest.files_removed, newest.bytes_removed, newest.files_added), (1, file.size, 0));
    assert_eq!((newest.parameters["run"].as_str(), newest.parameters["predicate"].as_str()), ("17", "x = 1"));
    assert!(newest.changed_rows && newest.committed_ms.is_some());
    assert!(newest.engine.as_ref().unwrap().starts_with("tributary/"));
    assert_eq!((events[1].rows_added, events[1].txns[&app(0)]), (10, 30));
    assert_eq!(events[1].metrics["numOutputRows"], "10");
    assert!(events[4].redefined);
    assert_eq!(history(&table.store, 2).await.unwrap().len(), 2);
}

/// As a stream with a commit per second leaves it: checkpoints as often as they are due, and all entries of the day.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_a_thousand_commits_opens_from_its_checkpoint_before_and_after_a_cleanup() {
    let table = Table::new(&stream()).await;
    // Nothing of this needs to survive a power cut.
    let store = table.through(Arc::new(LocalFileSystem::new()));
    let mut log = DeltaLog::open(store.clone()).await.unwrap();
    let stats = r#"{"numRecords":5,"minValues":{"payment_kind":"card","paid_at":"2026-01-01T23:58:00.000Z","kafka_offset":1,"kafka_partition":0,"topic_incarnation":1,"status":"ok"},"maxValues":{"payment_kind":"refund","paid_at":"2026-01-01T23:58:00.000Z","kafka_offset":5,"kafka_partition":5,"topic_incarnation":1,"status":"ok"},"nullCount":{"payment_kind":0,"shop":0,"paid_at":0,"error":5,"raw":5,"extra":5}}"#;
    for n in 0..1_000_i64 {
        let mut next = commit(&log, &[(0, n, n + 1), (1, n, n + 1), (2, n, n + 1), (3, n, n + 1), (4, n, n + 1), (5, n, n + 1)]);
        next.adds[0].stats = Some(stats.to_owned());
        let version = log.commit(&next).await.unwrap();
        // Not at the last one, where one is due: the worst moment to open it.
        if version % 100 == 0 && version < 1_000 {
            checkpoint(&store, 1).await.unwrap().unwrap();
        }
    }
    for clean in [false, true] {
        if clean {
            clean_log(&store, Duration::ZERO).await.unwrap();
        }
        let begun = Instant::now();
        let snapshot = Snapshot::open(&table.store).await.unwrap();
        println!("opened, cleaned {clean}, in {:?}", begun.elapsed());
        assert_eq!((snapshot.version(), snapshot.files().len()), (1_000, 1_000));
    }
}
