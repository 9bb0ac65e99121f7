//! The one table of settings: name, environment names, kind, field, help. Everything else (file, environment, flags,
//! `config show`, documentation) reads it, so that nothing is listed twice.
//!
//! Promises: one row per setting; each row can be written from text and shown; what is secret is never shown.

use std::collections::BTreeMap;

use super::unit::{Bytes, Count, Format, Kind, Number, Roles, Switch, Text, Time};
use super::{Settings, postgres_url};

/// One setting.
pub struct Row {
    /// Dotted name, as in the file: `pipeline.bronze_flush`.
    pub name: &'static str,
    /// Names in the environment beside the one that [`Row::env_names`] derives.
    pub aliases: &'static [&'static str],
    /// One line for a person.
    pub help: &'static str,
    /// A secret is shown as `***` and may be given as a file by `<NAME>_FILE`.
    pub secret: bool,
    pub(super) set: fn(&mut Settings, &str) -> Result<(), String>,
    get: fn(&Settings) -> Option<String>,
}

impl Row {
    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// Every environment name of this setting; the one that follows from the dotted name comes last.
    pub fn env_names(&self) -> Vec<String> {
        let derived = format!("TRIBUTARY_{}", self.name.to_uppercase().replace('.', "_"));
        let mut names: Vec<String> = self.aliases.iter().map(|name| (*name).to_owned()).collect();
        if !names.contains(&derived) {
            names.push(derived);
        }
        names
    }

    /// The value as a person may see it; none: not set.
    pub fn show(&self, settings: &Settings) -> Option<String> {
        let value = (self.get)(settings)?;
        Some(match (self.secret, self.name) {
            (true, "serving.database_url") => postgres_url::masked(&value),
            (true, _) => "***".into(),
            // Somebody may have written a login into it.
            (false, "lake.url") if value.contains("://") => postgres_url::masked(&value),
            (false, _) => value,
        })
    }
}

macro_rules! row {
    ($name:literal, $kind:ty, $($field:ident).+, [$($alias:literal),*], $help:literal) => {
        Row {
            name: $name,
            aliases: &[$($alias),*],
            help: $help,
            secret: false,
            set: |settings, text| {
                settings.$($field).+ = <$kind as Kind<_>>::parse(text)?;
                Ok(())
            },
            get: |settings| <$kind as Kind<_>>::show(&settings.$($field).+),
        }
    };
}

/// A property of librdkafka that has an environment name of its own.
macro_rules! property {
    ($property:literal, [$($alias:literal),*], $help:literal) => {
        Row {
            name: concat!("kafka.properties.", $property),
            aliases: &[$($alias),*],
            help: $help,
            secret: false,
            set: |settings, text| {
                settings.kafka.properties.insert($property.into(), text.into());
                Ok(())
            },
            get: |settings| settings.kafka.properties.get($property).cloned(),
        }
    };
}

/// All settings, in the order in which `config show` prints them.
pub static TABLE: &[Row] = &[
    row!("data_dir", Text, data_dir, ["TRIBUTARY_DATA"], "folder of everything embedded, and of the lake unless lake.url is set"),
    row!("streams_dir", Text, streams_dir, ["TRIBUTARY_STREAMS"], "folder of the declared streams, *.toml"),
    row!("streams_only", Text, streams_only, [], "names of the streams that this process works with, with commas; not set: all"),
    row!("instance", Text, instance, [], "name of this process in metrics, group membership and logs"),
    row!("roles", Roles, roles, [], "what this process does: bronze, serving, batch, generator, console"),
    row!("log.format", Format, log.format, [], "pretty or json"),
    row!("log.filter", Text, log.filter, ["TRIBUTARY_LOG"], "info, debug, or per target: info,delta_writer=debug"),
    row!("http.listen", Text, http.listen, [], "address of the console, /metrics, /healthz, /readyz"),
    row!("console.token", Text, console.token, [], "what the console asks for; without it it is open, and on loopback only")
        .secret(),
    row!("console.read_only", Switch, console.read_only, [], "true: the console shows, and does nothing"),
    row!(
        "kafka.bootstrap_servers",
        Text,
        kafka.bootstrap_servers,
        ["KAFKA_BOOTSTRAP_SERVERS"],
        "host:port,…; not set: the embedded broker"
    ),
    row!("kafka.topic", Text, kafka.topic, ["KAFKA_TOPIC"], "stands in for the topic of the stream user_events"),
    row!(
        "kafka.group_id",
        Text,
        kafka.group_id,
        [],
        "consumer group, one per stream (NAME-STREAM; NAME-STREAM-bronze or -serving for processes that fill one store only)"
    ),
    row!("kafka.partitions", Count, kafka.partitions, [], "partitions of a topic that we create"),
    row!("kafka.session_timeout", Time, kafka.session_timeout, [], "how long the group waits for a silent member"),
    row!("kafka.retention", Time, kafka.retention, [], "the embedded broker keeps records this long"),
    row!("kafka.retention_bytes", Bytes, kafka.retention_bytes, [], "the embedded broker keeps at most this much per partition"),
    row!("kafka.embedded_port", Count, kafka.embedded_port, [], "port of the embedded broker"),
    property!("security.protocol", ["KAFKA_SECURITY_PROTOCOL"], "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"),
    property!("sasl.mechanism", ["KAFKA_SASL_MECHANISM"], "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"),
    property!("sasl.username", ["KAFKA_SASL_USERNAME"], "user at the broker"),
    property!("sasl.password", ["KAFKA_SASL_PASSWORD"], "password at the broker").secret(),
    property!("ssl.ca.location", ["KAFKA_SSL_CA_LOCATION"], "file of the authority that signed the broker's certificate"),
    property!(
        "ssl.certificate.location",
        ["KAFKA_SSL_CERTIFICATE_LOCATION", "KAFKA_SSL_CERTIFICATE"],
        "file of our own certificate"
    ),
    property!("ssl.key.location", ["KAFKA_SSL_KEY_LOCATION", "KAFKA_SSL_KEY"], "file of our own private key"),
    property!("ssl.key.password", ["KAFKA_SSL_KEY_PASSWORD"], "password of that key").secret(),
    row!("lake.url", Text, lake.url, ["LAKEHOUSE_PATH"], "path or URL of the lake; not set: <data_dir>/lakehouse"),
    row!("serving.database_url", Text, serving.database_url, ["DATABASE_URL"], "postgres://…; not set: the embedded PostgreSQL")
        .secret(),
    row!("serving.host", Text, serving.host, ["POSTGRES_HOST"], "host of a PostgreSQL that runs already"),
    row!("serving.port", Count, serving.embedded_port, ["POSTGRES_PORT"], "port on that host, or of the embedded PostgreSQL"),
    row!("serving.database", Text, serving.database, ["POSTGRES_DB"], "database on that host"),
    row!("serving.user", Text, serving.user, ["POSTGRES_USER"], "user on that host"),
    row!(
        "serving.password",
        Text,
        serving.embedded_password,
        ["POSTGRES_PASSWORD"],
        "password of that user; embedded: of platform and grafana"
    )
    .secret(),
    row!(
        "serving.sslmode",
        Text,
        serving.ssl_mode,
        ["POSTGRES_SSLMODE"],
        "disable, allow, prefer, require, verify-ca or verify-full"
    ),
    row!("serving.sslrootcert", Text, serving.ssl_root_cert, ["POSTGRES_SSLROOTCERT"], "file of the certificate authority"),
    row!("serving.listen", Text, serving.listen, [], "address on which the embedded PostgreSQL listens"),
    row!("serving.pg_bin", Text, serving.pg_bin, ["PG_BIN"], "folder with the binaries postgres and initdb"),
    row!("pipeline.bronze_flush", Time, pipeline.bronze_flush, [], "bronze commits at the latest after this long"),
    row!("pipeline.bronze_file_bytes", Bytes, pipeline.bronze_file_bytes, [], "bronze cuts a file earlier when it is this large"),
    row!("pipeline.window_merge", Time, pipeline.window_merge, [], "windows are merged into PostgreSQL this often"),
    row!("pipeline.gate_rows", Count, pipeline.gate_rows, [], "rows in flight between Kafka and the stores, at most"),
    row!("pipeline.gate_bytes", Bytes, pipeline.gate_bytes, [], "bytes in flight between Kafka and the stores, at most"),
    row!("pipeline.batch_rows", Count, pipeline.batch_rows, [], "rows of one batch, at most"),
    row!("pipeline.batch_wait", Time, pipeline.batch_wait, [], "a small batch waits this long for more"),
    row!("pipeline.stall_after", Time, pipeline.stall_after, [], "a store that makes nothing durable for this long is detached"),
    row!("pipeline.restart_backoff", Time, pipeline.restart_backoff, [], "first wait before a broken pipeline is rebuilt"),
    row!("pipeline.restart_backoff_max", Time, pipeline.restart_backoff_max, [], "longest such wait"),
    row!("pipeline.restart_budget", Count, pipeline.restart_budget, [], "this many rebuilds within ten minutes are given up"),
    row!("pipeline.shutdown_deadline", Time, pipeline.shutdown_deadline, [], "a longer shutdown is cut short; nothing is lost"),
    row!("pipeline.min_free_bytes", Bytes, pipeline.min_free_bytes, [], "bronze waits while the disk has less free space"),
    row!("batch.jobs_dir", Text, batch.jobs_dir, ["TRIBUTARY_JOBS"], "folder of the jobs, *.toml"),
    row!("batch.models_dir", Text, batch.models_dir, ["TRIBUTARY_MODELS"], "folder of the gold models, *.sql"),
    row!("batch.memory", Bytes, batch.memory, [], "memory for computing over tables; beyond it is spilled to disk"),
    row!("batch.spill_dir", Text, batch.spill_dir, [], "where it is spilled; not set: <data_dir>/spill"),
    row!("batch.threads", Count, batch.threads, [], "threads that compute over tables; 0: one per core"),
    row!("batch.keep_runs", Time, batch.keep_runs, [], "runs, their tasks and their logs are kept this long"),
    row!("batch.keep_realtime", Time, batch.keep_realtime, [], "rows of the live windows are kept this long"),
    row!("batch.keep_versions", Time, batch.keep_versions, [], "how far back silver and gold can be read; bronze: one day"),
    row!("batch.target_file_bytes", Bytes, batch.target_file_bytes, [], "compaction makes files of about this size"),
    row!(
        "batch.max_shrink",
        Number,
        batch.max_shrink,
        [],
        "a closed day that shrinks by a larger part than this is published with --force alone"
    ),
    row!(
        "prometheus.port",
        Count,
        prometheus.port,
        ["PROMETHEUS_PORT"],
        "port of the Prometheus that is started beside the embedded parts; 0: none"
    ),
    row!("prometheus.bin", Text, prometheus.bin, [], "the program; not set: prometheus on the PATH, if it is there"),
    row!("prometheus.rules_dir", Text, prometheus.rules_dir, [], "folder of the rules and alerts, *.yml"),
    row!("prometheus.retention", Time, prometheus.retention, [], "what it has seen is kept this long, up to 1 GB"),
    row!(
        "generator.events_per_second",
        Number,
        generator.events_per_second,
        ["EVENTS_PER_SECOND"],
        "demo traffic; 0 switches it off"
    ),
    row!("generator.num_users", Count, generator.num_users, ["NUM_USERS"], "users of the demo at the start"),
    row!(
        "generator.user_growth_rate",
        Number,
        generator.user_growth_rate,
        ["USER_GROWTH_RATE"],
        "new users of the demo per hour"
    ),
];

/// Names of the platform that came before which mean nothing here, and why.
pub static UNUSED_ENV: &[(&str, &str)] = &[(
    "CHECKPOINT_PATH",
    "there are no checkpoint folders: each store keeps its own offsets in the transaction that moves its data",
)];

/// Names of ours that are no settings: of the command line, of the scripts and of docker-compose.yml.
pub static OTHER_ENV: [&str; 5] = ["TRIBUTARY_CONFIG", "TRIBUTARY_BIN", "TRIBUTARY_CACHE", "TRIBUTARY_VENV", "TRIBUTARY_PORT"];

/// The row of that dotted name.
pub fn row(name: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.name == name)
}

/// Prefixes whose names are another program's: any property of librdkafka, any option of the object store.
pub const OPEN: [&str; 2] = ["kafka.properties.", "lake.options."];

/// Writes a setting by its dotted name, listed or under an [`OPEN`] prefix. `None`: there is no such setting.
pub(super) fn set(settings: &mut Settings, name: &str, text: &str) -> Option<Result<(), String>> {
    if let Some(row) = row(name) {
        return Some((row.set)(settings, text));
    }
    let [property, option] = OPEN.map(|prefix| name.strip_prefix(prefix).filter(|rest| !rest.is_empty()));
    if let Some(property) = property {
        settings.kafka.properties.insert(property.to_owned(), text.to_owned());
    } else if let Some(option) = option {
        settings.lake.options.insert(option.to_owned(), text.to_owned());
    } else {
        return None;
    }
    Some(Ok(()))
}

/// Every set property and option that has no row of its own, masked: dotted name and value.
pub fn open_values(settings: &Settings) -> Vec<(String, String)> {
    let [properties, options] = OPEN;
    let all = masked(&settings.kafka.properties).into_iter().map(|(name, value)| (format!("{properties}{name}"), value));
    all.chain(masked(&settings.lake.options).into_iter().map(|(name, value)| (format!("{options}{name}"), value)))
        .filter(|(name, _)| row(name).is_none())
        .collect()
}

/// The same map with `***` for every value whose name speaks of a secret.
pub fn masked(map: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    map.iter().map(|(name, value)| (name.clone(), if is_secret(name) { "***".into() } else { value.clone() })).collect()
}

/// Every secret value as it is, for whoever has to keep it out of something. Never to be shown.
pub fn secrets(settings: &Settings) -> Vec<String> {
    let listed = TABLE.iter().filter(|row| row.secret).filter_map(|row| (row.get)(settings));
    let open = settings.kafka.properties.iter().chain(&settings.lake.options);
    listed.chain(open.filter(|(name, _)| is_secret(name)).map(|(_, value)| value.clone())).collect()
}

/// Whether the name of another program's property speaks of a secret.
fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    let is_place = name.ends_with(".location") || name.ends_with("_path");
    !is_place
        && ["password", "secret", "token", "key", "pem", "jaas", "oauthbearer.config"].iter().any(|word| name.contains(word))
}
