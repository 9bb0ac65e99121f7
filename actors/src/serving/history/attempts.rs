//! What the leader alone does with the tasks of its runs. Each function is one transaction under its lease, as in [`super::lead`].

use std::time::Duration;

use sqlx::PgConnection;

use super::rows::{FAIL, PlannedTask, TaskAttempt, Versions, json_text, task_columns};
use super::words::TaskState;
use crate::serving::ServingError;
use crate::serving::lease::{LeaderError, Lease};

/// Lays out a run's tasks: they are queued, in this order. What was laid out before keeps its attempts.
///
/// # Errors
/// [`LeaderError`].
pub async fn lay_out(connection: &mut PgConnection, lease: &Lease, run: i64, plan: &[PlannedTask]) -> Result<(), LeaderError> {
    let doing = || ServingError::new("laying out a run");
    let mut transaction = lease.begin(connection).await?;
    sqlx::query("UPDATE ops.runs SET plan = $2::jsonb WHERE id = $1")
        .bind(run)
        .bind(json_text(&plan))
        .execute(&mut *transaction)
        .await
        .map_err(doing())?;
    // A plan that changed under an interrupted run: what is no longer in it was never begun.
    let names: Vec<&str> = plan.iter().map(|task| task.name.as_str()).collect();
    sqlx::query("DELETE FROM ops.tasks WHERE run_id = $1 AND state = 'queued' AND task <> ALL($2)")
        .bind(run)
        .bind(&names)
        .execute(&mut *transaction)
        .await
        .map_err(doing())?;
    sqlx::query(
        "INSERT INTO ops.tasks (run_id, task, place, attempt) SELECT $1, p.task, p.place - 1, 1 \
         FROM unnest($2::text[]) WITH ORDINALITY AS p(task, place) \
         WHERE NOT EXISTS (SELECT FROM ops.tasks t WHERE t.run_id = $1 AND t.task = p.task)",
    )
    .bind(run)
    .bind(&names)
    .execute(&mut *transaction)
    .await
    .map_err(doing())?;
    transaction.commit().await.map_err(doing())?;
    Ok(())
}

/// Begins the next attempt of a task. One that is still open was begun by somebody who is gone, and is closed as interrupted.
///
/// # Errors
/// [`LeaderError`].
pub async fn start_task(
    connection: &mut PgConnection,
    lease: &Lease,
    run: i64,
    task: &str,
    place: i32,
) -> Result<TaskAttempt, LeaderError> {
    let doing = || ServingError::new("beginning a task");
    let mut transaction = lease.begin(connection).await?;
    sqlx::query(
        "UPDATE ops.tasks SET state = 'interrupted', ended_at = now(), error = coalesce(error, 'begun again') \
         WHERE run_id = $1 AND task = $2 AND state = 'running'",
    )
    .bind(run)
    .bind(task)
    .execute(&mut *transaction)
    .await
    .map_err(doing())?;
    let queued: Option<TaskAttempt> = sqlx::query_as(concat!(
        "UPDATE ops.tasks SET state = 'running', started_at = now(), epoch = $3 \
         WHERE run_id = $1 AND task = $2 AND state = 'queued' RETURNING ",
        task_columns!()
    ))
    .bind(run)
    .bind(task)
    .bind(lease.epoch())
    .fetch_optional(&mut *transaction)
    .await
    .map_err(doing())?;
    let attempt = match queued {
        Some(attempt) => attempt,
        None => sqlx::query_as(concat!(
            "INSERT INTO ops.tasks (run_id, task, place, attempt, state, epoch, started_at) \
             SELECT $1, $2, $4, coalesce(max(attempt), 0) + 1, 'running', $3, now() FROM ops.tasks WHERE run_id = $1 AND task = $2 \
             RETURNING ",
            task_columns!()
        ))
        .bind(run)
        .bind(task)
        .bind(lease.epoch())
        .bind(place)
        .fetch_one(&mut *transaction)
        .await
        .map_err(doing())?,
    };
    transaction.commit().await.map_err(doing())?;
    Ok(attempt)
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskEnd {
    /// Like this.
    pub state: TaskState,
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
    /// After [`TaskState::Retrying`]: how long until the next attempt.
    pub retry_in: Option<Duration>,
}

impl TaskEnd {
    /// An end like this, about which nothing else is known.
    pub fn new(state: TaskState) -> Self {
        Self { state, versions_in: None, versions_out: None, rows_in: None, rows_out: None, error: None, retry_in: None }
    }

    /// The same, and why.
    #[must_use]
    pub fn because(mut self, error: impl Into<String>) -> Self {
        self.error = Some(error.into());
        self
    }
}

/// Ends an attempt; false when it had ended already.
///
/// # Errors
/// [`LeaderError`].
pub async fn end_task(connection: &mut PgConnection, lease: &Lease, attempt: i64, end: &TaskEnd) -> Result<bool, LeaderError> {
    let doing = || ServingError::new("ending a task");
    let retry_in = (end.state == TaskState::Retrying)
        .then(|| i64::try_from(end.retry_in.unwrap_or_default().as_millis()).unwrap_or(i64::from(i32::MAX)));
    let mut transaction = lease.begin(connection).await?;
    let ended = sqlx::query(
        "UPDATE ops.tasks SET state = $2, ended_at = now(), retry_at = now() + $3::bigint * interval '1 millisecond', \
         versions_in = $4::jsonb, versions_out = $5::jsonb, rows_in = $6, rows_out = $7, error = $8 \
         WHERE id = $1 AND state IN ('queued', 'running')",
    )
    .bind(attempt)
    .bind(end.state.as_str())
    .bind(retry_in)
    .bind(end.versions_in.as_ref().map(json_text))
    .bind(end.versions_out.as_ref().map(json_text))
    .bind(end.rows_in)
    .bind(end.rows_out)
    .bind(end.error.as_ref().map(|error| error.replace('\0', "\u{fffd}")))
    .execute(&mut *transaction)
    .await
    .map_err(doing())?;
    transaction.commit().await.map_err(doing())?;
    Ok(ended.rows_affected() == 1)
}

/// Says of a task whose turn never comes why that is: skipped, cancelled or failed upstream. Nothing happens to one that has begun.
///
/// # Errors
/// [`LeaderError`].
pub async fn pass_over(
    connection: &mut PgConnection,
    lease: &Lease,
    run: i64,
    task: &str,
    end: &TaskEnd,
) -> Result<(), LeaderError> {
    let doing = || ServingError::new("passing over a task");
    let mut transaction = lease.begin(connection).await?;
    sqlx::query(
        "UPDATE ops.tasks SET state = $3, ended_at = now(), epoch = $4, error = $5 \
         WHERE run_id = $1 AND task = $2 AND state = 'queued'",
    )
    .bind(run)
    .bind(task)
    .bind(end.state.as_str())
    .bind(lease.epoch())
    .bind(&end.error)
    .execute(&mut *transaction)
    .await
    .map_err(doing())?;
    transaction.commit().await.map_err(doing())?;
    Ok(())
}

/// How a test went, to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTest {
    /// Of which model.
    pub model: String,
    /// As it is written in the model's file.
    pub test: String,
    /// Whether a failure keeps the table from being published.
    pub fails: bool,
    /// Whether it holds.
    pub passed: bool,
    /// Rows that break it.
    pub failing_rows: i64,
    /// Some of them.
    pub sample: Vec<String>,
    /// It could not be run.
    pub error: Option<String>,
}

/// Records how tests went in a run, in place of what was recorded for the same models in it before.
///
/// # Errors
/// [`LeaderError`].
pub async fn record_tests(connection: &mut PgConnection, lease: &Lease, run: i64, tests: &[NewTest]) -> Result<(), LeaderError> {
    let doing = || ServingError::new("recording tests");
    let clean = |text: &str| text.replace('\0', "\u{fffd}");
    let mut transaction = lease.begin(connection).await?;
    let models: Vec<&str> = tests.iter().map(|t| t.model.as_str()).collect();
    sqlx::query("DELETE FROM ops.model_tests WHERE run_id = $1 AND model = ANY($2)")
        .bind(run)
        .bind(models)
        .execute(&mut *transaction)
        .await
        .map_err(doing())?;
    for test in tests {
        let sample: Vec<String> = test.sample.iter().map(|row| clean(row)).collect();
        sqlx::query(
            "INSERT INTO ops.model_tests (run_id, model, test, severity, passed, failing_rows, sample, error) \
             VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb, $8)",
        )
        .bind(run)
        .bind(&test.model)
        .bind(clean(&test.test))
        .bind(if test.fails { FAIL } else { "warn" })
        .bind(test.passed)
        .bind(test.failing_rows)
        .bind(json_text(&sample))
        .bind(test.error.as_deref().map(clean))
        .execute(&mut *transaction)
        .await
        .map_err(doing())?;
    }
    transaction.commit().await.map_err(doing())?;
    Ok(())
}
