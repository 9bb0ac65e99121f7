//! Read-only SQL over pinned tables, for people.
//!
//! Promises that a statement can only read, and only the given tables (no other store is there to be read, and statements that are no
//! SELECT or EXPLAIN are refused before they are planned), that rows come a batch at a time as fast as they are taken, and that
//! whoever stops taking stops the work.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Field, Schema, SchemaRef};
use datafusion::execution::context::SQLOptions;
use datafusion::physical_plan::execute_stream;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};

use crate::error::{Error, Result};
use crate::models::sql::{self, Trouble};
use crate::models::types;
use crate::session::{Local, Stored};

mod bounded;
pub mod text;

/// Batches that wait for whoever takes them.
const BATCHES_AHEAD: usize = 2;
/// The schema of a name without one.
const DEFAULT_LAYER: &str = "gold";

/// What a statement gives.
pub struct Answer {
    /// Its columns.
    pub schema: SchemaRef,
    /// Its rows.
    pub rows: BoxStream<'static, Result<RecordBatch>>,
}

/// The tables of the lake that a statement names, as `layer.table`; one without a layer is gold's.
///
/// # Errors
/// When it is not a statement that only reads.
pub fn tables(statement: &str) -> Result<Vec<String>> {
    let parsed = sql::parse_any(statement).map_err(|t| refused(statement, &t))?;
    let named = parsed.tables.into_iter().map(|(name, _)| name);
    let full = named.map(|name| if name.contains('.') { name } else { format!("{DEFAULT_LAYER}.{name}") });
    let mut tables: Vec<String> = full.filter(|name| !name.starts_with("information_schema.")).collect();
    tables.sort();
    tables.dedup();
    Ok(tables)
}

impl Local {
    /// Runs one statement over these tables.
    ///
    /// # Errors
    /// [`Error::Refused`] when it does more than read, or names what is not there.
    pub fn query<'a>(&'a self, statement: &'a str, tables: Vec<Stored>) -> BoxFuture<'a, Result<Answer>> {
        async move {
            let parsed = sql::parse_any(statement).map_err(|t| refused(statement, &t))?;
            let session = self.session(&tables, self.parallel)?;
            bounded::bound(&session);
            let text = statement.to_owned();
            let (rows, waiting) = tokio::sync::mpsc::channel(BATCHES_AHEAD);
            let (schema_to, schema_from) = tokio::sync::oneshot::channel();
            let work = async move {
                let state = session.state();
                let of = |e| refused(&text, &sql::trouble(&e, Some(&parsed.statement)));
                let plan = state.statement_to_plan(parsed.statement.clone()).await.map_err(of)?;
                // The statement was looked at; this looks at what became of it.
                let only_reads = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
                only_reads.verify_plan(&plan)?;
                let plan = state.create_physical_plan(&plan).await.map_err(of)?;
                let mut stream = execute_stream(plan, session.task_ctx())?;
                let schema = plain(&stream.schema());
                let _ = schema_to.send(Arc::clone(&schema));
                while let Some(batch) = stream.next().await {
                    if rows.send(Ok(types::fit(&schema, &batch?)?)).await.is_err() {
                        break;
                    }
                }
                Ok::<(), Error>(())
            };
            let mut task = self.spawn(work)?;
            match schema_from.await {
                Ok(schema) => Ok(Answer { schema, rows: rows_of(task, waiting) }),
                // It ended before there were columns.
                Err(_) => match task.join_next().await {
                    Some(Ok(Err(e))) => Err(e),
                    Some(Err(e)) => Err(Error::Failed(format!("the query broke off: {e}"))),
                    Some(Ok(Ok(()))) | None => Err(Error::Failed("the query gave nothing".to_owned())),
                },
            }
        }
        .boxed()
    }

    /// All rows of a table.
    ///
    /// # Errors
    /// When its files cannot be opened.
    pub async fn read(&self, table: Stored) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let name = table.table.name.clone();
        Ok(self.query(&format!("SELECT * FROM {name}"), vec![table]).await?.rows)
    }
}

type Task = tokio::task::JoinSet<Result<()>>;

/// The rows, then the error that ended them if one did. Holds the task: dropping the stream stops it.
fn rows_of(task: Task, waiting: tokio::sync::mpsc::Receiver<Result<RecordBatch>>) -> BoxStream<'static, Result<RecordBatch>> {
    let state = Some((task, waiting));
    futures::stream::unfold(state, |state| {
        async move {
            let (mut task, mut waiting) = state?;
            if let Some(batch) = waiting.recv().await {
                return Some((batch, Some((task, waiting))));
            }
            match task.join_next().await {
                Some(Ok(Err(e))) => Some((Err(e), None)),
                Some(Err(e)) => Some((Err(Error::Failed(format!("the query broke off: {e}"))), None)),
                Some(Ok(Ok(()))) | None => None,
            }
        }
        .boxed()
    })
    .boxed()
}

/// The types that whoever takes the rows has to know: strings are strings. What has no plain form stays as it is.
fn plain(schema: &Schema) -> SchemaRef {
    let field = |f: &Field| match f.data_type() {
        arrow_schema::DataType::Utf8View | arrow_schema::DataType::LargeUtf8 | arrow_schema::DataType::Dictionary(..) => {
            let data_type = types::of_table(f.data_type()).unwrap_or_else(|| f.data_type().clone());
            Field::new(f.name(), data_type, f.is_nullable())
        }
        _ => f.clone(),
    };
    Arc::new(Schema::new(schema.fields().iter().map(|f| field(f)).collect::<Vec<_>>()))
}

/// The statement's line with a mark, and what is wrong.
fn refused(statement: &str, trouble: &Trouble) -> Error {
    let (line, column, width) = trouble.at;
    let Some(text) = line.checked_sub(1).and_then(|n| statement.lines().nth(n)) else {
        return Error::Refused(format!("{}\n= {}", trouble.problem, trouble.help));
    };
    let indent = column.saturating_sub(1);
    let mark = "^".repeat(width.max(1));
    Error::Refused(format!("{}\n| {text}\n| {:indent$}{mark}\n= {}", trouble.problem, "", trouble.help))
}
