//! What whoever coordinates and whoever computes over tables tell each other: plain data.

use crate::model::Test;
use crate::table::NewFile;

/// Offsets of one Kafka partition that silver is to take: `[from, to)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetRange {
    /// Which topic of that name.
    pub incarnation: i32,
    /// Kafka partition.
    pub partition: i32,
    /// First offset.
    pub from: i64,
    /// Next offset.
    pub to: i64,
}

/// What silver is to take over.
#[derive(Debug, Clone, Default)]
pub struct SilverOutput {
    /// New files of silver.
    pub files: Vec<NewFile>,
    /// New files of the conflicts table.
    pub conflicts: Vec<NewFile>,
    /// Rows of bronze in the ranges, whatever their status.
    pub rows_read: u64,
    /// Rows in `files`.
    pub rows_kept: u64,
    /// Valid rows that were there already.
    pub duplicates: u64,
    /// Rows in `conflicts`.
    pub rows_in_conflict: u64,
    /// Rows that are not valid.
    pub rejected: u64,
}

/// Files of a gold table.
#[derive(Debug, Clone, Default)]
pub struct Built {
    /// Files that are in the store, and in no log.
    pub files: Vec<NewFile>,
    /// Rows read from sources, as far as their statistics say.
    pub rows_read: u64,
}

/// How a test went.
#[derive(Debug, Clone)]
pub struct TestOutcome {
    /// The test.
    pub test: Test,
    /// Rows that break it; none: it holds.
    pub failing_rows: u64,
    /// Some of them, for a person.
    pub sample: Vec<String>,
    /// It could not be run.
    pub error: Option<String>,
}

impl TestOutcome {
    /// Whether it holds.
    pub fn passed(&self) -> bool {
        self.failing_rows == 0 && self.error.is_none()
    }
}
