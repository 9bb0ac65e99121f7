//! Data files: where they go, how they are put, what the log says of them.

use std::collections::HashMap;

use deltalake::kernel::Add;
use deltalake::logstore::LogStoreRef;
use futures::future::try_join_all;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use tributary_core::span::Span;
use uuid::Uuid;

use super::encoder::Encoded;
use super::offsets::{SPANS_TAG, TaggedSpan, format_spans};
use super::{LakeError, delta_error};

/// A name that no file has, in the folder of its date (days since 1970).
pub fn new_path(days: i32) -> String {
    format!("event_date={}/part-{}.zstd.parquet", date(days), Uuid::new_v4())
}

fn date(days: i32) -> String {
    chrono::DateTime::from_timestamp(i64::from(days) * 86_400, 0).unwrap_or_default().format("%Y-%m-%d").to_string()
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
        partition_values: HashMap::from([("event_date".to_owned(), Some(date(file.date)))]),
        tags: Some(HashMap::from([(SPANS_TAG.to_owned(), Some(format_spans(incarnation, &spans)))])),
        ..Default::default()
    }
}
