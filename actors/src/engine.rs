//! What the coordinator asks of whoever computes over tables. A trait, so that this crate builds without an engine, and so that
//! another one can run the same models elsewhere.
//!
//! An engine reads pinned tables and puts new data files into the stores it is given; it never writes a log. What it put is named by
//! what it returns; what it put before an error is left for vacuum.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::ObjectStore;
use tributary_core::model::{Planned, Test};
use tributary_core::stream::Stream;
use tributary_core::table::{NewFile, Pinned};
use tributary_core::work::{Built, OffsetRange, SilverOutput, TestOutcome};

/// A pinned table and the store that is rooted at it.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The version and its files.
    pub table: Arc<Pinned>,
    /// Rooted at the table.
    pub store: Arc<dyn ObjectStore>,
}

/// Why an engine could not.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A model, a statement or a declaration is wrong: a person must change it. Says file and line.
    #[error("{0}")]
    Refused(String),
    /// A store failed, or memory or disk ran out; may pass.
    #[error("{0}")]
    Failed(String),
}

/// What silver is made from.
#[derive(Debug, Clone)]
pub struct SilverInput {
    /// The declaration.
    pub stream: Arc<Stream>,
    /// Bronze, with the files alone that may hold wanted offsets.
    pub bronze: Stored,
    /// The offsets wanted.
    pub ranges: Vec<OffsetRange>,
    /// Silver as it is.
    pub silver: Stored,
    /// Where conflicts go.
    pub conflicts: Stored,
}

/// All models of a folder, in an order in which they can be built; and those that cannot, with the reason.
#[derive(Debug, Clone, Default)]
pub struct Models {
    /// Sources before what selects from them.
    pub planned: Vec<Arc<Planned>>,
    /// Model name to what is wrong with it, with file and line. What depends on a broken model is in here too.
    pub broken: BTreeMap<String, String>,
}

/// Computes over tables.
#[async_trait]
pub trait Engine: Send + Sync {
    /// Reads and plans the models of a folder over these streams. Only a folder that cannot be read is an error.
    async fn models(&self, folder: PathBuf, streams: &[Arc<Stream>]) -> Result<Models, EngineError>;

    /// The columns of a stream's silver table, and of its conflicts table.
    fn silver_schemas(&self, stream: &Stream) -> (SchemaRef, SchemaRef);

    /// Bronze to silver: valid rows of the ranges that silver does not have yet.
    async fn silver(&self, input: SilverInput) -> Result<SilverOutput, EngineError>;

    /// Runs a model over its sources (pinned; a by-day model's cut to `days`, its output must be of these days) and puts files.
    async fn build(&self, model: &Planned, sources: Vec<Stored>, into: Arc<dyn ObjectStore>) -> Result<Built, EngineError>;

    /// Runs some of a model's tests over its own table and whatever they mention.
    async fn check(&self, model: &Planned, tests: &[Test], tables: Vec<Stored>) -> Result<Vec<TestOutcome>, EngineError>;

    /// The rows of a table, a batch at a time.
    async fn read(&self, table: Stored) -> Result<BoxStream<'static, Result<RecordBatch, EngineError>>, EngineError>;

    /// Rewrites the files of `table` (all of them, of one day) into as few as their target size allows, in their order. Tags are
    /// left to the caller.
    async fn compact(&self, table: Stored, target_bytes: u64) -> Result<Vec<NewFile>, EngineError>;
}
