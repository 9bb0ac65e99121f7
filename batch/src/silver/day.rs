//! One day of silver: one thread reads bronze, another one looks for copies and writes.
//!
//! Few new rows wait until all are there: then their exact times say which row groups of silver must be looked at, and only the
//! copies among those are remembered. Of many, the statistics of bronze's files must say it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use arrow_array::{ArrayRef, BooleanArray, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder};
use arrow_schema::{Field, Schema, SchemaRef};
use arrow_select::filter::filter_record_batch;
use arrow_select::take::take_record_batch;
use tributary_core::table::{NewFile, TableFile};

use super::bronze::{self, Chunk};
use super::present::{self, Reach};
use super::seen::{Found, Seen};
use super::{OTHER_TIMESTAMP, SilverError, SilverOutput, Work};
use crate::source::all_columns;
use crate::writer::TableWriter;

/// Rows that may wait for the last of them.
const FEW_ROWS: usize = 256 << 10;
/// Room that is made before a row is seen, however many the statistics promise: 16 bytes per row, and a third.
const MOST_ROOM: usize = 64 << 20;
/// Chunks between the two threads.
const CHUNKS_AHEAD: usize = 8;
const DAY_US: i64 = 86_400_000_000;

/// Makes silver of these files of bronze, which are of this day, in this order.
pub(super) fn make(work: &Work, day: i32, files: &[TableFile]) -> Result<SilverOutput, SilverError> {
    let (to, from) = sync_channel(CHUNKS_AHEAD);
    std::thread::scope(|threads| {
        let reader = std::thread::Builder::new()
            .name("silver-read".to_owned())
            .spawn_scoped(threads, move || bronze::read(work, day, files, &to))
            .map_err(SilverError::Thread)?;
        let made = Day::new(work, day).make(files, from);
        let counts = reader.join().map_err(|_| SilverError::Panicked)?;
        let (files, conflicts, duplicates) = made?;
        Ok(SilverOutput {
            rows_kept: files.iter().map(|f| f.rows).sum(),
            rows_in_conflict: conflicts.iter().map(|f| f.rows).sum(),
            duplicates,
            files,
            conflicts,
            rows_read: counts.read,
            rejected: counts.rejected,
        })
    })
}

struct Day<'a> {
    work: &'a Work,
    day: i32,
    silver: TableWriter,
    conflicts: TableWriter,
    duplicates: u64,
}

impl<'a> Day<'a> {
    fn new(work: &'a Work, day: i32) -> Self {
        let writer =
            |store, schema: &SchemaRef| TableWriter::new(Arc::clone(store), Arc::clone(schema), true, work.writing.clone());
        Self {
            work,
            day,
            silver: writer(&work.input.silver.store, &work.schema),
            conflicts: writer(&work.input.conflicts.store, &work.conflicts_schema),
            duplicates: 0,
        }
    }

    fn make(
        mut self,
        files: &[TableFile],
        from: Receiver<Result<Chunk, SilverError>>,
    ) -> Result<(Vec<NewFile>, Vec<NewFile>, u64), SilverError> {
        let (mut held, mut rows, mut is_all) = (Vec::new(), 0, false);
        while rows <= FEW_ROWS && !is_all {
            match from.recv() {
                Ok(chunk) => {
                    let chunk = chunk?;
                    rows += chunk.keys.len();
                    held.push(chunk);
                }
                Err(_) => is_all = true,
            }
        }
        let mut seen = if is_all { self.seen_by_few(&held, rows)? } else { self.seen_by_many(files)? };
        for chunk in held {
            self.take(chunk, &mut seen)?;
        }
        for chunk in from {
            self.take(chunk?, &mut seen)?;
        }
        drop(seen);
        let duplicates = self.duplicates;
        let files = self.work.wait(self.silver.finish())?;
        let conflicts = self.work.wait(self.conflicts.finish())?;
        Ok((files, conflicts, duplicates))
    }

    /// What silver has of the ids of these rows.
    fn seen_by_few(&self, held: &[Chunk], rows: usize) -> Result<Seen, SilverError> {
        let mut seen = Seen::with_room_for(rows);
        let midnight = i64::from(self.day) * DAY_US;
        let keys = || held.iter().flat_map(|c| &c.keys);
        let mut times: Vec<i64> = keys().map(|k| midnight + k.time()).collect();
        times.sort_unstable();
        let reach = Reach::Times(times);
        let files = present::files(self.work, self.day, &reach);
        if !files.is_empty() {
            let mut ids = Seen::with_room_for(rows);
            for key in keys() {
                ids.insert(*key);
            }
            present::load(self.work, self.day, &files, &reach, Some(&ids), &mut seen)?;
        }
        Ok(seen)
    }

    /// All that silver has at the times of these files.
    fn seen_by_many(&self, bronze: &[TableFile]) -> Result<Seen, SilverError> {
        let reach = Reach::of_files(bronze, &self.work.keys.time);
        let files = present::files(self.work, self.day, &reach);
        let rows = |files: &[TableFile]| files.iter().filter_map(|f| f.rows).sum::<u64>();
        let rows = rows(bronze).min(self.work.ranges.offsets()) + rows(&files);
        let mut seen = Seen::with_room_for(usize::try_from(rows).unwrap_or(MOST_ROOM).min(MOST_ROOM));
        present::load(self.work, self.day, &files, &reach, None, &mut seen)?;
        Ok(seen)
    }

    fn take(&mut self, chunk: Chunk, seen: &mut Seen) -> Result<(), SilverError> {
        self.work.check_stop()?;
        let mut in_conflict: Vec<(usize, i64)> = Vec::new();
        let kept = BooleanBuffer::collect_bool(chunk.keys.len(), |at| match seen.insert(chunk.keys[at]) {
            Found::New => true,
            Found::Duplicate => false,
            Found::Conflict(first) => {
                in_conflict.push((at, first));
                true
            }
        });
        let duplicates = kept.len() - kept.count_set_bits();
        self.duplicates += duplicates as u64;
        if duplicates == kept.len() {
            return Ok(());
        }
        let rows = all_columns(&self.work.file_schema, &chunk.rows)?;
        if !in_conflict.is_empty() {
            self.record(&rows, &chunk, &in_conflict)?;
        }
        let mask = match chunk.wanted {
            None => (duplicates > 0).then_some(kept),
            Some(wanted) if duplicates == 0 => Some(wanted),
            Some(wanted) => {
                let mut mask = BooleanBufferBuilder::new(wanted.len());
                mask.append_n(wanted.len(), false);
                for (row, kept) in wanted.set_indices().zip(&kept) {
                    mask.set_bit(row, kept);
                }
                Some(mask.finish())
            }
        };
        let rows = match mask {
            None => rows,
            Some(mask) => filter_record_batch(&rows, &BooleanArray::new(mask, None))?,
        };
        self.work.wait(self.silver.write_day(self.day, &rows))
    }

    /// Writes down rows whose id was seen at another time.
    fn record(&mut self, rows: &RecordBatch, chunk: &Chunk, in_conflict: &[(usize, i64)]) -> Result<(), SilverError> {
        let wanted: Option<Vec<usize>> = chunk.wanted.as_ref().map(|w| w.set_indices().collect());
        let row = |at: usize| wanted.as_ref().map_or(at, |w| w[at]) as u32;
        let indices = UInt32Array::from_iter_values(in_conflict.iter().map(|(at, _)| row(*at)));
        let taken = take_record_batch(rows, &indices)?;
        let midnight = i64::from(self.day) * DAY_US;
        let times = in_conflict.iter().map(|(_, first)| midnight + first);
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"));
        let mut fields = taken.schema().fields().to_vec();
        fields.push(Arc::new(Field::new(OTHER_TIMESTAMP, times.data_type().clone(), true)));
        let mut columns = taken.columns().to_vec();
        columns.push(times);
        let taken = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
        self.work.wait(self.conflicts.write_day(self.day, &taken))
    }
}
