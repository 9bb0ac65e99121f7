//! Which files a Delta log has: the newest version, and the checkpoints.
//!
//! Starts at the checkpoint that the log itself points to, so that what is listed does not grow with the log. A listing beside a busy
//! writer may miss entries: whoever reads goes by names, and takes from here only where to begin and how far it must come.

use std::collections::BTreeMap;

use deltalake::DeltaTableError;
use deltalake::logstore::LogStoreRef;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};
use serde::Deserialize;

use super::{LakeError, delta_error};

/// The files of a log from some version on.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// The newest version that anything is there of.
    pub(super) newest: Option<u64>,
    /// The oldest entry seen.
    pub(super) oldest_entry: Option<u64>,
    /// Complete checkpoints and the files of each, in order.
    pub(super) checkpoints: BTreeMap<u64, Vec<ObjectMeta>>,
}

/// What `_last_checkpoint` says.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Hint {
    /// Version of the checkpoint.
    pub(super) version: u64,
}

/// A file's part in the log.
enum Kind {
    Entry,
    /// Part and parts, both from 1.
    Checkpoint(usize, usize),
}

impl Listing {
    /// The end of the log: from the checkpoint that it points to, or all of it.
    pub(super) async fn of_end(store: &LogStoreRef) -> Result<Self, DeltaTableError> {
        if let Some(hint) = hint(store).await? {
            let listing = Self::from(store, Some(hint.version)).await?;
            // The pointer may be wrong (a restored backup, a foreign hand): then it is as if there were none.
            if listing.checkpoints.keys().next().is_some() {
                return Ok(listing);
            }
        }
        Self::from(store, None).await
    }

    /// All of it.
    pub(super) async fn whole(store: &LogStoreRef) -> Result<Self, DeltaTableError> {
        Self::from(store, None).await
    }

    async fn from(store: &LogStoreRef, version: Option<u64>) -> Result<Self, DeltaTableError> {
        let objects = store.object_store(None);
        let mut entries = match version {
            // Every file of that version comes after its bare number.
            Some(version) => {
                let before = store.log_path().clone().join(format!("{version:020}"));
                objects.list_with_offset(Some(store.log_path()), &before)
            }
            None => objects.list(Some(store.log_path())),
        };
        let mut listing = Self::default();
        let mut parts: BTreeMap<(u64, usize), BTreeMap<usize, ObjectMeta>> = BTreeMap::new();
        while let Some(meta) = entries.try_next().await? {
            let Some((version, kind)) = meta.location.filename().and_then(parse) else { continue };
            match kind {
                Kind::Entry => {
                    listing.newest = listing.newest.max(Some(version));
                    listing.oldest_entry = Some(listing.oldest_entry.map_or(version, |oldest| oldest.min(version)));
                }
                Kind::Checkpoint(part, of) => {
                    parts.entry((version, of)).or_default().insert(part, meta);
                }
            }
        }
        for ((version, of), found) in parts {
            if found.len() == of {
                listing.newest = listing.newest.max(Some(version));
                listing.checkpoints.insert(version, found.into_values().collect());
            }
        }
        Ok(listing)
    }

    /// The newest checkpoint up to a version.
    pub(super) fn checkpoint_up_to(&self, version: u64) -> Option<(u64, Vec<Path>)> {
        let (version, files) = self.checkpoints.range(..=version).next_back()?;
        Some((*version, files.iter().map(|meta| meta.location.clone()).collect()))
    }
}

/// What the log says of its newest checkpoint; nothing when it says nothing that can be read.
pub(super) async fn hint(store: &LogStoreRef) -> Result<Option<Hint>, DeltaTableError> {
    let path = store.log_path().clone().join("_last_checkpoint");
    let bytes = match store.object_store(None).get(&path).await {
        Ok(found) => found.bytes().await?,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Ok(serde_json::from_slice(&bytes).ok())
}

/// The version of the newest checkpoint; 0 where there is none.
pub(crate) async fn checkpointed(store: &LogStoreRef) -> Result<u64, LakeError> {
    let hint = hint(store).await.map_err(|error| delta_error(store.root_url(), error))?;
    Ok(hint.map_or(0, |hint| hint.version))
}

/// `00000000000000000012.json`, `00000000000000000012.checkpoint.parquet` and `….checkpoint.0000000001.0000000002.parquet` are of
/// version 12. Checkpoints of another shape belong to tables that are refused anyway.
fn parse(name: &str) -> Option<(u64, Kind)> {
    let (digits, rest) = name.split_once('.')?;
    let version = digits.parse().ok().filter(|_| digits.len() == 20)?;
    let kind = match rest {
        "json" => Kind::Entry,
        "checkpoint.parquet" => Kind::Checkpoint(1, 1),
        _ => {
            let (part, of) = rest.strip_prefix("checkpoint.")?.strip_suffix(".parquet")?.split_once('.')?;
            Kind::Checkpoint(part.parse().ok()?, of.parse().ok()?)
        }
    };
    Some((version, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_log_have_versions() {
        assert!(matches!(parse("00000000000000000012.json"), Some((12, Kind::Entry))));
        assert!(matches!(parse("00000000000000000012.checkpoint.parquet"), Some((12, Kind::Checkpoint(1, 1)))));
        let part = "00000000000000000012.checkpoint.0000000001.0000000002.parquet";
        assert!(matches!(parse(part), Some((12, Kind::Checkpoint(1, 2)))));
        for name in ["_last_checkpoint", "12.json", "00000000000000000012.crc", "00000000000000000012.json#17"] {
            assert!(parse(name).is_none(), "{name}");
        }
    }
}
