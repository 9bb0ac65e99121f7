//! PostgreSQL's tables of schema `gold` beside the gold tables of the lake at the versions that `ops.published` names.
//!
//! Both are read while one repeatable-read transaction is open, so that rows and version belong together. Promises memory of the rows
//! of one published table at a time.

use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use arrow_array::{Int64Array, StringArray};
use arrow_schema::Schema;
use futures::TryStreamExt;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection, Row};
use tributary_core::model::Planned;

use super::super::Stores;
use super::super::report::State;
use super::super::{serving, sql};
use super::bag::Bag;
use super::canon::{self, Column, Form, Hasher};
use super::compute::Models;
use super::gold::{self, Block, SHOWN};
use super::report::{PublishedReport, RowDifference, RowProblem};

/// Rows of PostgreSQL that are looked at at once.
const BLOCK: usize = 4_096;

/// A row of `ops.published`.
#[derive(Debug)]
pub(super) struct Entry {
    table: String,
    model: String,
    lake_id: String,
    version: i64,
}

impl Entry {
    /// Whether none of these models is published there. One that is broken may be.
    pub(super) fn is_orphaned(&self, models: &Models) -> bool {
        let publishes = |planned: &Arc<Planned>| planned.model.publish.as_ref() == Some(&self.table);
        !models.planned.iter().any(publishes) && !models.broken.iter().any(|(name, _)| *name == self.model)
    }

    /// A report that says nothing yet.
    pub(super) fn report(&self) -> PublishedReport {
        PublishedReport {
            table: format!("gold.{}", self.table),
            model: format!("gold.{}", self.model),
            version: u64::try_from(self.version).unwrap_or(0),
            ..PublishedReport::default()
        }
    }
}

/// What PostgreSQL says that it holds; nothing when it never was published to.
pub(super) async fn entries(url: &str) -> Result<Vec<Entry>> {
    read_entries(&mut serving::connect(url).await?, None).await
}

async fn read_entries(connection: &mut PgConnection, table: Option<&str>) -> Result<Vec<Entry>> {
    if !serving::exists(connection, "ops.published").await? {
        return Ok(Vec::new());
    }
    let sql =
        "SELECT table_name, model, lake_id, version FROM ops.published WHERE $1::text IS NULL OR table_name = $1 ORDER BY 1";
    let rows = sqlx::query(sql).bind(table).fetch_all(connection).await.context("cannot read ops.published")?;
    let entry = |row: &PgRow| {
        Ok(Entry { table: row.try_get(0)?, model: row.try_get(1)?, lake_id: row.try_get(2)?, version: row.try_get(3)? })
    };
    rows.iter().map(entry).collect()
}

/// Audits one table. What differs is in the report; an error is what could not be looked at.
pub(super) async fn audit(stores: &Stores, url: &str, entry: &Entry) -> Result<PublishedReport> {
    let mut connection = serving::connect(url).await?;
    let mut tx = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    // As it is in this transaction; a run may have published since the list was read.
    let Some(entry) = read_entries(&mut tx, Some(&entry.table)).await?.pop() else { return Ok(entry.report()) };
    let mut report = entry.report();

    let lake = gold::table(stores, &report.model)?.with_context(|| format!("{} is not in the lake", report.model))?;
    let head = lake.head().await?.with_context(|| format!("{} has no log", report.model))?;
    if report.version > head.version {
        bail!("PostgreSQL holds version {}, the lake ends at {}", report.version, head.version);
    }
    report.behind = lake.changed_since(report.version, &head).await?;
    let at = if report.behind { report.version } else { head.version };
    let (pinned, files) = lake.pinned(&report.model, at).await?;
    if pinned.id != entry.lake_id {
        bail!("PostgreSQL holds another table of that name: id {}, the lake's is {}", entry.lake_id, pinned.id);
    }

    let (columns, hasher) = (canon::forms(&pinned.schema)?, Hasher::default());
    let mut bag = Bag::default();
    let mut rows = 0;
    each_block(&mut tx, &entry.table, &pinned.schema, &columns, &hasher, &mut |block| {
        block.each(|_, row, _| {
            rows += 1;
            bag.find(row);
        });
    })
    .await?;
    let mut recounted = 0;
    gold::read_all(&lake, files.iter(), &columns, |batch| {
        Block::new(batch, &columns, &hasher, false)?.each(|_, row, _| {
            recounted += 1;
            bag.expect(row);
        });
        Ok(())
    })?;
    (report.rows, report.recounted, report.state) = (rows, recounted, State::Checked);
    (report.missing, report.extra) = bag.balance();
    if report.missing + report.extra > 0 {
        let shown = &mut report.differences;
        each_block(&mut tx, &entry.table, &pinned.schema, &columns, &hasher, &mut |block| {
            block.each(|_, row, at| {
                if shown.len() < SHOWN && bag.take_extra(row) {
                    shown.push(RowDifference { problem: RowProblem::Extra, row: block.show(&columns, at) });
                }
            });
        })
        .await?;
        let most = shown.len() + SHOWN;
        gold::read_all(&lake, files.iter(), &columns, |batch| {
            let block = Block::new(batch, &columns, &hasher, false)?;
            block.each(|_, row, at| {
                if shown.len() < most && bag.take_missing(row) {
                    shown.push(RowDifference { problem: RowProblem::Missing, row: block.show(&columns, at) });
                }
            });
            Ok(())
        })?;
    }
    tx.rollback().await?;
    Ok(report)
}

/// The rows of PostgreSQL's table in numbers.
async fn each_block(
    connection: &mut PgConnection,
    table: &str,
    schema: &Schema,
    columns: &[(String, Form)],
    hasher: &Hasher,
    take: &mut (dyn FnMut(&Block) + Send),
) -> Result<()> {
    let mut rows = sqlx::query(sql::published(table, schema)).fetch(connection);
    loop {
        let mut held: Vec<PgRow> = Vec::new();
        while held.len() < BLOCK
            && let Some(row) = rows.try_next().await.with_context(|| format!("gold.{table}"))?
        {
            held.push(row);
        }
        if held.is_empty() {
            return Ok(());
        }
        let all = columns.iter().enumerate().map(|(at, (_, form))| column(&held, at, *form)).collect::<Result<Vec<_>>>()?;
        take(&Block::of(all, held.len(), hasher));
    }
}

fn column(rows: &[PgRow], at: usize, form: Form) -> Result<Column> {
    if form == Form::Whole {
        let values: Vec<Option<i64>> = rows.iter().map(|row| row.try_get(at)).collect::<Result<_, _>>()?;
        return Ok(Column::Whole(Int64Array::from(values)));
    }
    let values: Vec<Option<&str>> = rows.iter().map(|row| row.try_get(at)).collect::<Result<_, _>>()?;
    let text = |text: &str| match form {
        Form::Decimal => Ok(canon::trimmed(text).to_string()),
        Form::Float => f64::from_str(text).map(canon::float).with_context(|| format!("`{text}` is not a float")),
        _ => Ok(text.to_string()),
    };
    let values: Vec<Option<String>> = values.into_iter().map(|value| value.map(text).transpose()).collect::<Result<_>>()?;
    Ok(Column::Text(StringArray::from(values)))
}
