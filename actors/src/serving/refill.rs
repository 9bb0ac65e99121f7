//! What Kafka no longer has, the windows take from bronze.
//!
//! Folds bronze's own valid rows between the windows' offset and bronze's, and merges them in one transaction. What is held grows with
//! windows and keys. Runs before the serving leg reads from Kafka again, never beside it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{BooleanArray, RecordBatch};
use deltalake::logstore::LogStoreRef;
use futures::TryStreamExt;
use tributary_core::span::Span;
use tributary_core::stream::{Measure, Stream};
use tributary_core::window::{Folder, PartitionDelta};

use super::merge::Target;
use super::{ServingError, connect};
use crate::lake::LakeError;
use crate::lake::reader::{may_hold, read_file};
use crate::lake::snapshot::Snapshot;

/// What can go wrong with a refill.
#[derive(Debug, thiserror::Error)]
pub enum RefillError {
    /// Bronze could not be read.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// PostgreSQL could not be written.
    #[error(transparent)]
    Serving(#[from] ServingError),
    /// Bronze holds something else.
    #[error("bronze cannot be folded: {0}")]
    Schema(String),
    /// Bronze does not have yet what the windows have counted.
    #[error("bronze is behind the windows in partition {0}")]
    Behind(i32),
    /// Somebody went on counting, or added the same windows, while bronze was read.
    #[error("another instance counts this stream meanwhile")]
    Moved,
    /// Somebody moved the offsets meanwhile.
    #[error("another instance moved partitions {0:?} during the refill")]
    Foreign(Vec<i32>),
}

/// Counts `ranges` (partition → from, to) of bronze into the windows.
///
/// # Errors
/// See [`RefillError`]; nothing is counted then, or all of it, which the next look at the offsets tells.
pub async fn refill(
    stream: &Arc<Stream>,
    incarnation: i32,
    store: &LogStoreRef,
    database_url: &str,
    ranges: &BTreeMap<i32, (i64, i64)>,
) -> Result<(), RefillError> {
    let spans: Vec<Span> = ranges
        .iter()
        .map(|(partition, (from, to))| Span { partition: *partition, epoch: 0, from: *from, to: *to, floor: [0; 2] })
        .collect();
    let totals = fold_bronze(stream, incarnation, store, &spans).await?;
    let mut connection = connect(database_url).await?;
    let merged = Target::new(Arc::clone(stream), incarnation).merge(&mut connection, &totals).await?;
    if !merged.foreign.is_empty() {
        return Err(RefillError::Foreign(merged.foreign.iter().map(|(s, _)| s.partition).collect()));
    }
    let rows: u64 = totals.iter().map(|t| t.rows).sum();
    tracing::info!(stream = stream.name, rows, ?ranges, "the windows were refilled from bronze");
    Ok(())
}

/// Folds what bronze has of these spans, one span per partition.
pub(super) async fn fold_bronze(
    stream: &Arc<Stream>,
    incarnation: i32,
    store: &LogStoreRef,
    spans: &[Span],
) -> Result<Vec<PartitionDelta>, RefillError> {
    let folder = Folder::new(Arc::clone(stream));
    let columns = needed_columns(stream);
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut totals: Vec<PartitionDelta> = spans.iter().map(|s| PartitionDelta::empty(*s)).collect();
    for file in Snapshot::open(store).await?.files().values() {
        if !spans.iter().any(|s| may_hold(file, incarnation, s.partition, s.from, s.to)) {
            continue;
        }
        let mut batches = read_file(store, file, &columns).await?;
        while let Some(rows) = batches.try_next().await? {
            let rows =
                of_incarnation(&rows, incarnation).ok_or_else(|| RefillError::Schema("no topic_incarnation".to_owned()))?;
            let deltas = folder.fold(&rows, spans).map_err(|e| RefillError::Schema(e.to_string()))?;
            for (total, delta) in totals.iter_mut().zip(deltas) {
                total.rows += delta.rows;
                for (key, amount) in delta.cells {
                    *total.cells.entry(key).or_default() += amount;
                }
            }
        }
    }
    Ok(totals)
}

/// The columns of bronze that the windows are made from.
pub(crate) fn needed_columns(stream: &Stream) -> Vec<String> {
    let mut fields = vec![stream.event_time];
    for window in &stream.windows {
        fields.extend(window.group_by.iter().copied().chain(window.filter.iter().map(|(f, _)| *f)));
        if let Measure::Sum { field, .. } = &window.measure {
            fields.push(*field);
        }
    }
    fields.sort_unstable();
    fields.dedup();
    let own = ["kafka_partition", "kafka_offset", "topic_incarnation", "status"].map(str::to_owned);
    fields.into_iter().map(|f| stream.fields[f].column.clone()).chain(own).collect()
}

fn of_incarnation(rows: &RecordBatch, incarnation: i32) -> Option<RecordBatch> {
    let column = rows.column_by_name("topic_incarnation")?.as_primitive_opt::<Int32Type>()?;
    let mask: BooleanArray = column.iter().map(|n| Some(n == Some(incarnation))).collect();
    arrow_select::filter::filter_record_batch(rows, &mask).ok()
}
