//! The only place that touches the metrics library: one function per thing that is counted, names from [`tributary_core::metric`].
//!
//! Promises that a metric is bumped once per fact. Whoever calls from a commit path calls after the commit.
#![allow(clippy::disallowed_macros)] // this module is what the ban points to

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tributary_core::metric::{self, Metric, Type};
use tributary_core::span::Leg;

/// Installs the recorder; call once per process.
///
/// # Errors
/// When a recorder is already installed.
pub fn install() -> Result<PrometheusHandle, metrics_exporter_prometheus::BuildError> {
    let mut builder = PrometheusBuilder::new();
    for m in metric::ALL.iter().filter(|m| m.kind == Type::Histogram) {
        builder = builder.set_buckets_for_metric(Matcher::Full(m.name.to_owned()), &metric::LATENCY_BOUNDS)?;
    }
    let handle = builder.install_recorder()?;
    for m in metric::ALL {
        match m.kind {
            Type::Counter => metrics::describe_counter!(m.name, m.help),
            Type::Gauge => metrics::describe_gauge!(m.name, m.help),
            Type::Histogram => metrics::describe_histogram!(m.name, m.help),
        }
    }
    set(metric::BUILD_INFO, &[("version", env!("CARGO_PKG_VERSION").to_owned())], 1.0);
    Ok(handle)
}

fn add(m: Metric, labels: &[(&'static str, String)], n: u64) {
    metrics::counter!(m.name, labels).increment(n);
}

fn set(m: Metric, labels: &[(&'static str, String)], value: f64) {
    metrics::gauge!(m.name, labels).set(value);
}

fn observe(m: Metric, labels: &[(&'static str, String)], value: f64) {
    metrics::histogram!(m.name, labels).record(value);
}

/// `n` generated records were acknowledged by Kafka.
pub fn generated(n: u64) {
    add(metric::GENERATED, &[], n);
}

/// What one leg of one stream reports.
#[derive(Debug, Clone)]
pub struct LegMeter {
    labels: [(&'static str, String); 2],
}

impl LegMeter {
    /// For this stream and leg.
    pub fn new(stream: &str, leg: Leg) -> Self {
        Self { labels: [("stream", stream.to_owned()), ("leg", leg.as_str().to_owned())] }
    }

    /// A commit became durable: `records` of them, after `seconds`; its oldest record is `age` seconds old.
    pub fn committed(&self, records: u64, seconds: f64, age: Option<f64>, now_seconds: f64) {
        self.outcome("done");
        add(metric::RECORDS, &self.labels, records);
        observe(metric::COMMIT_SECONDS, &self.labels, seconds);
        if let Some(age) = age {
            observe(metric::LATENCY, &self.labels, age.max(0.0));
        }
        set(metric::LAST_COMMIT, &self.labels, now_seconds);
    }

    /// A commit ended otherwise.
    pub fn outcome(&self, outcome: &'static str) {
        let [stream, leg] = self.labels.clone();
        add(metric::COMMITS, &[stream, leg, ("outcome", outcome.to_owned())], 1);
    }

    /// An attempt failed and is tried again.
    pub fn retried(&self) {
        add(metric::COMMIT_ERRORS, &self.labels, 1);
    }

    /// Where the leg is in a partition.
    pub fn position(&self, partition: i32, next: i64, lag: Option<i64>) {
        let [stream, leg] = self.labels.clone();
        let labels = [stream, leg, ("partition", partition.to_string())];
        set(metric::NEXT_OFFSET, &labels, next as f64);
        if let Some(lag) = lag {
            set(metric::LAG, &labels, lag.max(0) as f64);
        }
    }

    /// Whether the main pipeline feeds the leg.
    pub fn attached(&self, attached: bool) {
        set(metric::LEG_ATTACHED, &self.labels, f64::from(u8::from(attached)));
    }

    /// The leg was detached.
    pub fn detached(&self) {
        add(metric::DETACHED, &self.labels, 1);
    }
}

/// What one stream reports.
#[derive(Debug, Clone)]
pub struct StreamMeter {
    labels: [(&'static str, String); 1],
}

impl StreamMeter {
    /// For this stream.
    pub fn new(stream: &str) -> Self {
        Self { labels: [("stream", stream.to_owned())] }
    }

    /// Bronze has `n` more records of this status, which is not `ok`.
    pub fn rejected(&self, status: &'static str, n: u64) {
        let [stream] = self.labels.clone();
        add(metric::REJECTED, &[stream, ("status", status.to_owned())], n);
    }

    /// Bronze grew.
    pub fn bronze(&self, bytes: u64, version: u64) {
        add(metric::BRONZE_BYTES, &self.labels, bytes);
        set(metric::DELTA_VERSION, &self.labels, version as f64);
    }

    /// A checkpoint was written or failed.
    pub fn checkpoint(&self, outcome: &'static str) {
        let [stream] = self.labels.clone();
        add(metric::CHECKPOINTS, &[stream, ("outcome", outcome.to_owned())], 1);
    }

    /// Kafka's high watermark.
    pub fn high_watermark(&self, partition: i32, high: i64) {
        let [stream] = self.labels.clone();
        set(metric::HIGH_WATERMARK, &[stream, ("partition", partition.to_string())], high as f64);
    }

    /// What is inside the gate.
    pub fn gate(&self, rows: usize, bytes: usize) {
        set(metric::GATE_ROWS, &self.labels, rows as f64);
        set(metric::GATE_BYTES, &self.labels, bytes as f64);
    }

    /// The consumer has waited this many more whole seconds for credit.
    pub fn gate_waited(&self, seconds: u64) {
        add(metric::GATE_WAIT, &self.labels, seconds);
    }

    /// Partitions that wait for a person.
    pub fn blocked(&self, partitions: usize) {
        set(metric::BLOCKED, &self.labels, partitions as f64);
    }

    /// The group was rebalanced.
    pub fn rebalanced(&self) {
        add(metric::REBALANCES, &self.labels, 1);
    }

    /// The pipeline is rebuilt.
    pub fn restarted(&self, cause: &'static str) {
        let [stream] = self.labels.clone();
        add(metric::RESTARTS, &[stream, ("cause", cause.to_owned())], 1);
    }

    /// A generation begins.
    pub fn generation(&self, generation: u64) {
        set(metric::GENERATION, &self.labels, generation as f64);
    }

    /// Newest event time counted by the windows.
    pub fn newest_event(&self, millis: i64) {
        set(metric::NEWEST_EVENT, &self.labels, millis as f64 / 1000.0);
    }
}
