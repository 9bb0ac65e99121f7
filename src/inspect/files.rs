//! The data files of a table.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use tributary_actors::lake::snapshot::Snapshot;
use tributary_core::table::{TableFile, date_text};

use crate::words;

/// A live data file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct DataFile {
    /// Below the table's root.
    pub(crate) path: String,
    /// Null: the table has no days.
    pub(crate) day: Option<String>,
    /// Null: its statistics do not say.
    pub(crate) rows: Option<u64>,
    /// Its size.
    pub(crate) bytes: u64,
    /// When that was.
    pub(crate) written_at: Option<String>,
}

impl DataFile {
    /// When it was written.
    pub(crate) fn written(&self) -> Option<DateTime<Utc>> {
        Some(DateTime::parse_from_rfc3339(self.written_at.as_deref()?).ok()?.to_utc())
    }
}

impl From<&TableFile> for DataFile {
    fn from(file: &TableFile) -> Self {
        Self {
            path: file.path.clone(),
            day: file.date.map(date_text),
            rows: file.rows,
            bytes: file.size,
            written_at: words::from_millis(Some(file.modified_ms)).map(words::rfc3339),
        }
    }
}

/// The newest files of a table, at most so many.
pub(crate) fn newest(table: &Snapshot, most: usize) -> Vec<DataFile> {
    newest_of(table.files().values(), most)
}

fn newest_of<'a>(files: impl Iterator<Item = &'a TableFile>, most: usize) -> Vec<DataFile> {
    let mut files: Vec<&TableFile> = files.collect();
    files.sort_by(|a, b| (b.modified_ms, &a.path).cmp(&(a.modified_ms, &b.path)));
    files.into_iter().take(most).map(DataFile::from).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_newest_come_first() {
        let file = |path: &str, modified_ms| TableFile {
            path: path.to_owned(),
            size: 1,
            rows: None,
            date: Some(0),
            stats: None,
            tags: BTreeMap::new(),
            modified_ms,
        };
        let files = [file("a", 1), file("c", 2), file("b", 2)];
        let paths: Vec<String> = newest_of(files.iter(), 2).into_iter().map(|file| file.path).collect();
        assert_eq!(paths, ["b", "c"]);
    }
}
