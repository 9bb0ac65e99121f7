//! The flusher: one fsync for everything that was written within a few milliseconds.
//!
//! May assume: whoever writes marks what it wrote to. Promises: what is marked is flushed within the interval plus one
//! fsync; nothing runs while nothing is written; a flush that fails is reported once and never tried again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;

/// Flushes at a time: enough for the file system to merge them, few enough to leave threads for readers.
const AT_ONCE: usize = 8;

/// Something with writes that are not on disk yet.
pub(crate) trait Flush: Send + Sync + 'static {
    /// Whether it stands in the queue already. [`Flush::flush`] clears this before it looks at what to flush.
    fn queued(&self) -> &AtomicBool;
    /// Makes everything written so far durable and tells who waits for it. Blocks.
    fn flush(&self) -> Result<(), String>;
}

/// The queue of what has to be flushed.
#[derive(Default)]
pub(crate) struct Flusher {
    dirty: Mutex<Vec<Arc<dyn Flush>>>,
    wake: Notify,
    /// Set by the flush that failed, on its own thread: it counts even when nobody is left to wait for the result.
    failure: Arc<OnceLock<String>>,
}

impl Flusher {
    /// Queues something that was written to.
    pub(crate) fn mark(&self, target: Arc<dyn Flush>) {
        if !target.queued().swap(true, Ordering::AcqRel) {
            self.dirty.lock().unwrap_or_else(PoisonError::into_inner).push(target);
            self.wake.notify_one();
        }
    }

    /// The first flush that failed.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// Flushes what is marked, for ever; returns the first failure, which is fatal.
    pub(crate) async fn run(&self, interval: Duration) -> String {
        loop {
            self.wake.notified().await;
            tokio::time::sleep(interval).await;
            if let Err(e) = self.flush_marked().await {
                return e;
            }
        }
    }

    async fn flush_marked(&self) -> Result<(), String> {
        let batch = std::mem::take(&mut *self.dirty.lock().unwrap_or_else(PoisonError::into_inner));
        let mut running = JoinSet::new();
        for target in batch {
            if running.len() >= AT_ONCE {
                joined(running.join_next().await)?;
            }
            let failure = self.failure.clone();
            running.spawn_blocking(move || {
                target.flush().inspect_err(|e| {
                    let _ = failure.set(e.clone());
                })
            });
        }
        while !running.is_empty() {
            joined(running.join_next().await)?;
        }
        Ok(())
    }
}

fn joined(result: Option<Result<Result<(), String>, tokio::task::JoinError>>) -> Result<(), String> {
    match result {
        Some(Ok(flushed)) => flushed,
        Some(Err(e)) => Err(format!("a flush did not return: {e}")),
        None => Ok(()),
    }
}
