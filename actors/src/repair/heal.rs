//! Windows put right from bronze, exactly, beside a pipeline that goes on counting.
//!
//! Day by day: bronze is counted up to the windows' offsets while nothing is locked; then, in one transaction, offsets and replays are
//! locked, the little that was merged meanwhile is counted as well, and rows that differ are changed. A row is changed only if it still is as
//! it was found, so that a partition which began meanwhile does no harm: the day is done again.
//!
//! Bronze decides. Promises to change nothing while bronze is behind the windows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};
use tributary_core::replay::replay_app;
use tributary_core::stream::Measure;
use tributary_core::window::{Cells, Key};

use super::bronze::Bronze;
use super::finish::{counted, counted_locked};
use super::recount::{DAY_MS, Part, count};
use super::{Counted, RepairError, Stores, finish};
use crate::lake::offsets::ingest_app;
use crate::serving::windows::{Correction, correct, read};
use crate::serving::{ServingError, connect, lock_tables, missing_windows, replays, sql};

/// Longest wait for bronze under lock: less than a merge waits for a lock.
const UNDER_LOCK: Duration = Duration::from_secs(4);
const POLL: Duration = Duration::from_millis(50);

/// What is to be healed, and how.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// Event times, `[from, to)` in milliseconds since 1970; none: all there are.
    pub range: Option<(i64, i64)>,
    /// Only say what differs; what a replay has yet to bring differs too.
    pub dry: bool,
    /// Believe a bronze that was made after the windows had begun to count.
    pub force: bool,
    /// How long bronze may take to reach the windows, and others to leave a day alone.
    pub wait: Duration,
}

/// A row of a window table that was not what bronze says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Healed {
    /// Table in schema `realtime`.
    pub table: String,
    /// Start of the window, milliseconds since 1970.
    pub start_ms: i64,
    /// Columns of the group and their values.
    pub key: Vec<(String, String)>,
    /// What it said; none: there was no row.
    pub before: Option<i128>,
    /// What it says now; none: the row is gone. The same as before: its window ended elsewhere.
    pub after: Option<i128>,
}

/// What a healing found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Healing {
    /// Days that were looked at.
    pub days: u64,
    /// Rows that were right.
    pub right: u64,
    /// Rows that differed.
    pub healed: Vec<Healed>,
    /// Windows without a table: `up` makes them.
    pub missing: Vec<String>,
    /// Replayed records that were brought to the windows first.
    pub replayed: u64,
}

/// Counts the windows again and puts right what differs.
///
/// # Errors
/// See [`RepairError`]; days that were put right before stay.
pub async fn heal(at: &Stores, request: Request) -> Result<Healing, RepairError> {
    let mut healing = Healing::default();
    let mut connection = connect(&at.database_url).await?;
    healing.missing = missing_windows(&mut connection, &at.stream).await?.into_iter().map(|w| w.table).collect();
    if !request.force {
        trust(at, &mut connection).await?;
    }
    let days = days(at, &mut connection, &healing.missing).await?;
    drop(connection);
    for day in days {
        let (from, to) = (i64::from(day) * DAY_MS, (i64::from(day) + 1) * DAY_MS);
        let (from, to) = request.range.map_or((from, to), |(a, b)| (from.max(a), to.min(b)));
        if from < to {
            heal_part(at, request, Part { day, from_ms: from, to_ms: to }, &mut healing).await?;
            healing.days += 1;
        }
    }
    Ok(healing)
}

/// Clocks of the machines that made the two.
const SKEW_MS: i64 = 120_000;

/// Refuses a bronze that is younger than the windows: what it lacks would be taken from them.
async fn trust(at: &Stores, connection: &mut PgConnection) -> Result<(), RepairError> {
    let begun: Option<i64> = sqlx::query_scalar(
        "SELECT (extract(epoch FROM min(adopted_at)) * 1000)::bigint FROM ops.topic_incarnations WHERE topic = $1",
    )
    .bind(&at.stream.topic)
    .fetch_one(connection)
    .await
    .map_err(ServingError::new("reading ops.topic_incarnations"))?;
    let made = Bronze::open(&at.table).await?.and_then(|table| table.created_ms);
    match (made, begun) {
        (Some(made), Some(begun)) if made > begun + SKEW_MS => {
            let time = |ms| chrono::DateTime::from_timestamp_millis(ms).unwrap_or_default().to_rfc3339();
            Err(RepairError::Unsafe(format!(
                "bronze of {} was made at {}, after the windows had begun to count at {}: what it lacks of that time would be taken from \
                 them; look with --dry-run --force, then say --force if bronze is right",
                at.stream.name,
                time(made),
                time(begun)
            )))
        }
        _ => Ok(()),
    }
}

/// The days of which there is anything, on either side.
async fn days(at: &Stores, connection: &mut PgConnection, missing: &[String]) -> Result<BTreeSet<i32>, RepairError> {
    let table = Bronze::open(&at.table).await?;
    let mut days: BTreeSet<i32> = table.into_iter().flat_map(|table| table.files).filter_map(|file| file.date).collect();
    for window in at.stream.windows.iter().filter(|w| !missing.contains(&w.table)) {
        let found: Vec<i32> = sqlx::query_scalar(sql::days(window))
            .fetch_all(&mut *connection)
            .await
            .map_err(ServingError::new("looking for days in the windows"))?;
        days.extend(found);
    }
    Ok(days)
}

async fn heal_part(at: &Stores, request: Request, part: Part, healing: &mut Healing) -> Result<(), RepairError> {
    let deadline = Instant::now() + request.wait;
    loop {
        if let Some(outcome) = attempt(at, request, part, deadline, healing).await? {
            healing.right += outcome.right;
            healing.healed.extend(outcome.healed);
            return Ok(());
        }
        if Instant::now() > deadline {
            let words = "others change the windows' offsets faster than they can be compared; try again later";
            return Err(RepairError::Busy(words.to_owned()));
        }
    }
}

struct Outcome {
    right: u64,
    healed: Vec<Healed>,
}

/// One attempt; none when something moved meanwhile.
async fn attempt(
    at: &Stores,
    request: Request,
    part: Part,
    deadline: Instant,
    healing: &mut Healing,
) -> Result<Option<Outcome>, RepairError> {
    let name = &at.stream.name;
    let mut connection = connect(&at.database_url).await?;
    let before = counted(&mut connection, name).await?;
    let table = reach(at, &before, deadline).await?;
    if !request.dry {
        healing.replayed += finish::finish_at(at, &table).await?.records;
    }
    let replay = |table: &Bronze| table.txn(&replay_app(&at.stream.topic)).unwrap_or(0);
    let mut cells = Cells::default();
    let spans = before.below.iter().map(|(place, to)| (*place, (i64::MIN, *to))).collect();
    count(&at.table, &at.stream, &table, &spans, &before, part, &mut cells).await?;

    let doing = || ServingError::new("healing the windows");
    let mut transaction = connection.begin().await.map_err(doing())?;
    lock_tables(&mut transaction).await?;
    if !request.dry && replays::lock(&mut transaction, name, &table.id).await? != replay(&table) {
        return Ok(None);
    }
    let now = counted_locked(&mut transaction, name).await?;
    if now.skipped != before.skipped {
        return Ok(None);
    }
    if now.below != before.below {
        let Some(rest) = between(&before, &now) else { return Ok(None) };
        let Ok(later) = reach(at, &now, deadline.min(Instant::now() + UNDER_LOCK)).await else { return Ok(None) };
        if later.id != table.id || replay(&later) != replay(&table) {
            return Ok(None);
        }
        count(&at.table, &at.stream, &later, &rest, &now, part, &mut cells).await?;
    }
    let Some(outcome) = compare(at, request, part, &cells, &mut transaction, &now).await? else { return Ok(None) };
    if request.dry {
        transaction.rollback().await.map_err(doing())?;
    } else {
        transaction.commit().await.map_err(doing())?;
    }
    Ok(Some(outcome))
}

/// What was merged between the two, by place; none when the offsets went back: a database from an older dump.
fn between(before: &Counted, now: &Counted) -> Option<BTreeMap<tributary_core::replay::Place, (i64, i64)>> {
    let known = before.below.iter().all(|(place, from)| now.below.get(place).is_some_and(|to| to >= from));
    let spans = now.below.iter().map(|(place, to)| (*place, (before.below.get(place).copied().unwrap_or(i64::MIN), *to)));
    known.then(|| spans.collect())
}

/// Bronze, once it has all that was counted.
pub(super) async fn reach(at: &Stores, counted: &Counted, deadline: Instant) -> Result<Bronze, RepairError> {
    loop {
        let table = Bronze::open(&at.table).await?.unwrap_or_default();
        let next = |(n, p): (i32, i32)| table.txn(&ingest_app(&at.stream.topic, n, p)).unwrap_or(0);
        let Some((place, to)) = counted.below.iter().find(|(place, to)| next(**place) < **to) else { return Ok(table) };
        if Instant::now() >= deadline {
            return Err(RepairError::Behind(format!(
                "bronze has partition {} (incarnation {}) up to {}, the windows have counted it up to {to}: nothing is changed until bronze \
                 is as far; is its leg running? (`tributary status`)",
                place.1,
                place.0,
                next(*place)
            )));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// From where on a window table is complete, milliseconds since 1970.
async fn complete_from(transaction: &mut PgConnection, table: &str) -> Result<i64, ServingError> {
    let from: Option<i64> =
        sqlx::query_scalar("SELECT (extract(epoch FROM deleted_before) * 1000)::bigint FROM ops.retention WHERE table_name = $1")
            .bind(table)
            .fetch_optional(transaction)
            .await
            .map_err(ServingError::new("reading ops.retention"))?;
    Ok(from.unwrap_or(i64::MIN))
}

/// Compares, and writes unless it is a dry run; none when a row or a partition came in between.
async fn compare(
    at: &Stores,
    request: Request,
    part: Part,
    cells: &Cells,
    transaction: &mut PgConnection,
    counted: &Counted,
) -> Result<Option<Outcome>, RepairError> {
    let mut outcome = Outcome { right: 0, healed: Vec::new() };
    let missing = missing_windows(transaction, &at.stream).await?;
    for (index, window) in at.stream.windows.iter().enumerate().filter(|(_, w)| !missing.contains(w)) {
        let (from, to) = part.starts(window.every_ms);
        // What was deleted for its age stays so.
        let from = from.max(complete_from(transaction, &window.table).await?);
        if from >= to {
            continue;
        }
        let stored = read(transaction, &at.stream, window, (from, to)).await?;
        let mut keys: BTreeSet<(i64, Vec<String>)> = stored.keys().cloned().collect();
        let should = |key: &(i64, Vec<String>)| {
            let group = key.1.iter().map(|text| text.as_str().into()).collect();
            cells.get(&Key { window: index as u16, start_ms: key.0, group }).copied()
        };
        let own = cells.keys().filter(|key| usize::from(key.window) == index && key.start_ms >= from);
        keys.extend(own.map(|key| (key.start_ms, key.group.iter().map(|text| text.to_string()).collect())));
        let mut corrections = Vec::new();
        for key in keys {
            let (there, after) = (stored.get(&key), should(&key));
            let before = there.map(|row| row.number);
            // Nothing to add leaves nothing to see.
            let nothing = before.is_none() && after == Some(0) && matches!(window.measure, Measure::Sum { .. });
            if nothing || (before == after && there.is_none_or(|row| row.ends_right)) {
                outcome.right += u64::from(before.is_some());
                continue;
            }
            corrections.push(Correction { start_ms: key.0, group: key.1, before, after });
        }
        if !request.dry && !correct(transaction, &at.stream, window, &corrections).await? {
            return Ok(None);
        }
        let columns: Vec<&str> = window.group_by.iter().map(|field| at.stream.fields[*field].column.as_str()).collect();
        outcome.healed.extend(corrections.into_iter().map(|correction| Healed {
            table: window.table.clone(),
            start_ms: correction.start_ms,
            key: columns.iter().map(|c| (*c).to_owned()).zip(correction.group).collect(),
            before: correction.before,
            after: correction.after,
        }));
    }
    // A partition that began meanwhile has no row to lock: what it added was seen, or it waits for our rows.
    let now = super::finish::counted(transaction, &at.stream.name).await?;
    Ok((now.below.keys().eq(counted.below.keys())).then_some(outcome))
}
