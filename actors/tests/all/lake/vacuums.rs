//! What vacuum takes, and above all what it does not.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use chrono::Utc;
use tributary_actors::lake::compaction::{Choice, compact};
use tributary_actors::lake::delta_log::{Commit, DeltaLog, Kind};
use tributary_actors::lake::files::remove;
use tributary_actors::lake::snapshot::Snapshot;
use tributary_actors::lake::upkeep::{checkpoint, clean_log};
use tributary_actors::lake::vacuum::vacuum;

use crate::common::lake::{Table, rows};
use crate::common::payments::stream;
use crate::common::rewriter::{Rewriter, land};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

fn aged(path: &Path, age: Duration) {
    let file = std::fs::File::options().append(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - age).unwrap();
}

/// A file of that age.
fn put(table: &Table, name: &str, age: Duration) -> PathBuf {
    let path = table.root().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, "rows").unwrap();
    aged(&path, age);
    path
}

async fn filled(commits: i64) -> (Table, DeltaLog) {
    let table = Table::new(&stream()).await;
    let mut log = DeltaLog::open(table.store.clone()).await.unwrap();
    for n in 0..commits {
        land(&mut log, &stream(), &[(0, n * 10..n * 10 + 10)]).await.unwrap();
    }
    (table, log)
}

/// Sizes of the live files, all of which are there.
async fn live_sizes(table: &Table) -> Vec<u64> {
    let snapshot = Snapshot::open(&table.store).await.unwrap();
    let size = |path: &String| std::fs::metadata(table.root().join(path)).unwrap().len();
    snapshot.files().keys().map(size).collect()
}

/// Removes the first files, as if each had been so long ago; returns their paths.
async fn removed(table: &Table, log: &mut DeltaLog, ages: &[Duration]) -> Vec<PathBuf> {
    let snapshot = Snapshot::open(&table.store).await.unwrap();
    let gone: Vec<_> = snapshot.files().values().zip(ages).collect();
    let removes = gone.iter().map(|(file, age)| {
        let mut action = remove(file, true);
        action.deletion_timestamp = Some(Utc::now().timestamp_millis() - age.as_millis() as i64);
        action
    });
    log.commit(&Commit { removes: removes.collect(), ..Commit::new("DELETE", Kind::Replace(None)) }).await.unwrap();
    gone.iter().map(|(file, _)| table.root().join(&file.path)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_goes_when_no_version_that_is_kept_needs_it() {
    for with_checkpoint in [false, true] {
        let (table, mut log) = filled(6).await;
        let gone = removed(&table, &mut log, &[30 * HOUR, 20 * HOUR, Duration::ZERO]).await;
        // As old as they may be: what counts is when they were removed.
        gone.iter().for_each(|path| aged(path, 90 * DAY));
        if with_checkpoint {
            checkpoint(&table.store, 1).await.unwrap().unwrap();
            clean_log(&table.store, Duration::ZERO).await.unwrap();
        }
        let alive = live_sizes(&table).await;
        let dry = vacuum(&table.store, DAY, true).await.unwrap();
        // The first one's tombstone is a day old: the checkpoint has forgotten it, and the file is nobody's.
        let sweep = if with_checkpoint { &dry.orphans } else { &dry.removed };
        assert_eq!((sweep.files, dry.removed.files + dry.orphans.files), (1, 1), "{dry:?}");
        assert_eq!(sweep.bytes, std::fs::metadata(&gone[0]).unwrap().len());
        assert!(gone.iter().all(|path| path.exists()), "a dry run deletes nothing");
        assert_eq!(vacuum(&table.store, DAY, false).await.unwrap(), dry);
        assert_eq!(gone.iter().map(|path| path.exists()).collect::<Vec<_>>(), [false, true, true]);
        assert_eq!(live_sizes(&table).await, alive);
        let again = vacuum(&table.store, DAY, false).await.unwrap();
        assert_eq!((again.removed.files, again.orphans.files), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_young_is_touched_however_little_is_to_be_kept() {
    let (table, mut log) = filled(4).await;
    let gone = removed(&table, &mut log, &[Duration::ZERO, Duration::from_secs(1800)]).await;
    let orphan = put(&table, "event_date=2026-01-01/part-lost.parquet", 23 * HOUR);
    let staging = put(&table, "event_date=2026-01-01/part-lost.parquet#12", 50 * Duration::from_secs(60));
    let done = vacuum(&table.store, Duration::ZERO, false).await.unwrap();
    assert_eq!((done.removed.files, done.orphans.files, done.staging.files, done.kept), (0, 0, 0, HOUR));
    assert!(gone.iter().chain([&orphan, &staging]).all(|path| path.exists()));
}

#[tokio::test(flavor = "multi_thread")]
async fn orphans_and_what_killed_writers_left_go_and_nothing_else() {
    let (table, _) = filled(4).await;
    let orphans = [
        put(&table, "event_date=2026-01-01/part-lost.parquet", 25 * HOUR),
        put(&table, "event_date=2031-01-01/part-lost.parquet", 900 * DAY),
    ];
    let staging = [
        put(&table, "event_date=2026-01-01/part-half.parquet#123", 2 * HOUR),
        put(&table, "_delta_log/00000000000000000099.json#4", 2 * HOUR),
    ];
    let others = [
        put(&table, "_delta_log/00000000000000000002.crc", 900 * DAY),
        put(&table, "_symlink_format_manifest/manifest", 900 * DAY),
        put(&table, "event_date=2026-01-01/.part-1.parquet.crc", 900 * DAY),
        put(&table, "event_date=2026-01-01/#not-a-number#x", 2 * HOUR),
    ];
    for entry in std::fs::read_dir(table.root().join("event_date=2026-01-01")).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().ends_with(".zstd.parquet") {
            aged(&path, 900 * DAY);
        }
    }
    let alive = rows(&table.store).await;
    let done = vacuum(&table.store, DAY, false).await.unwrap();
    assert_eq!((done.orphans.files, done.orphans.bytes, done.staging.files, done.removed.files), (2, 8, 2, 0));
    assert!(orphans.iter().chain(&staging).all(|path| !path.exists()));
    assert!(others[..3].iter().all(|path| path.exists()));
    assert_eq!(rows(&table.store).await, alive);
    assert_eq!(Snapshot::open(&table.store).await.unwrap().version(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_version_before_a_compaction_can_be_read_until_its_time_is_over() {
    let (table, _) = filled(30).await;
    let was = Snapshot::open(&table.store).await.unwrap();
    let choice = Choice { today: i32::MAX, target_bytes: 128 << 20, below: None };
    compact("bronze.payments", &table.store, &Rewriter::default(), &choice, || true).await.unwrap();
    checkpoint(&table.store, 1).await.unwrap().unwrap();
    let done = vacuum(&table.store, DAY, false).await.unwrap();
    assert_eq!(done.removed.files + done.orphans.files, 0);
    let then = Snapshot::at(&table.store, was.version()).await.unwrap();
    assert_eq!(then.files(), was.files());
    assert!(then.files().keys().all(|path| table.root().join(path).exists()));
}
