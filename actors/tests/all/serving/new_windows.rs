//! A window that is declared later has what the others have, or no table yet.

use std::sync::Arc;

use tributary_actors::lake::table;
use tributary_actors::serving::merge::Target;
use tributary_actors::serving::new_windows::add;
use tributary_actors::serving::offsets::{Skip, skip};
use tributary_actors::serving::refill::{RefillError, refill};
use tributary_actors::serving::{connect, prepare};
use tributary_core::stream::Stream;

use super::refill::bronze;
use super::{deltas, deltas_of};
use crate::common::payments::{DECLARATION, stream, windows};
use crate::common::postgres::{Database, database};

const TABLES: &str = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'realtime'";

/// A database that has counted some of bronze for the first window alone.
async fn counted_for_one() -> Option<Database> {
    let database = database().await?;
    let one = Arc::new(Stream { windows: stream().windows[..1].to_vec(), ..(*stream()).clone() });
    assert!(prepare(&database.url, &one).await.unwrap().is_empty());
    let mut connection = connect(&database.url).await.unwrap();
    let target = Target::new(Arc::clone(&one), 1);
    target.merge(&mut connection, &deltas_of(&one, &[(0, 0..77), (1, 0..210)])).await.unwrap();
    let over = Skip { partition: 0, from: 77, to: 120 };
    assert!(skip(&mut connection, &one.name, 1, over, "test").await.unwrap());
    target.merge(&mut connection, &deltas_of(&one, &[(0, 120..130)])).await.unwrap();
    Some(database)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_counts_what_the_others_have_counted_and_goes_on_with_them() {
    let Some(database) = counted_for_one().await else { return };
    let table = bronze().await;
    let missing = prepare(&database.url, &stream()).await.unwrap();
    assert_eq!(missing, stream().windows[1..]);
    add(&stream(), missing.clone(), &table.store, &database.url).await.unwrap();
    let mut expected = vec![(0, 0..77), (0, 120..130), (1, 0..210)];
    assert_eq!(database.windows(&stream()).await, windows(&expected));

    assert!(prepare(&database.url, &stream()).await.unwrap().is_empty());
    let again = add(&stream(), missing, &table.store, &database.url).await;
    assert!(matches!(again, Err(RefillError::Moved)), "{again:?}");
    let mut connection = connect(&database.url).await.unwrap();
    Target::new(stream(), 1).merge(&mut connection, &deltas(&[(0, 130..200)])).await.unwrap();
    expected.push((0, 130..200));
    assert_eq!(database.windows(&stream()).await, windows(&expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_for_a_bronze_that_is_behind() {
    let Some(database) = counted_for_one().await else { return };
    let table = bronze().await;
    database.run("UPDATE ops.stream_offsets SET next_offset = 401 WHERE kafka_partition = 1").await;
    let missing = prepare(&database.url, &stream()).await.unwrap();
    let behind = add(&stream(), missing, &table.store, &database.url).await;
    assert!(matches!(behind, Err(RefillError::Behind(1))), "{behind:?}");
    assert_eq!(database.texts(TABLES).await.len(), 1, "no table before it can be right");
}

/// The payments as somebody declares them who wants to know the till, which no record so far has.
fn with_tills() -> Arc<Stream> {
    let more = "
[[field]]
name = \"till\"
type = \"text\"
required = true

[[window]]
table = \"payments_per_till\"
every = \"1 min\"
group_by = [\"till\"]
count = \"payments\"
";
    Arc::new(Stream::parse(&format!("{DECLARATION}{more}"), "payments.toml").unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_older_than_a_field_are_in_no_window_of_it_and_hold_nothing_up() {
    let Some(database) = counted_for_one().await else { return };
    let table = bronze().await;
    let tills = with_tills();
    table::ensure(&table.store, &tills).await.unwrap();
    let missing = prepare(&database.url, &tills).await.unwrap();
    add(&tills, missing, &table.store, &database.url).await.unwrap();
    assert_eq!(database.windows(&stream()).await, windows(&[(0, 0..77), (0, 120..130), (1, 0..210)]));
    assert_eq!(database.texts("SELECT count(*)::text FROM realtime.payments_per_till").await, ["0"]);
    // What Kafka has lost meanwhile is as old.
    refill(&tills, 1, &table.store, &database.url, &[(0, (130, 400))].into()).await.unwrap();
    assert_eq!(database.texts("SELECT count(*)::text FROM realtime.payments_per_till").await, ["0"]);
}
