//! Opening a partition that an earlier process wrote, and closing it for the next one.
//!
//! May assume: the directory's lock is held. Promises: after a clean stop nothing is scanned; after any other end only the
//! last segment is, and what is torn off it was never confirmed to anyone. Damage anywhere else was confirmed data: the
//! start fails and says where, instead of going on with less.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::batch::Header;
use super::index::Index;
use super::partition::{Partition, State};
use super::producers::Producers;
use super::segment::{self, Open, Summary, file_path};
use crate::disk;
use crate::error::Error;

/// The first offset, where `DeleteRecords` put it.
const LOG_START: &str = "log-start";

impl Partition {
    /// Opens the partition in `dir`, which may not exist yet. `clean`: the last process closed it.
    pub(crate) fn open(dir: PathBuf, clean: bool, sync: fn(&File) -> io::Result<()>, now_ms: i64) -> Result<Self, Error> {
        let mut bases = numbers(&dir, "log").map_err(|e| Error::io("list", &dir, e))?;
        let Some(last) = bases.pop() else { return Ok(Self::new(dir, State::empty(), sync)) };
        let mut sealed = VecDeque::with_capacity(bases.len());
        for (i, base) in bases.iter().enumerate() {
            let next = bases.get(i + 1).copied().unwrap_or(last);
            sealed.push_back(sealed_segment(&dir, *base, next, now_ms)?);
        }
        let (snapshot, producers) = newest_snapshot(&dir)?;
        let mut replay = Replay { from: snapshot, producers, now_ms };
        let active = match closed_segment(&dir, last).filter(|_| clean) {
            Some(open) => open,
            None => scanned_segment(&dir, last, now_ms, &mut replay)?,
        };
        let end = active.summary.end;
        if replay.from > end || sealed.back().is_some_and(|s| s.end > replay.from) {
            replay = Replay { from: 0, producers: Producers::default(), now_ms };
            for s in sealed.iter().chain([&active.summary]) {
                replay.walk(&dir, s)?;
            }
        }
        let oldest = sealed.front().map_or(last, |s| s.base);
        let state = State {
            log_start: saved_log_start(&dir).clamp(oldest, end),
            end,
            durable: end,
            durable_position: active.summary.size,
            producers: replay.producers,
            sealed,
            active: Some(active),
            ..State::empty()
        };
        Ok(Self::new(dir, state, sync))
    }

    /// Makes everything durable and saves what the next start would otherwise have to scan for.
    pub(crate) fn close(&self) -> Result<(), String> {
        let mut state = self.lock();
        let result = match &state.active {
            Some(active) if !state.deleted => (|| {
                active.file.sync_all()?;
                active.save_index(&self.dir)?;
                state.producers.save(&file_path(&self.dir, state.end, "producers"))
            })(),
            _ => Ok(()),
        };
        state.deleted = true;
        result.map_err(|e| format!("closing {}: {e}", self.dir.display()))
    }

    /// Saves where the log begins when that is not the beginning of a segment.
    pub(crate) fn save_log_start(&self, offset: i64) -> io::Result<()> {
        disk::write_atomic(&self.dir.join(LOG_START), offset.to_string().as_bytes())
    }
}

struct Replay {
    /// Batches below this are in `producers` already.
    from: i64,
    producers: Producers,
    now_ms: i64,
}

impl Replay {
    fn note(&mut self, header: &Header) {
        if header.base_offset >= self.from {
            self.producers.note(header, self.now_ms);
        }
    }

    fn walk(&mut self, dir: &Path, summary: &Summary) -> Result<(), Error> {
        let path = file_path(dir, summary.base, "log");
        File::open(&path)
            .and_then(|f| {
                segment::walk(&f, 0, summary.size, |_, header| {
                    self.note(header);
                    true
                })
            })
            .map_err(|e| Error::io("walk", &path, e))
    }
}

/// The numbers that name the files with this extension, ascending.
fn numbers(dir: &Path, extension: &str) -> io::Result<Vec<i64>> {
    let mut found = Vec::new();
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(found),
        other => other?,
    };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == extension) {
            found.extend(path.file_stem().and_then(|s| s.to_str()).and_then(|s| s.parse::<i64>().ok()));
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn length(path: &Path) -> Result<u64, Error> {
    fs::metadata(path).map(|m| m.len()).map_err(|e| Error::io("look at", path, e))
}

/// A segment that is not the last: trusted by its saved index, else checked from end to end.
fn sealed_segment(dir: &Path, base: i64, next: i64, now_ms: i64) -> Result<Summary, Error> {
    let path = file_path(dir, base, "log");
    let bytes = length(&path)?;
    if let Some(s) = Index::load_summary(&file_path(dir, base, "index"))
        && (s.base, s.end, s.size) == (base, next, bytes)
    {
        return Ok(s);
    }
    let (open, torn) = Open::scan(dir, base, now_ms, |_| ()).map_err(|e| Error::io("scan", &path, e))?;
    if torn.is_some() || open.summary.end != next {
        let reason = torn.unwrap_or_else(|| format!("ends at offset {}, {next} was due", open.summary.end));
        return Err(Error::Corrupt { path, position: open.summary.size, reason });
    }
    open.save_index(dir).map_err(|e| Error::io("index", &path, e))?;
    Ok(open.summary)
}

/// The last segment as [`Partition::close`] left it.
fn closed_segment(dir: &Path, base: i64) -> Option<Open> {
    let (index, summary) = Index::load(&file_path(dir, base, "index"))?;
    let bytes = length(&file_path(dir, base, "log")).ok()?;
    (summary.base == base && summary.size == bytes).then(|| Open::existing(dir, summary, index).ok())?
}

/// The last segment after a crash: checked from end to end, torn bytes cut off.
fn scanned_segment(dir: &Path, base: i64, now_ms: i64, replay: &mut Replay) -> Result<Open, Error> {
    let path = file_path(dir, base, "log");
    let (open, torn) = Open::scan(dir, base, now_ms, |h| replay.note(h)).map_err(|e| Error::io("scan", &path, e))?;
    if let Some(reason) = torn {
        let cut = length(&path)? - open.summary.size;
        tracing::warn!(path = %path.display(), bytes = cut, offset = open.summary.end, reason, "cut off a torn tail that was never confirmed");
    }
    open.cut_and_sync().map_err(|e| Error::io("cut", &path, e))?;
    Ok(open)
}

/// The newest producer snapshot that reads back, and the offset that it speaks for.
fn newest_snapshot(dir: &Path) -> Result<(i64, Producers), Error> {
    let offsets = numbers(dir, "producers").map_err(|e| Error::io("list", dir, e))?;
    let newest = offsets.iter().rev().find_map(|o| Some((*o, Producers::load(&file_path(dir, *o, "producers"))?)));
    Ok(newest.unwrap_or_default())
}

fn saved_log_start(dir: &Path) -> i64 {
    fs::read_to_string(dir.join(LOG_START)).ok().and_then(|s| s.parse().ok()).unwrap_or(0)
}
