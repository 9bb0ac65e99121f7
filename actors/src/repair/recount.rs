//! A day of windows counted again from bronze: what they must say when they have counted exactly these offsets.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{BooleanArray, RecordBatch};
use deltalake::logstore::LogStoreRef;
use tributary_core::replay::Place;
use tributary_core::span::Span;
use tributary_core::stream::Stream;
use tributary_core::window::{Cells, Folder, Key};

use super::bronze::{self, Bronze, Known};
use super::{Counted, RepairError};
use crate::lake::reader::may_hold;
use crate::serving::refill::needed_columns;

/// Milliseconds of a day. Every window divides it.
pub(super) const DAY_MS: i64 = 86_400_000;

/// Which windows of which day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// Days since 1970.
    pub(super) day: i32,
    /// Milliseconds since 1970, within the day.
    pub(super) from_ms: i64,
    /// The end of it, within the day or its end.
    pub(super) to_ms: i64,
}

impl Part {
    /// Starts of the windows of this length that hold any of it: `[from, to)`.
    pub(super) fn starts(&self, every_ms: i64) -> (i64, i64) {
        (self.from_ms.div_euclid(every_ms) * every_ms, self.to_ms)
    }

    /// The event times, `[from, to)` in milliseconds since 1970, of which windows hold any of it.
    fn ends(&self, stream: &Stream) -> (i64, i64) {
        let starts = stream.windows.iter().map(|window| self.starts(window.every_ms).0).min();
        let ends = stream.windows.iter().map(|w| (self.to_ms - 1).div_euclid(w.every_ms) * w.every_ms + w.every_ms).max();
        (starts.unwrap_or(self.from_ms), ends.unwrap_or(self.to_ms))
    }

    fn takes(&self, stream: &Stream, key: &Key) -> bool {
        let every_ms = stream.windows.get(usize::from(key.window)).map_or(DAY_MS, |window| window.every_ms);
        let (from, to) = self.starts(every_ms);
        (from..to).contains(&key.start_ms)
    }
}

/// Adds to `cells` what the valid rows of these spans, `[from, to)` by place, put into these windows. A valid row is in the folder of its
/// event's day, so only that day's files are read.
pub(super) async fn count(
    store: &LogStoreRef,
    stream: &Arc<Stream>,
    table: &Bronze,
    spans: &BTreeMap<Place, (i64, i64)>,
    counted: &Counted,
    part: Part,
    cells: &mut Cells,
) -> Result<(), RepairError> {
    let folder = Folder::new(Arc::clone(stream));
    let columns = needed_columns(stream);
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut by_incarnation: BTreeMap<i32, Vec<Span>> = BTreeMap::new();
    for ((incarnation, partition), (from, to)) in spans.iter().filter(|(_, (from, to))| from < to) {
        let span = Span { partition: *partition, epoch: 0, from: *from, to: *to, floor: [i64::MIN; 2] };
        by_incarnation.entry(*incarnation).or_default().push(span);
    }
    for file in table.files.iter().filter(|file| file.date.is_none_or(|date| date == part.day)) {
        let held: BTreeMap<i32, Vec<Span>> = by_incarnation
            .iter()
            .map(|(n, spans)| {
                let here = |span: &&Span| may_hold(file, *n, span.partition, span.from, span.to);
                (*n, spans.iter().filter(here).copied().collect())
            })
            .filter(|(_, spans): &(i32, Vec<Span>)| !spans.is_empty())
            .collect();
        if held.is_empty() || !Known::of(file).may_hold_time(&stream.fields[stream.event_time].column, part.ends(stream)) {
            continue;
        }
        for batch in bronze::rows(store, file, Some(&columns)).await? {
            let batch = batch?;
            for (incarnation, spans) in &held {
                let rows = only(&batch, *incarnation, counted)?;
                for delta in folder.fold(&rows, spans).map_err(|e| RepairError::Schema(e.to_string()))? {
                    for (key, amount) in delta.cells.into_iter().filter(|(key, _)| part.takes(stream, key)) {
                        *cells.entry(key).or_default() += amount;
                    }
                }
            }
        }
    }
    Ok(())
}

/// The rows of one incarnation, without those that the windows were told to skip.
fn only(batch: &RecordBatch, incarnation: i32, counted: &Counted) -> Result<RecordBatch, RepairError> {
    let strange = || RepairError::Schema("rows without partition, offset or incarnation".to_owned());
    let numbers = |name: &str| batch.column_by_name(name).and_then(|c| c.as_primitive_opt::<Int32Type>()).ok_or_else(strange);
    let (incarnations, partitions) = (numbers("topic_incarnation")?, numbers("kafka_partition")?);
    let offsets = batch.column_by_name("kafka_offset").and_then(|c| c.as_primitive_opt::<Int64Type>()).ok_or_else(strange)?;
    let taken = |row: usize| {
        let n = incarnations.value(row);
        n == incarnation && !counted.skips((n, partitions.value(row)), offsets.value(row))
    };
    let mask: BooleanArray = (0..batch.num_rows()).map(|row| Some(taken(row))).collect();
    Ok(arrow_select::filter::filter_record_batch(batch, &mask)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_is_healed_with_the_hour_that_holds_it() {
        let part = Part { day: 1, from_ms: DAY_MS + 61 * 60_000, to_ms: DAY_MS + 62 * 60_000 };
        assert_eq!(part.starts(60_000), (DAY_MS + 61 * 60_000, DAY_MS + 62 * 60_000));
        assert_eq!(part.starts(3_600_000), (DAY_MS + 60 * 60_000, DAY_MS + 62 * 60_000));
        assert_eq!(part.starts(DAY_MS), (DAY_MS, DAY_MS + 62 * 60_000));
    }
}
