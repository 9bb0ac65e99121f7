//! Calls about runs: what was run, what came of it, what it said; its end, and its repetition.

use anyhow::Result;
use schemars::JsonSchema;
use serde::Deserialize;
use tributary_actors::serving::history::{self, LogLine, Run, RunState};

use super::super::asked::Asked;
use super::super::doing;
use super::super::failure::{Failure, without_nul};
use super::operation::{Nothing, Operation, get, post, within};
use crate::acts::Via;
use crate::acts::runs::{Cancelled, Retried};
use crate::inspect::lines::{self, Level, Wanted};
use crate::inspect::runs::{self, RunDetail};

/// Runs and lines that one answer has at most.
const MOST_RUNS: u32 = 500;
const MOST_LINES: u32 = 10_000;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get(("/runs", "runs", "Runs, the newest first", "tributary runs list --json"), list),
        get(("/runs/{run}", "run", "One run: tasks and attempts, failed tests", "tributary runs show RUN --json"), show),
        get(("/runs/{run}/logs", "runLogs", "What a run said, in order", "tributary runs logs RUN --json"), logs),
        post(
            ("/runs/{run}/cancel", "cancelRun", "End a run, or take it back before it begins", "tributary runs cancel RUN"),
            cancel,
        ),
        post(("/runs/{run}/retry", "retryRun", "Run again what a run has not done", "tributary runs retry RUN"), retry),
    ]
}

/// Which runs.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WhichRuns {
    /// Of this job alone, by its name or alias.
    job: Option<String>,
    /// In this state alone: queued, running, succeeded, failed, cancelled or skipped.
    state: Option<String>,
    /// At most so many; 20 where nothing is said.
    #[schemars(range(min = 1, max = 500))]
    limit: Option<u32>,
    /// Older than this one.
    before: Option<i64>,
}

async fn list(asked: Asked, which: WhichRuns) -> Result<Vec<Run>> {
    let parse = |word: &str| {
        let known: Vec<&str> = RunState::ALL.iter().map(|state| state.as_str()).collect();
        word.parse::<RunState>().map_err(|_| Failure::wrong(format!("`{word}` is no state; a run is {}", known.join(", "))))
    };
    without_nul(which.job.as_deref())?;
    let states = which.state.as_deref().map(parse).transpose()?.into_iter().collect();
    // A job whose file is gone has runs all the same.
    let job = which.job.map(|name| asked.shared.job(&name).map_or(name, |job| job.name));
    let limit = within(which.limit, 20, MOST_RUNS)?;
    let which = history::Which { job, states, before: which.before, limit };
    asked.shared.ask(|connection| Box::pin(async move { Ok(history::runs(connection, &which).await?) })).await
}

async fn show(asked: Asked, _: Nothing) -> Result<RunDetail> {
    let id = asked.number("run")?;
    let found = asked.shared.ask(move |connection| Box::pin(async move { Ok(runs::detail(connection, id).await?) })).await?;
    found.ok_or_else(|| no_run(id).into())
}

/// Which lines.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WhichLines {
    /// Of this task alone.
    task: Option<String>,
    /// Of this attempt alone.
    attempt: Option<i32>,
    /// At least this grave.
    level: Option<Level>,
    /// With these words in them, in capitals or not.
    q: Option<String>,
    /// After the line of this number; a follower gives the last one that it has seen.
    after: Option<i64>,
    /// At most so many; 1,000 where nothing is said.
    #[schemars(range(min = 1, max = 10000))]
    limit: Option<u32>,
}

async fn logs(asked: Asked, which: WhichLines) -> Result<Vec<LogLine>> {
    let id = asked.number("run")?;
    without_nul(which.task.as_deref())?;
    without_nul(which.q.as_deref())?;
    let wanted = Wanted { task: which.task, attempt: which.attempt, level: which.level, words: which.q };
    let (after, limit) = (which.after.unwrap_or(0), within(which.limit, 1_000, MOST_LINES)?);
    let found = asked.shared.ask(move |connection| {
        Box::pin(async move {
            let there = history::run(connection, id).await?.is_some();
            let lines = lines::after(connection, id, &wanted, after, limit).await?;
            Ok(there.then_some(lines))
        })
    });
    found.await?.ok_or_else(|| no_run(id).into())
}

async fn cancel(asked: Asked, _: Nothing) -> Result<Cancelled> {
    let id = asked.number("run")?;
    doing::cancel(&asked, Via::Api, id).await
}

/// How to run it again.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct HowToRetry {
    /// From this task on, instead of what the run has not done.
    from_task: Option<String>,
}

async fn retry(asked: Asked, how: HowToRetry) -> Result<Retried> {
    let id = asked.number("run")?;
    doing::retry(&asked, Via::Api, id, how.from_task).await
}

fn no_run(id: i64) -> Failure {
    Failure::not_found(format!("there is no run {id}"))
}
