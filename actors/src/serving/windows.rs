//! Rows of a window table, read and put right; what calls it has locked what they depend on.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};
use tributary_core::stream::{Stream, Window};

use super::{ServingError, sql};

/// A row's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) number: i128,
    /// Its window ends where it should.
    pub(crate) ends_right: bool,
}

/// Start of the window in milliseconds since 1970, and the texts of the group.
pub(crate) type Key = (i64, Vec<String>);

/// A row that is to be another, to be there, or to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Correction {
    pub(crate) start_ms: i64,
    pub(crate) group: Vec<String>,
    pub(crate) before: Option<i128>,
    pub(crate) after: Option<i128>,
}

fn time(ms: i64) -> DateTime<Utc> {
    // A declaration's limits keep event times inside what both chrono and PostgreSQL hold.
    DateTime::from_timestamp_millis(ms).unwrap_or_default()
}

/// The rows whose windows start in `[from, to)`, milliseconds since 1970.
pub(crate) async fn read(
    connection: &mut PgConnection,
    stream: &Stream,
    window: &Window,
    (from, to): (i64, i64),
) -> Result<BTreeMap<Key, Stored>, ServingError> {
    let doing = || ServingError::new("reading the windows");
    let rows = sqlx::query(sql::rows(stream, window)).bind(time(from)).bind(time(to)).fetch_all(connection).await;
    let groups = window.group_by.len();
    let mut stored = BTreeMap::new();
    for row in rows.map_err(doing())? {
        let start: DateTime<Utc> = row.try_get(0).map_err(doing())?;
        let end: DateTime<Utc> = row.try_get(1).map_err(doing())?;
        let group = (0..groups).map(|i| row.try_get(2 + i)).collect::<Result<Vec<String>, _>>().map_err(doing())?;
        let text: String = row.try_get(2 + groups).map_err(doing())?;
        let wrong = |_| doing()(sqlx::Error::Decode(format!("`{text}` is not a whole number").into()));
        let number: i128 = text.parse().map_err(wrong)?;
        let ends_right = (end - start).num_milliseconds() == window.every_ms;
        stored.insert((start.timestamp_millis(), group), Stored { number, ends_right });
    }
    Ok(stored)
}

/// Puts rows right. False when one of them is not any more what it was found to be: then the transaction must be rolled back.
pub(crate) async fn correct(
    transaction: &mut PgConnection,
    stream: &Stream,
    window: &Window,
    corrections: &[Correction],
) -> Result<bool, ServingError> {
    let [change, insert, delete] = sql::corrections(stream, window);
    type OfKind = fn(&Correction) -> bool;
    let kinds: [(_, OfKind); 3] = [
        (change, |c| c.before.is_some() && c.after.is_some()),
        (insert, |c| c.before.is_none()),
        (delete, |c| c.after.is_none()),
    ];
    for (statement, of_kind) in kinds {
        let rows: Vec<&Correction> = corrections.iter().filter(|c| of_kind(c)).collect();
        if rows.is_empty() {
            continue;
        }
        let starts: Vec<DateTime<Utc>> = rows.iter().map(|c| time(c.start_ms)).collect();
        let ends: Vec<DateTime<Utc>> = rows.iter().map(|c| time(c.start_ms + window.every_ms)).collect();
        let mut query = sqlx::query(statement).bind(starts).bind(ends);
        for column in 0..window.group_by.len() {
            let texts: Vec<String> = rows.iter().map(|c| c.group.get(column).cloned().unwrap_or_default()).collect();
            query = query.bind(texts);
        }
        let texts = |of: fn(&Correction) -> Option<i128>| rows.iter().map(|c| of(c).map(|n| n.to_string())).collect::<Vec<_>>();
        query = query.bind(texts(|c| c.before)).bind(texts(|c| c.after));
        let done = query.execute(&mut *transaction).await.map_err(ServingError::new("putting the windows right"))?;
        if done.rows_affected() != rows.len() as u64 {
            return Ok(false);
        }
    }
    Ok(true)
}
