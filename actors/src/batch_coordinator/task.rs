//! What every task is given, and what it says when it ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};

use super::World;
use crate::engine::{EngineError, Models};
use crate::lake::LakeError;
use crate::lake::delta_log::CommitError;
use crate::serving::ServingError;
use crate::serving::history::Level;
use crate::serving::lease::{LeaderError, Lease};

/// What was asked of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Params {
    /// These days anew, whatever the logs say.
    pub(super) days: Option<BTreeSet<i32>>,
    /// Build everything anew, and publish days that shrank.
    pub(super) force: bool,
}

/// An attempt at a task.
pub(super) struct Context<'a> {
    pub(super) world: &'a World,
    pub(super) params: &'a Params,
    /// The models as they were when the run began.
    pub(super) models: &'a Arc<Models>,
    /// Models of this run that have no good table: they are neither tested nor published.
    pub(super) bad_models: &'a BTreeSet<String>,
    /// Which run.
    pub(super) run: i64,
    /// By which whoever writes to PostgreSQL shows that it leads.
    pub(super) lease: &'a Lease,
    pub(super) log: TaskLog,
}

/// What a task did.
#[derive(Debug, Clone, Default)]
pub(super) struct Report {
    pub(super) versions_in: BTreeMap<String, u64>,
    pub(super) versions_out: BTreeMap<String, u64>,
    pub(super) rows_in: u64,
    pub(super) rows_out: u64,
    /// Days that it changed.
    pub(super) days: BTreeSet<i32>,
}

impl Report {
    /// Takes another one's figures.
    pub(super) fn absorb(&mut self, other: Report) {
        self.versions_in.extend(other.versions_in);
        self.versions_out.extend(other.versions_out);
        self.rows_in += other.rows_in;
        self.rows_out += other.rows_out;
        self.days.extend(other.days);
    }
}

/// Why a task did not.
#[derive(Debug, thiserror::Error)]
pub(super) enum TaskError {
    /// There is nothing to do, for it and for what follows.
    #[error("{0}")]
    Nothing(String),
    /// A person must change something first.
    #[error("{0}")]
    Refused(String),
    /// Another attempt may help.
    #[error("{0}")]
    Failed(String),
}

impl From<EngineError> for TaskError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Refused(words) => Self::Refused(words),
            EngineError::Failed(words) => Self::Failed(words),
        }
    }
}

impl From<LakeError> for TaskError {
    fn from(error: LakeError) -> Self {
        if error.is_permanent() { Self::Refused(chain(&error)) } else { Self::Failed(chain(&error)) }
    }
}

impl From<CommitError> for TaskError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Store(error) => error.into(),
            CommitError::Foreign(_) => Self::Failed("another coordinator was first; the next attempt goes on where it is".into()),
            other => Self::Failed(other.to_string()),
        }
    }
}

impl From<ServingError> for TaskError {
    fn from(error: ServingError) -> Self {
        if error.is_permanent() { Self::Refused(chain(&error)) } else { Self::Failed(chain(&error)) }
    }
}

impl From<LeaderError> for TaskError {
    fn from(error: LeaderError) -> Self {
        match error {
            LeaderError::Serving(error) => error.into(),
            lost @ LeaderError::Lost { .. } => Self::Failed(lost.to_string()),
        }
    }
}

/// An error with everything that caused it.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        let text = source.to_string();
        if !words.ends_with(&text) {
            words.push_str(": ");
            words.push_str(&text);
        }
        cause = source.source();
    }
    words
}

/// A line of a task's log, not yet in PostgreSQL.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) at: DateTime<Utc>,
    pub(super) level: Level,
    pub(super) words: String,
}

/// The log of one attempt. Lines are kept until somebody takes them to PostgreSQL.
#[derive(Debug, Clone)]
pub(super) struct TaskLog {
    job: String,
    /// None: the run itself speaks.
    task: Option<String>,
    lines: Arc<Mutex<Vec<Line>>>,
}

impl TaskLog {
    pub(super) fn new(job: &str, task: Option<&str>) -> Self {
        Self { job: job.to_owned(), task: task.map(str::to_owned), lines: Arc::default() }
    }

    pub(super) fn info(&self, words: impl Into<String>) {
        let words = words.into();
        tracing::info!(target: "batch_coordinator", job_name = self.job, task = self.task, "{words}");
        self.push(Level::Info, words);
    }

    pub(super) fn warn(&self, words: impl Into<String>) {
        let words = words.into();
        tracing::warn!(target: "batch_coordinator", job_name = self.job, task = self.task, "{words}");
        self.push(Level::Warn, words);
    }

    pub(super) fn error(&self, words: impl Into<String>) {
        let words = words.into();
        tracing::error!(target: "batch_coordinator", job_name = self.job, task = self.task, "{words}");
        self.push(Level::Error, words);
    }

    /// Takes what was said since the last call.
    pub(super) fn take(&self) -> Vec<Line> {
        std::mem::take(&mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lines that could not be written down yet.
    pub(super) fn give_back(&self, mut lines: Vec<Line>) {
        let mut held = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.append(&mut held);
        *held = lines;
    }

    pub(super) fn task(&self) -> Option<&str> {
        self.task.as_deref()
    }

    fn push(&self, level: Level, words: String) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(Line { at: Utc::now(), level, words });
    }
}
