//! Tables of the lake, as tasks meet them: pinned at one version, committed to on what that version said.
//!
//! Snapshots are kept and brought up to date, so that looking at a table costs what was committed since. Tables of silver and gold have
//! one writer at a time, the leader; a zombie's commit is refused by the transactions that each commit compares.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arrow_schema::{Schema, SchemaRef};
use deltalake::logstore::LogStoreRef;
use tokio::sync::Mutex;
use tributary_core::table::{NewFile, Pinned, TableFile, date_text};
use url::Url;

use crate::engine::Stored;
use crate::lake::delta_log::{Commit, CommitError, DeltaLog, Kind, Move};
use crate::lake::snapshot::Snapshot;
use crate::lake::table::{Retention, ensure_table, redefine};
use crate::lake::{self, LakeError, files, listing};
use crate::telemetry::TableMeter;

/// Puts of one commit, each of the same id.
const ATTEMPTS: u32 = 3;

/// The lake's tables.
pub(super) struct Tables {
    lake: Url,
    options: BTreeMap<String, String>,
    retention: Retention,
    known: Mutex<HashMap<String, Head>>,
}

/// A table at one version.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) pinned: Arc<Pinned>,
    snapshot: Arc<Snapshot>,
}

impl Head {
    fn of(name: &str, snapshot: Snapshot) -> Self {
        Self { pinned: Arc::new(snapshot.pinned(name)), snapshot: Arc::new(snapshot) }
    }

    pub(super) fn version(&self) -> u64 {
        self.pinned.version
    }

    pub(super) fn txn(&self, app: &str) -> Option<i64> {
        self.snapshot.txn(app)
    }

    pub(super) fn txns(&self) -> &HashMap<String, i64> {
        self.snapshot.txns()
    }

    /// What its log says.
    pub(super) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// As the table is now.
    async fn brought_up_to_date(self) -> Result<Self, LakeError> {
        if self.snapshot.is_newest().await? {
            return Ok(self);
        }
        let name = self.pinned.name.clone();
        let mut snapshot = Arc::unwrap_or_clone(self.snapshot);
        snapshot.refresh().await?;
        Ok(Self::of(&name, snapshot))
    }

    /// For an engine.
    pub(super) fn stored(&self) -> Stored {
        Stored { table: Arc::clone(&self.pinned), store: self.snapshot.store().object_store(None) }
    }
}

impl Tables {
    pub(super) fn new(lake: Url, options: BTreeMap<String, String>, keep_versions: Duration) -> Self {
        let retention = Retention { log: keep_versions, removed: keep_versions };
        Self { lake, options, retention, known: Mutex::default() }
    }

    /// How far back silver and gold can be read.
    pub(super) fn retention(&self) -> Retention {
        self.retention
    }

    /// Shows what those of these tables hold that are there.
    pub(super) async fn show(&self, names: &BTreeSet<String>) -> Result<(), LakeError> {
        for name in names {
            let Some(Head { pinned, snapshot }) = self.head(name).await? else { continue };
            let meter = TableMeter::new(&pinned.name);
            meter.is_at(pinned.version, snapshot.committed_ms());
            meter.holds(pinned.files.len(), pinned.files.iter().map(|file| file.size).sum(), pinned.rows());
            meter.log(pinned.version.saturating_sub(listing::checkpointed(snapshot.store()).await?));
        }
        Ok(())
    }

    /// The log store of a table.
    pub(super) fn store(&self, name: &str) -> Result<LogStoreRef, LakeError> {
        lake::table(&self.lake, name, self.options.clone())
    }

    /// A table as it is now, if there is one.
    pub(super) async fn head(&self, name: &str) -> Result<Option<Head>, LakeError> {
        // The lock is not held while the log is read: another task may look at another table.
        let known = self.known.lock().await.remove(name);
        let head = match known {
            Some(head) => match head.brought_up_to_date().await {
                Ok(head) => Some(head),
                Err(error) => {
                    tracing::debug!(table = name, %error, "looking afresh");
                    self.find(name).await?
                }
            },
            None => self.find(name).await?,
        };
        if let Some(head) = &head {
            self.known.lock().await.insert(name.to_owned(), head.clone());
        }
        Ok(head)
    }

    async fn find(&self, name: &str) -> Result<Option<Head>, LakeError> {
        Ok(Snapshot::find(&self.store(name)?).await?.map(|snapshot| Head::of(name, snapshot)))
    }

    /// A table as it is now, made if it is missing. Its columns may be others than these.
    pub(super) async fn ensure(
        &self,
        name: &str,
        description: &str,
        schema: &SchemaRef,
        by_date: bool,
    ) -> Result<Head, LakeError> {
        if let Some(head) = self.head(name).await? {
            return Ok(head);
        }
        let short = name.split_once('.').map_or(name, |(_, short)| short);
        let snapshot = ensure_table(&self.store(name)?, short, description, schema, by_date, self.retention.properties()).await?;
        let head = Head::of(name, snapshot);
        self.known.lock().await.insert(name.to_owned(), head.clone());
        Ok(head)
    }

    /// The same, with all of these columns: those that it lacks are added, none is taken away.
    pub(super) async fn ensure_columns(&self, name: &str, description: &str, schema: &SchemaRef) -> Result<Head, CommitError> {
        let mut head = self.ensure(name, description, schema, true).await?;
        let has = &head.pinned.schema;
        let new: Vec<_> = schema.fields().iter().filter(|field| has.field_with_name(field.name()).is_err()).cloned().collect();
        if new.is_empty() {
            return Ok(head);
        }
        let names: Vec<String> = new.iter().map(|field| field.name().clone()).collect();
        let all = Schema::new(has.fields().iter().cloned().chain(new).collect::<Vec<_>>());
        let commit = Commit {
            based_on: Some(head.version()),
            moves: vec![Move::rewriter(name, |app| head.txn(app))],
            metadata: redefine(&head.snapshot, &all, head.pinned.by_date)?,
            ..Commit::new("ADD COLUMNS", Kind::Replace(None))
        };
        self.commit(&mut head, &commit).await?;
        tracing::info!(target: "batch_coordinator", table = name, columns = names.join(", "), "columns added");
        Ok(head)
    }

    /// A commit that adds files.
    pub(super) fn append(operation: &'static str, new: &[NewFile], moves: Vec<Move>) -> Commit {
        let adds = new.iter().map(|file| files::add_new(file, true)).collect();
        Commit { adds, moves, ..Commit::new(operation, Kind::Merge) }
    }

    /// A commit that puts files in the place of others of this head, and the columns with them where they changed.
    pub(super) fn replace(
        operation: &'static str,
        head: &Head,
        new: &[NewFile],
        old: &[TableFile],
        mut moves: Vec<Move>,
        schema: &SchemaRef,
        days: Option<&BTreeSet<i32>>,
    ) -> Result<Commit, LakeError> {
        let metadata = redefine(&head.snapshot, schema, new.first().map_or(head.pinned.by_date, |f| f.date.is_some()))?;
        moves.push(Move::rewriter(&head.pinned.name, |app| head.txn(app)));
        let predicate = days.map(|days| {
            let days: Vec<String> = days.iter().map(|day| format!("'{}'", date_text(*day))).collect();
            format!("event_date IN ({})", days.join(", "))
        });
        Ok(Commit {
            adds: new.iter().map(|file| files::add_new(file, true)).collect(),
            removes: old.iter().map(|file| files::remove(file, true)).collect(),
            based_on: Some(head.version()),
            moves,
            metadata,
            ..Commit::new(operation, Kind::Replace(predicate))
        })
    }

    /// Puts a commit that was made from this head, and brings the head up to it.
    pub(super) async fn commit(&self, head: &mut Head, commit: &Commit) -> Result<u64, CommitError> {
        let mut log = DeltaLog::open(head.snapshot.store().clone()).await?;
        let mut attempt = 1;
        let version = loop {
            match log.commit(commit).await {
                Err(CommitError::Store(error)) if attempt < ATTEMPTS && !error.is_permanent() => {
                    tracing::warn!(target: "batch_coordinator", table = head.pinned.name, %error, "committing again");
                    attempt += 1;
                }
                done => break done?,
            }
        };
        let sizes = commit.adds.iter().map(|add| u64::try_from(add.size).unwrap_or(0));
        TableMeter::new(&head.pinned.name).committed(version, sizes);
        let name = head.pinned.name.clone();
        if let Some(fresh) = self.head(&name).await? {
            *head = fresh;
        }
        Ok(version)
    }
}
