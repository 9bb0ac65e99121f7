//! What silver has already: ids and times of those row groups whose times meet those of new rows, and of no others.

use std::collections::BTreeSet;

use parquet::basic::{LogicalType, TimeUnit};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::statistics::Statistics;
use tributary_core::table::TableFile;

use super::seen::Seen;
use super::{SilverError, Work};
use crate::source::SourceFile;

/// When new rows happened, in microseconds since 1970.
#[derive(Debug)]
pub(super) enum Reach {
    /// At these times, sorted.
    Times(Vec<i64>),
    /// Somewhere in these ranges, bounds included.
    Ranges(Vec<(i64, i64)>),
}

impl Reach {
    /// Where the rows of these files may lie.
    pub(super) fn of_files(files: &[TableFile], time: &str) -> Self {
        Self::Ranges(files.iter().map(|f| time_range(f, time).unwrap_or((i64::MIN, i64::MAX))).collect())
    }

    /// Whether a new row may lie between these times, where they are known.
    fn meets(&self, range: Option<(i64, i64)>) -> bool {
        let Some((low, high)) = range else { return true };
        match self {
            Self::Times(times) => times.get(times.partition_point(|t| *t < low)).is_some_and(|t| *t <= high),
            Self::Ranges(ranges) => ranges.iter().any(|(from, to)| *from <= high && low <= *to),
        }
    }
}

/// The files of silver that may hold copies of new rows, as they came into the table.
pub(super) fn files(work: &Work, day: i32, reach: &Reach) -> Vec<TableFile> {
    let of_day = work.input.silver.table.files.iter().filter(|f| f.date == Some(day));
    let mut files: Vec<_> = of_day.filter(|f| reach.meets(time_range(f, &work.keys.time))).cloned().collect();
    files.sort_by(|a, b| (a.modified_ms, &a.path).cmp(&(b.modified_ms, &b.path)));
    files
}

/// Remembers what these files hold: all of it, or only what has an id of `only`.
pub(super) fn load(
    work: &Work,
    day: i32,
    files: &[TableFile],
    reach: &Reach,
    only: Option<&Seen>,
    seen: &mut Seen,
) -> Result<(), SilverError> {
    let columns = [work.keys.id.as_str(), work.keys.time.as_str()];
    for file in files {
        let source = work.wait(SourceFile::open(&work.input.silver.store, file, &BTreeSet::new()))?;
        for (at, group) in source.row_groups().iter().enumerate() {
            if !reach.meets(group_range(group, &work.keys.time)) {
                continue;
            }
            for rows in work.wait(source.fetch(at, &columns))?.batches()? {
                work.check_stop()?;
                for key in work.keys.read(day, &rows?, &None)? {
                    if only.is_none_or(|only| only.has_id_of(key)) {
                        seen.insert(key);
                    }
                }
            }
        }
    }
    Ok(())
}

/// What a file's statistics say of its times.
pub(super) fn time_range(file: &TableFile, column: &str) -> Option<(i64, i64)> {
    let stats: serde_json::Value = serde_json::from_str(file.stats.as_ref()?).ok()?;
    let bound = |which: &str| {
        let text = stats.get(which)?.get(column)?.as_str()?;
        Some(chrono::DateTime::parse_from_rfc3339(text).ok()?.timestamp_micros())
    };
    // Other writers cut statistics to whole milliseconds, downwards.
    bound("minValues").zip(bound("maxValues").map(|max| max.saturating_add(999)))
}

fn group_range(group: &RowGroupMetaData, column: &str) -> Option<(i64, i64)> {
    let chunk = group.columns().iter().find(|c| c.column_path().string() == column)?;
    match (chunk.column_descr().logical_type_ref()?, chunk.statistics()?) {
        (LogicalType::Timestamp(t), Statistics::Int64(s)) if t.unit == TimeUnit::MICROS => {
            s.min_opt().copied().zip(s.max_opt().copied())
        }
        _ => None,
    }
}
