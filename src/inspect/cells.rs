//! Values as text and as JSON: numbers and truths as such, everything else as a person reads it.

use anyhow::Result;
use arrow_array::{Array, RecordBatch};
use arrow_cast::display::ArrayFormatter;
use arrow_schema::DataType;
use serde_json::Value;

/// Decimals of more digits are not what readers of JSON make of them: they are text.
const DIGITS: usize = 15;

/// A row's cells as text; none: null.
pub(crate) type Texts = Vec<Option<String>>;

/// Every cell as text.
pub(crate) fn texts(batch: &RecordBatch) -> Result<Vec<Texts>> {
    let mut all = Vec::with_capacity(batch.num_rows());
    each(batch, |row| {
        all.push(row);
        true
    })?;
    Ok(all)
}

/// Calls with each row until that has enough.
pub(crate) fn each(batch: &RecordBatch, mut take: impl FnMut(Texts) -> bool) -> Result<()> {
    let format = tributary_batch::query::text::format();
    let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &format));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    for row in 0..batch.num_rows() {
        let cell = |(column, formatter): (&arrow_array::ArrayRef, &ArrayFormatter<'_>)| -> Result<Option<String>> {
            let is_null = column.is_null(row) || column.data_type() == &DataType::Null;
            Ok((!is_null).then(|| formatter.value(row).try_to_string()).transpose()?)
        };
        if !take(batch.columns().iter().zip(&columns).map(cell).collect::<Result<_>>()?) {
            break;
        }
    }
    Ok(())
}

/// Whether the text is JSON as it stands.
pub(crate) fn is_bare(kind: &DataType, text: &str) -> bool {
    match kind {
        DataType::Boolean => true,
        // NaN and the infinities have no number in JSON.
        kind if kind.is_floating() => text.starts_with(|c: char| c.is_ascii_digit() || c == '-') && !text.contains("inf"),
        kind => kind.is_integer() || kind.is_decimal(),
    }
}

/// The same as a value.
pub(crate) fn value(kind: &DataType, text: Option<&str>) -> Value {
    let Some(text) = text else { return Value::Null };
    let is_exact = !kind.is_decimal() || text.bytes().filter(u8::is_ascii_digit).count() <= DIGITS;
    let bare = (is_exact && is_bare(kind, text)).then(|| serde_json::from_str(text).ok()).flatten();
    bare.unwrap_or_else(|| Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_numbers_as_long_as_they_stay_what_they_are() {
        assert_eq!(value(&DataType::Int64, Some("-7")), json!(-7));
        assert_eq!(value(&DataType::UInt64, Some("18446744073709551615")), json!(u64::MAX));
        assert_eq!(value(&DataType::Float64, Some("NaN")), json!("NaN"));
        assert_eq!(value(&DataType::Float64, Some("-inf")), json!("-inf"));
        assert_eq!(value(&DataType::Decimal128(10, 2), Some("0.25")), json!(0.25));
        let exact = "12345678901234567890.12";
        assert_eq!(value(&DataType::Decimal128(38, 2), Some(exact)), json!(exact));
        assert_eq!(value(&DataType::Boolean, Some("true")), json!(true));
        assert_eq!(value(&DataType::Utf8, Some("1")), json!("1"));
        assert_eq!(value(&DataType::Utf8, None), json!(null));
    }
}
