//! Writing a checkpoint: the one before it, streamed, with what the entries since have changed.
//!
//! Memory grows with those entries and with the compressed file, not with the table: a row of the old checkpoint is in memory for a
//! batch. Live files and removed ones are in row groups of their own, so that who wants the table does not read what is gone.
//! Assumes a table of reader 1 and writer 2, where these five actions are all there is; refuses any other.

use std::collections::HashMap;

use bytes::Bytes;
use chrono::Utc;
use deltalake::DeltaTableError;
use deltalake::kernel::{Action, Add, Metadata, Remove, Transaction};
use deltalake::logstore::LogStoreRef;
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::super::files::decoded;
use super::super::listing::Listing;
use super::super::snapshot::{attempts, entries, no_table};
use super::super::{LakeError, delta_error};
use super::encode::Encoder;
use super::{AddRow, RemoveRow, Row, Texts, Wanted, read};

/// A removed file is remembered this long when the table does not say.
const REMEMBERED_MS: i64 = 7 * 86_400_000;

/// A checkpoint that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Of this version.
    pub version: u64,
    /// Actions in it.
    pub actions: u64,
    /// Live files in it.
    pub files: u64,
    /// Its size.
    pub bytes: u64,
}

/// The entries since the checkpoint before: of each thing, only what was said last.
#[derive(Default)]
struct Since {
    files: HashMap<String, Last>,
    txns: HashMap<String, Transaction>,
    metadata: Option<Metadata>,
    protocol: Option<(i32, i32)>,
}

enum Last {
    Added(Box<Add>),
    Removed(Box<Remove>),
}

/// Writes a checkpoint of the newest version; none when there is one.
pub(in super::super) async fn write(store: &LogStoreRef) -> Result<Option<Written>, LakeError> {
    attempts(|| try_write(store)).await
}

async fn try_write(store: &LogStoreRef) -> Result<Option<Written>, LakeError> {
    let failed = |e: DeltaTableError| delta_error(store.root_url(), e);
    let listing = Listing::of_end(store).await.map_err(failed)?;
    let version = listing.newest.ok_or_else(|| no_table(store))?;
    let before = listing.checkpoint_up_to(version);
    if before.as_ref().is_some_and(|(at, _)| *at == version) {
        return Ok(None);
    }
    let objects = store.object_store(None);
    let mut old: Vec<Bytes> = Vec::new();
    for path in before.iter().flat_map(|(_, files)| files) {
        old.push(async { objects.get(path).await?.bytes().await }.await.map_err(|e| failed(e.into()))?);
    }
    let mut since = Since::default();
    let mut entries = entries(store, before.map_or(0, |(at, _)| at + 1)..=version);
    while let Some((at, actions)) = entries.try_next().await? {
        let Some(actions) = actions else {
            return Err(failed(DeltaTableError::generic(format!(
                "version {at} is missing from the log, which goes on to {version}"
            ))));
        };
        for action in actions {
            since.take(action).map_err(|what| LakeError::Refused {
                url: store.root_url().to_string(),
                problem: format!("version {at} of its log has {what}, of which no checkpoint is written here"),
            })?;
        }
    }
    let encoded = tokio::task::spawn_blocking(move || encode(&old, &since)).await;
    let (bytes, actions, files) = encoded.map_err(|e| failed(DeltaTableError::generic(e.to_string())))?.map_err(failed)?;
    let written = Written { version, actions, files, bytes: bytes.len() as u64 };
    let pointer = serde_json::json!({
        "version": version, "size": actions, "sizeInBytes": written.bytes, "numOfAddFiles": files,
    });
    let log = store.log_path();
    // The pointer last: whoever follows it finds the file.
    for (name, bytes) in
        [(format!("{version:020}.checkpoint.parquet"), bytes), ("_last_checkpoint".to_owned(), Bytes::from(pointer.to_string()))]
    {
        let path: Path = log.clone().join(name);
        objects.put(&path, bytes.into()).await.map_err(|e| failed(e.into()))?;
    }
    Ok(Some(written))
}

impl Since {
    fn take(&mut self, action: Action) -> Result<(), &'static str> {
        match action {
            Action::Add(add) if add.deletion_vector.is_some() => return Err("a deletion vector"),
            Action::Remove(remove) if remove.deletion_vector.is_some() => return Err("a deletion vector"),
            Action::Add(add) => _ = self.files.insert(add.path.clone(), Last::Added(Box::new(add))),
            Action::Remove(mut remove) => {
                // Without a time it may have been just now; without a tombstone the file would be nobody's.
                remove.deletion_timestamp.get_or_insert_with(|| Utc::now().timestamp_millis());
                self.files.insert(remove.path.clone(), Last::Removed(Box::new(remove)));
            }
            Action::Txn(txn) => _ = self.txns.insert(txn.app_id.clone(), txn),
            Action::Metadata(metadata) => self.metadata = Some(metadata),
            Action::Protocol(protocol) => {
                let versions = (protocol.min_reader_version(), protocol.min_writer_version());
                if versions.0 > 1 || versions.1 > 2 {
                    return Err("a newer protocol");
                }
                self.protocol = Some(versions);
            }
            Action::CommitInfo(_) | Action::Cdc(_) => {}
            _ => return Err("an action of a newer protocol"),
        }
        Ok(())
    }

    /// Whether the old checkpoint's file is of the table still as it says there.
    fn leaves(&self, path: &str) -> bool {
        // Paths rarely need decoding; an allocation per row is saved.
        if path.contains('%') { !self.files.contains_key(&decoded(path)) } else { !self.files.contains_key(path) }
    }
}

/// The file, the number of its actions and of live files.
fn encode(old: &[Bytes], since: &Since) -> Result<(Bytes, u64, u64), DeltaTableError> {
    let mut out = Encoder::new()?;
    let (mut metadata, mut protocol) = (since.metadata.clone(), since.protocol);
    let mut done = Ok(());
    for bytes in old {
        read(bytes.clone(), Wanted::Table, &mut |row| {
            let put = match row {
                Row::Add(add) if since.leaves(add.path) => out.add(&add),
                Row::Txn { app, version, updated_ms } if !since.txns.contains_key(app) => out.txn(app, version, updated_ms),
                Row::Metadata(found) => {
                    metadata.get_or_insert(found);
                    Ok(())
                }
                Row::Protocol { reader, writer } => {
                    protocol.get_or_insert((reader, writer));
                    Ok(())
                }
                _ => Ok(()),
            };
            if done.is_ok() {
                done = put;
            }
        })?;
    }
    done?;
    let (Some(metadata), Some(protocol)) = (metadata, protocol) else {
        return Err(DeltaTableError::generic("the log has no metadata or no protocol"));
    };
    for last in since.files.values() {
        if let Last::Added(add) = last {
            out.add(&AddRow {
                path: &encoded(&add.path),
                partition_values: texts(&add.partition_values),
                size: add.size,
                modified_ms: add.modification_time,
                data_change: add.data_change,
                stats: add.stats.as_deref(),
                tags: add.tags.as_ref().map(texts).unwrap_or_default(),
            })?;
        }
    }
    for txn in since.txns.values() {
        out.txn(&txn.app_id, txn.version, txn.last_updated)?;
    }
    out.table(&metadata, protocol)?;
    removed(&mut out, old, since, &metadata)?;
    out.finish()
}

fn removed(out: &mut Encoder, old: &[Bytes], since: &Since, metadata: &Metadata) -> Result<(), DeltaTableError> {
    let kept = metadata.parse_table_properties().deleted_file_retention_duration;
    let kept = kept.map_or(REMEMBERED_MS, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
    let oldest = Utc::now().timestamp_millis().saturating_sub(kept);
    let mut done = Ok(());
    for bytes in old {
        read(bytes.clone(), Wanted::Removed, &mut |row| {
            if let Row::Remove(remove) = row
                && done.is_ok()
                && remove.removed_ms.is_some_and(|at| at >= oldest)
                && since.leaves(remove.path)
            {
                done = out.remove(&remove);
            }
        })?;
    }
    done?;
    for last in since.files.values() {
        if let Last::Removed(remove) = last
            && remove.deletion_timestamp.is_some_and(|at| at >= oldest)
        {
            out.remove(&RemoveRow {
                path: &encoded(&remove.path),
                removed_ms: remove.deletion_timestamp,
                data_change: remove.data_change,
                partition_values: remove.partition_values.as_ref().map(texts),
                size: remove.size,
            })?;
        }
    }
    Ok(())
}

fn texts(map: &HashMap<String, Option<String>>) -> Texts<'_> {
    map.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect()
}

/// A path as the log writes it. Ours need no encoding; the library knows what does, and encodes when it writes JSON.
fn encoded(path: &str) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"/-_.=~:".contains(&b);
    if path.bytes().all(is_plain) {
        return path.to_owned();
    }
    let action = Remove { path: path.to_owned(), ..Default::default() };
    let value = serde_json::to_value(action).ok();
    value.and_then(|v| v.get("path")?.as_str().map(str::to_owned)).unwrap_or_else(|| path.to_owned())
}
