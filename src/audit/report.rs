//! What an audit says: the document of `--json`, whose field names are stable, and the one list that decides the verdict.
//!
//! Promises that `ok` is true exactly when `findings` is empty, for each stream and for the whole. Numbers beside the findings
//! (holes, lost, lag) describe; they do not judge.

use std::collections::BTreeMap;

use serde::Serialize;

use super::batch::report::BatchReport;
use super::finding::Finding;
use super::ranges::Ranges;

/// The document.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Version of this format; fields may be added without raising it.
    pub(crate) format: u32,
    /// No finding anywhere.
    pub(crate) ok: bool,
    /// When the audit began, RFC 3339.
    pub(crate) checked_at: String,
    /// Where the lake is.
    pub(crate) lake: String,
    /// In the order of their names.
    pub(crate) streams: Vec<StreamReport>,
    /// Silver, gold and what is published; null: not looked at, as asked.
    pub(crate) batch: Option<BatchReport>,
}

/// One declared stream.
#[derive(Debug, Serialize)]
pub(crate) struct StreamReport {
    /// Its name.
    pub(crate) stream: String,
    /// Its topic.
    pub(crate) topic: String,
    /// No finding.
    pub(crate) ok: bool,
    /// The Delta table.
    pub(crate) bronze: BronzeReport,
    /// The windows in PostgreSQL.
    pub(crate) serving: ServingReport,
    /// Kafka.
    pub(crate) broker: BrokerReport,
    /// By incarnation and partition.
    pub(crate) partitions: Vec<PartitionReport>,
    /// Everything that is wrong.
    pub(crate) findings: Vec<Finding>,
}

/// How far a store could be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Default)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// Read and checked.
    Checked,
    /// Not there.
    #[default]
    Absent,
    /// Could not be reached or read.
    Unreachable,
    /// Reached, but the stores were not at comparable points in time.
    NotProvable,
    /// Not looked at, as asked.
    Skipped,
}

/// The Delta table.
#[derive(Debug, Default, Serialize)]
pub(crate) struct BronzeReport {
    /// How far it could be looked at.
    pub(crate) state: State,
    /// Its URL.
    pub(crate) url: String,
    /// The Delta version that was read.
    pub(crate) version: u64,
    /// Live files.
    pub(crate) files: usize,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Files whose tag was lost in a foreign rewrite: there, only the rows count.
    pub(crate) files_without_tags: usize,
    /// Rows.
    pub(crate) rows: u64,
    /// Rows by status.
    pub(crate) statuses: BTreeMap<String, u64>,
    /// Offsets that should be there and are not.
    pub(crate) missing: u64,
    /// Rows too many.
    pub(crate) twice: u64,
    /// Offsets of committed spans without a record: transaction markers and aborted records.
    pub(crate) holes: u64,
    /// Offsets that a person said to skip.
    pub(crate) lost: u64,
    /// Topic ids and the incarnation that each was adopted as.
    pub(crate) topics: BTreeMap<String, i64>,
}

/// The windows in PostgreSQL.
#[derive(Debug, Default, Serialize)]
pub(crate) struct ServingReport {
    /// How far they could be looked at.
    pub(crate) state: State,
    /// Why not further.
    pub(crate) reason: Option<String>,
    /// Rows that differ, over all tables.
    pub(crate) mismatched: u64,
    /// Sum of the absolute differences.
    pub(crate) drift: u128,
    /// Replays of bronze whose records are not in the windows yet.
    pub(crate) replays_behind: u64,
    /// By table.
    pub(crate) tables: Vec<TableReport>,
}

/// One window table.
#[derive(Debug, Serialize)]
pub(crate) struct TableReport {
    /// Its name in schema `realtime`.
    pub(crate) table: String,
    /// Rows stored.
    pub(crate) rows: u64,
    /// Rows recounted from bronze.
    pub(crate) recounted: u64,
    /// Rows that differ.
    pub(crate) mismatched: u64,
    /// Sum of the absolute differences.
    pub(crate) drift: u128,
    /// Each of them.
    pub(crate) differences: Vec<Difference>,
}

/// A row of a window table that is not what bronze says.
#[derive(Debug, Serialize)]
pub(crate) struct Difference {
    /// What is wrong with it.
    pub(crate) problem: Problem,
    /// RFC 3339.
    pub(crate) window_start: String,
    /// Group columns and their values; null where the stored row has null.
    pub(crate) key: BTreeMap<String, Option<String>>,
    /// In PostgreSQL; null: no row.
    pub(crate) stored: Option<i128>,
    /// By bronze; null: no event.
    pub(crate) recount: Option<i128>,
}

/// What is wrong with a row of a window table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Problem {
    /// Events in bronze, no row.
    MissingRow,
    /// A row, no events in bronze.
    ExtraRow,
    /// Another number.
    Value,
    /// More than one row for the window and key.
    RowTwice,
    /// `window_end` is not `window_start` plus the declared length.
    WindowEnd,
}

/// Kafka.
#[derive(Debug, Default, Serialize)]
pub(crate) struct BrokerReport {
    /// How far it could be looked at.
    pub(crate) state: State,
    /// Why not further.
    pub(crate) reason: Option<String>,
}

/// One partition of one incarnation of the topic. A store that knows nothing of it is null.
#[derive(Debug, Default, Serialize)]
pub(crate) struct PartitionReport {
    /// Kafka partition.
    pub(crate) partition: i32,
    /// Which topic of that name.
    pub(crate) incarnation: i32,
    /// Kafka's watermarks; only the newest incarnation has any.
    pub(crate) broker: Option<Watermarks>,
    /// In the lake.
    pub(crate) bronze: Option<BronzePartition>,
    /// In PostgreSQL.
    pub(crate) serving: Option<ServingPartition>,
}

/// First offset that Kafka still has, and the next one that it will give out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Watermarks {
    /// Low.
    pub(crate) low: i64,
    /// High.
    pub(crate) high: i64,
}

/// A partition in the lake.
#[derive(Debug, Default, Serialize)]
pub(crate) struct BronzePartition {
    /// First offset that a tag or a row names.
    pub(crate) first: Option<i64>,
    /// Everything below is in the table, says the log; null: the log does not know the partition.
    pub(crate) next: Option<i64>,
    /// Rows.
    pub(crate) rows: u64,
    /// Offsets of committed spans without a record.
    pub(crate) holes: u64,
    /// The first of them; `hole_ranges_total` says how many there are.
    pub(crate) hole_ranges: Ranges,
    /// How many ranges of holes.
    pub(crate) hole_ranges_total: u64,
    /// Offsets that a person said to skip.
    pub(crate) lost: u64,
    /// Which.
    pub(crate) lost_ranges: Ranges,
    /// Offsets that should be there and are not.
    pub(crate) missing: u64,
    /// Which.
    pub(crate) missing_ranges: Ranges,
    /// Rows too many.
    pub(crate) twice: u64,
    /// Which offsets.
    pub(crate) twice_ranges: Ranges,
    /// Rows at or beyond `next`.
    pub(crate) beyond: u64,
    /// Which offsets.
    pub(crate) beyond_ranges: Ranges,
    /// Behind the broker's high watermark.
    pub(crate) lag: Option<i64>,
}

/// A partition in PostgreSQL.
#[derive(Debug, Serialize)]
pub(crate) struct ServingPartition {
    /// Everything below is in the windows.
    pub(crate) next: i64,
    /// Behind the broker's high watermark.
    pub(crate) lag: Option<i64>,
}
