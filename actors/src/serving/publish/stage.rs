//! The rows on their way: staged in a table of this session, then moved by one transaction.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{NaiveDate, TimeDelta};
use futures::StreamExt;
use sqlx::{Executor, PgConnection};

use super::fit::{refusal, refused, shape};
use super::{Publication, PublishError, Published, Scope, Table, Terms, Version, copy};
use crate::serving::ServingError;
use crate::serving::lease::Lease;
use crate::serving::sql::gold::{DAY, Shape};

/// Bytes that are sent to PostgreSQL at once.
const CHUNK: usize = 256 << 10;

/// Rows that are staged.
pub(super) struct Staged {
    pub(super) table: Table,
    pub(super) shape: Shape,
    pub(super) scope: Scope,
    version: Version,
    expected: Option<Version>,
    source_rows: Option<BTreeMap<i32, i64>>,
    rows: i64,
    /// Rows per day, where the table has days.
    days: Option<BTreeMap<i32, i64>>,
}

impl Staged {
    /// Whether the rows that are published are of the same model.
    pub(super) fn is_of_same_model(&self) -> bool {
        self.expected.as_ref().is_some_and(|before| before.model_hash == self.version.model_hash)
    }

    /// Copies the rows into a table of this session.
    pub(super) async fn fill(connection: &mut PgConnection, n: usize, from: Publication) -> Result<Self, PublishError> {
        let Publication { table, version, expected, scope, source_rows, mut rows } = from;
        let shape = shape(&table, format!("staged_{n}"))?;
        let names: Vec<&str> = shape.columns.iter().map(|c| c.name.as_str()).collect();
        let has_days = table.schema.field_with_name(DAY).is_ok_and(|f| f.data_type() == &arrow_schema::DataType::Date32);
        if !has_days && matches!(scope, Scope::Days(_)) {
            return Err(refused(&table, format!("it has no {DAY} and cannot be published by days")));
        }
        let (mut days, mut count): (BTreeMap<i32, i64>, i64) = (BTreeMap::new(), 0);

        let doing = || ServingError::new("copying rows to PostgreSQL");
        connection.execute(shape.create_staged()).await.map_err(doing())?;
        let mut into = connection.copy_in_raw(&shape.copy_staged()).await.map_err(doing())?;
        let mut bytes: Vec<u8> = Vec::with_capacity(CHUNK + (CHUNK >> 2));
        while let Some(batch) = rows.next().await {
            let batch = batch.map_err(|source| PublishError::Rows { table: table.name.clone(), source })?;
            count += i64::try_from(batch.num_rows()).unwrap_or(i64::MAX);
            if has_days {
                let column = copy::days(&batch, DAY).ok_or_else(|| refused(&table, format!("the rows have no date in {DAY}")))?;
                for day in column {
                    let day = day.ok_or_else(|| refused(&table, format!("the model has a row without {DAY}")))?;
                    *days.entry(day).or_default() += 1;
                }
            }
            // A large batch is not held twice.
            for from in (0..batch.num_rows()).step_by(4096) {
                let some = batch.slice(from, (batch.num_rows() - from).min(4096));
                copy::write_rows(&some, &names, &mut bytes).map_err(|why| refused(&table, why))?;
                if bytes.len() >= CHUNK {
                    into.send(bytes.as_slice()).await.map_err(doing())?;
                    bytes.clear();
                }
            }
        }
        into.send(bytes.as_slice()).await.map_err(doing())?;
        into.finish().await.map_err(doing())?;
        for statement in shape.key_staged() {
            connection.execute(statement).await.map_err(|error| refusal(&table, error))?;
        }
        if let Scope::Days(scope) = &scope
            && let Some(stray) = days.keys().find(|day| !scope.contains(day))
        {
            return Err(refused(&table, format!("rows of {} are among those of other days", date(*stray))));
        }
        let days = has_days.then_some(days);
        Ok(Self { table, shape, scope, version, expected, source_rows, rows: count, days })
    }

    /// Finds `ops.published` as it was when the scope was worked out, and sets it to what these rows are of.
    pub(super) async fn compare_and_set(
        &self,
        transaction: &mut PgConnection,
        lease: &Lease,
        terms: Terms,
    ) -> Result<(), PublishError> {
        let doing = || ServingError::new("comparing ops.published");
        let found: Option<(String, String, i64)> =
            sqlx::query_as("SELECT lake_id, model_hash, version FROM ops.published WHERE table_name = $1 FOR UPDATE")
                .bind(&self.table.name)
                .fetch_optional(&mut *transaction)
                .await
                .map_err(doing())?;
        let found = found.map(|(lake_id, model_hash, version)| Version { lake_id, model_hash, version });
        if found != self.expected {
            return Err(PublishError::Foreign { table: self.table.name.clone() });
        }
        let same_table =
            found.as_ref().is_some_and(|f| f.lake_id == self.version.lake_id && f.model_hash == self.version.model_hash);
        if !same_table && matches!(self.scope, Scope::Days(_)) {
            let why = if found.is_some() { "has rows of another table or model" } else { "was never published" };
            return Err(PublishError::NeedsAll { table: self.table.name.clone(), why: why.to_owned() });
        }
        sqlx::query(
            "INSERT INTO ops.published (table_name, model, lake_id, model_hash, version, rows, epoch, run_id) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (table_name) DO UPDATE SET model = excluded.model, \
             lake_id = excluded.lake_id, model_hash = excluded.model_hash, version = excluded.version, rows = excluded.rows, \
             epoch = excluded.epoch, run_id = excluded.run_id, published_at = now()",
        )
        .bind(&self.table.name)
        .bind(&self.table.model)
        .bind(&self.version.lake_id)
        .bind(&self.version.model_hash)
        .bind(self.version.version)
        .bind(self.rows)
        .bind(lease.epoch())
        .bind(terms.run)
        .execute(transaction)
        .await
        .map_err(doing())?;
        Ok(())
    }

    /// The days in question with the rows of each, and the rows that each was computed from. `published` are days that are there.
    pub(super) fn day_counts(&self, published: impl Iterator<Item = i32>) -> BTreeMap<i32, (i64, Option<i64>)> {
        let Some(counted) = &self.days else { return BTreeMap::new() };
        let days: BTreeSet<i32> = match &self.scope {
            Scope::Days(days) => days.iter().copied().collect(),
            Scope::All => published.chain(counted.keys().copied()).collect(),
        };
        let source = |day| self.source_rows.as_ref().map(|rows| rows.get(&day).copied().unwrap_or(0));
        days.into_iter().map(|day| (day, (counted.get(&day).copied().unwrap_or(0), source(day)))).collect()
    }

    /// Makes the table's rows those that are staged.
    pub(super) async fn move_rows(&self, transaction: &mut PgConnection) -> Result<Published, PublishError> {
        let doing = || ServingError::new("moving rows to a table of schema gold");
        let deleted = match &self.scope {
            Scope::All => sqlx::query(self.shape.delete_gone(false)).execute(&mut *transaction).await,
            Scope::Days(days) => {
                let days: Vec<NaiveDate> = days.iter().map(|day| date(*day)).collect();
                sqlx::query(self.shape.delete_gone(true)).bind(days).execute(&mut *transaction).await
            }
        };
        let deleted = i64::try_from(deleted.map_err(doing())?.rows_affected()).unwrap_or(i64::MAX);
        let (inserted, updated): (i64, i64) = sqlx::query_as(self.shape.upsert()).fetch_one(transaction).await.map_err(doing())?;
        Ok(Published { table: self.table.name.clone(), rows: self.rows, inserted, updated, deleted })
    }

    /// Remembers how much there is of each day now.
    pub(super) async fn count_days(&self, transaction: &mut PgConnection) -> Result<(), PublishError> {
        let doing = || ServingError::new("counting the days of a table of schema gold");
        if self.days.is_none() {
            return Ok(());
        }
        if self.scope == Scope::All {
            sqlx::query("DELETE FROM ops.published_days WHERE table_name = $1")
                .bind(&self.table.name)
                .execute(&mut *transaction)
                .await
                .map_err(doing())?;
        }
        let counts = self.day_counts(std::iter::empty());
        let days: Vec<NaiveDate> = counts.keys().map(|day| date(*day)).collect();
        let rows: Vec<i64> = counts.values().map(|(rows, _)| *rows).collect();
        let source: Vec<Option<i64>> = counts.values().map(|(_, source)| *source).collect();
        sqlx::query(
            "INSERT INTO ops.published_days (table_name, event_date, rows, source_rows) \
             SELECT $1, d.day, d.rows, d.source FROM unnest($2::date[], $3::bigint[], $4::bigint[]) AS d(day, rows, source) \
             ON CONFLICT (table_name, event_date) DO UPDATE SET rows = excluded.rows, source_rows = excluded.source_rows, \
             published_at = now()",
        )
        .bind(&self.table.name)
        .bind(days)
        .bind(rows)
        .bind(source)
        .execute(&mut *transaction)
        .await
        .map_err(doing())?;
        sqlx::query(
            "UPDATE ops.published SET rows = coalesce((SELECT sum(d.rows) FROM ops.published_days d WHERE d.table_name = $1), 0)::bigint \
             WHERE table_name = $1",
        )
        .bind(&self.table.name)
        .execute(transaction)
        .await
        .map_err(doing())?;
        Ok(())
    }
}

/// The date of a day since 1970.
pub(super) fn date(day: i32) -> NaiveDate {
    NaiveDate::default().checked_add_signed(TimeDelta::days(i64::from(day))).unwrap_or_default()
}
