//! What is in the history, for anybody who looks.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::rows::{ModelTest, Run, ScheduleRow, TaskAttempt, run_columns, task_columns};
use super::words::RunState;
use crate::serving::ServingError;

/// Which runs to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Which {
    /// Of this job alone.
    pub job: Option<String>,
    /// In these states alone; none named: all.
    pub states: Vec<RunState>,
    /// Older than this one.
    pub before: Option<i64>,
    /// At most so many; 0: as many as fit a screen.
    pub limit: u32,
}

/// Runs, the newest first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn runs(connection: &mut PgConnection, which: &Which) -> Result<Vec<Run>, ServingError> {
    let states: Vec<&str> = which.states.iter().map(|s| s.as_str()).collect();
    sqlx::query_as(concat!(
        "SELECT ",
        run_columns!(),
        " FROM ops.runs WHERE ($1::text IS NULL OR job = $1) AND (cardinality($2::text[]) = 0 OR state = ANY($2)) \
         AND ($3::bigint IS NULL OR id < $3) ORDER BY id DESC LIMIT $4"
    ))
    .bind(&which.job)
    .bind(states)
    .bind(which.before)
    .bind(if which.limit == 0 { 20 } else { i64::from(which.limit) })
    .fetch_all(connection)
    .await
    .map_err(ServingError::new("reading ops.runs"))
}

/// One run.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn run(connection: &mut PgConnection, run: i64) -> Result<Option<Run>, ServingError> {
    sqlx::query_as(concat!("SELECT ", run_columns!(), " FROM ops.runs WHERE id = $1"))
        .bind(run)
        .fetch_optional(connection)
        .await
        .map_err(ServingError::new("reading ops.runs"))
}

/// The attempts of a run's tasks, in the order of its plan.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn tasks(connection: &mut PgConnection, run: i64) -> Result<Vec<TaskAttempt>, ServingError> {
    sqlx::query_as(concat!("SELECT ", task_columns!(), " FROM ops.tasks WHERE run_id = $1 ORDER BY place, task, attempt"))
        .bind(run)
        .fetch_all(connection)
        .await
        .map_err(ServingError::new("reading ops.tasks"))
}

/// How the tests of the models went in a run.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn tests(connection: &mut PgConnection, run: i64) -> Result<Vec<ModelTest>, ServingError> {
    sqlx::query_as(
        "SELECT run_id, model, test, severity, passed, failing_rows, sample::text AS sample, error, checked_at \
         FROM ops.model_tests WHERE run_id = $1 ORDER BY id",
    )
    .bind(run)
    .fetch_all(connection)
    .await
    .map_err(ServingError::new("reading ops.model_tests"))
}

/// How long the newest successful runs of a job took, the newest first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn durations(connection: &mut PgConnection, job: &str, limit: u32) -> Result<Vec<Duration>, ServingError> {
    let seconds: Vec<f64> = sqlx::query_scalar(
        "SELECT extract(epoch FROM ended_at - started_at)::float8 FROM ops.runs \
         WHERE job = $1 AND state = 'succeeded' ORDER BY id DESC LIMIT $2",
    )
    .bind(job)
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await
    .map_err(ServingError::new("reading ops.runs"))?;
    Ok(seconds.into_iter().map(|s| Duration::from_secs_f64(s.max(0.0))).collect())
}

/// What is known of every job that a leader or a person has mentioned.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn schedules(connection: &mut PgConnection) -> Result<Vec<ScheduleRow>, ServingError> {
    sqlx::query_as(
        "SELECT job, first_seen_at, paused, paused_at, paused_by, last_due_at, next_due_at FROM ops.schedules ORDER BY job",
    )
    .fetch_all(connection)
    .await
    .map_err(ServingError::new("reading ops.schedules"))
}

/// When the first run of a job began that had something to do.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn first_started(connection: &mut PgConnection, job: &str) -> Result<Option<DateTime<Utc>>, ServingError> {
    sqlx::query_scalar("SELECT min(started_at) FROM ops.runs WHERE job = $1 AND state IN ('succeeded', 'failed', 'cancelled')")
        .bind(job)
        .fetch_one(connection)
        .await
        .map_err(ServingError::new("reading ops.runs"))
}
