//! Records flow: in order, through stops, into both stores once.

use super::house::House;
use super::in_system;
use crate::common::postgres::database;

#[test]
fn what_is_produced_is_in_both_stores_once() {
    in_system(async {
        let Some(database) = database().await else { return };
        let house = House::new(database).await;
        house.produce(&[(0, 0..3_000), (1, 0..10)]);
        let running = house.start_process();
        running.reaches(&[(0, 3_000), (1, 10)]).await;
        house.produce(&[(1, 10..400), (2, 0..900)]);
        let state = running.reaches(&[(0, 3_000), (1, 400), (2, 900)]).await;
        assert!(state.is_ready() && state.restarts == 0, "{state:?}");
        running.stop().await;
        house.holds(&[(0, 0..3_000), (1, 0..400), (2, 0..900)]).await;
    });
}

#[test]
fn a_stop_makes_durable_what_was_read_and_the_next_start_goes_on_from_there() {
    in_system(async {
        let Some(database) = database().await else { return };
        let house = House::new(database).await;
        let mut at = 0;
        for round in 1..=4 {
            let running = house.start();
            house.produce(&[(0, at..round * 700), (2, at..round * 700)]);
            at = round * 700;
            // Not before something was read: a stop right after the start has nothing to drain.
            running.shows("some progress", |s| s.partitions.get(&0).is_some_and(|p| p.bronze > Some((round - 1) * 700))).await;
            running.stop().await;
        }
        let running = house.start();
        running.reaches(&[(0, at), (2, at)]).await;
        running.stop().await;
        house.holds(&[(0, 0..at), (2, 0..at)]).await;
    });
}

#[test]
fn two_instances_share_the_partitions_and_the_rows() {
    in_system(async {
        let Some(database) = database().await else { return };
        let house = House::new(database).await;
        let first = house.start();
        house.produce(&[(0, 0..500), (1, 0..500), (2, 0..500)]);
        first.reaches(&[(0, 500), (1, 500), (2, 500)]).await;
        let second = house.start();
        second.shows("a share of the partitions", |s| !s.partitions.is_empty()).await;
        house.produce(&[(0, 500..900), (1, 500..900), (2, 500..900)]);
        let owned = |state: tributary_actors::board::StreamState| state.partitions;
        for running in [&first, &second] {
            running
                .shows("its share is done", |s| s.partitions.values().all(|p| p.serving == Some(900) && p.bronze == Some(900)))
                .await;
        }
        let shares = [owned(first.board.read()), owned(second.board.read())];
        assert_eq!(shares.iter().map(|s| s.len()).sum::<usize>(), 3, "{shares:?}");
        first.stop().await;
        house.produce(&[(0, 900..1_000), (1, 900..1_000), (2, 900..1_000)]);
        second.reaches(&[(0, 1_000), (1, 1_000), (2, 1_000)]).await;
        assert_eq!(second.board.read().restarts, 0, "a rebalance is no trouble");
        second.stop().await;
        house.holds(&[(0, 0..1_000), (1, 0..1_000), (2, 0..1_000)]).await;
    });
}
