//! A private PostgreSQL for this test binary: one server, one database per test.
//!
//! Dies with the process. Its folder is in the temporary directory, named after the process; folders of processes that are gone are
//! swept at start.

// Names of databases cannot be bound.
#![allow(clippy::disallowed_types)]

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::runtime::Runtime;

/// A database of its own.
pub(crate) struct Database {
    pub(crate) url: String,
    runtime: Runtime,
}

impl Database {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let maintenance = Database { url: format!("postgres://platform@127.0.0.1:{}/postgres", port()), runtime };
        maintenance.run(&format!("CREATE DATABASE {name}"));
        let url = format!("postgres://platform@127.0.0.1:{}/{name}", port());
        Database { url, runtime: maintenance.runtime }
    }

    /// Runs statements.
    pub(crate) fn run(&self, sql: &str) {
        self.runtime.block_on(async {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            sqlx::raw_sql(AssertSqlSafe(sql.to_string())).execute(&mut connection).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
            connection.close().await.unwrap();
        });
    }
}

fn port() -> u16 {
    static SERVER: OnceLock<u16> = OnceLock::new();
    *SERVER.get_or_init(start)
}

fn start() -> u16 {
    let bin = binaries();
    let temp = std::env::temp_dir();
    sweep(&temp);
    let data = temp.join(format!("tributary-tests-pg-{}", std::process::id()));
    std::fs::create_dir(&data).unwrap();
    let owner = owner();
    if let Some((uid, gid)) = owner {
        std::os::unix::fs::chown(&data, Some(uid), Some(gid)).unwrap();
    }
    let as_owner = |program: &Path| {
        let mut command = Command::new(program);
        if let Some((uid, gid)) = owner {
            command.uid(uid).gid(gid);
        }
        command.current_dir(&temp).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let made = as_owner(&bin.join("initdb"))
        .args(["-U", "platform", "--auth=trust", "--no-sync", "-E", "UTF8", "-D"])
        .arg(&data)
        .status();
    assert!(made.unwrap().success(), "initdb failed");

    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    // PostgreSQL is told of this process' end by the kernel, through the thread that started it: one that never ends before.
    let mut server = as_owner(Path::new("setpriv"));
    server.args(["--pdeathsig", "INT", "--"]).arg(bin.join("postgres")).arg("-D").arg(&data);
    server.args([
        "-p",
        &port.to_string(),
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        "unix_socket_directories=",
        "-c",
        "fsync=off",
    ]);
    std::thread::spawn(move || server.spawn().unwrap().wait());
    let begin = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() || !ready(&bin, port) {
        assert!(begin.elapsed() < Duration::from_secs(60), "PostgreSQL does not come up");
        std::thread::sleep(Duration::from_millis(50));
    }
    port
}

fn ready(bin: &Path, port: u16) -> bool {
    let mut command = Command::new(bin.join("pg_isready"));
    command.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]).status().is_ok_and(|status| status.success())
}

fn binaries() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        versions.map(|entry| entry.path().join("bin")).filter(|bin| bin.join("initdb").is_file()).collect();
    found.sort();
    found.pop().expect("these tests need PostgreSQL: apt install postgresql")
}

/// Whom PostgreSQL may run as when this is root, whom it refuses.
fn owner() -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt;
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = ["postgres:", "nobody:"].iter().find_map(|name| passwd.lines().find(|line| line.starts_with(name)));
    let fields: Vec<&str> = line.expect("a user postgres or nobody").split(':').collect();
    Some((fields[2].parse().unwrap(), fields[3].parse().unwrap()))
}

fn sweep(temp: &Path) {
    for entry in std::fs::read_dir(temp).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(pid) = name.strip_prefix("tributary-tests-pg-")
            && !Path::new("/proc").join(pid).exists()
        {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
