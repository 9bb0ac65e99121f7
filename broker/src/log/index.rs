//! The sparse index of a segment: from an offset or a timestamp to a byte position, near enough to walk from.
//!
//! May assume: entries are added in the order of the log. Promises: a lookup never lands behind what was asked for, so a
//! forward walk from it always meets the target; a saved index is trusted only when its checksum matches.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use bytes::{Buf, BufMut};

use super::segment::Summary;
use crate::disk;

/// One entry at most every so many bytes: a walk after a lookup reads about this much, an entry costs 16 bytes.
pub(crate) const INTERVAL: u64 = 16 * 1024;

const MAGIC: &[u8; 8] = b"TRIBIDX1";
/// Magic, six numbers, their checksum.
const HEAD: usize = 8 + 6 * 8 + 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    offset: u32,
    position: u32,
    /// Largest timestamp of the batches *before* this position: all of them can be skipped for a later timestamp.
    newest_before: i64,
}

/// Offsets and timestamps to positions, within one segment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Index {
    entries: Vec<Entry>,
}

impl Index {
    /// Whether the last entry is far enough behind `position` for another one.
    pub(crate) fn is_due(&self, position: u64) -> bool {
        position >= self.entries.last().map_or(1, |e| u64::from(e.position) + INTERVAL)
    }

    /// Notes a batch at `position`.
    pub(crate) fn note(&mut self, offset: u32, position: u32, newest_before: i64) {
        self.entries.push(Entry { offset, position, newest_before });
    }

    /// A position at or before the batch that holds `offset` (relative to the segment's base).
    pub(crate) fn position_of(&self, offset: u32) -> u64 {
        let after = self.entries.partition_point(|e| e.offset <= offset);
        after.checked_sub(1).map_or(0, |i| u64::from(self.entries[i].position))
    }

    /// A position at or before the first batch that has a record as new as `timestamp`.
    pub(crate) fn position_at(&self, timestamp: i64) -> u64 {
        let after = self.entries.partition_point(|e| e.newest_before < timestamp);
        after.checked_sub(1).map_or(0, |i| u64::from(self.entries[i].position))
    }

    /// Writes the index and the segment's summary beside the segment, durably.
    pub(crate) fn save(&self, path: &Path, summary: &Summary) -> io::Result<()> {
        let mut out = Vec::with_capacity(64 + self.entries.len() * 16);
        out.put_slice(MAGIC);
        out.put_i64(summary.base);
        out.put_i64(summary.end);
        out.put_u64(summary.size);
        out.put_i64(summary.max_timestamp);
        out.put_u64(summary.max_timestamp_position);
        out.put_i64(summary.created_ms);
        let crc = crc32c::crc32c(&out);
        out.put_u32(crc);
        out.put_u32(self.entries.len() as u32);
        for e in &self.entries {
            out.put_u32(e.offset);
            out.put_u32(e.position);
            out.put_i64(e.newest_before);
        }
        let crc = crc32c::crc32c(&out);
        out.put_u32(crc);
        disk::write_atomic(path, &out)
    }

    /// Reads what [`Index::save`] wrote; `None` when it is absent or does not hold together.
    pub(crate) fn load(path: &Path) -> Option<(Self, Summary)> {
        let bytes = fs::read(path).ok()?;
        let summary = summary_of(&bytes)?;
        let (body, crc) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
        if u32::from_be_bytes(crc.try_into().ok()?) != crc32c::crc32c(body) {
            return None;
        }
        let mut b = body.get(HEAD..)?;
        let n = b.try_get_u32().ok()? as usize;
        if b.len() != n * 16 {
            return None;
        }
        let mut entries = Vec::with_capacity(n);
        while b.has_remaining() {
            entries.push(Entry { offset: b.get_u32(), position: b.get_u32(), newest_before: b.get_i64() });
        }
        Some((Self { entries }, summary))
    }

    /// Reads only the summary: what a start needs of the segments that it does not write to.
    pub(crate) fn load_summary(path: &Path) -> Option<Summary> {
        let mut head = [0u8; HEAD];
        fs::File::open(path).ok()?.read_exact(&mut head).ok()?;
        summary_of(&head)
    }
}

fn summary_of(bytes: &[u8]) -> Option<Summary> {
    let (fields, crc) = bytes.get(..HEAD)?.split_at_checked(HEAD - 4)?;
    if u32::from_be_bytes(crc.try_into().ok()?) != crc32c::crc32c(fields) {
        return None;
    }
    let mut b = fields.strip_prefix(MAGIC.as_slice())?;
    Some(Summary {
        base: b.try_get_i64().ok()?,
        end: b.try_get_i64().ok()?,
        size: b.try_get_u64().ok()?,
        max_timestamp: b.try_get_i64().ok()?,
        max_timestamp_position: b.try_get_u64().ok()?,
        created_ms: b.try_get_i64().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled() -> Index {
        let mut index = Index::default();
        for i in 0..1_000u32 {
            if index.is_due(u64::from(i) * 4096) {
                index.note(i * 10, i * 4096, i64::from(i) * 100 - 1);
            }
        }
        index
    }

    #[test]
    fn a_lookup_never_lands_behind_the_target_and_not_far_before_it() {
        let index = filled();
        for i in 0..1_000u32 {
            let target = u64::from(i) * 4096;
            let found = index.position_of(i * 10 + 3);
            assert!(found <= target && target - found < 2 * INTERVAL, "offset of batch {i}: {found} for {target}");
            let found = index.position_at(i64::from(i) * 100);
            assert!(found <= target && target - found < 2 * INTERVAL, "time of batch {i}: {found} for {target}");
        }
    }

    #[test]
    fn a_saved_index_reads_back_and_a_damaged_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.index");
        let summary =
            Summary { base: 5, end: 10_005, size: 4_096_000, max_timestamp: 9, max_timestamp_position: 8, created_ms: 7 };
        filled().save(&path, &summary).unwrap();
        assert_eq!(Index::load(&path), Some((filled(), summary)));
        assert_eq!(Index::load_summary(&path), Some(summary));
        let mut bytes = fs::read(&path).unwrap();
        bytes[30] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(Index::load(&path), None);
        fs::write(&path, b"xy").unwrap();
        assert_eq!(Index::load(&path), None);
    }
}
