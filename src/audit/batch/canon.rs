//! Values in one form, whoever stored them, and rows as numbers of 128 bits.
//!
//! Whole numbers, booleans, days and moments (microseconds) are 64-bit integers, everything else is text; a decimal loses the zeros at
//! its end, so that `0.1500` of one store is `0.15` of the other. Two rows with the same number are the same row: with two keyed hashes
//! of 64 bits, nobody will live to see the exception.

use std::hash::Hash;
use std::sync::Arc;

use ahash::RandomState;
use anyhow::{Context, Result, bail};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, TimeUnit};

/// How values of a column compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As integers.
    Whole,
    /// As text.
    Text,
    /// As text without zeros at the end.
    Decimal,
    /// As the shortest text that reads back as the same float.
    Float,
}

impl Form {
    /// Of a type; none: values of this type are not compared.
    pub(crate) fn of(kind: &DataType) -> Option<Form> {
        use DataType::{Boolean, Date32, Date64, Dictionary, LargeUtf8, Timestamp, Utf8, Utf8View};
        match kind {
            Boolean | Date32 | Date64 | Timestamp(..) => Some(Form::Whole),
            Utf8 | LargeUtf8 | Utf8View => Some(Form::Text),
            Dictionary(_, values) => Form::of(values),
            kind if kind.is_integer() => Some(Form::Whole),
            kind if kind.is_decimal() => Some(Form::Decimal),
            kind if kind.is_floating() => Some(Form::Float),
            _ => None,
        }
    }
}

/// A column in its form.
#[derive(Debug)]
pub(crate) enum Column {
    /// [`Form::Whole`].
    Whole(Int64Array),
    /// All others.
    Text(StringArray),
}

impl Column {
    /// Brings an array into a form.
    pub(crate) fn new(array: &ArrayRef, form: Form) -> Result<Column> {
        let text = |array: &ArrayRef| Ok::<_, anyhow::Error>(convert(array, &DataType::Utf8)?.as_string::<i32>().clone());
        Ok(match form {
            Form::Whole => {
                let array = match array.data_type() {
                    DataType::Timestamp(_, zone) => convert(array, &DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))?,
                    DataType::Date64 => convert(array, &DataType::Date32)?,
                    _ => array.clone(),
                };
                Column::Whole(convert(&array, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
            }
            Form::Text => Column::Text(text(array)?),
            Form::Decimal => Column::Text(text(array)?.iter().map(|value| value.map(trimmed)).collect()),
            Form::Float => {
                let array = convert(array, &DataType::Float64)?;
                Column::Text(array.as_primitive::<Float64Type>().iter().map(|value| value.map(float)).collect())
            }
        })
    }

    /// A value for people.
    pub(crate) fn show(&self, row: usize) -> Option<String> {
        match self {
            Column::Whole(values) => values.is_valid(row).then(|| values.value(row).to_string()),
            Column::Text(values) => values.is_valid(row).then(|| values.value(row).to_string()),
        }
    }
}

fn convert(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    if array.data_type() == to {
        return Ok(Arc::clone(array));
    }
    // A value that does not fit is an error, not a null.
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, to, &strict).with_context(|| format!("values of type {}", array.data_type()))
}

/// `0.1500` is `0.15`, `10.00` is `10`.
pub(crate) fn trimmed(decimal: &str) -> &str {
    match decimal.contains('.') {
        true => decimal.trim_end_matches('0').trim_end_matches('.'),
        false => decimal,
    }
}

/// The shortest text that reads back as this float; both zeros are one.
pub(crate) fn float(value: f64) -> String {
    if value == 0.0 { "0.0".to_string() } else { format!("{value:?}") }
}

/// The columns of a batch by these names, each in its form.
pub(crate) fn columns(batch: &RecordBatch, wanted: &[(String, Form)]) -> Result<Vec<Column>> {
    let column = |(name, form): &(String, Form)| {
        let array = batch.column_by_name(name).with_context(|| format!("column {name} is missing"))?;
        Column::new(array, *form).with_context(|| name.clone())
    };
    wanted.iter().map(column).collect()
}

/// The forms of all columns of a schema.
pub(crate) fn forms(schema: &arrow_schema::Schema) -> Result<Vec<(String, Form)>> {
    let form = |field: &Arc<arrow_schema::Field>| match Form::of(field.data_type()) {
        Some(form) => Ok((field.name().clone(), form)),
        None => bail!("column {} is {}, which is not compared", field.name(), field.data_type()),
    };
    schema.fields().iter().map(form).collect()
}

/// Makes a number of a row. Numbers of two hashers do not compare.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hasher(RandomState, RandomState);

impl Hasher {
    /// One number per row.
    pub(crate) fn rows<'a>(&self, columns: impl IntoIterator<Item = &'a Column>, rows: usize) -> Vec<u128> {
        let mut numbers = vec![(0, 0); rows];
        for column in columns {
            match column {
                Column::Whole(values) => self.add(&mut numbers, values.iter()),
                Column::Text(values) => self.add(&mut numbers, values.iter()),
            }
        }
        numbers.into_iter().map(|(high, low)| u128::from(high) << 64 | u128::from(low)).collect()
    }

    fn add(&self, numbers: &mut [(u64, u64)], values: impl Iterator<Item = impl Hash>) {
        for ((high, low), value) in numbers.iter_mut().zip(values) {
            *high = self.0.hash_one((*high, &value));
            *low = self.1.hash_one((*low, &value));
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{Date32Array, Decimal128Array, Float64Array, Int32Array, TimestampMicrosecondArray};

    use super::*;

    fn shown(array: impl Array + 'static) -> Vec<Option<String>> {
        let array: ArrayRef = Arc::new(array);
        let column = Column::new(&array, Form::of(array.data_type()).unwrap()).unwrap();
        (0..array.len()).map(|row| column.show(row)).collect()
    }

    fn texts(values: &[&str]) -> Vec<Option<String>> {
        values.iter().map(|value| Some((*value).to_string())).collect()
    }

    #[test]
    fn every_type_has_one_form() {
        assert_eq!(shown(Int32Array::from(vec![Some(-7), None])), [Some("-7".to_string()), None]);
        assert_eq!(shown(Date32Array::from(vec![20_782])), texts(&["20782"]));
        assert_eq!(shown(TimestampMicrosecondArray::from(vec![5]).with_timezone("UTC")), texts(&["5"]));
        let decimals = Decimal128Array::from(vec![150_000, 0, 10_000_000, -1]).with_precision_and_scale(20, 6).unwrap();
        assert_eq!(shown(decimals), texts(&["0.15", "0", "10", "-0.000001"]));
        assert_eq!(shown(Float64Array::from(vec![0.1, -0.0, 3.0])), texts(&["0.1", "0.0", "3.0"]));
        assert_eq!(shown(StringArray::from(vec!["", "10.00"])), texts(&["", "10.00"]));
    }

    #[test]
    fn rows_with_other_values_have_other_numbers() {
        let hasher = Hasher::default();
        let a = Column::Text(StringArray::from(vec![Some("ab"), Some("a"), None, Some("ab")]));
        let b = Column::Text(StringArray::from(vec![Some("c"), Some("bc"), Some("abc"), Some("c")]));
        let numbers = hasher.rows([&a, &b], 4);
        assert_eq!(numbers[0], numbers[3]);
        let different: std::collections::HashSet<_> = numbers.iter().chain(&hasher.rows([&b, &a], 4)).copied().collect();
        assert_eq!(different.len(), 6);
    }
}
