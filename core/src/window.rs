//! Rows become additive integer deltas, one set per Kafka partition.
//!
//! There is no window state to lose: a late event is one more addition, and several instances may add to the same row. Assumes
//! rows by [`crate::batch::schema`] (or the same columns read back from the lake, as plain strings) and spans that were already cut
//! to what the store lacks. Promises to count exactly the rows whose status is `ok` and whose offset lies inside their
//! partition's span, and nothing else.
//!
//! A field that was declared after rows were written is null in them, or its column is not in their file at all: such a row is in no
//! group of that field, passes no filter of it and adds nothing to its sum.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType, UInt8Type};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;
use hashbrown::HashMap;

use crate::batch::Status;
use crate::span::{Broken, Span};
use crate::stream::{Measure, Stream};

/// A row of a window table, without its value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Index into the stream's windows.
    pub window: u16,
    /// Start of the interval, milliseconds since 1970.
    pub start_ms: i64,
    /// Values of the group columns, in their order.
    pub group: Box<[Arc<str>]>,
}

/// What to add to which rows.
pub type Cells = HashMap<Key, i128, ahash::RandomState>;

/// What the rows of one span add up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionDelta {
    /// The offsets that are counted here, all of them and no others.
    pub span: Span,
    /// Valid rows counted.
    pub rows: u64,
    /// Newest event time counted, milliseconds since 1970.
    pub newest_event_ms: Option<i64>,
    /// What to add.
    pub cells: Cells,
}

impl PartitionDelta {
    /// A span without rows.
    pub fn empty(span: Span) -> Self {
        Self { span, rows: 0, newest_event_ms: None, cells: Cells::default() }
    }

    /// Adds a delta that begins where this one ends.
    ///
    /// # Errors
    /// [`Broken`] when it begins elsewhere; nothing is added then.
    pub fn absorb(&mut self, later: PartitionDelta) -> Result<(), Broken> {
        Broken::check(self.span.partition, self.span.to, later.span.from)?;
        self.span.to = later.span.to;
        self.span.epoch = later.span.epoch;
        self.rows += later.rows;
        self.newest_event_ms = self.newest_event_ms.max(later.newest_event_ms);
        for (key, amount) in later.cells {
            *self.cells.entry(key).or_default() += amount;
        }
        Ok(())
    }
}

/// Rows that are not of the stream's schema: a bug or a foreign table, never data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column} of {stream}: expected {expected}, found {found}")]
pub struct NotOurSchema {
    stream: String,
    column: String,
    expected: &'static str,
    found: String,
}

/// Folds rows of one stream.
#[derive(Debug)]
pub struct Folder {
    stream: Arc<Stream>,
    /// Fields that some window filters or groups by, and fields that some window sums.
    symbols: Vec<usize>,
    sums: Vec<usize>,
    /// Every interval is a multiple of this.
    slot_us: i64,
}

/// One used text field of one batch: a code per row, a text per code. Code 0 is null.
struct Codes {
    per_row: Vec<u32>,
    texts: Vec<Option<Arc<str>>>,
}

impl Folder {
    /// Folds by this stream's windows.
    pub fn new(stream: Arc<Stream>) -> Self {
        let mut symbols = Vec::new();
        let mut sums = Vec::new();
        let mut slot_ms = 86_400_000;
        for window in &stream.windows {
            slot_ms = gcd(slot_ms, window.every_ms);
            for field in window.filter.iter().map(|(f, _)| *f).chain(window.group_by.iter().copied()) {
                if !symbols.contains(&field) {
                    symbols.push(field);
                }
            }
            if let Measure::Sum { field, .. } = &window.measure
                && !sums.contains(field)
            {
                sums.push(*field);
            }
        }
        Self { stream, symbols, sums, slot_us: slot_ms * 1000 }
    }

    /// Folds the rows of `spans` into one delta per span, also for spans without a row.
    ///
    /// # Errors
    /// [`NotOurSchema`] when a column that every row has is missing, or any is of another type.
    pub fn fold(&self, rows: &RecordBatch, spans: &[Span]) -> Result<Vec<PartitionDelta>, NotOurSchema> {
        let mut deltas: Vec<_> = spans.iter().map(|s| PartitionDelta::empty(*s)).collect();
        if rows.num_rows() == 0 {
            return Ok(deltas);
        }
        let event_time = &self.stream.fields[self.stream.event_time].column;
        let ok = self.valid_rows(rows)?;
        let partitions = self.column(rows, "kafka_partition")?;
        let partitions =
            partitions.as_primitive_opt::<Int32Type>().ok_or_else(|| self.not_ours(rows, "kafka_partition", "int32"))?;
        let offsets = self.column(rows, "kafka_offset")?;
        let offsets = offsets.as_primitive_opt::<Int64Type>().ok_or_else(|| self.not_ours(rows, "kafka_offset", "int64"))?;
        let times = self.column(rows, event_time)?;
        let times = times
            .as_primitive_opt::<TimestampMicrosecondType>()
            .ok_or_else(|| self.not_ours(rows, event_time, "timestamp in microseconds"))?;
        let codes = self.symbols.iter().map(|f| self.codes(rows, *f)).collect::<Result<Vec<_>, _>>()?;
        let mut sums = Vec::with_capacity(self.sums.len());
        for field in &self.sums {
            let name = &self.stream.fields[*field].column;
            let array = rows.column_by_name(name);
            let integers =
                array.map(|array| array.as_primitive_opt::<Int64Type>().ok_or_else(|| self.not_ours(rows, name, "int64")));
            sums.push(integers.transpose()?);
        }

        // One look-up per row, whatever the number of windows: rows that agree in span, slot and all used texts share a cell.
        let stride = 1 + sums.len();
        let mut cells: HashMap<(u32, i64, Vec<u32>), usize, ahash::RandomState> = HashMap::default();
        let mut totals: Vec<i128> = Vec::new();
        let mut probe: (u32, i64, Vec<u32>) = (0, 0, vec![0; codes.len()]);
        let mut last: Option<usize> = None;
        let (mut span_at, mut span) = (usize::MAX, None::<Span>);
        for (row, valid) in ok.into_iter().enumerate() {
            let (partition, offset) = (partitions.value(row), offsets.value(row));
            if span.is_none_or(|s| s.partition != partition) {
                span_at = spans.iter().position(|s| s.partition == partition).unwrap_or(usize::MAX);
                span = spans.get(span_at).copied();
                last = None;
            }
            let Some(s) = span else { continue };
            if offset < s.from || offset >= s.to || !valid || times.is_null(row) {
                continue;
            }
            let time = times.value(row);
            let slot = time.div_euclid(self.slot_us);
            let delta = &mut deltas[span_at];
            delta.rows += 1;
            let ms = time.div_euclid(1000);
            if delta.newest_event_ms.is_none_or(|newest| newest < ms) {
                delta.newest_event_ms = Some(ms);
            }
            let mut same = last.is_some() && probe.1 == slot;
            probe.0 = span_at as u32;
            probe.1 = slot;
            for (i, c) in codes.iter().enumerate() {
                same &= probe.2[i] == c.per_row[row];
                probe.2[i] = c.per_row[row];
            }
            let at = match last {
                Some(at) if same => at,
                _ => match cells.get(&probe) {
                    Some(at) => *at,
                    None => {
                        let at = totals.len();
                        cells.insert(probe.clone(), at);
                        totals.resize(at + stride, 0);
                        at
                    }
                },
            };
            last = Some(at);
            totals[at] += 1;
            for (i, sum) in sums.iter().enumerate() {
                if let Some(sum) = sum
                    && sum.is_valid(row)
                {
                    totals[at + 1 + i] += i128::from(sum.value(row));
                }
            }
        }
        for ((span_at, slot, cell_codes), at) in cells {
            self.project(
                &mut deltas[span_at as usize].cells,
                slot * self.slot_us / 1000,
                &cell_codes,
                &codes,
                &totals[at..at + stride],
            );
        }
        Ok(deltas)
    }

    /// Adds one cell to every window that takes it.
    fn project(&self, cells: &mut Cells, slot_ms: i64, cell: &[u32], codes: &[Codes], totals: &[i128]) {
        let text = |field: usize| -> Option<&Arc<str>> {
            let i = self.symbols.iter().position(|f| *f == field)?;
            codes[i].texts[cell[i] as usize].as_ref()
        };
        for (index, window) in self.stream.windows.iter().enumerate() {
            let taken =
                window.filter.iter().all(|(f, values)| text(*f).is_some_and(|t| values.iter().any(|v| v.as_str() == &**t)));
            if !taken {
                continue;
            }
            // A declaration only groups by required fields, so a valid row has them all, unless it is older than the field.
            let group: Option<Box<[Arc<str>]>> = window.group_by.iter().map(|f| text(*f).cloned()).collect();
            let Some(group) = group else { continue };
            let amount = match &window.measure {
                Measure::Count { .. } => totals[0],
                Measure::Sum { field, .. } => totals[1 + self.sums.iter().position(|f| f == field).unwrap_or(0)],
            };
            let start_ms = slot_ms.div_euclid(window.every_ms) * window.every_ms;
            *cells.entry(Key { window: index as u16, start_ms, group }).or_default() += amount;
        }
    }

    fn valid_rows(&self, rows: &RecordBatch) -> Result<Vec<bool>, NotOurSchema> {
        let status = self.column(rows, "status")?;
        if let Some(dictionary) = status.as_dictionary_opt::<UInt8Type>() {
            return Ok(dictionary.keys().values().iter().map(|code| *code == Status::Ok as u8).collect());
        }
        let texts = status.as_string_opt::<i32>().ok_or_else(|| self.not_ours(rows, "status", "string"))?;
        Ok(texts.iter().map(|t| t == Some(Status::Ok.as_str())).collect())
    }

    fn codes(&self, rows: &RecordBatch, field: usize) -> Result<Codes, NotOurSchema> {
        let name = &self.stream.fields[field].column;
        let Some(array) = rows.column_by_name(name) else {
            return Ok(Codes { per_row: vec![0; rows.num_rows()], texts: vec![None] });
        };
        if let Some(dictionary) = array.as_dictionary_opt::<Int32Type>()
            && let Some(values) = dictionary.values().as_string_opt::<i32>()
        {
            let texts = std::iter::once(None).chain(values.iter().map(|t| t.map(Arc::from))).collect();
            let keys = dictionary.keys();
            let per_row = (0..keys.len()).map(|row| if keys.is_valid(row) { keys.value(row) as u32 + 1 } else { 0 }).collect();
            return Ok(Codes { per_row, texts });
        }
        let strings = array.as_string_opt::<i32>().ok_or_else(|| self.not_ours(rows, name, "string"))?;
        let mut known: HashMap<&str, u32, ahash::RandomState> = HashMap::default();
        let mut texts = vec![None];
        let per_row = strings
            .iter()
            .map(|text| match text {
                None => 0,
                Some(text) => *known.entry(text).or_insert_with(|| {
                    texts.push(Some(Arc::from(text)));
                    (texts.len() - 1) as u32
                }),
            })
            .collect();
        Ok(Codes { per_row, texts })
    }

    fn column<'a>(&self, rows: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, NotOurSchema> {
        rows.column_by_name(name).ok_or_else(|| self.not_ours(rows, name, "a column of that name"))
    }

    fn not_ours(&self, rows: &RecordBatch, column: &str, expected: &'static str) -> NotOurSchema {
        let found = rows.schema().field_with_name(column).map_or(DataType::Null, |f| f.data_type().clone());
        NotOurSchema { stream: self.stream.name.clone(), column: column.to_owned(), expected, found: found.to_string() }
    }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
