//! Many files into few: the same rows in the same order, nothing else changes.
//!
//! Assumes the files that are to go, in the order in which their rows are to lie. Promises that every value is the one it was, that a
//! column which an older file lacks is null, that memory does not grow with the files; and nothing about tags, which say where rows
//! came from and are the caller's business.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_schema::ArrowError;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::ObjectStore;
use tokio::runtime::Handle;
use tributary_core::table::{NewFile, Pinned};

use crate::source::{ReadError, SourceFile, all_columns};
use crate::writer::{TableWriter, WriteError, WriterOptions, file_schema};

/// Why files were not rewritten. New ones that were put are nobody's then.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    /// An old file.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A new file.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Rows that Arrow refused: a bug.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
    /// The thread panicked or could not be started.
    #[error("no thread to rewrite files on: {0}")]
    Thread(String),
}

/// Rewrites all files of `table`, in their order, into as few as `target_bytes` allows. Of a partitioned table, each day's for
/// itself.
///
/// # Errors
/// When a store fails or a file is not the table's.
pub fn compact(
    table: Arc<Pinned>,
    store: Arc<dyn ObjectStore>,
    target_bytes: u64,
    options: WriterOptions,
) -> BoxFuture<'static, Result<Vec<NewFile>, CompactError>> {
    async move {
        let options = WriterOptions { target_file_bytes: usize::try_from(target_bytes).unwrap_or(usize::MAX), ..options };
        // Decoding and encoding is work, and no runtime likes that among what waits.
        let runtime = Handle::current();
        let (to, from) = tokio::sync::oneshot::channel();
        let thread = std::thread::Builder::new().name("compact".to_owned()).spawn(move || {
            let work = async {
                let mut to = to;
                let done = tokio::select! {
                    done = rewrite(&table, &store, options) => done,
                    // Nobody waits any more.
                    () = to.closed() => return,
                };
                let _ = to.send(done);
            };
            runtime.block_on(work);
        });
        thread.map_err(|e| CompactError::Thread(e.to_string()))?;
        from.await.map_err(|_| CompactError::Thread("it panicked".to_owned()))?
    }
    .boxed()
}

async fn rewrite(table: &Pinned, store: &Arc<dyn ObjectStore>, options: WriterOptions) -> Result<Vec<NewFile>, CompactError> {
    let schema = file_schema(&table.schema, table.by_date);
    let columns: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    let mut writer = TableWriter::new(Arc::clone(store), Arc::clone(&table.schema), table.by_date, options);
    for file in &table.files {
        let source = SourceFile::open(store, file, &BTreeSet::new()).await?;
        for group in 0..source.row_groups().len() {
            for rows in source.fetch(group, &columns).await?.batches()? {
                let rows = all_columns(&schema, &rows?)?;
                match file.date.filter(|_| table.by_date) {
                    Some(day) => writer.write_day(day, &rows).await?,
                    None => writer.write(&rows).await?,
                }
                // A place to stop at: what does not wait cannot be dropped.
                tokio::task::yield_now().await;
            }
        }
    }
    Ok(writer.finish().await?)
}

#[cfg(test)]
mod tests;
