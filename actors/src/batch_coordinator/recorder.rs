//! The way from a run to its history: what happened is written down before the run goes on, however long PostgreSQL is away.
//!
//! Every write may be repeated, so an error that says nothing about what was committed is answered by writing again. What ends it is a
//! lost lease (another leader has the run), a run that is gone from the history (PostgreSQL was restored from a dump), or the end of
//! the process.

use std::time::Duration;

use sqlx::PgConnection;
use tokio::sync::watch;

use super::runner::Ending;
use super::task::TaskLog;
use crate::serving;
use crate::serving::history::{self, NewLine, PlannedTask, RunState, TaskAttempt, TaskEnd, TaskState, Trigger};
use crate::serving::lease::{LeaderError, Lease};

/// Between two tries.
const AGAIN: Duration = Duration::from_millis(500);

/// Why nothing more can be written of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Lost {
    /// Another leader has it.
    #[error("the lease is lost: another coordinator goes on with the run")]
    Lease,
    /// PostgreSQL does not know it any more.
    #[error("the run is no longer in the history; what it has done so far is in the tables, the next run does the rest")]
    Run,
    /// The process ends while PostgreSQL is away.
    #[error("it is left to the next leader")]
    Left,
}

/// Writes the history of one run.
pub(super) struct Recorder {
    url: String,
    lease: Lease,
    run: i64,
    ending: watch::Receiver<Option<Ending>>,
    connection: Option<PgConnection>,
    /// Whether the last write failed.
    troubled: bool,
}

/// Writes until it is written or the lease is lost. A macro, because a closure that borrows would not be `Send`.
macro_rules! persist {
    ($self:ident, |$c:ident, $lease:ident, $run:ident| $write:expr) => {
        loop {
            let written = match $self.connection().await {
                Ok(mut connection) => {
                    let ($c, $lease, $run) = (&mut connection, &$self.lease, $self.run);
                    let _ = $run;
                    let written = $write.await;
                    $self.connection = Some(connection);
                    written
                }
                Err(error) => Err(error),
            };
            if let Some(done) = $self.judge(written).await {
                break done;
            }
        }
    };
}

impl Recorder {
    pub(super) fn new(url: &str, lease: &Lease, run: i64, ending: watch::Receiver<Option<Ending>>) -> Self {
        Self { url: url.to_owned(), lease: lease.clone(), run, ending, connection: None, troubled: false }
    }

    /// The connection, made again after it broke.
    async fn connection(&mut self) -> Result<PgConnection, LeaderError> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => Ok(serving::connect(&self.url).await?),
        }
    }

    /// What came of a write: done, lost, or to be written again after a while.
    async fn judge<T>(&mut self, written: Result<T, LeaderError>) -> Option<Result<T, Lost>> {
        match written {
            Ok(done) => {
                self.troubled = false;
                Some(Ok(done))
            }
            Err(LeaderError::Lost { .. }) => Some(Err(Lost::Lease)),
            Err(LeaderError::Serving(error)) if error.is_about_nothing() => Some(Err(Lost::Run)),
            Err(LeaderError::Serving(error)) => {
                if !std::mem::replace(&mut self.troubled, true) {
                    tracing::warn!(target: "batch_coordinator", run = self.run, %error, "the history cannot be written; trying until it can");
                }
                self.connection = None;
                let left = |ending: &Option<Ending>| *ending == Some(Ending::Left);
                // A sender that is gone counts as a word.
                match tokio::time::timeout(AGAIN, self.ending.wait_for(left)).await {
                    Ok(_) => Some(Err(Lost::Left)),
                    Err(_) => None,
                }
            }
        }
    }

    pub(super) async fn lay_out(&mut self, plan: &[PlannedTask]) -> Result<(), Lost> {
        persist!(self, |c, lease, run| history::lay_out(c, lease, run, plan))
    }

    pub(super) async fn start(&mut self, task: &str, place: usize) -> Result<TaskAttempt, Lost> {
        let place = i32::try_from(place).unwrap_or(i32::MAX);
        persist!(self, |c, lease, run| history::start_task(c, lease, run, task, place))
    }

    pub(super) async fn end_task(&mut self, attempt: i64, end: &TaskEnd) -> Result<(), Lost> {
        persist!(self, |c, lease, run| history::end_task(c, lease, attempt, end)).map(|_| ())
    }

    pub(super) async fn pass_over(&mut self, task: &str, state: TaskState, why: &str) -> Result<(), Lost> {
        let end = TaskEnd::new(state).because(why);
        persist!(self, |c, lease, run| history::pass_over(c, lease, run, task, &end))
    }

    pub(super) async fn end_run(&mut self, state: RunState, message: Option<&str>) -> Result<(), Lost> {
        persist!(self, |c, lease, run| history::end_run(c, lease, run, state, message)).map(|_| ())
    }

    pub(super) async fn triggered_by(&mut self, trigger: Trigger) -> Result<(), Lost> {
        persist!(self, |c, lease, run| history::set_trigger(c, lease, run, trigger))
    }

    /// Takes a task's lines to the history. What cannot be written now is kept in the log for the next time.
    pub(super) async fn lines(&mut self, log: &TaskLog, attempt: Option<i32>) -> Result<(), Lost> {
        let lines = log.take();
        if lines.is_empty() {
            return Ok(());
        }
        let task = attempt.and_then(|_| log.task()).map(str::to_owned);
        let new: Vec<NewLine> = lines
            .iter()
            .map(|l| NewLine { task: task.clone(), attempt, at: l.at, level: l.level, message: l.words.clone() })
            .collect();
        let written = match self.connection().await {
            Ok(mut connection) => {
                let written = history::log(&mut connection, &self.lease, self.run, &new).await;
                self.connection = Some(connection);
                written
            }
            Err(error) => Err(error),
        };
        match written {
            Ok(()) => Ok(()),
            Err(LeaderError::Lost { .. }) => Err(Lost::Lease),
            Err(LeaderError::Serving(error)) if error.is_about_nothing() => Err(Lost::Run),
            Err(LeaderError::Serving(_)) => {
                self.connection = None;
                log.give_back(lines);
                Ok(())
            }
        }
    }
}
