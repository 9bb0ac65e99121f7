//! The embedded PostgreSQL: a real server process that lives as long as we do.
//!
//! For whoever names no database of their own. Promises: after [`Postgres::start`] the URL answers for user `platform` of database
//! `serving`; a server that dies is started again on the same port (whoever was connected reconnects); [`Postgres::stop`] leaves
//! a clean cluster; and if we are killed, the server stops by itself, and the next start waits for that and goes on.
//!
//! A thread of its own spawns, watches and stops the server, because the server is told to end when that very thread ends.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use sqlx::Connection;
use tributary_core::settings::postgres_url;

use super::cluster::Cluster;
use super::lock::FolderLock;
use super::server::{Server, choose_port};
use super::{connect_host, leftovers};

/// How to start one.
#[derive(Debug, Clone)]
pub struct Options {
    /// `<data>/postgres`: made when it is not there.
    pub home: PathBuf,
    /// Address to listen on.
    pub listen: String,
    /// Port to listen on; 0: any free one.
    pub port: u16,
    /// Whether a person asked for that port; otherwise another one will do when it is taken.
    pub port_pinned: bool,
    /// Password of `platform` and `grafana`; a changed one takes effect.
    pub password: String,
    /// Folder of the programs; none: they are looked for.
    pub pg_bin: Option<PathBuf>,
}

/// A server that runs. Dropping it stops it.
#[derive(Debug)]
pub struct Postgres {
    url: String,
    address: String,
    log: PathBuf,
    version: String,
    pid: Arc<AtomicU32>,
    restarts: Arc<AtomicU32>,
    stopping: Arc<AtomicBool>,
    orders: Option<Sender<()>>,
    keeper: Option<JoinHandle<()>>,
}

impl Postgres {
    /// Starts the server, and makes its cluster first when there is none. Blocks until it answers: one second at first, less later,
    /// longer after a crash.
    pub fn start(options: Options) -> Result<Self> {
        let (pid, restarts, stopping) = (Arc::default(), Arc::default(), Arc::default());
        let (orders, received) = channel();
        let (report, started) = channel();
        let keeper = Keeper { pid: Arc::clone(&pid), restarts: Arc::clone(&restarts), stopping: Arc::clone(&stopping) };
        let asked = options.clone();
        let thread = std::thread::Builder::new()
            .name("postgres-keeper".into())
            .spawn(move || keeper.run(&asked, &report, &received))
            .context("cannot start a thread for PostgreSQL")?;
        let ready =
            started.recv().context("the thread that keeps PostgreSQL ended")?.context("cannot start the embedded PostgreSQL")?;
        let host = connect_host(&options.listen);
        Ok(Self {
            url: postgres_url::embedded(&host, ready.port, &options.password),
            address: format!("{host}:{}", ready.port),
            log: ready.log,
            version: ready.version,
            pid,
            restarts,
            stopping,
            orders: Some(orders),
            keeper: Some(thread),
        })
    }

    /// `postgres://platform:…@127.0.0.1:5432/serving`, with the password.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `127.0.0.1:5432`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// File of the server's log.
    pub fn log(&self) -> &std::path::Path {
        &self.log
    }

    /// `postgres (PostgreSQL) 15.18 …`
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Number of the server's first process; 0 while it is being restarted.
    pub fn pid(&self) -> u32 {
        self.pid.load(Ordering::Relaxed)
    }

    /// How often the server died and was started again.
    pub fn restarts(&self) -> u32 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// Stops the server (fast: open transactions are rolled back, everything is written).
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.orders = None;
        if let Some(keeper) = self.keeper.take()
            && keeper.join().is_err()
        {
            tracing::error!("the thread that keeps PostgreSQL panicked");
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.end();
    }
}

struct Ready {
    port: u16,
    log: PathBuf,
    version: String,
}

/// What the thread shares with its owner.
struct Keeper {
    pid: Arc<AtomicU32>,
    restarts: Arc<AtomicU32>,
    stopping: Arc<AtomicBool>,
}

impl Keeper {
    fn run(&self, options: &Options, report: &Sender<Result<Ready>>, orders: &Receiver<()>) {
        let started = FolderLock::acquire(&options.home).and_then(|lock| Ok((lock, self.start(options)?)));
        let (_lock, cluster, port, server) = match started {
            Ok((lock, (cluster, port, server))) => (lock, cluster, port, server),
            Err(error) => {
                // Nobody listens any more: then nobody wants to know.
                let _ = report.send(Err(error));
                return;
            }
        };
        let ready = Ready { port, log: cluster.log_path(), version: cluster.binaries.version.clone() };
        let _ = report.send(Ok(ready));
        self.keep(&cluster, &options.listen, port, server, orders);
        self.pid.store(0, Ordering::Relaxed);
    }

    fn start(&self, options: &Options) -> Result<(Cluster, u16, Server)> {
        let fresh = !options.home.join("cluster").exists();
        let cluster = Cluster::open(&options.home, options.pg_bin.as_deref())?;
        leftovers::clear(&cluster.dir)?;
        let how = "POSTGRES_PORT, or serving.port in tributary.toml";
        let port = choose_port("PostgreSQL", &options.listen, options.port, options.port_pinned, how)?;
        cluster.write_access_rules(&options.listen)?;
        if fresh {
            cluster.set_up(&options.password)?;
        }
        let cancelled = || self.stopping.load(Ordering::Relaxed);
        let url = postgres_url::embedded(&connect_host(&options.listen), port, &options.password);
        let mut server = Server::spawn(&cluster, &options.listen, port, &cancelled)?;
        if let Err(first) = answers(&url) {
            // The password was changed, or the first start was cut short before the roles were made.
            tracing::info!("setting up the roles of PostgreSQL again ({first:#})");
            server.stop();
            cluster.set_up(&options.password)?;
            server = Server::spawn(&cluster, &options.listen, port, &cancelled)?;
            if let Err(error) = answers(&url) {
                server.stop();
                return Err(error.context(cluster.log_tail()).context("PostgreSQL started but does not let us in"));
            }
        }
        self.pid.store(server.pid(), Ordering::Relaxed);
        Ok((cluster, port, server))
    }

    /// Starts the server again whenever it dies, until told to stop.
    fn keep(&self, cluster: &Cluster, listen: &str, port: u16, mut server: Server, orders: &Receiver<()>) {
        let mut backoff = Backoff::default();
        loop {
            let up_since = Instant::now();
            let status = loop {
                match orders.recv_timeout(Duration::from_millis(50)) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => return server.stop(),
                }
                if let Some(status) = server.ended() {
                    break status;
                }
            };
            self.pid.store(0, Ordering::Relaxed);
            tracing::error!(%status, "PostgreSQL died; starting it again. {}", cluster.log_tail());
            backoff.was_up_for(up_since.elapsed());
            server = loop {
                if !matches!(orders.recv_timeout(backoff.next()), Err(RecvTimeoutError::Timeout)) {
                    return;
                }
                let cancelled = || self.stopping.load(Ordering::Relaxed);
                match leftovers::clear(&cluster.dir).and_then(|()| Server::spawn(cluster, listen, port, &cancelled)) {
                    Ok(server) => break server,
                    Err(_) if cancelled() => return,
                    Err(error) => tracing::error!(
                        "PostgreSQL does not start: {error:#}. Trying again; its own log is {}",
                        cluster.log_path().display()
                    ),
                }
            };
            self.restarts.fetch_add(1, Ordering::Relaxed);
            self.pid.store(server.pid(), Ordering::Relaxed);
            tracing::info!(pid = server.pid(), "PostgreSQL is back");
        }
    }
}

/// 0.1 s, doubling to 10 s; forgotten after a minute of health.
#[derive(Debug, Default)]
struct Backoff {
    failures: u32,
}

impl Backoff {
    fn was_up_for(&mut self, time: Duration) {
        if time > Duration::from_secs(60) {
            self.failures = 0;
        }
    }

    fn next(&mut self) -> Duration {
        let wait = Duration::from_millis(100 << self.failures.min(7)).min(Duration::from_secs(10));
        self.failures += 1;
        wait
    }
}

/// Whether the user of the pipeline gets into its database and the role of the dashboards is there.
fn answers(url: &str) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start a runtime")?;
    runtime.block_on(async {
        let ask = async {
            let mut connection = sqlx::PgConnection::connect(url).await?;
            let role: Option<(i32,)> =
                sqlx::query_as("SELECT 1 FROM pg_roles WHERE rolname = 'grafana'").fetch_optional(&mut connection).await?;
            connection.close().await?;
            Ok::<_, sqlx::Error>(role.is_some())
        };
        match tokio::time::timeout(Duration::from_secs(30), ask).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(anyhow!("role grafana is missing")),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(anyhow!("no answer within 30 s")),
        }
    })
}
