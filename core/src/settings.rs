//! Every setting of the house, typed and with its default.
//!
//! Promises that a [`Settings`] in hand has been validated. Where values come from (flags > environment > file > defaults) is
//! [`layers`]' business; this file says only what exists.

use std::collections::BTreeSet;
use std::time::Duration;

mod batch;
mod console;
pub mod file;
pub mod layers;
pub mod postgres_url;
mod prometheus;
mod stores;
pub mod table;
pub mod unit;
pub mod validate;

pub use batch::Batch;
pub use console::Console;
pub use prometheus::Prometheus;
pub use stores::{Kafka, Lake, Serving};

/// The password of the demo. Fine on loopback, refused beyond it.
pub const DEMO_PASSWORD: &str = "platform123";

/// All of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Where Kafka is and how to speak to it.
    pub kafka: Kafka,
    /// Where the lake is.
    pub lake: Lake,
    /// Where PostgreSQL is.
    pub serving: Serving,
    /// Latency, sizes and patience of the streaming pipeline.
    pub pipeline: Pipeline,
    /// Jobs, models, memory and retention of the batch layer.
    pub batch: Batch,
    /// The traffic of the built-in generator.
    pub generator: Generator,
    /// `/metrics`, `/healthz`, `/readyz`, and the console.
    pub http: Http,
    /// Who may use the console, and for what.
    pub console: Console,
    /// The Prometheus beside the embedded parts.
    pub prometheus: Prometheus,
    /// Name of this process in metrics, group membership and logs.
    pub instance: String,
    /// Folder for everything embedded (broker, PostgreSQL) and for the lake unless it has a path of its own.
    pub data_dir: String,
    /// Folder of the declared streams, `*.toml`.
    pub streams_dir: String,
    /// Names of the streams that this process works with, with commas; all when it is not set.
    pub streams_only: Option<String>,
    /// What this process does under `tributary up`.
    pub roles: BTreeSet<Role>,
    /// How much is said, and in which form.
    pub log: Log,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            kafka: Kafka::default(),
            lake: Lake::default(),
            serving: Serving::default(),
            pipeline: Pipeline::default(),
            batch: Batch::default(),
            generator: Generator::default(),
            http: Http::default(),
            console: Console::default(),
            prometheus: Prometheus::default(),
            instance: "local".into(),
            data_dir: "./data".into(),
            streams_dir: "streams".into(),
            streams_only: None,
            roles: BTreeSet::from(Role::ALL),
            log: Log::default(),
        }
    }
}

/// One thing that a process may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Kafka to the Delta table `bronze/<stream>`.
    Bronze,
    /// Kafka to the windows in PostgreSQL.
    Serving,
    /// Makes demo traffic.
    Generator,
    /// Runs jobs: bronze to silver to gold to PostgreSQL, and maintenance.
    Batch,
    /// Pages and an API that show all of it, and that a person may act through.
    Console,
}

impl Role {
    /// All of them, in the order in which data meets them.
    pub const ALL: [Role; 5] = [Role::Generator, Role::Bronze, Role::Serving, Role::Batch, Role::Console];

    /// The word that people write.
    pub fn name(self) -> &'static str {
        match self {
            Role::Bronze => "bronze",
            Role::Serving => "serving",
            Role::Generator => "generator",
            Role::Batch => "batch",
            Role::Console => "console",
        }
    }
}

/// Latency, sizes and patience of the streaming pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    /// Bronze commits at the latest after this long (when there is anything to commit).
    pub bronze_flush: Duration,
    /// Bronze cuts its files earlier when they reach this many encoded bytes.
    pub bronze_file_bytes: usize,
    /// Windows are merged into PostgreSQL this often.
    pub window_merge: Duration,
    /// Rows that may be in flight between Kafka and the stores.
    pub gate_rows: usize,
    /// Bytes that may be in flight between Kafka and the stores.
    pub gate_bytes: usize,
    /// Rows of one batch at most.
    pub batch_rows: usize,
    /// A batch is sent on after this long even when it is small.
    pub batch_wait: Duration,
    /// A store that makes nothing durable for this long while work waits is detached.
    pub stall_after: Duration,
    /// First wait before a broken pipeline is rebuilt; doubles each time.
    pub restart_backoff: Duration,
    /// Longest such wait.
    pub restart_backoff_max: Duration,
    /// This many rebuilds within ten minutes are given up.
    pub restart_budget: u32,
    /// A shutdown that takes longer than this is cut short; nothing is lost, some is read again.
    pub shutdown_deadline: Duration,
    /// Bronze refuses to write below this much free space; the leg waits until there is more.
    pub min_free_bytes: u64,
}

impl Default for Pipeline {
    fn default() -> Self {
        Self {
            bronze_flush: Duration::from_secs(1),
            bronze_file_bytes: 12 << 20,
            window_merge: Duration::from_millis(500),
            gate_rows: 120_000,
            gate_bytes: 32 << 20,
            batch_rows: 8_192,
            batch_wait: Duration::from_millis(50),
            stall_after: Duration::from_secs(30),
            restart_backoff: Duration::from_millis(500),
            restart_backoff_max: Duration::from_secs(60),
            restart_budget: 10,
            shutdown_deadline: Duration::from_secs(10),
            min_free_bytes: 64 << 20,
        }
    }
}

/// The traffic of the built-in generator.
#[derive(Debug, Clone, PartialEq)]
pub struct Generator {
    /// Events per second, 0 switches it off.
    pub events_per_second: f64,
    /// Users at the start.
    pub num_users: u64,
    /// New users per hour.
    pub user_growth_rate: f64,
}

impl Default for Generator {
    fn default() -> Self {
        Self { events_per_second: 5.0, num_users: 100, user_growth_rate: 10.0 }
    }
}

/// `/metrics`, `/healthz`, `/readyz`, and the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// Address to listen on; loopback unless a person says otherwise.
    pub listen: String,
}

impl Default for Http {
    fn default() -> Self {
        Self { listen: "127.0.0.1:8082".into() }
    }
}

/// How much is said, and in which form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// For a person or for a machine.
    pub format: LogFormat,
    /// `info`, `debug`, or per target: `info,delta_writer=debug`.
    pub filter: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Pretty, filter: "info".into() }
    }
}

/// Form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// A line for a person.
    Pretty,
    /// A line of JSON.
    Json,
}
