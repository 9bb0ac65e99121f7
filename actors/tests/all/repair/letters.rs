//! What is not valid can be counted and looked at.

use tributary_actors::repair::letters::{Which, count, newest};

use super::world::{World, because, narrow, refunds};
use crate::common::payments::payment;

const ALL: [(i32, std::ops::Range<i64>); 2] = [(0, 0..400), (1, 0..400)];

#[tokio::test(flavor = "multi_thread")]
async fn records_are_counted_by_what_is_wrong_with_them() {
    let Some(world) = World::new(narrow()).await else { return };
    let counts = count(&world.table.store, &Which::default()).await.unwrap();
    let keys: Vec<_> = counts.keys().map(|(status, reason)| (status.as_str(), reason.as_str())).collect();
    assert_eq!(keys, [("invalid", "not_allowed"), ("malformed", "not_json")]);
    let refused = &counts[&("invalid".to_owned(), "not_allowed".to_owned())];
    assert_eq!(refused.records, refunds(&ALL));
    assert!(refused.oldest_us < refused.sample.at_us);
    assert!(refused.sample.error.as_deref().unwrap().contains("refund"));

    let only = Which { statuses: vec!["malformed".into()], partition: Some(1), to_offset: Some(50), ..Which::default() };
    let counts = count(&world.table.store, &only).await.unwrap();
    let malformed = (0..50).filter(|offset| payment(1, *offset).malformed).count() as u64;
    assert_eq!(counts.values().map(|c| c.records).collect::<Vec<_>>(), [malformed]);
    assert_eq!(count(&world.table.store, &because("too_old")).await.unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_are_shown_first_and_one_by_its_offset() {
    let Some(world) = World::new(narrow()).await else { return };
    let shown = newest(&world.table.store, &because("not_allowed"), 7).await.unwrap();
    assert_eq!(shown.len(), 7);
    assert!(shown.windows(2).all(|pair| pair[0].at_us >= pair[1].at_us));
    let all = newest(&world.table.store, &because("not_allowed"), 10_000).await.unwrap();
    assert_eq!((all.len() as u64, &all[..7]), (refunds(&ALL), &shown[..]));

    let first = &all[3];
    let one = Which {
        partition: Some(first.partition),
        from_offset: Some(first.offset),
        to_offset: Some(first.offset + 1),
        ..Which::default()
    };
    let found = newest(&world.table.store, &one, 10).await.unwrap();
    assert_eq!(found, std::slice::from_ref(first));
    assert_eq!(found[0].raw.as_deref(), Some(payment(first.partition, first.offset).payload().as_bytes()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_are_found_without_the_files_of_a_long_history() {
    let Some(world) = World::new(narrow()).await else { return };
    let shown = newest(&world.table.store, &Which::default(), 5).await.unwrap();
    let oldest_shown = shown.last().unwrap().at_us.unwrap();
    let mut gone = 0;
    for file in world.table_files().await {
        let stats: serde_json::Value = serde_json::from_str(&file.stats.unwrap()).unwrap();
        let last = stats["maxValues"]["ingestion_timestamp"].as_str().unwrap();
        if chrono::DateTime::parse_from_rfc3339(last).unwrap().timestamp_micros() + 1_000 < oldest_shown {
            std::fs::remove_file(world.table.root().join(file.path)).unwrap();
            gone += 1;
        }
    }
    assert!(gone > 0, "no file is older than the five newest records");
    assert_eq!(newest(&world.table.store, &Which::default(), 5).await.unwrap(), shown);
    assert!(count(&world.table.store, &Which::default()).await.is_err(), "what is gone was not needed for anything");
}
