//! Commits to a Delta log at constant cost, exactly once.
//!
//! A commit is one conditional put of the next version. Nothing in the store compares transaction versions, so this room does: it
//! has read every version below the one it puts, and refuses a commit whose expected offsets are not what those versions say. When
//! the version is taken it reads the winner and compares again. Any error of a put is ambiguous: it reads that version and decides by
//! the commit's own id whether it landed.
//!
//! One owner per table and process. Assumes that nobody writes the log without a conditional put.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use deltalake::DeltaTableError;
use deltalake::kernel::Action;
use deltalake::kernel::transaction::TransactionError;
use deltalake::logstore::{CommitOrBytes, LogStoreRef};

use super::checkpoint::Wanted;
use super::commit::encode;
pub use super::commit::{Commit, CommitError, Kind, Move, rewriter_app};
use super::listing::{self, Listing};
use super::snapshot::{actions, no_table, read_checkpoint, read_entry};
use super::{LakeError, delta_error, name_of};
use crate::telemetry::TableMeter;

/// What somebody else's version did, as far as we care.
#[derive(Debug, Default)]
struct Winner {
    txns: Vec<(String, i64)>,
    table_changed: bool,
}

/// The head of one table's log.
pub struct DeltaLog {
    store: LogStoreRef,
    /// The version to put next; everything below has been read.
    next: u64,
    txns: HashMap<String, i64>,
    /// Ids of the commits read last, so that an own one which landed late is recognised whenever it was read.
    recent: VecDeque<(String, u64)>,
    retry: Duration,
    /// When the log was looked at last, milliseconds since 1970: a clock that goes on while a machine sleeps.
    read_ms: i64,
    meter: TableMeter,
    /// See [`DeltaLog::resolved`].
    resolved: Option<&'static str>,
}

/// How long a head is trusted without another look; far less than any log keeps its entries.
const TRUSTED: Duration = Duration::from_secs(600);
/// How many commit ids are remembered.
const RECENT: usize = 64;
/// Puts of one commit that fail without a trace before giving the error to the caller.
const ATTEMPTS: u32 = 4;
/// Before the second of them; twice as long before each that follows.
const RETRY: Duration = Duration::from_millis(40);

impl DeltaLog {
    /// Reads the head: the newest checkpoint's transactions, the versions after it.
    ///
    /// # Errors
    /// When the log cannot be read or there is none.
    pub async fn open(store: LogStoreRef) -> Result<Self, LakeError> {
        let meter = TableMeter::new(&name_of(store.root_url()));
        let mut log = Self {
            store,
            next: 0,
            txns: HashMap::new(),
            recent: VecDeque::new(),
            retry: RETRY,
            read_ms: now_ms(),
            meter,
            resolved: None,
        };
        let listing = Listing::of_end(&log.store).await.map_err(|e| log.error(e))?;
        let newest = listing.newest.ok_or_else(|| no_table(&log.store))?;
        if let Some((version, files)) = listing.checkpoint_up_to(newest) {
            log.txns = read_checkpoint(&log.store, files, Wanted::Txns).await?.txns;
            log.next = version + 1;
        }
        while log.next <= newest {
            if log.read_next().await?.is_none() {
                let words = format!("version {} is missing from the log, which goes on to {newest}", log.next);
                return Err(log.error(DeltaTableError::generic(words)));
            }
        }
        log.refresh().await?;
        Ok(log)
    }

    /// Waits this long, instead of a moment, before a put that failed without a trace is tried again.
    #[must_use]
    pub fn retrying_after(self, retry: Duration) -> Self {
        Self { retry, ..self }
    }

    /// Reads what others have put since.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn refresh(&mut self) -> Result<(), LakeError> {
        while self.read_next().await?.is_some() {}
        Ok(())
    }

    /// Whoever has not looked for long may find the versions that follow cleaned away: the next name would be free, and a commit put
    /// there would be in the past, where nobody reads it.
    async fn wake(&mut self) -> Result<(), LakeError> {
        self.refresh().await?;
        let hint = listing::hint(&self.store).await.map_err(|e| self.error(e))?;
        if hint.is_some_and(|hint| hint.version >= self.next) {
            let fresh = Self::open(self.store.clone()).await?;
            *self = Self { retry: self.retry, ..fresh };
        }
        Ok(())
    }

    /// What the log says for an application id.
    pub fn txn(&self, app: &str) -> Option<i64> {
        self.txns.get(app).copied()
    }

    /// What an error of the last commit turned out to be: it had landed all the same, or it had not and was repeated.
    pub fn resolved(&self) -> Option<&'static str> {
        self.resolved
    }

    /// All application ids and their versions.
    pub fn txns(&self) -> &HashMap<String, i64> {
        &self.txns
    }

    /// The newest version read.
    pub fn version(&self) -> u64 {
        self.next.saturating_sub(1)
    }

    /// The store below.
    pub fn store(&self) -> &LogStoreRef {
        &self.store
    }

    /// Puts a commit. Returns the version at which it landed, also when an earlier attempt with the same id had landed.
    ///
    /// # Errors
    /// See [`CommitError`]; after [`CommitError::Store`] the same commit may be tried again.
    pub async fn commit(&mut self, commit: &Commit) -> Result<u64, CommitError> {
        let mut failures = 0;
        self.resolved = None;
        let own = commit.id.to_string();
        if (now_ms() - self.read_ms).unsigned_abs() > TRUSTED.as_millis() as u64 {
            self.wake().await?;
        }
        let mut alive = commit.based_on.unwrap_or_else(|| self.version());
        loop {
            if let Some((_, version)) = self.recent.iter().find(|(id, _)| *id == own) {
                return Ok(*version);
            }
            let foreign: Vec<usize> =
                commit.moves.iter().enumerate().filter(|(_, m)| self.txn(&m.app) != m.expected).map(|(i, _)| i).collect();
            if !foreign.is_empty() {
                // Our head may be older than what the commit was made from: only the log's end can say that somebody else was first.
                if self.read_on(&own).await? {
                    continue;
                }
                return Err(CommitError::Foreign(foreign));
            }
            alive = self.still_alive(commit, alive).await?;
            let version = self.next;
            let bytes = encode(commit, version).map_err(|e| self.error(e))?;
            let error = match self.store.write_commit_entry(version, CommitOrBytes::LogBytes(bytes), commit.id).await {
                Ok(()) => {
                    self.txns.extend(commit.moves.iter().map(|m| (m.app.clone(), m.next)));
                    self.remember(own, version);
                    self.next += 1;
                    self.read_ms = now_ms();
                    return Ok(version);
                }
                Err(error) => error,
            };
            let winner = self.read_next().await?;
            self.resolved = match &winner {
                Some(_) if self.is_newest(&own) => Some("landed"),
                Some(_) => {
                    self.meter.conflict();
                    self.resolved
                }
                None => Some("repeated"),
            };
            match winner {
                Some(winner) if winner.table_changed && !self.is_newest(&own) => return Err(CommitError::TableChanged(version)),
                Some(_) => {} // our own that had landed, or somebody else's: compare again
                None => {
                    failures += 1;
                    if failures >= ATTEMPTS {
                        return Err(self.error(from_transaction(error)).into());
                    }
                    tokio::time::sleep(self.retry * (1 << (failures - 1))).await;
                }
            }
        }
    }

    /// Whether the files that a commit removes are all still alive, above the version up to which that is known. Other programs do
    /// not move our transactions; what they removed would be removed again, and its rows come back in the files that replace it.
    async fn still_alive(&self, commit: &Commit, known: u64) -> Result<u64, CommitError> {
        if commit.removes.is_empty() {
            return Ok(known);
        }
        let mut known = known;
        let ours: HashSet<&str> = commit.removes.iter().map(|remove| remove.path.as_str()).collect();
        while known + 1 < self.next {
            let version = known + 1;
            let Some(actions) = read_entry(&self.store, version).await? else { return Err(CommitError::Outdated(version)) };
            if actions.iter().any(|action| matches!(action, Action::Remove(remove) if ours.contains(remove.path.as_str()))) {
                return Err(CommitError::Outdated(version));
            }
            known = version;
        }
        Ok(known)
    }

    /// Reads what others have put, up to a commit of that id; says whether there was anything.
    async fn read_on(&mut self, own: &str) -> Result<bool, CommitError> {
        let from = self.next;
        while let Some(winner) = self.read_next().await? {
            if self.is_newest(own) {
                break;
            }
            if winner.table_changed {
                return Err(CommitError::TableChanged(self.version()));
            }
        }
        Ok(self.next > from)
    }

    /// Whether the version read last is the commit of this id.
    fn is_newest(&self, own: &str) -> bool {
        self.recent.back().is_some_and(|(id, version)| id == own && *version == self.version())
    }

    fn remember(&mut self, id: String, version: u64) {
        self.recent.push_back((id, version));
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
    }

    /// Reads the version at `next`, if there is one, and takes its transactions over.
    async fn read_next(&mut self) -> Result<Option<Winner>, LakeError> {
        let version = self.next;
        let entry = self.store.read_commit_entry(version).await.map_err(|e| self.error(e))?;
        self.read_ms = now_ms();
        let Some(bytes) = entry else { return Ok(None) };
        let mut winner = Winner::default();
        for action in actions(&self.store, version, &bytes)? {
            match action {
                Action::CommitInfo(info) => {
                    if let Some(id) = info.info.get("txnId").and_then(|v| v.as_str()) {
                        self.remember(id.to_owned(), version);
                    }
                }
                Action::Txn(txn) => winner.txns.push((txn.app_id, txn.version)),
                Action::Metadata(_) | Action::Protocol(_) => winner.table_changed = true,
                _ => {}
            }
        }
        self.txns.extend(winner.txns.iter().cloned());
        self.next += 1;
        Ok(Some(winner))
    }

    fn error(&self, source: DeltaTableError) -> LakeError {
        delta_error(self.store.root_url(), source)
    }
}

fn from_transaction(error: TransactionError) -> DeltaTableError {
    match error {
        TransactionError::ObjectStore { source } => source.into(),
        other => DeltaTableError::generic(other.to_string()),
    }
}

fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lake::table::ensure_table;
    use crate::lake::upkeep::checkpoint;
    use arrow_schema::{DataType, Field, Schema};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_head_that_slept_does_not_commit_into_the_past() {
        let folder = tempfile::tempdir().unwrap();
        let lake = crate::lake::lake_url(folder.path().to_str().unwrap()).unwrap();
        let store = crate::lake::table(&lake, "gold.kpi", []).unwrap();
        let schema = Schema::new(vec![Field::new("page", DataType::Utf8, true)]);
        ensure_table(&store, "kpi", "", &schema, false, Vec::new()).await.unwrap();
        let mut sleeper = DeltaLog::open(store.clone()).await.unwrap();
        let mut other = DeltaLog::open(store.clone()).await.unwrap();
        for n in 0..5 {
            let moves = vec![Move { app: "a".to_owned(), expected: (n > 0).then_some(n), next: n + 1 }];
            other.commit(&Commit { moves, ..Commit::new("TEST", Kind::Note) }).await.unwrap();
        }
        checkpoint(&store, 1).await.unwrap().unwrap();
        for version in 0..=5 {
            std::fs::remove_file(folder.path().join(format!("gold/kpi/_delta_log/{version:020}.json"))).unwrap();
        }
        sleeper.read_ms -= 3_600_000;
        let stale =
            Commit { moves: vec![Move { app: "a".to_owned(), expected: None, next: 1 }], ..Commit::new("TEST", Kind::Note) };
        assert!(matches!(sleeper.commit(&stale).await, Err(CommitError::Foreign(found)) if found == [0]));
        assert_eq!(sleeper.commit(&Commit::new("TEST", Kind::Note)).await.unwrap(), 6);
    }
}
