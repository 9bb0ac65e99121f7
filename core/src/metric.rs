//! The one list of metrics: name, type, unit, labels, help. Dashboards, alerts, documentation and the code that counts all mean these.
//!
//! Conventions: prefix `tributary_`, base units, counters end in `_total`, timestamps are exported and ages computed by the reader.
//! Labels take few values: streams, legs, actors, partitions, tables, jobs, tasks, models and fixed words; never users, pages or texts.
//! What is counted is counted when it is durable, unless the help says otherwise. Prometheus adds `job` and `instance`.

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Type {
    /// Only grows, from zero with every start of the process.
    Counter,
    /// Goes up and down; is gone when what it is about is gone.
    Gauge,
    /// A distribution over these upper bounds.
    Histogram(&'static [f64]),
}

/// What is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things: records, commits, files.
    Count,
    /// Seconds; of a timestamp: since 1970.
    Seconds,
    /// Bytes.
    Bytes,
    /// 1 for yes, 0 for no.
    Flag,
}

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric {
    /// Full name.
    pub name: &'static str,
    /// Kind.
    pub kind: Type,
    /// Unit of its value.
    pub unit: Unit,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
    /// No dashboard and no alert needs it; it is there for whoever looks closer.
    pub reference: bool,
}

/// From Kafka to a store: the promises (1.5 s to bronze, 2.5 s to PostgreSQL) and the objective of the alerts (60 s) are among them.
pub const LATENCY: &[f64] = &[0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0];
/// One commit or transaction.
pub const COMMIT: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];
/// One message of an actor.
pub const MESSAGE: &[f64] = &[0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];
/// A run of a job or one of its tasks.
pub const RUN: &[f64] = &[0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0];
/// Files of a table, in bytes: 16 KiB to 256 MiB.
pub const FILE: &[f64] =
    &[16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0, 67_108_864.0, 134_217_728.0, 268_435_456.0];

macro_rules! metrics {
    (@reference) => { false };
    (@reference reference) => { true };
    ($($(#[doc = $doc:literal])+ $id:ident = $name:literal, $kind:expr, $unit:ident, [$($label:literal),*] $(, $reference:ident)?;)+) => {
        $($(#[doc = $doc])+ pub const $id: Metric = Metric {
            name: $name,
            kind: $kind,
            unit: Unit::$unit,
            labels: &[$($label),*],
            help: concat!($($doc),+),
            reference: metrics!(@reference $($reference)?),
        };)+
        /// All of them, in the order in which the data flows.
        pub const ALL: &[Metric] = &[$($id),+];
    };
}

use Type::{Counter, Gauge, Histogram};

metrics! {
    /// Records that the generator sent and Kafka acknowledged.
    GENERATED = "tributary_records_generated_total", Counter, Count, ["stream"];

    /// Payload bytes taken from Kafka, also of what is read again after a restart.
    CONSUMED_BYTES = "tributary_consumed_bytes_total", Counter, Bytes, ["stream"];
    /// 0 while no broker answers.
    KAFKA_CONNECTED = "tributary_kafka_connected", Gauge, Flag, ["stream"];
    /// Next offset of Kafka's partition: the newest record is the one before.
    HIGH_WATERMARK = "tributary_high_watermark_offset", Gauge, Count, ["stream", "partition"], reference;
    /// Next offset that a leg has to make durable.
    NEXT_OFFSET = "tributary_next_offset", Gauge, Count, ["stream", "leg", "partition"], reference;
    /// Records between a leg and the end of Kafka's partition.
    LAG = "tributary_lag_records", Gauge, Count, ["stream", "leg", "partition"];
    /// Kafka's time of the oldest record that was read and that a leg has not made durable; when none waits, of the newest that it has. While a leg lags, its age is the lag in seconds.
    LAG_SINCE = "tributary_lag_since_timestamp_seconds", Gauge, Seconds, ["stream", "leg", "partition"];
    /// Partitions that wait for a person: `tributary topic skip` or `adopt`.
    BLOCKED = "tributary_blocked_partitions", Gauge, Count, ["stream"];
    /// Records that Kafka had lost before they were read, and a person said to skip.
    LOST_RECORDS = "tributary_lost_records", Gauge, Count, ["stream"];
    /// Rebalances of the consumer group.
    REBALANCES = "tributary_rebalances_total", Counter, Count, ["stream"];

    /// Rows between Kafka and the stores: those under way, and those that the consumer has taken credit for and not yet read.
    GATE_ROWS = "tributary_gate_rows", Gauge, Count, ["stream"];
    /// Rows that may be in flight: `pipeline.gate_rows`.
    GATE_ROWS_LIMIT = "tributary_gate_limit_rows", Gauge, Count, ["stream"];
    /// Bytes between Kafka and the stores: those under way, and those that the consumer has taken credit for and not yet read.
    GATE_BYTES = "tributary_gate_bytes", Gauge, Bytes, ["stream"];
    /// Bytes that may be in flight: `pipeline.gate_bytes`.
    GATE_BYTES_LIMIT = "tributary_gate_limit_bytes", Gauge, Bytes, ["stream"];
    /// Whole seconds that the consumer waited for credit: the stores are slower than Kafka.
    GATE_WAIT = "tributary_gate_wait_seconds_total", Counter, Seconds, ["stream"];

    /// Records that came into an actor, also those that are read again after a restart.
    ACTOR_IN = "tributary_actor_records_in_total", Counter, Count, ["stream", "actor"];
    /// What an actor handed on: records; the window aggregator: changed windows; the Postgres sink: rows of windows.
    ACTOR_OUT = "tributary_actor_records_out_total", Counter, Count, ["stream", "actor"];
    /// Failures of an actor by kind: stalled, failed, chain_broken, panicked, hung, topic_changed, fatal. What is tried again by itself is in `tributary_commit_errors_total`.
    ACTOR_ERRORS = "tributary_actor_errors_total", Counter, Count, ["stream", "actor", "kind"];
    /// Time that an actor took for one message. The sum is its busy time.
    ACTOR_MESSAGE = "tributary_actor_message_seconds", Histogram(MESSAGE), Seconds, ["stream", "actor"];
    /// Batches that wait for an actor.
    ACTOR_QUEUE = "tributary_actor_queue_batches", Gauge, Count, ["stream", "actor"];
    /// When an actor last showed that it lives. The batch coordinator has no stream.
    ACTOR_HEARTBEAT = "tributary_actor_heartbeat_timestamp_seconds", Gauge, Seconds, ["stream", "actor"];
    /// Pipelines that were taken down and rebuilt, by the actor that could not go on and why.
    RESTARTS = "tributary_pipeline_restarts_total", Counter, Count, ["stream", "actor", "cause"];
    /// Generation of the pipeline: one more with each rebuild.
    GENERATION = "tributary_pipeline_generation", Gauge, Count, ["stream"], reference;
    /// 1: the main pipeline feeds the leg; 0: it is detached and catches up on its own.
    LEG_ATTACHED = "tributary_leg_attached", Gauge, Flag, ["stream", "leg"];
    /// Legs detached because they stalled.
    DETACHED = "tributary_legs_detached_total", Counter, Count, ["stream", "leg"], reference;

    /// Records of the topic that a leg has made durable; each counts once per leg. The serving leg counts offsets, also those that Kafka's transactions leave without a record.
    RECORDS = "tributary_records_total", Counter, Count, ["stream", "leg"];
    /// Records in bronze that are no valid events, by status.
    REJECTED = "tributary_records_rejected_total", Counter, Count, ["stream", "status"];
    /// From Kafka's time of a record to a leg's commit that makes it durable (PostgreSQL: visible): the oldest record of each commit.
    RECORD_LATENCY = "tributary_record_latency_seconds", Histogram(LATENCY), Seconds, ["stream", "leg"];
    /// Commits of a leg by outcome: done; foreign (another instance owns the offsets); beside these, of commits that ended with an error: landed (it was there all the same), repeated (it was not).
    COMMITS = "tributary_commits_total", Counter, Count, ["stream", "leg", "outcome"];
    /// Attempts of a leg to commit that failed and were tried again.
    COMMIT_ERRORS = "tributary_commit_errors_total", Counter, Count, ["stream", "leg"];
    /// Time of a leg's commit, from the cut to durable.
    COMMIT_SECONDS = "tributary_commit_duration_seconds", Histogram(COMMIT), Seconds, ["stream", "leg"];
    /// When a leg last made something durable.
    LAST_COMMIT = "tributary_last_commit_timestamp_seconds", Gauge, Seconds, ["stream", "leg"];
    /// Newest event time that the windows have counted.
    NEWEST_EVENT = "tributary_newest_event_timestamp_seconds", Gauge, Seconds, ["stream"], reference;

    /// Version of a Delta table.
    DELTA_VERSION = "tributary_delta_version", Gauge, Count, ["table"], reference;
    /// When a Delta table was last committed to.
    DELTA_COMMITTED = "tributary_delta_committed_timestamp_seconds", Gauge, Seconds, ["table"];
    /// Live files of a Delta table.
    DELTA_FILES = "tributary_delta_files", Gauge, Count, ["table"];
    /// Bytes of the live files of a Delta table.
    DELTA_BYTES = "tributary_delta_size_bytes", Gauge, Bytes, ["table"];
    /// Rows of a Delta table.
    DELTA_ROWS = "tributary_delta_rows", Gauge, Count, ["table"], reference;
    /// Commits of a table's log since its last checkpoint: what a reader must read one by one.
    DELTA_LOG = "tributary_delta_log_commits", Gauge, Count, ["table"];
    /// Sizes of the files that were committed.
    DELTA_FILE = "tributary_delta_file_size_bytes", Histogram(FILE), Bytes, ["table"];
    /// Commits to a Delta table that met another writer's and were compared with it.
    DELTA_CONFLICTS = "tributary_delta_conflicts_total", Counter, Count, ["table"];
    /// Checkpoints of a table's log by outcome: done, failed, cleanup_failed.
    CHECKPOINTS = "tributary_delta_checkpoints_total", Counter, Count, ["table", "outcome"];
    /// Free space where the lake is, when that is a disk.
    DISK_FREE = "tributary_lake_disk_free_bytes", Gauge, Bytes, [];
    /// Bronze waits while less is free: `pipeline.min_free_bytes`.
    DISK_FLOOR = "tributary_lake_disk_floor_bytes", Gauge, Bytes, [];

    /// Rows of window tables written, each at most once per merge.
    WINDOW_ROWS = "tributary_window_rows_total", Counter, Count, ["stream"];
    /// Events that a table of windows has counted. Tables that sum a field have none.
    WINDOW_EVENTS = "tributary_window_events_total", Counter, Count, ["stream", "table"];
    /// Transactions with PostgreSQL by what for: merge, publish.
    POSTGRES_SECONDS = "tributary_postgres_transaction_seconds", Histogram(COMMIT), Seconds, ["purpose"];
    /// Connections to PostgreSQL asked for, by outcome: done, failed.
    POSTGRES_CONNECTS = "tributary_postgres_connects_total", Counter, Count, ["outcome"];
    /// How far the windows of the last closed minutes are from bronze at the same offsets. Never anything but 0. Windows of more than ten minutes are not compared.
    DRIFT = "tributary_drift_events", Gauge, Count, ["stream"];
    /// When windows and bronze were last compared, or could have been, had the stream a window of ten minutes or less.
    DRIFT_CHECKED = "tributary_drift_checked_timestamp_seconds", Gauge, Seconds, ["stream"];

    /// 1: this process leads the batch layer.
    LEADER = "tributary_batch_leader", Gauge, Flag, [];
    /// Runs of a job that ended: succeeded, failed, skipped, cancelled; and what began them.
    RUNS = "tributary_runs_total", Counter, Count, ["job_name", "state", "trigger"];
    /// Time of a run, waits for a retry included.
    RUN_SECONDS = "tributary_run_duration_seconds", Histogram(RUN), Seconds, ["job_name"];
    /// Runs under way.
    RUNNING = "tributary_runs_active", Gauge, Count, ["job_name"];
    /// When a job last succeeded. A job that was skipped for want of new data counts as well: nothing was left to do.
    JOB_SUCCESS = "tributary_job_last_success_timestamp_seconds", Gauge, Seconds, ["job_name"];
    /// When a job is due next.
    JOB_NEXT = "tributary_job_next_run_timestamp_seconds", Gauge, Seconds, ["job_name"];
    /// 1: a person paused the job.
    JOB_PAUSED = "tributary_job_paused", Gauge, Flag, ["job_name"];
    /// Attempts at a task that ended: succeeded, failed, retrying, skipped.
    TASKS = "tributary_tasks_total", Counter, Count, ["job_name", "task", "state"];
    /// Time of an attempt at a task.
    TASK_SECONDS = "tributary_task_duration_seconds", Histogram(RUN), Seconds, ["job_name", "task"];
    /// Rows that a task read (in) and wrote (out).
    TASK_ROWS = "tributary_task_rows_total", Counter, Count, ["job_name", "task", "direction"];
    /// Rows of bronze that silver took, by what came of them: new, duplicate, rejected, conflict.
    SILVER_ROWS = "tributary_silver_rows_total", Counter, Count, ["stream", "outcome"];
    /// Tests of models by outcome: passed, failed, error.
    MODEL_TESTS = "tributary_model_tests_total", Counter, Count, ["model", "severity", "outcome"];
    /// When a table of schema gold was last found to have what its Delta table has.
    PUBLISHED = "tributary_published_timestamp_seconds", Gauge, Seconds, ["table"];

    /// 1, with the program's version and the name of the process: setting `instance`.
    BUILD_INFO = "tributary_build_info", Gauge, Flag, ["version", "name"];
}

// registry: complete

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        for m in ALL {
            assert!(m.name.starts_with("tributary_"), "{}", m.name);
            assert_eq!(m.kind == Type::Counter, m.name.ends_with("_total"), "{}", m.name);
            assert_eq!(ALL.iter().filter(|n| n.name == m.name).count(), 1, "{} twice", m.name);
            let stem = m.name.trim_end_matches("_total");
            assert_eq!(m.unit == Unit::Seconds, stem.ends_with("_seconds"), "{}", m.name);
            assert_eq!(m.unit == Unit::Bytes, stem.ends_with("_bytes"), "{}", m.name);
        }
    }

    #[test]
    fn labels_leave_prometheus_its_own_and_bounds_ascend() {
        for m in ALL {
            assert!(!m.labels.iter().any(|l| ["job", "instance", "le", "quantile"].contains(l)), "{}", m.name);
            if let Histogram(bounds) = m.kind {
                assert!(bounds.is_sorted() && !bounds.is_empty(), "{}", m.name);
            }
        }
    }
}
