//! Rows to data files of a table: Parquet that every engine reads, put where the table's layout wants it.
//!
//! Assumes rows with the table's columns, by name; where the table is partitioned, their day is in `event_date`. Promises files of
//! about a target size (without `event_date` where it is the partition), plain strings, zstd, no Arrow schema inside, statistics in
//! Delta's form; that the order of rows within a day is kept; and that memory does not grow with rows or days: what is encoded is
//! sent off in parts, and when too many days are open at once the largest is closed early.
//!
//! Nothing is in the table yet when [`TableWriter::finish`] returns: that takes a commit. A file is seen under its name only when it
//! is whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Date32Type;
use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow_cast::cast;
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStore;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use tributary_core::table::{DATE_COLUMN, NewFile, date_text};
use uuid::Uuid;

pub use self::options::WriterOptions;
use self::output::Output;

mod options;
mod output;

/// Files that are completed at the same time; each costs a round trip to the store.
const COMPLETED_AT_ONCE: usize = 8;

/// Why rows did not become files.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The store did not take a file; may pass.
    #[error("cannot write {path}: {source}")]
    Store {
        /// Relative to the table.
        path: String,
        /// Cause.
        #[source]
        source: object_store::Error,
    },
    /// Parquet refused.
    #[error("cannot encode: {0}")]
    Encode(#[from] ParquetError),
    /// The rows are not the table's.
    #[error("rows that are not the table's: {0}")]
    Rows(String),
}

impl From<ArrowError> for WriteError {
    fn from(error: ArrowError) -> Self {
        Self::Rows(error.to_string())
    }
}

/// Writes rows of one table into new files.
pub struct TableWriter {
    store: Arc<dyn ObjectStore>,
    /// Of the files.
    schema: SchemaRef,
    by_date: bool,
    options: WriterOptions,
    properties: WriterProperties,
    open: BTreeMap<Option<i32>, Output>,
    /// Complete but for the last word of the store.
    full: Vec<Output>,
    done: Vec<NewFile>,
}

impl TableWriter {
    /// For a table of this schema, `event_date` included, under this store's root.
    pub fn new(store: Arc<dyn ObjectStore>, schema: SchemaRef, by_date: bool, options: WriterOptions) -> Self {
        let schema = file_schema(&schema, by_date);
        let properties = options.properties(&schema);
        Self { store, schema, by_date, options, properties, open: BTreeMap::new(), full: Vec::new(), done: Vec::new() }
    }

    /// Adds rows, of any days in any order.
    ///
    /// # Errors
    /// When they are not the table's, or the store refuses; the writer is of no use then.
    pub async fn write(&mut self, rows: &RecordBatch) -> Result<(), WriteError> {
        if !self.by_date {
            self.write_part(None, rows).await?;
            return self.make_room().await;
        }
        let missing = || WriteError::Rows(format!("no column {DATE_COLUMN}"));
        let dates = cast(rows.column_by_name(DATE_COLUMN).ok_or_else(missing)?, &DataType::Date32)?;
        let dates = dates.as_primitive::<Date32Type>();
        if dates.null_count() > 0 {
            return Err(WriteError::Rows(format!("a row without {DATE_COLUMN}")));
        }
        for (day, part) in split(dates.values(), rows)? {
            self.write_part(Some(day), &part).await?;
        }
        self.make_room().await
    }

    /// Adds rows of one day of a partitioned table; what they have as `event_date` is not looked at.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn write_day(&mut self, day: i32, rows: &RecordBatch) -> Result<(), WriteError> {
        self.write_part(Some(day), rows).await?;
        self.make_room().await
    }

    /// Completes all files and names them, by day, each day's in the order of its rows.
    ///
    /// # Errors
    /// When the store refuses one of them; others may be there then, and are nobody's.
    pub async fn finish(mut self) -> Result<Vec<NewFile>, WriteError> {
        let open = std::mem::take(&mut self.open);
        self.full.extend(open.into_values());
        self.complete().await?;
        let mut done = std::mem::take(&mut self.done);
        done.sort_by_key(|f| f.date);
        Ok(done)
    }

    async fn write_part(&mut self, day: Option<i32>, rows: &RecordBatch) -> Result<(), WriteError> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let rows = fit(&self.schema, rows)?;
        if !self.open.contains_key(&day) {
            let name = format!("part-{}.zstd.parquet", Uuid::new_v4());
            let path = day.map_or_else(|| name.clone(), |d| format!("{DATE_COLUMN}={}/{name}", date_text(d)));
            let output = Output::new(&self.store, path, day, &self.schema, &self.properties)?;
            self.open.insert(day, output);
        }
        let Some(output) = self.open.get_mut(&day) else { return Ok(()) };
        output.write(&rows).await?;
        if output.file_bytes() >= self.options.target_file_bytes {
            self.full.extend(self.open.remove(&day));
        }
        Ok(())
    }

    /// Closes the largest files while all together hold too much.
    async fn make_room(&mut self) -> Result<(), WriteError> {
        let mut held: usize = self.open.values().map(Output::memory).sum();
        while held > self.options.memory_bytes {
            let largest = self.open.iter().max_by_key(|(_, o)| o.memory()).map(|(day, _)| *day);
            let Some(output) = largest.and_then(|day| self.open.remove(&day)) else { break };
            held -= output.memory();
            self.full.push(output);
        }
        self.complete().await
    }

    async fn complete(&mut self) -> Result<(), WriteError> {
        if self.full.is_empty() {
            return Ok(());
        }
        let full = std::mem::take(&mut self.full);
        let files = futures::stream::iter(full).map(Output::finish).buffered(COMPLETED_AT_ONCE);
        self.done.extend(files.try_collect::<Vec<_>>().await?);
        Ok(())
    }
}

/// The columns that a table has in its files.
pub(crate) fn file_schema(table: &Schema, by_date: bool) -> SchemaRef {
    let fields: Vec<_> = table.fields().iter().filter(|f| !(by_date && f.name() == DATE_COLUMN)).cloned().collect();
    Arc::new(Schema::new(fields))
}

/// The columns of a file, out of columns of a batch. Dictionaries and views of strings are written as what they hold.
fn fit(schema: &SchemaRef, rows: &RecordBatch) -> Result<RecordBatch, WriteError> {
    let mut fields = Vec::with_capacity(schema.fields().len());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let Some(column) = rows.column_by_name(field.name()) else {
            return Err(WriteError::Rows(format!("no column {}", field.name())));
        };
        let column = if same_values(field.data_type(), column.data_type()) {
            Arc::clone(column)
        } else {
            cast(column, field.data_type()).map_err(|e| WriteError::Rows(format!("column {}: {e}", field.name())))?
        };
        fields.push(Field::new(field.name(), column.data_type().clone(), field.is_nullable()));
        columns.push(column);
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// Whether Parquet writes an array of type `given` as it writes one of type `wanted`.
fn same_values(wanted: &DataType, given: &DataType) -> bool {
    let given = match given {
        DataType::Dictionary(_, values) => values.as_ref(),
        other => other,
    };
    match wanted {
        DataType::Utf8 => matches!(given, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View),
        DataType::Binary => matches!(given, DataType::Binary | DataType::LargeBinary | DataType::BinaryView),
        wanted => wanted == given,
    }
}

/// The rows of each day, in their order. Nothing is copied where each day's rows lie together.
fn split(dates: &[i32], rows: &RecordBatch) -> Result<Vec<(i32, RecordBatch)>, WriteError> {
    let mut runs: Vec<(i32, usize, usize)> = Vec::new();
    for (row, day) in dates.iter().enumerate() {
        match runs.last_mut() {
            Some((d, _, length)) if d == day => *length += 1,
            _ => runs.push((*day, row, 1)),
        }
    }
    let mut by_day: BTreeMap<i32, Vec<(usize, usize)>> = BTreeMap::new();
    for (day, from, length) in runs {
        by_day.entry(day).or_default().push((from, length));
    }
    let mut parts = Vec::with_capacity(by_day.len());
    for (day, runs) in by_day {
        let part = match runs[..] {
            [(from, length)] => rows.slice(from, length),
            _ => {
                let indices = runs.iter().flat_map(|(from, length)| *from as u32..(from + length) as u32);
                arrow_select::take::take_record_batch(rows, &UInt32Array::from_iter_values(indices))?
            }
        };
        parts.push((day, part));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests;
