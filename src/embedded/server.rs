//! One run of the server process: spawned, waited for until it is ready, stopped.
//!
//! Assumes to be called from the thread that outlives the server: it dies with that thread. Promises that `spawn` returns a server
//! that answers or an error with the end of its log, in bounded time.

use std::fs;
use std::net::{IpAddr, TcpListener};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::cluster::Cluster;
use super::process::{self, signal};
use super::validated_ip;

/// Crash recovery replays at most `max_wal_size`; a slow disk needs minutes, not hours.
const PATIENCE: Duration = Duration::from_secs(600);
/// How often a waiting loop looks.
const TICK: Duration = Duration::from_millis(20);

/// A server process.
#[derive(Debug)]
pub struct Server {
    child: Child,
}

impl Server {
    /// Starts the server and waits until it takes connections. `cancelled` is asked while it waits.
    pub fn spawn(cluster: &Cluster, listen: &str, port: u16, cancelled: &dyn Fn() -> bool) -> Result<Self> {
        let log = cluster.log()?;
        let settings = [
            format!("listen_addresses={listen}"),
            format!("port={port}"),
            // TCP on loopback is the one way in: a socket's path would be too long below many a data folder.
            "unix_socket_directories=".into(),
            "timezone=UTC".into(),
            "log_timezone=UTC".into(),
            "fsync=on".into(),
            "synchronous_commit=on".into(),
            "full_page_writes=on".into(),
            "password_encryption=scram-sha-256".into(),
            "max_connections=100".into(),
            "logging_collector=off".into(),
            "log_destination=stderr".into(),
            "log_checkpoints=off".into(),
        ];
        let child =
            process::command(&cluster.binaries.dir.join("postgres"), &cluster.folder, cluster.user.as_ref(), libc::SIGINT)
                .args(["-D", &process::folder_path(&cluster.folder)])
                .args(settings.iter().flat_map(|setting| ["-c", setting]))
                .stdin(Stdio::null())
                .stdout(log.try_clone().context("cannot share the server's log")?)
                .stderr(log)
                .spawn()
                .with_context(|| format!("cannot run {}/postgres", cluster.binaries.dir.display()))?;
        let mut server = Self { child };
        match server.wait_until_ready(cluster, cancelled) {
            Ok(()) => Ok(server),
            Err(error) => {
                server.stop();
                Err(error)
            }
        }
    }

    fn wait_until_ready(&mut self, cluster: &Cluster, cancelled: &dyn Fn() -> bool) -> Result<()> {
        let (since, mut said) = (Instant::now(), Duration::ZERO);
        while since.elapsed() < PATIENCE {
            if let Some(status) = self.ended() {
                bail!("PostgreSQL ended while it started ({status}); {}", cluster.log_tail());
            }
            // Line 1 is the server's number, line 8 its state. Both must be of this run.
            let text = fs::read_to_string(cluster.dir.join("postmaster.pid")).unwrap_or_default();
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            if lines.first().and_then(|pid| pid.parse().ok()) == Some(self.pid()) && lines.get(7) == Some(&"ready") {
                return Ok(());
            }
            if cancelled() {
                bail!("stopped while PostgreSQL was starting");
            }
            if since.elapsed() >= said + Duration::from_secs(5) {
                said = since.elapsed();
                tracing::info!(elapsed_s = said.as_secs(), "PostgreSQL recovers what a crash interrupted; waiting");
            }
            std::thread::sleep(TICK);
        }
        bail!("PostgreSQL was not ready after {} minutes; {}", PATIENCE.as_secs() / 60, cluster.log_tail());
    }

    /// Number of the server's first process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Ends it: open transactions are rolled back and everything is written (fast); without a checkpoint when that takes too long
    /// (immediate: the next start recovers); by force at last.
    pub fn stop(&mut self) {
        for (signal_number, patience) in [(libc::SIGINT, 10), (libc::SIGQUIT, 5), (libc::SIGKILL, 5)] {
            signal(self.pid(), signal_number);
            let until = Instant::now() + Duration::from_secs(patience);
            while Instant::now() < until {
                if self.ended().is_some() {
                    return;
                }
                std::thread::sleep(TICK);
            }
            tracing::warn!(pid = self.pid(), "PostgreSQL does not stop after {patience} s; insisting");
        }
    }
}

/// The port to listen on: the wanted one if it is free, else any free one, unless a person asked for exactly this one.
pub fn choose_port(what: &str, listen: &str, wanted: u16, pinned: bool, how_to_change: &str) -> Result<u16> {
    let ip: IpAddr = validated_ip(listen)?;
    let Err(error) = TcpListener::bind((ip, wanted)).map(drop) else {
        if wanted != 0 {
            return Ok(wanted);
        }
        return free_port(ip);
    };
    if pinned {
        bail!("{what} cannot listen on {ip}:{wanted}: {error}; stop what uses the port, or choose another: {how_to_change}");
    }
    let port = free_port(ip)?;
    tracing::warn!("port {wanted} is taken by another program; {what} listens on {port} (choose one yourself: {how_to_change})");
    Ok(port)
}

fn free_port(ip: IpAddr) -> Result<u16> {
    let listener = TcpListener::bind((ip, 0)).with_context(|| format!("no free port on {ip}"))?;
    Ok(listener.local_addr().context("no free port")?.port())
}
