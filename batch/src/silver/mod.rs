//! Bronze to silver: the valid rows of given offsets, each event once.
//!
//! A duplicate has the same id and the same event time; the copy that is there stays, among new ones the first. The same id at
//! another time of the day is a conflict: both rows are kept, and the later one is recorded in a table of its own. Copies have the
//! same event time, so they are of the same day, and silver is only asked where its times meet new ones. (A conflict with a row of
//! silver is found where the other time lies in a row group that is read for that; anywhere else it would take reading all of the day
//! each time.)
//!
//! Assumes that valid rows of bronze lie in the partition of their event's day, that no offset is in bronze twice, and that whoever
//! calls commits the files under silver's own offsets, so that a range is taken once. Promises memory bounded by the largest days that
//! are made at once: about 22 bytes per row for what was seen, and what the writers hold.
//!
//! Days are made at the same time, the largest first, on threads of their own: this is work, not waiting.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use object_store::ObjectStore;
use tokio::runtime::Handle;
use tributary_core::batch::{RESERVED_COLUMNS, schema as bronze_schema, timestamp_type};
use tributary_core::stream::Stream;
use tributary_core::table::{Pinned, TableFile, date_text};
use tributary_core::work::{OffsetRange, SilverOutput};

use self::bronze::Ranges;
use self::ids::Keys;
use self::queue::{Queue, QueuedDay};
use crate::source::ReadError;
use crate::writer::{WriteError, WriterOptions, file_schema};

mod bronze;
mod day;
mod ids;
mod present;
mod queue;
mod seen;
#[cfg(test)]
mod tests;

/// Column of the conflicts table: when the id was seen first.
pub const OTHER_TIMESTAMP: &str = "other_timestamp";
/// Columns of bronze that silver does without.
const NOT_IN_SILVER: [&str; 3] = ["status", "error", "raw"];

/// A pinned table and the store that is rooted at it.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The version and its files.
    pub table: Arc<Pinned>,
    /// Rooted at the table.
    pub store: Arc<dyn ObjectStore>,
}

/// What silver is made from.
#[derive(Debug, Clone)]
pub struct SilverInput {
    /// The declaration.
    pub stream: Arc<Stream>,
    /// Bronze, with the files alone that may hold wanted offsets.
    pub bronze: Stored,
    /// The offsets wanted.
    pub ranges: Vec<OffsetRange>,
    /// Silver as it is.
    pub silver: Stored,
    /// Where conflicts go.
    pub conflicts: Stored,
}

/// How to make silver.
#[derive(Debug, Clone, Copy)]
pub struct SilverOptions {
    /// Days made at once; 0: one per core.
    pub threads: usize,
    /// What the days that are made at once may need together. A day that needs more is made alone.
    pub memory_bytes: u64,
    /// A file of silver ends when it weighs this.
    pub target_file_bytes: usize,
}

impl Default for SilverOptions {
    fn default() -> Self {
        Self { threads: 0, memory_bytes: 512 << 20, target_file_bytes: 128 << 20 }
    }
}

/// Why silver was not made. Files that were put are nobody's then.
#[derive(Debug, thiserror::Error)]
pub enum SilverError {
    /// A store, or a file of bronze or silver.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A new file.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Bronze or silver are not what the stream declares; does not pass.
    #[error("{0}")]
    Refused(String),
    /// Rows that Arrow refused: a bug.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
    /// No thread could be started.
    #[error("no thread: {0}")]
    Thread(#[source] std::io::Error),
    /// A thread panicked: a bug, or a file that is no Parquet.
    #[error("a thread that made silver panicked")]
    Panicked,
    /// Nobody waits for it any more.
    #[error("cancelled")]
    Cancelled,
}

/// The columns of a stream's silver table, and of its conflicts table.
pub fn silver_schemas(stream: &Stream) -> (SchemaRef, SchemaRef) {
    let plain = |f: &Field| {
        let data_type = match f.data_type() {
            DataType::Dictionary(_, values) => values.as_ref().clone(),
            other => other.clone(),
        };
        Field::new(f.name(), data_type, true)
    };
    let is_silver = |f: &Field| !NOT_IN_SILVER.contains(&f.name().as_str());
    let bronze = bronze_schema(stream);
    let mut fields: Vec<Field> = bronze.fields().iter().filter(|f| is_silver(f)).map(|f| plain(f)).collect();
    let silver = Arc::new(Schema::new(fields.clone()));
    fields.push(Field::new(OTHER_TIMESTAMP, timestamp_type(), true));
    (silver, Arc::new(Schema::new(fields)))
}

/// Makes silver of bronze's rows in the ranges that silver does not have. Stops soon when it is dropped.
///
/// # Errors
/// When a store fails, or a table is not what the stream declares.
pub async fn silver(input: SilverInput, options: SilverOptions) -> Result<SilverOutput, SilverError> {
    let stop = StopOnDrop(Arc::default());
    let work = Work::new(input, options, Arc::clone(&stop.0));
    let (to, from) = tokio::sync::oneshot::channel();
    let made = std::thread::Builder::new().name("silver".to_owned()).spawn(move || {
        let _ = to.send(work.run());
    });
    made.map_err(SilverError::Thread)?;
    from.await.map_err(|_| SilverError::Panicked)?
}

struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One call of [`silver`], as its threads see it.
struct Work {
    input: SilverInput,
    options: SilverOptions,
    writing: WriterOptions,
    schema: SchemaRef,
    /// Without the date.
    file_schema: SchemaRef,
    conflicts_schema: SchemaRef,
    keys: Keys,
    ranges: Ranges,
    symbols: BTreeSet<String>,
    bronze_columns: Vec<String>,
    runtime: Handle,
    stop: Arc<AtomicBool>,
}

impl Work {
    fn new(input: SilverInput, options: SilverOptions, stop: Arc<AtomicBool>) -> Self {
        let stream = &input.stream;
        let (schema, conflicts_schema) = silver_schemas(stream);
        let writing = WriterOptions { target_file_bytes: options.target_file_bytes, ..WriterOptions::of_stream(stream) };
        let own = RESERVED_COLUMNS.into_iter().filter(|c| !["error", "raw"].contains(c)).map(str::to_owned);
        Self {
            keys: Keys::of(stream),
            ranges: Ranges::new(&input.ranges),
            symbols: bronze::symbols(stream),
            bronze_columns: stream.fields.iter().map(|f| f.column.clone()).chain(own).collect(),
            runtime: Handle::current(),
            input,
            options,
            writing,
            file_schema: file_schema(&schema, true),
            schema,
            conflicts_schema,
            stop,
        }
    }

    /// Waits for a store, on a thread that may.
    fn wait<T, E: Into<SilverError>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, SilverError> {
        self.runtime.block_on(work).map_err(Into::into)
    }

    fn check_stop(&self) -> Result<(), SilverError> {
        if self.stop.load(Ordering::Relaxed) { Err(SilverError::Cancelled) } else { Ok(()) }
    }

    fn run(&self) -> Result<SilverOutput, SilverError> {
        if self.ranges.is_empty() {
            return Ok(SilverOutput::default());
        }
        let days = self.days()?;
        let threads = match self.options.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        };
        let queue = Queue::new(days, self.options.memory_bytes);
        let parts = std::thread::scope(|scope| {
            let worker = || {
                let mut made = Vec::new();
                while let Some((day, _room)) = queue.next() {
                    let part = day::make(self, day.day, &day.files);
                    if part.is_err() {
                        self.stop.store(true, Ordering::Relaxed);
                    }
                    made.push((day.day, part));
                }
                made
            };
            let workers: Vec<_> = (1..threads).map(|_| scope.spawn(worker)).collect();
            let mut parts = worker();
            for worker in workers {
                parts.extend(worker.join().map_err(|_| SilverError::Panicked)?);
            }
            Ok::<_, SilverError>(parts)
        })?;
        merge(parts)
    }

    /// Bronze's files by day, each day's by time, so that silver's row groups are of few minutes.
    fn days(&self) -> Result<Vec<QueuedDay>, SilverError> {
        let mut by_day: BTreeMap<i32, Vec<(Option<i64>, TableFile)>> = BTreeMap::new();
        for file in &self.input.bronze.table.files {
            let day = file.date.ok_or_else(|| SilverError::Refused(format!("{} of bronze has no date", file.path)))?;
            let first = present::time_range(file, &self.keys.time).map(|(first, _)| first);
            by_day.entry(day).or_default().push((first, file.clone()));
        }
        let in_order = by_day.into_iter().map(|(day, mut files)| {
            files.sort_by(|a, b| (a.0, &a.1.path).cmp(&(b.0, &b.1.path)));
            QueuedDay::new(day, files.into_iter().map(|(_, f)| f).collect(), self.ranges.offsets())
        });
        Ok(in_order.collect())
    }
}

/// All days together, by day. Of several errors, the one that was not caused by another one.
fn merge(mut parts: Vec<(i32, Result<SilverOutput, SilverError>)>) -> Result<SilverOutput, SilverError> {
    parts.sort_by_key(|(day, _)| *day);
    let is_cause = |part: &Result<SilverOutput, SilverError>| matches!(part, Err(e) if !matches!(e, SilverError::Cancelled));
    if let Some(at) = parts.iter().position(|(_, part)| is_cause(part)) {
        let (day, part) = parts.swap_remove(at);
        tracing::debug!(day = date_text(day), "silver was not made");
        return part;
    }
    let mut all = SilverOutput::default();
    for (_, part) in parts {
        let part = part?;
        all.files.extend(part.files);
        all.conflicts.extend(part.conflicts);
        all.rows_read += part.rows_read;
        all.rows_kept += part.rows_kept;
        all.duplicates += part.duplicates;
        all.rows_in_conflict += part.rows_in_conflict;
        all.rejected += part.rejected;
    }
    Ok(all)
}
