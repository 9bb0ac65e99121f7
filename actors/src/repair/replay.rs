//! Records that were not valid when they came, and are under today's declaration, become valid.
//!
//! In bounded slices, each one commit of bronze's log: the files that hold such rows go, the same files with exactly these rows made valid
//! come, and two numbers move: the table's `rewriter/…` (no two rewrites of one file can both land) and the topic's `replay/…` (each slice
//! has a number, and the new files' tags say which of their rows it was). Then [`finish`](super::finish) adds these rows to the windows;
//! silver takes them by the same tags. Killed anywhere, a slice is in bronze or it is not, and who looks next finishes it.
//!
//! Only what the windows have passed is taken, because nobody knows what a running pipeline will make of the rest. A record is decoded again
//! from the payload that bronze kept, with Kafka's own record time, by the one decoder: the row is what ingest would write today.

use std::collections::{BTreeMap, HashSet};

use deltalake::kernel::{Add, Remove};
use tributary_core::batch::Status;
use tributary_core::replay::replay_app;
use tributary_core::table::TableFile;

use super::bronze::{self, Bronze};
use super::finish;
use super::judge::Judge;
use super::letters::{COLUMNS, Which, each};
use super::rewrite::{Picked, Rewritten, rewrite};
use super::{Counted, RepairError, Stores};
use crate::lake::delta_log::{Commit, CommitError, DeltaLog, Kind, Move};
use crate::serving::connect;

/// How much one commit may take.
#[derive(Debug, Clone, Copy)]
pub struct Slices {
    /// Ranges of offsets that it names: they are in the log, and in every checkpoint.
    pub ranges: usize,
    /// Memory of the rows that one file makes valid.
    pub row_bytes: usize,
    /// Files that it writes anew.
    pub files: usize,
    /// Their bytes.
    pub file_bytes: u64,
    /// Rows that are looked at between two looks at these bounds.
    pub batch_rows: usize,
}

impl Default for Slices {
    fn default() -> Self {
        Self { ranges: 20_000, row_bytes: 128 << 20, files: 32, file_bytes: 256 << 20, batch_rows: bronze::BATCH_ROWS }
    }
}

/// How often a slice may find that somebody else has rewritten the table meanwhile.
const ATTEMPTS: u32 = 20;

/// What a replay found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Records that were looked at.
    pub records: u64,
    /// Records that are valid now (or would be).
    pub revived: u64,
    /// Records that today's declaration does not call valid either: by status and reason.
    pub still: BTreeMap<(String, String), u64>,
    /// Records whose payload bronze does not have: tombstones, lost ranges, and what was too large to be kept.
    pub without_payload: u64,
    /// Records that the windows have not passed yet: another time.
    pub beyond: u64,
    /// Commits of bronze.
    pub commits: u64,
    /// Files written anew.
    pub files: u64,
    /// Records added to the windows, also by finishing what an earlier replay had left.
    pub added: u64,
}

/// What is to be replayed, and how.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Which records.
    pub which: Which,
    /// Only say what would be.
    pub dry: bool,
    /// How much at once.
    pub slices: Slices,
}

/// Makes records valid that today's declaration calls so. `heard` is told after each commit.
///
/// # Errors
/// See [`RepairError`]. Slices that were committed before stay, and their rows reach the windows by the next [`finish::finish`].
pub async fn replay(at: &Stores, request: &Request, heard: &(dyn Fn(&Replayed) + Sync)) -> Result<Replayed, RepairError> {
    let dry = request.dry;
    let mut replayed = Replayed::default();
    // Files never change: one that was looked at has been looked at.
    let mut done: HashSet<String> = HashSet::new();
    let mut foreign = 0;
    loop {
        let Some(table) = Bronze::open(&at.table).await? else { return Ok(replayed) };
        if !dry {
            replayed.added += finish::finish_at(at, &table).await?.records;
        }
        let mut connection = connect(&at.database_url).await?;
        let passed = finish::counted(&mut connection, &at.stream.name).await?;
        drop(connection);
        let slice = slice(at, request, &table, &passed, &done).await?;
        if !dry && !slice.adds.is_empty() {
            match commit(at, &table, &slice).await {
                Ok(()) => foreign = 0,
                Err(RepairError::Commit(CommitError::Foreign(_) | CommitError::Outdated(_))) => {
                    foreign += 1;
                    if foreign > ATTEMPTS {
                        let words = "others rewrite bronze faster than records can be replayed; try again later";
                        return Err(RepairError::Busy(words.to_owned()));
                    }
                    continue;
                }
                Err(error) => return Err(error),
            }
            replayed.commits += 1;
            replayed.files += slice.removes.len() as u64;
        }
        done.extend(slice.done);
        replayed.take(slice.found);
        if !dry && !slice.adds.is_empty() {
            replayed.added += finish::finish(at).await?.records;
            heard(&replayed);
        }
        if slice.last {
            return Ok(replayed);
        }
    }
}

/// One commit's worth.
#[derive(Default)]
struct Slice {
    adds: Vec<Add>,
    removes: Vec<Remove>,
    /// Files that need no second look.
    done: Vec<String>,
    found: Replayed,
    /// There is nothing behind it.
    last: bool,
}

async fn slice(
    at: &Stores,
    request: &Request,
    table: &Bronze,
    passed: &Counted,
    done: &HashSet<String>,
) -> Result<Slice, RepairError> {
    let limits = &request.slices;
    let number = table.txn(&replay_app(&at.stream.topic)).unwrap_or(0);
    let mut slice = Slice::default();
    let (mut ranges, mut bytes) = (0, 0);
    slice.last = true;
    for (file, _) in request.which.files(table).filter(|(file, _)| !done.contains(&file.path)) {
        if ranges >= limits.ranges || bytes >= limits.file_bytes || slice.removes.len() >= limits.files {
            slice.last = false;
            return Ok(slice);
        }
        let mut found = look(at, request, passed, file, limits.ranges - ranges).await?;
        if !found.partly {
            slice.done.push(file.path.clone());
            slice.found.take(std::mem::take(&mut found.found));
        } else {
            // The rest of it is in the file that comes: it is counted there.
            slice.last = false;
            slice.found.revived += found.found.revived;
            slice.found.records += found.found.revived;
        }
        if let Some(picked) = found.picked {
            let Rewritten { adds, remove } = rewrite(&at.table, &at.stream, file, number, &picked).await?;
            if !found.partly {
                slice.done.extend(adds.iter().map(|add| add.path.clone()));
            }
            slice.adds.extend(adds);
            slice.removes.push(remove);
            ranges += found.ranges;
            bytes += file.size;
        }
    }
    Ok(slice)
}

async fn commit(at: &Stores, table: &Bronze, slice: &Slice) -> Result<(), RepairError> {
    let app = replay_app(&at.stream.topic);
    let expected = table.txn(&app);
    let step = Move { app, expected, next: expected.unwrap_or(0) + 1 };
    let commit = Commit {
        adds: slice.adds.clone(),
        removes: slice.removes.clone(),
        based_on: Some(table.version),
        moves: vec![Move::rewriter(&at.stream.bronze_table(), |app| table.txn(app)), step],
        ..Commit::new("REPLAY", Kind::Merge)
    };
    DeltaLog::open(at.table.clone()).await?.commit(&commit).await?;
    Ok(())
}

/// What one file holds.
#[derive(Default)]
struct Found {
    picked: Option<Picked>,
    ranges: usize,
    found: Replayed,
    /// There is more in it than one slice may take.
    partly: bool,
}

async fn look(at: &Stores, request: &Request, passed: &Counted, file: &TableFile, ranges: usize) -> Result<Found, RepairError> {
    let mut found = Found::default();
    let mut judge = Judge::new(&at.stream, !request.dry);
    let mut held = 0;
    for batch in bronze::few_rows(&at.table, file, Some(&COLUMNS), request.slices.batch_rows).await? {
        if judge.ranges >= ranges || held >= request.slices.row_bytes {
            found.partly = true;
            break;
        }
        each(&batch?, |letter| {
            if !request.which.takes(&letter) {
                return;
            }
            found.found.records += 1;
            let never = [Status::Tombstone, Status::Lost].iter().any(|status| status.as_str() == letter.status);
            match letter.raw.filter(|_| !never) {
                None => found.found.without_payload += 1,
                Some(_) if !passed.passed(letter.place, letter.offset) => found.found.beyond += 1,
                Some(raw) => judge.push(&letter, raw),
            }
        })?;
        held += judge.judged(&mut found.found)?;
    }
    found.ranges = judge.ranges;
    found.picked = judge.picked()?;
    Ok(found)
}

impl Replayed {
    fn take(&mut self, other: Replayed) {
        self.records += other.records;
        self.revived += other.revived;
        self.without_payload += other.without_payload;
        self.beyond += other.beyond;
        for (why, records) in other.still {
            *self.still.entry(why).or_default() += records;
        }
    }
}
