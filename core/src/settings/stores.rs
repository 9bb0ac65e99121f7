//! Where the three stores are: Kafka, the lake, PostgreSQL.
//!
//! Promises that none of them prints a password: each has its own `Debug`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::{DEMO_PASSWORD, postgres_url, table};

/// Where Kafka is and how to speak to it.
#[derive(Clone, PartialEq)]
pub struct Kafka {
    /// `host:port,…`; none: the embedded broker.
    pub bootstrap_servers: Option<String>,
    /// Stands in for the topic that the stream `user_events` declares.
    pub topic: Option<String>,
    /// Consumer group: decides which instance reads which partition, never from where.
    pub group_id: String,
    /// Partitions of a topic that we create.
    pub partitions: i32,
    /// Passed to librdkafka as they are: `security.protocol`, `sasl.*`, `ssl.*` and whatever else a person sets.
    pub properties: BTreeMap<String, String>,
    /// How long the group waits for a silent member.
    pub session_timeout: Duration,
    /// The embedded broker keeps records this long.
    pub retention: Duration,
    /// The embedded broker keeps at most this much per partition.
    pub retention_bytes: u64,
    /// Port of the embedded broker.
    pub embedded_port: u16,
}

impl Default for Kafka {
    fn default() -> Self {
        Self {
            bootstrap_servers: None,
            topic: None,
            group_id: "tributary".into(),
            partitions: 6,
            properties: BTreeMap::new(),
            session_timeout: Duration::from_secs(10),
            retention: Duration::from_secs(24 * 3600),
            retention_bytes: 1 << 30,
            embedded_port: 29092,
        }
    }
}

/// A log line that prints settings must not print passwords.
impl fmt::Debug for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kafka")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("topic", &self.topic)
            .field("group_id", &self.group_id)
            .field("partitions", &self.partitions)
            .field("properties", &table::masked(&self.properties))
            .field("session_timeout", &self.session_timeout)
            .field("retention", &self.retention)
            .field("retention_bytes", &self.retention_bytes)
            .field("embedded_port", &self.embedded_port)
            .finish()
    }
}

/// Where the lake is.
#[derive(Clone, PartialEq)]
pub struct Lake {
    /// Path or URL of the folder that holds `bronze/`, `silver/`, `gold/`.
    pub url: String,
    /// Passed to the object store as they are (`aws_region`, …).
    pub options: BTreeMap<String, String>,
}

impl Default for Lake {
    fn default() -> Self {
        Self { url: "./data/lakehouse".into(), options: BTreeMap::new() }
    }
}

impl fmt::Debug for Lake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lake").field("url", &self.url).field("options", &table::masked(&self.options)).finish()
    }
}

/// Where PostgreSQL is.
#[derive(Clone, PartialEq)]
pub struct Serving {
    /// `postgres://…`, complete (also when a person gave host, user and password one by one); none: an embedded server is spawned.
    pub database_url: Option<String>,
    /// Host of a PostgreSQL that runs already; none: embedded, unless there is a `database_url`.
    pub host: Option<String>,
    /// Port of the embedded server, or of `host`.
    pub embedded_port: u16,
    /// Database on `host`. The embedded server's is always `serving`.
    pub database: String,
    /// User on `host`. The embedded server's is always `platform`.
    pub user: String,
    /// Password of the embedded server's user `platform`, and of `grafana`; or of `user` on `host`.
    pub embedded_password: String,
    /// `disable`, `prefer`, `require`, `verify-ca`, `verify-full`; folded into `database_url`.
    pub ssl_mode: Option<String>,
    /// File of the certificate authority; folded into `database_url`.
    pub ssl_root_cert: Option<String>,
    /// Address on which the embedded server listens; loopback unless a person says otherwise.
    pub listen: String,
    /// Folder with the binaries `postgres` and `initdb`; none: they are looked for.
    pub pg_bin: Option<String>,
}

impl Default for Serving {
    fn default() -> Self {
        Self {
            database_url: None,
            host: None,
            embedded_port: 5432,
            database: "serving".into(),
            user: "platform".into(),
            embedded_password: DEMO_PASSWORD.into(),
            ssl_mode: None,
            ssl_root_cert: None,
            listen: "127.0.0.1".into(),
            pg_bin: None,
        }
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving")
            .field("database_url", &self.database_url.as_deref().map(postgres_url::masked))
            .field("host", &self.host)
            .field("embedded_port", &self.embedded_port)
            .field("database", &self.database)
            .field("user", &self.user)
            .field("ssl_mode", &self.ssl_mode)
            .field("ssl_root_cert", &self.ssl_root_cert)
            .field("listen", &self.listen)
            .field("pg_bin", &self.pg_bin)
            .finish_non_exhaustive()
    }
}
