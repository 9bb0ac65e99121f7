//! One file on its way: encoded rows leave for the store while more come in.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use object_store::ObjectStore;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::file::properties::WriterProperties;
use tokio::io::AsyncWriteExt;
use tributary_core::file_stats::delta_stats;
use tributary_core::table::NewFile;

use super::WriteError;

/// A file up to this size is put at once; a larger one goes in parts of this size (no store wants less than 5 MiB).
const PART_BYTES: usize = 8 << 20;
/// Parts on their way at the same time: one while the next is made.
const PARTS_AT_ONCE: usize = 2;

pub(super) struct Output {
    path: String,
    day: Option<i32>,
    writer: ArrowWriter<Vec<u8>>,
    upload: BufWriter,
    /// Handed to `upload`.
    sent: usize,
}

impl Output {
    pub(super) fn new(
        store: &Arc<dyn ObjectStore>,
        path: String,
        day: Option<i32>,
        schema: &SchemaRef,
        properties: &WriterProperties,
    ) -> Result<Self, WriteError> {
        // The reader's types come from the table: no Arrow schema in the file, or views and dictionaries would come back as such.
        let options = ArrowWriterOptions::new().with_properties(properties.clone()).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(schema), options)?;
        let upload = BufWriter::with_capacity(Arc::clone(store), Path::from(path.as_str()), PART_BYTES);
        Ok(Self { path, day, writer, upload: upload.with_max_concurrency(PARTS_AT_ONCE), sent: 0 })
    }

    pub(super) async fn write(&mut self, rows: &RecordBatch) -> Result<(), WriteError> {
        self.writer.write(rows)?;
        self.send().await
    }

    /// Hands over what is encoded.
    async fn send(&mut self) -> Result<(), WriteError> {
        let encoded = std::mem::take(self.writer.inner_mut());
        if encoded.is_empty() {
            return Ok(());
        }
        self.sent += encoded.len();
        if let Err(source) = self.upload.put(encoded.into()).await {
            // What was sent is cleaned up by the store, if it can; the error is the news.
            let _ = self.upload.abort().await;
            return Err(WriteError::Store { path: self.path.clone(), source });
        }
        Ok(())
    }

    /// What the file would weigh if it ended here.
    pub(super) fn file_bytes(&self) -> usize {
        self.writer.bytes_written() + self.writer.in_progress_size()
    }

    /// What it holds in memory.
    pub(super) fn memory(&self) -> usize {
        self.writer.memory_size() + self.sent.min((1 + PARTS_AT_ONCE) * PART_BYTES)
    }

    pub(super) async fn finish(mut self) -> Result<NewFile, WriteError> {
        let metadata = self.writer.finish()?;
        self.send().await?;
        if let Err(error) = self.upload.shutdown().await {
            let source = object_store::Error::Generic { store: "upload", source: error.into() };
            return Err(WriteError::Store { path: self.path, source });
        }
        Ok(NewFile {
            path: self.path,
            size: self.sent as u64,
            rows: u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0),
            date: self.day,
            stats: delta_stats(&metadata),
            tags: std::collections::BTreeMap::new(),
        })
    }
}
