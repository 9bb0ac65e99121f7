//! Many files become few: the same rows, whoever else is at work.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tributary_actors::lake::changes::changes;
use tributary_actors::lake::compaction::{Choice, CompactionError, MERGED_TAG, Offsets, choose, compact};
use tributary_actors::lake::delta_log::{Commit, CommitError, DeltaLog, Kind, Move};
use tributary_actors::lake::files::remove;
use tributary_actors::lake::offsets::{next_offsets, parse_tag};
use tributary_actors::lake::snapshot::Snapshot;
use tributary_actors::lake::upkeep::checkpoint;

use crate::common::lake::{Table, rows, verify_chain};
use crate::common::payments::stream;
use crate::common::rewriter::{Rewriter, land};

const TABLE: &str = "bronze.payments";

/// All days are over, and silver has all of bronze.
fn everything(snapshot: &Snapshot) -> Choice {
    Choice { today: i32::MAX, target_bytes: 128 << 20, below: Some(next_offsets(snapshot.txns(), "ingest", "payments")) }
}

/// So many commits of records of two partitions; the second partition pauses now and then.
async fn filled(commits: i64) -> (Table, DeltaLog) {
    let table = Table::new(&stream()).await;
    let mut log = DeltaLog::open(table.store.clone()).await.unwrap();
    let mut second = 0;
    for n in 0..commits {
        let mut ranges = vec![(0, n * 10..n * 10 + 10)];
        if n % 4 != 3 {
            ranges.push((1, second..second + 7));
            second += 7;
        }
        land(&mut log, &stream(), &ranges).await.unwrap();
    }
    (table, log)
}

fn per_day(snapshot: &Snapshot) -> BTreeMap<i32, usize> {
    let mut days = BTreeMap::new();
    snapshot.files().values().for_each(|file| *days.entry(file.date.unwrap()).or_default() += 1);
    days
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_days_become_two_files_each_with_the_same_rows_and_tags_that_say_so() {
    let (table, _) = filled(40).await;
    let before = rows(&table.store).await;
    let was = Snapshot::open(&table.store).await.unwrap();
    let done = compact(TABLE, &table.store, &Rewriter::default(), &everything(&was), || true).await.unwrap();
    let now = Snapshot::open(&table.store).await.unwrap();
    assert_eq!(per_day(&now).into_values().collect::<Vec<_>>(), [2, 2]);
    assert_eq!(rows(&table.store).await, before);
    assert_eq!(done.files_before as usize, was.files().len() - now.files().len() + done.files_after as usize);
    assert_eq!((done.version, done.lost), (Some(now.version()), None));
    assert_eq!(now.txn("rewriter/bronze.payments"), Some(done.files_after as i64), "one commit per group");
    assert_eq!(next_offsets(now.txns(), "ingest", "payments"), next_offsets(was.txns(), "ingest", "payments"));
    // What the tags say of rows is what the files hold; what they cover is covered by whole commits.
    let (mut tagged, mut covered) = (0, BTreeSet::new());
    for file in now.files().values() {
        let spans = parse_tag(&file.tags["tributary.spans"]).unwrap();
        let rows: u64 = spans.iter().map(|(_, s)| s.rows).sum();
        assert_eq!(Some(rows), file.rows);
        tagged += rows;
        spans.iter().for_each(|(_, s)| covered.extend((s.from..s.to).map(|offset| (s.partition, offset))));
    }
    assert_eq!((tagged as usize, covered.into_iter().collect::<Vec<_>>()), (before.len(), before));
    let merged = now.files().values().filter(|file| file.tags.contains_key(MERGED_TAG)).count();
    assert_eq!(merged, 2);
    // Nobody who follows the table has anything to do.
    let changed = changes(&table.store, was.version(), now.version()).await.unwrap().unwrap();
    assert!(changed.is_empty(), "{changed:?}");
    let again = compact(TABLE, &table.store, &Rewriter::default(), &everything(&now), || true).await.unwrap();
    assert_eq!(again, Default::default(), "there is nothing left to do");
    verify_chain(&table.store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_silver_does_not_have_yet_stays_as_it_is() {
    let (table, _) = filled(20).await;
    let was = Snapshot::open(&table.store).await.unwrap();
    let half: Offsets = [((1, 0), 100), ((1, 1), 49)].into();
    let choice = Choice { below: Some(half), ..everything(&was) };
    compact(TABLE, &table.store, &Rewriter::default(), &choice, || true).await.unwrap();
    let now = Snapshot::open(&table.store).await.unwrap();
    assert!(now.files().len() < was.files().len());
    for file in now.files().values().filter(|file| file.tags.contains_key(MERGED_TAG)) {
        for (_, span) in parse_tag(&file.tags["tributary.spans"]).unwrap() {
            assert!(span.to <= if span.partition == 0 { 100 } else { 49 }, "{span:?}");
        }
    }
    let untouched = |s: &Snapshot| s.files().keys().cloned().collect::<BTreeSet<_>>();
    let above = was.files().values().filter(|file| {
        let spans = parse_tag(&file.tags["tributary.spans"]).unwrap();
        spans.iter().any(|(_, s)| s.to > if s.partition == 0 { 100 } else { 49 })
    });
    assert!(above.map(|file| file.path.clone()).collect::<BTreeSet<_>>().is_subset(&untouched(&now)));
    let nothing = Choice { below: Some(Offsets::new()), ..everything(&now) };
    assert_eq!(compact(TABLE, &table.store, &Rewriter::default(), &nothing, || true).await.unwrap(), Default::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_open_day_is_merged_when_it_has_many_small_files() {
    let (table, _) = filled(200).await;
    let before = rows(&table.store).await;
    let was = Snapshot::open(&table.store).await.unwrap();
    let open = Choice { today: 20_455, ..everything(&was) };
    compact(TABLE, &table.store, &Rewriter::default(), &open, || true).await.unwrap();
    let now = Snapshot::open(&table.store).await.unwrap();
    assert!(per_day(&was)[&20_455] > 150 && per_day(&now)[&20_455] < 64, "{:?} {:?}", per_day(&was), per_day(&now));
    assert_eq!(rows(&table.store).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_compactors_one_wins_and_the_others_files_are_left_alone() {
    for round in 0..20 {
        let (table, _) = filled(12).await;
        let before = rows(&table.store).await;
        let choice = everything(&Snapshot::open(&table.store).await.unwrap());
        let engines = [Rewriter::default(), Rewriter::default()];
        let [a, b] = engines.each_ref().map(|engine| compact(TABLE, &table.store, engine, &choice, || true));
        let (a, b) = tokio::join!(a, b);
        let outcomes = [a.unwrap(), b.unwrap()];
        assert_eq!(rows(&table.store).await, before, "round {round}");
        let now = Snapshot::open(&table.store).await.unwrap();
        assert!(per_day(&now).into_values().all(|n| n <= 2), "round {round}: {:?}", per_day(&now));
        for lost in outcomes.iter().filter_map(|done| done.lost.as_ref()) {
            assert!(!lost.files.is_empty() && lost.files.iter().all(|path| !now.files().contains_key(path)));
            assert!(lost.files.iter().all(|path| table.root().join(path).exists()), "vacuum's, not ours");
        }
        let committed: u64 = outcomes.iter().map(|done| done.files_after).sum();
        assert_eq!(now.txn("rewriter/bronze.payments"), Some(committed as i64));
        let put: u64 = engines.iter().map(|engine| engine.put.load(Ordering::Relaxed)).sum();
        let wasted: usize = outcomes.iter().filter_map(|done| done.lost.as_ref()).map(|lost| lost.files.len()).sum();
        assert_eq!(put, committed + wasted as u64);
        verify_chain(&table.store).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_commit_of_an_appender_fails_beside_a_compactor() {
    let (table, mut log) = filled(8).await;
    let going = Arc::new(AtomicBool::new(true));
    let compactor = tokio::spawn({
        let (store, going) = (table.store.clone(), Arc::clone(&going));
        async move {
            let mut done = 0;
            while going.load(Ordering::Relaxed) {
                let choice = everything(&Snapshot::open(&store).await.unwrap());
                let compacted = compact(TABLE, &store, &Rewriter::default(), &choice, || true).await.unwrap();
                assert_eq!(compacted.lost, None, "an append is no race");
                done += compacted.files_before;
                checkpoint(&store, 20).await.unwrap();
            }
            done
        }
    });
    for n in 8..200 {
        land(&mut log, &stream(), &[(0, n * 10..n * 10 + 10)]).await.unwrap();
    }
    going.store(false, Ordering::Relaxed);
    assert!(compactor.await.unwrap() > 50);
    let expected: Vec<(i32, i64)> = (0..2000).map(|o| (0, o)).chain((0..42).map(|o| (1, o))).collect();
    assert_eq!(rows(&table.store).await, expected);
    verify_chain(&table.store).await;
    let again = DeltaLog::open(table.store.clone()).await.unwrap();
    assert_eq!(again.txns(), log_refreshed(log).await.txns());
}

async fn log_refreshed(mut log: DeltaLog) -> DeltaLog {
    log.refresh().await.unwrap();
    log
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_and_a_compaction_exclude_each_other() {
    let (table, mut log) = filled(6).await;
    let was = Snapshot::open(&table.store).await.unwrap();
    let rebuild = Commit {
        removes: was.files().values().map(|file| remove(file, true)).collect(),
        based_on: Some(was.version()),
        moves: vec![Move::rewriter(TABLE, |app| was.txn(app))],
        ..Commit::new("WRITE", Kind::Replace(None))
    };
    compact(TABLE, &table.store, &Rewriter::default(), &everything(&was), || true).await.unwrap();
    let refused = log.commit(&rebuild).await;
    assert!(matches!(&refused, Err(CommitError::Foreign(found)) if *found == [0]), "{refused:?}");
    assert!(!rows(&table.store).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_another_program_deleted_do_not_come_back() {
    let (table, _) = filled(6).await;
    let was = Snapshot::open(&table.store).await.unwrap();
    // Knows nothing of rewriters; and comes between the look at the table and the commit.
    let victim = choose(was.files().values(), &everything(&was))[0].files[0].clone();
    let store = table.store.clone();
    let deleted = AtomicBool::new(false);
    let go_on = || {
        if !deleted.swap(true, Ordering::Relaxed) {
            let (store, victim) = (store.clone(), victim.clone());
            tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(async {
                    let mut theirs = DeltaLog::open(store).await.unwrap();
                    let delete = Commit { removes: vec![remove(&victim, true)], ..Commit::new("DELETE", Kind::Replace(None)) };
                    theirs.commit(&delete).await.unwrap();
                });
            });
        }
        true
    };
    let done = compact(TABLE, &table.store, &Rewriter::default(), &everything(&was), go_on).await.unwrap();
    assert!(done.lost.as_ref().is_some_and(|lost| lost.reason.contains("removed a file")), "{done:?}");
    let after = rows(&table.store).await;
    let now = Snapshot::open(&table.store).await.unwrap();
    assert!(!now.files().contains_key(&victim.path));
    assert_eq!(after.len() as u64, was.pinned(TABLE).rows() - victim.rows.unwrap());
    // The next one starts from what is there.
    compact(TABLE, &table.store, &Rewriter::default(), &everything(&now), || true).await.unwrap();
    assert_eq!(rows(&table.store).await, after);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_loses_rows_changes_nothing() {
    let (table, _) = filled(6).await;
    let was = Snapshot::open(&table.store).await.unwrap();
    let forgetful = Rewriter { forgets: 1, ..Rewriter::default() };
    let refused = compact(TABLE, &table.store, &forgetful, &everything(&was), || true).await;
    assert!(matches!(&refused, Err(CompactionError::Wrong { problem, .. }) if problem.contains("rows went in")), "{refused:?}");
    assert_eq!(Snapshot::open(&table.store).await.unwrap().version(), was.version());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stops_between_two_groups_when_it_is_told_to() {
    let (table, _) = filled(12).await;
    let was = Snapshot::open(&table.store).await.unwrap();
    let asked = AtomicBool::new(false);
    let once = || !asked.swap(true, Ordering::Relaxed);
    let done = compact(TABLE, &table.store, &Rewriter::default(), &everything(&was), once).await.unwrap();
    assert_eq!((done.files_after, done.version), (1, Some(was.version() + 1)));
}
