//! Window tables against the recount, row by row.
//!
//! Promises that `drift` is the sum of all absolute differences and `mismatched` the number of rows that differ in anything: zero
//! and zero, or each of them is listed. Windows that were deleted for their age are not asked for.

use std::collections::HashSet;

use chrono::{DateTime, SecondsFormat};
use tributary_core::stream::{Measure, Stream, Window};

use super::recount::{Counts, Key, Symbols};
use super::report::{Difference, Problem, TableReport};
use super::serving::Stored;

/// Compares one table. Differences come in order of window and key.
pub(crate) fn compare(stream: &Stream, window: &Window, stored: &Stored, recount: &Counts, symbols: &Symbols) -> TableReport {
    let is_kept = |key: &&Key| stored.complete_from.is_none_or(|from| key.0 >= from);
    let mut report = TableReport {
        table: window.table.clone(),
        rows: stored.rows,
        recounted: recount.keys().filter(|key| is_kept(key)).count() as u64,
        mismatched: 0,
        drift: 0,
        differences: Vec::new(),
    };
    let twice: HashSet<&Key> = stored.twice.iter().collect();
    let bad_end: HashSet<&Key> = stored.bad_end.iter().collect();
    let only_stored = stored.counts.keys().filter(|key| !recount.contains_key(*key));
    for key in recount.keys().chain(only_stored).filter(is_kept) {
        let (there, should) = (stored.counts.get(key).copied(), recount.get(key).copied());
        let problem = match (there, should) {
            // Nothing to add leaves nothing to see.
            (None, Some(0)) if matches!(window.measure, Measure::Sum { .. }) => continue,
            (None, _) => Problem::MissingRow,
            (_, None) => Problem::ExtraRow,
            (Some(there), Some(should)) if there != should => Problem::Value,
            _ if twice.contains(key) => Problem::RowTwice,
            _ if bad_end.contains(key) => Problem::WindowEnd,
            _ => continue,
        };
        report.mismatched += 1;
        report.drift = report.drift.saturating_add(there.unwrap_or(0).abs_diff(should.unwrap_or(0)));
        report.differences.push(difference(stream, window, key, problem, (there, should), symbols));
    }
    report.differences.sort_by(|a, b| (&a.window_start, &a.key).cmp(&(&b.window_start, &b.key)));
    report
}

fn difference(
    stream: &Stream,
    window: &Window,
    (start, group): &Key,
    problem: Problem,
    (stored, recount): (Option<i128>, Option<i128>),
    symbols: &Symbols,
) -> Difference {
    let columns = window.group_by.iter().map(|field| stream.fields[*field].column.clone());
    let window_start = DateTime::from_timestamp_micros(*start)
        .map_or_else(|| format!("{start} µs"), |time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true));
    let key = columns.zip(group).map(|(column, number)| (column, symbols.text(*number))).collect();
    Difference { problem, window_start, key, stored, recount }
}
