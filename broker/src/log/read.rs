//! Reading a partition: records from an offset, and offsets from a timestamp.
//!
//! May assume: called from threads that may block. Promises: nothing at or above the high watermark is shown; what is
//! returned are whole batches, verbatim; the file is read outside the partition's lock.

use std::io;
use std::os::unix::fs::FileExt;

use bytes::{Bytes, BytesMut};

use super::batch::{HEADER, Header};
use super::codec;
use super::index::INTERVAL;
use super::partition::Partition;
use super::segment::{self, Open};

/// Records, and where the partition stood when they were read.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    /// Whole batches; the first may begin before the offset that was asked for.
    pub(crate) records: Bytes,
    pub(crate) high_watermark: i64,
    pub(crate) log_start: i64,
}

/// Why nothing could be read.
#[derive(Debug)]
pub(crate) enum ReadRefused {
    /// Below the first offset or above the last.
    OutOfRange {
        log_start: i64,
        high_watermark: i64,
    },
    Deleted,
    Disk(io::Error),
}

impl Partition {
    /// Reads at most `max_bytes` from `offset` on. `at_least_one`: a first batch larger than that is returned all the same.
    pub(crate) fn read(&self, offset: i64, max_bytes: usize, at_least_one: bool) -> Result<Read, ReadRefused> {
        let (found, mut read) = {
            let mut state = self.lock();
            let (log_start, high_watermark, end) = (state.log_start, state.durable, state.end);
            if state.deleted {
                return Err(ReadRefused::Deleted);
            }
            if offset < log_start || offset > end {
                return Err(ReadRefused::OutOfRange { log_start, high_watermark });
            }
            let found = state.segment_of(&self.dir, offset).map_err(ReadRefused::Disk)?;
            (found, Read { records: Bytes::new(), high_watermark, log_start })
        };
        if let Some((open, limit)) = found {
            read.records = read_batches(&open, limit, offset, max_bytes, at_least_one).map_err(ReadRefused::Disk)?;
        }
        Ok(read)
    }

    /// About how many bytes a read from `offset` could return, an index interval too many at most; `None` when it would
    /// be refused.
    pub(crate) fn available(&self, offset: i64) -> Option<u64> {
        let state = self.lock();
        if state.deleted || offset < state.log_start || offset > state.end {
            return None;
        }
        if offset >= state.durable {
            return Some(0);
        }
        Some(match &state.active {
            Some(a) if a.summary.base <= offset => {
                state.durable_position.saturating_sub(a.index.position_of((offset - a.summary.base) as u32))
            }
            _ => state.sealed.iter().filter(|s| s.end > offset).map(|s| s.size).sum::<u64>() + state.durable_position,
        })
    }

    /// The first readable record at or after `timestamp`, as (timestamp, offset).
    pub(crate) fn at_timestamp(&self, timestamp: i64) -> io::Result<Option<(i64, i64)>> {
        let mut from = self.lock().log_start;
        while let Some((open, limit)) = self.first_segment_with(from, |newest| newest >= timestamp)? {
            let start = open.index.position_at(timestamp);
            if let Some(found) = record_at(&open, start, limit, timestamp, self.lock().log_start)? {
                return Ok(Some(found));
            }
            from = open.summary.end;
        }
        Ok(None)
    }

    /// The readable record with the largest timestamp, the first of several, as (timestamp, offset).
    pub(crate) fn at_max_timestamp(&self) -> io::Result<Option<(i64, i64)>> {
        let (mut from, durable) = self.watermarks();
        let mut best: Option<(i64, i64)> = None;
        while from < durable {
            let newest = best.map_or(-1, |(ts, _)| ts);
            let Some((open, limit)) = self.first_segment_with(from, |t| t > newest)? else { break };
            let summary = open.summary;
            // The summary knows the place unless the newest batch is not durable yet, or was deleted from the front.
            let mut start = summary.max_timestamp_position;
            let mut wanted = summary.max_timestamp;
            if start >= limit || summary.base < self.lock().log_start {
                start = 0;
                wanted = newest_below(&open, limit, from)?;
            }
            if wanted > newest {
                best = record_at(&open, start, limit, wanted, from)?.or(best);
            }
            from = summary.end;
        }
        Ok(best)
    }

    /// The first segment at or after `offset` whose newest record satisfies `wanted`.
    fn first_segment_with(&self, offset: i64, wanted: impl Fn(i64) -> bool) -> io::Result<Option<(Open, u64)>> {
        let mut state = self.lock();
        let sealed = state.sealed.iter().find(|s| s.end > offset && wanted(s.max_timestamp)).map(|s| s.base);
        let active = state.active.as_ref().map(|a| a.summary).filter(|s| s.end > offset && wanted(s.max_timestamp));
        match sealed.or(active.map(|s| s.base)) {
            Some(base) => state.segment_of(&self.dir, base),
            None => Ok(None),
        }
    }
}

fn newest_below(open: &Open, limit: u64, from_offset: i64) -> io::Result<i64> {
    let mut newest = -1;
    segment::walk(&open.file, 0, limit, |_, header| {
        if header.next_offset() > from_offset {
            newest = newest.max(header.max_timestamp);
        }
        true
    })?;
    Ok(newest)
}

/// The first record in `[start, limit)` at or after both `timestamp` and `log_start`.
fn record_at(open: &Open, start: u64, limit: u64, timestamp: i64, log_start: i64) -> io::Result<Option<(i64, i64)>> {
    let mut position = start;
    loop {
        let mut candidate = None;
        segment::walk(&open.file, position, limit, |at, header| {
            if header.max_timestamp >= timestamp && header.next_offset() > log_start {
                candidate = Some((at, header.size));
            }
            candidate.is_none()
        })?;
        let Some((at, size)) = candidate else { return Ok(None) };
        let mut batch = vec![0; size];
        open.file.read_exact_at(&mut batch, at)?;
        if let Some(found) = codec::first_at_or_after(&batch, timestamp, log_start)? {
            return Ok(Some(found));
        }
        position = at + size as u64;
    }
}

fn read_batches(open: &Open, limit: u64, offset: i64, max_bytes: usize, at_least_one: bool) -> io::Result<Bytes> {
    let mut at = open.index.position_of((offset - open.summary.base) as u32);
    loop {
        // One read that nearly always covers both the walk to the offset and the records.
        let want = (limit.saturating_sub(at)).min(max_bytes as u64 + INTERVAL) as usize;
        let mut chunk = BytesMut::zeroed(want);
        open.file.read_exact_at(&mut chunk, at)?;
        let mut first = 0;
        while let Some(header) = chunk.get(first..).and_then(Header::parse) {
            if header.next_offset() > offset {
                return cut(open, chunk, first, &header, at, max_bytes, at_least_one);
            }
            first += header.size;
        }
        if first == 0 {
            return Ok(Bytes::new());
        }
        at += first as u64;
        if at + HEADER as u64 > limit {
            return Ok(Bytes::new());
        }
    }
}

/// Takes whole batches from `first` on, up to `max_bytes`.
fn cut(
    open: &Open,
    mut chunk: BytesMut,
    first: usize,
    header: &Header,
    at: u64,
    max_bytes: usize,
    at_least_one: bool,
) -> io::Result<Bytes> {
    if header.size > max_bytes {
        if !at_least_one {
            return Ok(Bytes::new());
        }
        let mut whole = BytesMut::zeroed(header.size);
        open.file.read_exact_at(&mut whole, at + first as u64)?;
        return Ok(whole.freeze());
    }
    let mut end = first;
    while let Some(next) = chunk.get(end..).and_then(Header::parse) {
        let after = end + next.size;
        if after > chunk.len() || after - first > max_bytes {
            break;
        }
        end = after;
    }
    if end == first {
        // The walk used up the chunk before the first batch was whole.
        let mut whole = BytesMut::zeroed(header.size);
        open.file.read_exact_at(&mut whole, at + first as u64)?;
        return Ok(whole.freeze());
    }
    chunk.truncate(end);
    Ok(chunk.freeze().slice(first..))
}
