//! Windows and bronze at the same offsets say the same; what does not is counted.

use std::time::Duration;

use tributary_actors::repair::RepairError;
use tributary_actors::repair::drift::{Drift, drift};

use super::world::World;
use crate::common::payments::{BEGIN_MS, stream};

const MINUTE: i64 = 60_000;
/// The ten minutes up to midnight: the events begin two minutes before it.
const PART: (i64, i64) = (BEGIN_MS - 8 * MINUTE, BEGIN_MS + 2 * MINUTE);
const SOON: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread")]
async fn a_bronze_that_is_ahead_is_no_drift_and_a_wrong_row_is() {
    let Some(world) = World::new(stream()).await else { return };
    world.merge(&[(0, 0..311), (1, 0..400)]).await;
    let looked = drift(&world.stores(), PART, SOON).await.unwrap().unwrap();
    assert!(looked.rows > 0);
    assert_eq!(looked, Drift { rows: looked.rows, events: 0 });

    let minute = "realtime.payments_per_minute";
    let first = format!("SELECT window_start, payment_kind, shop FROM {minute} ORDER BY 1, 2, 3 LIMIT 1");
    let here = format!("WHERE (window_start, payment_kind, shop) IN ({first})");
    world.database.run(&format!("UPDATE {minute} SET payments = payments + 5 {here}")).await;
    let with_five_more = Drift { rows: looked.rows, events: 5 };
    assert_eq!(drift(&world.stores(), PART, SOON).await.unwrap(), Some(with_five_more));
    world.database.run(&format!("UPDATE {minute} SET payments = payments - 5 {here}")).await;
    assert_eq!(drift(&world.stores(), PART, SOON).await.unwrap(), Some(looked), "it changes nothing itself");

    world.database.run(&format!("DELETE FROM {minute} {here}")).await;
    let without = drift(&world.stores(), PART, SOON).await.unwrap().unwrap();
    assert_eq!(without.rows, looked.rows - 1);
    assert!(without.events > 0, "a row that is missing is as wrong as one that says too much");
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_that_are_ahead_of_bronze_are_waited_for_and_then_not_judged() {
    let Some(world) = World::new(stream()).await else { return };
    world.merge(&[(0, 0..400), (1, 0..400)]).await;
    world.database.run("UPDATE ops.stream_offsets SET next_offset = next_offset + 1").await;
    let looked = drift(&world.stores(), PART, SOON).await;
    assert!(matches!(looked, Err(RepairError::Behind(_))), "{looked:?}");
}
