//! What a person may do to a run: end it, or ask for it again.

use std::fmt;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use sqlx::PgConnection;
use tributary_actors::serving::history::{self, Asked, Enqueued, NewRun, Params, Run, RunState, Trigger};
use tributary_core::job::Job;

use super::{Refused, Verb, Who, audited};

/// A run whose end was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Cancelled {
    /// Its number.
    pub(crate) run: i64,
    /// It had not begun and is over; else it ends at its next step.
    pub(crate) over: bool,
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.over { "it had not begun and is over" } else { "it ends at its next step" })
    }
}

/// A run that repeats another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Retried {
    /// Its number.
    pub(crate) run: i64,
    /// The number of the run that it repeats.
    pub(crate) repeats: i64,
    /// The task that it begins with; none: all of them, and what is done is found done.
    pub(crate) from_task: Option<String>,
}

impl fmt::Display for Retried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "run {} repeats run {}", self.run, self.repeats)?;
        match &self.from_task {
            Some(task) => write!(f, " from task {task} on"),
            None => Ok(()),
        }
    }
}

/// Asks for the end of a run.
pub(crate) async fn cancel(connection: &mut PgConnection, who: &Who, run: i64) -> Result<Cancelled> {
    audited(connection, who, Verb::Cancel, &subject(run), json!({}), async |connection| {
        match history::cancel(connection, run, &who.person).await? {
            Asked::Done => Ok(Cancelled { run, over: true }),
            Asked::Requested => Ok(Cancelled { run, over: false }),
            Asked::Over(state) => Err(Refused::conflict(format!("run {run} is over: {state}")).into()),
            Asked::Unknown => Err(Refused::no_run(run).into()),
        }
    })
    .await
}

/// Asks for what a run has not done: from the first task that failed, or from the one that is named. A run of none of these jobs, which
/// are those that can be run now, is not repeated: it would be queued only to fail.
pub(crate) async fn retry(
    connection: &mut PgConnection,
    who: &Who,
    jobs: &[Job],
    run: i64,
    from_task: Option<&str>,
) -> Result<Retried> {
    let asked = from_task.map_or_else(|| json!({}), |task| json!({ "from_task": task }));
    audited(connection, who, Verb::Retry, &subject(run), asked, async |connection| {
        let Some(old) = history::run(connection, run).await? else { return Err(Refused::no_run(run).into()) };
        if !jobs.iter().any(|job| job.is_called(&old.job)) {
            return Err(no_such_job_now(&old.job).into());
        }
        let retried = match from_task {
            None => history::retry(connection, run, &who.person).await?,
            Some(task) => retry_from(connection, who, old, task).await?,
        };
        match retried {
            history::Retried::Asked(Enqueued::Run(queued), from_task) => Ok(Retried { run: queued, repeats: run, from_task }),
            history::Retried::Asked(Enqueued::Active(other), _) => Err(Refused::conflict(format!(
                "run {other} of the same job is queued or under way and will do what run {run} left; follow it: tributary runs logs {other} -f"
            ))
            .into()),
            history::Retried::Not(state) => Err(not_to_repeat(run, state).into()),
            history::Retried::Unknown => Err(Refused::no_run(run).into()),
        }
    })
    .await
}

/// The same as [`history::retry`], but from a task that a person names.
async fn retry_from(connection: &mut PgConnection, who: &Who, old: Run, task: &str) -> Result<history::Retried> {
    if !matches!(old.state, RunState::Failed | RunState::Cancelled) {
        return Ok(history::Retried::Not(old.state));
    }
    let known: Vec<&str> = old.plan.iter().map(|task| task.name.as_str()).collect();
    if !known.is_empty() && !known.contains(&task) {
        return Err(Refused::unknown("task", task, known).into());
    }
    let new = NewRun {
        job: old.job,
        trigger: Trigger::Retry,
        requested_by: who.person.clone(),
        params: Params { task: None, from_task: Some(task.to_owned()), ..old.params },
        retry_of: Some(old.id),
        behind_others: false,
    };
    Ok(history::Retried::Asked(history::enqueue(connection, &new).await?, Some(task.to_owned())))
}

fn not_to_repeat(run: i64, state: RunState) -> Refused {
    Refused::conflict(match state {
        RunState::Queued | RunState::Running => format!("run {run} is not over; `tributary runs cancel {run}` ends it"),
        state => format!("run {run} ended as {state}: there is nothing to repeat; `tributary run JOB` runs the job"),
    })
}

fn no_such_job_now(job: &str) -> Refused {
    Refused::conflict(format!("no file declares the job {job} now, or its file cannot be read; `tributary jobs list` says which"))
}

fn subject(run: i64) -> String {
    format!("run {run}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_repeated_says_what_to_do_instead() {
        assert!(not_to_repeat(7, RunState::Running).words.contains("tributary runs cancel 7"));
        assert!(not_to_repeat(7, RunState::Succeeded).words.contains("ended as succeeded"));
    }

    #[test]
    fn a_run_of_a_job_that_is_gone_says_where_to_look() {
        assert!(
            no_such_job_now("mine").words.contains("the job mine now") && no_such_job_now("mine").words.contains("jobs list")
        );
    }

    #[test]
    fn a_repetition_says_where_it_begins() {
        let mut retried = Retried { run: 8, repeats: 7, from_task: None };
        assert_eq!(retried.to_string(), "run 8 repeats run 7");
        retried.from_task = Some("silver".into());
        assert_eq!(retried.to_string(), "run 8 repeats run 7 from task silver on");
    }
}
