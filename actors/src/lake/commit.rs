//! What is put into a log in one version, and what the history says of it.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use deltalake::DeltaTableError;
use deltalake::kernel::{Action, Add, CommitInfo, Metadata, Remove, Transaction};
use serde_json::Value;
use uuid::Uuid;

use super::LakeError;
use super::files::rows_in;

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

/// The transaction that every commit which removes files moves: any two of them then exclude each other.
pub fn rewriter_app(table: &str) -> String {
    format!("rewriter/{table}")
}

impl Move {
    /// The rewriter's, one further than what the log (a snapshot, a head) says; `table` as SQL calls it.
    pub fn rewriter(table: &str, now: impl FnOnce(&str) -> Option<i64>) -> Self {
        let app = rewriter_app(table);
        let expected = now(&app);
        Self { app, expected, next: expected.unwrap_or(0).saturating_add(1) }
    }
}

/// What a commit does to the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Rows that come whatever the table holds.
    Append,
    /// Rows that come because of what the table holds, and does not.
    Merge,
    /// Rows in the place of others: of the days that the predicate names, or of all.
    Replace(Option<String>),
    /// The same rows in other files.
    Rearrange,
    /// No rows: a decision, an offset.
    Note,
}

/// What to put.
#[derive(Debug, Clone)]
pub struct Commit {
    /// Identifies this commit for ever: keep it when trying again.
    pub id: Uuid,
    /// Name of the operation in the table's history.
    pub operation: &'static str,
    /// What it does to the rows.
    pub kind: Kind,
    /// What else the history shall say.
    pub parameters: BTreeMap<String, String>,
    /// New files, already durable.
    pub adds: Vec<Add>,
    /// Files that go.
    pub removes: Vec<Remove>,
    /// The version in which the files that go were alive; none: the newest that was read.
    pub based_on: Option<u64>,
    /// Offsets, compared and moved.
    pub moves: Vec<Move>,
    /// Columns, partitioning or configuration that the table has from now on.
    pub metadata: Option<Metadata>,
}

impl Commit {
    /// An empty one, of a new id.
    pub fn new(operation: &'static str, kind: Kind) -> Self {
        Self {
            id: Uuid::new_v4(),
            operation,
            kind,
            parameters: BTreeMap::new(),
            adds: Vec::new(),
            removes: Vec::new(),
            based_on: None,
            moves: Vec::new(),
            metadata: None,
        }
    }
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
    /// Somebody removed a file that this commit removes, or nobody can say any more: rows would come back or be there twice.
    #[error("version {0} removed a file that this commit replaces")]
    Outdated(u64),
    /// The store failed; nothing is known to be lost. Try the same commit again.
    #[error(transparent)]
    Store(#[from] LakeError),
}

/// The log entry.
pub(super) fn encode(commit: &Commit, version: u64) -> Result<Bytes, DeltaTableError> {
    let mut info = HashMap::from([("txnId".to_owned(), commit.id.to_string().into())]);
    if !commit.adds.is_empty() || !commit.removes.is_empty() {
        info.insert("operationMetrics".to_owned(), metrics(commit));
    }
    let info = CommitInfo {
        timestamp: Some(chrono::Utc::now().timestamp_millis()),
        operation: Some(commit.operation.to_owned()),
        operation_parameters: Some(parameters(commit)),
        read_version: version.checked_sub(1),
        is_blind_append: Some(commit.kind == Kind::Append && commit.removes.is_empty() && commit.metadata.is_none()),
        engine_info: Some(concat!("tributary/", env!("CARGO_PKG_VERSION")).to_owned()),
        info,
        ..Default::default()
    };
    let mut out = Vec::with_capacity(512 * (1 + commit.adds.len() + commit.moves.len()) + 256 * commit.removes.len());
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
    if let Some(metadata) = &commit.metadata {
        put(&Action::Metadata(metadata.clone()))?;
    }
    for remove in &commit.removes {
        put(&Action::Remove(remove.clone()))?;
    }
    for add in &commit.adds {
        put(&Action::Add(add.clone()))?;
    }
    Ok(out.into())
}

/// Strings only: that is what Spark reads there.
fn parameters(commit: &Commit) -> HashMap<String, Value> {
    let mut parameters: HashMap<String, Value> =
        commit.parameters.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect();
    let mut say = |key: &str, value: &str| _ = parameters.insert(key.to_owned(), value.into());
    match &commit.kind {
        Kind::Append | Kind::Merge => say("mode", "Append"),
        Kind::Replace(predicate) => {
            say("mode", "Overwrite");
            if let Some(predicate) = predicate {
                say("predicate", predicate);
            }
        }
        Kind::Rearrange => say("predicate", "[]"),
        Kind::Note => {}
    }
    parameters
}

fn metrics(commit: &Commit) -> Value {
    let rows: u64 = commit.adds.iter().filter_map(|add| add.stats.as_deref().and_then(rows_in)).sum();
    let added: i64 = commit.adds.iter().map(|add| add.size).sum();
    let removed: i64 = commit.removes.iter().filter_map(|remove| remove.size).sum();
    serde_json::json!({
        "numAddedFiles": commit.adds.len().to_string(),
        "numRemovedFiles": commit.removes.len().to_string(),
        "numOutputRows": rows.to_string(),
        "numAddedBytes": added.to_string(),
        "numRemovedBytes": removed.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(commit: &Commit) -> Value {
        let bytes = encode(commit, 7).unwrap();
        let line: Value = serde_json::from_slice(bytes.split(|b| *b == b'\n').next().unwrap()).unwrap();
        line["commitInfo"].clone()
    }

    #[test]
    fn the_history_says_what_a_commit_did_and_only_that() {
        let append = info(&Commit::new("STREAMING UPDATE", Kind::Append));
        assert_eq!((&append["operationParameters"]["mode"], &append["isBlindAppend"]), (&"Append".into(), &true.into()));
        assert_eq!(append["operationMetrics"], Value::Null);
        let merge = info(&Commit::new("WRITE", Kind::Merge));
        assert_eq!((&merge["operationParameters"]["mode"], &merge["isBlindAppend"]), (&"Append".into(), &false.into()));
        let days = "event_date IN ('2026-01-01')";
        let kind = Kind::Replace(Some(days.to_owned()));
        let replace = info(&Commit { removes: vec![Remove::default()], ..Commit::new("WRITE", kind) });
        assert_eq!(replace["operationParameters"]["mode"], "Overwrite");
        assert_eq!(replace["operationParameters"]["predicate"], days);
        assert_eq!(replace["operationMetrics"]["numRemovedFiles"], "1");
        for kind in [Kind::Rearrange, Kind::Note] {
            let other = info(&Commit::new("OPTIMIZE", kind));
            assert_eq!((&other["operationParameters"]["mode"], &other["isBlindAppend"]), (&Value::Null, &false.into()));
        }
    }
}
