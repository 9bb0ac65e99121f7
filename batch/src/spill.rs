//! A folder to spill into, of this engine alone.
//!
//! The folder above it may be shared by several processes, in several containers. Each engine holds a lock on a file beside its own
//! folder, which the system lets go of when the process ends, however it ends: what is not locked is of use to nobody and is removed.

use std::fs::File;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

const PREFIX: &str = "tributary-spill-";
const LOCK: &str = "lock";

/// Removed with everything in it when dropped.
#[derive(Debug)]
pub(crate) struct SpillFolder {
    path: PathBuf,
    /// Closed, it is no longer locked.
    _lock: File,
}

impl SpillFolder {
    /// A new one under `above`; what killed processes left there is removed.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn new(above: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(above)?;
        remove_left(above);
        let path = above.join(format!("{PREFIX}{}", Uuid::new_v4()));
        let lock = File::create_new(path.with_extension(LOCK))?;
        // A file system without locks: then nobody can take what is ours for dead, and nobody tidies up.
        let _ = lock.lock();
        // It may be in a folder for everybody, and what is spilled is not for everybody.
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path, _lock: lock })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SpillFolder {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

fn remove_left(above: &Path) {
    for entry in std::fs::read_dir(above).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        if !is_ours || path.extension().is_none_or(|extension| extension != LOCK) {
            continue;
        }
        // One that is locked a moment from now, since it was just made, would lose its lock file: it works on, and is left when it dies.
        if File::open(&path).is_ok_and(|lock| lock.try_lock().is_ok()) {
            remove(&path.with_extension(""));
        }
    }
}

/// The lock last: without it nobody would come back for the folder.
fn remove(path: &Path) {
    let _ = std::fs::remove_dir_all(path);
    let _ = std::fs::remove_file(path.with_extension(LOCK));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_dead_left_is_removed_and_what_the_living_hold_is_not() {
        let above = tempfile::tempdir().unwrap();
        let entries = || std::fs::read_dir(above.path()).unwrap().count();
        let alive = SpillFolder::new(above.path()).unwrap();
        let dead = SpillFolder::new(above.path()).unwrap();
        std::fs::write(dead.path().join("rows"), "of no use").unwrap();
        let dead_path = dead.path.clone();
        // As a kill ends it: the lock is gone, the rest is there.
        let SpillFolder { _lock, .. } = &dead;
        _lock.unlock().unwrap();
        std::mem::forget(dead);
        let foreign = above.path().join("1234-5");
        std::fs::create_dir(&foreign).unwrap();
        let another = SpillFolder::new(above.path()).unwrap();
        assert!(!dead_path.exists() && alive.path().exists() && foreign.exists());
        drop((alive, another));
        assert_eq!(entries(), 1, "the foreign folder alone");
    }
}
