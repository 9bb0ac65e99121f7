//! One partition: a row of segments, of which the last grows, and the offset up to which everything is on disk.
//!
//! May assume: called from threads that may block. Promises: appends are serialised and keep their order; the high
//! watermark is the durable end, moves only after an fsync that succeeded, and never back; a batch is in the log once.

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::batch::{self, Header};
use super::index::Index;
use super::producers::{Producers, Verdict};
use super::segment::{AppendError, Open, Summary, file_path};
use super::waiters::Waiters;
use crate::config::TopicConfig;
use crate::disk;
use crate::flusher::Flush;

/// The only leader epoch that a single node ever has.
pub(crate) const LEADER_EPOCH: i32 = 0;

/// What is behind the partition's lock.
#[derive(Debug)]
pub(crate) struct State {
    /// Finished segments, oldest first; each is durable and has its index saved.
    pub(crate) sealed: VecDeque<Summary>,
    /// The segment that grows; none while the partition is empty or just after a roll.
    pub(crate) active: Option<Open>,
    /// First offset that may be read.
    pub(crate) log_start: i64,
    /// Offset that the next record gets.
    pub(crate) end: i64,
    /// Everything below is on disk: the high watermark.
    pub(crate) durable: i64,
    /// Bytes of the active segment below `durable`.
    pub(crate) durable_position: u64,
    pub(crate) producers: Producers,
    /// The sealed segment that was read last, kept open because readers go forward.
    pub(crate) last_read: Option<Open>,
    /// The topic is gone; the files may be too.
    pub(crate) deleted: bool,
}

/// One partition of a topic.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) dir: PathBuf,
    pub(crate) state: Mutex<State>,
    durable: watch::Sender<i64>,
    pub(crate) waiters: Waiters,
    queued: AtomicBool,
    sync: fn(&File) -> std::io::Result<()>,
}

/// Where a batch went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Appended {
    /// Offset of its first record.
    pub(crate) offset: i64,
    /// It may be confirmed once the high watermark has reached this.
    pub(crate) end: i64,
    pub(crate) log_start: i64,
}

/// Why a batch did not go in.
#[derive(Debug)]
pub(crate) enum AppendRefused {
    OutOfOrder,
    Fenced,
    Deleted,
    /// The disk refused; the log is as before.
    Disk(String),
    /// The disk refused and the log may not be as before: the broker must stop.
    Fatal(String),
}

impl Partition {
    pub(crate) fn new(dir: PathBuf, state: State, sync: fn(&File) -> std::io::Result<()>) -> Self {
        let durable = watch::Sender::new(state.durable);
        let state = Mutex::new(state);
        Self { dir, state, durable, waiters: Waiters::default(), queued: AtomicBool::new(false), sync }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under this lock would have been a bug in code that leaves the state whole at every step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends one checked batch, giving it its offset, or says why not.
    pub(crate) fn append(
        &self,
        bytes: &[u8],
        header: &Header,
        config: &TopicConfig,
        now_ms: i64,
    ) -> Result<Appended, AppendRefused> {
        let mut state = self.lock();
        if state.deleted {
            return Err(AppendRefused::Deleted);
        }
        match state.producers.check(header) {
            Verdict::Append => {}
            Verdict::Duplicate { offset, end } => return Ok(Appended { offset, end, log_start: state.log_start }),
            Verdict::OutOfOrder => return Err(AppendRefused::OutOfOrder),
            Verdict::Fenced => return Err(AppendRefused::Fenced),
        }
        let records = i64::from(header.last_offset_delta) + 1;
        let full = state.active.as_ref().is_some_and(|a| {
            let old = config.segment_ms.is_some_and(|ms| a.summary.size > 0 && now_ms - a.summary.created_ms >= ms);
            old || !a.has_room(bytes.len(), records, config.segment_bytes)
        });
        if full {
            self.roll(&mut state, now_ms).map_err(AppendRefused::Fatal)?;
        }
        let offset = state.end;
        let mut placed = bytes.to_vec();
        batch::place(&mut placed, offset, LEADER_EPOCH);
        let header = Header { base_offset: offset, ..*header };
        let active = self.active(&mut state, now_ms).map_err(|e| AppendRefused::Disk(e.to_string()))?;
        active.append(&placed, &header).map_err(|e| match e {
            AppendError::CutBack(e) => AppendRefused::Disk(e.to_string()),
            AppendError::Torn(e) => AppendRefused::Fatal(e),
        })?;
        state.end = header.next_offset();
        state.producers.note(&header, now_ms);
        Ok(Appended { offset, end: state.end, log_start: state.log_start })
    }

    fn active<'a>(&self, state: &'a mut State, now_ms: i64) -> std::io::Result<&'a mut Open> {
        if state.active.is_none() {
            disk::create_dirs(&self.dir)?;
            let base = state.end;
            state.durable_position = 0;
            return Ok(state.active.insert(Open::create(&self.dir, base, now_ms)?));
        }
        state.active.as_mut().ok_or_else(|| std::io::Error::other("no active segment"))
    }

    /// Finishes the active segment: durable, index saved, producers saved for the next one. An error is fatal: part of
    /// it may be an fsync that must not be tried again.
    pub(crate) fn roll(&self, state: &mut State, now_ms: i64) -> Result<(), String> {
        let Some(active) = state.active.take() else { return Ok(()) };
        let mut finish = || {
            (self.sync)(&active.file)?;
            active.save_index(&self.dir)?;
            state.producers.forget_silent(now_ms);
            state.producers.save(&file_path(&self.dir, active.summary.end, "producers"))
        };
        finish().map_err(|e| format!("finishing a segment of {}: {e}", self.dir.display()))?;
        // This segment may still be the one that a recovery walks; the snapshot before its own is of no more use.
        if let Some(before) = state.sealed.back() {
            let _ = std::fs::remove_file(file_path(&self.dir, before.base, "producers"));
        }
        state.sealed.push_back(active.summary);
        state.durable_position = 0;
        self.advance(state, active.summary.end);
        Ok(())
    }

    fn advance(&self, state: &mut State, durable: i64) {
        if durable > state.durable {
            state.durable = durable;
            self.durable.send_replace(durable);
            self.waiters.wake();
        }
    }

    /// Waits until everything below `end` is on disk. False when the topic was deleted meanwhile.
    pub(crate) async fn durable_to(&self, end: i64) -> bool {
        let mut durable = self.durable.subscribe();
        let reached = durable.wait_for(|d| *d >= end).await.map(|d| *d);
        reached.is_ok_and(|d| d != i64::MAX)
    }

    /// Marks the topic as gone: appends and reads refuse from now on, waiters wake up.
    pub(crate) fn mark_deleted(&self) {
        let mut state = self.lock();
        state.deleted = true;
        state.active = None;
        state.last_read = None;
        self.durable.send_replace(i64::MAX);
        self.waiters.wake();
    }

    /// (first offset, high watermark)
    pub(crate) fn watermarks(&self) -> (i64, i64) {
        let state = self.lock();
        (state.log_start, state.durable)
    }
}

impl Flush for Partition {
    fn queued(&self) -> &AtomicBool {
        &self.queued
    }

    fn flush(&self) -> Result<(), String> {
        // Appends that come from here on queue the partition anew.
        self.queued.store(false, Ordering::Release);
        let (file, base, end, position) = {
            let state = self.lock();
            match &state.active {
                Some(a) if state.durable < state.end => (a.file.clone(), a.summary.base, state.end, a.summary.size),
                _ => return Ok(()),
            }
        };
        (self.sync)(&file).map_err(|e| format!("fsync of a segment of {}: {e}", self.dir.display()))?;
        let mut state = self.lock();
        if state.deleted {
            return Ok(());
        }
        if state.active.as_ref().is_some_and(|a| a.summary.base == base) {
            state.durable_position = state.durable_position.max(position);
        }
        self.advance(&mut state, end);
        Ok(())
    }
}

impl State {
    /// A partition that has nothing yet.
    pub(crate) fn empty() -> Self {
        Self {
            sealed: VecDeque::new(),
            active: None,
            log_start: 0,
            end: 0,
            durable: 0,
            durable_position: 0,
            producers: Producers::default(),
            last_read: None,
            deleted: false,
        }
    }

    /// The open segment that holds `offset` and the number of its bytes that may be read. `None` at or above the high
    /// watermark.
    pub(crate) fn segment_of(&mut self, dir: &Path, offset: i64) -> std::io::Result<Option<(Open, u64)>> {
        if offset >= self.durable {
            return Ok(None);
        }
        if let Some(active) = self.active.as_ref().filter(|a| a.summary.base <= offset) {
            return Ok(Some((active.clone(), self.durable_position)));
        }
        if let Some(open) = self.last_read.as_ref().filter(|o| o.summary.base <= offset && offset < o.summary.end) {
            return Ok(Some((open.clone(), open.summary.size)));
        }
        let after = self.sealed.partition_point(|s| s.base <= offset);
        let Some(summary) = after.checked_sub(1).and_then(|i| self.sealed.get(i)).copied() else { return Ok(None) };
        let (index, _) = Index::load(&file_path(dir, summary.base, "index")).unwrap_or((Index::default(), summary));
        let open = Open::existing(dir, summary, index)?;
        self.last_read = Some(open.clone());
        Ok(Some((open, summary.size)))
    }
}
