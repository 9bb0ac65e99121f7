//! `tributary tables describe`: one table on one screen.

use std::fmt::Write;

use anyhow::Result;
use arrow_schema::DataType;
use chrono::Utc;
use tributary_actors::lake::snapshot::Snapshot;
use tributary_core::model::{Materialize, Model};
use tributary_core::stream::Stream;

use super::super::output;
use super::super::session::Session;
use super::{front_matter, listed, span};
use crate::inspect::catalog::Catalog;
use crate::words;

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

pub(super) async fn describe(session: &Session, catalog: &Catalog, table: &str) -> Result<()> {
    let name = catalog.resolve(table).await?;
    let snapshot = catalog.open(&name, None).await?;
    let model = front_matter(session).into_iter().find(|model| model.table() == name);
    let streams = session.streams()?;
    let stream = streams.iter().find(|stream| is_of(&name, &stream.name));
    output::print(&text(&name, &catalog.place(&name), &snapshot, model.as_ref(), stream))
}

/// Whether a table is one of the stream's: bronze, silver, or the conflicts.
fn is_of(table: &str, stream: &str) -> bool {
    let bare = table.split_once('.').filter(|(layer, _)| *layer != "gold").map_or("", |(_, bare)| bare);
    bare.strip_suffix("_conflicts").unwrap_or(bare) == stream
}

fn text(name: &str, place: &str, table: &Snapshot, model: Option<&Model>, stream: Option<&Stream>) -> String {
    let listed = listed(name, table, false);
    let now = Utc::now();
    let mut text = format!("{name}\n");
    let mut line = |name: &str, what: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {name:<11} {what}");
    };
    let described = model.map(|model| model.description.clone()).filter(|words| !words.is_empty());
    let described = described.or_else(|| table.metadata().description().map(str::to_owned));
    described.into_iter().for_each(|words| line("is", words));
    line("in", place.to_owned());
    line("id", table.id().to_owned());
    let committed = words::from_millis(table.committed_ms());
    let at = committed.map_or_else(String::new, |time| format!(" ({} UTC)", words::moment(time)));
    line("version", format!("{}, committed {}{at}", table.version(), words::ago_or(committed, now, "?")));
    line("rows", words::count(listed.rows));
    line("files", format!("{}, {}", words::count(listed.files as u64), words::bytes(listed.bytes)));
    let partitioned = table.partition_columns().join(", ");
    line("partitioned", if partitioned.is_empty() { "no".into() } else { format!("by {partitioned}: {}", span(&listed)) });
    if let Some(model) = model {
        let how = match model.materialize {
            Materialize::ByDay => "by day: the days that changed are made anew",
            Materialize::Rollup => "whole, from other models",
        };
        line("made", format!("{how}; {}", model.file));
        if !model.key.is_empty() {
            line("key", model.key.join(", "));
        }
        model.publish.iter().for_each(|table| line("published", format!("PostgreSQL: gold.{table}")));
    }
    if let Some(stream) = stream {
        line("stream", format!("{} (topic {})", stream.name, stream.topic));
    }
    let mut configuration: Vec<_> = table.metadata().configuration().iter().collect();
    configuration.sort();
    configuration.into_iter().for_each(|(key, value)| line("property", format!("{key} = {value}")));
    let columns = table
        .schema()
        .fields()
        .iter()
        .map(|field| vec![field.name().clone(), kind(field.data_type()), about(field.name(), model, stream)]);
    text + "\n" + &output::table(&["COLUMN", "TYPE", "MEANING"], columns.collect())
}

fn about(column: &str, model: Option<&Model>, stream: Option<&Stream>) -> String {
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
pub(in crate::cli) fn kind(kind: &DataType) -> String {
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
    fn a_streams_tables_are_known_by_their_names() {
        assert!(is_of("bronze.orders", "orders") && is_of("silver.orders_conflicts", "orders"));
        assert!(!is_of("gold.orders", "orders") && !is_of("bronze.orders2", "orders"));
    }

    #[test]
    fn types_are_those_of_sql() {
        assert_eq!(kind(&DataType::Decimal128(9, 6)), "numeric(9, 6)");
        assert_eq!(kind(&DataType::Timestamp(arrow_schema::TimeUnit::Microsecond, Some("UTC".into()))), "timestamptz");
    }
}
