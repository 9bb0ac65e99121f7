//! Windows that are wrong become what bronze says, and nothing else changes; also while others go on counting.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tributary_actors::repair::RepairError;
use tributary_actors::repair::heal::{Healing, Request, heal};
use tributary_actors::repair::replay::{self, replay};
use tributary_actors::serving::offsets::{Skip, skip};

use super::world::{World, merge, narrow, refunds};
use crate::common::payments::{BEGIN_MS, stream, windows};
use crate::common::proxy::Proxy;

const ALL: [(i32, std::ops::Range<i64>); 2] = [(0, 0..400), (1, 0..400)];
const EVERYTHING: Request = Request { range: None, dry: false, force: false, wait: Duration::from_secs(20) };

/// What was wrong: table, before, after.
fn differences(healing: &Healing) -> Vec<(&str, Option<i128>, Option<i128>)> {
    healing.healed.iter().map(|h| (h.table.as_str(), h.before, h.after)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_a_missing_an_extra_and_a_crooked_row_are_put_right() {
    let Some(world) = World::new(stream()).await else { return };
    world.merge(&[(0, 0..311), (1, 0..400)]).await;
    let truth = windows(&[(0, 0..311), (1, 0..400)]);
    let first = "SELECT window_start, payment_kind, shop FROM realtime.payments_per_minute ORDER BY 1, 2, 3";
    let minute = "realtime.payments_per_minute";
    world
        .database
        .run(&format!(
            "UPDATE {minute} SET payments = payments + 5 WHERE (window_start, payment_kind, shop) IN ({first} LIMIT 1)"
        ))
        .await;
    world
        .database
        .run(&format!("DELETE FROM {minute} WHERE (window_start, payment_kind, shop) IN ({first} LIMIT 1 OFFSET 7)"))
        .await;
    world
        .database
        .run(&format!("INSERT INTO {minute} VALUES ('2026-03-01 00:00Z', '2026-03-01 00:01Z', 'card', 'nowhere', 7)"))
        .await;
    world.database.run("UPDATE realtime.turnover_per_hour SET cents = cents - 1").await;

    let dry = heal(&world.stores(), Request { dry: true, ..EVERYTHING }).await.unwrap();
    assert_ne!(world.database.windows(&stream()).await, truth, "a dry run changes nothing");
    let healing = heal(&world.stores(), EVERYTHING).await.unwrap();
    assert_eq!(healing.healed, dry.healed);
    assert_eq!(world.database.windows(&stream()).await, truth);
    let found = differences(&healing);
    let of = |table: &str| found.iter().filter(|d| d.0 == table).map(|d| (d.1, d.2)).collect::<Vec<_>>();
    let minutes = of("payments_per_minute");
    assert_eq!(minutes.len(), 3, "{found:?}");
    assert!(minutes.contains(&(Some(7), None)), "{found:?}");
    assert!(minutes.iter().any(|(before, after)| before.is_none() && after.is_some()));
    assert!(minutes.iter().any(|(before, after)| before.zip(*after).is_some_and(|(b, a)| b == a + 5)));
    let hours = of("turnover_per_hour");
    assert!(!hours.is_empty() && hours.iter().all(|(before, after)| before.unwrap() + 1 == after.unwrap()));
    assert_eq!(healing.right as usize + found.len(), truth.len() + 1);

    world.database.run("UPDATE realtime.turnover_per_hour SET window_end = window_end + interval '1 s'").await;
    let healing = heal(&world.stores(), EVERYTHING).await.unwrap();
    assert!(differences(&healing).iter().all(|(table, before, after)| *table == "turnover_per_hour" && before == after));
    assert_eq!(world.database.windows(&stream()).await, truth);
    assert_eq!(heal(&world.stores(), EVERYTHING).await.unwrap().healed, []);
    assert_eq!(world.database.offsets().await, ["0:311", "1:400"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_minutes_that_are_meant_are_healed() {
    let Some(world) = World::new(stream()).await else { return };
    world.merge(&ALL).await;
    world.database.run("UPDATE realtime.payments_per_minute SET payments = payments + 1").await;
    let broken = world.database.windows(&stream()).await;
    let minute = BEGIN_MS + 3 * 60_000;
    let healing = heal(&world.stores(), Request { range: Some((minute, minute + 60_000)), ..EVERYTHING }).await.unwrap();
    assert!(!healing.healed.is_empty());
    assert!(healing.healed.iter().all(|h| (h.table.as_str(), h.start_ms) == ("payments_per_minute", minute)));
    let mut expected = broken;
    for (key, amount) in windows(&ALL).into_iter().filter(|(key, _)| key.1 == minute) {
        expected.insert(key, amount);
    }
    assert_eq!(world.database.windows(&stream()).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_windows_were_told_to_skip_is_left_out() {
    let Some(world) = World::new(stream()).await else { return };
    world.merge(&[(0, 0..100), (1, 0..400)]).await;
    let mut connection = world.database.connect().await;
    let over = Skip { partition: 0, from: 100, to: 200 };
    assert!(skip(&mut connection, "payments", 1, over, "test").await.unwrap());
    world.merge(&[(0, 200..400)]).await;
    assert_eq!(heal(&world.stores(), EVERYTHING).await.unwrap().healed, []);
    world.database.run("TRUNCATE realtime.payments_per_minute, realtime.turnover_per_hour").await;
    assert!(!heal(&world.stores(), EVERYTHING).await.unwrap().healed.is_empty());
    assert_eq!(world.database.windows(&stream()).await, windows(&[(0, 0..100), (0, 200..400), (1, 0..400)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_bronze_is_behind_nothing_is_changed() {
    let Some(mut world) = World::new(stream()).await else { return };
    world.merge(&[(0, 0..430), (1, 0..400)]).await;
    world.database.run("UPDATE realtime.turnover_per_hour SET cents = 0").await;
    let broken = world.database.windows(&stream()).await;
    let behind = heal(&world.stores(), Request { wait: Duration::from_millis(200), ..EVERYTHING }).await;
    assert!(matches!(&behind, Err(RepairError::Behind(why)) if why.contains("up to 400")), "{behind:?}");
    assert_eq!(world.database.windows(&stream()).await, broken);

    let stores = world.stores();
    let waiting = tokio::spawn(async move { heal(&stores, EVERYTHING).await });
    world.ingest(&[(0, 400..450)]).await;
    assert!(!waiting.await.unwrap().unwrap().healed.is_empty());
    assert_eq!(world.database.windows(&stream()).await, windows(&[(0, 0..430), (1, 0..400)]));
}

/// Windows are corrupted again and again while a sink merges, ahead of bronze, into the same rows; a partition begins meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn beside_a_sink_that_merges_every_number_stays_exact() {
    let Some(mut world) = World::empty(stream()).await else { return };
    let (url, stores) = (world.database.url.clone(), world.stores());
    let stop = Arc::new(AtomicBool::new(false));
    let done = Arc::clone(&stop);
    let healing = tokio::spawn(async move {
        let (mut healed, mut rounds) = (0, 0);
        while !done.load(Ordering::Relaxed) {
            healed += heal(&stores, EVERYTHING).await.unwrap().healed.len();
            rounds += 1;
        }
        (healed, rounds)
    });
    for n in 0..60 {
        let partitions = if n < 20 { 0..2 } else { 0..3 };
        let from = |p: i32| if p == 2 { (n - 20) * 5 } else { n * 5 };
        let ranges: Vec<_> = partitions.map(|p| (p, from(p)..from(p) + 5)).collect();
        merge(&url, &stream(), &ranges).await;
        if n % 7 == 3 {
            world.database.run("UPDATE realtime.payments_per_minute SET payments = payments + 3 WHERE shop = 'shop 1'").await;
            world.database.run("DELETE FROM realtime.turnover_per_hour").await;
        }
        world.ingest(&ranges).await;
    }
    stop.store(true, Ordering::Relaxed);
    let (healed, rounds) = healing.await.unwrap();
    assert!(healed > 0 && rounds > 3, "{healed} rows in {rounds} rounds");
    heal(&world.stores(), EVERYTHING).await.unwrap();
    assert_eq!(world.database.windows(&stream()).await, windows(&[(0, 0..300), (1, 0..300), (2, 0..200)]));
    assert_eq!(world.database.offsets().await, ["0:300", "1:300", "2:200"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_replay_has_left_comes_first_and_counts_once() {
    let Some(world) = World::new(narrow()).await else { return };
    world.merge(&ALL).await;
    let url = &world.database.url;
    let port = url.rsplit(':').next().unwrap().split('/').next().unwrap();
    let proxy = Proxy::to(port.parse().unwrap());
    let mut stores = world.stores();
    stores.database_url = url.replace(port, &proxy.port.to_string());
    proxy.lose_the_next_commit();
    replay(&stores, &replay::Request::default(), &|_| ()).await.expect_err("the wire is cut");

    let healing = heal(&world.stores(), EVERYTHING).await.unwrap();
    assert_eq!((healing.replayed, differences(&healing)), (refunds(&ALL), vec![]));
    assert_eq!(world.replay().await.added, 0);
    assert_eq!(world.database.windows(&stream()).await, windows(&ALL));
}

/// The lake was lost and began anew: what the windows had counted before is nowhere else.
#[tokio::test(flavor = "multi_thread")]
async fn a_bronze_that_is_younger_than_the_windows_is_not_believed_unasked() {
    let Some(world) = World::new(stream()).await else { return };
    world.merge(&ALL).await;
    world.database.run("INSERT INTO ops.topic_incarnations VALUES ('payments', 'id', 1, '2020-01-01Z')").await;
    world.database.run("UPDATE realtime.turnover_per_hour SET cents = cents + 1").await;
    let refused = heal(&world.stores(), EVERYTHING).await;
    assert!(matches!(refused, Err(RepairError::Unsafe(_))), "{refused:?}");
    assert_ne!(world.database.windows(&stream()).await, windows(&ALL));
    heal(&world.stores(), Request { force: true, ..EVERYTHING }).await.unwrap();
    assert_eq!(world.database.windows(&stream()).await, windows(&ALL));
}

/// Payments cross midnight: the first day's windows were deleted for their age, and nothing brings them back.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_for_its_age_stays_so() {
    let Some(world) = World::new(stream()).await else { return };
    world.merge(&ALL).await;
    world
        .database
        .run("INSERT INTO ops.retention (table_name, deleted_before) VALUES ('payments_per_minute', '2026-01-02Z')")
        .await;
    world.database.run("DELETE FROM realtime.payments_per_minute WHERE window_start < '2026-01-02Z'").await;
    world.database.run("DELETE FROM realtime.payments_per_minute WHERE payment_kind = 'card'").await;
    let midnight = BEGIN_MS + 120_000;
    let healing = heal(&world.stores(), EVERYTHING).await.unwrap();
    assert!(!healing.healed.is_empty() && healing.healed.iter().all(|h| h.start_ms >= midnight));
    let mut kept = windows(&ALL);
    kept.retain(|(table, start, _), _| *table != "payments_per_minute" || *start >= midnight);
    assert_eq!(world.database.windows(&stream()).await, kept);
}
