//! Who waits for a partition to grow: fetches that found too little, woken when more has become durable.
//!
//! Promises: a waiter that registered before it looked never misses a wake-up; one that gives up leaves nothing behind.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// The waiters of one partition.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    inner: Mutex<(u64, HashMap<u64, Arc<Notify>>)>,
}

impl Waiters {
    /// Registers `wake`; returns the ticket to give back.
    pub(crate) fn register(&self, wake: &Arc<Notify>) -> u64 {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.0 += 1;
        let ticket = inner.0;
        inner.1.insert(ticket, wake.clone());
        ticket
    }

    /// Forgets a waiter.
    pub(crate) fn forget(&self, ticket: u64) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).1.remove(&ticket);
    }

    /// Wakes everyone.
    pub(crate) fn wake(&self) {
        for wake in self.inner.lock().unwrap_or_else(PoisonError::into_inner).1.values() {
            wake.notify_one();
        }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).1.is_empty()
    }
}
