//! What anybody may do with the history: ask for a run or for its end, pause a job. Needs no lease.
//!
//! Asking only leaves a row: the leader finds it. A paused job still runs when a person asks for it.

use sqlx::{Connection, PgConnection};

use super::look;
use super::rows::{Params, TaskAttempt, json_text};
use super::words::{RunState, TaskState, Trigger};
use crate::serving::ServingError;

/// A run to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRun {
    /// Of which job, by its name, not an alias.
    pub job: String,
    /// Why.
    pub trigger: Trigger,
    /// Who asks.
    pub requested_by: String,
    /// What to do differently.
    pub params: Params,
    /// The run that it repeats.
    pub retry_of: Option<i64>,
    /// Wait behind runs of the job that are queued or under way, instead of being refused for them.
    pub behind_others: bool,
}

/// What came of asking for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enqueued {
    /// It is queued under this number.
    Run(i64),
    /// This run of the job is queued or under way, and nothing was queued.
    Active(i64),
}

/// Asks for a run.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn enqueue(connection: &mut PgConnection, new: &NewRun) -> Result<Enqueued, ServingError> {
    let doing = || ServingError::new("queueing a run");
    let mut transaction = connection.begin().await.map_err(doing())?;
    let enqueued = enqueue_within(&mut transaction, new, None).await?;
    transaction.commit().await.map_err(doing())?;
    Ok(enqueued)
}

/// The same within a transaction of the caller's.
pub(super) async fn enqueue_within(
    transaction: &mut PgConnection,
    new: &NewRun,
    due: Option<chrono::DateTime<chrono::Utc>>,
) -> Result<Enqueued, ServingError> {
    let doing = || ServingError::new("queueing a run");
    // Of two that ask at once, the second one sees what the first one queued.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('tributary run ' || $1, 0))")
        .bind(&new.job)
        .execute(&mut *transaction)
        .await
        .map_err(doing())?;
    if !new.behind_others {
        let active: Option<i64> =
            sqlx::query_scalar("SELECT id FROM ops.runs WHERE job = $1 AND state IN ('queued', 'running') ORDER BY id LIMIT 1")
                .bind(&new.job)
                .fetch_optional(&mut *transaction)
                .await
                .map_err(doing())?;
        if let Some(active) = active {
            return Ok(Enqueued::Active(active));
        }
    }
    let id = sqlx::query_scalar(
        "INSERT INTO ops.runs (job, trigger, requested_by, params, retry_of, due_at) \
         VALUES ($1, $2, $3, $4::jsonb, $5, $6) RETURNING id",
    )
    .bind(&new.job)
    .bind(new.trigger.as_str())
    .bind(&new.requested_by)
    .bind(json_text(&new.params))
    .bind(new.retry_of)
    .bind(due)
    .fetch_one(transaction)
    .await
    .map_err(doing())?;
    Ok(Enqueued::Run(id))
}

/// What came of asking for a run's end, or for it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It had not begun and is over.
    Done,
    /// Its leader will see to it.
    Requested,
    /// It is over already, like this.
    Over(RunState),
    /// There is no such run.
    Unknown,
}

/// Asks for the end of a run.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn cancel(connection: &mut PgConnection, run: i64, by: &str) -> Result<Asked, ServingError> {
    let state: Option<String> = sqlx::query_scalar(
        "UPDATE ops.runs SET cancel_requested_at = coalesce(cancel_requested_at, now()), \
         cancel_requested_by = coalesce(cancel_requested_by, $2), \
         state = CASE state WHEN 'queued' THEN 'cancelled' ELSE state END, \
         ended_at = CASE state WHEN 'queued' THEN now() END, \
         message = CASE state WHEN 'queued' THEN 'cancelled by ' || $2 || ' before it began' ELSE message END \
         WHERE id = $1 AND state IN ('queued', 'running') RETURNING state",
    )
    .bind(run)
    .bind(by)
    .fetch_optional(&mut *connection)
    .await
    .map_err(ServingError::new("cancelling a run"))?;
    match state.as_deref() {
        Some("cancelled") => Ok(Asked::Done),
        Some(_) => Ok(Asked::Requested),
        None => Ok(look::run(connection, run).await?.map_or(Asked::Unknown, |run| Asked::Over(run.state))),
    }
}

/// What came of asking for a run again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retried {
    /// Queued, or not, as [`enqueue`] says; from this task on.
    Asked(Enqueued, Option<String>),
    /// It is not over, or it succeeded: there is nothing to repeat.
    Not(RunState),
    /// There is no such run.
    Unknown,
}

/// Asks for what a run has not done: a new run with the same parameters. What is done already is found done, and what was mended
/// meanwhile in an earlier task is taken; a run that does its work whatever is done begins with the first task that did not succeed.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn retry(connection: &mut PgConnection, run: i64, by: &str) -> Result<Retried, ServingError> {
    let Some(old) = look::run(connection, run).await? else { return Ok(Retried::Unknown) };
    if !matches!(old.state, RunState::Failed | RunState::Cancelled) {
        return Ok(Retried::Not(old.state));
    }
    let attempts = look::tasks(connection, run).await?;
    let does_all_again = old.params.force || !old.params.days.is_empty() || old.params.from.is_some();
    let unfinished = || first_unfinished(&attempts).map(str::to_owned);
    let from = match &old.params.task {
        Some(_) => None,
        None if does_all_again => unfinished().or_else(|| old.params.from_task.clone()),
        None => old.params.from_task.clone(),
    };
    let params = Params { from_task: from.clone(), ..old.params };
    let new = NewRun {
        job: old.job,
        trigger: Trigger::Retry,
        requested_by: by.to_owned(),
        params,
        retry_of: Some(run),
        behind_others: false,
    };
    Ok(Retried::Asked(enqueue(connection, &new).await?, from))
}

/// The first task of the plan whose newest attempt came to nothing.
fn first_unfinished(attempts: &[TaskAttempt]) -> Option<&str> {
    let newest = |a: &TaskAttempt| attempts.iter().filter(|b| b.task == a.task).all(|b| b.attempt <= a.attempt);
    let finished = [TaskState::Succeeded, TaskState::Skipped];
    attempts.iter().filter(|a| newest(a) && !finished.contains(&a.state)).min_by_key(|a| a.place).map(|a| a.task.as_str())
}

/// Pauses a job or takes that back; false when it was so already.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn set_paused(connection: &mut PgConnection, job: &str, paused: bool, by: &str) -> Result<bool, ServingError> {
    let changed = sqlx::query(
        "INSERT INTO ops.schedules AS s (job, paused, paused_at, paused_by) SELECT $1::text, $2::boolean, now(), $3::text \
         WHERE $2::boolean OR EXISTS (SELECT FROM ops.schedules WHERE job = $1::text) \
         ON CONFLICT (job) DO UPDATE SET paused = excluded.paused, paused_at = excluded.paused_at, paused_by = excluded.paused_by \
         WHERE s.paused <> excluded.paused",
    )
    .bind(job)
    .bind(paused)
    .bind(by)
    .execute(connection)
    .await
    .map_err(ServingError::new(if paused { "pausing a job" } else { "resuming a job" }))?;
    Ok(changed.rows_affected() == 1)
}

/// Before a paused job is resumed: what it would have done meanwhile is not made up for.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn forget_missed(connection: &mut PgConnection, job: &str) -> Result<(), ServingError> {
    sqlx::query("UPDATE ops.schedules SET last_due_at = greatest(last_due_at, now()) WHERE job = $1 AND paused")
        .bind(job)
        .execute(connection)
        .await
        .map_err(ServingError::new("resuming a job"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(task: &str, place: i32, attempt: i32, state: TaskState) -> TaskAttempt {
        TaskAttempt {
            id: 0,
            run_id: 1,
            task: task.to_owned(),
            place,
            attempt,
            state,
            epoch: None,
            started_at: None,
            ended_at: None,
            retry_at: None,
            versions_in: None,
            versions_out: None,
            rows_in: None,
            rows_out: None,
            error: None,
        }
    }

    #[test]
    fn a_retry_begins_where_the_newest_attempts_came_to_nothing() {
        use TaskState::{Failed, Retrying, Skipped, Succeeded, UpstreamFailed};
        let mut attempts = vec![
            attempt("check", 0, 1, Skipped),
            attempt("silver", 1, 1, Retrying),
            attempt("silver", 1, 2, Succeeded),
            attempt("publish", 4, 1, UpstreamFailed),
            attempt("gold", 2, 1, Retrying),
            attempt("gold", 2, 2, Failed),
        ];
        assert_eq!(first_unfinished(&attempts), Some("gold"));
        attempts.truncate(3);
        assert_eq!(first_unfinished(&attempts), None);
    }
}
