//! What the leader alone does with runs and schedules. Each function is one transaction under its lease, refused when somebody else leads.
//!
//! An error other than [`LeaderError::Lost`] says nothing about what was committed. Each function may be called again: a run that was
//! claimed unheard comes back from [`take_over`], an attempt that was begun unheard is closed by the next
//! [`start_task`](super::start_task), and
//! what has ended once does not end again.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::ask::{Enqueued, NewRun, enqueue_within};
use super::log_lines::fit;
use super::rows::{Run, ScheduleRow, run_columns};
use super::words::{RunState, TaskState, Trigger};
use crate::serving::ServingError;
use crate::serving::lease::{LeaderError, Lease};

/// Begins queued runs, the oldest of each job first, and none of a job that has a run under way; at most so many.
///
/// # Errors
/// [`LeaderError`].
pub async fn claim(connection: &mut PgConnection, lease: &Lease, most: u32) -> Result<Vec<Run>, LeaderError> {
    let doing = || ServingError::new("claiming runs");
    let mut transaction = lease.begin(connection).await?;
    // A run that is cancelled this instant is passed over.
    let mut runs: Vec<Run> = sqlx::query_as(concat!(
        "UPDATE ops.runs SET state = 'running', started_at = coalesce(started_at, now()), epoch = $1, leader = $2 \
         WHERE state = 'queued' AND id IN (SELECT first FROM (SELECT min(id) AS first FROM ops.runs q WHERE state = 'queued' \
         AND NOT EXISTS (SELECT FROM ops.runs r WHERE r.job = q.job AND r.state = 'running') GROUP BY job) AS f ORDER BY first LIMIT $3) \
         RETURNING ",
        run_columns!()
    ))
    .bind(lease.epoch())
    .bind(lease.holder())
    .bind(i64::from(most))
    .fetch_all(&mut *transaction)
    .await
    .map_err(doing())?;
    transaction.commit().await.map_err(doing())?;
    runs.sort_by_key(|run| run.id);
    Ok(runs)
}

/// Takes over every run that is under way and not among those in hand: their leaders died or lost the lease. Attempts that were
/// under way are closed as interrupted; the runs go on.
///
/// # Errors
/// [`LeaderError`].
pub async fn take_over(connection: &mut PgConnection, lease: &Lease, in_hand: &[i64]) -> Result<Vec<Run>, LeaderError> {
    let doing = || ServingError::new("taking over runs");
    let mut transaction = lease.begin(connection).await?;
    let mut runs: Vec<Run> = sqlx::query_as(concat!(
        "UPDATE ops.runs SET epoch = $1, leader = $2 WHERE state = 'running' AND id <> ALL($3) RETURNING ",
        run_columns!()
    ))
    .bind(lease.epoch())
    .bind(lease.holder())
    .bind(in_hand)
    .fetch_all(&mut *transaction)
    .await
    .map_err(doing())?;
    let ids: Vec<i64> = runs.iter().map(|run| run.id).collect();
    sqlx::query(
        "UPDATE ops.tasks SET state = 'interrupted', ended_at = now(), \
         error = coalesce(error, 'the leader of epoch ' || epoch || ' ended while it ran') \
         WHERE run_id = ANY($1) AND state = 'running'",
    )
    .bind(ids)
    .execute(&mut *transaction)
    .await
    .map_err(doing())?;
    transaction.commit().await.map_err(doing())?;
    runs.sort_by_key(|run| run.id);
    Ok(runs)
}

/// Ends a run; false when it had ended already. Attempts that are open then are closed: a run that is over has none.
///
/// # Errors
/// [`LeaderError`].
pub async fn end_run(
    connection: &mut PgConnection,
    lease: &Lease,
    run: i64,
    state: RunState,
    message: Option<&str>,
) -> Result<bool, LeaderError> {
    let doing = || ServingError::new("ending a run");
    let mut transaction = lease.begin(connection).await?;
    let ended = sqlx::query("UPDATE ops.runs SET state = $2, ended_at = now(), message = $3 WHERE id = $1 AND state = 'running'")
        .bind(run)
        .bind(state.as_str())
        .bind(message.map(fit))
        .execute(&mut *transaction)
        .await
        .map_err(doing())?;
    let (queued, running) = match state {
        RunState::Failed => (TaskState::UpstreamFailed, TaskState::Interrupted),
        RunState::Succeeded | RunState::Skipped => (TaskState::Skipped, TaskState::Interrupted),
        _ => (TaskState::Cancelled, TaskState::Cancelled),
    };
    sqlx::query(
        "UPDATE ops.tasks SET state = CASE state WHEN 'queued' THEN $2 ELSE $3 END, ended_at = now() \
         WHERE run_id = $1 AND state IN ('queued', 'running')",
    )
    .bind(run)
    .bind(queued.as_str())
    .bind(running.as_str())
    .execute(&mut *transaction)
    .await
    .map_err(doing())?;
    transaction.commit().await.map_err(doing())?;
    Ok(ended.rows_affected() == 1)
}

/// The runs under way that somebody wants ended, and who.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn to_cancel(connection: &mut PgConnection) -> Result<Vec<(i64, String)>, ServingError> {
    sqlx::query_as(
        "SELECT id, coalesce(cancel_requested_by, '') FROM ops.runs \
         WHERE state = 'running' AND cancel_requested_at IS NOT NULL ORDER BY id",
    )
    .fetch_all(connection)
    .await
    .map_err(ServingError::new("reading ops.runs"))
}

/// Notes a job and when it is due next. One that is seen for the first time is paused unless its file has it enabled.
///
/// # Errors
/// [`LeaderError`].
pub async fn see_job(
    connection: &mut PgConnection,
    lease: &Lease,
    job: &str,
    enabled: bool,
    next_due: Option<DateTime<Utc>>,
) -> Result<ScheduleRow, LeaderError> {
    let doing = || ServingError::new("noting a job");
    let mut transaction = lease.begin(connection).await?;
    let row = sqlx::query_as(
        "INSERT INTO ops.schedules (job, paused, next_due_at) VALUES ($1, NOT $2, $3) \
         ON CONFLICT (job) DO UPDATE SET next_due_at = excluded.next_due_at \
         RETURNING job, first_seen_at, paused, paused_at, paused_by, last_due_at, next_due_at",
    )
    .bind(job)
    .bind(enabled)
    .bind(next_due)
    .fetch_one(&mut *transaction)
    .await
    .map_err(doing())?;
    transaction.commit().await.map_err(doing())?;
    Ok(row)
}

/// Queues the run that was due at that time, and remembers the time. When the job has an active run, nothing is queued and nothing
/// remembered: it is due still.
///
/// # Errors
/// [`LeaderError`].
pub async fn enqueue_due(
    connection: &mut PgConnection,
    lease: &Lease,
    new: &NewRun,
    due: DateTime<Utc>,
) -> Result<Enqueued, LeaderError> {
    let doing = || ServingError::new("queueing a run that is due");
    let mut transaction = lease.begin(connection).await?;
    let enqueued = enqueue_within(&mut transaction, new, Some(due)).await?;
    if matches!(enqueued, Enqueued::Run(_)) {
        sqlx::query(
            "INSERT INTO ops.schedules AS s (job, last_due_at) VALUES ($1, $2) \
             ON CONFLICT (job) DO UPDATE SET last_due_at = greatest(s.last_due_at, excluded.last_due_at)",
        )
        .bind(&new.job)
        .bind(due)
        .execute(&mut *transaction)
        .await
        .map_err(doing())?;
    }
    transaction.commit().await.map_err(doing())?;
    Ok(enqueued)
}

/// A run turns out to be for another reason than it was queued for.
///
/// # Errors
/// [`LeaderError`].
pub async fn set_trigger(connection: &mut PgConnection, lease: &Lease, run: i64, trigger: Trigger) -> Result<(), LeaderError> {
    let doing = || ServingError::new("noting why a run is");
    let mut transaction = lease.begin(connection).await?;
    sqlx::query("UPDATE ops.runs SET trigger = $2 WHERE id = $1")
        .bind(run)
        .bind(trigger.as_str())
        .execute(&mut *transaction)
        .await
        .map_err(doing())?;
    transaction.commit().await.map_err(doing())?;
    Ok(())
}
