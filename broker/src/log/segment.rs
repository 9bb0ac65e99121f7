//! One segment: a file of record batches, named by its first offset, with its index beside it.
//!
//! May assume: one writer (the partition holds its lock). Promises: batches are whole and follow each other without a
//! gap; a failed write leaves the file as it was; a scan stops exactly before the first byte that is not intact.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::batch::{self, HEADER, Header};
use super::index::Index;
use crate::disk;

/// What is known of a segment without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Summary {
    /// First offset; also the file's name.
    pub(crate) base: i64,
    /// Offset after the last record.
    pub(crate) end: i64,
    /// Bytes of whole batches.
    pub(crate) size: u64,
    /// Largest record timestamp, -1 when none has one.
    pub(crate) max_timestamp: i64,
    /// Where the first batch with that timestamp begins.
    pub(crate) max_timestamp_position: u64,
    /// When the segment was begun, in milliseconds since 1970.
    pub(crate) created_ms: i64,
}

/// `<dir>/<base offset>.<extension>`, in 20 digits as Kafka writes them.
pub(crate) fn file_path(dir: &Path, base: i64, extension: &str) -> PathBuf {
    dir.join(format!("{base:020}.{extension}"))
}

/// A segment with its open file and its index: the active one, or a sealed one while it is being read.
#[derive(Debug, Clone)]
pub(crate) struct Open {
    pub(crate) summary: Summary,
    pub(crate) file: Arc<File>,
    pub(crate) index: Arc<Index>,
}

impl Summary {
    fn empty(base: i64, now_ms: i64) -> Self {
        Self { base, end: base, size: 0, max_timestamp: -1, max_timestamp_position: 0, created_ms: now_ms }
    }

    fn note(&mut self, header: &Header) {
        if header.max_timestamp > self.max_timestamp {
            self.max_timestamp = header.max_timestamp;
            self.max_timestamp_position = self.size;
        }
        self.end = header.next_offset();
        self.size += header.size as u64;
    }
}

impl Open {
    /// Begins an empty segment whose name is durable.
    pub(crate) fn create(dir: &Path, base: i64, now_ms: i64) -> io::Result<Self> {
        let path = file_path(dir, base, "log");
        let file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(path)?;
        disk::sync_dir(dir)?;
        Ok(Self { summary: Summary::empty(base, now_ms), file: Arc::new(file), index: Arc::default() })
    }

    /// Opens a segment that is known to be intact.
    pub(crate) fn existing(dir: &Path, summary: Summary, index: Index) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(file_path(dir, summary.base, "log"))?;
        Ok(Self { summary, file: Arc::new(file), index: Arc::new(index) })
    }

    /// Opens a segment that is not known to be intact: walks it, checks every batch, and calls `each` for the good ones.
    /// Returns the segment up to its last good batch, and why the walk ended early if it did.
    pub(crate) fn scan(dir: &Path, base: i64, now_ms: i64, mut each: impl FnMut(&Header)) -> io::Result<(Self, Option<String>)> {
        let file = OpenOptions::new().read(true).write(true).open(file_path(dir, base, "log"))?;
        let length = file.metadata()?.len();
        let mut segment = Self { summary: Summary::empty(base, now_ms), file: Arc::new(file), index: Arc::default() };
        let mut buffer = Vec::new();
        while segment.summary.size < length {
            match segment.intact_batch_at_end(length, &mut buffer)? {
                Ok(header) => {
                    segment.note(&header);
                    each(&header);
                }
                Err(reason) => return Ok((segment, Some(reason))),
            }
        }
        Ok((segment, None))
    }

    fn intact_batch_at_end(&self, length: u64, buffer: &mut Vec<u8>) -> io::Result<Result<Header, String>> {
        let at = self.summary.size;
        let mut head = [0u8; HEADER];
        if length - at < HEADER as u64 {
            return Ok(Err(format!("{} bytes are too few for a batch", length - at)));
        }
        self.file.read_exact_at(&mut head, at)?;
        let Some(header) = Header::parse(&head).filter(|h| h.magic == 2) else {
            return Ok(Err("no batch header".into()));
        };
        if header.size as u64 > length - at {
            return Ok(Err(format!("the batch of {} bytes is cut at {}", header.size, length - at)));
        }
        if header.base_offset != self.summary.end || header.last_offset_delta < 0 {
            return Ok(Err(format!("offset {} where {} was due", header.base_offset, self.summary.end)));
        }
        buffer.resize(header.size, 0);
        self.file.read_exact_at(buffer, at)?;
        if !batch::crc_matches(buffer, &header) {
            return Ok(Err("the checksum does not match".into()));
        }
        Ok(Ok(header))
    }

    /// Appends one batch that already carries its offset. On an error the file is cut back to what it was; if even that
    /// fails, the error says so and the caller must stop writing.
    pub(crate) fn append(&mut self, bytes: &[u8], header: &Header) -> Result<(), AppendError> {
        if let Err(e) = self.file.write_all_at(bytes, self.summary.size) {
            return Err(match self.file.set_len(self.summary.size) {
                Ok(()) => AppendError::CutBack(e),
                Err(cut) => AppendError::Torn(format!("{e}; cutting back failed too: {cut}")),
            });
        }
        self.note(header);
        Ok(())
    }

    fn note(&mut self, header: &Header) {
        let Summary { base, size, max_timestamp, .. } = self.summary;
        if self.index.is_due(size) {
            // A segment ends before 2 GiB and before 2^31 offsets (see `has_room`), so both fit. A reader may hold the
            // index: it keeps its copy.
            Arc::make_mut(&mut self.index).note((header.base_offset - base) as u32, size as u32, max_timestamp);
        }
        self.summary.note(header);
    }

    /// Whether a batch may still go here.
    pub(crate) fn has_room(&self, bytes: usize, records: i64, segment_bytes: u64) -> bool {
        let Summary { base, end, size, .. } = self.summary;
        let limit = segment_bytes.min(i32::MAX as u64);
        size == 0 || (size + bytes as u64 <= limit && end + records - base < i64::from(i32::MAX))
    }

    /// Cuts off everything after the last good batch and makes the rest durable.
    pub(crate) fn cut_and_sync(&self) -> io::Result<()> {
        self.file.set_len(self.summary.size)?;
        self.file.sync_all()
    }

    /// Saves index and summary, so that this segment never needs a scan again.
    pub(crate) fn save_index(&self, dir: &Path) -> io::Result<()> {
        self.index.save(&file_path(dir, self.summary.base, "index"), &self.summary)
    }
}

/// Why a batch was not appended.
#[derive(Debug)]
pub(crate) enum AppendError {
    /// Nothing of it is in the file.
    CutBack(io::Error),
    /// The file may end in a torn batch.
    Torn(String),
}

/// Walks the batches of `[from, limit)` in order until `each` returns false. Headers only.
pub(crate) fn walk(file: &File, from: u64, limit: u64, mut each: impl FnMut(u64, &Header) -> bool) -> io::Result<()> {
    let mut at = from;
    let mut head = [0u8; HEADER];
    while at + HEADER as u64 <= limit {
        file.read_exact_at(&mut head, at)?;
        let header = Header::parse(&head).ok_or_else(|| not_a_batch(at))?;
        if !each(at, &header) {
            return Ok(());
        }
        at += header.size as u64;
    }
    Ok(())
}

pub(crate) fn not_a_batch(at: u64) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("no record batch at byte {at}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::batch::testing;

    fn three_batches(dir: &Path) -> (Open, u64) {
        let mut segment = Open::create(dir, 100, 0).unwrap();
        let mut before_last = 0;
        for i in 0..3i64 {
            before_last = segment.summary.size;
            let mut bytes = testing::batch(None, &[10 * i, 10 * i + 1]);
            batch::place(&mut bytes, segment.summary.end, 0);
            let header = Header::parse(&bytes).unwrap();
            segment.append(&bytes, &header).unwrap();
        }
        (segment, before_last)
    }

    #[test]
    fn a_scan_finds_what_was_appended() {
        let dir = tempfile::tempdir().unwrap();
        let (written, _) = three_batches(dir.path());
        let mut seen = Vec::new();
        let (read, torn) = Open::scan(dir.path(), 100, 0, |h| seen.push(h.base_offset)).unwrap();
        assert_eq!((torn, seen), (None, vec![100, 102, 104]));
        assert_eq!(read.summary, written.summary);
    }

    #[test]
    fn a_scan_stops_before_a_cut_batch_a_flipped_bit_and_zeros() {
        for (what, damage) in [("cut", 0), ("flipped", 1), ("zeros", 2)] {
            let dir = tempfile::tempdir().unwrap();
            let (written, good) = three_batches(dir.path());
            match damage {
                0 => written.file.set_len(written.summary.size - 1).unwrap(),
                1 => written.file.write_all_at(b"\xff", good + 61).unwrap(),
                _ => {
                    written.file.set_len(good).unwrap();
                    written.file.set_len(good + 4096).unwrap();
                }
            }
            let (read, torn) = Open::scan(dir.path(), 100, 0, |_| ()).unwrap();
            assert!(torn.is_some(), "{what}");
            assert_eq!((read.summary.size, read.summary.end), (good, 104), "{what}");
        }
    }

    #[test]
    fn the_newest_record_is_found_where_it_first_stands() {
        let dir = tempfile::tempdir().unwrap();
        let (segment, last) = three_batches(dir.path());
        assert_eq!((segment.summary.max_timestamp, segment.summary.max_timestamp_position), (21, last));
    }
}
