//! Rows of tables, and records that are not valid, read for a page or a call: in turn, away from the threads that answer, and bounded in
//! rows, bytes and time.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::time::timeout;
use tributary_actors::lake::LakeError;
use tributary_actors::repair::letters::Which;
use tributary_batch::query::tables;

use super::failure::Failure;
use super::lake_view::Seen;
use super::shared::Shared;
use crate::inspect::letters::{self, Counted, Letter};
use crate::inspect::query::{Bounds, Late, Rows, ask, newest, not_named, pin, stored};
use crate::words;

/// How long one of these may take: a page that takes longer is no page.
const TIME: Duration = Duration::from_secs(20);
/// Bytes of all cells.
const BYTES: usize = 1 << 20;
/// Rows that a query gives at most, and where nobody says how many.
pub(crate) const MOST_ROWS: usize = 1_000;
pub(crate) const ROWS: usize = 200;

fn bounds(rows: usize) -> Bounds {
    Bounds { rows: rows.min(MOST_ROWS), bytes: BYTES, time: TIME }
}

/// Runs one statement that only reads.
pub(crate) async fn query(shared: &Arc<Shared>, sql: String, at: Vec<(String, u64)>, rows: usize) -> Result<Rows> {
    let named = tables(&sql)?;
    if let Some(table) = not_named(&named, &at) {
        return Err(Failure::wrong(format!("`at` has a version for {table}, which the query does not name")).into());
    }
    let here = Arc::clone(shared);
    let answered = shared.away(async move {
        let _turn = here.turn().await?;
        let pinned = timeout(TIME, pin(here.lake.catalog(), &named, &at)).await.map_err(|_| Late(TIME))??;
        ask(&here.made.engine, &sql, pinned, bounds(rows)).await
    });
    answered.await.map_err(said)
}

/// Some of a table's newest rows, as it is or was.
pub(crate) async fn preview(shared: &Arc<Shared>, seen: &Seen, version: Option<u64>, rows: usize) -> Result<Arc<Rows>> {
    let newest_version = seen.snapshot.version();
    let wanted = version.unwrap_or(newest_version);
    if wanted > newest_version {
        let words = format!("{} has no version {wanted} yet; its newest is {newest_version}", seen.name);
        return Err(Failure::not_found(words).into());
    }
    let key = format!("{} {wanted} {rows}", seen.snapshot.id());
    if let Some(known) = shared.previews.get(&key) {
        return Ok(known);
    }
    let (here, seen) = (Arc::clone(shared), seen.clone());
    // Kept where it is found out: whoever did not wait for it has it at the next look.
    let found = shared.away(async move {
        let look = async {
            let _turn = here.turn().await?;
            let table = match wanted == newest_version {
                true => stored(&seen.name, &seen.snapshot),
                false => {
                    let opened = timeout(TIME, here.lake.catalog().open(&seen.name, Some(wanted))).await;
                    stored(&seen.name, &opened.map_err(|_| Late(TIME))??)
                }
            };
            let (sql, newest) = newest(&table, rows);
            ask(&here.made.engine, &sql, vec![newest], bounds(rows)).await
        };
        here.previews.or(&key, look).await
    });
    found.await.map_err(said)
}

/// How many records are not valid; or why that is not known. Kept for some seconds, and longer where it took long.
pub(crate) type Counts = Result<Vec<Counted>, String>;

/// Counts them.
pub(crate) async fn counts(shared: &Arc<Shared>, stream: Option<&str>, which: Which) -> Result<Arc<Counts>> {
    let stores = stores(shared, stream)?;
    let key = format!("{stream:?} {which:?}");
    let here = Arc::clone(shared);
    let counted = shared.away(async move {
        let count = async {
            let _turn = here.turn().await?;
            match timeout(TIME, letters::counts(&stores, &which)).await {
                Ok(counted) => Ok(Ok(counted?)),
                Err(_) => Ok(Err(format!("there are so many that they were not counted within {}", words::duration(TIME)))),
            }
        };
        here.letters.or(&key, count).await
    });
    counted.await
}

/// The newest of them, of each stream at most so many.
pub(crate) async fn samples(shared: &Arc<Shared>, stream: Option<&str>, which: Which, most: usize) -> Result<Vec<Letter>> {
    let stores = stores(shared, stream)?;
    let here = Arc::clone(shared);
    let found = shared.away(async move {
        let _turn = here.turn().await?;
        timeout(TIME, letters::samples(&stores, &which, most)).await.map_err(|_| Late(TIME))?
    });
    found.await.map_err(said)
}

/// Where the records of that stream are, or of all.
pub(crate) fn stores(shared: &Shared, stream: Option<&str>) -> Result<Vec<tributary_actors::repair::Stores>> {
    let all = &shared.made.streams;
    let meant: Vec<_> = all.iter().filter(|one| stream.is_none_or(|name| one.name == name)).map(Arc::clone).collect();
    match (meant.is_empty(), stream) {
        (true, Some(name)) => {
            let known = all.iter().map(|stream| stream.name.as_str());
            Err(Failure::not_found(words::unknown("stream", name, known)).into())
        }
        _ => letters::stores(&shared.made.settings, meant),
    }
}

/// What took too long, and what a person must write otherwise, are no failures of a store.
fn said(error: anyhow::Error) -> anyhow::Error {
    if error.is::<Late>() {
        return Failure::late(error.to_string()).into();
    }
    match error.downcast_ref() {
        Some(LakeError::Refused { problem, .. }) => Failure::not_found(problem.clone()).into(),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_is_over_and_versions_that_are_gone_are_nobodys_outage() {
        let status = |error: anyhow::Error| Failure::of(said(error)).status.as_u16();
        assert_eq!(status(Late(TIME).into()), 504);
        assert_eq!(status(LakeError::Refused { url: String::new(), problem: "version 1 is gone".into() }.into()), 404);
        assert_eq!(status(anyhow::anyhow!("the disk is gone")), 503);
    }
}
