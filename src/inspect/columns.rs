//! Columns of tables: what SQL calls their types, and what they mean.

use arrow_schema::{DataType, Schema};
use schemars::JsonSchema;
use serde::Serialize;
use tributary_core::model::Model;
use tributary_core::stream::Stream;

/// What every stream's tables have beside its fields.
const OWN: [(&str, &str); 10] = [
    ("ingestion_timestamp", "Kafka's time of the record"),
    ("event_date", "UTC date of the event time, or of Kafka's time where that is missing, ancient or future"),
    ("kafka_partition", "where the record was"),
    ("kafka_offset", "where the record was"),
    ("topic_incarnation", "which topic of that name, from 1"),
    ("status", "ok, or why the record is no valid event"),
    ("error", "what is wrong with it"),
    ("raw", "the record as it came, where it is not ok"),
    ("extra", "further fields, as JSON"),
    ("other_timestamp", "the event time that the id was seen with first"),
];

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Column {
    /// Its name.
    pub(crate) name: String,
    /// Its type as SQL calls it.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// What is in it; empty: nobody says.
    pub(crate) meaning: String,
}

/// All columns, with what the model or the stream says of them.
pub(crate) fn columns(schema: &Schema, model: Option<&Model>, stream: Option<&Stream>) -> Vec<Column> {
    let fields = schema.fields().iter();
    let column =
        |name: &String, data_type| Column { name: name.clone(), kind: kind(data_type), meaning: meaning(name, model, stream) };
    fields.map(|field| column(field.name(), field.data_type())).collect()
}

fn meaning(column: &str, model: Option<&Model>, stream: Option<&Stream>) -> String {
    if let Some(model) = model {
        return model.columns.iter().find(|(name, _)| name == column).map_or_else(String::new, |(_, words)| words.clone());
    }
    let Some(stream) = stream else { return String::new() };
    if let Some(field) = stream.fields.iter().find(|field| field.column == column) {
        let required = if field.required { ", required" } else { "" };
        return format!("field {}{required}", field.name);
    }
    OWN.iter().find(|(name, _)| *name == column).map_or_else(String::new, |(_, words)| (*words).to_owned())
}

/// A type as SQL calls it.
pub(crate) fn kind(kind: &DataType) -> String {
    match kind {
        DataType::Int8 | DataType::Int16 => "smallint".into(),
        DataType::Int32 => "int".into(),
        DataType::Int64 => "bigint".into(),
        DataType::Float32 => "real".into(),
        DataType::Float64 => "double".into(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".into(),
        DataType::Boolean => "boolean".into(),
        DataType::Date32 | DataType::Date64 => "date".into(),
        DataType::Timestamp(_, Some(_)) => "timestamptz".into(),
        DataType::Timestamp(_, None) => "timestamp".into(),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            format!("numeric({precision}, {scale})")
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "bytes".into(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_those_of_sql() {
        assert_eq!(kind(&DataType::Decimal128(9, 6)), "numeric(9, 6)");
        assert_eq!(kind(&DataType::Timestamp(arrow_schema::TimeUnit::Microsecond, Some("UTC".into()))), "timestamptz");
    }
}
