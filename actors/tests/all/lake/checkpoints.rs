//! Checkpoints: written beside the commits, and nothing is forgotten through them.

use tributary_actors::lake::delta_log::DeltaLog;
use tributary_actors::lake::snapshot::Snapshot;
use tributary_actors::lake::upkeep::{CHECKPOINT_EVERY, Upkeep};
use tributary_actors::telemetry::TableMeter;

use super::{app, commit};
use crate::common::lake::{Table, files, verify_chain};
use crate::common::payments::stream;
use crate::common::until;

#[tokio::test(flavor = "multi_thread")]
async fn a_head_read_through_a_checkpoint_knows_all_offsets_and_tags() {
    let table = Table::new(&stream()).await;
    let mut log = DeltaLog::open(table.store.clone()).await.unwrap();
    let mut upkeep = Upkeep::new(table.store.clone(), TableMeter::new("bronze.payments"), log.version());
    let every = CHECKPOINT_EVERY as i64;
    for n in 0..4 * every + 7 {
        // Partition 9 is quiet after its first commit: its offset lives in checkpoints only, later on.
        let spans =
            if n == 0 { vec![(0, 0, 1), (9, 40, 77)] } else { vec![(0, n, n + 1), (n as i32 % 4 + 1, n - n % 4, n - n % 4 + 1)] };
        let spans: Vec<_> =
            spans.into_iter().map(|(p, from, to)| log.txn(&app(p)).map_or((p, from, to), |at| (p, at, at + to - from))).collect();
        let commit = commit(&log, &spans);
        let version = log.commit(&commit).await.unwrap();
        upkeep.committed(version);
        if version % CHECKPOINT_EVERY == 0 {
            let last = table.root().join("_delta_log/_last_checkpoint");
            until("the checkpoint", || {
                std::fs::read_to_string(&last).is_ok_and(|text| text.contains(&format!("\"version\":{version}")))
            })
            .await;
        }
    }
    let checkpoints = || {
        let names = std::fs::read_dir(table.root().join("_delta_log")).unwrap().map(|entry| entry.unwrap().file_name());
        let mut found: Vec<u64> =
            names.filter_map(|name| name.to_str()?.strip_suffix(".checkpoint.parquet")?.parse().ok()).collect();
        found.sort_unstable();
        found
    };
    let kept = [CHECKPOINT_EVERY, 3 * CHECKPOINT_EVERY, 4 * CHECKPOINT_EVERY];
    until("the superseded checkpoint is gone", || checkpoints() == kept).await;
    let truth = verify_chain(&table.store).await;
    assert_eq!(truth[&app(9)], 77);
    let tags = |files: Vec<(String, Option<String>)>| files.into_iter().collect::<std::collections::BTreeMap<_, _>>();
    let by_log =
        files(&table.store).await.into_iter().map(|add| (add.path, add.tags.unwrap()["tributary.spans"].clone())).collect();
    let by_log = tags(by_log);

    // Without the entries that a checkpoint stands for, as after a cleanup.
    let gone = 4 * CHECKPOINT_EVERY - 10;
    for version in 0..gone {
        std::fs::remove_file(table.root().join(format!("_delta_log/{version:020}.json"))).unwrap();
    }
    let again = DeltaLog::open(table.store.clone()).await.unwrap();
    assert_eq!(again.txns().iter().map(|(a, n)| (a.clone(), *n)).collect::<std::collections::BTreeMap<_, _>>(), truth);
    assert_eq!(again.version(), log.version());
    let snapshot = Snapshot::open(&table.store).await.unwrap();
    let by_checkpoint = snapshot.files().values().map(|f| (f.path.clone(), f.tags.get("tributary.spans").cloned())).collect();
    assert_eq!(tags(by_checkpoint), by_log);
    assert_eq!((snapshot.version(), snapshot.txns()), (again.version(), again.txns()));

    let mut heir = again;
    let next = commit(&heir, &[(9, 77, 80)]);
    heir.commit(&next).await.unwrap();
    assert_eq!(heir.txn(&app(9)), Some(80));
}
