//! Reads the rows of a table's data files, a batch at a time; `event_date` is what the folder says.
//!
//! Promises bounded memory: a batch, and a whole file where the lake is not on this machine. A column that a file does not have is null
//! in it: it was added to the table later.

use std::fs::File;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use arrow_array::{ArrayRef, Date32Array, RecordBatch, RecordBatchOptions, new_null_array};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::reader::ChunkReader;
use tokio::runtime::Handle;
use tributary_core::table::DATE_COLUMN;

use super::super::lake::{Lake, LiveFile};

const BATCH: usize = 16_384;

/// Hands the rows of a file over, batch by batch, with these columns in this order. Must be called where blocking is allowed.
pub(super) fn read(
    runtime: &Handle,
    lake: &Lake,
    file: &LiveFile,
    names: &[String],
    take: &mut dyn FnMut(&RecordBatch) -> Result<()>,
) -> Result<()> {
    let of_file = || format!("{}{}", lake.url, file.path);
    if file.deletion_vector {
        bail!("{} has a deletion vector, which these tables never have", of_file());
    }
    let read = match lake.local(&file.path) {
        Some(path) => File::open(path).map_err(Into::into).and_then(|reader| rows(reader, file, names, take)),
        None => runtime.block_on(lake.fetch(&file.path)).and_then(|bytes| rows(bytes, file, names, take)),
    };
    read.with_context(of_file)
}

fn rows<R: ChunkReader + 'static>(
    reader: R,
    file: &LiveFile,
    names: &[String],
    take: &mut dyn FnMut(&RecordBatch) -> Result<()>,
) -> Result<()> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(reader)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), names.iter().map(String::as_str));
    for batch in builder.with_projection(mask).with_batch_size(BATCH).build()? {
        take(&complete(&batch?, file, names)?)?;
    }
    Ok(())
}

fn complete(batch: &RecordBatch, file: &LiveFile, names: &[String]) -> Result<RecordBatch> {
    let rows = batch.num_rows();
    let columns: Vec<ArrayRef> = names
        .iter()
        .map(|name| match (batch.column_by_name(name), file.event_date) {
            (Some(column), _) => column.clone(),
            (None, Some(date)) if name == DATE_COLUMN => Arc::new(Date32Array::from_value(date, rows)),
            (None, _) => new_null_array(&DataType::Utf8, rows),
        })
        .collect();
    let fields: Vec<Field> = names.iter().zip(&columns).map(|(name, c)| Field::new(name, c.data_type().clone(), true)).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
}
