//! Merges: exact, additive, and only where the offsets agree.

use sqlx::PgConnection;
use tributary_actors::serving::merge::Merged;
use tributary_actors::serving::{ServingError, connect};

use super::{deltas, prepared, words};
use crate::common::payments::{stream, windows};

#[tokio::test]
async fn windows_are_what_the_events_add_up_to() {
    let Some((database, target)) = prepared().await else { return };
    let mut connection = connect(&database.url).await.unwrap();
    let steps = [vec![(0, 0..100), (2, 50..120)], vec![(0, 100..101)], vec![(1, 0..300), (2, 120..125)], vec![(0, 101..900)]];
    for ranges in &steps {
        let merged = target.merge(&mut connection, &deltas(ranges)).await.unwrap();
        assert_eq!((merged.done.len(), merged.foreign.len()), (ranges.len(), 0));
    }
    let all = steps.concat();
    let found = database.windows(&stream()).await;
    assert_eq!(found, windows(&all));
    assert!(
        found.iter().any(|((table, ..), cents)| *table == "turnover_per_hour" && *cents > i128::from(i64::MAX)),
        "sums leave 64 bits"
    );
    assert_eq!(database.offsets().await, ["0:900", "1:300", "2:125"]);
}

#[tokio::test]
async fn a_foreign_partition_is_left_out_and_the_others_go_on() {
    let Some((database, target)) = prepared().await else { return };
    let mut connection = connect(&database.url).await.unwrap();
    target.merge(&mut connection, &deltas(&[(0, 0..10), (1, 0..10), (2, 0..10)])).await.unwrap();
    let merged = target.merge(&mut connection, &deltas(&[(0, 10..20), (1, 5..20), (2, 30..40), (3, 7..9)])).await.unwrap();
    assert_eq!(words(&merged.done), ["0:[10, 20)", "3:[7, 9)"]);
    let foreign: Vec<_> = merged.foreign.iter().map(|(span, found)| (span.to_string(), *found)).collect();
    assert_eq!(foreign, [("1:[5, 20)".to_owned(), 10), ("2:[30, 40)".to_owned(), 10)]);
    assert_eq!(database.windows(&stream()).await, windows(&[(0, 0..20), (1, 0..10), (2, 0..10), (3, 7..9)]));
    assert_eq!(database.offsets().await, ["0:20", "1:10", "2:10", "3:9"]);
}

/// One of two instances has won the span, whole.
fn one_won(outcomes: (Result<Merged, ServingError>, Result<Merged, ServingError>)) {
    let (a, b) = (outcomes.0.unwrap(), outcomes.1.unwrap());
    assert_eq!((a.done.len() + b.done.len(), a.foreign.len() + b.foreign.len()), (1, 1));
}

#[tokio::test]
async fn of_two_instances_that_merge_the_same_span_one_wins() {
    let Some((database, target)) = prepared().await else { return };
    let (mut a, mut b) = (connect(&database.url).await.unwrap(), connect(&database.url).await.unwrap());
    for n in 0..30 {
        let ours = deltas(&[(0, n * 10..n * 10 + 10)]);
        one_won(tokio::join!(target.merge(&mut a, &ours), target.merge(&mut b, &ours)));
    }
    assert_eq!(database.windows(&stream()).await, windows(&[(0, 0..300)]));
}

#[tokio::test]
async fn instances_that_share_rows_do_not_wait_for_each_other_in_a_circle() {
    let Some((database, target)) = prepared().await else { return };
    let writer = |mut connection: PgConnection, partitions: [i32; 2]| {
        let target = &target;
        async move {
            for n in 0..40 {
                // The same minutes and shops from both, in whatever order the deltas come.
                let merged = target.merge(&mut connection, &deltas(&partitions.map(|p| (p, n * 5..n * 5 + 5)))).await.unwrap();
                assert!(merged.foreign.is_empty());
            }
        }
    };
    let (a, b) = (connect(&database.url).await.unwrap(), connect(&database.url).await.unwrap());
    tokio::join!(writer(a, [0, 3]), writer(b, [2, 1]));
    let all: Vec<_> = (0..4).map(|p| (p, 0..200)).collect();
    assert_eq!(database.windows(&stream()).await, windows(&all));
}

#[tokio::test]
async fn a_late_event_adds_to_its_row_and_moves_updated_at() {
    let Some((database, target)) = prepared().await else { return };
    let mut connection = connect(&database.url).await.unwrap();
    target.merge(&mut connection, &deltas(&[(0, 0..12)])).await.unwrap();
    let row = "SELECT updated_at::text FROM realtime.turnover_per_hour ORDER BY window_start LIMIT 1";
    let before = database.texts(row).await;
    // Partition 3 has the same times: all of it is late.
    target.merge(&mut connection, &deltas(&[(3, 0..12)])).await.unwrap();
    assert!(database.texts(row).await > before);
    assert_eq!(database.windows(&stream()).await, windows(&[(0, 0..12), (3, 0..12)]));
}

#[tokio::test]
async fn a_delta_without_rows_still_moves_the_offset() {
    let Some((database, target)) = prepared().await else { return };
    let mut connection = connect(&database.url).await.unwrap();
    let hole = tributary_core::window::PartitionDelta::empty(crate::common::probe::span(4, 10, 25, 0));
    let merged = target.merge(&mut connection, &[hole]).await.unwrap();
    assert_eq!(words(&merged.done), ["4:[10, 25)"]);
    assert_eq!(database.offsets().await, ["4:25"]);
}
