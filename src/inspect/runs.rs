//! One run with all that hangs on it, and how its parameters and versions are said.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use tributary_actors::serving::ServingError;
use tributary_actors::serving::history::{self, ModelTest, Params, Run, RunState, TaskAttempt, Versions};

use crate::words;

/// A run, its tasks and what was tested in it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct RunDetail {
    /// The run.
    pub(crate) run: Run,
    /// Every attempt of its tasks, in the order of its plan.
    pub(crate) tasks: Vec<TaskAttempt>,
    /// How the tests of the models went.
    pub(crate) tests: Vec<ModelTest>,
}

/// The run of that number.
pub(crate) async fn detail(connection: &mut PgConnection, id: i64) -> Result<Option<RunDetail>, ServingError> {
    // The run first: what its tasks are afterwards is at least as new, so that nothing is missing of a run that is over.
    let Some(run) = history::run(connection, id).await? else { return Ok(None) };
    let tasks = history::tasks(connection, id).await?;
    let tests = history::tests(connection, id).await?;
    Ok(Some(RunDetail { run, tasks, tests }))
}

/// The oldest run of the same job that is not over, if that is another one.
pub(crate) async fn first_in_line(connection: &mut PgConnection, run: &Run) -> Result<Option<i64>, ServingError> {
    let which = history::Which {
        job: Some(run.job.clone()),
        states: vec![RunState::Queued, RunState::Running],
        before: Some(run.id),
        limit: 100,
    };
    Ok(history::runs(connection, &which).await?.iter().map(|run| run.id).min())
}

/// Runs that repeat this one, the oldest first.
pub(crate) async fn repetitions(connection: &mut PgConnection, run: &Run) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar("SELECT id FROM ops.runs WHERE job = $1 AND id > $2 AND retry_of = $2 ORDER BY id LIMIT 20")
        .bind(&run.job)
        .bind(run.id)
        .fetch_all(connection)
        .await
}

/// What the run was asked to do differently from the job's file.
pub(crate) fn params(params: &Params) -> String {
    let mut parts = Vec::new();
    parts.extend(params.task.as_ref().map(|task| format!("task {task}")));
    parts.extend(params.from_task.as_ref().map(|task| format!("from task {task} on")));
    if !params.days.is_empty() {
        parts.push(format!("days {}", params.days.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")));
    }
    if let (Some(from), Some(to)) = (params.from, params.to) {
        parts.push(format!("days {from} to {to}"));
    }
    if params.force {
        parts.push("by force: everything anew, shrunken days too".into());
    }
    parts.join(", ")
}

/// `silver.user_events 17`; several with commas, as many as fit a line.
pub(crate) fn versions(versions: Option<&Versions>) -> String {
    const MOST: usize = 2;
    let Some(versions) = versions.filter(|versions| !versions.is_empty()) else { return words::NOTHING.into() };
    let said = versions.iter().take(MOST).map(|(table, version)| match version {
        Value::Number(number) => format!("{table} {number}"),
        other => format!("{table} {}", words::first_line(&other.to_string(), 24)),
    });
    let text = said.collect::<Vec<_>>().join(", ");
    match versions.len() {
        ..=MOST => text,
        n => format!("{text} +{}", n - MOST),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use chrono::Utc;
    use serde_json::json;
    use tributary_actors::serving::history::{TaskState, Trigger};

    use super::*;

    /// A run that somebody asked for, with nothing known of it yet.
    pub(crate) fn run(id: i64, state: RunState) -> Run {
        Run {
            id,
            job: "etl".into(),
            state,
            trigger: Trigger::Manual,
            requested_by: "ana".into(),
            params: Params::default(),
            plan: Vec::new(),
            retry_of: None,
            due_at: None,
            queued_at: Utc::now(),
            started_at: None,
            ended_at: None,
            epoch: None,
            leader: None,
            cancel_requested_at: None,
            cancel_requested_by: None,
            message: None,
        }
    }

    /// An attempt of run 1, with nothing known of it yet.
    pub(crate) fn attempt(id: i64, task: &str, n: i32, state: TaskState) -> TaskAttempt {
        TaskAttempt {
            id,
            run_id: 1,
            task: task.into(),
            place: 0,
            attempt: n,
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
    fn many_versions_are_cut() {
        let many = ["a", "b", "c"].map(|t| (t.to_owned(), json!(1))).into();
        assert_eq!(versions(Some(&many)), "a 1, b 1 +1");
        assert_eq!(versions(None), "-");
    }

    #[test]
    fn parameters_are_said_in_one_line() {
        let day = |text: &str| words::day(text).unwrap();
        let of = Params {
            from_task: Some("kpi_dau".into()),
            from: Some(day("2026-11-01")),
            to: Some(day("2026-11-02")),
            ..Params::default()
        };
        assert_eq!(params(&of), "from task kpi_dau on, days 2026-11-01 to 2026-11-02");
        assert_eq!(params(&Params::default()), "");
    }
}
