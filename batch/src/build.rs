//! Runs a model over pinned tables and puts what it gives into new files of its table.
//!
//! A by_day model is run once for each day, over that day's files alone: whatever its SELECT joins or counts, a day's rows follow from
//! that day's rows, so it does not matter which days are built together. Days are built at the same time, one per thread, the largest
//! first; a few large days share the threads. Memory is bounded by the days at work, never by all of them.
//!
//! Assumes a model that was planned over tables of the same columns. Promises files with exactly the columns of [`Planned`], and that
//! a row of another day is an error and not a row.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Date32Type;
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::SessionContext;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::ObjectStore;
use tributary_core::model::{Materialize, Model, Planned};
use tributary_core::table::{DATE_COLUMN, NewFile, date_text};
use tributary_core::work::Built;

use crate::error::{Error, Result};
use crate::models::types::fit;
use crate::session::{Local, Stored};
use crate::writer::{TableWriter, WriteError, WriterOptions};

impl From<WriteError> for Error {
    fn from(error: WriteError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl Local {
    /// Runs `model` over its sources and puts its files into `into`. A by_day model is built for the days that its sources have files of;
    /// what was put before an error is nobody's.
    ///
    /// # Errors
    /// [`Error::Refused`] when the SELECT fails on the rows (a division by zero, a row of another day), [`Error::Failed`] when a store
    /// does, or memory or disk run out.
    pub fn build<'a>(
        &'a self,
        model: &'a Planned,
        sources: Vec<Stored>,
        into: Arc<dyn ObjectStore>,
    ) -> BoxFuture<'a, Result<Built>> {
        async move {
            let rows_read = sources.iter().map(|s| s.table.rows()).sum();
            let runs = runs(&model.model, &sources);
            let at_once = runs.len().clamp(1, self.parallel);
            // Fewer runs than threads: each uses several.
            let threads_each = self.parallel.div_ceil(at_once);
            let options = WriterOptions {
                target_file_bytes: usize::try_from(self.limits.target_file_bytes).unwrap_or(usize::MAX),
                memory_bytes: WriterOptions::default().memory_bytes / at_once,
                ..WriterOptions::default()
            };
            let work = runs.into_iter().map(|run| {
                let session = self.session(&run.sources, threads_each);
                let writer = TableWriter::new(Arc::clone(&into), Arc::clone(&model.schema), run.day.is_some(), options.clone());
                let model = model.clone();
                self.run(async move { one(session?, &model, run.day, writer).await })
            });
            let files: Vec<Vec<NewFile>> = futures::stream::iter(work)
                .buffer_unordered(at_once)
                .try_collect()
                .await
                .map_err(|e: Error| e.of(&model.model.table()))?;
            let mut files: Vec<NewFile> = files.into_iter().flatten().collect();
            files.sort_by_key(|f| f.date);
            Ok(Built { files, rows_read })
        }
        .boxed()
    }
}

/// One execution of the SELECT.
struct Run {
    /// Its day; none: the whole table.
    day: Option<i32>,
    sources: Vec<Stored>,
}

fn runs(model: &Model, sources: &[Stored]) -> Vec<Run> {
    if model.materialize == Materialize::Rollup {
        return vec![Run { day: None, sources: sources.to_vec() }];
    }
    let mut bytes: BTreeMap<i32, u64> = BTreeMap::new();
    for file in sources.iter().flat_map(|s| &s.table.files) {
        if let Some(day) = file.date {
            *bytes.entry(day).or_default() += file.size;
        }
    }
    let mut days: Vec<(i32, u64)> = bytes.into_iter().collect();
    days.sort_by_key(|(day, bytes)| (std::cmp::Reverse(*bytes), *day));
    let of_day = |day: i32| {
        let cut = |s: &Stored| Stored { table: Arc::new(s.table.only_days(&[day])), store: Arc::clone(&s.store) };
        Run { day: Some(day), sources: sources.iter().map(cut).collect() }
    };
    days.into_iter().map(|(day, _)| of_day(day)).collect()
}

async fn one(session: SessionContext, model: &Planned, day: Option<i32>, mut writer: TableWriter) -> Result<Vec<NewFile>> {
    let state = session.state();
    let plan = state.create_logical_plan(&model.model.sql).await?;
    let plan = state.create_physical_plan(&plan).await?;
    let mut rows = execute_stream(plan, session.task_ctx())?;
    while let Some(batch) = rows.next().await {
        let batch = fit(&model.schema, &batch?)?;
        match day {
            None => writer.write(&batch).await?,
            Some(day) => {
                of_one_day(&batch, day)?;
                writer.write_day(day, &batch).await?;
            }
        }
    }
    Ok(writer.finish().await?)
}

/// Refuses rows of another day.
fn of_one_day(batch: &RecordBatch, day: i32) -> Result<()> {
    let Some(days) = batch.column_by_name(DATE_COLUMN) else { return Ok(()) };
    let stray = days.as_primitive::<Date32Type>().iter().find(|d| *d != Some(day));
    let Some(stray) = stray else { return Ok(()) };
    let what = stray.map_or_else(|| "without event_date".to_owned(), |d| format!("of {}", date_text(d)));
    Err(Error::Refused(format!(
        "gave a row {what} from rows of {}: a by_day model's event_date is the event_date of the rows it selects from",
        date_text(day)
    )))
}
