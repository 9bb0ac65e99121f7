//! A window that is declared after its stream was counted: it counts from bronze what the other windows have counted already.
//!
//! Its table is made in the transaction that fills it and that finds the offsets as they were when bronze was read: a table is there
//! with everything, or not at all. Runs before the serving leg reads, never beside it.

use std::collections::BTreeMap;
use std::sync::Arc;

use deltalake::logstore::LogStoreRef;
use sqlx::{Connection, Executor};
use tributary_core::replay::replay_app;
use tributary_core::span::Span;
use tributary_core::stream::{Stream, Window};
use tributary_core::window::Cells;

use super::merge::Target;
use super::refill::{RefillError, fold_bronze};
use super::{ServingError, connect, lock_tables, missing_windows, offsets, replays, sql};
use crate::lake::delta_error;
use crate::lake::delta_log::DeltaLog;
use crate::lake::offsets::ingest_app;
use crate::repair::bronze::Bronze;

/// Per incarnation and partition, a next offset.
type Counted = BTreeMap<(i32, i32), i64>;

/// Makes the tables of these windows and counts into them what the stream's other windows have.
///
/// # Errors
/// See [`RefillError`]; no table was made then.
pub async fn add(stream: &Stream, windows: Vec<Window>, store: &LogStoreRef, database_url: &str) -> Result<(), RefillError> {
    let names: Vec<String> = windows.iter().map(|w| w.table.clone()).collect();
    let added = Arc::new(Stream { windows, ..stream.clone() });
    let mut connection = connect(database_url).await?;
    let counted = offsets::all(&mut connection, &stream.name).await?;
    let skipped = offsets::skipped(&mut connection, &stream.name).await?;
    let replayed = replayed(stream, store).await?;
    let cells = count(&added, store, &counted, &skipped).await?;

    let doing = || ServingError::new("adding windows");
    let mut transaction = connection.begin().await.map_err(doing())?;
    lock_tables(&mut transaction).await?;
    // The other windows must have what replays made valid in what was counted here, or these would have it twice in the end.
    if replayed != self::replayed(stream, store).await? {
        return Err(RefillError::Moved);
    }
    if let Some((id, next)) = replayed
        && replays::lock(&mut transaction, &stream.name, &id).await? != next
    {
        return Err(RefillError::Moved);
    }
    let now = offsets::all_locked(&mut transaction, &stream.name).await?;
    if now != counted || missing_windows(&mut transaction, &added).await?.len() != names.len() {
        return Err(RefillError::Moved);
    }
    for statement in sql::window_tables(&added) {
        transaction.execute(statement).await.map_err(doing())?;
    }
    Target::new(Arc::clone(&added), 0).add_rows(&mut transaction, cells).await?;
    transaction.commit().await.map_err(doing())?;
    tracing::info!(stream = stream.name, tables = ?names, "windows were added and counted from bronze");
    Ok(())
}

/// The bronze table's id and how many replays it has had.
async fn replayed(stream: &Stream, store: &LogStoreRef) -> Result<Option<(String, i64)>, RefillError> {
    let table = Bronze::open(store).await?;
    Ok(table.map(|table| (table.id.clone(), table.txn(&replay_app(&stream.topic)).unwrap_or(0))))
}

async fn count(
    added: &Arc<Stream>,
    store: &LogStoreRef,
    counted: &Counted,
    skipped: &[(i32, i32, i64, i64)],
) -> Result<Cells, RefillError> {
    let mut cells = Cells::default();
    if !store.is_delta_table_location().await.map_err(|e| delta_error(store.root_url(), e))? {
        tracing::warn!(stream = added.name, "there is no bronze to count new windows from: they begin now");
        return Ok(cells);
    }
    let log = DeltaLog::open(store.clone()).await?;
    for ((incarnation, partition), next) in counted {
        let app = ingest_app(&added.topic, *incarnation, *partition);
        if log.txn(&app).unwrap_or(0) < *next {
            return Err(RefillError::Behind(*partition));
        }
    }
    for (incarnation, spans) in rounds(counted, skipped) {
        for delta in fold_bronze(added, incarnation, store, &spans).await? {
            for (key, amount) in delta.cells {
                *cells.entry(key).or_default() += amount;
            }
        }
    }
    Ok(cells)
}

/// What was counted, without what was skipped, so that each round has one span per partition: a second one only where there are gaps.
fn rounds(counted: &Counted, skipped: &[(i32, i32, i64, i64)]) -> Vec<(i32, Vec<Span>)> {
    let mut rounds: BTreeMap<(i32, usize), Vec<Span>> = BTreeMap::new();
    for ((incarnation, partition), next) in counted {
        let mut gaps: Vec<(i64, i64)> =
            skipped.iter().filter(|(i, p, ..)| (i, p) == (incarnation, partition)).map(|(.., from, to)| (*from, *to)).collect();
        gaps.sort_unstable();
        gaps.push((*next, *next));
        let mut from = 0;
        for (round, (gap, end)) in gaps.into_iter().enumerate() {
            let span = Span { partition: *partition, epoch: 0, from, to: gap, floor: [0; 2] };
            rounds.entry((*incarnation, round)).or_default().push(span);
            from = end;
        }
    }
    rounds.into_iter().map(|((incarnation, _), spans)| (incarnation, spans)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_skipped_is_left_out() {
        let counted = Counted::from([((1, 0), 100), ((1, 1), 50), ((2, 0), 10)]);
        let skipped = [(1, 0, 70, 80), (1, 0, 20, 30)];
        let words: Vec<(i32, Vec<String>)> =
            rounds(&counted, &skipped).into_iter().map(|(i, s)| (i, s.iter().map(ToString::to_string).collect())).collect();
        let round = |incarnation: i32, spans: &[&str]| (incarnation, spans.iter().map(|s| (*s).to_owned()).collect());
        assert_eq!(
            words,
            [
                round(1, &["0:[0, 20)", "1:[0, 50)"]),
                round(1, &["0:[30, 70)"]),
                round(1, &["0:[80, 100)"]),
                round(2, &["0:[0, 10)"])
            ]
        );
    }
}
