//! Commits to a Delta log at constant cost, exactly once.
//!
//! A commit is one conditional put of the next version. Nothing in the store compares transaction versions, so this room does: it
//! has read every version below the one it puts, and refuses a commit whose expected offsets are not what those versions say. When
//! the version is taken it reads the winner and compares again. Any error of a put is ambiguous: it reads that version and decides by
//! the commit's own id whether it landed.
//!
//! One owner per table and process. Assumes that nobody writes the log without a conditional put.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use deltalake::DeltaTableError;
use deltalake::kernel::transaction::TransactionError;
use deltalake::kernel::{Action, Add, CommitInfo, Remove, Transaction};
use deltalake::logstore::{CommitOrBytes, LogStoreRef, get_actions};
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use uuid::Uuid;

use super::{LakeError, delta_error};

/// An application transaction that a commit moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// Application id.
    pub app: String,
    /// What the log must say now; `None`: nothing yet.
    pub expected: Option<i64>,
    /// What it says afterwards.
    pub next: i64,
}

/// What to put.
#[derive(Debug, Clone)]
pub struct Commit {
    /// Identifies this commit for ever: keep it when trying again.
    pub id: Uuid,
    /// Name of the operation in the table's history.
    pub operation: &'static str,
    /// New files, already durable.
    pub adds: Vec<Add>,
    /// Files that go (compaction).
    pub removes: Vec<Remove>,
    /// Offsets, compared and moved.
    pub moves: Vec<Move>,
}

/// How a commit did not land.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Somebody else moved these (indices into the commit's moves): the files must be dropped and the records read again.
    #[error("another writer owns {0:?}")]
    Foreign(Vec<usize>),
    /// Somebody changed the table's schema or protocol.
    #[error("version {0} changed the table's schema or protocol")]
    TableChanged(u64),
    /// The store failed; nothing is known to be lost. Try the same commit again.
    #[error(transparent)]
    Store(#[from] LakeError),
}

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
}

/// How many commit ids are remembered.
const RECENT: usize = 64;
/// Puts of one commit that fail without a trace before giving the error to the caller.
const ATTEMPTS: u32 = 4;
/// Before the second of them; twice as long before each that follows.
const RETRY: Duration = Duration::from_millis(40);

impl DeltaLog {
    /// Reads the head: one listing, the newest checkpoint's transactions, the versions after it.
    ///
    /// # Errors
    /// When the log cannot be read or there is none.
    pub async fn open(store: LogStoreRef) -> Result<Self, LakeError> {
        let mut log = Self { store, next: 0, txns: HashMap::new(), recent: VecDeque::new(), retry: RETRY };
        let mut newest: Option<u64> = None;
        let mut checkpoint: Option<(u64, Path)> = None;
        let objects = log.store.object_store(None);
        let mut listing = objects.list(Some(log.store.log_path()));
        while let Some(meta) = listing.try_next().await.map_err(|e| log.error(e.into()))? {
            let Some((version, rest)) = meta.location.filename().and_then(|name| name.split_once('.')) else { continue };
            let Ok(version) = version.parse::<u64>() else { continue };
            match rest {
                "json" => newest = newest.max(Some(version)),
                "checkpoint.parquet" if checkpoint.as_ref().is_none_or(|(v, _)| *v < version) => {
                    checkpoint = Some((version, meta.location));
                }
                _ => {}
            }
        }
        let Some(newest) = newest.max(checkpoint.as_ref().map(|(v, _)| *v)) else {
            return Err(log.error(DeltaTableError::NotATable("there is no log yet".to_owned())));
        };
        if let Some((version, path)) = checkpoint {
            let bytes = async { objects.get(&path).await?.bytes().await }.await.map_err(|e| log.error(e.into()))?;
            log.txns = checkpoint_txns(bytes).map_err(|e| log.error(e))?;
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

    /// What the log says for an application id.
    pub fn txn(&self, app: &str) -> Option<i64> {
        self.txns.get(app).copied()
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
        let own = commit.id.to_string();
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
            let version = self.next;
            let bytes = encode(commit, version).map_err(|e| self.error(e))?;
            let error = match self.store.write_commit_entry(version, CommitOrBytes::LogBytes(bytes), commit.id).await {
                Ok(()) => {
                    self.txns.extend(commit.moves.iter().map(|m| (m.app.clone(), m.next)));
                    self.next += 1;
                    return Ok(version);
                }
                Err(error) => error,
            };
            match self.read_next().await? {
                Some(winner) if winner.table_changed => return Err(CommitError::TableChanged(version)),
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

    /// Reads what others have put, up to a commit of that id; says whether there was anything.
    async fn read_on(&mut self, own: &str) -> Result<bool, CommitError> {
        let from = self.next;
        while let Some(winner) = self.read_next().await? {
            if winner.table_changed {
                return Err(CommitError::TableChanged(self.version()));
            }
            if self.recent.back().is_some_and(|(id, _)| id == own) {
                break;
            }
        }
        Ok(self.next > from)
    }

    /// Reads the version at `next`, if there is one, and takes its transactions over.
    async fn read_next(&mut self) -> Result<Option<Winner>, LakeError> {
        let version = self.next;
        let Some(bytes) = self.store.read_commit_entry(version).await.map_err(|e| self.error(e))? else { return Ok(None) };
        let mut winner = Winner::default();
        // An entry is there as a whole or not at all: what cannot be read now never will be.
        let actions = get_actions(version, &bytes).map_err(|e| LakeError::Refused {
            url: self.store.root_url().to_string(),
            problem: format!(
                "version {version} of its log is not understood ({e}): what another program wrote there must be undone, or the table moved away"
            ),
        })?;
        for action in actions {
            match action {
                Action::CommitInfo(info) => {
                    if let Some(id) = info.info.get("txnId").and_then(|v| v.as_str()) {
                        self.recent.push_back((id.to_owned(), version));
                        if self.recent.len() > RECENT {
                            self.recent.pop_front();
                        }
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

fn encode(commit: &Commit, version: u64) -> Result<Bytes, DeltaTableError> {
    let now = chrono::Utc::now().timestamp_millis();
    let info = CommitInfo {
        timestamp: Some(now),
        operation: Some(commit.operation.to_owned()),
        operation_parameters: Some(HashMap::from([("mode".to_owned(), "Append".into())])),
        read_version: version.checked_sub(1),
        is_blind_append: Some(commit.removes.is_empty()),
        engine_info: Some(concat!("tributary/", env!("CARGO_PKG_VERSION")).to_owned()),
        info: HashMap::from([("txnId".to_owned(), commit.id.to_string().into())]),
        ..Default::default()
    };
    let mut out = Vec::with_capacity(512 * (1 + commit.adds.len() + commit.moves.len()));
    let mut put = |action: &Action| -> Result<(), DeltaTableError> {
        serde_json::to_writer(&mut out, action).map_err(|e| DeltaTableError::generic(format!("cannot write an action: {e}")))?;
        out.push(b'\n');
        Ok(())
    };
    put(&Action::CommitInfo(info))?;
    for m in &commit.moves {
        // No `lastUpdated`: an expired transaction would be forgotten by checkpoints, and with it where a quiet partition is.
        put(&Action::Txn(Transaction::new(&m.app, m.next)))?;
    }
    for add in &commit.adds {
        put(&Action::Add(add.clone()))?;
    }
    for remove in &commit.removes {
        put(&Action::Remove(remove.clone()))?;
    }
    Ok(out.into())
}

/// The transactions of a checkpoint: two columns of it.
fn checkpoint_txns(bytes: Bytes) -> Result<HashMap<String, i64>, DeltaTableError> {
    use arrow_array::Array;
    use arrow_array::cast::AsArray;
    let wrong = |what: &str| DeltaTableError::generic(format!("the checkpoint has {what}"));
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let columns = ProjectionMask::columns(reader.parquet_schema(), ["txn.appId", "txn.version"]);
    let mut txns = HashMap::new();
    for batch in reader.with_projection(columns).build()? {
        let batch = batch?;
        let Some(txn) = batch.column_by_name("txn") else { continue };
        let txn = txn.as_struct_opt().ok_or_else(|| wrong("a txn column that is no struct"))?;
        let apps = txn.column_by_name("appId").and_then(|c| c.as_string_opt::<i32>()).ok_or_else(|| wrong("no txn.appId"))?;
        let versions = txn
            .column_by_name("version")
            .and_then(|c| c.as_primitive_opt::<arrow_array::types::Int64Type>())
            .ok_or_else(|| wrong("no txn.version"))?;
        for row in 0..batch.num_rows() {
            if txn.is_valid(row) && apps.is_valid(row) {
                txns.insert(apps.value(row).to_owned(), versions.value(row));
            }
        }
    }
    Ok(txns)
}
