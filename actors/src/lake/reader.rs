//! Reading bronze back, by offsets: what the serving leg refills from when Kafka no longer has the records.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::RecordBatch;
use bytes::Bytes;
use deltalake::logstore::LogStoreRef;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStreamBuilder};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
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

/// Rows, a batch at a time.
pub type Rows = BoxStream<'static, std::result::Result<RecordBatch, LakeError>>;

/// The rows of one file, a batch at a time, only these columns (those that exist). A row group is held at once, not the file.
///
/// # Errors
/// When the file cannot be read.
pub async fn read_file(store: &LogStoreRef, file: &TableFile, columns: &[&str]) -> std::result::Result<Rows, LakeError> {
    let url = store.root_url().clone();
    let failed = move |error: ParquetError| delta_error(&url, error.into());
    let file = Ranges { store: store.object_store(None), path: object_path(&file.path), size: file.size };
    let reader = ParquetRecordBatchStreamBuilder::new(file).await.map_err(&failed)?;
    let mask = ProjectionMask::columns(reader.parquet_schema(), columns.iter().copied());
    let rows = reader.with_projection(mask).with_batch_size(32_768).build().map_err(&failed)?;
    Ok(rows.map_err(failed).boxed())
}

/// A file of which ranges are read.
struct Ranges {
    store: Arc<dyn ObjectStore>,
    path: Path,
    size: u64,
}

impl AsyncFileReader for Ranges {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        Box::pin(async { self.store.get_range(&self.path, range).await.map_err(|e| ParquetError::External(Box::new(e))) })
    }

    fn get_metadata<'a>(&'a mut self, _: Option<&'a ArrowReaderOptions>) -> BoxFuture<'a, Result<Arc<ParquetMetaData>>> {
        let size = self.size;
        Box::pin(async move { ParquetMetaDataReader::new().load_and_finish(self, size).await.map(Arc::new) })
    }
}
