//! A COMMIT whose answer is lost says nothing; asking again does.

use tributary_actors::serving::connect;

use super::{deltas, prepared, words};
use crate::common::Dice;
use crate::common::payments::{stream, windows};
use crate::common::proxy::Proxy;

#[tokio::test]
async fn a_commit_that_took_place_unheard_is_found_and_not_repeated() {
    let Some((database, target)) = prepared().await else { return };
    let (port, proxy) = proxied(&database.url);
    let mut connection = connect(&database.url.replace(&port, &proxy.port.to_string())).await.unwrap();
    target.merge(&mut connection, &deltas(&[(0, 0..10), (1, 0..10)])).await.unwrap();
    proxy.lose_the_next_answer();
    let (next, stranger) = (deltas(&[(0, 10..20), (1, 10..20)]), deltas(&[(2, 0..50)]));
    target.merge(&mut connection, &next).await.expect_err("the answer is lost");
    assert_eq!(proxy.cuts(), 1);

    let mut again = connect(&database.url).await.unwrap();
    target.merge(&mut again, &stranger).await.unwrap();
    let asked = [next, deltas(&[(2, 20..60)]), deltas(&[(3, 0..5)])].concat();
    let resolved = target.resolve(&mut again, &asked).await.unwrap();
    assert_eq!(words(&resolved.landed), ["0:[10, 20)", "1:[10, 20)"]);
    assert_eq!(words(&resolved.again), ["3:[0, 5)"]);
    assert_eq!(words(resolved.foreign.iter().map(|(span, _)| span)), ["2:[20, 60)"]);
    assert_eq!(database.windows(&stream()).await, windows(&[(0, 0..20), (1, 0..20), (2, 0..50)]));
}

#[tokio::test]
async fn a_commit_that_never_arrived_is_found_missing_and_put_again() {
    let Some((database, target)) = prepared().await else { return };
    let (port, proxy) = proxied(&database.url);
    let mut connection = connect(&database.url.replace(&port, &proxy.port.to_string())).await.unwrap();
    proxy.lose_the_next_commit();
    let open = deltas(&[(0, 0..30)]);
    target.merge(&mut connection, &open).await.expect_err("the wire is cut");
    let mut again = connect(&database.url).await.unwrap();
    // The server may still be finding out that its client is gone; the row's lock waits for that.
    let resolved = target.resolve(&mut again, &open).await.unwrap();
    assert_eq!(words(&resolved.again), ["0:[0, 30)"]);
    let merged = target.merge(&mut again, &open).await.unwrap();
    assert_eq!(merged.done.len(), 1);
    assert_eq!(database.windows(&stream()).await, windows(&[(0, 0..30)]));
}

/// A backend that is killed between its COMMIT and the next statement, as often as it happens.
#[tokio::test]
async fn killed_backends_leave_exact_windows() {
    let Some((database, target)) = prepared().await else { return };
    let killer = database.connect().await;
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let done = std::sync::Arc::clone(&stop);
    let killing = tokio::spawn(async move {
        let (mut killer, mut killed, mut dice) = (killer, 0_i64, Dice(7));
        let sql = "SELECT count(*) FROM (SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE datname = current_database() AND application_name = 'tributary') AS k";
        while !done.load(std::sync::atomic::Ordering::Relaxed) {
            killed += sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut killer).await.unwrap();
            // At any moment, and sometimes late enough that something gets through on a busy machine.
            tokio::time::sleep(std::time::Duration::from_millis(3 + dice.roll(60))).await;
        }
        killed
    });
    let mut unheard = 0;
    for n in 0..60 {
        let mut open = deltas(&[(0, n * 10..n * 10 + 10), (1, n..n + 1)]);
        while !open.is_empty() {
            let Ok(mut connection) = connect(&database.url).await else { continue };
            match target.merge(&mut connection, &open).await {
                Ok(merged) => {
                    // Foreign here is our own commit that was still under way when we asked.
                    assert!(merged.foreign.iter().all(|(span, found)| *found == span.to));
                    open.clear();
                }
                Err(_) => loop {
                    unheard += 1;
                    let Ok(mut asking) = connect(&database.url).await else { continue };
                    let Ok(resolved) = target.resolve(&mut asking, &open).await else { continue };
                    open.retain(|delta| resolved.again.contains(&delta.span));
                    break;
                },
            }
        }
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let killed = killing.await.unwrap();
    assert!(killed > 10 && unheard > 0, "{killed} killed, {unheard} unheard");
    assert_eq!(database.windows(&stream()).await, windows(&[(0, 0..600), (1, 0..60)]));
}

fn proxied(url: &str) -> (String, Proxy) {
    let port = url.rsplit(':').next().unwrap().split('/').next().unwrap().to_owned();
    let proxy = Proxy::to(port.parse().unwrap());
    (port, proxy)
}
