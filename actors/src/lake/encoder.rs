//! Rows to Parquet: one open file per event date, cut by whoever owns it.
//!
//! Assumes rows by [`tributary_core::batch::schema`]. Promises files without `event_date` (it is the table's partition value), UTC
//! timestamps, plain strings, zstd, and statistics in Delta's own form. No row is copied when a batch has one date only.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Int32Type};
use arrow_array::{RecordBatch, UInt32Array};
use arrow_schema::SchemaRef;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use tributary_core::batch::{Columns, schema};
use tributary_core::file_stats::delta_stats;
use tributary_core::stream::{Kind, Stream};

/// Encoding failed: rows not of the stream's schema, a bug.
#[derive(Debug, thiserror::Error)]
#[error("cannot encode rows of {stream}: {source}")]
pub struct EncodeError {
    stream: String,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// A finished file.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// Days since 1970 of its partition.
    pub date: i32,
    /// Parquet.
    pub bytes: Bytes,
    /// Rows in all.
    pub rows: u64,
    /// Rows per Kafka partition.
    pub per_partition: BTreeMap<i32, u64>,
    /// Delta's statistics.
    pub stats: String,
}

/// Encodes rows of one stream.
pub struct Encoder {
    stream: Arc<Stream>,
    columns: Columns,
    file_schema: SchemaRef,
    properties: WriterProperties,
    open: BTreeMap<i32, Open>,
}

struct Open {
    writer: ArrowWriter<Vec<u8>>,
    rows: u64,
    per_partition: BTreeMap<i32, u64>,
}

impl Encoder {
    /// For this stream.
    pub fn new(stream: Arc<Stream>) -> Self {
        let schema = schema(&stream);
        Self::of_schema(stream, &schema)
    }

    /// For rows of this schema: the stream's columns in their order, of whatever types, and any others behind them.
    pub(crate) fn of_schema(stream: Arc<Stream>, schema: &SchemaRef) -> Self {
        let columns = Columns::of(stream.fields.len());
        let mut fields = schema.fields().to_vec();
        fields.remove(columns.event_date);
        let file_schema = Arc::new(arrow_schema::Schema::new(fields));
        let properties = properties(&stream);
        Self { stream, columns, file_schema, properties, open: BTreeMap::new() }
    }

    /// Adds rows.
    ///
    /// # Errors
    /// When they are not of the stream's schema.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<(), EncodeError> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let dates = rows.column(self.columns.event_date).as_primitive::<Date32Type>();
        let first = dates.value(0);
        if dates.values().iter().all(|d| *d == first) {
            return self.write_date(first, rows);
        }
        let mut by_date: BTreeMap<i32, Vec<u32>> = BTreeMap::new();
        for (row, date) in dates.values().iter().enumerate() {
            by_date.entry(*date).or_default().push(row as u32);
        }
        for (date, indices) in by_date {
            let part = arrow_select::take::take_record_batch(rows, &UInt32Array::from(indices)).map_err(|e| self.failed(e))?;
            self.write_date(date, &part)?;
        }
        Ok(())
    }

    fn write_date(&mut self, date: i32, rows: &RecordBatch) -> Result<(), EncodeError> {
        let mut columns = rows.columns().to_vec();
        columns.remove(self.columns.event_date);
        let rows = RecordBatch::try_new(Arc::clone(&self.file_schema), columns).map_err(|e| self.failed(e))?;
        if !self.open.contains_key(&date) {
            // The reader's types come from the table: no Arrow schema in the file, or dictionaries would come back as such.
            let options = ArrowWriterOptions::new().with_properties(self.properties.clone()).with_skip_arrow_metadata(true);
            let writer = ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(&self.file_schema), options);
            let writer = writer.map_err(|e| self.failed(e))?;
            self.open.insert(date, Open { writer, rows: 0, per_partition: BTreeMap::new() });
        }
        let stream = &self.stream;
        let Some(open) = self.open.get_mut(&date) else { return Ok(()) };
        open.writer.write(&rows).map_err(|e| EncodeError { stream: stream.name.clone(), source: Box::new(e) })?;
        open.rows += rows.num_rows() as u64;
        let partitions = rows.column(self.columns.kafka_partition - 1).as_primitive::<Int32Type>();
        let mut run: Option<(i32, u64)> = None;
        for partition in partitions.values() {
            match &mut run {
                Some((p, n)) if p == partition => *n += 1,
                _ => {
                    if let Some((p, n)) = run.replace((*partition, 1)) {
                        *open.per_partition.entry(p).or_default() += n;
                    }
                }
            }
        }
        if let Some((p, n)) = run {
            *open.per_partition.entry(p).or_default() += n;
        }
        Ok(())
    }

    /// Rows held.
    pub fn rows(&self) -> u64 {
        self.open.values().map(|o| o.rows).sum()
    }

    /// Memory held, encoded and not yet encoded.
    pub fn bytes(&self) -> usize {
        self.open.values().map(|o| o.writer.bytes_written() + o.writer.memory_size()).sum()
    }

    /// What the files would weigh if they were cut now.
    pub fn file_bytes(&self) -> usize {
        self.open.values().map(|o| o.writer.bytes_written() + o.writer.in_progress_size()).sum()
    }

    /// Drops what is held.
    pub fn clear(&mut self) {
        self.open.clear();
    }

    /// Finishes all open files.
    ///
    /// # Errors
    /// When Parquet refuses; nothing is held afterwards.
    pub fn finish(&mut self) -> Result<Vec<Encoded>, EncodeError> {
        let open = std::mem::take(&mut self.open);
        let mut files = Vec::with_capacity(open.len());
        for (date, mut file) in open {
            let metadata = file.writer.finish().map_err(|e| self.failed(e))?;
            let stats = delta_stats(&metadata);
            let bytes = std::mem::take(file.writer.inner_mut());
            files.push(Encoded { date, bytes: bytes.into(), rows: file.rows, per_partition: file.per_partition, stats });
        }
        Ok(files)
    }

    fn failed(&self, source: impl std::error::Error + Send + Sync + 'static) -> EncodeError {
        EncodeError { stream: self.stream.name.clone(), source: Box::new(source) }
    }
}

/// Ids and free text are nearly distinct: prefixes compress better than a dictionary. Offsets and times grow: deltas.
fn properties(stream: &Stream) -> WriterProperties {
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).unwrap_or_default()))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        // A file is cut by its bytes: one row group, whose statistics are the file's.
        .set_max_row_group_row_count(None)
        .set_created_by(concat!("tributary ", env!("CARGO_PKG_VERSION")).to_owned());
    let mut plain = |name: &str, encoding: Encoding| {
        let path = ColumnPath::from(name);
        let b = std::mem::take(&mut builder);
        builder = b.set_column_dictionary_enabled(path.clone(), false).set_column_encoding(path, encoding);
    };
    plain(
        &stream.fields[stream.id].column,
        match stream.fields[stream.id].kind {
            Kind::Text => Encoding::DELTA_BYTE_ARRAY,
            _ => Encoding::PLAIN,
        },
    );
    for field in stream.fields.iter().filter(|f| f.kind == Kind::Timestamp) {
        plain(&field.column, Encoding::DELTA_BINARY_PACKED);
    }
    for name in ["ingestion_timestamp", "kafka_offset"] {
        plain(name, Encoding::DELTA_BINARY_PACKED);
    }
    for name in ["error", "raw", "extra"] {
        plain(name, Encoding::PLAIN);
    }
    // Bounds of ids and payloads prune nothing and cost a comparison per row.
    for name in [stream.fields[stream.id].column.as_str(), "error", "raw", "extra"] {
        builder = builder.set_column_statistics_enabled(ColumnPath::from(name), EnabledStatistics::None);
    }
    builder.build()
}
