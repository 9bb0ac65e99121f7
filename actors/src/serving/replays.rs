//! Which replays of bronze the windows have taken: a number per stream and bronze table, moved with the rows.

use std::collections::HashMap;

use sqlx::PgConnection;

use super::ServingError;

/// Every replay below this number is in the windows.
///
/// # Errors
/// When the database cannot be read.
pub async fn next(connection: &mut PgConnection, stream: &str, table_id: &str) -> Result<i64, ServingError> {
    let next: Option<i64> = sqlx::query_scalar("SELECT next FROM ops.replays WHERE stream = $1 AND table_id = $2")
        .bind(stream)
        .bind(table_id)
        .fetch_optional(connection)
        .await
        .map_err(ServingError::new("reading ops.replays"))?;
    Ok(next.unwrap_or(0))
}

/// The same for every bronze table that the stream ever had, by its id.
///
/// # Errors
/// When the database cannot be read.
pub async fn all(connection: &mut PgConnection, stream: &str) -> Result<HashMap<String, i64>, ServingError> {
    let rows: Vec<(String, i64)> = sqlx::query_as("SELECT table_id, next FROM ops.replays WHERE stream = $1")
        .bind(stream)
        .fetch_all(connection)
        .await
        .map_err(ServingError::new("reading ops.replays"))?;
    Ok(rows.into_iter().collect())
}

/// The number of one table, and nobody moves it before the transaction ends.
///
/// # Errors
/// When the database cannot be read.
pub async fn lock(transaction: &mut PgConnection, stream: &str, table_id: &str) -> Result<i64, ServingError> {
    let doing = || ServingError::new("locking ops.replays");
    sqlx::query("INSERT INTO ops.replays (stream, table_id, next) VALUES ($1, $2, 0) ON CONFLICT DO NOTHING")
        .bind(stream)
        .bind(table_id)
        .execute(&mut *transaction)
        .await
        .map_err(doing())?;
    sqlx::query_scalar("SELECT next FROM ops.replays WHERE stream = $1 AND table_id = $2 FOR UPDATE")
        .bind(stream)
        .bind(table_id)
        .fetch_one(transaction)
        .await
        .map_err(doing())
}

/// Says that every replay below `next` is in; the row must be locked.
///
/// # Errors
/// When the database cannot be written.
pub async fn set(transaction: &mut PgConnection, stream: &str, table_id: &str, next: i64) -> Result<(), ServingError> {
    sqlx::query("UPDATE ops.replays SET next = $3, updated_at = now() WHERE stream = $1 AND table_id = $2")
        .bind(stream)
        .bind(table_id)
        .bind(next)
        .execute(transaction)
        .await
        .map_err(ServingError::new("moving ops.replays"))?;
    Ok(())
}
