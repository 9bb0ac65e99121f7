//! Bronze's files of one day, in order, as chunks that say which of their rows are wanted.

use std::collections::BTreeSet;
use std::sync::mpsc::SyncSender;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use arrow_buffer::BooleanBuffer;
use hashbrown::HashMap;
use tributary_core::batch::Status;
use tributary_core::stream::Stream;
use tributary_core::table::TableFile;

use super::seen::EventKey;
use super::{OffsetRange, SilverError, Work};
use crate::source::SourceFile;

/// Rows as bronze has them.
pub(super) struct Chunk {
    pub(super) rows: RecordBatch,
    /// Valid and in the ranges; `None`: all are.
    pub(super) wanted: Option<BooleanBuffer>,
    /// Of the wanted rows, in their order.
    pub(super) keys: Vec<EventKey>,
}

/// What was read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    /// Rows in the ranges.
    pub(super) read: u64,
    /// Those of them that are not valid.
    pub(super) rejected: u64,
}

/// Text columns that bronze keeps few values of.
pub(super) fn symbols(stream: &Stream) -> BTreeSet<String> {
    let declared = stream.fields.iter().filter(|f| f.symbol).map(|f| f.column.clone());
    declared.chain(["status".to_owned()]).collect()
}

/// Wanted offsets, for a look per row: by incarnation and partition, sorted, apart from each other.
pub(super) struct Ranges {
    of: HashMap<(i32, i32), Vec<(i64, i64)>, ahash::RandomState>,
}

/// Neighbouring offsets that are all wanted, or all not.
#[derive(Clone, Copy)]
struct Stretch {
    from: i64,
    to: i64,
    wanted: bool,
}

impl Ranges {
    pub(super) fn new(ranges: &[OffsetRange]) -> Self {
        let mut of: HashMap<_, Vec<_>, _> = HashMap::default();
        for range in ranges.iter().filter(|r| r.from < r.to) {
            of.entry((range.incarnation, range.partition)).or_default().push((range.from, range.to));
        }
        for ranges in of.values_mut() {
            ranges.sort_unstable();
            let mut apart: Vec<(i64, i64)> = Vec::with_capacity(ranges.len());
            for (from, to) in ranges.drain(..) {
                match apart.last_mut() {
                    Some(last) if from <= last.1 => last.1 = last.1.max(to),
                    _ => apart.push((from, to)),
                }
            }
            *ranges = apart;
        }
        Self { of }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// How many offsets there are in them.
    pub(super) fn offsets(&self) -> u64 {
        self.of.values().flatten().map(|(from, to)| from.abs_diff(*to)).fold(0, u64::saturating_add)
    }

    /// The stretch that an offset lies in.
    fn stretch(&self, place: (i32, i32), offset: i64) -> Stretch {
        let ranges = self.of.get(&place).map_or(&[][..], Vec::as_slice);
        let next = ranges.partition_point(|(from, _)| *from <= offset);
        let to = ranges.get(next).map_or(i64::MAX, |(from, _)| *from);
        match next.checked_sub(1).and_then(|before| ranges.get(before)) {
            Some((from, to)) if offset < *to => Stretch { from: *from, to: *to, wanted: true },
            Some((_, from)) => Stretch { from: *from, to, wanted: false },
            None => Stretch { from: i64::MIN, to, wanted: false },
        }
    }

    /// Which rows are wanted: `None`, all.
    fn rows_in(&self, rows: &RecordBatch) -> Result<Option<BooleanBuffer>, SilverError> {
        let incarnations = required(rows, "topic_incarnation")?.as_primitive_opt::<Int32Type>();
        let partitions = required(rows, "kafka_partition")?.as_primitive_opt::<Int32Type>();
        let offsets = required(rows, "kafka_offset")?.as_primitive_opt::<Int64Type>();
        let (Some(incarnations), Some(partitions), Some(offsets)) = (incarnations, partitions, offsets) else {
            return Err(SilverError::Refused("bronze's offsets are not whole numbers of the right width".to_owned()));
        };
        // Rows come in stretches of one partition with growing offsets: most are in the stretch of the row before.
        let (mut place, mut here) = (None, Stretch { from: 0, to: 0, wanted: false });
        let mut all = true;
        let is_in = BooleanBuffer::collect_bool(rows.num_rows(), |row| {
            let (at, offset) = ((incarnations.value(row), partitions.value(row)), offsets.value(row));
            if place != Some(at) || offset < here.from || here.to <= offset {
                (place, here) = (Some(at), self.stretch(at, offset));
            }
            all &= here.wanted;
            here.wanted
        });
        Ok((!all).then_some(is_in))
    }
}

fn required<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a arrow_array::ArrayRef, SilverError> {
    let column = rows.column_by_name(name).filter(|c| c.null_count() == 0);
    column.ok_or_else(|| SilverError::Refused(format!("a file of bronze has no {name}, or rows without one")))
}

/// Reads all files and sends what is wanted of them. Ends early, without a word, when nobody listens any more.
pub(super) fn read(work: &Work, day: i32, files: &[TableFile], to: &SyncSender<Result<Chunk, SilverError>>) -> Counts {
    let mut counts = Counts::default();
    for file in files {
        match read_file(work, day, file, to, &mut counts) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                // Whoever listens ends with this; whoever does not has ended with something else.
                let _ = to.send(Err(error));
                break;
            }
        }
    }
    counts
}

/// Whether somebody still listens.
fn read_file(
    work: &Work,
    day: i32,
    file: &TableFile,
    to: &SyncSender<Result<Chunk, SilverError>>,
    counts: &mut Counts,
) -> Result<bool, SilverError> {
    let source = work.wait(SourceFile::open(&work.input.bronze.store, file, &work.symbols))?;
    let columns: Vec<&str> = work.bronze_columns.iter().map(String::as_str).collect();
    for group in 0..source.row_groups().len() {
        let fetched = work.wait(source.fetch(group, &columns))?;
        for rows in fetched.batches()? {
            work.check_stop()?;
            let Some(chunk) = chunk(work, day, rows?, counts)? else { continue };
            if to.send(Ok(chunk)).is_err() {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

fn chunk(work: &Work, day: i32, rows: RecordBatch, counts: &mut Counts) -> Result<Option<Chunk>, SilverError> {
    let in_range = work.ranges.rows_in(&rows)?;
    let in_range_count = in_range.as_ref().map_or(rows.num_rows(), BooleanBuffer::count_set_bits);
    if in_range_count == 0 {
        return Ok(None);
    }
    let wanted = match (valid_rows(&rows)?, in_range) {
        (None, other) | (other, None) => other,
        (Some(a), Some(b)) => Some(&a & &b),
    };
    let count = wanted.as_ref().map_or(rows.num_rows(), BooleanBuffer::count_set_bits);
    counts.read += in_range_count as u64;
    counts.rejected += (in_range_count - count) as u64;
    if count == 0 {
        return Ok(None);
    }
    let keys = work.keys.read(day, &rows, &wanted)?;
    Ok(Some(Chunk { rows, wanted, keys }))
}

/// Which rows are valid: `None`, all.
fn valid_rows(rows: &RecordBatch) -> Result<Option<BooleanBuffer>, SilverError> {
    let statuses = required(rows, "status")?;
    let statuses = statuses.as_dictionary_opt::<Int32Type>();
    let statuses = statuses.and_then(|s| Some((s.keys().values(), s.values().as_string_opt::<i32>()?)));
    let (codes, texts) = statuses.ok_or_else(|| SilverError::Refused("bronze's status is not text".to_owned()))?;
    let is_ok: Vec<bool> = texts.iter().map(|t| t == Some(Status::Ok.as_str())).collect();
    if is_ok.iter().all(|ok| *ok) {
        return Ok(None);
    }
    Ok(Some(BooleanBuffer::collect_bool(codes.len(), |row| is_ok[codes[row] as usize])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_says_of_every_offset_whether_some_range_has_it() {
        let range = |partition, from, to| OffsetRange { incarnation: 1, partition, from, to };
        let given = [range(0, 20, 30), range(0, 3, 5), range(0, 5, 8), range(0, 25, 40), range(0, 9, 9), range(1, 0, 2)];
        let ranges = Ranges::new(&given);
        assert_eq!(ranges.offsets(), 5 + 20 + 2);
        for partition in 0..3 {
            for offset in -1..50 {
                let wanted = given.iter().any(|r| r.partition == partition && r.from <= offset && offset < r.to);
                let found = ranges.stretch((1, partition), offset);
                assert_eq!(found.wanted, wanted, "{partition}@{offset}");
                assert!(found.from <= offset && offset < found.to);
                assert!(!ranges.stretch((2, partition), offset).wanted);
            }
        }
    }
}
