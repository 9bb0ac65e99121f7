//! The rows of the history, as the coordinator, the command line and the console all know them.

use std::collections::BTreeMap;
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};

use super::words::{RunState, TaskState, Trigger, UnknownWord};

/// What a run was asked to do differently.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Params {
    /// This task alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// This task and those that come after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_task: Option<String>,
    /// These days anew, whether or not they changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<NaiveDate>,
    /// The same from this day on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<NaiveDate>,
    /// To this day, which is included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<NaiveDate>,
    /// Closed days may shrink.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// Say what would be done, and do nothing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// A task of a run's plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedTask {
    /// Its name.
    pub name: String,
    /// What it comes after.
    pub after: Vec<String>,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Run {
    /// Grows.
    pub id: i64,
    /// Of which job.
    pub job: String,
    /// How it is.
    pub state: RunState,
    /// Why it is.
    pub trigger: Trigger,
    /// A person, or the instance whose clock it was.
    pub requested_by: String,
    /// What it was asked to do differently.
    pub params: Params,
    /// Its tasks, once a leader has laid them out.
    pub plan: Vec<PlannedTask>,
    /// The run that it repeats.
    pub retry_of: Option<i64>,
    /// The time of the schedule that it stands for.
    pub due_at: Option<DateTime<Utc>>,
    /// When it was asked for.
    pub queued_at: DateTime<Utc>,
    /// When a leader first took it.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Epoch of the leader that has it, or had it last.
    pub epoch: Option<i64>,
    /// That leader, for people.
    pub leader: Option<String>,
    /// Since when somebody wants it ended.
    pub cancel_requested_at: Option<DateTime<Utc>>,
    /// Who that is.
    pub cancel_requested_by: Option<String>,
    /// Why it was skipped, was cancelled or failed.
    pub message: Option<String>,
}

/// The columns of a [`Run`], in SQL that ends in `FROM ops.runs` or `RETURNING`.
macro_rules! run_columns {
    () => {
        "id, job, state, trigger, requested_by, params::text AS params, plan::text AS plan, retry_of, due_at, queued_at, started_at, \
         ended_at, epoch, leader, cancel_requested_at, cancel_requested_by, message"
    };
}
pub(super) use run_columns;

impl FromRow<'_, PgRow> for Run {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            job: row.try_get("job")?,
            state: word(row, "state")?,
            trigger: word(row, "trigger")?,
            requested_by: row.try_get("requested_by")?,
            params: json(row, "params")?.unwrap_or_default(),
            plan: json(row, "plan")?.unwrap_or_default(),
            retry_of: row.try_get("retry_of")?,
            due_at: row.try_get("due_at")?,
            queued_at: row.try_get("queued_at")?,
            started_at: row.try_get("started_at")?,
            ended_at: row.try_get("ended_at")?,
            epoch: row.try_get("epoch")?,
            leader: row.try_get("leader")?,
            cancel_requested_at: row.try_get("cancel_requested_at")?,
            cancel_requested_by: row.try_get("cancel_requested_by")?,
            message: row.try_get("message")?,
        })
    }
}

/// Versions of tables, and offsets where silver has no version to name: `silver.user_events` to 17.
pub type Versions = BTreeMap<String, serde_json::Value>;

/// An attempt of a task.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct TaskAttempt {
    /// Grows.
    pub id: i64,
    /// Of which run.
    pub run_id: i64,
    /// Which task.
    pub task: String,
    /// Its place in the plan.
    pub place: i32,
    /// From 1.
    pub attempt: i32,
    /// How it is.
    pub state: TaskState,
    /// Epoch of the leader that made it.
    pub epoch: Option<i64>,
    /// When it began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// When the next attempt is due.
    pub retry_at: Option<DateTime<Utc>>,
    /// What it read.
    pub versions_in: Option<Versions>,
    /// What it wrote.
    pub versions_out: Option<Versions>,
    /// Rows read.
    pub rows_in: Option<i64>,
    /// Rows written.
    pub rows_out: Option<i64>,
    /// What went wrong, in full; or why it was skipped.
    pub error: Option<String>,
}

/// The columns of a [`TaskAttempt`].
macro_rules! task_columns {
    () => {
        "id, run_id, task, place, attempt, state, epoch, started_at, ended_at, retry_at, versions_in::text AS versions_in, \
         versions_out::text AS versions_out, rows_in, rows_out, error"
    };
}
pub(super) use task_columns;

impl FromRow<'_, PgRow> for TaskAttempt {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            run_id: row.try_get("run_id")?,
            task: row.try_get("task")?,
            place: row.try_get("place")?,
            attempt: row.try_get("attempt")?,
            state: word(row, "state")?,
            epoch: row.try_get("epoch")?,
            started_at: row.try_get("started_at")?,
            ended_at: row.try_get("ended_at")?,
            retry_at: row.try_get("retry_at")?,
            versions_in: json(row, "versions_in")?,
            versions_out: json(row, "versions_out")?,
            rows_in: row.try_get("rows_in")?,
            rows_out: row.try_get("rows_out")?,
            error: row.try_get("error")?,
        })
    }
}

/// A line of a run's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, FromRow, JsonSchema)]
pub struct LogLine {
    /// Grows within a run, in the order in which lines become visible.
    pub id: i64,
    /// Of which run.
    pub run_id: i64,
    /// Of which task; none: of the run as a whole.
    pub task: Option<String>,
    /// Of which attempt.
    pub attempt: Option<i32>,
    /// When it was said.
    pub at: DateTime<Utc>,
    /// `error`, `warn`, `info` or `debug`.
    pub level: String,
    /// What was said.
    pub message: String,
}

/// How one test of a model went in a run.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ModelTest {
    /// In which run.
    pub run_id: i64,
    /// Of which model.
    pub model: String,
    /// As it is written in the model's file.
    pub test: String,
    /// `warn` or `fail`.
    pub severity: String,
    /// Whether it holds.
    pub passed: bool,
    /// Rows that break it.
    pub failing_rows: i64,
    /// Some of them.
    pub sample: Vec<String>,
    /// It could not be run.
    pub error: Option<String>,
    /// When.
    pub checked_at: DateTime<Utc>,
}

/// Severity of a test that must hold.
pub(super) const FAIL: &str = "fail";

impl ModelTest {
    /// Whether the model's table is not good because of it.
    pub fn is_broken(&self) -> bool {
        !self.passed && self.severity == FAIL
    }
}

impl FromRow<'_, PgRow> for ModelTest {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            run_id: row.try_get("run_id")?,
            model: row.try_get("model")?,
            test: row.try_get("test")?,
            severity: row.try_get("severity")?,
            passed: row.try_get("passed")?,
            failing_rows: row.try_get("failing_rows")?,
            sample: json(row, "sample")?.unwrap_or_default(),
            error: row.try_get("error")?,
            checked_at: row.try_get("checked_at")?,
        })
    }
}

/// What is known of a job beside its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, FromRow, JsonSchema)]
pub struct ScheduleRow {
    /// Which.
    pub job: String,
    /// When a leader first saw it.
    pub first_seen_at: DateTime<Utc>,
    /// Whether it does not begin by itself for now.
    pub paused: bool,
    /// When a person last said so, or took it back.
    pub paused_at: Option<DateTime<Utc>>,
    /// Who that was.
    pub paused_by: Option<String>,
    /// The newest time that a run was queued for by itself.
    pub last_due_at: Option<DateTime<Utc>>,
    /// The next one, as the leader has worked it out last.
    pub next_due_at: Option<DateTime<Utc>>,
}

/// A word of one of our enums.
pub(in crate::serving) fn word<T: FromStr<Err = UnknownWord>>(row: &PgRow, column: &str) -> sqlx::Result<T> {
    let word: String = row.try_get(column)?;
    word.parse().map_err(|e: UnknownWord| sqlx::Error::ColumnDecode { index: column.to_owned(), source: e.into() })
}

/// JSON that was selected as text.
pub(in crate::serving) fn json<T: serde::de::DeserializeOwned>(row: &PgRow, column: &str) -> sqlx::Result<Option<T>> {
    let text: Option<String> = row.try_get(column)?;
    text.map(|text| serde_json::from_str(&text))
        .transpose()
        .map_err(|e| sqlx::Error::ColumnDecode { index: column.to_owned(), source: e.into() })
}

/// JSON text of our own plain types, whose serialisation cannot fail.
pub(in crate::serving) fn json_text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}
