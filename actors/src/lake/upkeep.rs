//! Checkpoints and log cleanup, beside the commits and never in their way.
//!
//! Runs on a small multi-thread runtime of its own: the kernel blocks, and wants such a runtime. A failure is counted and tried again
//! at the next turn; commits do not notice.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use deltalake::logstore::LogStoreRef;
use deltalake::protocol::checkpoints::cleanup_expired_logs_for;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};
use tokio::runtime::Runtime;

use crate::telemetry::StreamMeter;

/// Commits between two checkpoints, at least.
pub const CHECKPOINT_EVERY: u64 = 100;
/// A checkpoint lists every file, so the longer the table, the longer the way to the next: each commit pays for so many entries.
const ENTRIES_PER_COMMIT: u64 = 50;
/// Checkpoints that stay whatever their age: who reads the table through the one before the newest must be able to end.
const NEWEST_CHECKPOINTS: usize = 2;
/// Of the older ones, from which earlier versions are read, the oldest stays and one for each of these.
const CHECKPOINT_SPACING: Duration = Duration::from_secs(6 * 3600);
/// Log entries older than this, and covered by a checkpoint, are deleted.
const LOG_RETENTION: Duration = Duration::from_secs(86_400);
const ATTEMPTS: u32 = 4;

/// The runtime for work that blocks: checkpoints now, batch work later.
///
/// # Errors
/// When threads cannot be had.
pub fn runtime() -> std::io::Result<&'static Runtime> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    // One builder at a time: a second runtime would have to be dropped, which panics inside an async context.
    static BUILDING: Mutex<()> = Mutex::new(());
    let _one = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("upkeep").enable_all().build()?;
    Ok(RUNTIME.get_or_init(|| built))
}

/// Keeps one table's log short.
pub struct Upkeep {
    store: LogStoreRef,
    meter: StreamMeter,
    done: u64,
    running: Arc<AtomicBool>,
}

impl Upkeep {
    /// For a table whose newest version is `version`.
    pub fn new(store: LogStoreRef, meter: StreamMeter, version: u64) -> Self {
        Self { store, meter, done: version - version % every(version), running: Arc::default() }
    }

    /// Call after each commit: starts a checkpoint when one is due and none is running.
    pub fn committed(&mut self, version: u64) {
        if version < self.done + every(version) {
            return;
        }
        let Ok(runtime) = runtime() else { return };
        if self.running.swap(true, Ordering::AcqRel) {
            return;
        }
        self.done = version - version % every(version);
        let (store, meter, running) = (self.store.clone(), self.meter.clone(), Arc::clone(&self.running));
        runtime.spawn(async move {
            let outcome = match checkpoint(&store).await {
                Ok(at) => match clean(&store, at).await {
                    Ok(()) => "done",
                    Err(error) => {
                        tracing::warn!(%error, table = %store.root_url(), "cannot clean the log; next time again");
                        "cleanup_failed"
                    }
                },
                Err(error) => {
                    tracing::warn!(error, table = %store.root_url(), "cannot write a checkpoint; next time again");
                    "failed"
                }
            };
            meter.checkpoint(outcome);
            running.store(false, Ordering::Release);
        });
    }
}

/// Commits to the next checkpoint, in whole steps of the least.
fn every(version: u64) -> u64 {
    (version / ENTRIES_PER_COMMIT / CHECKPOINT_EVERY).max(1) * CHECKPOINT_EVERY
}

async fn checkpoint(store: &LogStoreRef) -> Result<u64, String> {
    let mut attempt = 1;
    loop {
        let store = store.clone();
        let handle = tokio::runtime::Handle::current();
        let written = tokio::task::spawn_blocking(move || {
            let _inside = handle.enter();
            let engine = store.engine(None);
            let snapshot = delta_kernel::Snapshot::builder_for(store.root_url().as_str()).build(engine.as_ref())?;
            let version = snapshot.version();
            snapshot.checkpoint(engine.as_ref(), None).map(|_| version)
        })
        .await;
        match written {
            Ok(Ok(version)) => return Ok(version),
            // The listing was torn by a commit beside it.
            Ok(Err(_)) if attempt < ATTEMPTS => {
                tokio::time::sleep(Duration::from_millis(50 << attempt)).await;
                attempt += 1;
            }
            Ok(Err(error)) => return Err(error.to_string()),
            Err(join) => return Err(join.to_string()),
        }
    }
}

async fn clean(store: &LogStoreRef, version: u64) -> Result<(), deltalake::DeltaTableError> {
    let cutoff = chrono::Utc::now().timestamp_millis() - LOG_RETENTION.as_millis() as i64;
    let deleted = cleanup_expired_logs_for(version, store.as_ref(), cutoff, None).await?;
    let superseded = superseded_checkpoints(store).await?;
    let objects = store.object_store(None);
    for path in &superseded {
        objects.delete(path).await?;
    }
    if deleted + superseded.len() > 0 {
        tracing::debug!(deleted, checkpoints = superseded.len(), table = %store.root_url(), "old log entries deleted");
    }
    Ok(())
}

/// Checkpoints that nobody needs any more. Only those in one file, which are ours.
async fn superseded_checkpoints(store: &LogStoreRef) -> Result<Vec<Path>, deltalake::DeltaTableError> {
    let objects = store.object_store(None);
    let mut found: BTreeMap<u64, ObjectMeta> = BTreeMap::new();
    let mut listing = objects.list(Some(store.log_path()));
    while let Some(meta) = listing.try_next().await? {
        let Some((version, "checkpoint.parquet")) = meta.location.filename().and_then(|n| n.split_once('.')) else { continue };
        if let Ok(version) = version.parse() {
            found.insert(version, meta);
        }
    }
    let last = found.len().saturating_sub(NEWEST_CHECKPOINTS);
    let mut kept: Option<DateTime<Utc>> = None;
    let spaced = found.into_values().take(last).filter(|meta| {
        let superseded = kept.is_some_and(|at| (meta.last_modified - at).to_std().unwrap_or_default() < CHECKPOINT_SPACING);
        if !superseded {
            kept = Some(meta.last_modified);
        }
        superseded
    });
    Ok(spaced.map(|meta| meta.location).collect())
}
