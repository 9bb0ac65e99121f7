//! The transaction that makes windows exact: offsets compared and moved together with the rows that they stand for.
//!
//! Compare and move first, in partition order (no deadlock between instances), then rows in key order. A partition whose offset is not
//! what the delta expects belongs to somebody else: its delta is left out, the others go on. An error or a lost answer says nothing:
//! the caller reads the offsets again ([`resolve`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use sqlx::{Connection, PgConnection};
use tributary_core::span::Span;
use tributary_core::stream::Stream;
use tributary_core::window::{Cells, Key, PartitionDelta};

use super::sql::{safe, upsert};
use super::{ServingError, offsets};

/// Cells of one statement: a refill of months must not meet the limit of a statement's time.
const CELLS: usize = 50_000;

/// What a merge is made for.
#[derive(Debug)]
pub struct Target {
    stream: Arc<Stream>,
    incarnation: i32,
    upserts: Vec<String>,
}

/// How a merge ended.
#[derive(Debug, Default)]
pub struct Merged {
    /// Partitions that were moved.
    pub done: Vec<Span>,
    /// Partitions that somebody else owns, with the offset found.
    pub foreign: Vec<(Span, i64)>,
    /// Rows of windows that were added to.
    pub rows: u64,
}

impl Target {
    /// The windows of this stream, of this incarnation of its topic.
    pub fn new(stream: Arc<Stream>, incarnation: i32) -> Self {
        let upserts = stream.windows.iter().map(|w| upsert(&stream, w)).collect();
        Self { stream, incarnation, upserts }
    }

    /// Merges deltas, at most one per partition, in one transaction.
    ///
    /// # Errors
    /// When the database failed: whether anything was committed is unknown.
    pub async fn merge(&self, connection: &mut PgConnection, deltas: &[PartitionDelta]) -> Result<Merged, ServingError> {
        let mut transaction = connection.begin().await.map_err(ServingError::new("beginning a merge"))?;
        let stored = self.lock_offsets(&mut transaction, deltas).await?;
        let mut merged = Merged::default();
        let mut cells = Cells::default();
        for delta in deltas {
            let found = stored.get(&delta.span.partition).copied().unwrap_or(delta.span.from);
            if found != delta.span.from {
                merged.foreign.push((delta.span, found));
                continue;
            }
            merged.done.push(delta.span);
            for (key, amount) in &delta.cells {
                *cells.entry(key.clone()).or_default() += amount;
            }
        }
        merged.rows = cells.len() as u64;
        self.move_offsets(&mut transaction, &merged.done).await?;
        self.add_rows(&mut transaction, cells).await?;
        transaction.commit().await.map_err(ServingError::new("committing a merge"))?;
        Ok(merged)
    }

    /// After an error: which deltas had landed, which had not, which are somebody else's.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn resolve(&self, connection: &mut PgConnection, deltas: &[PartitionDelta]) -> Result<Resolved, ServingError> {
        let stored = offsets::read(connection, &self.stream.name, self.incarnation).await?;
        let mut resolved = Resolved::default();
        for delta in deltas {
            match stored.get(&delta.span.partition) {
                Some(at) if *at == delta.span.to => resolved.landed.push(delta.span),
                Some(at) if *at != delta.span.from => resolved.foreign.push((delta.span, *at)),
                _ => resolved.again.push(delta.span),
            }
        }
        Ok(resolved)
    }

    /// Inserts offsets that are not there yet (as the delta expects them), then reads all under lock.
    async fn lock_offsets(
        &self,
        connection: &mut PgConnection,
        deltas: &[PartitionDelta],
    ) -> Result<BTreeMap<i32, i64>, ServingError> {
        let doing = || ServingError::new("comparing offsets");
        let mut firsts: Vec<(i32, i64)> = deltas.iter().map(|d| (d.span.partition, d.span.from)).collect();
        firsts.sort_unstable();
        let (partitions, from): (Vec<i32>, Vec<i64>) = firsts.into_iter().unzip();
        sqlx::query(
            "INSERT INTO ops.stream_offsets (stream, incarnation, kafka_partition, next_offset) \
             SELECT $1, $2, p, o FROM unnest($3::int[], $4::bigint[]) AS b(p, o) ORDER BY p ON CONFLICT DO NOTHING",
        )
        .bind(&self.stream.name)
        .bind(self.incarnation)
        .bind(&partitions)
        .bind(&from)
        .execute(&mut *connection)
        .await
        .map_err(doing())?;
        let rows: Vec<(i32, i64)> = sqlx::query_as(
            "SELECT kafka_partition, next_offset FROM ops.stream_offsets \
             WHERE stream = $1 AND incarnation = $2 AND kafka_partition = ANY($3) ORDER BY kafka_partition FOR UPDATE",
        )
        .bind(&self.stream.name)
        .bind(self.incarnation)
        .bind(&partitions)
        .fetch_all(&mut *connection)
        .await
        .map_err(doing())?;
        Ok(rows.into_iter().collect())
    }

    async fn move_offsets(&self, connection: &mut PgConnection, spans: &[Span]) -> Result<(), ServingError> {
        let partitions: Vec<i32> = spans.iter().map(|s| s.partition).collect();
        let to: Vec<i64> = spans.iter().map(|s| s.to).collect();
        sqlx::query(
            "UPDATE ops.stream_offsets s SET next_offset = b.o, updated_at = now() FROM unnest($3::int[], $4::bigint[]) AS b(p, o) \
             WHERE s.stream = $1 AND s.incarnation = $2 AND s.kafka_partition = b.p",
        )
        .bind(&self.stream.name)
        .bind(self.incarnation)
        .bind(&partitions)
        .bind(&to)
        .execute(connection)
        .await
        .map_err(ServingError::new("moving offsets"))?;
        Ok(())
    }

    /// Adds rows alone: what calls it answers for the offsets.
    pub(crate) async fn add_rows(&self, connection: &mut PgConnection, cells: Cells) -> Result<(), ServingError> {
        let mut cells: Vec<(Key, i128)> = cells.into_iter().collect();
        if cells.len() > CELLS {
            // One order for all instances, over statements too. The last ones are taken first.
            cells.sort_unstable_by(|a, b| b.0.cmp(&a.0));
        }
        while !cells.is_empty() {
            let some = cells.split_off(cells.len().saturating_sub(CELLS));
            self.add_some(connection, some).await?;
        }
        Ok(())
    }

    async fn add_some(&self, connection: &mut PgConnection, cells: Vec<(Key, i128)>) -> Result<(), ServingError> {
        let mut per_window: Vec<Rows> = self.stream.windows.iter().map(|w| Rows::new(w.group_by.len())).collect();
        for (key, amount) in cells {
            let window = &self.stream.windows[usize::from(key.window)];
            let rows = &mut per_window[usize::from(key.window)];
            // A declaration's limits keep event times inside what both chrono and PostgreSQL hold.
            let (Some(start), Some(end)) =
                (DateTime::from_timestamp_millis(key.start_ms), DateTime::from_timestamp_millis(key.start_ms + window.every_ms))
            else {
                continue;
            };
            rows.starts.push(start);
            rows.ends.push(end);
            for (column, value) in rows.groups.iter_mut().zip(key.group.iter()) {
                column.push(value.to_string());
            }
            rows.amounts.push(amount.to_string());
        }
        for (statement, rows) in self.upserts.iter().zip(per_window) {
            if rows.starts.is_empty() {
                continue;
            }
            let mut query = sqlx::query(safe(statement)).bind(rows.starts).bind(rows.ends);
            for group in rows.groups {
                query = query.bind(group);
            }
            query.bind(rows.amounts).execute(&mut *connection).await.map_err(ServingError::new("adding to the windows"))?;
        }
        Ok(())
    }
}

/// What a failed merge turned out to be.
#[derive(Debug, Default)]
pub struct Resolved {
    /// It had been committed.
    pub landed: Vec<Span>,
    /// It had not.
    pub again: Vec<Span>,
    /// Somebody else moved it, with the offset found.
    pub foreign: Vec<(Span, i64)>,
}

struct Rows {
    starts: Vec<DateTime<Utc>>,
    ends: Vec<DateTime<Utc>>,
    groups: Vec<Vec<String>>,
    amounts: Vec<String>,
}

impl Rows {
    fn new(groups: usize) -> Self {
        Self { starts: Vec::new(), ends: Vec::new(), groups: vec![Vec::new(); groups], amounts: Vec::new() }
    }
}
