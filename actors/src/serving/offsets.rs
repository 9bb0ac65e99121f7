//! Where the windows are, per partition: reads outside any merge.

use std::collections::BTreeMap;

use sqlx::{Connection, PgConnection};

use super::ServingError;

/// How many records were lost to Kafka's retention or an operator's word, in whichever leg lost more.
///
/// # Errors
/// When the database cannot be read.
pub async fn lost(connection: &mut PgConnection, stream: &str) -> Result<i64, ServingError> {
    sqlx::query_scalar(
        "SELECT COALESCE(max(n), 0)::bigint FROM (SELECT sum(to_offset - from_offset) AS n FROM ops.lost_ranges \
         WHERE stream = $1 GROUP BY leg) AS lost",
    )
    .bind(stream)
    .fetch_one(connection)
    .await
    .map_err(ServingError::new("reading ops.lost_ranges"))
}

/// The next offset of every partition that the windows have begun.
///
/// # Errors
/// When the database cannot be read.
pub async fn read(connection: &mut PgConnection, stream: &str, incarnation: i32) -> Result<BTreeMap<i32, i64>, ServingError> {
    let rows: Vec<(i32, i64)> =
        sqlx::query_as("SELECT kafka_partition, next_offset FROM ops.stream_offsets WHERE stream = $1 AND incarnation = $2")
            .bind(stream)
            .bind(incarnation)
            .fetch_all(connection)
            .await
            .map_err(ServingError::new("reading ops.stream_offsets"))?;
    Ok(rows.into_iter().collect())
}

/// The same for every incarnation: (incarnation, partition) to next offset.
///
/// # Errors
/// When the database cannot be read.
pub async fn all(connection: &mut PgConnection, stream: &str) -> Result<BTreeMap<(i32, i32), i64>, ServingError> {
    every(connection, "SELECT incarnation, kafka_partition, next_offset FROM ops.stream_offsets WHERE stream = $1", stream).await
}

/// The same, and nobody moves them before the transaction ends.
///
/// # Errors
/// When the database cannot be read.
pub async fn all_locked(connection: &mut PgConnection, stream: &str) -> Result<BTreeMap<(i32, i32), i64>, ServingError> {
    let select = "SELECT incarnation, kafka_partition, next_offset FROM ops.stream_offsets WHERE stream = $1 \
                  ORDER BY incarnation, kafka_partition FOR UPDATE";
    every(connection, select, stream).await
}

async fn every(
    connection: &mut PgConnection,
    select: &'static str,
    stream: &str,
) -> Result<BTreeMap<(i32, i32), i64>, ServingError> {
    let rows: Vec<(i32, i32, i64)> = sqlx::query_as(select)
        .bind(stream)
        .fetch_all(connection)
        .await
        .map_err(ServingError::new("reading ops.stream_offsets"))?;
    Ok(rows.into_iter().map(|(incarnation, partition, next)| ((incarnation, partition), next)).collect())
}

/// What the windows were told to skip: incarnation, partition, from, to.
///
/// # Errors
/// When the database cannot be read.
pub async fn skipped(connection: &mut PgConnection, stream: &str) -> Result<Vec<(i32, i32, i64, i64)>, ServingError> {
    sqlx::query_as(
        "SELECT incarnation, kafka_partition, from_offset, to_offset FROM ops.lost_ranges WHERE stream = $1 AND leg = 'serving'",
    )
    .bind(stream)
    .fetch_all(connection)
    .await
    .map_err(ServingError::new("reading ops.lost_ranges"))
}

/// Remembers which topic an incarnation is, for people and for the audit; bronze's log decides.
///
/// # Errors
/// When the database cannot be written.
pub async fn record_incarnation(
    connection: &mut PgConnection,
    topic: &str,
    topic_id: &str,
    incarnation: i32,
) -> Result<(), ServingError> {
    // The same topic is another incarnation once it was adopted anew.
    sqlx::query(
        "INSERT INTO ops.topic_incarnations AS t (topic, topic_id, incarnation) VALUES ($1, $2, $3) \
         ON CONFLICT (topic, topic_id) DO UPDATE SET incarnation = excluded.incarnation, adopted_at = now() \
         WHERE t.incarnation < excluded.incarnation",
    )
    .bind(topic)
    .bind(topic_id)
    .bind(incarnation)
    .execute(connection)
    .await
    .map_err(ServingError::new("recording the topic's incarnation"))?;
    Ok(())
}

/// A range that a person said to skip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skip {
    /// Kafka partition.
    pub partition: i32,
    /// What the windows have.
    pub from: i64,
    /// Where they go on.
    pub to: i64,
}

/// Moves the windows' offset over a lost range and records it; false when the offset is not `from` any more.
///
/// # Errors
/// When the database cannot be written.
pub async fn skip(
    connection: &mut PgConnection,
    stream: &str,
    incarnation: i32,
    skip: Skip,
    reason: &str,
) -> Result<bool, ServingError> {
    let doing = || ServingError::new("recording a lost range");
    let mut transaction = connection.begin().await.map_err(doing())?;
    sqlx::query("INSERT INTO ops.stream_offsets VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING")
        .bind(stream)
        .bind(incarnation)
        .bind(skip.partition)
        .bind(skip.from)
        .execute(&mut *transaction)
        .await
        .map_err(doing())?;
    let moved = sqlx::query(
        "UPDATE ops.stream_offsets SET next_offset = $5, updated_at = now() \
         WHERE stream = $1 AND incarnation = $2 AND kafka_partition = $3 AND next_offset = $4",
    )
    .bind(stream)
    .bind(incarnation)
    .bind(skip.partition)
    .bind(skip.from)
    .bind(skip.to)
    .execute(&mut *transaction)
    .await
    .map_err(doing())?;
    if moved.rows_affected() != 1 {
        return Ok(false);
    }
    sqlx::query(
        "INSERT INTO ops.lost_ranges (stream, incarnation, kafka_partition, from_offset, to_offset, leg, reason) \
         VALUES ($1, $2, $3, $4, $5, 'serving', $6)",
    )
    .bind(stream)
    .bind(incarnation)
    .bind(skip.partition)
    .bind(skip.from)
    .bind(skip.to)
    .bind(reason)
    .execute(&mut *transaction)
    .await
    .map_err(doing())?;
    transaction.commit().await.map_err(doing())?;
    Ok(true)
}

/// Which incarnation a topic id was adopted as, if this database knows.
///
/// # Errors
/// When the database cannot be read.
pub async fn incarnation(connection: &mut PgConnection, topic: &str, topic_id: &str) -> Result<Option<i32>, ServingError> {
    sqlx::query_scalar("SELECT incarnation FROM ops.topic_incarnations WHERE topic = $1 AND topic_id = $2")
        .bind(topic)
        .bind(topic_id)
        .fetch_optional(connection)
        .await
        .map_err(ServingError::new("reading ops.topic_incarnations"))
}

/// The newest incarnation of any topic of that name.
///
/// # Errors
/// When the database cannot be read.
pub async fn newest_incarnation(connection: &mut PgConnection, topic: &str) -> Result<Option<i32>, ServingError> {
    sqlx::query_scalar("SELECT max(incarnation) FROM ops.topic_incarnations WHERE topic = $1")
        .bind(topic)
        .fetch_one(connection)
        .await
        .map_err(ServingError::new("reading ops.topic_incarnations"))
}
