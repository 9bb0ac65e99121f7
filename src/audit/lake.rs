//! The Delta log of a table: its transactions (in bronze, each partition's next offset), and which files are alive with which tags.
//!
//! Reads only. Two readers on purpose: the transactions (`txn`) come from an own reader of the log, because the crate answers only
//! for one application id at a time and an audit must see those that it did not expect; the live files come from the `deltalake`
//! crate at exactly the same version, so that checkpoints of any shape are somebody else's tested code. Everything is retried: a
//! listing beside a busy writer is not atomic ("found gap"), and log cleanup may take a file between listing and reading.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, RecordBatch};
use chrono::NaiveDate;
use deltalake::kernel::Action;
use deltalake::logstore::{LogStoreRef, StorageConfig, get_actions, logstore_for};
use deltalake::{DeltaTable, ObjectStore, Path};
use futures::TryStreamExt;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::reader::ChunkReader;
use tributary_core::table::{DATE_COLUMN, Pinned, TableFile};
use url::Url;

use super::spans::{MERGED_TAG, REPLAY_TAG, Replay, TAG, TagSpan, parse, parse_replays};

const TRIES: u32 = 5;

/// One table.
pub(crate) struct Lake {
    log: LogStoreRef,
    /// Where it is, for people.
    pub(crate) url: Url,
}

/// What the log says at one version.
#[derive(Debug, Default)]
pub(crate) struct Head {
    /// The version.
    pub(crate) version: u64,
    /// When its writer says that it was committed, in milliseconds since 1970; none when only a checkpoint knows it.
    pub(crate) committed_ms: Option<i64>,
    /// The table's own id.
    pub(crate) id: String,
    /// Last version of each application id.
    pub(crate) txns: HashMap<String, i64>,
    /// Whether files added since the last checkpoint are new data and no rewrite; what is in the checkpoint has lost that flag.
    added: HashMap<String, bool>,
}

/// One live file.
#[derive(Debug)]
pub(crate) struct LiveFile {
    /// Relative to the table.
    pub(crate) path: Path,
    /// Bytes, as the log says.
    pub(crate) size: u64,
    /// Rows, if its statistics say.
    pub(crate) rows: Option<u64>,
    /// Partition value `event_date`, in days since 1970; none when it is missing or not a date.
    pub(crate) event_date: Option<i32>,
    /// What its tag claims; none without a tag.
    pub(crate) spans: Option<Vec<TagSpan>>,
    /// Rows of it that became valid after they were committed.
    pub(crate) replays: Vec<Replay>,
    /// A tag that could not be read.
    pub(crate) bad_tag: Option<String>,
    /// Known to be as an ingesting commit wrote it.
    pub(crate) committed: bool,
    /// Has a deletion vector: rows in the file are not the rows of the table.
    pub(crate) deletion_vector: bool,
}

/// The URL of a path or URL's sub-folder, without creating anything.
pub(crate) fn table_url(lake: &str, table: &str) -> Result<Url> {
    let joined = format!("{}/{table}/", lake.trim_end_matches('/'));
    if joined.contains("://") {
        return Url::parse(&joined).with_context(|| format!("{joined} is not a URL"));
    }
    let path = std::path::absolute(&joined).with_context(|| format!("cannot resolve {joined}"))?;
    Url::from_directory_path(&path).map_err(|()| anyhow!("{} is not a path that has a URL", path.display()))
}

impl Lake {
    /// The table (`bronze/user_events`) under `lake`; none when there is no folder for it.
    pub(crate) fn at(lake: &str, options: &BTreeMap<String, String>, table: &str) -> Result<Option<Lake>> {
        let url = table_url(lake, table)?;
        // The local store refuses a missing folder and, elsewhere in the crate, creates it: a reader must do neither.
        if let Ok(path) = url.to_file_path()
            && !path.is_dir()
        {
            return Ok(None);
        }
        let options = StorageConfig::parse_options(options.clone()).context("the lake's options")?;
        let log = logstore_for(&url, options).with_context(|| format!("cannot open a store for {url}"))?;
        Ok(Some(Lake { log, url }))
    }

    /// Reads the newest state of the log; none when there is no log.
    pub(crate) async fn head(&self) -> Result<Option<Head>> {
        retry(|| self.try_head()).await.with_context(|| format!("cannot read the Delta log of {}", self.url))
    }

    async fn try_head(&self) -> Result<Option<Head>> {
        let store = self.log.object_store(None);
        let prefix = Path::from("_delta_log");
        let entries: Vec<Path> = store.list(Some(&prefix)).map_ok(|meta| meta.location).try_collect().await?;
        let versions = |suffix: &str| {
            let names = entries.iter().filter_map(|p| p.filename()).filter(|name| name.ends_with(suffix));
            names.filter_map(version_of).max()
        };
        let checkpoint =
            entries.iter().filter_map(|p| p.filename()).filter(|n| n.contains(".checkpoint.")).filter_map(version_of).max();
        let Some(newest) = versions(".json").max(checkpoint) else { return Ok(None) };
        let mut head = Head::default();
        if let Some(version) = checkpoint {
            let of_it = entries
                .iter()
                .filter(|p| p.filename().is_some_and(|name| name.contains(".checkpoint.") && version_of(name) == Some(version)));
            for path in of_it {
                if !path.as_ref().ends_with(".parquet") {
                    bail!("{path} is a checkpoint that only newer Delta features write");
                }
                let bytes = store.get_opts(path, Default::default()).await?.bytes().await?;
                checkpoint_txns(bytes, &mut head).with_context(|| path.to_string())?;
            }
            head.version = version;
        }
        let mut next = checkpoint.map_or(0, |version| version + 1);
        // By name and not by listing, so that a commit that the listing missed is no gap.
        while let Some(bytes) = self.log.read_commit_entry(next).await? {
            let actions = get_actions(next, &bytes)?;
            // What takes files away with the same hand has written old rows anew.
            let rewrites = actions.iter().any(|action| matches!(action, Action::Remove(_)));
            for action in actions {
                match action {
                    Action::Metadata(metadata) => head.id = metadata.id().to_owned(),
                    Action::Txn(txn) => _ = head.txns.insert(txn.app_id, txn.version),
                    Action::CommitInfo(info) => head.committed_ms = info.timestamp,
                    Action::Add(add) => _ = head.added.insert(add.path, add.data_change && !rewrites),
                    _ => {}
                }
            }
            head.version = next;
            next += 1;
        }
        if head.version < newest {
            bail!("version {next} of the log is missing, {newest} is there");
        }
        Ok(Some(head))
    }

    /// The live files at that version.
    pub(crate) async fn files(&self, head: &Head) -> Result<Vec<LiveFile>> {
        live_files(&self.load(head.version).await?, head)
    }

    /// The table as it was at a version: what an engine needs to read it, and the files once more as the audit sees them.
    pub(crate) async fn pinned(&self, name: &str, version: u64) -> Result<(Pinned, Vec<LiveFile>)> {
        let table = self.load(version).await?;
        let snapshot = table.snapshot()?;
        let files = live_files(&table, &Head::default())?;
        let pinned = Pinned {
            name: name.to_string(),
            id: snapshot.metadata().id().to_string(),
            version,
            schema: snapshot.snapshot().arrow_schema(),
            by_date: snapshot.metadata().partition_columns().iter().any(|column| column == DATE_COLUMN),
            files: files.iter().map(table_file).collect(),
        };
        Ok((pinned, files))
    }

    /// Whether any commit after `version` changed data; what the log no longer says may have.
    pub(crate) async fn changed_since(&self, version: u64, head: &Head) -> Result<bool> {
        for version in version + 1..=head.version {
            let Some(bytes) = self.log.read_commit_entry(version).await? else { return Ok(true) };
            let changes = |action: &Action| match action {
                Action::Add(add) => add.data_change,
                Action::Remove(remove) => remove.data_change,
                _ => false,
            };
            if get_actions(version, &bytes)?.iter().any(changes) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A store that is rooted at the table.
    pub(crate) fn store(&self) -> Arc<dyn ObjectStore> {
        self.log.object_store(None)
    }

    async fn load(&self, version: u64) -> Result<DeltaTable> {
        let load = || async {
            let mut table = DeltaTable::new(self.log.clone());
            table.load_version(version).await?;
            Ok(table)
        };
        retry(load).await.with_context(|| format!("cannot load {} at version {version}", self.url))
    }

    /// The path of a data file when the lake is on this machine.
    pub(crate) fn local(&self, file: &Path) -> Option<PathBuf> {
        Some(self.url.to_file_path().ok()?.join(file.as_ref()))
    }

    /// A whole data file, when it is not.
    pub(crate) async fn fetch(&self, file: &Path) -> Result<impl ChunkReader + 'static> {
        let store = self.log.object_store(None);
        Ok(store.get_opts(file, Default::default()).await?.bytes().await?)
    }
}

/// The live files of a loaded table.
fn live_files(table: &DeltaTable, head: &Head) -> Result<Vec<LiveFile>> {
    let log = table.snapshot()?.log_data();
    let files = log.iter().map(|view| {
        let path = view.object_store_path();
        // Deprecated in favour of Arrow arrays, which do not name a deletion vector without DataFusion.
        #[allow(deprecated)]
        let add = view.add_action();
        let mut tags = add.tags.unwrap_or_default();
        // What a compaction of ours made says so, and a foreign rewrite keeps no tag at all.
        let merged = tags.contains_key(MERGED_TAG);
        let (tag, replay) = (tags.remove(TAG).flatten(), tags.remove(REPLAY_TAG).flatten());
        let date = add.partition_values.get("event_date").cloned().flatten();
        let date = date.and_then(|date| NaiveDate::parse_from_str(&date, "%Y-%m-%d").ok());
        let spans = tag.as_deref().and_then(parse);
        let replays = replay.as_deref().and_then(parse_replays);
        LiveFile {
            size: u64::try_from(add.size).unwrap_or(0),
            rows: view.num_records().map(|rows| rows as u64),
            event_date: date.map(|date| (date - NaiveDate::default()).num_days() as i32),
            bad_tag: tag.filter(|_| spans.is_none()).or(replay.filter(|_| replays.is_none())),
            replays: replays.unwrap_or_default(),
            spans,
            committed: !merged && head.added.get(&add.path).copied().unwrap_or(true),
            deletion_vector: add.deletion_vector.is_some(),
            path,
        }
    });
    Ok(files.collect())
}

/// The same file as an engine sees it.
fn table_file(file: &LiveFile) -> TableFile {
    TableFile {
        path: file.path.to_string(),
        size: file.size,
        rows: file.rows,
        date: file.event_date,
        // Every row is to be read: nothing may be left out on the word of a statistic.
        stats: None,
        tags: BTreeMap::new(),
        modified_ms: 0,
    }
}

async fn retry<T, F: Future<Output = Result<T>>>(mut attempt: impl FnMut() -> F) -> Result<T> {
    let mut tried = 0;
    loop {
        tried += 1;
        match attempt().await {
            Err(error) if tried < TRIES => {
                tracing::debug!(target: "audit", tried, %error, "reading the log again");
                tokio::time::sleep(Duration::from_millis(50 << tried)).await;
            }
            other => return other,
        }
    }
}

/// `00000000000000000012.json` and `00000000000000000012.checkpoint.0000000001.0000000002.parquet` are of version 12.
fn version_of(name: &str) -> Option<u64> {
    let (digits, rest) = name.split_once('.')?;
    let known = rest == "json" || rest.starts_with("checkpoint.");
    (digits.len() == 20 && known).then(|| digits.parse().ok()).flatten()
}

fn checkpoint_txns(file: impl ChunkReader + 'static, head: &mut Head) -> Result<()> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), ["txn.appId", "txn.version", "metaData.id"]);
    for batch in builder.with_projection(mask).build()? {
        let batch: RecordBatch = batch?;
        if let Some(metadata) = batch.column_by_name("metaData").and_then(|column| column.as_struct_opt())
            && let Some(ids) = metadata.column_by_name("id").and_then(|c| c.as_string_opt::<i32>())
            && let Some(row) = (0..batch.num_rows()).find(|row| metadata.is_valid(*row) && ids.is_valid(*row))
        {
            head.id = ids.value(row).to_string();
        }
        // A checkpoint of a table without transactions may lack the column.
        let Some(txn) = batch.column_by_name("txn").and_then(|column| column.as_struct_opt().cloned()) else { continue };
        let app = txn.column_by_name("appId").and_then(|c| c.as_string_opt::<i32>().cloned()).context("no txn.appId")?;
        let version =
            txn.column_by_name("version").and_then(|c| c.as_primitive_opt::<Int64Type>().cloned()).context("no txn.version")?;
        for row in (0..batch.num_rows()).filter(|row| txn.is_valid(*row) && app.is_valid(*row)) {
            head.txns.insert(app.value(row).to_string(), version.value(row));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_log_have_versions() {
        assert_eq!(version_of("00000000000000000012.json"), Some(12));
        assert_eq!(version_of("00000000000000000012.checkpoint.parquet"), Some(12));
        assert_eq!(version_of("00000000000000000012.crc"), None);
        assert_eq!(version_of("_last_checkpoint"), None);
        assert_eq!(version_of("12.json"), None);
    }

    #[test]
    fn a_path_and_a_url_name_the_same_table() {
        let by_path = table_url("/lake/", "bronze/events").unwrap();
        assert_eq!(by_path, table_url("file:///lake", "bronze/events").unwrap());
        assert_eq!(table_url("s3://bucket/lake", "bronze/e").unwrap().as_str(), "s3://bucket/lake/bronze/e/");
    }
}
