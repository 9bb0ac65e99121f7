//! A value as a person reads it: dates and times as ISO 8601 in UTC.

use arrow_array::RecordBatch;
use arrow_cast::display::{ArrayFormatter, FormatOptions};

use crate::error::Result;

/// One row as `column=value, …`.
///
/// # Errors
/// When a column is of a type that has no text.
pub fn row_text(batch: &RecordBatch, row: usize) -> Result<String> {
    let schema = batch.schema();
    let mut parts = Vec::with_capacity(batch.num_columns());
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        let formatter = ArrayFormatter::try_new(column.as_ref(), &format())?;
        parts.push(format!("{}={}", field.name(), formatter.value(row).try_to_string()?));
    }
    Ok(parts.join(", "))
}

/// How values are written.
pub fn format() -> FormatOptions<'static> {
    FormatOptions::default().with_null("null").with_timestamp_tz_format(Some("%Y-%m-%dT%H:%M:%S%.fZ"))
}
