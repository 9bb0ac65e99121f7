//! A model's tests, run as queries for rows that break them.
//!
//! Assumes the model's own table and every table that its tests mention ([`Planned::tested_with`]). Promises one outcome per test, in their order: a
//! test that cannot be run is an outcome, too. Nulls pass everything but `not_null`.

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use tributary_core::model::{Check, Model, Planned, Test};
use tributary_core::work::TestOutcome;

use crate::error::Result;
use crate::models::sql;
use crate::query::text::row_text;
use crate::session::{Local, Stored};

/// Rows shown to a person.
const SAMPLE_ROWS: usize = 5;

/// The tables that a model's tests read beside its own; sorted, each once.
pub(crate) fn tables(model: &Model) -> Vec<String> {
    let mut tables = Vec::new();
    for test in &model.tests {
        match &test.check {
            Check::Relationships { to_table, .. } => tables.push(to_table.clone()),
            Check::Sql(text) => tables.extend(sql::parse(text).into_iter().flat_map(|s| s.tables).map(|(name, _)| name)),
            _ => {}
        }
    }
    tables.retain(|table| *table != model.table());
    tables.sort();
    tables.dedup();
    tables
}

impl Local {
    /// Runs some of a model's tests over these tables.
    ///
    /// # Errors
    /// When the engine has stopped; everything else is an outcome.
    pub fn check<'a>(
        &'a self,
        model: &'a Planned,
        tests: &'a [Test],
        tables: Vec<Stored>,
    ) -> BoxFuture<'a, Result<Vec<TestOutcome>>> {
        async move {
            let mut outcomes = Vec::with_capacity(tests.len());
            for test in tests {
                let (failing_rows, sample, error) = match self.failing(&model.model.table(), test, &tables).await {
                    Ok((rows, sample)) => (rows, sample, None),
                    Err(e) => (0, Vec::new(), Some(e.to_string())),
                };
                outcomes.push(TestOutcome { test: test.clone(), failing_rows, sample, error });
            }
            Ok(outcomes)
        }
        .boxed()
    }

    async fn failing(&self, table: &str, test: &Test, tables: &[Stored]) -> Result<(u64, Vec<String>)> {
        let mut answer = self.query(&query(table, &test.check), tables.to_vec()).await?;
        let (mut rows, mut sample) = (0, Vec::new());
        while let Some(batch) = answer.rows.next().await {
            let batch = batch?;
            let shown = SAMPLE_ROWS.saturating_sub(sample.len()).min(batch.num_rows());
            for row in 0..shown {
                sample.push(row_text(&batch, row)?);
            }
            rows += batch.num_rows() as u64;
        }
        Ok((rows, sample))
    }
}

/// The query for rows that break a test. Names were read as identifiers; quoted, they are never keywords.
fn query(table: &str, check: &Check) -> String {
    let quoted = |name: &String| format!("\"{name}\"");
    match check {
        Check::Unique(columns) => {
            let columns = columns.iter().map(quoted).collect::<Vec<_>>().join(", ");
            format!("SELECT {columns}, COUNT(*) AS rows FROM {table} GROUP BY {columns} HAVING COUNT(*) > 1")
        }
        Check::NotNull(columns) => {
            let wrong = columns.iter().map(|c| format!("{} IS NULL", quoted(c))).collect::<Vec<_>>().join(" OR ");
            format!("SELECT * FROM {table} WHERE {wrong}")
        }
        Check::AcceptedValues { column, values } => {
            let values = values.iter().map(|v| format!("'{}'", v.replace('\'', "''"))).collect::<Vec<_>>().join(", ");
            format!("SELECT * FROM {table} WHERE CAST({} AS VARCHAR) NOT IN ({values})", quoted(column))
        }
        Check::Relationships { column, to_table, to_column } => format!(
            "SELECT a.* FROM {table} AS a LEFT ANTI JOIN {to_table} AS b ON a.{column} = b.{to_column} WHERE a.{column} IS NOT NULL",
            column = quoted(column),
            to_column = quoted(to_column),
        ),
        Check::RowCount { min, max } => {
            let (min, max) = (min.unwrap_or(0), max.unwrap_or(i64::MAX as u64));
            format!("SELECT * FROM (SELECT COUNT(*) AS rows FROM {table}) WHERE rows < {min} OR rows > {max}")
        }
        Check::Sql(text) => text.clone(),
    }
}
