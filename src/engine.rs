//! The engine of this process behind the coordinator's trait: the two crates do not know each other, this file knows both.
//!
//! Nothing is decided here but how files of a table are encoded when only its name is known.

use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::ObjectStore;
use tributary_actors::engine::{Engine, EngineError, Models, SilverInput, Stored};
use tributary_batch::silver::{self, SilverError, SilverOptions};
use tributary_batch::writer::WriterOptions;
use tributary_batch::{Error, Limits, Local};
use tributary_core::model::{Planned, Test};
use tributary_core::settings::Batch;
use tributary_core::stream::Stream;
use tributary_core::table::NewFile;
use tributary_core::work::{Built, SilverOutput, TestOutcome};

/// Computes in this process.
#[derive(Debug)]
pub struct LocalEngine {
    local: Local,
    limits: Limits,
    streams: Vec<Arc<Stream>>,
}

impl LocalEngine {
    /// For the tables of these streams.
    ///
    /// # Errors
    /// When the spill folder cannot be made.
    pub fn new(limits: Limits, streams: Vec<Arc<Stream>>) -> Result<Self, EngineError> {
        let local = Local::new(limits.clone()).map_err(error)?;
        Ok(Self { local, limits, streams })
    }

    /// The engine itself, for what the coordinator has no need of: ad-hoc queries.
    pub fn local(&self) -> &Local {
        &self.local
    }

    /// How the files of a table are encoded.
    fn writing(&self, table: &str) -> WriterOptions {
        let name = table.split_once('.').filter(|(layer, _)| *layer != "gold").map(|(_, name)| name);
        let stream = name.and_then(|n| {
            let n = n.strip_suffix("_conflicts").filter(|n| self.streams.iter().any(|s| s.name == *n)).unwrap_or(n);
            self.streams.iter().find(|s| s.name == n)
        });
        stream.map_or_else(WriterOptions::default, |s| WriterOptions::of_stream(s))
    }
}

/// What an engine of this process may use.
pub(crate) fn limits(settings: &Batch) -> Limits {
    Limits {
        memory: usize::try_from(settings.memory).unwrap_or(usize::MAX),
        spill_dir: PathBuf::from(&settings.spill_dir),
        threads: settings.threads,
        target_file_bytes: settings.target_file_bytes,
    }
}

fn error(error: Error) -> EngineError {
    match error {
        Error::Refused(text) => EngineError::Refused(text),
        Error::Failed(text) => EngineError::Failed(text),
    }
}

fn stored(given: Stored) -> silver::Stored {
    silver::Stored { table: given.table, store: given.store }
}

#[async_trait]
impl Engine for LocalEngine {
    async fn models(&self, folder: PathBuf, streams: &[Arc<Stream>]) -> Result<Models, EngineError> {
        let models = self.local.models(&folder, streams).await.map_err(error)?;
        Ok(Models { planned: models.planned, broken: models.broken })
    }

    fn silver_schemas(&self, stream: &Stream) -> (SchemaRef, SchemaRef) {
        silver::silver_schemas(stream)
    }

    async fn silver(&self, input: SilverInput) -> Result<SilverOutput, EngineError> {
        let SilverInput { stream, bronze, ranges, silver, conflicts } = input;
        let input =
            silver::SilverInput { stream, bronze: stored(bronze), ranges, silver: stored(silver), conflicts: stored(conflicts) };
        let options = SilverOptions {
            threads: self.limits.threads,
            memory_bytes: self.limits.memory as u64,
            target_file_bytes: usize::try_from(self.limits.target_file_bytes).unwrap_or(usize::MAX),
        };
        silver::silver(input, options).await.map_err(|e| match e {
            SilverError::Refused(text) => EngineError::Refused(text),
            other => EngineError::Failed(other.to_string()),
        })
    }

    async fn build(&self, model: &Planned, sources: Vec<Stored>, into: Arc<dyn ObjectStore>) -> Result<Built, EngineError> {
        let sources = sources.into_iter().map(stored).collect();
        self.local.build(model, sources, into).await.map_err(error)
    }

    async fn check(&self, model: &Planned, tests: &[Test], tables: Vec<Stored>) -> Result<Vec<TestOutcome>, EngineError> {
        self.local.check(model, tests, tables.into_iter().map(stored).collect()).await.map_err(error)
    }

    async fn read(&self, table: Stored) -> Result<BoxStream<'static, Result<RecordBatch, EngineError>>, EngineError> {
        let rows = self.local.read(stored(table)).await.map_err(error)?;
        Ok(rows.map(|batch| batch.map_err(error)).boxed())
    }

    async fn compact(&self, table: Stored, target_bytes: u64) -> Result<Vec<NewFile>, EngineError> {
        let options = self.writing(&table.table.name);
        let done = tributary_batch::compact::compact(table.table, table.store, target_bytes, options).await;
        done.map_err(|e| EngineError::Failed(e.to_string()))
    }
}
