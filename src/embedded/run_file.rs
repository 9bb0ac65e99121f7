//! `<data>/run.json`: where a running `up` says where everything is, so that the other commands find it without being told.
//!
//! Holds no password. Promises that what is read is of a process that runs: a file left behind by a crash counts as none.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// Where everything is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFile {
    /// The process.
    pub pid: u32,
    /// When that process began, in the kernel's ticks: a number that comes again is not the same process.
    #[serde(default)]
    pub started: u64,
    /// `host:port,…` of Kafka.
    pub kafka: Option<String>,
    /// Host and port of the embedded PostgreSQL; none: it is not embedded.
    pub postgres: Option<(String, u16)>,
    /// Path or URL of the lake.
    pub lake: String,
    /// Address of `/metrics` and `/readyz`.
    pub http: String,
    /// Address of the Prometheus beside it, if there is one.
    #[serde(default)]
    pub prometheus: Option<String>,
}

impl RunFile {
    /// Of this process.
    pub fn of_this_process() -> Self {
        let pid = std::process::id();
        Self { pid, started: started(pid).unwrap_or_default(), ..Self::default() }
    }

    /// Writes it, whole or not at all.
    pub fn write(&self, data_dir: &Path) -> Result<()> {
        let (path, part) = (path(data_dir), data_dir.join("run.json.part"));
        let text = serde_json::to_string_pretty(self).context("cannot write run.json")? + "\n";
        fs::write(&part, text).with_context(|| format!("cannot write {}", part.display()))?;
        fs::rename(&part, &path).with_context(|| format!("cannot write {}", path.display()))
    }

    /// What a process that runs has written there.
    pub fn read(data_dir: &Path) -> Option<Self> {
        let read: Self = serde_json::from_slice(&fs::read(path(data_dir)).ok()?).ok()?;
        (started(read.pid) == Some(read.started)).then_some(read)
    }

    /// The process that wrote it and is gone without having removed it.
    pub fn left_behind(data_dir: &Path) -> Option<u32> {
        let read: Self = serde_json::from_slice(&fs::read(path(data_dir)).ok()?).ok()?;
        (started(read.pid) != Some(read.started)).then_some(read.pid)
    }

    /// Removes it: nothing runs any more.
    pub fn remove(data_dir: &Path) {
        // A file that stays is recognised as stale.
        let _ = fs::remove_file(path(data_dir));
    }
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("run.json")
}

/// Field 22 of `/proc/<pid>/stat`, counted behind the name (which may hold anything).
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_process_that_runs_is_believed() {
        let folder = tempfile::tempdir().unwrap();
        let mut run = RunFile { lake: "here".into(), ..RunFile::of_this_process() };
        run.write(folder.path()).unwrap();
        assert_eq!(RunFile::read(folder.path()), Some(run.clone()));
        assert_eq!(RunFile::left_behind(folder.path()), None);
        run.started += 1;
        run.write(folder.path()).unwrap();
        assert_eq!(RunFile::read(folder.path()), None, "the number came again");
        RunFile::remove(folder.path());
        assert_eq!(RunFile::read(folder.path()), None);
    }
}
