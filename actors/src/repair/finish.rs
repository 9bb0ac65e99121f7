//! What replays have made valid in bronze comes to the windows, once.
//!
//! Bronze is written first and alone decides: its log says how many replays there are, its tags say which rows they were. PostgreSQL says
//! how many of them its windows have; the rows of the others are added in the transaction that moves that number. Whoever finds the two
//! apart does this (a replay that was killed in between is found by the next replay, by a pipeline's start and by a healing), and of two who
//! do it at once, one finds it done.
//!
//! Only rows below the windows' offsets are added: the others come to the windows by their offsets. A replay takes no such rows, but a
//! PostgreSQL from an older dump has older offsets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{BooleanArray, RecordBatch};
use deltalake::logstore::LogStoreRef;
use sqlx::{Connection, PgConnection};
use tributary_core::batch::Status;
use tributary_core::replay::{Offsets, Place, Untaken, replay_app, untaken};
use tributary_core::span::Span;
use tributary_core::stream::Stream;
use tributary_core::window::{Cells, Folder};

use super::bronze::{self, Bronze};
use super::{Counted, RepairError, Stores};
use crate::serving::merge::Target;
use crate::serving::refill::needed_columns;
use crate::serving::{ServingError, connect, lock_tables, missing_windows, offsets, replays};

/// Somebody may move offsets or take replays between reading and locking; not for ever.
const ATTEMPTS: u32 = 20;

/// What was brought to the windows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Finished {
    /// Replays taken.
    pub replays: u64,
    /// Records added.
    pub records: u64,
    /// Replays whose rows nobody can find any more, because another program rewrote bronze: they are in bronze and not in the windows, which
    /// a healing of everything mends.
    pub untraceable: bool,
}

/// Adds to the windows what replays have made valid and the windows do not have. Costs a look at the log and at PostgreSQL when there is
/// nothing to do.
///
/// # Errors
/// See [`RepairError`]; nothing was added then, or all of it, which the next call finds out.
pub async fn finish(at: &Stores) -> Result<Finished, RepairError> {
    match Bronze::open(&at.table).await? {
        Some(table) => finish_at(at, &table).await,
        None => Ok(Finished::default()),
    }
}

/// The same, of this version of bronze.
pub(super) async fn finish_at(at: &Stores, table: &Bronze) -> Result<Finished, RepairError> {
    let until = table.txn(&replay_app(&at.stream.topic)).unwrap_or(0);
    if until == 0 {
        return Ok(Finished::default());
    }
    let mut connection = connect(&at.database_url).await?;
    for _ in 0..ATTEMPTS {
        let next = replays::next(&mut connection, &at.stream.name, &table.id).await?;
        if next >= until {
            return Ok(Finished::default());
        }
        if let Some(finished) = take(at, &mut connection, table, next, until).await? {
            let _ = connection.close().await;
            tracing::info!(stream = at.stream.name, from = next, until, records = finished.records, "the windows took replays");
            return Ok(finished);
        }
    }
    Err(RepairError::Busy("the windows' offsets move faster than replayed records can be added to them".to_owned()))
}

/// One attempt; none when something moved meanwhile.
async fn take(
    at: &Stores,
    connection: &mut PgConnection,
    table: &Bronze,
    next: i64,
    until: i64,
) -> Result<Option<Finished>, RepairError> {
    let name = &at.stream.name;
    let (files, untraceable) = match untaken(&table.files, next, until) {
        Ok(files) => (files, false),
        Err(error) => {
            tracing::error!(stream = name, %error, "valid records are missing in the windows: say `tributary heal --all`");
            (Vec::new(), true)
        }
    };
    let before = counted(connection, name).await?;
    let wanted = wanted(&files, &before);
    let rows = read(&at.table, &at.stream, table, &wanted).await?;

    let doing = || ServingError::new("adding replayed records");
    let mut transaction = connection.begin().await.map_err(doing())?;
    lock_tables(&mut transaction).await?;
    if replays::lock(&mut transaction, name, &table.id).await? != next {
        return Ok(None);
    }
    let now = counted_locked(&mut transaction, name).await?;
    if now != before && self::wanted(&files, &now) != wanted {
        return Ok(None);
    }
    // A window without a table yet counts all of bronze when its table is made.
    let missing = missing_windows(&mut transaction, &at.stream).await?;
    let windows = at.stream.windows.iter().filter(|w| !missing.contains(w)).cloned().collect();
    let counting = Arc::new(Stream { windows, ..(*at.stream).clone() });
    let cells = fold(&counting, &rows)?;
    Target::new(counting, 0).add_rows(&mut transaction, cells).await?;
    replays::set(&mut transaction, name, &table.id, until).await?;
    transaction.commit().await.map_err(doing())?;
    let records = rows.iter().map(|rows| rows.num_rows() as u64).sum();
    Ok(Some(Finished { replays: next.abs_diff(until), records, untraceable }))
}

/// What the windows have.
pub(super) async fn counted(connection: &mut PgConnection, stream: &str) -> Result<Counted, ServingError> {
    let below = offsets::all(connection, stream).await?;
    Ok(Counted { below, skipped: offsets::skipped(connection, stream).await? })
}

/// The same, and it does not move before the transaction ends.
pub(super) async fn counted_locked(transaction: &mut PgConnection, stream: &str) -> Result<Counted, ServingError> {
    let below = offsets::all_locked(transaction, stream).await?;
    Ok(Counted { below, skipped: offsets::skipped(transaction, stream).await? })
}

type Wanted = BTreeMap<String, BTreeMap<Place, Offsets>>;

/// Those that the windows had passed.
fn wanted(files: &[Untaken], counted: &Counted) -> Wanted {
    let mut wanted = Wanted::new();
    for file in files {
        for (place, offsets) in &file.rows {
            let passed: Offsets =
                offsets.iter().filter(|offset| counted.passed(*place, *offset) && !counted.skips(*place, *offset)).collect();
            if !passed.is_empty() {
                wanted.entry(file.path.clone()).or_default().insert(*place, passed);
            }
        }
    }
    wanted
}

/// These rows, of the columns that the windows are made from.
async fn read(store: &LogStoreRef, stream: &Stream, table: &Bronze, wanted: &Wanted) -> Result<Vec<RecordBatch>, RepairError> {
    let columns = needed_columns(stream);
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut found = Vec::new();
    for (path, places) in wanted {
        let Some(file) = table.files.iter().find(|file| file.path == *path) else { continue };
        let mut rows = 0;
        for batch in bronze::rows(store, file, Some(&columns)).await? {
            let taken = among(&batch?, places)?;
            rows += taken.num_rows() as u64;
            if taken.num_rows() > 0 {
                found.push(taken);
            }
        }
        let named: u64 = places.values().map(Offsets::count).sum();
        if rows != named {
            return Err(RepairError::Schema(format!("{path} has {rows} valid rows of {named} that its tag names as replayed")));
        }
    }
    Ok(found)
}

fn among(batch: &RecordBatch, places: &BTreeMap<Place, Offsets>) -> Result<RecordBatch, RepairError> {
    let strange = || RepairError::Schema("rows without partition, offset, incarnation or status".to_owned());
    let numbers = |name: &str| batch.column_by_name(name).and_then(|c| c.as_primitive_opt::<Int32Type>()).ok_or_else(strange);
    let (incarnations, partitions) = (numbers("topic_incarnation")?, numbers("kafka_partition")?);
    let offsets = batch.column_by_name("kafka_offset").and_then(|c| c.as_primitive_opt::<Int64Type>()).ok_or_else(strange)?;
    let statuses = batch.column_by_name("status").and_then(|c| c.as_string_opt::<i32>()).ok_or_else(strange)?;
    let named = |row: usize| {
        let place = (incarnations.value(row), partitions.value(row));
        statuses.value(row) == Status::Ok.as_str() && places.get(&place).is_some_and(|set| set.has(offsets.value(row)))
    };
    let mask: BooleanArray = (0..batch.num_rows()).map(|row| Some(named(row))).collect();
    Ok(arrow_select::filter::filter_record_batch(batch, &mask)?)
}

/// What these rows add up to.
fn fold(stream: &Arc<Stream>, rows: &[RecordBatch]) -> Result<Cells, RepairError> {
    let folder = Folder::new(Arc::clone(stream));
    let mut cells = Cells::default();
    for batch in rows {
        let partitions = batch.column_by_name("kafka_partition").and_then(|c| c.as_primitive_opt::<Int32Type>());
        let partitions: BTreeSet<i32> = partitions.map(|c| c.values().iter().copied().collect()).unwrap_or_default();
        let whole = |partition| Span { partition, epoch: 0, from: i64::MIN, to: i64::MAX, floor: [i64::MIN; 2] };
        let spans: Vec<Span> = partitions.into_iter().map(whole).collect();
        for delta in folder.fold(batch, &spans).map_err(|e| RepairError::Schema(e.to_string()))? {
            for (key, amount) in delta.cells {
                *cells.entry(key).or_default() += amount;
            }
        }
    }
    Ok(cells)
}
