//! One owner per folder.
//!
//! Promises that two processes never work in the same folder at once; the lock goes with the process, however it ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};

/// A locked folder.
#[derive(Debug)]
pub struct FolderLock {
    file: File,
}

impl FolderLock {
    /// Locks the folder, and makes it when it is not there. An error names the process that has it.
    pub fn acquire(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}; choose another place with --data", folder.display()))?;
        let path = folder.join("lock");
        let opened = OpenOptions::new().create(true).read(true).write(true).truncate(false).open(&path);
        let mut file = opened.with_context(|| format!("cannot write {}; choose another place with --data", path.display()))?;
        let mut holder = String::new();
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let _ = file.read_to_string(&mut holder);
                let holder = holder.trim();
                bail!(
                    "process {holder} already works in {}; stop it first (kill {holder}) or choose another with --data",
                    folder.display()
                );
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(|| format!("cannot lock {}", path.display())),
        }
        // The number is for people only; the lock is the kernel's.
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .context("cannot write the lock")?;
        Ok(Self { file })
    }
}

impl Drop for FolderLock {
    /// Closing is not enough: a process that another thread is starting just now has a copy of every open file until it runs its program.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_free_as_soon_as_its_owner_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let first = FolderLock::acquire(folder.path()).unwrap();
        assert!(FolderLock::acquire(folder.path()).is_err());
        // As a process has it that is being started.
        let _copy = first.file.try_clone().unwrap();
        drop(first);
        FolderLock::acquire(folder.path()).unwrap();
    }
}
