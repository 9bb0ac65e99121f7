//! Reading bronze back, by offsets: what the serving leg refills from when Kafka no longer has the records.

use std::collections::HashMap;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use bytes::Bytes;
use deltalake::DeltaTableError;
use deltalake::kernel::Action;
use deltalake::logstore::{LogStoreRef, get_actions};
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::offsets::{SPANS_TAG, parse_spans};
use super::{LakeError, delta_error};

/// A live data file that may hold wanted offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFile {
    /// Relative to the table.
    pub path: String,
    /// Its spans tag, if it has one: without, it must be read to know.
    pub spans: Option<String>,
}

impl DataFile {
    /// Whether it may hold offsets of `[from, to)` of a partition.
    pub fn may_hold(&self, incarnation: i32, partition: i32, from: i64, to: i64) -> bool {
        self.spans.as_ref().is_none_or(|tag| {
            parse_spans(tag, incarnation).iter().any(|s| s.partition == partition && s.rows > 0 && s.from < to && from < s.to)
        })
    }
}

/// The live files of a table with their tags: newest checkpoint, then the versions after it.
///
/// # Errors
/// When the log cannot be read.
pub async fn live_files(store: &LogStoreRef) -> Result<Vec<DataFile>, LakeError> {
    live(store).await.map_err(|e| delta_error(store.root_url(), e))
}

async fn live(store: &LogStoreRef) -> Result<Vec<DataFile>, DeltaTableError> {
    let objects = store.object_store(None);
    let mut checkpoint: Option<(u64, Path)> = None;
    let mut listing = objects.list(Some(store.log_path()));
    while let Some(meta) = listing.try_next().await? {
        let Some((version, "checkpoint.parquet")) = meta.location.filename().and_then(|n| n.split_once('.')) else { continue };
        let Ok(version) = version.parse::<u64>() else { continue };
        if checkpoint.as_ref().is_none_or(|(v, _)| *v < version) {
            checkpoint = Some((version, meta.location));
        }
    }
    let mut files: HashMap<String, Option<String>> = HashMap::new();
    let mut version = 0;
    if let Some((at, path)) = checkpoint {
        checkpoint_files(objects.get(&path).await?.bytes().await?, &mut files)?;
        version = at + 1;
    }
    while let Some(bytes) = store.read_commit_entry(version).await? {
        for action in get_actions(version, &bytes)? {
            match action {
                Action::Add(add) => {
                    let tag = add.tags.and_then(|mut t| t.remove(SPANS_TAG)).flatten();
                    files.insert(add.path, tag);
                }
                Action::Remove(remove) => {
                    files.remove(&remove.path);
                }
                _ => {}
            }
        }
        version += 1;
    }
    Ok(files.into_iter().map(|(path, spans)| DataFile { path, spans }).collect())
}

fn checkpoint_files(bytes: Bytes, files: &mut HashMap<String, Option<String>>) -> Result<(), DeltaTableError> {
    use arrow_array::Array;
    let wrong = || DeltaTableError::generic("the checkpoint's add column is not of the protocol");
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let mask = ProjectionMask::columns(reader.parquet_schema(), ["add.path", "add.tags"]);
    for batch in reader.with_projection(mask).build()? {
        let batch = batch?;
        let Some(add) = batch.column_by_name("add") else { continue };
        let add = add.as_struct_opt().ok_or_else(wrong)?;
        let paths = add.column_by_name("path").and_then(|c| c.as_string_opt::<i32>()).ok_or_else(wrong)?;
        let tags = add.column_by_name("tags").and_then(|c| c.as_map_opt());
        for row in 0..batch.num_rows() {
            if add.is_null(row) || paths.is_null(row) {
                continue;
            }
            let tag = tags.filter(|t| t.is_valid(row)).and_then(|tags| {
                let entries = tags.value(row);
                let keys = entries.column(0).as_string_opt::<i32>()?;
                let values = entries.column(1).as_string_opt::<i32>()?;
                let at = (0..keys.len()).find(|i| keys.value(*i) == SPANS_TAG && values.is_valid(*i))?;
                Some(values.value(at).to_owned())
            });
            files.insert(paths.value(row).to_owned(), tag);
        }
    }
    Ok(())
}

/// The rows of one file, in batches, only these columns (those that exist).
///
/// # Errors
/// When the file cannot be read.
pub async fn read_file(store: &LogStoreRef, file: &DataFile, columns: &[&str]) -> Result<Vec<RecordBatch>, LakeError> {
    let read = async {
        // Paths in the log are URL-encoded; dates and uuids are the same either way.
        let bytes = store.object_store(None).get(&Path::from(file.path.as_str())).await?.bytes().await?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
        let mask = ProjectionMask::columns(reader.parquet_schema(), columns.iter().copied());
        let batches: Result<Vec<_>, _> = reader.with_projection(mask).with_batch_size(32_768).build()?.collect();
        Ok::<_, DeltaTableError>(batches?)
    };
    read.await.map_err(|e| delta_error(store.root_url(), e))
}
