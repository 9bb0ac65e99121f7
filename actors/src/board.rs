//! What a stream's supervisor shows to the outside: `/readyz`, `tributary status`. Written by one, read by anybody, decides nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use schemars::JsonSchema;
use serde::Serialize;

/// Shared state of one stream.
#[derive(Debug, Clone, Default)]
pub struct Board(Arc<Mutex<StreamState>>);

/// One stream, as it is now.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct StreamState {
    /// Name of the stream.
    pub stream: String,
    /// Generation of the main pipeline, 0 while there is none.
    pub generation: u64,
    /// Legs that the main pipeline feeds.
    pub legs: Vec<&'static str>,
    /// Legs that catch up on their own.
    pub catching_up: Vec<&'static str>,
    /// Why there is no pipeline, or why a leg is away.
    pub problem: Option<String>,
    /// Partitions that this process reads.
    pub partitions: BTreeMap<i32, PartitionState>,
    /// Partitions that wait for a person, and why.
    pub blocked: BTreeMap<i32, String>,
    /// Rows and bytes between Kafka and the stores.
    pub in_flight: (usize, usize),
    /// Pipelines rebuilt since the start.
    pub restarts: u64,
}

/// One partition, as it is now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PartitionState {
    /// Kafka's oldest offset.
    pub low: Option<i64>,
    /// Kafka's next offset.
    pub high: Option<i64>,
    /// Next offset of bronze.
    pub bronze: Option<i64>,
    /// Next offset of the windows.
    pub serving: Option<i64>,
}

impl StreamState {
    /// Whether records flow into every wanted store: nothing is missing, blocked or behind by itself.
    pub fn is_ready(&self) -> bool {
        self.generation > 0 && self.problem.is_none() && self.blocked.is_empty() && self.catching_up.is_empty()
    }
}

impl Board {
    /// Changes the state.
    pub fn update(&self, change: impl FnOnce(&mut StreamState)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// A copy of the state.
    pub fn read(&self) -> StreamState {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
