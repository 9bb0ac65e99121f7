//! What is reported of Delta tables and of the disk below them.

use tributary_core::metric;

use super::{add, now, observe, raise, seconds, set};

/// What one Delta table reports; its name is `layer.table`.
#[derive(Debug, Clone)]
pub struct TableMeter {
    table: String,
}

impl TableMeter {
    /// For the table of this name.
    pub fn new(table: &str) -> Self {
        Self { table: table.to_owned() }
    }

    /// A version was put, with files of these sizes.
    pub fn committed(&self, version: u64, files: impl IntoIterator<Item = u64>) {
        set(metric::DELTA_VERSION, &[&self.table], version as f64);
        set(metric::DELTA_COMMITTED, &[&self.table], now());
        add(metric::DELTA_CONFLICTS, &[&self.table], 0);
        add(metric::CHECKPOINTS, &[&self.table, "failed"], 0);
        for bytes in files {
            observe(metric::DELTA_FILE, &[&self.table], bytes as f64);
        }
    }

    /// What it holds.
    pub fn holds(&self, files: usize, bytes: u64, rows: u64) {
        set(metric::DELTA_FILES, &[&self.table], files as f64);
        set(metric::DELTA_BYTES, &[&self.table], bytes as f64);
        set(metric::DELTA_ROWS, &[&self.table], rows as f64);
    }

    /// A version that it has and when that was put, where that is known: milliseconds since 1970. Whoever writes it may know a newer one.
    pub fn is_at(&self, version: u64, committed_ms: Option<i64>) {
        raise(metric::DELTA_VERSION, &[&self.table], version as f64);
        if let Some(at) = committed_ms {
            raise(metric::DELTA_COMMITTED, &[&self.table], seconds(at));
        }
    }

    /// Commits since the last checkpoint.
    pub fn log(&self, commits: u64) {
        set(metric::DELTA_LOG, &[&self.table], commits as f64);
    }

    /// Somebody else put a version first.
    pub fn conflict(&self) {
        add(metric::DELTA_CONFLICTS, &[&self.table], 1);
    }

    /// A checkpoint was written or failed.
    pub fn checkpoint(&self, outcome: &'static str) {
        add(metric::CHECKPOINTS, &[&self.table, outcome], 1);
    }
}

/// Free bytes of the disk that the lake is on, and below how many bronze waits.
pub fn disk(free: u64, floor: u64) {
    set(metric::DISK_FREE, &[], free as f64);
    set(metric::DISK_FLOOR, &[], floor as f64);
}
