//! The types that tables of the lake have, and how what a SELECT gives becomes one of them.
//!
//! Every reader of the lake and PostgreSQL know these types. A value that does not fit is an error, never a null.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, SchemaRef};
use tributary_core::batch::timestamp_type;

use crate::error::{Error, Result};

/// For messages.
pub(crate) const KNOWN: &str = "DATE, BIGINT, INT, DOUBLE, DECIMAL, VARCHAR, BOOLEAN and TIMESTAMP";

/// The table's type for a column of this type, if it has one.
pub(crate) fn of_table(given: &DataType) -> Option<DataType> {
    Some(match given {
        DataType::Date32 | DataType::Int64 | DataType::Int32 | DataType::Float64 | DataType::Utf8 | DataType::Boolean => {
            given.clone()
        }
        DataType::Decimal128(precision, scale) if *scale >= 0 => DataType::Decimal128(*precision, *scale),
        DataType::Int8 | DataType::Int16 | DataType::UInt8 | DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Float16 | DataType::Float32 => DataType::Float64,
        DataType::Date64 => DataType::Date32,
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Dictionary(_, values) => return of_table(values),
        DataType::Timestamp(..) => timestamp_type(),
        _ => return None,
    })
}

/// The batch with exactly the columns of the table, by their order.
pub(crate) fn fit(schema: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch> {
    // Where nothing changes, nothing is copied.
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        if column.data_type() == field.data_type() {
            columns.push(Arc::clone(column));
            continue;
        }
        let cast = cast_with_options(column, field.data_type(), &options);
        columns.push(cast.map_err(|e| Error::from(e).of(&format!("column {}", field.name())))?);
    }
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;
    use arrow_array::{ArrayRef, UInt64Array};
    use arrow_schema::{Field, Schema, TimeUnit};

    use super::*;

    #[test]
    fn what_sql_gives_becomes_what_tables_hold() {
        for (given, kept) in [
            (DataType::UInt64, DataType::Int64),
            (DataType::Int16, DataType::Int32),
            (DataType::Utf8View, DataType::Utf8),
            (DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::LargeUtf8)), DataType::Utf8),
            (DataType::Timestamp(TimeUnit::Nanosecond, None), timestamp_type()),
            (DataType::Decimal128(9, 6), DataType::Decimal128(9, 6)),
        ] {
            assert_eq!(of_table(&given), Some(kept));
        }
        for given in [DataType::Null, DataType::Binary, DataType::new_list(DataType::Int64, true), DataType::Decimal256(40, 2)] {
            assert_eq!(of_table(&given), None, "{given}");
        }
    }

    #[test]
    fn a_number_that_does_not_fit_is_an_error_and_not_a_null() {
        let table: SchemaRef = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        let batch = |n: u64| RecordBatch::try_from_iter([("n", Arc::new(UInt64Array::from(vec![n])) as ArrayRef)]).unwrap();
        assert_eq!(fit(&table, &batch(7)).unwrap().column(0).as_primitive::<Int64Type>().value(0), 7);
        let error = fit(&table, &batch(u64::MAX)).unwrap_err();
        assert!(matches!(&error, Error::Refused(text) if text.starts_with("column n: ")), "{error:?}");
    }
}
