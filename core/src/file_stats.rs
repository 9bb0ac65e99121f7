//! What Delta's log says of a data file: rows, bounds and nulls of its columns, taken from the file's own footer.
//!
//! A reader skips a file by these bounds, so a bound that could be wrong is left out: bounds of several row groups are only given
//! where every group has them, a long string has none, an instant is rounded outwards to the milliseconds that Delta keeps.

use parquet::basic::{LogicalType, TimeUnit};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::statistics::Statistics;
use serde_json::{Map, Value, json};

/// Longer strings prune little and would make the log long.
const LONGEST_TEXT: usize = 32;
/// Whole numbers up to here, divided by a power of ten, come out of a 64-bit float as they went in.
const EXACT_DECIMAL: i64 = 1_000_000_000_000_000;

/// Delta's statistics of a file, as JSON.
pub fn delta_stats(metadata: &ParquetMetaData) -> String {
    let (mut low, mut high, mut nulls) = (Map::new(), Map::new(), Map::new());
    let columns = metadata.row_groups().first().map_or(0, |g| g.num_columns());
    for at in 0..columns {
        let chunks = || metadata.row_groups().iter().filter_map(|g| g.columns().get(at));
        let Some(first) = chunks().next() else { continue };
        let descr = first.column_descr();
        // Inside lists and structs Delta wants another shape, and nobody prunes by it.
        let [name] = descr.path().parts() else { continue };
        let null_count: Option<u64> = chunks().map(|c| c.statistics().and_then(Statistics::null_count_opt)).sum();
        if let Some(n) = null_count {
            nulls.insert(name.clone(), json!(n));
        }
        let bounds = chunks().filter(|c| !only_nulls(c)).map(bounds).reduce(|a, b| a?.merge(b?)).flatten();
        if let Some((a, b)) = bounds.and_then(|b| b.into_json(descr.logical_type_ref())) {
            low.insert(name.clone(), a);
            high.insert(name.clone(), b);
        }
    }
    let rows = metadata.file_metadata().num_rows();
    json!({"numRecords": rows, "minValues": low, "maxValues": high, "nullCount": nulls}).to_string()
}

/// Such a chunk has no bounds and needs none.
fn only_nulls(chunk: &ColumnChunkMetaData) -> bool {
    let nulls = chunk.statistics().and_then(Statistics::null_count_opt);
    nulls.is_some_and(|n| i64::try_from(n).is_ok_and(|n| n == chunk.num_values()))
}

enum Bounds {
    Whole(i64, i64),
    Float(f64, f64),
    Text(String, String),
    Truth(bool, bool),
}

fn bounds(chunk: &ColumnChunkMetaData) -> Option<Bounds> {
    let logical = chunk.column_descr().logical_type_ref();
    if matches!(logical, Some(LogicalType::Integer(i)) if !i.is_signed) {
        return None;
    }
    Some(match chunk.statistics()? {
        Statistics::Int32(s) => Bounds::Whole(i64::from(*s.min_opt()?), i64::from(*s.max_opt()?)),
        Statistics::Int64(s) => Bounds::Whole(*s.min_opt()?, *s.max_opt()?),
        Statistics::Float(s) => Bounds::Float(f64::from(*s.min_opt()?), f64::from(*s.max_opt()?)),
        Statistics::Double(s) => Bounds::Float(*s.min_opt()?, *s.max_opt()?),
        Statistics::Boolean(s) => Bounds::Truth(*s.min_opt()?, *s.max_opt()?),
        Statistics::ByteArray(s) if matches!(logical, Some(LogicalType::String)) => {
            let (a, b) = (s.min_opt()?.as_utf8().ok()?, s.max_opt()?.as_utf8().ok()?);
            let whole = s.min_is_exact() && s.max_is_exact();
            (whole && a.len() <= LONGEST_TEXT && b.len() <= LONGEST_TEXT).then(|| Bounds::Text(a.to_owned(), b.to_owned()))?
        }
        _ => return None,
    })
}

impl Bounds {
    /// Of both together.
    fn merge(self, other: Self) -> Option<Self> {
        Some(match (self, other) {
            (Self::Whole(a, b), Self::Whole(c, d)) => Self::Whole(a.min(c), b.max(d)),
            (Self::Float(a, b), Self::Float(c, d)) => Self::Float(a.min(c), b.max(d)),
            (Self::Text(a, b), Self::Text(c, d)) => Self::Text(a.min(c), b.max(d)),
            (Self::Truth(a, b), Self::Truth(c, d)) => Self::Truth(a & c, b | d),
            _ => return None,
        })
    }

    fn into_json(self, logical: Option<&LogicalType>) -> Option<(Value, Value)> {
        Some(match (self, logical) {
            (Self::Whole(a, b), Some(LogicalType::Timestamp(t))) => {
                let per_milli = match t.unit {
                    TimeUnit::MILLIS => 1,
                    TimeUnit::MICROS => 1_000,
                    TimeUnit::NANOS => 1_000_000,
                };
                (instant(a.div_euclid(per_milli))?, instant(b.checked_add(per_milli - 1)?.div_euclid(per_milli))?)
            }
            (Self::Whole(a, b), Some(LogicalType::Date)) => (date(a)?, date(b)?),
            (Self::Whole(a, b), Some(LogicalType::Decimal(d))) => (decimal(a, d.scale)?, decimal(b, d.scale)?),
            (Self::Whole(a, b), None | Some(LogicalType::Integer(_))) => (json!(a), json!(b)),
            (Self::Float(a, b), None) if a.is_finite() && b.is_finite() => (json!(a), json!(b)),
            (Self::Text(a, b), _) => (json!(a), json!(b)),
            (Self::Truth(a, b), None) => (json!(a), json!(b)),
            _ => return None,
        })
    }
}

fn instant(millis: i64) -> Option<Value> {
    let time = chrono::DateTime::from_timestamp_millis(millis)?;
    Some(json!(time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)))
}

fn date(days: i64) -> Option<Value> {
    Some(json!(crate::table::date_text(i32::try_from(days).ok()?)))
}

fn decimal(unscaled: i64, scale: i32) -> Option<Value> {
    if !(0..=15).contains(&scale) || unscaled.abs() >= EXACT_DECIMAL {
        return None;
    }
    if scale == 0 {
        return Some(json!(unscaled));
    }
    Some(json!(unscaled as f64 / 10f64.powi(scale)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{
        ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
        TimestampMicrosecondArray, UInt32Array,
    };
    use parquet::arrow::ArrowWriter;
    use parquet::file::properties::WriterProperties;

    use super::*;

    /// Statistics of a file of two row groups.
    fn of(first: ArrayRef, second: ArrayRef) -> Value {
        let batch = |c| RecordBatch::try_from_iter_with_nullable([("c", c, true)]).unwrap();
        let (first, second) = (batch(first), batch(second));
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(first.num_rows())).build();
        let mut writer = ArrowWriter::try_new(Vec::new(), first.schema(), Some(properties)).unwrap();
        writer.write(&first).unwrap();
        writer.write(&second).unwrap();
        let metadata = writer.close().unwrap();
        assert_eq!(metadata.num_row_groups(), 2);
        serde_json::from_str(&delta_stats(&metadata)).unwrap()
    }

    fn bounds_of(first: impl arrow_array::Array + 'static, second: impl arrow_array::Array + 'static) -> (Value, Value) {
        let stats = of(Arc::new(first), Arc::new(second));
        (stats["minValues"]["c"].clone(), stats["maxValues"]["c"].clone())
    }

    #[test]
    fn bounds_and_nulls_are_those_of_all_row_groups() {
        let stats =
            of(Arc::new(Int64Array::from(vec![Some(5), None, Some(9)])), Arc::new(Int64Array::from(vec![Some(-2), None])));
        assert_eq!(stats, json!({"numRecords": 5, "minValues": {"c": -2}, "maxValues": {"c": 9}, "nullCount": {"c": 2}}));
    }

    #[test]
    fn a_row_group_of_nulls_has_no_bounds_and_takes_none_away() {
        let only_nulls = || Int64Array::from(vec![None, None]);
        assert_eq!(bounds_of(Int64Array::from(vec![1, 2]), only_nulls()), (json!(1), json!(2)));
        assert_eq!(bounds_of(only_nulls(), only_nulls()), (Value::Null, Value::Null));
    }

    #[test]
    fn each_type_is_written_as_delta_wants_it() {
        let times = |a, b| TimestampMicrosecondArray::from(vec![a, b]).with_timezone("UTC");
        let instants = (json!("1969-12-31T23:59:59.999Z"), json!("1970-01-01T00:00:00.002Z"));
        assert_eq!(bounds_of(times(-1, 0), times(1_001, 1_000)), instants);
        let days = (json!("1970-01-01"), json!("2026-11-25"));
        assert_eq!(bounds_of(Date32Array::from(vec![3, 0]), Date32Array::from(vec![20_782])), days);
        assert_eq!(bounds_of(Float64Array::from(vec![0.5, 1.5]), Float64Array::from(vec![-2.5])), (json!(-2.5), json!(1.5)));
        assert_eq!(bounds_of(BooleanArray::from(vec![true, true]), BooleanArray::from(vec![false])), (json!(false), json!(true)));
        let decimals = |v: Vec<i128>| Decimal128Array::from(v).with_precision_and_scale(12, 4).unwrap();
        assert_eq!(bounds_of(decimals(vec![1_234, 7]), decimals(vec![-5])), (json!(-0.0005), json!(0.1234)));
        let texts = |v: Vec<&'static str>| StringArray::from(v);
        assert_eq!(bounds_of(texts(vec!["b", "ä"]), texts(vec!["a"])), (json!("a"), json!("ä")));
    }

    #[test]
    fn what_could_mislead_a_reader_is_left_out() {
        let none = (Value::Null, Value::Null);
        let long = "x".repeat(LONGEST_TEXT + 1);
        assert_eq!(bounds_of(StringArray::from(vec!["a", "b"]), StringArray::from(vec![long.as_str()])), none);
        let infinite = Float64Array::from(vec![f64::INFINITY]);
        assert_eq!(bounds_of(Float64Array::from(vec![0.0, 1.0]), infinite), none);
        // Delta has no unsigned types, and the file holds this one as a negative number.
        assert_eq!(bounds_of(UInt32Array::from(vec![1, u32::MAX]), UInt32Array::from(vec![1])), none);
        let decimals = |v: Vec<i128>| Decimal128Array::from(v).with_precision_and_scale(18, 2).unwrap();
        assert_eq!(bounds_of(decimals(vec![1, 2]), decimals(vec![i128::from(EXACT_DECIMAL)])), none);
    }
}
