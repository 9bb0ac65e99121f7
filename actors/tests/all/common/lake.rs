//! A bronze table in a temporary folder, and an independent look at its log.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use deltalake::kernel::Action;
use deltalake::logstore::{LogStoreRef, ObjectStoreRef, StorageConfig, get_actions, logstore_with};
use futures::TryStreamExt;
use tempfile::TempDir;
use tributary_actors::lake::fsync_store::{FsyncStore, Observer};
use tributary_actors::lake::{bronze, lake_url, table};
use tributary_core::stream::Stream;
use url::Url;

/// A table of its own.
pub struct Table {
    pub folder: TempDir,
    pub store: LogStoreRef,
}

impl Table {
    /// Creates the stream's table. Needs a multi-thread runtime.
    pub async fn new(stream: &Stream) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lake = lake_url(folder.path().to_str().unwrap()).unwrap();
        let store = bronze(&lake, &stream.name, []).unwrap();
        table::ensure(&store, stream).await.unwrap();
        Self { folder, store }
    }

    /// The same, from the thread of an actix system.
    pub async fn beside(stream: &Arc<Stream>) -> Self {
        let stream = Arc::clone(stream);
        let runtime = tributary_actors::lake::upkeep::runtime().unwrap();
        runtime.spawn(async move { Self::new(&stream).await }).await.unwrap()
    }

    pub fn root(&self) -> PathBuf {
        self.store.root_url().to_file_path().unwrap()
    }

    /// The same table through another object store, which is rooted at `/`.
    pub fn through(&self, store: ObjectStoreRef) -> LogStoreRef {
        through(self.store.root_url(), store)
    }

    /// The same table through a store whose steps are watched.
    pub fn watched(&self, observer: Observer) -> LogStoreRef {
        self.through(Arc::new(FsyncStore::observed(observer)))
    }
}

pub fn through(url: &Url, store: ObjectStoreRef) -> LogStoreRef {
    let options: HashMap<String, String> = HashMap::new();
    logstore_with(store, url, StorageConfig::parse_options(options).unwrap()).unwrap()
}

/// The next offset of each application id, read version by version, with what each version must obey: none is missing, no commit is
/// there twice, and an `ingest` transaction moves by exactly the spans that the version's files are tagged with.
pub async fn verify_chain(store: &LogStoreRef) -> BTreeMap<String, i64> {
    let mut at: BTreeMap<String, i64> = BTreeMap::new();
    let mut ids = BTreeSet::new();
    for version in 0..=versions(store).await.into_iter().max().unwrap() {
        let bytes = store.read_commit_entry(version).await.unwrap().unwrap_or_else(|| panic!("version {version} is missing"));
        let (mut moves, mut spans) = (BTreeMap::new(), BTreeMap::new());
        for action in get_actions(version, &bytes).unwrap() {
            match action {
                Action::CommitInfo(info) => {
                    if let Some(id) = info.info.get("txnId") {
                        assert!(ids.insert(id.to_string()), "commit {id} is there twice, at last at {version}");
                    }
                }
                Action::Txn(txn) => {
                    assert!(moves.insert(txn.app_id, txn.version).is_none(), "version {version} moves one id twice")
                }
                // The same rows in other files move nothing.
                Action::Add(add) if !add.data_change => {}
                Action::Add(add) => {
                    for span in add.tags.unwrap()["tributary.spans"].clone().unwrap().split(',') {
                        let [partition, range, _rows] = span.split(':').collect::<Vec<_>>()[..] else { panic!("{span}") };
                        let (from, to) = range.split_once('-').unwrap();
                        let range: (i64, i64) = (from.parse().unwrap(), to.parse().unwrap());
                        let before = spans.insert(partition.to_owned(), range);
                        assert!(before.is_none_or(|b| b == range), "files of version {version} name different ranges");
                    }
                }
                _ => {}
            }
        }
        for (partition, (from, to)) in spans {
            let app = moves.keys().find(|app| app.starts_with("ingest/") && app.ends_with(&format!("/{partition}"))).cloned();
            let app = app.unwrap_or_else(|| panic!("version {version} has rows of partition {partition} but moves nothing"));
            assert_eq!(moves[&app], to, "version {version} moves {app} to something else than its files hold");
            assert!(
                at.get(&app).is_none_or(|held| *held == from),
                "version {version}: {app} was {:?}, files begin at {from}",
                at.get(&app)
            );
        }
        at.extend(moves);
    }
    at
}

/// Versions that have a log entry, in order.
pub async fn versions(store: &LogStoreRef) -> Vec<u64> {
    let entries: Vec<_> = store.object_store(None).list(Some(store.log_path())).try_collect().await.unwrap();
    let names = entries.iter().filter_map(|entry| entry.location.filename());
    let mut versions: Vec<u64> = names.filter_map(|name| name.strip_suffix(".json")?.parse().ok()).collect();
    versions.sort_unstable();
    versions
}

/// Paths of all live files, by reading every log entry.
pub async fn files(store: &LogStoreRef) -> Vec<deltalake::kernel::Add> {
    let mut files = BTreeMap::new();
    for version in versions(store).await {
        let bytes = store.read_commit_entry(version).await.unwrap().unwrap();
        for action in get_actions(version, &bytes).unwrap() {
            match action {
                Action::Add(add) => {
                    files.insert(add.path.clone(), add);
                }
                Action::Remove(remove) => {
                    files.remove(&remove.path);
                }
                _ => {}
            }
        }
    }
    files.into_values().collect()
}

/// Partition and offset of every row of the live files, sorted.
pub async fn rows(store: &LogStoreRef) -> Vec<(i32, i64)> {
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Int32Type, Int64Type};
    let root = store.root_url().to_file_path().unwrap();
    let mut rows = Vec::new();
    for add in files(store).await {
        let file = std::fs::File::open(root.join(&add.path)).unwrap();
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
        for batch in reader {
            let batch = batch.unwrap();
            let partitions = batch.column_by_name("kafka_partition").unwrap().as_primitive::<Int32Type>().clone();
            let offsets = batch.column_by_name("kafka_offset").unwrap().as_primitive::<Int64Type>().clone();
            rows.extend(partitions.values().iter().copied().zip(offsets.values().iter().copied()));
        }
    }
    rows.sort_unstable();
    rows
}
