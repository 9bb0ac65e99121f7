//! Data files: where they go, how they are put, what the log says of them.

use std::collections::{BTreeMap, HashMap};

use deltalake::kernel::{Add, Remove};
use deltalake::logstore::LogStoreRef;
use futures::future::try_join_all;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde::Deserialize;
use tributary_core::span::Span;
use tributary_core::table::{DATE_COLUMN, NewFile, TableFile, date_text, parse_date};
use uuid::Uuid;

use super::encoder::Encoded;
use super::offsets::{SPANS_TAG, TaggedSpan, format_spans};
use super::{LakeError, delta_error};

/// A name that no file has, in the folder of its date (days since 1970).
pub fn new_path(days: i32) -> String {
    format!("{DATE_COLUMN}={}/part-{}.zstd.parquet", date_text(days), Uuid::new_v4())
}

/// Puts files under their paths; putting one again replaces it by itself.
///
/// # Errors
/// When the store refuses one of them.
pub async fn put(store: &LogStoreRef, files: impl Iterator<Item = (&Encoded, &String)>) -> Result<(), LakeError> {
    let objects = store.object_store(None);
    let puts = files.map(|(file, path)| {
        let (objects, path, bytes) = (&objects, Path::from(path.as_str()), file.bytes.clone());
        async move { objects.put(&path, bytes.into()).await }
    });
    try_join_all(puts).await.map_err(|e| delta_error(store.root_url(), e.into()))?;
    Ok(())
}

/// The action that makes a file part of the table, tagged with the offsets that its commit covers.
pub fn add(file: &Encoded, path: &str, incarnation: i32, spans: &[Span]) -> Add {
    let spans: Vec<TaggedSpan> = spans
        .iter()
        .map(|s| TaggedSpan {
            partition: s.partition,
            from: s.from,
            to: s.to,
            rows: file.per_partition.get(&s.partition).copied().unwrap_or(0),
        })
        .collect();
    Add {
        path: path.to_owned(),
        size: file.bytes.len() as i64,
        modification_time: chrono::Utc::now().timestamp_millis(),
        data_change: true,
        stats: Some(file.stats.clone()),
        partition_values: partition_values(Some(file.date)),
        tags: Some(HashMap::from([(SPANS_TAG.to_owned(), Some(format_spans(incarnation, &spans)))])),
        ..Default::default()
    }
}

/// The action that makes a file of an engine part of the table. `data_change`: its rows were not in the table before.
pub fn add_new(file: &NewFile, data_change: bool) -> Add {
    let tags = file.tags.iter().map(|(key, value)| (key.clone(), Some(value.clone())));
    Add {
        path: file.path.clone(),
        size: i64::try_from(file.size).unwrap_or(i64::MAX),
        modification_time: chrono::Utc::now().timestamp_millis(),
        data_change,
        stats: Some(file.stats.clone()),
        partition_values: partition_values(file.date),
        tags: (!file.tags.is_empty()).then(|| tags.collect()),
        ..Default::default()
    }
}

/// The action that takes a live file out of the table. `data_change`: its rows leave with it. Without tags and statistics, which
/// nobody asks of a file that is gone, and which every checkpoint would carry on.
pub fn remove(file: &TableFile, data_change: bool) -> Remove {
    Remove {
        path: file.path.clone(),
        data_change,
        deletion_timestamp: Some(chrono::Utc::now().timestamp_millis()),
        extended_file_metadata: Some(true),
        partition_values: Some(partition_values(file.date)),
        size: i64::try_from(file.size).ok(),
        ..Default::default()
    }
}

fn partition_values(date: Option<i32>) -> HashMap<String, Option<String>> {
    date.map(|day| (DATE_COLUMN.to_owned(), Some(date_text(day)))).into_iter().collect()
}

/// What the log says of a live file.
pub(super) fn table_file(add: Add) -> TableFile {
    let values = add.partition_values.iter().map(|(key, value)| (key.as_str(), value.as_deref()));
    TableFile {
        size: u64::try_from(add.size).unwrap_or(0),
        rows: add.stats.as_deref().and_then(rows_in),
        date: date_of(values, &add.path),
        stats: add.stats,
        tags: add.tags.into_iter().flatten().map(|(key, value)| (key, value.unwrap_or_default())).collect::<BTreeMap<_, _>>(),
        modified_ms: add.modification_time,
        path: add.path,
    }
}

/// The day of a file, by its partition values or, where an action has none, by its folder.
pub(super) fn date_of<'a>(values: impl IntoIterator<Item = (&'a str, Option<&'a str>)>, path: &str) -> Option<i32> {
    let by_value = values.into_iter().find(|(key, _)| *key == DATE_COLUMN).and_then(|(_, value)| value);
    by_value.or_else(|| path.strip_prefix(DATE_COLUMN)?.strip_prefix('=')?.split('/').next()).and_then(parse_date)
}

/// The number of rows in Delta's statistics.
pub(super) fn rows_in(stats: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct Rows {
        #[serde(rename = "numRecords")]
        rows: Option<u64>,
    }
    serde_json::from_str::<Rows>(stats).ok()?.rows
}

/// A path as the log writes it (percent-encoded), as it is in the store.
pub(super) fn decoded(path: &str) -> String {
    if !path.contains('%') {
        return path.to_owned();
    }
    let digit = |byte: Option<&u8>| byte.and_then(|b| char::from(*b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    let bytes = path.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match (byte, digit(bytes.get(at + 1)), digit(bytes.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                out.push(high << 4 | low);
                at += 3;
            }
            _ => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| path.to_owned())
}

/// Where the store has a file of this (decoded) path.
pub fn object_path(path: &str) -> Path {
    // A name that has a percent sign itself is taken as it is; anything else that a store would not take is encoded.
    Path::parse(path).unwrap_or_else(|_| Path::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_decoded_once() {
        assert_eq!(decoded("event_date=2026-01-01/part-1.parquet"), "event_date=2026-01-01/part-1.parquet");
        assert_eq!(decoded("a%20b/c%2525%C3%BC%zz%2"), "a b/c%25ü%zz%2");
        assert_eq!(object_path("c%25/d.parquet").as_ref(), "c%25/d.parquet");
    }

    #[test]
    fn the_day_is_in_the_partition_values_or_else_in_the_folder() {
        assert_eq!(date_of([("event_date", Some("1970-01-02"))], "x.parquet"), Some(1));
        assert_eq!(date_of([("other", Some("1970-01-02"))], "event_date=1970-01-03/x.parquet"), Some(2));
        assert_eq!(date_of([], "event_dates=1970-01-03/x.parquet"), None);
    }

    #[test]
    fn rows_are_read_from_statistics_wherever_they_stand() {
        assert_eq!(rows_in(r#"{"maxValues":{"numRecords":7},"numRecords":12}"#), Some(12));
        assert_eq!(rows_in(r#"{"maxValues":{}}"#), None);
        assert_eq!(rows_in("nonsense"), None);
    }
}
