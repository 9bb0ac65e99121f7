//! A private PostgreSQL: one server per test binary with a database per test, or one of a test's own that it may stop.
//!
//! Ends with the process that started it. Where there is no PostgreSQL the tests that need one say SKIPPED.
#![allow(clippy::disallowed_types)] // names of databases cannot be bound

use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;
use tributary_core::stream::{Measure, Stream};

use super::payments::Windows;

const USER: &str = "platform";
/// Of folders; the process follows.
const PREFIX: &str = "tributary-test-pg-";

/// A cluster; [`Server::start`] runs it.
pub struct Server {
    bin: PathBuf,
    folder: TempDir,
    pub port: u16,
}

/// A database of its own.
pub struct Database {
    pub url: String,
}

impl Server {
    /// A new cluster, not started; none where PostgreSQL is not installed.
    pub fn new() -> Option<Self> {
        let bin = binaries()?;
        let folder = tempfile::Builder::new().prefix(&format!("{PREFIX}{}-", std::process::id())).tempdir().unwrap();
        if let Some((uid, gid)) = owner() {
            std::os::unix::fs::chown(folder.path(), Some(uid), Some(gid)).unwrap();
        }
        let server = Self { bin, folder, port: free_port() };
        let mut initdb = server.command(&server.bin.join("initdb"));
        initdb.args(["-U", USER, "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C", "-D"]).arg(server.data());
        let made = initdb.output().unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        Some(server)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Some((uid, gid)) = owner() {
            command.uid(uid).gid(gid);
        }
        command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Starts it and waits until it answers.
    pub fn start(&self) {
        // The kernel tells PostgreSQL of the end of the thread that started it: one that waits as long as the process lives.
        let mut server = self.command(Path::new("setpriv"));
        server.args(["--pdeathsig", "QUIT", "--"]).arg(self.bin.join("postgres")).arg("-D").arg(self.data());
        server.args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
        server.args(["-c", "fsync=off", "-c", "max_connections=60"]);
        std::thread::spawn(move || server.spawn().unwrap().wait());
        let begin = Instant::now();
        while !self.answers() {
            assert!(begin.elapsed() < Duration::from_secs(60), "PostgreSQL does not come up");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn answers(&self) -> bool {
        let mut ready = Command::new(self.bin.join("pg_isready"));
        ready.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
        TcpStream::connect(("127.0.0.1", self.port)).is_ok() && ready.status().is_ok_and(|status| status.success())
    }

    /// Stops it as a crash would, and waits until it is gone.
    pub fn stop(&self) {
        let mut stop = self.command(&self.bin.join("pg_ctl"));
        stop.args(["stop", "-m", "immediate", "-w", "-D"]).arg(self.data());
        assert!(stop.status().unwrap().success());
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{database}", self.port)
    }

    /// Where that database is, whether or not it exists.
    pub fn database_url(&self) -> String {
        self.url("postgres")
    }

    /// A new, empty database.
    pub async fn database(&self) -> Database {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        Database { url: self.url("postgres") }.run(&format!("CREATE DATABASE {name}")).await;
        Database { url: self.url(&name) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut stop = self.command(&self.bin.join("pg_ctl"));
        let _ = stop.args(["stop", "-m", "immediate", "-w", "-D"]).arg(self.data()).status();
    }
}

/// A database of the server that this test binary shares; none, with a word about it, where there is no PostgreSQL.
pub async fn database() -> Option<Database> {
    static SHARED: OnceLock<Option<Server>> = OnceLock::new();
    let server = SHARED.get_or_init(|| {
        sweep();
        let server = Server::new()?;
        server.start();
        Some(server)
    });
    match server {
        Some(server) => Some(server.database().await),
        None => {
            println!("SKIPPED: no PostgreSQL in /usr/lib/postgresql");
            None
        }
    }
}

impl Database {
    pub async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }

    pub async fn run(&self, sql: &str) {
        let mut connection = self.connect().await;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        connection.close().await.unwrap();
    }

    /// One column of text.
    pub async fn texts(&self, sql: &str) -> Vec<String> {
        let mut connection = self.connect().await;
        let rows = sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_all(&mut connection).await;
        connection.close().await.unwrap();
        rows.unwrap_or_else(|e| panic!("{sql}: {e}"))
    }

    /// All window tables of a stream, as the truth has them.
    pub async fn windows(&self, stream: &Stream) -> Windows {
        let mut windows = Windows::new();
        for window in &stream.windows {
            let name = ["payments_per_minute", "turnover_per_hour"].into_iter().find(|n| *n == window.table).unwrap();
            let groups: Vec<&str> = window.group_by.iter().map(|f| stream.fields[*f].column.as_str()).collect();
            let groups = if groups.is_empty() { "''".to_owned() } else { groups.join(" || '|' || ") };
            let measure = window.measure.column();
            let sql = format!(
                "SELECT (extract(epoch FROM window_start) * 1000)::bigint::text || ';' || {groups} || ';' || {measure}::text \
                 FROM realtime.{name} WHERE window_end = window_start + interval '{} seconds'",
                window.every_ms / 1000
            );
            for row in self.texts(&sql).await {
                let [start, group, amount] = row.split(';').collect::<Vec<_>>()[..] else { panic!("{row}") };
                let group = if group.is_empty() { Vec::new() } else { group.split('|').map(str::to_owned).collect() };
                let before = windows.insert((name, start.parse().unwrap(), group), amount.parse().unwrap());
                assert!(before.is_none(), "two rows of one key in {name}");
            }
            let rows: i64 = self.texts(&format!("SELECT count(*)::text FROM realtime.{name}")).await[0].parse().unwrap();
            let read = windows.keys().filter(|(table, _, _)| *table == name).count();
            assert_eq!(rows, read as i64, "some rows of {name} end elsewhere");
            assert!(matches!((&window.measure, name), (Measure::Count { .. }, "payments_per_minute") | (Measure::Sum { .. }, _)));
        }
        windows
    }

    /// Partition and next offset, in order.
    pub async fn offsets(&self) -> Vec<String> {
        let sql = "SELECT kafka_partition || ':' || next_offset FROM ops.stream_offsets ORDER BY incarnation, kafka_partition";
        self.texts(sql).await
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn binaries() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|entry| entry.path().join("bin")).filter(|b| b.join("initdb").is_file()).collect();
    found.sort();
    found.pop()
}

/// Whom PostgreSQL may run as when this is root, whom it refuses.
fn owner() -> Option<(u32, u32)> {
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = ["postgres:", "nobody:"].iter().find_map(|name| passwd.lines().find(|line| line.starts_with(name)));
    let fields: Vec<&str> = line.expect("a user postgres or nobody").split(':').collect();
    Some((fields[2].parse().unwrap(), fields[3].parse().unwrap()))
}

/// Removes folders of shared servers whose process is gone: nobody drops a static.
fn sweep() {
    for entry in std::fs::read_dir(std::env::temp_dir()).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
