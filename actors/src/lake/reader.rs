//! Reading bronze back, by offsets: what the serving leg refills from when Kafka no longer has the records.

use arrow_array::RecordBatch;
use deltalake::DeltaTableError;
use deltalake::logstore::LogStoreRef;
use object_store::ObjectStoreExt;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tributary_core::table::TableFile;

use super::files::object_path;
use super::offsets::{SPANS_TAG, parse_spans};
use super::{LakeError, delta_error};

/// Whether a live file may hold offsets of `[from, to)` of a partition. Without a tag it must be read to know.
pub fn may_hold(file: &TableFile, incarnation: i32, partition: i32, from: i64, to: i64) -> bool {
    file.tags.get(SPANS_TAG).is_none_or(|tag| {
        parse_spans(tag, incarnation).iter().any(|s| s.partition == partition && s.rows > 0 && s.from < to && from < s.to)
    })
}

/// The rows of one file, in batches, only these columns (those that exist).
///
/// # Errors
/// When the file cannot be read.
pub async fn read_file(store: &LogStoreRef, file: &TableFile, columns: &[&str]) -> Result<Vec<RecordBatch>, LakeError> {
    let read = async {
        let bytes = store.object_store(None).get(&object_path(&file.path)).await?.bytes().await?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
        let mask = ProjectionMask::columns(reader.parquet_schema(), columns.iter().copied());
        let batches: Result<Vec<_>, _> = reader.with_projection(mask).with_batch_size(32_768).build()?.collect();
        Ok::<_, DeltaTableError>(batches?)
    };
    read.await.map_err(|e| delta_error(store.root_url(), e))
}
