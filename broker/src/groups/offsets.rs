//! The offsets that consumer groups committed, in a journal that is rewritten when it has grown stale.
//!
//! May assume: called from threads that may block. Promises: a commit that was confirmed is on disk; a torn tail of the
//! journal loses only what was never confirmed; the file stays within a few times of what it holds.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::disk;
use crate::error::Error;
use crate::flusher::Flush;

const FILE: &str = "offsets.journal";
/// Below this the journal is not worth rewriting.
const SMALL: u64 = 1024 * 1024;

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Committed {
    #[serde(rename = "o")]
    pub(crate) offset: i64,
    #[serde(rename = "e")]
    pub(crate) leader_epoch: i32,
    #[serde(rename = "m")]
    pub(crate) metadata: Option<String>,
    #[serde(rename = "t")]
    pub(crate) at_ms: i64,
}

/// One line of the journal: an offset, or with `None` its removal.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    group: String,
    topic: String,
    partition: i32,
    value: Option<Committed>,
}

type Partitions = BTreeMap<(String, i32), Committed>;

#[derive(Debug)]
struct State {
    groups: HashMap<String, Partitions>,
    file: File,
    size: u64,
    /// Size right after the last rewrite: the measure of how stale the journal is.
    fresh: u64,
    written: u64,
}

/// All committed offsets of all groups.
#[derive(Debug)]
pub(crate) struct Offsets {
    path: PathBuf,
    state: Mutex<State>,
    synced: watch::Sender<u64>,
    queued: AtomicBool,
    sync: fn(&File) -> io::Result<()>,
}

impl Offsets {
    /// Opens the journal in `dir`, cutting off a torn tail.
    pub(crate) fn open(dir: &Path, sync: fn(&File) -> io::Result<()>) -> Result<Self, Error> {
        let path = dir.join(FILE);
        let open = || -> io::Result<State> {
            let new = !path.exists();
            let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path)?;
            if new {
                disk::sync_dir(dir)?;
            }
            let bytes = fs::read(&path)?;
            let mut groups = HashMap::new();
            let mut size = 0;
            while let Some((line, length)) = frame_at(&bytes, size) {
                apply(&mut groups, line);
                size += length;
            }
            if size < bytes.len() {
                tracing::warn!(bytes = bytes.len() - size, "cut off a torn tail of the journal of offsets");
                file.set_len(size as u64)?;
            }
            file.sync_all()?;
            let live = groups.values().map(|g: &Partitions| g.len() as u64 * 128).sum();
            Ok(State { groups, file, size: size as u64, fresh: live, written: 0 })
        };
        let state = Mutex::new(open().map_err(|e| Error::io("open", &path, e))?);
        Ok(Self { path, state, synced: watch::Sender::new(0), queued: AtomicBool::new(false), sync })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits offsets; confirm them after [`Offsets::durable_to`] of the returned mark.
    pub(crate) fn commit(&self, group: &str, offsets: Vec<(String, i32, Committed)>) -> io::Result<u64> {
        let line = |(topic, partition, c)| Line { group: group.to_owned(), topic, partition, value: Some(c) };
        self.write(offsets.into_iter().map(line).collect())
    }

    /// Forgets some partitions of a group.
    pub(crate) fn remove(&self, group: &str, partitions: Vec<(String, i32)>) -> io::Result<u64> {
        let line = |(topic, partition)| Line { group: group.to_owned(), topic, partition, value: None };
        self.write(partitions.into_iter().map(line).collect())
    }

    /// Forgets a whole group.
    pub(crate) fn remove_group(&self, group: &str) -> io::Result<u64> {
        let known = self.lock().groups.get(group).map(|g| g.keys().cloned().collect()).unwrap_or_default();
        self.remove(group, known)
    }

    /// Forgets a deleted topic in every group: its successor's offsets mean other records.
    pub(crate) fn remove_topic(&self, topic: &str) -> io::Result<u64> {
        let lines = {
            let state = self.lock();
            let of = |(group, partitions): (&String, &Partitions)| {
                let mine = partitions.keys().filter(|(t, _)| t == topic).cloned().collect::<Vec<_>>();
                mine.into_iter()
                    .map(|(topic, partition)| Line { group: group.clone(), topic, partition, value: None })
                    .collect::<Vec<_>>()
            };
            state.groups.iter().flat_map(of).collect()
        };
        self.write(lines)
    }

    fn write(&self, lines: Vec<Line>) -> io::Result<u64> {
        let mut bytes = Vec::new();
        for line in &lines {
            put_frame(&mut bytes, line)?;
        }
        let mut state = self.lock();
        if let Err(e) = state.file.write_all_at(&bytes, state.size) {
            // What is beyond `size` is overwritten by the next commit, and cut off by the next start.
            let _ = state.file.set_len(state.size);
            return Err(e);
        }
        state.size += bytes.len() as u64;
        state.written += 1;
        for line in lines {
            apply(&mut state.groups, line);
        }
        if state.size > SMALL.max(state.fresh * 4) {
            self.rewrite(&mut state)?;
        }
        Ok(state.written)
    }

    /// Replaces the journal by one that holds only what is in force.
    fn rewrite(&self, state: &mut State) -> io::Result<()> {
        let mut bytes = Vec::new();
        for (group, partitions) in &state.groups {
            for ((topic, partition), c) in partitions {
                let (group, topic, value) = (group.clone(), topic.clone(), Some(c.clone()));
                put_frame(&mut bytes, &Line { group, topic, partition: *partition, value })?;
            }
        }
        disk::write_atomic(&self.path, &bytes)?;
        state.file = OpenOptions::new().read(true).write(true).open(&self.path)?;
        state.size = bytes.len() as u64;
        state.fresh = state.size;
        self.synced.send_replace(state.written);
        Ok(())
    }

    /// Waits until the write with this mark is on disk.
    pub(crate) async fn durable_to(&self, mark: u64) -> bool {
        self.synced.subscribe().wait_for(|s| *s >= mark).await.is_ok()
    }

    /// What a group committed.
    pub(crate) fn of_group(&self, group: &str) -> Partitions {
        self.lock().groups.get(group).cloned().unwrap_or_default()
    }

    /// Groups that have committed something, with the time of their last commit.
    pub(crate) fn groups(&self) -> BTreeMap<String, i64> {
        let newest = |g: &Partitions| g.values().map(|c| c.at_ms).max().unwrap_or(0);
        self.lock().groups.iter().map(|(name, g)| (name.clone(), newest(g))).collect()
    }
}

impl Flush for Offsets {
    fn queued(&self) -> &AtomicBool {
        &self.queued
    }

    fn flush(&self) -> Result<(), String> {
        self.queued.store(false, Ordering::Release);
        let (file, written) = {
            let state = self.lock();
            (state.file.try_clone(), state.written)
        };
        file.and_then(|f| (self.sync)(&f)).map_err(|e| format!("fsync of {}: {e}", self.path.display()))?;
        self.synced.send_if_modified(|s| {
            let newer = written > *s;
            *s = written.max(*s);
            newer
        });
        Ok(())
    }
}

fn apply(groups: &mut HashMap<String, Partitions>, line: Line) {
    let key = (line.topic, line.partition);
    match line.value {
        Some(value) => {
            groups.entry(line.group).or_default().insert(key, value);
        }
        None => {
            if let Some(partitions) = groups.get_mut(&line.group) {
                partitions.remove(&key);
                if partitions.is_empty() {
                    groups.remove(&line.group);
                }
            }
        }
    }
}

fn put_frame(out: &mut Vec<u8>, line: &Line) -> io::Result<()> {
    let json = serde_json::to_vec(line).map_err(io::Error::other)?;
    out.extend_from_slice(&(json.len() as u32).to_be_bytes());
    out.extend_from_slice(&crc32c::crc32c(&json).to_be_bytes());
    out.extend_from_slice(&json);
    Ok(())
}

fn frame_at(bytes: &[u8], at: usize) -> Option<(Line, usize)> {
    let (length, rest) = bytes.get(at..)?.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let json = rest.get(..u32::from_be_bytes(*length) as usize)?;
    if crc32c::crc32c(json) != u32::from_be_bytes(*crc) {
        return None;
    }
    Some((serde_json::from_slice(json).ok()?, 8 + json.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: i64) -> Committed {
        Committed { offset, leader_epoch: 0, metadata: Some("note".into()), at_ms: 1 }
    }

    #[test]
    fn commits_survive_a_restart_and_a_torn_tail_loses_only_itself() {
        let dir = tempfile::tempdir().unwrap();
        let offsets = Offsets::open(dir.path(), File::sync_data).unwrap();
        offsets.commit("g", vec![("t".into(), 0, at(5)), ("t".into(), 1, at(6))]).unwrap();
        offsets.commit("g", vec![("t".into(), 0, at(7))]).unwrap();
        let before = offsets.of_group("g");
        offsets.commit("g", vec![("t".into(), 0, at(8))]).unwrap();
        let path = dir.path().join(FILE);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert_eq!(Offsets::open(dir.path(), File::sync_data).unwrap().of_group("g"), before);
    }

    #[test]
    fn the_journal_is_rewritten_before_it_grows_out_of_proportion() {
        let dir = tempfile::tempdir().unwrap();
        let offsets = Offsets::open(dir.path(), File::sync_data).unwrap();
        for i in 0..30_000 {
            offsets.commit("g", vec![("t".into(), 0, at(i))]).unwrap();
        }
        assert!(fs::metadata(dir.path().join(FILE)).unwrap().len() <= SMALL);
        let again = Offsets::open(dir.path(), File::sync_data).unwrap();
        assert_eq!(again.of_group("g")[&("t".into(), 0)].offset, 29_999);
    }

    #[test]
    fn a_deleted_topic_is_forgotten_in_every_group() {
        let dir = tempfile::tempdir().unwrap();
        let offsets = Offsets::open(dir.path(), File::sync_data).unwrap();
        offsets.commit("a", vec![("t".into(), 0, at(1)), ("u".into(), 0, at(2))]).unwrap();
        offsets.commit("b", vec![("t".into(), 0, at(1))]).unwrap();
        offsets.remove_topic("t").unwrap();
        let again = Offsets::open(dir.path(), File::sync_data).unwrap();
        assert_eq!(again.groups().into_keys().collect::<Vec<_>>(), ["a"]);
        assert_eq!(again.of_group("a").len(), 1);
    }
}
