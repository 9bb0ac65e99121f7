//! One thing that is wrong, with the exact offsets, file or table.
//!
//! The names of kinds are stable: scripts wait for them.

use serde::Serialize;

use super::ranges::Ranges;

/// One thing that is wrong.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Finding {
    /// What kind.
    pub(crate) kind: Kind,
    /// For people.
    pub(crate) detail: String,
    /// Kafka partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) partition: Option<i32>,
    /// Which topic of that name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) incarnation: Option<i32>,
    /// Offsets concerned.
    #[serde(skip_serializing_if = "Ranges::is_empty")]
    pub(crate) ranges: Ranges,
    /// File concerned, relative to the table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<String>,
    /// Table concerned: of the windows without its schema, else with its layer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) table: Option<String>,
}

/// Kinds of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Default)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// A store is not there, cannot be reached or cannot be read.
    #[default]
    NotChecked,
    /// Offsets that no row, span or lost range accounts for.
    Missing,
    /// Offsets with more than one row.
    Twice,
    /// Offsets that two commits both claim.
    Overlap,
    /// Rows or spans at or beyond the stored next offset.
    Beyond,
    /// Rows of offsets that their file's tag does not cover.
    OutsideTag,
    /// Another number of rows in the file than in its tag.
    RowsDiffer,
    /// Rows in the folder of another day.
    EventDate,
    /// A file, row or tag that cannot be read.
    Unreadable,
    /// The lake has less than PostgreSQL counted.
    BronzeBehind,
    /// PostgreSQL has less of an older topic of that name than the lake.
    WindowsBehind,
    /// A store has more than Kafka ever gave out.
    AheadOfBroker,
    /// Kafka no longer has what the lake has yet to read.
    Expired,
    /// Not everything in Kafka is in both stores, as `--drained` asks.
    NotDrained,
    /// The stores disagree which topic is which incarnation.
    Incarnation,
    /// A window table differs from bronze.
    Window,
    /// Valid rows that cannot be counted: no event time.
    Unkeyed,
    /// Valid events of bronze that silver should have and has not.
    SilverMissing,
    /// Rows of silver that are not bronze's.
    SilverExtra,
    /// Events with more than one row in silver.
    SilverTwice,
    /// A gold table differs from what its model says over the versions that it was made from.
    GoldMismatch,
    /// A table in PostgreSQL differs from the gold table that it is published from.
    PublishedMismatch,
    /// Something upstream has changed since, and `--current` asks that nothing has.
    Stale,
}

impl Finding {
    /// A finding about no partition in particular.
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Finding { kind, detail: detail.into(), ..Finding::default() }
    }

    /// A finding about offsets of a partition.
    pub(crate) fn at((incarnation, partition): (i32, i32), kind: Kind, ranges: Ranges, detail: impl Into<String>) -> Self {
        Finding { partition: Some(partition), incarnation: Some(incarnation), ranges, ..Finding::new(kind, detail) }
    }

    /// The same, in this file.
    #[must_use]
    pub(crate) fn in_file(self, file: impl ToString) -> Self {
        Finding { file: Some(file.to_string()), ..self }
    }
}
