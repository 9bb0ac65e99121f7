//! A Delta table as batch work sees it: one version, the files that are alive in it, and files that are about to join.
//!
//! Plain data. Whoever reads the log fills it in, whoever computes over tables takes it; neither needs the other's libraries. Days are
//! days since 1970 in UTC, paths are relative to the table's root and decoded.

use std::collections::BTreeMap;

use arrow_schema::SchemaRef;

/// The column that partitions every table of the lake which is partitioned at all.
pub const DATE_COLUMN: &str = "event_date";

/// One table at one version: what is read from it does not change while it is read.
#[derive(Debug, Clone)]
pub struct Pinned {
    /// As SQL calls it: `silver.user_events`.
    pub name: String,
    /// The table's own id, from its log: another table of the same name has another one.
    pub id: String,
    /// The version.
    pub version: u64,
    /// All columns in the table's order, [`DATE_COLUMN`] included where it partitions the table.
    pub schema: SchemaRef,
    /// Whether [`DATE_COLUMN`] is a partition column: then it is not in the files.
    pub by_date: bool,
    /// The live files.
    pub files: Vec<TableFile>,
}

impl Pinned {
    /// The days that have files.
    pub fn days(&self) -> Vec<i32> {
        let mut days: Vec<i32> = self.files.iter().filter_map(|f| f.date).collect();
        days.sort_unstable();
        days.dedup();
        days
    }

    /// The same table with the files of these days alone.
    #[must_use]
    pub fn only_days(&self, days: &[i32]) -> Self {
        let files = self.files.iter().filter(|f| f.date.is_some_and(|d| days.contains(&d))).cloned().collect();
        Self { files, ..self.clone() }
    }

    /// Bytes of all live files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|f| f.size).sum()
    }

    /// Rows of all live files, as far as their statistics say.
    pub fn rows(&self) -> u64 {
        self.files.iter().filter_map(|f| f.rows).sum()
    }
}

/// A live data file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableFile {
    /// Relative to the table's root, decoded.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Rows, if its statistics say.
    pub rows: Option<u64>,
    /// Its day, where the table is partitioned.
    pub date: Option<i32>,
    /// Delta's statistics, as JSON.
    pub stats: Option<String>,
    /// The tags of its action in the log.
    pub tags: BTreeMap<String, String>,
    /// When it was written, milliseconds since 1970.
    pub modified_ms: i64,
}

/// A data file that is durable in the store and not yet in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    /// Relative to the table's root.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Rows.
    pub rows: u64,
    /// Its day, where the table is partitioned.
    pub date: Option<i32>,
    /// Delta's statistics, as JSON.
    pub stats: String,
    /// Tags for its action in the log.
    pub tags: BTreeMap<String, String>,
}

/// `2026-11-25`, as Delta writes a date partition.
pub fn date_text(day: i32) -> String {
    chrono::DateTime::from_timestamp(i64::from(day) * 86_400, 0).unwrap_or_default().format("%Y-%m-%d").to_string()
}

/// Reads what [`date_text`] writes.
pub fn parse_date(text: &str) -> Option<i32> {
    let date = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    i32::try_from((date - chrono::NaiveDate::default()).num_days()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_reads_back_as_it_was_written() {
        for day in [-1, 0, 1, 20_000, 20_782] {
            assert_eq!(parse_date(&date_text(day)), Some(day));
        }
        assert_eq!(date_text(0), "1970-01-01");
        assert_eq!(parse_date("2026-13-01"), None);
    }
}
