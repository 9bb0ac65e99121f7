//! A lease: one leader at a time, by PostgreSQL's clock; one that slept finds out before it writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use sqlx::PgConnection;
use tributary_actors::serving::lease::{BATCH, LeaderError, Lease, held};
use tributary_actors::serving::{connect, migrate};

use crate::common::postgres::{Database, database};

pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A database with its tables, and a connection.
pub(crate) async fn migrated() -> Option<(Database, PgConnection)> {
    let database = database().await?;
    let mut connection = connect(&database.url).await.unwrap();
    migrate(&mut connection).await.unwrap();
    Some((database, connection))
}

pub(crate) async fn lead(connection: &mut PgConnection, holder: &str) -> Lease {
    Lease::acquire(connection, BATCH, holder, LONG).await.unwrap().expect("nobody leads")
}

/// Lets the lease run out, whoever has it.
pub(crate) async fn run_out(database: &Database) {
    database.run("UPDATE ops.leases SET expires_at = now()").await;
}

#[tokio::test]
async fn of_many_that_race_for_it_one_gets_it() {
    let Some((database, _)) = migrated().await else { return };
    for round in 1..=10 {
        let racers = (0..8).map(|n| {
            let url = database.url.clone();
            async move {
                let mut connection = connect(&url).await.unwrap();
                Lease::acquire(&mut connection, BATCH, &format!("racer {n}"), LONG).await.unwrap()
            }
        });
        let winners: Vec<Lease> = futures::future::join_all(racers).await.into_iter().flatten().collect();
        assert_eq!(winners.len(), 1, "round {round}");
        assert_eq!(winners[0].epoch(), round);
        run_out(&database).await;
    }
}

#[tokio::test]
async fn it_is_kept_by_renewing_and_given_up_by_releasing() {
    let Some((_database, mut connection)) = migrated().await else { return };
    let first = lead(&mut connection, "a").await;
    assert_eq!(Lease::acquire(&mut connection, BATCH, "b", LONG).await.unwrap(), None, "a has it");
    first.renew(&mut connection, Duration::ZERO).await.unwrap();
    first.renew(&mut connection, LONG).await.unwrap();
    let held_by = held(&mut connection, BATCH).await.unwrap().unwrap();
    assert_eq!((held_by.holder.as_str(), held_by.epoch, held_by.alive), ("a", 1, true));
    first.release(&mut connection).await.unwrap();
    assert!(!held(&mut connection, BATCH).await.unwrap().unwrap().alive);
    let second = lead(&mut connection, "b").await;
    assert_eq!(second.epoch(), 2);
    first.release(&mut connection).await.unwrap();
    second.check(&mut connection).await.expect("what is not ours is not released");
    assert!(first.renew(&mut connection, LONG).await.unwrap_err().is_lost());
    assert!(Lease::acquire(&mut connection, "another", "c", LONG).await.unwrap().is_some(), "leases do not know each other");
}

#[tokio::test]
async fn one_that_ran_out_but_was_not_taken_still_holds() {
    let Some((database, mut connection)) = migrated().await else { return };
    let lease = lead(&mut connection, "a").await;
    run_out(&database).await;
    lease.check(&mut connection).await.unwrap();
    lease.renew(&mut connection, LONG).await.unwrap();
    assert_eq!(Lease::acquire(&mut connection, BATCH, "b", LONG).await.unwrap(), None);
}

#[tokio::test]
async fn a_leader_that_slept_too_long_writes_nothing() {
    let Some((database, mut connection)) = migrated().await else { return };
    let slept = lead(&mut connection, "a").await;
    run_out(&database).await;
    let leads = lead(&mut connection, "b").await;
    let refused = slept.begin(&mut connection).await.expect_err("somebody else leads");
    assert!(matches!(refused, LeaderError::Lost { epoch: 1, .. }), "{refused}");
    leads.begin(&mut connection).await.unwrap().rollback().await.unwrap();
}

/// A dump from before a's time is restored, and b leads under the same number.
#[tokio::test]
async fn an_epoch_that_comes_twice_is_told_apart() {
    let Some((database, mut connection)) = migrated().await else { return };
    let a = lead(&mut connection, "a").await;
    database.run("DELETE FROM ops.leases").await;
    let b = lead(&mut connection, "b").await;
    assert_eq!(a.epoch(), b.epoch());
    assert!(a.check(&mut connection).await.unwrap_err().is_lost());
    b.check(&mut connection).await.unwrap();
}

#[tokio::test]
async fn its_leader_renews_it_during_a_transaction_and_nobody_takes_it_before_the_end() {
    let Some((database, mut connection)) = migrated().await else { return };
    let (mut beside, mut other) = (connect(&database.url).await.unwrap(), connect(&database.url).await.unwrap());
    let lease = lead(&mut connection, "a").await;
    let transaction = lease.begin(&mut connection).await.unwrap();
    // Neither a renewal nor a look at a lease that is held waits for the transaction: each has a limit of 5 s for locks.
    lease.renew(&mut beside, LONG).await.unwrap();
    assert_eq!(Lease::acquire(&mut other, BATCH, "b", LONG).await.unwrap(), None);

    lease.renew(&mut beside, Duration::ZERO).await.unwrap();
    let order = Arc::new(AtomicI64::new(0));
    let seen = Arc::clone(&order);
    let taking = tokio::spawn(async move {
        let taken = Lease::acquire(&mut other, BATCH, "b", LONG).await.unwrap();
        seen.store(2, Ordering::SeqCst);
        taken
    });
    let waits = "SELECT count(*)::text FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while database.texts(waits).await != ["1"] {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(order.swap(1, Ordering::SeqCst), 0, "it waits");
    transaction.commit().await.unwrap();
    assert_eq!(taking.await.unwrap().map(|lease| lease.epoch()), Some(2));
    assert!(lease.check(&mut connection).await.unwrap_err().is_lost());
}
