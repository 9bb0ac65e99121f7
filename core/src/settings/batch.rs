//! What the batch layer may use, and for how long what it makes is kept.

use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

/// Jobs, models, memory and retention of the batch layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Folder of the jobs, `*.toml`. The folder is the truth when it is there; when the default one is not, what is compiled in is.
    pub jobs_dir: String,
    /// Folder of the gold models, `*.sql`. As with the jobs.
    pub models_dir: String,
    /// Memory for computing over tables; what does not fit is spilled to disk.
    pub memory: u64,
    /// Where it is spilled.
    pub spill_dir: String,
    /// Threads that compute; 0: as many as the machine has cores.
    pub threads: usize,
    /// Runs, their tasks and their logs.
    pub keep_runs: Duration,
    /// Rows of the window tables in PostgreSQL.
    pub keep_realtime: Duration,
    /// Old versions of silver and gold: how far back one can read.
    pub keep_versions: Duration,
    /// Compaction makes files of about this size.
    pub target_file_bytes: u64,
    /// A closed day that shrinks by a larger part of it than this is not published unseen.
    pub max_shrink: f64,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            jobs_dir: "jobs".into(),
            models_dir: "sql/models/gold".into(),
            memory: 512 << 20,
            spill_dir: "./data/spill".into(),
            threads: 0,
            keep_runs: 30 * DAY,
            keep_realtime: 30 * DAY,
            keep_versions: 30 * DAY,
            target_file_bytes: 128 << 20,
            max_shrink: 0.10,
        }
    }
}
