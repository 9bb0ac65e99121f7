//! The section `batch` of the report: silver, gold and what is published of it.
//!
//! Promises, as the rest of the report does, that `ok` is true exactly when `findings` is empty. `ahead` and `behind` describe: a run
//! will see to them; whoever asks for `--current` gets findings of them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::finding::Finding;
use super::super::report::State;

/// The batch layer.
#[derive(Debug, Default, Serialize)]
pub(crate) struct BatchReport {
    /// `absent`: nothing was built yet, which is no finding.
    pub(crate) state: State,
    /// No finding.
    pub(crate) ok: bool,
    /// By stream.
    pub(crate) silver: Vec<SilverReport>,
    /// By model.
    pub(crate) gold: Vec<GoldReport>,
    /// By table of PostgreSQL's schema `gold`.
    pub(crate) published: Vec<PublishedReport>,
    /// Everything that is wrong.
    pub(crate) findings: Vec<Finding>,
}

/// One silver table.
#[derive(Debug, Default, Serialize)]
pub(crate) struct SilverReport {
    /// `silver.user_events`.
    pub(crate) table: String,
    /// How far it could be looked at.
    pub(crate) state: State,
    /// Why not further.
    pub(crate) reason: Option<String>,
    /// The Delta version that was read.
    pub(crate) version: u64,
    /// Rows.
    pub(crate) rows: u64,
    /// Valid events of bronze below silver's offsets, each once.
    pub(crate) recounted: u64,
    /// Valid rows of bronze that repeat one of them.
    pub(crate) duplicates: u64,
    /// Events without a row.
    pub(crate) missing: u64,
    /// Rows that are not bronze's.
    pub(crate) extra: u64,
    /// Rows of events that have one already.
    pub(crate) twice: u64,
    /// Valid rows of bronze that silver has yet to look at.
    pub(crate) ahead: u64,
}

/// One gold table.
#[derive(Debug, Default, Serialize)]
pub(crate) struct GoldReport {
    /// `gold.kpi_dau`.
    pub(crate) table: String,
    /// How far it could be looked at.
    pub(crate) state: State,
    /// Why not further.
    pub(crate) reason: Option<String>,
    /// The Delta version that was read.
    pub(crate) version: u64,
    /// The versions that it was made from, by table.
    pub(crate) sources: BTreeMap<String, u64>,
    /// Source tables that have changed since.
    pub(crate) behind: Vec<String>,
    /// Rows.
    pub(crate) rows: u64,
    /// Rows that the model's SELECT gives over these versions.
    pub(crate) recounted: u64,
    /// Rows that are not there.
    pub(crate) missing: u64,
    /// Rows that should not be.
    pub(crate) extra: u64,
    /// Days that differ.
    pub(crate) days: Vec<String>,
    /// The first rows that differ.
    pub(crate) differences: Vec<RowDifference>,
}

/// One published table.
#[derive(Debug, Default, Serialize)]
pub(crate) struct PublishedReport {
    /// In schema `gold`.
    pub(crate) table: String,
    /// The gold table that it is published from.
    pub(crate) model: String,
    /// How far it could be looked at.
    pub(crate) state: State,
    /// Why not further.
    pub(crate) reason: Option<String>,
    /// The Delta version that PostgreSQL says it holds.
    pub(crate) version: u64,
    /// The Delta table has changed since.
    pub(crate) behind: bool,
    /// No model says any more that it is published there: no run will touch it again.
    pub(crate) orphaned: bool,
    /// Rows in PostgreSQL.
    pub(crate) rows: u64,
    /// Rows of the Delta table at that version.
    pub(crate) recounted: u64,
    /// Rows that are not there.
    pub(crate) missing: u64,
    /// Rows that should not be.
    pub(crate) extra: u64,
    /// The first rows that differ.
    pub(crate) differences: Vec<RowDifference>,
}

/// A row that is on one side only. A value that differs is one row of each kind.
#[derive(Debug, Serialize)]
pub(crate) struct RowDifference {
    /// On which.
    pub(crate) problem: RowProblem,
    /// Its values: days since 1970 and microseconds for dates and times.
    pub(crate) row: BTreeMap<String, Option<String>>,
}

/// What is wrong with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RowProblem {
    /// It should be there.
    Missing,
    /// It should not.
    Extra,
}
