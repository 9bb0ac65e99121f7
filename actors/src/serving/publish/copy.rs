//! Arrow columns as PostgreSQL has them: types, and rows in COPY's text format.
//!
//! PostgreSQL's TEXT holds no NUL: U+FFFD stands in for it, so that one odd event does not keep a table from being published.

use std::fmt::Write as _;
use std::io::Write as _;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use chrono::{DateTime, NaiveDate, TimeDelta};

/// PostgreSQL's name of the type that holds a column's values; none: there is no such type.
pub(super) fn kind(of: &DataType) -> Option<&'static str> {
    Some(match of {
        DataType::Boolean => "boolean",
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => "smallint",
        DataType::UInt16 | DataType::Int32 => "integer",
        DataType::UInt32 | DataType::Int64 => "bigint",
        // Without a precision: a model that rounds otherwise needs no other column.
        DataType::UInt64 | DataType::Decimal128(..) => "numeric",
        DataType::Float32 => "real",
        DataType::Float64 => "double precision",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text",
        DataType::Date32 => "date",
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone",
        DataType::Timestamp(_, None) => "timestamp without time zone",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "bytea",
        DataType::Dictionary(_, values) => return kind(values),
        _ => return None,
    })
}

/// Appends the rows of a batch, its columns in the order of `names`.
///
/// # Errors
/// Words about a column that is missing, or about a value that PostgreSQL does not have.
pub(super) fn write_rows(batch: &RecordBatch, names: &[&str], out: &mut Vec<u8>) -> Result<(), String> {
    let mut columns: Vec<Values> = Vec::with_capacity(names.len());
    for name in names {
        let column = batch.column_by_name(name).ok_or_else(|| format!("the rows have no column {name}"))?;
        columns.push(values(plain(column)).ok_or_else(|| format!("column {name} is {}", column.data_type()))?);
    }
    for row in 0..batch.num_rows() {
        for (n, column) in columns.iter().enumerate() {
            if n > 0 {
                out.push(b'\t');
            }
            if column.array.is_null(row) {
                out.extend_from_slice(b"\\N");
            } else {
                (column.write)(&column.array, row, out).ok_or_else(|| format!("column {} has a time out of range", names[n]))?;
            }
        }
        out.push(b'\n');
    }
    Ok(())
}

/// The days of a batch, by row; none where there is no such column, or a row has none.
pub(super) fn days<'a>(batch: &'a RecordBatch, name: &str) -> Option<impl Iterator<Item = Option<i32>> + 'a> {
    Some(batch.column_by_name(name)?.as_primitive_opt::<Date32Type>()?.iter())
}

struct Values {
    array: ArrayRef,
    write: fn(&ArrayRef, usize, &mut Vec<u8>) -> Option<()>,
}

/// A dictionary is written as what it stands for.
fn plain(array: &ArrayRef) -> ArrayRef {
    let Some(dictionary) = array.as_any_dictionary_opt() else { return array.clone() };
    let taken = arrow_select::take::take(dictionary.values(), dictionary.keys(), None);
    taken.unwrap_or_else(|_| array.clone())
}

macro_rules! number {
    ($kind:ty) => {
        |array, row, out| {
            let _ = write!(out, "{}", array.as_primitive::<$kind>().value(row));
            Some(())
        }
    };
}

macro_rules! time {
    ($kind:ty, $micros:expr) => {
        |array, row, out| {
            let micros: fn(i64) -> Option<i64> = $micros;
            let at = DateTime::from_timestamp_micros(micros(array.as_primitive::<$kind>().value(row))?)?;
            write!(out, "{}", at.format("%Y-%m-%d %H:%M:%S%.6f+00")).ok()
        }
    };
}

fn values(array: ArrayRef) -> Option<Values> {
    let write: fn(&ArrayRef, usize, &mut Vec<u8>) -> Option<()> = match array.data_type() {
        DataType::Boolean => |array, row, out| {
            out.push(if array.as_boolean().value(row) { b't' } else { b'f' });
            Some(())
        },
        DataType::Int8 => number!(Int8Type),
        DataType::Int16 => number!(Int16Type),
        DataType::Int32 => number!(Int32Type),
        DataType::Int64 => number!(Int64Type),
        DataType::UInt8 => number!(UInt8Type),
        DataType::UInt16 => number!(UInt16Type),
        DataType::UInt32 => number!(UInt32Type),
        DataType::UInt64 => number!(UInt64Type),
        DataType::Float32 => number!(Float32Type),
        DataType::Float64 => number!(Float64Type),
        DataType::Decimal128(..) => |array, row, out| {
            out.extend_from_slice(array.as_primitive::<Decimal128Type>().value_as_string(row).as_bytes());
            Some(())
        },
        DataType::Utf8 => |array, row, out| {
            text(array.as_string::<i32>().value(row), out);
            Some(())
        },
        DataType::LargeUtf8 => |array, row, out| {
            text(array.as_string::<i64>().value(row), out);
            Some(())
        },
        DataType::Utf8View => |array, row, out| {
            text(array.as_string_view().value(row), out);
            Some(())
        },
        DataType::Binary => |array, row, out| {
            bytes(array.as_binary::<i32>().value(row), out);
            Some(())
        },
        DataType::LargeBinary => |array, row, out| {
            bytes(array.as_binary::<i64>().value(row), out);
            Some(())
        },
        DataType::BinaryView => |array, row, out| {
            bytes(array.as_binary_view().value(row), out);
            Some(())
        },
        DataType::Date32 => |array, row, out| {
            let days = TimeDelta::try_days(i64::from(array.as_primitive::<Date32Type>().value(row)))?;
            write!(out, "{}", NaiveDate::default().checked_add_signed(days)?.format("%Y-%m-%d")).ok()
        },
        DataType::Timestamp(TimeUnit::Second, _) => time!(TimestampSecondType, |t| t.checked_mul(1_000_000)),
        DataType::Timestamp(TimeUnit::Millisecond, _) => time!(TimestampMillisecondType, |t| t.checked_mul(1_000)),
        DataType::Timestamp(TimeUnit::Microsecond, _) => time!(TimestampMicrosecondType, Some),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => time!(TimestampNanosecondType, |t| Some(t.div_euclid(1_000))),
        _ => return None,
    };
    Some(Values { array, write })
}

fn text(value: &str, out: &mut Vec<u8>) {
    for byte in value.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0 => out.extend_from_slice("\u{fffd}".as_bytes()),
            other => out.push(other),
        }
    }
}

fn bytes(value: &[u8], out: &mut Vec<u8>) {
    let mut hex = String::with_capacity(value.len() * 2);
    for byte in value {
        let _ = write!(hex, "{byte:02x}");
    }
    out.extend_from_slice(b"\\\\x");
    out.extend_from_slice(hex.as_bytes());
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{
        BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float64Array, Int64Array, StringArray,
        StringViewArray, TimestampMicrosecondArray, TimestampMillisecondArray,
    };

    use super::*;

    fn written(columns: Vec<(&str, ArrayRef)>) -> String {
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let batch = RecordBatch::try_from_iter(columns.clone()).unwrap();
        let mut out = Vec::new();
        write_rows(&batch, &names, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_kind_of_value_is_written_as_copy_reads_it() {
        let day = Date32Array::from(vec![Some(20_782), None]);
        let rate = Decimal128Array::from(vec![1234, -5]).with_precision_and_scale(10, 4).unwrap();
        let at = TimestampMicrosecondArray::from(vec![1_700_000_000_000_001, -1]).with_timezone("UTC");
        let dictionary: DictionaryArray<Int32Type> = vec![Some("web"), None].into_iter().collect();
        let text = written(vec![
            ("day", Arc::new(day)),
            ("n", Arc::new(Int64Array::from(vec![i64::MIN, 7]))),
            ("rate", Arc::new(rate)),
            ("at", Arc::new(at)),
            ("ms", Arc::new(TimestampMillisecondArray::from(vec![0, 1]))),
            ("yes", Arc::new(BooleanArray::from(vec![true, false]))),
            ("x", Arc::new(Float64Array::from(vec![0.5, f64::NAN]))),
            ("source", Arc::new(dictionary)),
            ("view", Arc::new(StringViewArray::from(vec!["a", "b"]))),
            ("raw", Arc::new(BinaryArray::from_vec(vec![b"\x00\xff", b""]))),
        ]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "2026-11-25\t-9223372036854775808\t0.1234\t2023-11-14 22:13:20.000001+00\t1970-01-01 00:00:00.000000+00\tt\t0.5\tweb\ta\t\\\\x00ff",
                "\\N\t7\t-0.0005\t1969-12-31 23:59:59.999999+00\t1970-01-01 00:00:00.001000+00\tf\tNaN\t\\N\tb\t\\\\x",
            ]
        );
    }

    #[test]
    fn what_copy_would_read_otherwise_is_escaped() {
        let odd = StringArray::from(vec!["a\tb\\N\nc\rd\0e", "\\.", ""]);
        assert_eq!(written(vec![("t", Arc::new(odd))]), "a\\tb\\\\N\\nc\\rd\u{fffd}e\n\\\\.\n\n");
    }

    #[test]
    fn a_column_that_is_not_there_and_a_time_beyond_all_times_are_said() {
        let batch =
            RecordBatch::try_from_iter([("a", Arc::new(TimestampMillisecondArray::from(vec![i64::MAX])) as ArrayRef)]).unwrap();
        assert_eq!(write_rows(&batch, &["b"], &mut Vec::new()).unwrap_err(), "the rows have no column b");
        assert!(write_rows(&batch, &["a"], &mut Vec::new()).unwrap_err().contains("out of range"));
    }
}
