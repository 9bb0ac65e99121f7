//! The engine of this process, for the audit: models of a folder, and their SELECTs over tables at given versions.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use tributary_batch::{Limits, Local, Stored};
use tributary_core::model::Planned;
use tributary_core::settings::Settings;
use tributary_core::stream::Stream;

use super::compute::{Compute, Models, Rows, Source};

/// An engine and the folder that the models are in.
pub(crate) struct Engine {
    local: Local,
    folder: PathBuf,
}

impl Engine {
    /// With the memory that batch work may use, and the system's folder for temporary files: an audit writes nothing anywhere else.
    pub(crate) fn new(settings: &Settings) -> Result<Self> {
        let batch = &settings.batch;
        let memory = usize::try_from(batch.memory).unwrap_or(usize::MAX);
        let limits = Limits { memory, spill_dir: std::env::temp_dir(), threads: batch.threads, ..Limits::default() };
        Ok(Self { local: Local::new(limits).context("an engine for the models")?, folder: PathBuf::from(&batch.models_dir) })
    }
}

impl Compute for Engine {
    fn models<'a>(&'a self, streams: &'a [Stream]) -> BoxFuture<'a, Result<Models>> {
        let streams: Vec<Arc<Stream>> = streams.iter().cloned().map(Arc::new).collect();
        async move {
            let found = self.local.models(&self.folder, &streams).await?;
            Ok(Models { planned: found.planned, broken: found.broken.into_iter().collect() })
        }
        .boxed()
    }

    fn select<'a>(&'a self, model: &'a Planned, sources: Vec<Source>) -> BoxFuture<'a, Result<Rows>> {
        let tables = sources.into_iter().map(|(table, store)| Stored { table, store }).collect();
        async move {
            let answer = self.local.query(&model.model.sql, tables).await?;
            Ok(answer.rows.map(|batch| batch.map_err(Into::into)).boxed())
        }
        .boxed()
    }
}
