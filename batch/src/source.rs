//! Data files read back: a footer, then wanted columns of wanted row groups, as few requests as that takes.
//!
//! Works on any object store. Decoding is plain work on the caller's thread; only [`SourceFile::open`] and
//! [`SourceFile::fetch`] wait. Types are Parquet's own, whatever Arrow schema a foreign writer left in the file.

use std::collections::BTreeSet;
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, new_null_array};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use bytes::{Buf, Bytes};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::{FooterTail, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::reader::{ChunkReader, Length};
use tributary_core::table::TableFile;

/// A file up to this size is read in one request.
const WHOLE_BYTES: u64 = 512 << 10;
/// What is read of a larger file's end, in the hope that its footer fits.
const TAIL_BYTES: u64 = 64 << 10;
/// Rows that are decoded at once: their columns fit the second-level cache.
const BATCH_ROWS: usize = 8_192;

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store; may pass.
    #[error("cannot read {path}: {source}")]
    Store {
        /// Relative to the table.
        path: String,
        /// Cause.
        #[source]
        source: object_store::Error,
    },
    /// It is not such a Parquet file.
    #[error("cannot decode {path}: {source}")]
    Decode {
        /// Relative to the table.
        path: String,
        /// Cause.
        #[source]
        source: ParquetError,
    },
}

/// Where the store has a file of this (decoded) path.
pub(crate) fn location(path: &str) -> Path {
    // A name that has a percent sign itself is taken as it is; anything else that a store would not take is encoded.
    Path::parse(path).unwrap_or_else(|_| Path::from(path))
}

/// An open file.
pub(crate) struct SourceFile {
    store: Arc<dyn ObjectStore>,
    name: String,
    path: Path,
    size: u64,
    metadata: ArrowReaderMetadata,
    /// What was read to get the footer; of a small file, all.
    tail: (u64, Bytes),
}

impl SourceFile {
    /// Reads the footer. Text columns named in `symbols` are decoded into dictionaries.
    pub(crate) async fn open(
        store: &Arc<dyn ObjectStore>,
        file: &TableFile,
        symbols: &BTreeSet<String>,
    ) -> Result<Self, ReadError> {
        let path = location(&file.path);
        let failed = |source| ReadError::Store { path: file.path.clone(), source };
        let decode = |source| ReadError::Decode { path: file.path.clone(), source };
        let mut start = if file.size <= WHOLE_BYTES { 0 } else { file.size - TAIL_BYTES };
        let mut tail = store.get_range(&path, start..file.size).await.map_err(failed)?;
        let footer = tail.last_chunk::<8>().ok_or_else(|| decode(ParquetError::General("it is too short".to_owned())))?;
        let length = FooterTail::try_new(footer).map_err(decode)?.metadata_length() as u64;
        if length + 8 > file.size - start {
            start = file.size.saturating_sub(length + 8);
            tail = store.get_range(&path, start..file.size).await.map_err(failed)?;
        }
        let from = (file.size - start).checked_sub(length + 8).and_then(|n| usize::try_from(n).ok());
        let bytes = from.and_then(|from| tail.get(from..tail.len() - 8));
        let bytes = bytes.ok_or_else(|| decode(ParquetError::General("its footer is longer than the file".to_owned())))?;
        let metadata = Arc::new(ParquetMetaDataReader::decode_metadata(bytes).map_err(decode)?);
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let plain = ArrowReaderMetadata::try_new(Arc::clone(&metadata), options.clone()).map_err(decode)?;
        let metadata = match with_dictionaries(plain.schema(), symbols) {
            Some(schema) => ArrowReaderMetadata::try_new(metadata, options.with_schema(schema)).map_err(decode)?,
            None => plain,
        };
        Ok(Self { store: Arc::clone(store), name: file.path.clone(), path, size: file.size, metadata, tail: (start, tail) })
    }

    /// Its row groups.
    pub(crate) fn row_groups(&self) -> &[RowGroupMetaData] {
        self.metadata.metadata().row_groups()
    }

    /// Reads these columns (those that exist) of one row group.
    pub(crate) async fn fetch(&self, row_group: usize, columns: &[&str]) -> Result<Fetched, ReadError> {
        let parquet = self.metadata.parquet_schema();
        let wanted: Vec<usize> =
            (0..parquet.num_columns()).filter(|leaf| columns.contains(&parquet.get_column_root(*leaf).name())).collect();
        let chunks = self.row_groups()[row_group].columns();
        let ranges: Vec<Range<u64>> = wanted
            .iter()
            .map(|leaf| chunks[*leaf].byte_range())
            .map(|(start, length)| start..start + length)
            .filter(|r| r.start < self.tail.0)
            .collect();
        let bytes = self.store.get_ranges(&self.path, &ranges).await;
        let bytes = bytes.map_err(|source| ReadError::Store { path: self.name.clone(), source })?;
        let mut parts: Vec<(u64, Bytes)> = ranges.iter().map(|r| r.start).zip(bytes).collect();
        parts.push(self.tail.clone());
        parts.sort_unstable_by_key(|(start, _)| *start);
        Ok(Fetched {
            name: self.name.clone(),
            parts: Parts { size: self.size, parts: Arc::new(parts) },
            metadata: self.metadata.clone(),
            row_group,
            mask: ProjectionMask::leaves(parquet, wanted),
        })
    }
}

/// The schema with these text columns as dictionaries, if there is one among them.
fn with_dictionaries(schema: &SchemaRef, symbols: &BTreeSet<String>) -> Option<SchemaRef> {
    let is_symbol = |f: &Field| symbols.contains(f.name()) && *f.data_type() == DataType::Utf8;
    if !schema.fields().iter().any(|f| is_symbol(f)) {
        return None;
    }
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|f| if is_symbol(f) { f.as_ref().clone().with_data_type(dictionary.clone()) } else { f.as_ref().clone() })
        .collect();
    Some(Arc::new(Schema::new(fields)))
}

/// These columns of these rows, in this order; those that a file from before their time lacks are null.
pub(crate) fn all_columns(schema: &Schema, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let (mut fields, mut columns) = (Vec::new(), Vec::<ArrayRef>::new());
    for field in schema.fields() {
        let column = rows.column_by_name(field.name()).cloned();
        let column = column.unwrap_or_else(|| new_null_array(field.data_type(), rows.num_rows()));
        fields.push(Field::new(field.name(), column.data_type().clone(), true));
        columns.push(column);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

/// Columns of a row group, in memory, not decoded yet.
pub(crate) struct Fetched {
    name: String,
    parts: Parts,
    metadata: ArrowReaderMetadata,
    row_group: usize,
    mask: ProjectionMask,
}

impl Fetched {
    /// Decodes, a batch at a time.
    pub(crate) fn batches(self) -> Result<impl Iterator<Item = Result<RecordBatch, ReadError>>, ReadError> {
        let Self { name, parts, metadata, row_group, mask } = self;
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(parts, metadata)
            .with_row_groups(vec![row_group])
            .with_projection(mask)
            .with_batch_size(BATCH_ROWS)
            .build();
        let reader: ParquetRecordBatchReader = reader.map_err(|source| ReadError::Decode { path: name.clone(), source })?;
        Ok(reader.map(move |rows| rows.map_err(|e| ReadError::Decode { path: name.clone(), source: arrow(e) })))
    }
}

fn arrow(error: ArrowError) -> ParquetError {
    ParquetError::ArrowError(error.to_string())
}

/// The read parts of a file, as if they were all of it. By their first byte.
#[derive(Clone)]
struct Parts {
    size: u64,
    parts: Arc<Vec<(u64, Bytes)>>,
}

impl Parts {
    /// What is there from `start` on.
    fn from(&self, start: u64) -> Result<Bytes, ParquetError> {
        let at = self.parts.partition_point(|(first, _)| *first <= start);
        let found = at.checked_sub(1).and_then(|at| self.parts.get(at)).and_then(|(first, bytes)| {
            let skip = usize::try_from(start - first).ok().filter(|skip| *skip < bytes.len())?;
            Some(bytes.slice(skip..))
        });
        found.ok_or_else(|| ParquetError::EOF(format!("byte {start} belongs to no wanted column")))
    }
}

impl Length for Parts {
    fn len(&self) -> u64 {
        self.size
    }
}

impl ChunkReader for Parts {
    type T = Box<dyn Read + Send>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(Box::new(self.from(start)?.reader()))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let bytes = self.from(start)?;
        if bytes.len() < length {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} are more than was read")));
        }
        Ok(bytes.slice(..length))
    }
}
