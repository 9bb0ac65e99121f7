//! A replay that is cut off, doubled, or meets an older PostgreSQL still counts every record once.

use tributary_actors::lake::delta_log::{Commit, DeltaLog, Kind, Move};
use tributary_actors::repair::RepairError;
use tributary_actors::repair::Stores;
use tributary_actors::repair::finish::finish;
use tributary_actors::repair::replay::{Request, replay};
use tributary_actors::serving::new_windows::add;
use tributary_actors::serving::prepare;
use tributary_actors::serving::refill::{RefillError, refill};

use super::world::{World, decoded, narrow, refunds};
use crate::common::payments::{stream, windows};
use crate::common::proxy::Proxy;

const ALL: [(i32, std::ops::Range<i64>); 2] = [(0, 0..400), (1, 0..400)];

/// The stores through a wire that can be cut.
fn proxied(world: &World) -> (Stores, Proxy) {
    let url = &world.database.url;
    let port = url.rsplit(':').next().unwrap().split('/').next().unwrap();
    let proxy = Proxy::to(port.parse().unwrap());
    let database_url = url.replace(port, &proxy.port.to_string());
    (Stores { database_url, ..world.stores() }, proxy)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_bronze_and_the_windows_it_is_finished_by_whoever_looks_next() {
    let Some(world) = World::new(narrow()).await else { return };
    world.merge(&ALL).await;
    let (stores, proxy) = proxied(&world);
    proxy.lose_the_next_commit();
    let cut = replay(&stores, &Request::default(), &|_| ()).await;
    assert!(matches!(cut, Err(RepairError::Serving(_))), "{cut:?}");
    assert_eq!((proxy.cuts(), world.replays().await), (1, Some(1)));
    assert_eq!(world.rows().await, decoded(&stream(), &ALL), "bronze has it");
    let before = world.database.windows(&stream()).await;
    assert_ne!(before, windows(&ALL));

    assert_eq!(finish(&world.stores()).await.unwrap().records, refunds(&ALL));
    assert_eq!(world.database.windows(&stream()).await, windows(&ALL));
    assert_eq!(finish(&world.stores()).await.unwrap().records, 0);
    assert_eq!(world.replay().await.added, 0);
    assert_eq!(world.database.windows(&stream()).await, windows(&ALL));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_the_windows_that_nobody_heard_of_is_not_repeated() {
    let Some(world) = World::new(narrow()).await else { return };
    world.merge(&ALL).await;
    let (stores, proxy) = proxied(&world);
    proxy.lose_the_next_answer();
    let cut = replay(&stores, &Request::default(), &|_| ()).await;
    assert!(cut.is_err() && proxy.cuts() == 1, "{cut:?}");
    assert_eq!(world.replay().await.added, 0);
    assert_eq!(world.database.windows(&stream()).await, windows(&ALL));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_is_found_through_a_checkpoint() {
    let Some(world) = World::new(narrow()).await else { return };
    world.merge(&ALL).await;
    let (stores, proxy) = proxied(&world);
    proxy.lose_the_next_commit();
    replay(&stores, &Request::default(), &|_| ()).await.expect_err("the wire is cut");
    let mut table = deltalake::DeltaTable::new(world.table.store.clone());
    table.load().await.unwrap();
    deltalake::checkpoints::create_checkpoint(&table, None).await.unwrap();
    let newest = table.version().unwrap();
    for version in 0..newest {
        std::fs::remove_file(world.table.root().join(format!("_delta_log/{version:020}.json"))).unwrap();
    }
    std::fs::remove_file(world.table.root().join(format!("_delta_log/{newest:020}.json"))).unwrap();
    assert_eq!(finish(&world.stores()).await.unwrap().records, refunds(&ALL));
    assert_eq!(world.database.windows(&stream()).await, windows(&ALL));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_replay_at_once_each_record_is_taken_by_one() {
    let Some(world) = World::new(narrow()).await else { return };
    world.merge(&ALL).await;
    let (a, b, c) = tokio::join!(world.replay_bit_by_bit(), world.replay_bit_by_bit(), async {
        let mut added = 0;
        for _ in 0..20 {
            added += finish(&world.stores()).await.unwrap().records;
        }
        added
    });
    assert_eq!(a.revived + b.revived, refunds(&ALL));
    assert_eq!(a.added + b.added + c, refunds(&ALL));
    assert_eq!(world.rows().await, decoded(&stream(), &ALL));
    assert_eq!(world.database.windows(&stream()).await, windows(&ALL));
}

/// Its offsets are older, and so is what it knows of replays: what lies behind its offsets comes to it again, valid.
#[tokio::test(flavor = "multi_thread")]
async fn a_postgresql_from_an_older_dump_takes_each_record_once() {
    let Some(world) = World::new(narrow()).await else { return };
    world.merge(&ALL).await;
    world.replay_bit_by_bit().await;
    world
        .database
        .run("TRUNCATE realtime.payments_per_minute, realtime.turnover_per_hour, ops.stream_offsets; DELETE FROM ops.replays")
        .await;
    world.merge(&[(0, 0..230)]).await;

    assert_eq!(finish(&world.stores()).await.unwrap().records, refunds(&[(0, 0..230)]));
    assert_eq!(world.database.windows(&stream()).await, windows(&[(0, 0..230)]));
    let ranges = [(0, (230, 400)), (1, (0, 400))].into();
    refill(&stream(), 1, &world.table.store, &world.database.url, &ranges).await.unwrap();
    assert_eq!(finish(&world.stores()).await.unwrap().records, 0);
    assert_eq!(world.database.windows(&stream()).await, windows(&ALL));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_windows_were_told_to_skip_is_not_added() {
    let Some(world) = World::new(narrow()).await else { return };
    world.merge(&[(0, 0..100), (1, 0..400)]).await;
    let mut connection = world.database.connect().await;
    let over = tributary_actors::serving::offsets::Skip { partition: 0, from: 100, to: 200 };
    assert!(tributary_actors::serving::offsets::skip(&mut connection, "payments", 1, over, "test").await.unwrap());
    world.merge(&[(0, 200..400)]).await;
    let replayed = world.replay().await;
    assert_eq!((replayed.revived, replayed.added), (refunds(&ALL), refunds(&ALL) - refunds(&[(0, 100..200)])));
    assert_eq!(world.database.windows(&stream()).await, windows(&[(0, 0..100), (0, 200..400), (1, 0..400)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_window_waits_until_the_others_have_what_was_replayed() {
    let both = stream();
    let one = std::sync::Arc::new(tributary_core::stream::Stream { windows: both.windows[..1].to_vec(), ..(*narrow()).clone() });
    let Some(world) = World::new(one).await else { return };
    world.merge(&ALL).await;
    let (stores, proxy) = proxied(&world);
    proxy.lose_the_next_commit();
    replay(&stores, &Request::default(), &|_| ()).await.expect_err("the wire is cut");
    let missing = prepare(&world.database.url, &both).await.unwrap();
    let early = add(&both, missing.clone(), &world.table.store, &world.database.url).await;
    assert!(matches!(early, Err(RefillError::Moved)), "{early:?}");
    finish(&world.stores()).await.unwrap();
    add(&both, missing, &world.table.store, &world.database.url).await.unwrap();
    assert_eq!(world.database.windows(&both).await, windows(&ALL));
}

/// Another program rewrites the files and drops the tags: that is said, and does not stop the windows for ever.
#[tokio::test(flavor = "multi_thread")]
async fn replays_that_nobody_can_trace_are_given_up_loudly() {
    let Some(world) = World::new(narrow()).await else { return };
    world.merge(&ALL).await;
    let mut log = DeltaLog::open(world.table.store.clone()).await.unwrap();
    let moves = vec![Move { app: "replay/payments".into(), expected: None, next: 1 }];
    let commit = Commit { moves, ..Commit::new("TEST", Kind::Note) };
    log.commit(&commit).await.unwrap();
    let finished = finish(&world.stores()).await.unwrap();
    assert!(finished.untraceable && finished.records == 0);
    assert!(!finish(&world.stores()).await.unwrap().untraceable);
}
