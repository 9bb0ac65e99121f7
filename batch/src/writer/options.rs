//! How files are made: their size, and the encoding of each column.

use arrow_schema::{DataType, Schema};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use tributary_core::stream::Stream;

/// How to write.
#[derive(Debug, Clone)]
pub struct WriterOptions {
    /// A file ends when it weighs this.
    pub target_file_bytes: usize,
    /// Rows of a row group: what a reader can leave out by its bounds, and what the writer holds.
    pub row_group_rows: usize,
    /// What all open files may hold in memory before the largest is closed early.
    pub memory_bytes: usize,
    /// Columns whose values are nearly all distinct (ids): no dictionary, no bounds; texts by common prefixes.
    pub distinct: Vec<String>,
    /// Whole numbers that grow from row to row, like timestamps do: differences.
    pub growing: Vec<String>,
    /// Long texts and bytes: no dictionary, no bounds.
    pub payload: Vec<String>,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            target_file_bytes: 128 << 20,
            row_group_rows: 128 << 10,
            memory_bytes: 256 << 20,
            distinct: Vec::new(),
            growing: Vec::new(),
            payload: Vec::new(),
        }
    }
}

impl WriterOptions {
    /// For tables with the columns of a stream: bronze, silver, conflicts.
    pub fn of_stream(stream: &Stream) -> Self {
        Self {
            distinct: vec![stream.fields[stream.id].column.clone()],
            growing: vec!["kafka_offset".to_owned()],
            payload: ["error", "raw", "extra"].map(str::to_owned).to_vec(),
            ..Self::default()
        }
    }

    pub(super) fn properties(&self, schema: &Schema) -> WriterProperties {
        let mut builder = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).unwrap_or_default()))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .set_max_row_group_row_count(Some(self.row_group_rows.max(1)))
            .set_created_by(concat!("tributary ", env!("CARGO_PKG_VERSION")).to_owned());
        for field in schema.fields() {
            let listed = |names: &[String]| names.iter().any(|n| n == field.name());
            let path = || ColumnPath::from(field.name().as_str());
            let is_text = matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
            let is_time = matches!(field.data_type(), DataType::Timestamp(..));
            let is_whole = is_time || matches!(field.data_type(), DataType::Int32 | DataType::Int64);
            let encoding = if listed(&self.distinct) && is_text {
                Encoding::DELTA_BYTE_ARRAY
            } else if is_whole && (is_time || listed(&self.growing)) {
                Encoding::DELTA_BINARY_PACKED
            } else if listed(&self.distinct) || listed(&self.payload) {
                Encoding::PLAIN
            } else {
                continue;
            };
            builder = builder.set_column_dictionary_enabled(path(), false).set_column_encoding(path(), encoding);
            if listed(&self.distinct) || listed(&self.payload) {
                // They prune nothing and cost a comparison per row.
                builder = builder.set_column_statistics_enabled(path(), EnabledStatistics::None);
            }
        }
        builder.build()
    }
}
