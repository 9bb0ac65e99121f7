//! Taking the old end off a partition: by age, by size, or because somebody asked.
//!
//! May assume: called from threads that may block. Promises: whole segments go, oldest first, and never one that holds a
//! record above the high watermark; the next offset survives even when every record is gone.

use std::fs;
use std::io;

use super::partition::{Partition, State};
use super::segment::{Open, Summary, file_path};
use crate::config::TopicConfig;

/// Why records were not deleted.
#[derive(Debug)]
pub(crate) enum DeleteRefused {
    OutOfRange,
    Deleted,
    Disk(io::Error),
}

/// The time that decides a segment's age: its newest record, or its beginning when records have no time.
fn newest(s: &Summary) -> i64 {
    if s.max_timestamp < 0 { s.created_ms } else { s.max_timestamp }
}

impl Partition {
    /// Applies the topic's retention; returns how many segments went. An `Err` is fatal (see [`Partition::roll`]).
    pub(crate) fn retain(&self, config: &TopicConfig, now_ms: i64) -> Result<usize, String> {
        let mut state = self.lock();
        if state.deleted {
            return Ok(0);
        }
        let expired = |s: &Summary| config.retention_ms.is_some_and(|ms| now_ms - newest(s) > ms);
        let idle = state.durable == state.end;
        if idle && state.active.as_ref().is_some_and(|a| a.summary.size > 0 && expired(&a.summary)) {
            self.roll(&mut state, now_ms)?;
        }
        let mut over = match config.retention_bytes {
            Some(limit) => {
                let active = state.active.as_ref().map_or(0, |a| a.summary.size);
                (state.sealed.iter().map(|s| s.size).sum::<u64>() + active).saturating_sub(limit)
            }
            None => 0,
        };
        let mut gone = 0;
        while let Some(s) = state.sealed.get(gone).copied() {
            let too_much = config.retention_bytes.is_some() && over >= s.size && over > 0;
            if !expired(&s) && !too_much {
                break;
            }
            over = over.saturating_sub(s.size);
            gone += 1;
        }
        // A disk that cannot delete is not a reason to stop: the next round tries again.
        if let Err(e) = self.drop_front(&mut state, gone, now_ms) {
            tracing::warn!(partition = %self.dir.display(), error = %e, "retention could not delete a segment");
        }
        Ok(gone)
    }

    /// Makes `offset` (`-1`: the high watermark) the first one; returns the new first offset.
    pub(crate) fn delete_before(&self, offset: i64, now_ms: i64) -> Result<i64, DeleteRefused> {
        let mut state = self.lock();
        if state.deleted {
            return Err(DeleteRefused::Deleted);
        }
        let offset = if offset == -1 { state.durable } else { offset };
        if offset < 0 || offset > state.durable {
            return Err(DeleteRefused::OutOfRange);
        }
        if offset > state.log_start {
            self.save_log_start(offset).map_err(DeleteRefused::Disk)?;
            state.log_start = offset;
            let gone = state.sealed.iter().take_while(|s| s.end <= offset).count();
            self.drop_front(&mut state, gone, now_ms).map_err(DeleteRefused::Disk)?;
        }
        Ok(state.log_start)
    }

    fn drop_front(&self, state: &mut State, segments: usize, now_ms: i64) -> io::Result<()> {
        if segments == 0 {
            return Ok(());
        }
        if state.active.is_none() && segments == state.sealed.len() {
            // The name of an empty segment is what keeps the next offset.
            state.durable_position = 0;
            state.active = Some(Open::create(&self.dir, state.end, now_ms)?);
        }
        for _ in 0..segments {
            let Some(s) = state.sealed.front().copied() else { break };
            // The log first: an index without its log is ignored, a log without its index would be scanned.
            fs::remove_file(file_path(&self.dir, s.base, "log"))?;
            for extension in ["index", "producers"] {
                let _ = fs::remove_file(file_path(&self.dir, s.base, extension));
            }
            state.sealed.pop_front();
            state.log_start = state.log_start.max(s.end);
            if state.last_read.as_ref().is_some_and(|o| o.summary.base == s.base) {
                state.last_read = None;
            }
        }
        Ok(())
    }
}
