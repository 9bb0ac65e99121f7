//! What the audit asks of an engine: which models there are, and what a model's SELECT says over tables at given versions.
//!
//! The one thing that the audit shares with what it audits. A model's SQL is its definition, so whoever recounts must run it; what is
//! shown independently is which versions it was run over, that every day is in, and that what was stored is what it said.

use std::sync::Arc;

use anyhow::Result;
use arrow_array::RecordBatch;
use deltalake::ObjectStore;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use tributary_core::model::Planned;
use tributary_core::stream::Stream;
use tributary_core::table::Pinned;

/// A table at a version, and where its files are.
pub(crate) type Source = (Arc<Pinned>, Arc<dyn ObjectStore>);

/// The rows of a SELECT.
pub(crate) type Rows = BoxStream<'static, Result<RecordBatch>>;

/// Runs models.
pub(crate) trait Compute: Send + Sync {
    /// All models, sources before what selects from them; and those that cannot be planned, with the reason.
    fn models<'a>(&'a self, streams: &'a [Stream]) -> BoxFuture<'a, Result<Models>>;

    /// Runs a model over the whole of its sources.
    fn select<'a>(&'a self, model: &'a Planned, sources: Vec<Source>) -> BoxFuture<'a, Result<Rows>>;
}

/// What a folder of models holds.
#[derive(Debug, Default)]
pub(crate) struct Models {
    /// Planned.
    pub(crate) planned: Vec<Arc<Planned>>,
    /// Name to what is wrong with it.
    pub(crate) broken: Vec<(String, String)>,
}
