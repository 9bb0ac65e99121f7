//! What Kafka no longer has comes from bronze, once.

use std::sync::Arc;

use tributary_actors::lake::delta_log::{Commit, DeltaLog, Kind, Move};
use tributary_actors::lake::encoder::Encoder;
use tributary_actors::lake::{files, offsets};
use tributary_actors::serving::connect;
use tributary_actors::serving::refill::{RefillError, refill};

use super::{deltas, prepared};
use crate::common::lake::Table;
use crate::common::payments::{batch, stream, windows};
use crate::common::probe::span;

/// A bronze table with offsets 0 to 400 of partitions 0 and 1, in commits of 50.
pub(crate) async fn bronze() -> Table {
    let stream = stream();
    let table = Table::new(&stream).await;
    let mut log = DeltaLog::open(table.store.clone()).await.unwrap();
    for n in 0..8 {
        let range = n * 50..n * 50 + 50;
        let mut encoder = Encoder::new(Arc::clone(&stream));
        encoder.write(&batch(&stream, &[(0, range.clone()), (1, range.clone())]).rows).unwrap();
        let cut = encoder.finish().unwrap();
        let paths: Vec<String> = cut.iter().map(|f| files::new_path(f.date)).collect();
        files::put(&table.store, cut.iter().zip(&paths)).await.unwrap();
        let spans = [0, 1].map(|p| span(p, range.start, range.end, 0));
        let moves = [0, 1].map(|p| {
            let app = offsets::ingest_app("payments", 1, p);
            Move { expected: log.txn(&app), app, next: range.end }
        });
        let adds = cut.iter().zip(&paths).map(|(file, path)| files::add(file, path, 1, &spans)).collect();
        let commit = Commit { adds, moves: moves.to_vec(), ..Commit::new("TEST", Kind::Append) };
        log.commit(&commit).await.unwrap();
    }
    table
}

#[tokio::test(flavor = "multi_thread")]
async fn the_windows_catch_up_from_bronze_exactly() {
    let Some((database, target)) = prepared().await else { return };
    let table = bronze().await;
    let mut connection = connect(&database.url).await.unwrap();
    target.merge(&mut connection, &deltas(&[(0, 0..77), (1, 0..210)])).await.unwrap();
    let ranges = [(0, (77, 400)), (1, (210, 333))].into();
    refill(&stream(), 1, &table.store, &database.url, &ranges).await.unwrap();
    assert_eq!(database.windows(&stream()).await, windows(&[(0, 0..400), (1, 0..333)]));
    assert_eq!(database.offsets().await, ["0:400", "1:333"]);

    // A second time the offsets are not what it expects: nothing is added.
    let again = refill(&stream(), 1, &table.store, &database.url, &ranges).await;
    assert!(matches!(&again, Err(RefillError::Foreign(partitions)) if partitions == &[0, 1]), "{again:?}");
    assert_eq!(database.windows(&stream()).await, windows(&[(0, 0..400), (1, 0..333)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_another_incarnation_are_not_counted() {
    let Some((database, _)) = prepared().await else { return };
    let table = bronze().await;
    refill(&stream(), 2, &table.store, &database.url, &[(0, (0, 400))].into()).await.unwrap();
    assert!(database.windows(&stream()).await.is_empty());
}
