//! Checkpoints and log cleanup, beside the commits and never in their way.
//!
//! Runs on a small runtime of its own. A failure is counted and tried again at the next turn; commits do not notice.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use deltalake::DeltaTableError;
use deltalake::logstore::LogStoreRef;
use deltalake::protocol::checkpoints::cleanup_expired_logs_for;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};
use tokio::runtime::Runtime;

pub use super::checkpoint::write::Written;
use super::listing::Listing;
use super::{LakeError, checkpoint, delta_error, label};
use crate::telemetry::TableMeter;

/// Commits between two checkpoints, at least.
pub const CHECKPOINT_EVERY: u64 = 100;
/// A checkpoint lists every file, so the more there are, the longer the way to the next: each commit pays for so many actions.
const ACTIONS_PER_COMMIT: u64 = 50;
/// Checkpoints that stay whatever their age: who reads the table through the one before the newest must be able to end.
const NEWEST_CHECKPOINTS: usize = 2;
/// Of the older ones, from which earlier versions are read, the oldest stays and one for each of these.
const CHECKPOINT_SPACING: Duration = Duration::from_secs(6 * 3600);
/// Log entries older than this, and covered by a checkpoint, are deleted.
const LOG_RETENTION: Duration = Duration::from_secs(86_400);

/// The runtime for work beside the commits.
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
    meter: TableMeter,
    done: u64,
    /// Commits to the next checkpoint, by what the last one cost.
    every: Arc<AtomicU64>,
    running: Arc<AtomicBool>,
}

impl Upkeep {
    /// For a table whose newest version is `version`.
    pub fn new(store: LogStoreRef, meter: TableMeter, version: u64) -> Self {
        let every = Arc::new(AtomicU64::new(CHECKPOINT_EVERY));
        Self { store, meter, done: version - version % CHECKPOINT_EVERY, every, running: Arc::default() }
    }

    /// Call after each commit: starts a checkpoint when one is due and none is running.
    pub fn committed(&mut self, version: u64) {
        if version < self.done + self.every.load(Ordering::Relaxed) {
            return;
        }
        let Ok(runtime) = runtime() else { return };
        if self.running.swap(true, Ordering::AcqRel) {
            return;
        }
        self.done = version - version % CHECKPOINT_EVERY;
        let (store, meter) = (self.store.clone(), self.meter.clone());
        let (every, running) = (Arc::clone(&self.every), Arc::clone(&self.running));
        runtime.spawn(async move {
            let outcome = match checkpoint(&store, 1).await {
                Ok(written) => {
                    if let Some(written) = written {
                        every.store(commits_per_checkpoint(written.actions), Ordering::Relaxed);
                    }
                    match clean_log(&store, LOG_RETENTION).await {
                        Ok(_) => "done",
                        Err(error) => {
                            tracing::warn!(%error, table = label(store.root_url()), "cannot clean the log; next time again");
                            "cleanup_failed"
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, table = label(store.root_url()), "cannot write a checkpoint; next time again");
                    "failed"
                }
            };
            meter.checkpoint(outcome);
            running.store(false, Ordering::Release);
        });
    }
}

/// Commits to the next checkpoint after one of so many actions, in whole steps of the least.
pub fn commits_per_checkpoint(actions: u64) -> u64 {
    (actions / ACTIONS_PER_COMMIT / CHECKPOINT_EVERY).max(1) * CHECKPOINT_EVERY
}

/// Writes a checkpoint of the newest version, unless fewer than so many versions came since the last one.
///
/// # Errors
/// When the log cannot be read or written; or it has what no checkpoint is written of here.
pub async fn checkpoint(store: &LogStoreRef, at_least: u64) -> Result<Option<Written>, LakeError> {
    let listing = Listing::of_end(store).await.map_err(|e| delta_error(store.root_url(), e))?;
    let last = listing.checkpoints.keys().next_back().map_or(0, |version| version + 1);
    if listing.newest.map_or(0, |newest| newest + 1).saturating_sub(last) < at_least {
        return Ok(None);
    }
    let written = checkpoint::write::write(store).await?;
    if let Some(written) = written {
        tracing::debug!(?written, table = label(store.root_url()), "checkpoint written");
    }
    Ok(written)
}

/// Deletes log entries older than `retention` that a checkpoint stands for, and checkpoints that others have superseded. Returns how
/// many files went.
///
/// # Errors
/// When the log cannot be listed or a file not deleted.
pub async fn clean_log(store: &LogStoreRef, retention: Duration) -> Result<usize, LakeError> {
    clean(store, retention).await.map_err(|e| delta_error(store.root_url(), e))
}

async fn clean(store: &LogStoreRef, retention: Duration) -> Result<usize, DeltaTableError> {
    let Some(newest) = Listing::of_end(store).await?.checkpoints.keys().next_back().copied() else { return Ok(0) };
    let retention = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
    let cutoff = Utc::now().timestamp_millis().saturating_sub(retention);
    let deleted = match cleanup_expired_logs_for(newest, store.as_ref(), cutoff, None).await {
        // Another instance cleans the same log.
        Err(DeltaTableError::ObjectStore { source: object_store::Error::NotFound { .. } }) => 0,
        deleted => deleted?,
    };
    let superseded = superseded_checkpoints(&Listing::whole(store).await?);
    let objects = store.object_store(None);
    for path in &superseded {
        match objects.delete(path).await {
            // Another instance cleans the same log.
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if deleted + superseded.len() > 0 {
        tracing::debug!(deleted, checkpoints = superseded.len(), table = label(store.root_url()), "old log entries deleted");
    }
    Ok(deleted + superseded.len())
}

/// Checkpoints that nobody needs any more. Only those in one file, which are ours.
fn superseded_checkpoints(listing: &Listing) -> Vec<Path> {
    let found: Vec<&ObjectMeta> = listing
        .checkpoints
        .values()
        .filter_map(|files| match &files[..] {
            [one] => Some(one),
            _ => None,
        })
        .collect();
    let last = found.len().saturating_sub(NEWEST_CHECKPOINTS);
    let mut kept: Option<DateTime<Utc>> = None;
    let spaced = found.into_iter().take(last).filter(|meta| {
        let superseded = kept.is_some_and(|at| (meta.last_modified - at).to_std().unwrap_or_default() < CHECKPOINT_SPACING);
        if !superseded {
            kept = Some(meta.last_modified);
        }
        superseded
    });
    spaced.map(|meta| meta.location.clone()).collect()
}
