//! What must hold between the values, whoever set them.
//!
//! Promises that what passes here makes a pipeline that can start: no zero where something divides, no listener beyond
//! loopback with a password that everybody knows, no librdkafka property that would break exactly-once.

use std::net::IpAddr;
use std::time::Duration;

use super::{DEMO_PASSWORD, Role, Settings};

/// Properties that are the pipeline's own: a person who could set them could lose data without a word.
const OWN_PROPERTIES: [(&str, &str); 15] = [
    ("bootstrap.servers", "kafka.bootstrap_servers"),
    ("metadata.broker.list", "kafka.bootstrap_servers"),
    ("group.id", "kafka.group_id"),
    ("session.timeout.ms", "kafka.session_timeout"),
    ("group.instance.id", ""),
    ("group.protocol", ""),
    ("enable.auto.commit", ""),
    ("enable.auto.offset.store", ""),
    ("auto.offset.reset", ""),
    ("isolation.level", ""),
    ("partition.assignment.strategy", ""),
    ("enable.partition.eof", ""),
    ("enable.idempotence", ""),
    ("acks", ""),
    ("request.required.acks", ""),
];

/// Every mistake as (setting, what to change).
pub(super) fn mistakes(settings: &Settings) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    kafka(settings, &mut found);
    serving(settings, &mut found);
    http(settings, &mut found);
    pipeline(settings, &mut found);
    batch(settings, &mut found);
    if settings.instance.is_empty() || settings.instance.chars().any(|c| !(c.is_ascii_alphanumeric() || "-_.".contains(c))) {
        found.push(("instance", format!("`{}` may hold letters, digits, `-`, `_` and `.` only", settings.instance)));
    }
    if settings.generator.num_users == 0 {
        found.push(("generator.num_users", "0 users make no events; write at least 1".into()));
    }
    if settings.lake.url.is_empty() || settings.data_dir.is_empty() {
        found.push((if settings.data_dir.is_empty() { "data_dir" } else { "lake.url" }, "is empty; write a path".into()));
    }
    found
}

fn kafka(settings: &Settings, found: &mut Vec<(&'static str, String)>) {
    let kafka = &settings.kafka;
    for server in kafka.bootstrap_servers.iter().flat_map(|servers| servers.split(',')) {
        if split_port(server.trim()).is_none() {
            found.push(("kafka.bootstrap_servers", format!("`{server}` is not host:port, like localhost:9092")));
        }
    }
    if let Some(topic) = &kafka.topic {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if topic.is_empty() || topic.len() > 249 || !topic.chars().all(allowed) {
            found.push(("kafka.topic", format!("`{topic}` is no topic name: up to 249 letters, digits, `.`, `_`, `-`")));
        }
    }
    if kafka.group_id.is_empty() {
        found.push(("kafka.group_id", "is empty; write a name".into()));
    }
    if !(1..=1000).contains(&kafka.partitions) {
        found.push(("kafka.partitions", format!("{} is not from 1 to 1000", kafka.partitions)));
    }
    if !(Duration::from_secs(1)..=Duration::from_secs(1800)).contains(&kafka.session_timeout) {
        found.push(("kafka.session_timeout", "is not from 1s to 30m (a broker usually asks for 6s at least)".into()));
    }
    for (property, instead) in OWN_PROPERTIES {
        if kafka.properties.contains_key(property) {
            let instead = if instead.is_empty() { "exactly-once needs it as it is".to_owned() } else { format!("use {instead}") };
            found.push(("kafka.properties", format!("`{property}` is not yours to set: {instead}")));
        }
    }
    let protocol = kafka.properties.get("security.protocol").map(|p| p.to_uppercase());
    if protocol.as_deref().is_some_and(|p| !["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"].contains(&p)) {
        let known = "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL";
        found.push(("kafka.properties.security.protocol", format!("write {known}")));
    }
    if protocol.as_deref().is_some_and(|p| p != "PLAINTEXT") && kafka.bootstrap_servers.is_none() {
        let why = "the embedded broker speaks PLAINTEXT on loopback only; set kafka.bootstrap_servers";
        found.push(("kafka.properties.security.protocol", why.into()));
    }
}

fn serving(settings: &Settings, found: &mut Vec<(&'static str, String)>) {
    let serving = &settings.serving;
    if let Some(url) = &serving.database_url
        && !(url.starts_with("postgres://") || url.starts_with("postgresql://"))
    {
        found.push(("serving.database_url", "does not begin with postgres://; write postgres://user@host:5432/database".into()));
    }
    if let Some(mode) = &serving.ssl_mode
        && !["disable", "allow", "prefer", "require", "verify-ca", "verify-full"].contains(&mode.as_str())
    {
        found.push(("serving.sslmode", format!("`{mode}` is none of disable, allow, prefer, require, verify-ca, verify-full")));
    }
    if serving.database_url.is_some() {
        return;
    }
    if serving.embedded_password.is_empty() || serving.embedded_password.chars().any(char::is_control) {
        found.push(("serving.password", "is empty or holds control characters".into()));
    }
    if serving.listen.parse::<IpAddr>().is_err() {
        found.push(("serving.listen", format!("`{}` is not an address like 127.0.0.1", serving.listen)));
    }
    // A process that only makes events starts no PostgreSQL.
    if settings.roles.iter().all(|role| *role == Role::Generator) {
        return;
    }
    for (name, listens) in [("serving.listen", serving.listen.as_str()), ("http.listen", settings.http.listen.as_str())] {
        if !is_loopback(listens) && serving.embedded_password == DEMO_PASSWORD {
            let why =
                "is beyond loopback while PostgreSQL has the demo's password; set POSTGRES_PASSWORD (or POSTGRES_PASSWORD_FILE)";
            found.push((name, format!("`{listens}` {why}")));
        }
    }
}

fn http(settings: &Settings, found: &mut Vec<(&'static str, String)>) {
    if split_port(&settings.http.listen).is_none() {
        found.push(("http.listen", format!("`{}` is not address:port, like 127.0.0.1:8082", settings.http.listen)));
    }
    // Long enough not to be guessed, and printable, since it travels in a header.
    if settings.console.token.as_ref().is_some_and(|token| token.len() < 8 || token.chars().any(|c| !c.is_ascii_graphic())) {
        found.push((
            "console.token",
            "is shorter than 8 letters, or holds blanks or other than ASCII; try: openssl rand -hex 16".into(),
        ));
    }
}

fn pipeline(settings: &Settings, found: &mut Vec<(&'static str, String)>) {
    let pipeline = &settings.pipeline;
    let at_least = |name, value: Duration, least: Duration, found: &mut Vec<(&'static str, String)>| {
        if value < least {
            found.push((name, format!("{value:?} is too short; write {least:?} or more")));
        }
    };
    let ms = Duration::from_millis;
    at_least("pipeline.bronze_flush", pipeline.bronze_flush, ms(10), found);
    at_least("pipeline.window_merge", pipeline.window_merge, ms(10), found);
    at_least("pipeline.batch_wait", pipeline.batch_wait, ms(1), found);
    at_least("pipeline.restart_backoff", pipeline.restart_backoff, ms(10), found);
    at_least("pipeline.restart_backoff_max", pipeline.restart_backoff_max, pipeline.restart_backoff, found);
    at_least("pipeline.shutdown_deadline", pipeline.shutdown_deadline, ms(500), found);
    at_least("pipeline.stall_after", pipeline.stall_after, ms(500), found);
    if !(1..=1 << 20).contains(&pipeline.batch_rows) {
        found.push(("pipeline.batch_rows", format!("{} is not from 1 to 1048576", pipeline.batch_rows)));
    }
    if pipeline.gate_rows < pipeline.batch_rows.saturating_mul(2) {
        let needed = pipeline.batch_rows.saturating_mul(2);
        found.push(("pipeline.gate_rows", format!("{} must hold two batches: write {needed} or more", pipeline.gate_rows)));
    }
    if pipeline.gate_bytes < 8 << 20 {
        found.push(("pipeline.gate_bytes", "is too small for one batch; write 8 MiB or more".into()));
    }
    if pipeline.bronze_file_bytes < 64 << 10 {
        found.push(("pipeline.bronze_file_bytes", "makes files that no reader likes; write 64 KiB or more".into()));
    }
}

fn batch(settings: &Settings, found: &mut Vec<(&'static str, String)>) {
    let batch = &settings.batch;
    for (name, folder) in
        [("batch.jobs_dir", &batch.jobs_dir), ("batch.models_dir", &batch.models_dir), ("batch.spill_dir", &batch.spill_dir)]
    {
        if folder.is_empty() {
            found.push((name, "is empty; write a path".into()));
        }
    }
    if batch.memory < 64 << 20 {
        found.push(("batch.memory", "is too small to sort anything in; write 64 MiB or more".into()));
    }
    if batch.target_file_bytes < 1 << 20 {
        found.push(("batch.target_file_bytes", "makes files that no reader likes; write 1 MiB or more".into()));
    }
    if batch.threads > 1024 {
        found.push(("batch.threads", format!("{} is not from 0 (one per core) to 1024", batch.threads)));
    }
    if batch.max_shrink > 1.0 {
        found.push(("batch.max_shrink", format!("{} is not from 0 to 1; write 0.1 for a tenth", batch.max_shrink)));
    }
    let (hour, day) = (Duration::from_secs(3600), Duration::from_secs(86_400));
    // Readers and late writers must be done with a version before its files go.
    for (name, keep, least, words) in [
        ("batch.keep_runs", batch.keep_runs, hour, "1h"),
        ("batch.keep_realtime", batch.keep_realtime, day, "1d"),
        ("batch.keep_versions", batch.keep_versions, day, "1d"),
    ] {
        if keep < least {
            found.push((name, format!("is too short; write {words} or more")));
        }
    }
}

/// `[::1]:5432` → (`::1`, 5432). Port 0 is any free port and fine for a listener.
fn split_port(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    Some((host, port.parse().ok()?)).filter(|(host, _)| !host.is_empty())
}

/// Whether an address, with or without its port, stays on this machine.
pub fn is_loopback(listen: &str) -> bool {
    let host = split_port(listen).filter(|_| listen.parse::<IpAddr>().is_err()).map_or(listen, |(host, _)| host);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
