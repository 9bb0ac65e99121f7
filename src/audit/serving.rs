//! PostgreSQL at one moment: offsets and window tables out of one read-only transaction.
//!
//! `REPEATABLE READ`, so that the offsets and the windows that they are about belong together however busy the writer is. Everything
//! is read before bronze is, and the transaction is over by then: an audit of a big lake must not hold back VACUUM.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::TryStreamExt;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{Connection, Row};
use tributary_core::stream::{Stream, Window};

use super::ranges::Ranges;
use super::recount::{Counts, Key, MAX_GROUP, NULL, Symbols};
use super::spans::Place;
use super::sql;

const CONNECT: Duration = Duration::from_secs(5);

/// What PostgreSQL held.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// Next offset per incarnation and partition.
    pub(crate) offsets: BTreeMap<Place, i64>,
    /// Offsets that the serving leg was told to skip.
    pub(crate) skipped: HashMap<Place, Ranges>,
    /// Topic ids and their incarnations.
    pub(crate) topics: BTreeMap<String, i64>,
    /// By the bronze table's id: replays below this number are in the windows.
    pub(crate) replays: BTreeMap<String, i64>,
    /// Per declared window; none when the table is not there.
    pub(crate) tables: Vec<Option<Stored>>,
}

/// One window table.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    /// Its numbers; rows of the same key are added up.
    pub(crate) counts: Counts,
    /// Its rows.
    pub(crate) rows: u64,
    /// Keys with more than one row.
    pub(crate) twice: Vec<Key>,
    /// Keys whose window does not end where it should.
    pub(crate) bad_end: Vec<Key>,
    /// In microseconds since 1970: windows that begin before were deleted for their age, and what is there of them is not complete.
    pub(crate) complete_from: Option<i64>,
}

/// A connection, or why there is none.
pub(crate) async fn connect(url: &str) -> Result<PgConnection> {
    let options = PgConnectOptions::from_str(url).context("the address of PostgreSQL is not a postgres:// URL")?;
    let options = options.application_name("tributary-audit");
    match tokio::time::timeout(CONNECT, PgConnection::connect_with(&options)).await {
        Ok(connected) => connected.context("cannot connect to PostgreSQL"),
        Err(_) => bail!("PostgreSQL does not answer within {} s", CONNECT.as_secs()),
    }
}

/// The next offsets now, without a snapshot: for waiting.
pub(crate) async fn offsets(url: &str, stream: &Stream) -> Result<BTreeMap<Place, i64>> {
    let mut connection = connect(url).await?;
    read_offsets(&mut connection, stream).await
}

/// How far the windows are, without reading them.
#[derive(Debug, Default)]
pub(crate) struct Newest {
    /// Next offset per incarnation and partition.
    pub(crate) offsets: BTreeMap<Place, i64>,
    /// Start of the newest window of any table, in microseconds since 1970.
    pub(crate) window_us: Option<i64>,
    /// When an offset moved last, in microseconds since 1970.
    pub(crate) moved_us: Option<i64>,
}

/// How far the windows are now.
pub(crate) async fn newest(url: &str, stream: &Stream) -> Result<Newest> {
    let mut connection = connect(url).await?;
    let mut newest = Newest { offsets: read_offsets(&mut connection, stream).await?, ..Newest::default() };
    let moved = "SELECT (extract(epoch FROM max(updated_at)) * 1000000)::bigint FROM ops.stream_offsets WHERE stream = $1";
    newest.moved_us = sqlx::query_scalar(moved).bind(&stream.name).fetch_one(&mut connection).await?;
    for window in &stream.windows {
        if exists(&mut connection, &sql::table(window)).await? {
            let start: Option<i64> = sqlx::query_scalar(sql::newest(window)).fetch_one(&mut connection).await?;
            newest.window_us = newest.window_us.max(start);
        }
    }
    Ok(newest)
}

/// Everything at one moment.
pub(crate) async fn snapshot(url: &str, stream: &Stream, symbols: &Symbols) -> Result<Snapshot> {
    let mut connection = connect(url).await?;
    let mut tx = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let mut snapshot = Snapshot { offsets: read_offsets(&mut tx, stream).await?, ..Snapshot::default() };

    if exists(&mut tx, "ops.lost_ranges").await? {
        let lost = "SELECT incarnation::int, kafka_partition::int, from_offset, to_offset FROM ops.lost_ranges \
                    WHERE stream = $1 AND leg = 'serving'";
        for row in sqlx::query(lost).bind(&stream.name).fetch_all(&mut *tx).await? {
            let place = (row.try_get(0)?, row.try_get(1)?);
            snapshot.skipped.entry(place).or_default().add(row.try_get(2)?, row.try_get(3)?);
        }
    }
    if exists(&mut tx, "ops.topic_incarnations").await? {
        let topics = "SELECT topic_id::text, incarnation::bigint FROM ops.topic_incarnations WHERE topic = $1";
        for row in sqlx::query(topics).bind(&stream.topic).fetch_all(&mut *tx).await? {
            snapshot.topics.insert(row.try_get(0)?, row.try_get(1)?);
        }
    }
    if exists(&mut tx, "ops.replays").await? {
        let replays = "SELECT table_id::text, next FROM ops.replays WHERE stream = $1";
        for row in sqlx::query(replays).bind(&stream.name).fetch_all(&mut *tx).await? {
            snapshot.replays.insert(row.try_get(0)?, row.try_get(1)?);
        }
    }
    let retained = exists(&mut tx, "ops.retention").await?;
    for window in &stream.windows {
        let mut stored = match exists(&mut tx, &sql::table(window)).await? {
            true => Some(read_table(&mut tx, stream, window, symbols).await.with_context(|| window.table.clone())?),
            false => None,
        };
        if let (true, Some(stored)) = (retained, &mut stored) {
            let from = "SELECT (extract(epoch FROM deleted_before) * 1000000)::bigint FROM ops.retention WHERE table_name = $1";
            stored.complete_from = sqlx::query_scalar(from).bind(&window.table).fetch_optional(&mut *tx).await?;
        }
        snapshot.tables.push(stored);
    }
    tx.rollback().await?;
    Ok(snapshot)
}

/// Whether there is a table of that name.
pub(crate) async fn exists(connection: &mut PgConnection, table: &str) -> Result<bool> {
    Ok(sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL").bind(table).fetch_one(connection).await?)
}

async fn read_offsets(connection: &mut PgConnection, stream: &Stream) -> Result<BTreeMap<Place, i64>> {
    // An asserted table: a database without it was never a serving store, and "no offsets" would sound like "nothing yet".
    let offsets = "SELECT incarnation::int, kafka_partition::int, next_offset FROM ops.stream_offsets WHERE stream = $1";
    let rows = sqlx::query(offsets).bind(&stream.name).fetch_all(connection).await.context("cannot read ops.stream_offsets")?;
    rows.iter().map(|row| Ok(((row.try_get(0)?, row.try_get(1)?), row.try_get(2)?))).collect()
}

async fn read_table(connection: &mut PgConnection, stream: &Stream, window: &Window, symbols: &Symbols) -> Result<Stored> {
    let every_us = window.every_ms * 1000;
    let mut stored = Stored::default();
    let mut rows = sqlx::query(sql::rows(stream, window)).fetch(connection);
    while let Some(row) = rows.try_next().await? {
        let (start, end): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        let key = (start, group(&row, window.group_by.len(), symbols)?);
        let text: &str = row.try_get(2 + MAX_GROUP)?;
        let number: i128 = text.parse().with_context(|| format!("`{text}` is not a whole number"))?;
        stored.rows += 1;
        if stored.counts.contains_key(&key) {
            stored.twice.push(key);
        }
        if end.checked_sub(start) != Some(every_us) {
            stored.bad_end.push(key);
        }
        let count = stored.counts.entry(key).or_default();
        *count = count.saturating_add(number);
    }
    Ok(stored)
}

fn group(row: &PgRow, columns: usize, symbols: &Symbols) -> Result<[u32; MAX_GROUP]> {
    let mut group = [0; MAX_GROUP];
    for (place, at) in group.iter_mut().take(columns).zip(2..) {
        let text: Option<&str> = row.try_get(at)?;
        *place = symbols.numbers([text].into_iter()).first().copied().unwrap_or(NULL);
    }
    Ok(group)
}
