//! What the batch layer reports: leadership, jobs, tasks, tests, what is published, and whether speed and batch agree.

use std::collections::{BTreeMap, BTreeSet};

use tributary_core::metric::{self, Metric};

use super::{add, flag, keep, now, observe, raise, replace, seconds, set};

/// Whether this process leads; call often, it is the coordinator's heartbeat. Who does not lead shows nothing of jobs: the leader does.
pub fn leads(yes: bool) {
    set(metric::LEADER, &[], flag(yes));
    if !yes {
        let of_streams = [metric::DRIFT, metric::DRIFT_CHECKED, metric::LOST_RECORDS];
        for m in OF_JOBS.into_iter().chain(OF_TABLES).chain([metric::PUBLISHED]).chain(of_streams) {
            replace(m, &[], []);
        }
    }
    set(metric::ACTOR_HEARTBEAT, &["", "batch_coordinator"], now());
}

/// What is shown of a job as long as it is declared.
const OF_JOBS: [Metric; 4] = [metric::RUNNING, metric::JOB_SUCCESS, metric::JOB_NEXT, metric::JOB_PAUSED];

/// What the leader shows of a table of the lake as long as something declares it.
const OF_TABLES: [Metric; 4] = [metric::DELTA_FILES, metric::DELTA_BYTES, metric::DELTA_ROWS, metric::DELTA_LOG];

/// These tables of the lake are declared: nothing is shown of others any more.
pub fn tables(names: &BTreeSet<String>) {
    for m in OF_TABLES.into_iter().chain([metric::DELTA_VERSION, metric::DELTA_COMMITTED]) {
        keep(m, |labels| labels.iter().any(|(_, table)| names.contains(table)));
    }
}

/// These jobs are declared: nothing is shown of others any more.
pub fn declared(jobs: &[&str]) {
    for m in OF_JOBS {
        keep(m, |labels| labels.iter().any(|(_, job)| jobs.contains(&job.as_str())));
    }
}

/// What one job reports.
#[derive(Debug, Clone)]
pub struct JobMeter {
    job: String,
}

impl JobMeter {
    /// For the job of this name.
    pub fn new(job: &str) -> Self {
        Self { job: job.to_owned() }
    }

    /// So many of its runs are under way.
    pub fn active(&self, runs: usize) {
        set(metric::RUNNING, &[&self.job], runs as f64);
    }

    /// Shows what has not happened yet as 0: the first time is an increase, too.
    pub fn begin(&self) {
        for trigger in ["schedule", "manual", "retry", "backfill", "late_data"] {
            for state in ["succeeded", "failed"] {
                add(metric::RUNS, &[&self.job, state, trigger], 0);
            }
        }
    }

    /// A run ended.
    pub fn ended(&self, state: &str, trigger: &str, seconds: f64) {
        add(metric::RUNS, &[&self.job, state, trigger], 1);
        observe(metric::RUN_SECONDS, &[&self.job], seconds);
    }

    /// When it last succeeded: milliseconds since 1970.
    pub fn succeeded_at(&self, millis: i64) {
        set(metric::JOB_SUCCESS, &[&self.job], seconds(millis));
    }

    /// When it is due next, and whether a person paused it.
    pub fn schedule(&self, next_ms: Option<i64>, paused: bool) {
        replace(metric::JOB_NEXT, &[&self.job], next_ms.map(|at| (Vec::new(), seconds(at))));
        set(metric::JOB_PAUSED, &[&self.job], flag(paused));
    }
}

/// What one task of a job reports.
#[derive(Debug, Clone)]
pub struct TaskMeter {
    job: String,
    task: String,
}

impl TaskMeter {
    /// For this task of this job.
    pub fn new(job: &str, task: &str) -> Self {
        Self { job: job.to_owned(), task: task.to_owned() }
    }

    /// An attempt ended.
    pub fn ended(&self, state: &str, seconds: f64) {
        for other in ["failed", "retrying"] {
            add(metric::TASKS, &[&self.job, &self.task, other], 0);
        }
        add(metric::TASKS, &[&self.job, &self.task, state], 1);
        observe(metric::TASK_SECONDS, &[&self.job, &self.task], seconds);
    }

    /// Rows that it read and wrote.
    pub fn rows(&self, read: u64, written: u64) {
        add(metric::TASK_ROWS, &[&self.job, &self.task, "in"], read);
        add(metric::TASK_ROWS, &[&self.job, &self.task, "out"], written);
    }
}

/// Silver took rows of bronze, and this became of them.
pub fn silver(stream: &str, new: u64, duplicate: u64, rejected: u64, conflict: u64) {
    for (outcome, n) in [("new", new), ("duplicate", duplicate), ("rejected", rejected), ("conflict", conflict)] {
        add(metric::SILVER_ROWS, &[stream, outcome], n);
    }
}

/// A test of a model ended: passed, failed, error.
pub fn tested(model: &str, severity: &str, outcome: &'static str) {
    for other in ["passed", "failed", "error"] {
        add(metric::MODEL_TESTS, &[model, severity, other], u64::from(other == outcome));
    }
}

/// A table of schema gold has what its Delta table has.
pub fn published(table: &str) {
    set(metric::PUBLISHED, &[table], now());
}

/// These tables of schema gold are declared, and when each was last published, if ever: milliseconds since 1970.
/// Nothing is shown of others any more; whoever found a table up to date since then knows better.
pub fn were_published(tables: &BTreeMap<String, Option<i64>>) {
    keep(metric::PUBLISHED, |labels| labels.iter().any(|(_, table)| tables.contains_key(table)));
    for (table, at) in tables {
        if let Some(at) = at {
            raise(metric::PUBLISHED, &[table], seconds(*at));
        }
    }
}

/// The windows were compared with bronze: so many events more or fewer, in all.
pub fn compared(stream: &str, drift: u64) {
    set(metric::DRIFT, &[stream], drift as f64);
    set(metric::DRIFT_CHECKED, &[stream], now());
}

/// There is nothing to compare in this stream: no window is that short.
pub fn nothing_to_compare(stream: &str) {
    set(metric::DRIFT_CHECKED, &[stream], now());
}

/// Records that Kafka had lost and a person said to skip.
pub fn lost_records(stream: &str, records: i64) {
    set(metric::LOST_RECORDS, &[stream], records as f64);
}
