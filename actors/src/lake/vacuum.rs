//! Files that nothing needs any more go.
//!
//! Three kinds: files that were removed from the table so long ago that no version which can be read needs them; files that the log
//! never named (their writer was killed, or lost a race); and temporary files of a local disk. The folder is listed before the log is
//! read, so a file that joins the table meanwhile is known to be alive; and nothing young is touched, whatever is known of it.

use std::collections::HashMap;
use std::path::Path as FsPath;
use std::time::{Duration, SystemTime};

use chrono::Utc;
use deltalake::kernel::Action;
use deltalake::logstore::LogStoreRef;
use deltalake::{DeltaTableError, ObjectMeta};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;

use super::checkpoint::Wanted;
use super::files::object_path;
use super::listing::Listing;
use super::snapshot::{Snapshot, attempts, no_table, read_checkpoint, read_entry};
use super::{LakeError, delta_error};

/// A file that the log does not name may be on its way into it for this long.
const ORPHAN_AGE: Duration = Duration::from_secs(24 * 3600);
/// Whoever reads an older version has at least this long to end.
const LEAST_KEPT: Duration = Duration::from_secs(3600);
/// A temporary file is somebody's for this long.
const STAGING_AGE: Duration = Duration::from_secs(3600);
/// A table that does not say how long removed files are remembered remembers them for a week, as everywhere.
const REMEMBERED: Duration = Duration::from_secs(7 * 86_400);
/// Paths that a report names.
const NAMED: usize = 20;

/// Files of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sweep {
    /// How many.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The first of them.
    pub paths: Vec<String>,
}

/// What went, or would go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vacuumed {
    /// Were in the table once.
    pub removed: Sweep,
    /// Never were.
    pub orphans: Sweep,
    /// Temporary files.
    pub staging: Sweep,
    /// Versions this old can still be read.
    pub kept: Duration,
}

impl Sweep {
    fn count(&mut self, path: &str, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
        if self.paths.len() < NAMED {
            self.paths.push(path.to_owned());
        }
    }
}

/// Deletes what no version of the last `keep` needs; says only what, when `dry_run`. The log remembers what was removed for as long
/// as the table's `delta.deletedFileRetentionDuration` says: where that is shorter than `keep`, it holds.
///
/// # Errors
/// When the table cannot be read, or a file not deleted; what was deleted before stays deleted.
pub async fn vacuum(store: &LogStoreRef, keep: Duration, dry_run: bool) -> Result<Vacuumed, LakeError> {
    let failed = |e: DeltaTableError| delta_error(store.root_url(), e);
    let objects = store.object_store(None);
    let listed: Vec<ObjectMeta> = objects.list(None).try_collect().await.map_err(|e| failed(e.into()))?;
    let snapshot = Snapshot::open(store).await?;
    let removed_ms = attempts(|| removed(store)).await?;
    let remembered = snapshot.metadata().parse_table_properties().deleted_file_retention_duration.unwrap_or(REMEMBERED);
    let kept = keep.min(remembered).max(LEAST_KEPT);

    let alive: std::collections::HashSet<Path> = snapshot.files().keys().map(|path| object_path(path)).collect();
    let now_ms = Utc::now().timestamp_millis();
    let is_older = |ms: i64, age: Duration| now_ms.saturating_sub(ms) > i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    let mut vacuumed = Vacuumed { kept, ..Vacuumed::default() };
    let mut doomed = Vec::new();
    for meta in listed.iter().filter(|meta| is_data(&meta.location) && !alive.contains(&meta.location)) {
        let sweep = match removed_ms.get(&meta.location) {
            Some(removed_ms) if is_older(*removed_ms, kept) => &mut vacuumed.removed,
            Some(_) => continue,
            None if is_older(meta.last_modified.timestamp_millis(), ORPHAN_AGE) => &mut vacuumed.orphans,
            None => continue,
        };
        sweep.count(meta.location.as_ref(), meta.size);
        doomed.push(Ok(meta.location.clone()));
    }
    if !dry_run {
        let mut deleting = objects.delete_stream(futures::stream::iter(doomed).boxed());
        while let Some(deleted) = deleting.next().await {
            match deleted {
                // Another vacuum was there.
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(failed(error.into())),
            }
        }
    }
    if let Ok(folder) = store.root_url().to_file_path() {
        let swept = tokio::task::spawn_blocking(move || {
            let mut sweep = Sweep::default();
            staging(&folder, &folder, dry_run, &mut sweep).map(|()| sweep)
        });
        let swept = swept.await.map_err(|e| failed(DeltaTableError::generic(e.to_string())))?;
        vacuumed.staging = swept.map_err(|e| failed(DeltaTableError::generic(format!("temporary files: {e}"))))?;
    }
    Ok(vacuumed)
}

/// Data is what Delta calls so: names that begin with a dot or an underscore are not.
fn is_data(path: &Path) -> bool {
    path.parts().all(|part| !part.as_ref().starts_with(['.', '_']))
}

/// When each file that is remembered as removed was: the newest checkpoint, then the entries after it.
async fn removed(store: &LogStoreRef) -> Result<HashMap<Path, i64>, LakeError> {
    let listing = Listing::of_end(store).await.map_err(|e| delta_error(store.root_url(), e))?;
    let newest = listing.newest.ok_or_else(|| no_table(store))?;
    let mut removed = HashMap::new();
    let mut next = 0;
    if let Some((version, files)) = listing.checkpoint_up_to(newest) {
        let tombstones = read_checkpoint(store, files, Wanted::Removed).await?.removed;
        removed.extend(tombstones.into_iter().map(|t| (object_path(&t.path), t.removed_ms)));
        next = version + 1;
    }
    while let Some(actions) = read_entry(store, next).await? {
        for action in actions {
            if let Action::Remove(remove) = action {
                // Without a time: it happened just now, for all that is known.
                let at = remove.deletion_timestamp.unwrap_or_else(|| Utc::now().timestamp_millis());
                removed.insert(object_path(&remove.path), at);
            }
        }
        next += 1;
    }
    Ok(removed)
}

/// What writers that were killed left: names that end in `#` and digits, which no listing of a store shows.
fn staging(folder: &FsPath, root: &FsPath, dry_run: bool, sweep: &mut Sweep) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            staging(&path, root, dry_run, sweep)?;
            continue;
        }
        let name = entry.file_name();
        let is_staging = name
            .to_str()
            .and_then(|name| name.rsplit_once('#'))
            .is_some_and(|(name, digits)| !name.is_empty() && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()));
        if !is_staging || !kind.is_file() {
            continue;
        }
        let Ok(meta) = entry.metadata() else { continue };
        let age = meta.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        if age.is_none_or(|age| age < STAGING_AGE) {
            continue;
        }
        if !dry_run {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        sweep.count(&path.strip_prefix(root).unwrap_or(&path).to_string_lossy(), meta.len());
    }
    Ok(())
}
