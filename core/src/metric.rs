//! The one list of metrics: name, kind, help. Dashboards, alerts and the code that counts all mean these.
//!
//! Conventions: prefix `tributary_`, base units, counters end in `_total`, timestamps are exported and ages computed by the reader.

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution over [`LATENCY_BOUNDS`].
    Histogram,
}

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Full name.
    pub name: &'static str,
    /// Kind.
    pub kind: Type,
    /// What it says.
    pub help: &'static str,
}

/// Upper bounds of every histogram, in seconds. The promises (1.5 s and 2.5 s) are among them.
pub const LATENCY_BOUNDS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.5, 5.0, 10.0, 60.0];

macro_rules! metrics {
    ($($(#[doc = $doc:literal])+ $id:ident = $name:literal, $kind:ident;)+) => {
        $($(#[doc = $doc])+ pub const $id: Metric = Metric { name: $name, kind: Type::$kind, help: concat!($($doc),+) };)+
        /// All of them.
        pub const ALL: &[Metric] = &[$($id),+];
    };
}

metrics! {
    /// Records generated and acknowledged by Kafka.
    GENERATED = "tributary_records_generated_total", Counter;
    /// Records made durable by a leg, counted at its commit; every record of the topic counts once per leg.
    RECORDS = "tributary_records_total", Counter;
    /// Records that are not valid events, by status, counted at bronze's commit.
    REJECTED = "tributary_records_rejected_total", Counter;
    /// Bytes of Parquet made durable in bronze.
    BRONZE_BYTES = "tributary_bronze_bytes_total", Counter;
    /// Commits of a leg by outcome: done, foreign (another instance owns the offsets), resolved (an error that had landed).
    COMMITS = "tributary_commits_total", Counter;
    /// Attempts of a leg to commit that failed and were tried again.
    COMMIT_ERRORS = "tributary_commit_errors_total", Counter;
    /// Time of a leg's commit, from cut to durable.
    COMMIT_SECONDS = "tributary_commit_duration_seconds", Histogram;
    /// Kafka's record time to durable in a leg, of the oldest record of each commit.
    LATENCY = "tributary_record_latency_seconds", Histogram;
    /// When a leg last made something durable.
    LAST_COMMIT = "tributary_last_commit_timestamp_seconds", Gauge;
    /// Next offset of a leg.
    NEXT_OFFSET = "tributary_next_offset", Gauge;
    /// Kafka's high watermark.
    HIGH_WATERMARK = "tributary_high_watermark", Gauge;
    /// Records between a leg and Kafka's high watermark.
    LAG = "tributary_lag_records", Gauge;
    /// Partitions that wait for a person (topic adopt, topic skip).
    BLOCKED = "tributary_blocked_partitions", Gauge;
    /// Rebalances of the consumer group seen.
    REBALANCES = "tributary_rebalances_total", Counter;
    /// Rows in flight between Kafka and the stores.
    GATE_ROWS = "tributary_gate_rows", Gauge;
    /// Bytes in flight between Kafka and the stores.
    GATE_BYTES = "tributary_gate_bytes", Gauge;
    /// Time that the consumer waited for credit.
    GATE_WAIT = "tributary_gate_wait_seconds_total", Counter;
    /// Pipelines rebuilt, by cause.
    RESTARTS = "tributary_pipeline_restarts_total", Counter;
    /// Legs detached because they stalled.
    DETACHED = "tributary_legs_detached_total", Counter;
    /// Generation of the pipeline.
    GENERATION = "tributary_pipeline_generation", Gauge;
    /// Whether a leg is fed by the main pipeline (1) or catches up on its own (0).
    LEG_ATTACHED = "tributary_leg_attached", Gauge;
    /// Newest event time that the windows have counted.
    NEWEST_EVENT = "tributary_newest_event_timestamp_seconds", Gauge;
    /// Version of the bronze table.
    DELTA_VERSION = "tributary_delta_version", Gauge;
    /// Checkpoints of the bronze log, by outcome.
    CHECKPOINTS = "tributary_delta_checkpoints_total", Counter;
    /// 1, with the version as a label.
    BUILD_INFO = "tributary_build_info", Gauge;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        for m in ALL {
            assert!(m.name.starts_with("tributary_"), "{}", m.name);
            assert_eq!(m.kind == Type::Counter, m.name.ends_with("_total"), "{}", m.name);
            assert!(ALL.iter().filter(|n| n.name == m.name).count() == 1, "{} twice", m.name);
        }
    }
}
