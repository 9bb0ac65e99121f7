//! The newest numbers of the window tables and of schema `gold`, for whoever shows them. Locks nothing and changes nothing.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use sqlx::PgConnection;
use tributary_core::stream::{Stream, Window};

use super::{ServingError, sql, windows};

/// Start of a window in milliseconds since 1970 and the texts of the group, and the number.
pub type Numbers = BTreeMap<(i64, Vec<String>), i128>;

/// The windows of a table that start in `[from, to)`.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn windows(
    connection: &mut PgConnection,
    stream: &Stream,
    window: &Window,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Numbers, ServingError> {
    let rows = windows::read(connection, stream, window, (from.timestamp_millis(), to.timestamp_millis())).await?;
    Ok(rows.into_iter().map(|(key, stored)| (key, stored.number)).collect())
}

/// The rows of a published table's newest days, the newest first. The table must have a column `event_date`.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn newest_days(
    connection: &mut PgConnection,
    table: &str,
    days: i32,
    most: i64,
) -> Result<Vec<Map<String, Value>>, ServingError> {
    let doing = || ServingError::new("reading a table of schema gold");
    let rows: Vec<String> =
        sqlx::query_scalar(sql::gold::newest_days(table)).bind(days).bind(most).fetch_all(connection).await.map_err(doing())?;
    let read = |text: &String| serde_json::from_str(text).map_err(|error| doing()(sqlx::Error::Decode(error.into())));
    rows.iter().map(read).collect()
}
