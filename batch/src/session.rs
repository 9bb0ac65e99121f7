//! Where everything of this crate is computed: threads of its own, one pool of memory, one folder to spill into.
//!
//! Promises that nothing but the given tables can be read (there is no store for files, and no statement that makes tables), that work
//! beyond the memory spills or fails but does not grow, and that a dropped future stops its work. Its threads are not the caller's:
//! a long query delays nobody's heartbeat.

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, MemorySchemaProvider, TableProvider};
use datafusion::common::plan_datafusion_err;
use datafusion::error::DataFusionError;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use object_store::ObjectStore;
use tokio::task::JoinSet;
use url::Url;

use crate::error::{Error, Result};
use crate::memory;
use crate::pinned::PinnedTable;
pub use crate::silver::Stored;
use crate::spill::SpillFolder;
use crate::yielding::YieldingJoins;

/// The catalog that tables are in; nobody has to write it.
const CATALOG: &str = "lake";

/// What a [`Local`] may use.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes for hash tables, sorts and joins; more is spilled.
    pub memory: usize,
    /// Where it is spilled to. May be shared by several processes.
    pub spill_dir: PathBuf,
    /// Threads; 0: one per core.
    pub threads: usize,
    /// A data file is cut at about this size.
    pub target_file_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory: 512 << 20, spill_dir: std::env::temp_dir(), threads: 0, target_file_bytes: 128 << 20 }
    }
}

/// The engine that computes in this process.
#[derive(Debug)]
pub struct Local {
    /// Taken when dropped.
    threads: Option<tokio::runtime::Runtime>,
    pub(crate) parallel: usize,
    pub(crate) limits: Limits,
    base: Arc<RuntimeEnv>,
    /// Dropped after the threads.
    _spill: SpillFolder,
}

impl Local {
    /// An engine with its own threads, which sleep until there is work.
    ///
    /// # Errors
    /// When the spill folder cannot be made, or threads cannot.
    pub fn new(limits: Limits) -> Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let parallel = if limits.threads == 0 { cores } else { limits.threads };
        let failed = |what: &str, e: std::io::Error| Error::Failed(format!("{what}: {e}"));
        let above = &limits.spill_dir;
        let spill = SpillFolder::new(above).map_err(|e| failed(&format!("a folder to spill into in {}", above.display()), e))?;
        let base = RuntimeEnvBuilder::new()
            .with_memory_pool(memory::pool(limits.memory))
            .with_disk_manager_builder(
                DiskManagerBuilder::default().with_mode(DiskManagerMode::Directories(vec![spill.path().to_owned()])),
            )
            .build_arc()?;
        // The last thing that can fail: threads that are dropped inside of other threads like them are a panic.
        let threads = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(parallel)
            .thread_name("batch")
            .enable_all()
            .build()
            .map_err(|e| failed("threads for batch work", e))?;
        Ok(Self { threads: Some(threads), parallel, limits, base, _spill: spill })
    }

    /// A session over these tables, whose plans use so many threads.
    pub(crate) fn session(&self, tables: &[Stored], parallel: usize) -> Result<SessionContext> {
        let mut stores = HashMap::new();
        let mut providers: Vec<(String, Arc<dyn TableProvider>)> = Vec::new();
        for (n, stored) in tables.iter().enumerate() {
            let url = format!("table://t{n}");
            stores.insert(url.clone(), Arc::clone(&stored.store));
            let table = PinnedTable::new(Arc::clone(&stored.table), &url)?;
            providers.push((stored.table.name.clone(), Arc::new(table)));
        }
        let env =
            RuntimeEnvBuilder::from_runtime_env(&self.base).with_object_store_registry(Arc::new(Stores(stores))).build_arc()?;
        session(env, parallel, providers)
    }

    /// A session over tables without rows, for planning.
    pub(crate) fn planning(&self, tables: Vec<(String, Arc<dyn TableProvider>)>) -> Result<SessionContext> {
        session(Arc::clone(&self.base), 1, tables)
    }

    /// Starts `work` on this engine's threads; dropping what is returned stops it.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<JoinSet<Result<T>>> {
        let threads = self.threads.as_ref().ok_or_else(|| Error::Failed("the engine has stopped".to_owned()))?;
        let mut task = JoinSet::new();
        task.spawn_on(work, threads.handle());
        Ok(task)
    }

    /// [`Self::spawn`], waited for.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        match self.spawn(work)?.join_next().await {
            Some(Ok(result)) => result,
            Some(Err(e)) => Err(Error::Failed(format!("batch work broke off: {e}"))),
            None => Err(Error::Failed("batch work did not begin".to_owned())),
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        // Dropping a runtime waits for it, which is forbidden where futures are polled.
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

fn session(env: Arc<RuntimeEnv>, parallel: usize, tables: Vec<(String, Arc<dyn TableProvider>)>) -> Result<SessionContext> {
    let mut config = SessionConfig::new()
        .with_target_partitions(parallel.max(1))
        .with_information_schema(true)
        .with_create_default_catalog_and_schema(false)
        .with_default_catalog_and_schema(CATALOG, "gold");
    let options = config.options_mut();
    options.execution.time_zone = Some("UTC".to_owned());
    // Where in the text something is, for errors.
    options.sql_parser.collect_spans = true;
    // Files and tables hold plain strings; so do casts.
    options.sql_parser.map_string_types_to_utf8view = false;
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(env)
        .with_default_features()
        .with_physical_optimizer_rule(Arc::new(YieldingJoins))
        .build();
    let context = SessionContext::new_with_state(state);
    let catalog = MemoryCatalogProvider::new();
    for layer in ["bronze", "silver", "gold"] {
        catalog.register_schema(layer, Arc::new(MemorySchemaProvider::new()))?;
    }
    for (name, provider) in tables {
        let parts = name.split_once('.').and_then(|(layer, table)| Some((catalog.schema(layer)?, table)));
        let Some((schema, table)) = parts else { return Err(Error::Refused(format!("`{name}` is not the name of a table"))) };
        schema.register_table(table.to_owned(), provider)?;
    }
    context.register_catalog(CATALOG, Arc::new(catalog));
    Ok(context)
}

/// The stores of one session's tables, and no other: above all none for `file://`.
#[derive(Debug)]
struct Stores(HashMap<String, Arc<dyn ObjectStore>>);

impl ObjectStoreRegistry for Stores {
    fn register_store(&self, _url: &Url, _store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>, DataFusionError> {
        let key = format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default());
        self.0.get(&key).cloned().ok_or_else(|| plan_datafusion_err!("only tables of the lake can be read, not {url}"))
    }
}
