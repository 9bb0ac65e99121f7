//! What is old goes: rows of the window tables, runs with all that hangs on them, and what people did. In bounded steps, each a
//! transaction of its own under the leader's lease, so that nobody waits for long and a dead leader has only done less.
//!
//! Promises: before the first row of a window table goes, `ops.retention` says from where on that table is complete; the newest run
//! of every job stays.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres};
use tributary_core::stream::Window;

use super::lease::{LeaderError, Lease};
use super::{ServingError, sql};

/// Rows of a window table that go at once: some tens of milliseconds.
const WINDOWS: i64 = 10_000;
/// Runs that go at once; each may have thousands of lines.
const RUNS: i64 = 50;
/// Actions of people that go at once.
const ACTIONS: i64 = 1_000;

/// What went of a window table.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Retained {
    /// The table.
    pub table: String,
    /// Rows that began before this are gone: midnight, UTC.
    pub before: DateTime<Utc>,
    /// How many there were.
    pub deleted: u64,
}

/// Deletes rows of whole days that are older than `keep`.
///
/// # Errors
/// [`LeaderError`]; some may be gone then.
pub async fn windows(
    connection: &mut PgConnection,
    lease: &Lease,
    windows: &[Window],
    keep: Duration,
) -> Result<Vec<Retained>, LeaderError> {
    const DOING: &str = "deleting old windows";
    let mut retained = Vec::with_capacity(windows.len());
    for window in windows {
        let mut transaction = lease.begin(connection).await?;
        let before: DateTime<Utc> = sqlx::query_scalar(
            "INSERT INTO ops.retention AS r (table_name, deleted_before) \
             VALUES ($1, date_trunc('day', now() - $2::bigint * interval '1 second', 'UTC')) \
             ON CONFLICT (table_name) DO UPDATE SET updated_at = now(), \
             deleted_before = greatest(r.deleted_before, excluded.deleted_before) RETURNING deleted_before",
        )
        .bind(&window.table)
        .bind(seconds(keep))
        .fetch_one(&mut *transaction)
        .await
        .map_err(ServingError::new(DOING))?;
        transaction.commit().await.map_err(ServingError::new(DOING))?;
        let some = || sqlx::query(sql::delete_old(window)).bind(before).bind(WINDOWS);
        let deleted = until_none(connection, lease, DOING, some).await?;
        retained.push(Retained { table: window.table.clone(), before, deleted });
    }
    Ok(retained)
}

/// Deletes runs that ended longer than `keep` ago, with their tasks, lines and tests; all but the newest of each job.
///
/// # Errors
/// [`LeaderError`]; some may be gone then.
pub async fn runs(connection: &mut PgConnection, lease: &Lease, keep: Duration) -> Result<u64, LeaderError> {
    let some = || {
        sqlx::query(
            "DELETE FROM ops.runs WHERE id = ANY(ARRAY(SELECT id FROM ops.runs AS r \
             WHERE ended_at < now() - $1::bigint * interval '1 second' \
             AND EXISTS (SELECT FROM ops.runs AS newer WHERE newer.job = r.job AND newer.id > r.id) ORDER BY ended_at LIMIT $2))",
        )
        .bind(seconds(keep))
        .bind(RUNS)
    };
    until_none(connection, lease, "deleting old runs", some).await
}

/// Deletes what people did longer than `keep` ago.
///
/// # Errors
/// [`LeaderError`]; some may be gone then.
pub async fn actions(connection: &mut PgConnection, lease: &Lease, keep: Duration) -> Result<u64, LeaderError> {
    let some = || {
        sqlx::query(
            "DELETE FROM ops.actions WHERE id = ANY(ARRAY(SELECT id FROM ops.actions \
             WHERE at < now() - $1::bigint * interval '1 second' ORDER BY id LIMIT $2))",
        )
        .bind(seconds(keep))
        .bind(ACTIONS)
    };
    until_none(connection, lease, "deleting old actions", some).await
}

/// Deletes some, each time in a transaction of its own, until there are none.
async fn until_none<'a>(
    connection: &mut PgConnection,
    lease: &Lease,
    doing: &'static str,
    some: impl Fn() -> Query<'a, Postgres, PgArguments>,
) -> Result<u64, LeaderError> {
    let mut deleted = 0;
    loop {
        let mut transaction = lease.begin(connection).await?;
        let gone = some().execute(&mut *transaction).await.map_err(ServingError::new(doing))?.rows_affected();
        transaction.commit().await.map_err(ServingError::new(doing))?;
        if gone == 0 {
            return Ok(deleted);
        }
        deleted += gone;
    }
}

fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::from(i32::MAX))
}
