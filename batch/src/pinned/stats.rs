//! Delta's statistics of a file, as planning wants them.
//!
//! Assumes that lower bounds are not above and upper bounds not below what is in the file; writers round, so a bound is taken for a
//! value that occurs only where rounding is impossible (whole numbers and dates). Fractions are left out: a NaN has no place in bounds.

use std::collections::HashSet;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, UInt64Array};
use arrow_schema::{DataType, Schema, SchemaRef, TimeUnit};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ScalarValue, Statistics};
use serde_json::{Map, Value};
use tributary_core::table::{DATE_COLUMN, TableFile, parse_date};

/// Delta rounds times to milliseconds; some writers round the upper bound down.
const ROUNDED_AWAY_MICROS: i64 = 999;

/// What is known of one file.
#[derive(Debug, Default)]
pub(super) struct FileStats {
    rows: Option<u64>,
    date: Option<i32>,
    low: Map<String, Value>,
    high: Map<String, Value>,
    nulls: Map<String, Value>,
}

#[derive(Debug, Clone, Copy)]
enum Side {
    Low,
    High,
}

impl FileStats {
    /// Statistics that cannot be read are none.
    pub(super) fn read(file: &TableFile) -> Self {
        let mut stats = Self { rows: file.rows, date: file.date, ..Self::default() };
        let Some(Ok(Value::Object(mut all))) = file.stats.as_deref().map(serde_json::from_str::<Value>) else { return stats };
        let mut part = |key: &str| match all.remove(key) {
            Some(Value::Object(map)) => map,
            _ => Map::new(),
        };
        stats.low = part("minValues");
        stats.high = part("maxValues");
        stats.nulls = part("nullCount");
        stats
    }

    fn bound(&self, column: &str, data_type: &DataType, side: Side) -> Option<ScalarValue> {
        if column == DATE_COLUMN && self.date.is_some() {
            return Some(ScalarValue::Date32(self.date));
        }
        let value = match side {
            Side::Low => self.low.get(column)?,
            Side::High => self.high.get(column)?,
        };
        Some(match data_type {
            DataType::Int64 => ScalarValue::Int64(Some(value.as_i64()?)),
            DataType::Int32 => ScalarValue::Int32(Some(i32::try_from(value.as_i64()?).ok()?)),
            DataType::Date32 => ScalarValue::Date32(Some(parse_date(value.as_str()?)?)),
            DataType::Utf8 => ScalarValue::Utf8(Some(value.as_str()?.to_owned())),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => {
                let micros = chrono::DateTime::parse_from_rfc3339(value.as_str()?).ok()?.timestamp_micros();
                let micros = match side {
                    Side::Low => micros,
                    Side::High => micros.checked_add(ROUNDED_AWAY_MICROS)?,
                };
                ScalarValue::TimestampMicrosecond(Some(micros), zone.clone())
            }
            _ => return None,
        })
    }

    fn null_count(&self, column: &str) -> Option<u64> {
        if column == DATE_COLUMN && self.date.is_some() {
            return Some(0);
        }
        self.nulls.get(column)?.as_u64()
    }

    /// For the columns that are in files. Everything here is taken for the truth: a count or a maximum may be answered from it.
    pub(super) fn for_plans(&self, columns: &Schema) -> Statistics {
        let exact = |n: u64| usize::try_from(n).map_or(Precision::Absent, Precision::Exact);
        let mut statistics = Statistics::new_unknown(columns);
        statistics.num_rows = self.rows.map_or(Precision::Absent, exact);
        for (field, of) in columns.fields().iter().zip(&mut statistics.column_statistics) {
            of.null_count = self.null_count(field.name()).map_or(Precision::Absent, exact);
            if !matches!(field.data_type(), DataType::Int64 | DataType::Int32 | DataType::Date32) {
                continue;
            }
            let bound = |side| self.bound(field.name(), field.data_type(), side).map_or(Precision::Absent, Precision::Exact);
            of.min_value = bound(Side::Low);
            of.max_value = bound(Side::High);
        }
        statistics
    }
}

/// The statistics of many files, to find those that a filter rules out.
pub(super) struct Bounds<'a> {
    pub(super) schema: &'a SchemaRef,
    pub(super) files: &'a [(&'a TableFile, FileStats)],
}

impl Bounds<'_> {
    fn values(&self, column: &Column, side: Side) -> Option<ArrayRef> {
        let data_type = self.schema.field_with_name(&column.name).ok()?.data_type();
        let unknown = ScalarValue::try_from(data_type).ok()?;
        let values = self.files.iter().map(|(_, s)| s.bound(&column.name, data_type, side).unwrap_or_else(|| unknown.clone()));
        ScalarValue::iter_to_array(values).ok()
    }

    fn counts(&self, of: impl Fn(&FileStats) -> Option<u64>) -> Option<ArrayRef> {
        Some(Arc::new(self.files.iter().map(|(_, s)| of(s)).collect::<UInt64Array>()))
    }
}

impl PruningStatistics for Bounds<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, Side::Low)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, Side::High)
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        self.counts(|s| s.null_count(&column.name))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        self.counts(|s| s.rows)
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
