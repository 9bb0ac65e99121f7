//! Many small files become few, with the same rows.
//!
//! An engine rewrites the files; here they are chosen, and the new ones take their place in one version that moves the table's
//! rewriter transaction. Two compactions, or a compaction and a rebuild, exclude each other by it: who comes second changes nothing,
//! and the files that it put are left for vacuum. A commit that only adds files is never in the way of one of these, nor they in its.

mod choose;
mod tags;

use std::sync::Arc;

use deltalake::logstore::LogStoreRef;
use tributary_core::table::NewFile;

pub use self::choose::{Choice, Group, Offsets, choose};
pub use self::tags::MERGED_TAG;
use super::LakeError;
use super::delta_log::{Commit, CommitError, DeltaLog, Kind, Move};
use super::files::{add_new, remove};
use super::offsets::SPANS_TAG;
use super::snapshot::Snapshot;
use crate::engine::{Engine, EngineError, Stored};

/// A day of very many files takes several rounds, each of which leaves fewer.
const ROUNDS: u32 = 8;

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Files that were merged.
    pub files_before: u64,
    /// Files that took their place.
    pub files_after: u64,
    /// Bytes of the first.
    pub bytes_before: u64,
    /// Bytes of the others.
    pub bytes_after: u64,
    /// Rows that were rewritten.
    pub rows: u64,
    /// The version of the last commit.
    pub version: Option<u64>,
    /// Somebody else rewrote the table meanwhile: what was rewritten last is not used, and the rest was not begun.
    pub lost: Option<Lost>,
}

/// A race that somebody else won.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Who, as far as the log says.
    pub reason: String,
    /// Files that nobody names; vacuum takes them.
    pub files: Vec<String>,
}

/// Why nothing more was done.
#[derive(Debug, thiserror::Error)]
pub enum CompactionError {
    /// The table could not be read or written.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The files could not be rewritten.
    #[error("files of {table} cannot be rewritten: {source}")]
    Engine {
        /// Table.
        table: String,
        /// Cause.
        #[source]
        source: EngineError,
    },
    /// What came out is not what went in; nothing was committed.
    #[error("the rewritten files of {table} are not what was asked for: {problem}")]
    Wrong {
        /// Table.
        table: String,
        /// What is wrong.
        problem: String,
    },
}

/// Compacts what is worth it. `table` as SQL calls it; `go_on` is asked before each group.
///
/// # Errors
/// See [`CompactionError`]; what was committed before stays.
pub async fn compact(
    table: &str,
    store: &LogStoreRef,
    engine: &dyn Engine,
    choice: &Choice,
    go_on: impl Fn() -> bool + Send,
) -> Result<Compacted, CompactionError> {
    let mut done = Compacted::default();
    for _ in 0..ROUNDS {
        let snapshot = Snapshot::open(store).await?;
        let groups = choose(snapshot.files().values(), choice);
        if groups.is_empty() {
            break;
        }
        let mut log = DeltaLog::open(store.clone()).await?;
        let mut turn = Move::rewriter(table, |app| snapshot.txn(app));
        for group in groups {
            if !go_on() {
                return Ok(done);
            }
            let rewritten = rewrite(table, &snapshot, engine, &group).await?;
            match log.commit(&commit(&snapshot, &group, &rewritten, turn.clone())).await {
                Ok(version) => {
                    done.count(&group, &rewritten, version);
                    turn = Move { expected: Some(turn.next), next: turn.next.saturating_add(1), app: turn.app };
                }
                Err(CommitError::Store(error)) => return Err(error.into()),
                Err(lost) => {
                    let files = rewritten.into_iter().map(|file| file.path).collect();
                    let reason = match lost {
                        CommitError::Foreign(_) => "another rewrite of the table was first".to_owned(),
                        other => other.to_string(),
                    };
                    tracing::info!(table, reason, "a compaction lost a race; the next one looks again");
                    done.lost = Some(Lost { reason, files });
                    return Ok(done);
                }
            }
        }
    }
    Ok(done)
}

async fn rewrite(table: &str, snapshot: &Snapshot, engine: &dyn Engine, group: &Group) -> Result<Vec<NewFile>, CompactionError> {
    let wrong = |problem: String| CompactionError::Wrong { table: table.to_owned(), problem };
    let pinned = snapshot.pinned_with(table, group.files.clone());
    let stored = Stored { table: Arc::new(pinned), store: snapshot.store().object_store(None) };
    // One file each: its tag says how many rows it has of each partition, which nobody knows of a part. Groups have a bound.
    let rewritten = engine.compact(stored, u64::MAX).await;
    let mut files = rewritten.map_err(|source| CompactionError::Engine { table: table.to_owned(), source })?;
    if let Some(file) = files.iter().find(|file| file.date != group.day) {
        return Err(wrong(format!("{} is of another day than the files that it stands for", file.path)));
    }
    let before: Option<u64> = group.files.iter().map(|file| file.rows).sum();
    let after: u64 = files.iter().map(|file| file.rows).sum();
    if let Some(before) = before.filter(|before| *before != after) {
        return Err(wrong(format!("{before} rows went in, {after} came out")));
    }
    if group.files.iter().any(|file| file.tags.contains_key(SPANS_TAG)) {
        match (&mut files[..], tags::merged(&group.files)) {
            ([file], Some(tags)) => file.tags.extend(tags),
            // Rows whose file says nothing of offsets: neither can the new ones.
            (_, None) => {}
            (files, Some(_)) => return Err(wrong(format!("{} files came out, one was asked for", files.len()))),
        }
    }
    Ok(files)
}

fn commit(snapshot: &Snapshot, group: &Group, rewritten: &[NewFile], turn: Move) -> Commit {
    Commit {
        adds: rewritten.iter().map(|file| add_new(file, false)).collect(),
        removes: group.files.iter().map(|file| remove(file, false)).collect(),
        based_on: Some(snapshot.version()),
        moves: vec![turn],
        ..Commit::new("OPTIMIZE", Kind::Rearrange)
    }
}

impl Compacted {
    fn count(&mut self, group: &Group, rewritten: &[NewFile], version: u64) {
        self.files_before += group.files.len() as u64;
        self.files_after += rewritten.len() as u64;
        self.bytes_before += group.files.iter().map(|file| file.size).sum::<u64>();
        self.bytes_after += rewritten.iter().map(|file| file.size).sum::<u64>();
        self.rows += rewritten.iter().map(|file| file.rows).sum::<u64>();
        self.version = Some(version);
    }
}
