//! One version of a table: schema, live files with their tags and statistics, transactions.
//!
//! Read from the newest suitable checkpoint and the log entries after it, by name. A writer beside it, a checkpoint that is superseded
//! or a log that is cleaned meanwhile lead to another attempt, not to an error and never to a state that no version had.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arrow_schema::SchemaRef;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use delta_kernel::engine::arrow_conversion::TryIntoArrow;
use deltalake::DeltaTableError;
use deltalake::kernel::{Action, Metadata};
use deltalake::logstore::{LogStoreRef, get_actions};
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use tributary_core::table::{DATE_COLUMN, Pinned, TableFile};

use super::checkpoint::{self, Contents, Wanted};
use super::files::table_file;
use super::listing::{self, Listing};
use super::{LakeError, delta_error};

/// How often a table is read before its error counts.
const ATTEMPTS: u32 = 6;
/// Before the second of them; twice as long before each that follows.
const WAIT: Duration = Duration::from_millis(20);
/// Log entries that are on their way at once.
const AT_ONCE: usize = 16;
/// Tables of newer readers have deletion vectors or other column names: their files do not hold what their rows are.
const READER: i32 = 1;

/// A table at one version.
#[derive(Debug, Clone)]
pub struct Snapshot {
    store: LogStoreRef,
    version: u64,
    protocol: (i32, i32),
    metadata: Metadata,
    schema: SchemaRef,
    files: BTreeMap<String, TableFile>,
    txns: HashMap<String, i64>,
    committed_ms: Option<i64>,
    mark: Mark,
}

/// The log entry of a version as the store has it, if it has it: by this a table is known again that was put in the place of another.
type Mark = Option<(Option<String>, DateTime<Utc>, u64)>;

/// What log entries add up to, until it is a table.
#[derive(Default)]
struct State {
    /// The version to apply next.
    next: u64,
    protocol: Option<(i32, i32)>,
    metadata: Option<Metadata>,
    files: BTreeMap<String, TableFile>,
    txns: HashMap<String, i64>,
    committed_ms: Option<i64>,
}

impl Snapshot {
    /// The newest version.
    ///
    /// # Errors
    /// When there is no table, or it cannot be read.
    pub async fn open(store: &LogStoreRef) -> Result<Self, LakeError> {
        Self::find(store).await?.ok_or_else(|| no_table(store))
    }

    /// The newest version, if there is a table.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn find(store: &LogStoreRef) -> Result<Option<Self>, LakeError> {
        attempts(|| Self::try_read(store, None)).await
    }

    /// An older version.
    ///
    /// # Errors
    /// [`LakeError::Refused`] when the log does not reach back to it, or not yet up to it.
    pub async fn at(store: &LogStoreRef, version: u64) -> Result<Self, LakeError> {
        attempts(|| Self::try_read(store, Some(version))).await?.ok_or_else(|| no_table(store))
    }

    async fn try_read(store: &LogStoreRef, wanted: Option<u64>) -> Result<Option<Self>, LakeError> {
        let failed = |e| delta_error(store.root_url(), e);
        let listing = match wanted {
            None => Listing::of_end(store).await,
            Some(_) => Listing::whole(store).await,
        };
        let listing = listing.map_err(failed)?;
        let Some(newest) = listing.newest else { return Ok(None) };
        let until = wanted.unwrap_or(newest);
        let checkpoint = listing.checkpoint_up_to(until);
        let readable = || {
            let oldest = listing.oldest_entry.filter(|v| *v == 0).or_else(|| listing.checkpoints.keys().next().copied());
            oldest.map(|oldest| oldest..=newest)
        };
        if until > newest || (checkpoint.is_none() && listing.oldest_entry != Some(0)) {
            let problem = match readable() {
                Some(range) => {
                    format!("version {until} cannot be read: its log has versions {} to {}", range.start(), range.end())
                }
                None => format!("version {until} cannot be read: its log has neither a beginning nor a checkpoint"),
            };
            return Err(refused(store, problem));
        }
        let mut state = State::default();
        if let Some((version, files)) = checkpoint {
            state = State::of(read_checkpoint(store, files, Wanted::Table).await?);
            state.next = version + 1;
        }
        state.read_up_to(store, until).await?;
        if wanted.is_none() {
            state.read_on(store).await?;
        }
        let mark = mark(store, state.next.saturating_sub(1)).await?;
        Self::of(store, state, mark).map(Some)
    }

    fn of(store: &LogStoreRef, state: State, mark: Mark) -> Result<Self, LakeError> {
        let protocol = state.protocol.unwrap_or((READER, 2));
        let (reader, _) = protocol;
        if reader > READER {
            let problem =
                format!("its reader version is {reader}; at most {READER} is understood here: rewrite it without newer features");
            return Err(refused(store, problem));
        }
        let Some(metadata) = state.metadata else {
            return Err(refused(store, "its log has no metadata".to_owned()));
        };
        Ok(Self {
            store: store.clone(),
            version: state.next.saturating_sub(1),
            protocol,
            schema: arrow_schema(store, &metadata)?,
            metadata,
            files: state.files,
            txns: state.txns,
            committed_ms: state.committed_ms,
            mark,
        })
    }

    /// Whether this is the newest version still.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn is_newest(&self) -> Result<bool, LakeError> {
        let store = &self.store;
        if mark(store, self.version).await? != self.mark || mark(store, self.version + 1).await?.is_some() {
            return Ok(false);
        }
        Ok(!is_passed_over(store, self.version).await?)
    }

    /// Reads what was committed since; says whether there was anything.
    ///
    /// # Errors
    /// When the log cannot be read; then the snapshot is what it was.
    pub async fn refresh(&mut self) -> Result<bool, LakeError> {
        // Cleaned away behind a checkpoint, or another table under the same name.
        if mark(&self.store, self.version).await? != self.mark {
            *self = Self::open(&self.store).await?;
            return Ok(true);
        }
        let mut state = State {
            next: self.version + 1,
            protocol: Some(self.protocol),
            metadata: Some(self.metadata.clone()),
            files: std::mem::take(&mut self.files),
            txns: std::mem::take(&mut self.txns),
            committed_ms: self.committed_ms,
        };
        let store = self.store.clone();
        let read = async {
            state.read_on(&store).await?;
            // Nothing follows: unless what followed was cleaned away meanwhile, behind a checkpoint.
            Ok::<_, LakeError>((is_passed_over(&store, state.next - 1).await?, mark(&store, state.next - 1).await?))
        };
        let read = read.await;
        let applied = state.next - 1 - self.version;
        // What was applied before an error is a version, too.
        (self.files, self.txns) = (std::mem::take(&mut state.files), std::mem::take(&mut state.txns));
        (self.version, self.committed_ms) = (state.next - 1, state.committed_ms);
        if let Some(metadata) = state.metadata.filter(|m| *m != self.metadata) {
            self.schema = arrow_schema(&store, &metadata)?;
            self.metadata = metadata;
        }
        let (is_passed_over, mark) = read?;
        self.mark = mark;
        if state.protocol != Some(self.protocol) || is_passed_over {
            *self = Self::open(&store).await?;
            return Ok(true);
        }
        Ok(applied > 0)
    }

    /// As batch work sees it; `name` as SQL calls it.
    pub fn pinned(&self, name: &str) -> Pinned {
        let mut files: Vec<TableFile> = self.files.values().cloned().collect();
        files.sort_by(|a, b| (a.date, a.modified_ms, &a.path).cmp(&(b.date, b.modified_ms, &b.path)));
        self.pinned_with(name, files)
    }

    /// The same with these of its files alone.
    pub fn pinned_with(&self, name: &str, files: Vec<TableFile>) -> Pinned {
        Pinned {
            name: name.to_owned(),
            id: self.id().to_owned(),
            version: self.version,
            schema: Arc::clone(&self.schema),
            by_date: self.by_date(),
            files,
        }
    }

    /// The store below.
    pub fn store(&self) -> &LogStoreRef {
        &self.store
    }

    /// The version.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// When its writer says that it was committed, milliseconds since 1970; unknown when only a checkpoint tells of it.
    pub fn committed_ms(&self) -> Option<i64> {
        self.committed_ms
    }

    /// The table's own id.
    pub fn id(&self) -> &str {
        self.metadata.id()
    }

    /// Name, description, schema, partitioning and configuration, as the log has them.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// All columns in the table's order.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The columns whose values are in the log and not in the files.
    pub fn partition_columns(&self) -> &[String] {
        self.metadata.partition_columns()
    }

    /// Whether the day partitions it.
    pub fn by_date(&self) -> bool {
        self.partition_columns() == [DATE_COLUMN]
    }

    /// Reader and writer version.
    pub fn protocol(&self) -> (i32, i32) {
        self.protocol
    }

    /// The live files by path.
    pub fn files(&self) -> &BTreeMap<String, TableFile> {
        &self.files
    }

    /// What the log says for an application id.
    pub fn txn(&self, app: &str) -> Option<i64> {
        self.txns.get(app).copied()
    }

    /// All application ids and their versions.
    pub fn txns(&self) -> &HashMap<String, i64> {
        &self.txns
    }
}

impl State {
    fn of(contents: Contents) -> Self {
        Self {
            next: 0,
            protocol: contents.protocol,
            metadata: contents.metadata,
            files: contents.files.into_iter().map(|file| (file.path.clone(), file)).collect(),
            txns: contents.txns,
            committed_ms: None,
        }
    }

    /// Applies all entries up to a version that must be there.
    async fn read_up_to(&mut self, store: &LogStoreRef, until: u64) -> Result<(), LakeError> {
        let mut entries = entries(store, self.next..=until);
        while let Some((version, entry)) = entries.try_next().await? {
            let Some(actions) = entry else {
                let words = format!("version {version} is missing from the log, which goes on to {until}");
                return Err(delta_error(store.root_url(), DeltaTableError::generic(words)));
            };
            self.apply(actions);
        }
        Ok(())
    }

    /// Applies whatever follows.
    async fn read_on(&mut self, store: &LogStoreRef) -> Result<(), LakeError> {
        while let Some(actions) = read_entry(store, self.next).await? {
            self.apply(actions);
        }
        Ok(())
    }

    fn apply(&mut self, actions: Vec<Action>) {
        self.next += 1;
        self.committed_ms = None;
        for action in actions {
            match action {
                Action::Add(add) => {
                    let file = table_file(add);
                    self.files.insert(file.path.clone(), file);
                }
                Action::Remove(remove) => _ = self.files.remove(&remove.path),
                Action::Txn(txn) => _ = self.txns.insert(txn.app_id, txn.version),
                Action::Metadata(metadata) => self.metadata = Some(metadata),
                Action::Protocol(protocol) => {
                    self.protocol = Some((protocol.min_reader_version(), protocol.min_writer_version()));
                }
                Action::CommitInfo(info) => self.committed_ms = info.timestamp,
                _ => {}
            }
        }
    }
}

/// Whether the log points to a checkpoint beyond that version.
async fn is_passed_over(store: &LogStoreRef, version: u64) -> Result<bool, LakeError> {
    let hint = listing::hint(store).await.map_err(|e| delta_error(store.root_url(), e))?;
    Ok(hint.is_some_and(|hint| hint.version > version))
}

async fn mark(store: &LogStoreRef, version: u64) -> Result<Mark, LakeError> {
    let path = store.log_path().clone().join(format!("{version:020}.json"));
    match store.object_store(None).head(&path).await {
        Ok(meta) => Ok(Some((meta.e_tag, meta.last_modified, meta.size))),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(delta_error(store.root_url(), error.into())),
    }
}

/// Tries again what a writer, a checkpoint or a cleanup beside it may have torn.
pub(super) async fn attempts<T, F: Future<Output = Result<T, LakeError>>>(mut read: impl FnMut() -> F) -> Result<T, LakeError> {
    let mut attempt = 0;
    loop {
        match read().await {
            Err(error) if !error.is_permanent() && attempt + 1 < ATTEMPTS => {
                tracing::debug!(%error, attempt, "reading the log again");
                tokio::time::sleep(WAIT * (1 << attempt)).await;
                attempt += 1;
            }
            done => return done,
        }
    }
}

/// The actions of versions, in order; none where an entry is missing.
pub(super) fn entries(
    store: &LogStoreRef,
    versions: std::ops::RangeInclusive<u64>,
) -> impl futures::Stream<Item = Result<(u64, Option<Vec<Action>>), LakeError>> + Unpin + use<'_> {
    let read = move |version| async move { Ok((version, read_entry(store, version).await?)) };
    Box::pin(futures::stream::iter(versions).map(read).buffered(AT_ONCE))
}

/// The actions of one version, if it is there.
pub(super) async fn read_entry(store: &LogStoreRef, version: u64) -> Result<Option<Vec<Action>>, LakeError> {
    let bytes = store.read_commit_entry(version).await.map_err(|e| delta_error(store.root_url(), e))?;
    bytes.map(|bytes| actions(store, version, &bytes)).transpose()
}

/// The actions of an entry. It is there as a whole or not at all: what cannot be read now never will be.
pub(super) fn actions(store: &LogStoreRef, version: u64, bytes: &Bytes) -> Result<Vec<Action>, LakeError> {
    get_actions(version, bytes).map_err(|e| {
        refused(
            store,
            format!("version {version} of its log is not understood ({e}): what another program wrote there must be undone, or the table moved away"),
        )
    })
}

/// Reads a checkpoint of one or several files, where blocking is allowed.
pub(super) async fn read_checkpoint(store: &LogStoreRef, files: Vec<Path>, wanted: Wanted) -> Result<Contents, LakeError> {
    let objects = store.object_store(None);
    let failed = |e: DeltaTableError| delta_error(store.root_url(), e);
    let mut contents = Contents::default();
    for path in files {
        let bytes = async { objects.get(&path).await?.bytes().await }.await.map_err(|e| failed(e.into()))?;
        let read = move || checkpoint::read(bytes, wanted, &mut |row| contents.take(row)).map(|()| contents);
        let done = tokio::task::spawn_blocking(read).await;
        contents = done.map_err(|e| failed(DeltaTableError::generic(e.to_string())))?.map_err(failed)?;
    }
    Ok(contents)
}

fn arrow_schema(store: &LogStoreRef, metadata: &Metadata) -> Result<SchemaRef, LakeError> {
    let schema = metadata.parse_schema().and_then(|schema| {
        let schema: arrow_schema::Schema = (&schema).try_into_arrow()?;
        Ok(Arc::new(schema))
    });
    schema.map_err(|e| refused(store, format!("its schema is not understood: {e}")))
}

fn refused(store: &LogStoreRef, problem: String) -> LakeError {
    LakeError::Refused { url: store.root_url().to_string(), problem }
}

pub(super) fn no_table(store: &LogStoreRef) -> LakeError {
    delta_error(store.root_url(), DeltaTableError::NotATable("there is no log yet".to_owned()))
}
