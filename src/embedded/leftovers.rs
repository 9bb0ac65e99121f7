//! What an earlier run left behind in a cluster: a server that still stops, backends that outlived it, a stale `postmaster.pid`.
//!
//! Assumes that the caller holds the lock of the data folder: whatever runs in it belongs to nobody. Promises that on return no
//! process works in the cluster, and that PostgreSQL will not mistake somebody else's process for its own.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::process::signal;

/// Ends what works in the cluster, gently first, and removes a `postmaster.pid` that would keep a new server from starting.
pub fn clear(cluster: &Path) -> Result<()> {
    let written = postmaster_pid(cluster);
    let mut found = working_in(cluster)?;
    if !found.is_empty() {
        tracing::info!(processes = found.len(), "an earlier PostgreSQL still works in {}; stopping it", cluster.display());
    }
    // Fast shutdown of the server; orphans of a killed one notice by themselves. Then without a checkpoint. Then by force.
    for (signal_number, only_postmaster, patience) in
        [(libc::SIGINT, true, 15), (libc::SIGQUIT, false, 5), (libc::SIGKILL, false, 5)]
    {
        for pid in found.iter().filter(|pid| !only_postmaster || Some(**pid) == written) {
            signal(*pid, signal_number);
        }
        let orphans = only_postmaster && !found.iter().any(|pid| Some(*pid) == written);
        let until = Instant::now() + Duration::from_secs(if orphans { 3 } else { patience });
        while !found.is_empty() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
            found = working_in(cluster)?;
        }
    }
    if let Some(pid) = found.first() {
        bail!("process {pid} still works in {} and does not end; end it (kill -9 {pid}) and try again", cluster.display());
    }
    // PostgreSQL judges the file by whether its process exists. After a reboot that number may be anybody's; and where nobody
    // collects the dead, it is still there as a zombie.
    if let Some(pid) = postmaster_pid(cluster).filter(|pid| Path::new(&format!("/proc/{pid}")).exists()) {
        tracing::info!(pid, "removing the postmaster.pid of a server that is gone");
        fs::remove_file(cluster.join("postmaster.pid")).context("cannot remove a stale postmaster.pid")?;
    }
    Ok(())
}

/// Line 1 of `postmaster.pid`.
pub fn postmaster_pid(cluster: &Path) -> Option<u32> {
    fs::read_to_string(cluster.join("postmaster.pid")).ok()?.lines().next()?.trim().parse().ok()
}

/// Every living process of PostgreSQL whose working directory is the cluster: all of a server's processes, no other.
fn working_in(cluster: &Path) -> Result<Vec<u32>> {
    let cluster = fs::metadata(cluster).with_context(|| format!("cannot look at {}", cluster.display()))?;
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc").context("/proc is not mounted")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // Whatever cannot be looked at is another user's, dead, or gone since.
        let Ok(place) = fs::metadata(entry.path().join("cwd")) else { continue };
        let same = (place.dev(), place.ino()) == (cluster.dev(), cluster.ino());
        let named = fs::read_to_string(entry.path().join("comm")).is_ok_and(|name| name.starts_with("postgres"));
        if same && named {
            pids.push(pid);
        }
    }
    Ok(pids)
}
