//! What a person may do to a job: ask for a run of it, or for days of the past; keep it from beginning by itself.

use std::fmt;

use anyhow::Result;
use chrono::NaiveDate;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use sqlx::PgConnection;
use tributary_actors::serving::history::{self, Enqueued, NewRun, Params, RunState, Trigger};
use tributary_core::job::{Job, Work};

use super::{Refused, Verb, Who, audited};

/// A run that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Queued {
    /// Its number.
    pub(crate) run: i64,
    /// Of which job.
    pub(crate) job: String,
    /// The job does not begin by itself for now; this run of it runs all the same.
    pub(crate) paused: bool,
}

impl fmt::Display for Queued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "run {} is queued", self.run)
    }
}

/// A job that begins by itself, or does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Paused {
    /// Which.
    pub(crate) job: String,
    /// It does not begin by itself.
    pub(crate) paused: bool,
    /// It was not so before.
    pub(crate) changed: bool,
    /// A run of it that is queued or under way, and goes on.
    pub(crate) active_run: Option<i64>,
    /// How that one is.
    pub(crate) active_state: Option<RunState>,
}

impl fmt::Display for Paused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.changed, self.paused) {
            (true, true) => "it does not begin by itself any more",
            (true, false) => "it begins by itself again",
            (false, true) => "it was paused already",
            (false, false) => "it was not paused",
        })
    }
}

/// Asks for a run. Whether the job has the tasks of `params` is looked at as far as the job's file says it: a caller that has read the
/// models, which are tasks too, knows it better and asks only for what is there.
pub(crate) async fn run(connection: &mut PgConnection, who: &Who, job: &Job, params: Params) -> Result<Queued> {
    let asked = json!(params);
    audited(connection, who, Verb::Run, &job.name, asked, async |connection| {
        check_tasks(job, &params)?;
        queue(connection, who, job, Trigger::Manual, params).await
    })
    .await
}

/// Asks for a run that makes these days anew.
pub(crate) async fn backfill(
    connection: &mut PgConnection,
    who: &Who,
    job: &Job,
    from: NaiveDate,
    to: NaiveDate,
    force: bool,
) -> Result<Queued> {
    let params = Params { from: Some(from), to: Some(to), force, ..Params::default() };
    let asked = json!(params);
    audited(connection, who, Verb::Backfill, &job.name, asked, async |connection| {
        can_backfill(job, from, to)?;
        queue(connection, who, job, Trigger::Backfill, params).await
    })
    .await
}

/// Refuses days that are none, and a job that makes nothing of days.
pub(crate) fn can_backfill(job: &Job, from: NaiveDate, to: NaiveDate) -> Result<(), Refused> {
    if to < from {
        return Err(Refused::wrong(format!("--from {from} is after --to {to}")));
    }
    match job.tasks.iter().any(|task| matches!(task.work, Work::Models(_))) {
        true => Ok(()),
        false => Err(Refused::wrong(format!("{} builds no gold table: there is nothing to backfill", job.name))),
    }
}

/// Keeps a job from beginning by itself, or takes that back.
pub(crate) async fn set_paused(connection: &mut PgConnection, who: &Who, job: &Job, paused: bool) -> Result<Paused> {
    let verb = if paused { Verb::Pause } else { Verb::Resume };
    audited(connection, who, verb, &job.name, json!({}), async |connection| {
        if !paused && !job.catch_up {
            history::forget_missed(connection, &job.name).await?;
        }
        let changed = history::set_paused(connection, &job.name, paused, &who.person).await?;
        let states = vec![RunState::Queued, RunState::Running];
        let which = history::Which { job: Some(job.name.clone()), states, limit: 1, ..history::Which::default() };
        let active = history::runs(connection, &which).await?.into_iter().next();
        Ok(Paused {
            job: job.name.clone(),
            paused,
            changed,
            active_run: active.as_ref().map(|run| run.id),
            active_state: active.map(|run| run.state),
        })
    })
    .await
}

async fn queue(connection: &mut PgConnection, who: &Who, job: &Job, trigger: Trigger, params: Params) -> Result<Queued> {
    let schedules = history::schedules(connection).await?;
    let paused = schedules.iter().find(|row| row.job == job.name).map_or(!job.enabled, |row| row.paused);
    let new = NewRun {
        job: job.name.clone(),
        trigger,
        requested_by: who.person.clone(),
        params,
        retry_of: None,
        // What somebody asks for while the job runs is done after it.
        behind_others: true,
    };
    match history::enqueue(connection, &new).await? {
        Enqueued::Run(run) => Ok(Queued { run, job: job.name.clone(), paused }),
        Enqueued::Active(run) => Err(Refused::conflict(format!("run {run} of {} is queued or under way", job.name)).into()),
    }
}

/// Refuses a task that the job cannot have. One that names no models has a task for each of them, whatever they are called.
fn check_tasks(job: &Job, params: &Params) -> Result<(), Refused> {
    if params.task.is_some() && params.from_task.is_some() {
        return Err(Refused::wrong("either one task alone or one with those after it, not both"));
    }
    let Some(task) = params.task.as_deref().or(params.from_task.as_deref()) else { return Ok(()) };
    let mut known = Vec::new();
    for declared in &job.tasks {
        match &declared.work {
            Work::Models(names) if names.is_empty() => return Ok(()),
            Work::Models(names) => known.extend(names.iter().map(String::as_str)),
            _ => known.push(declared.name.as_str()),
        }
    }
    match known.contains(&task) {
        true => Ok(()),
        false => Err(Refused::unknown(&format!("task of {}", job.name), task, known)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;
    use crate::words::day;

    fn job(name: &str) -> Job {
        Job::builtin().into_iter().find(|job| job.name == name).unwrap()
    }

    #[test]
    fn days_are_filled_in_their_order_and_by_a_job_that_builds_gold() {
        let (first, last) = (day("2026-11-01").unwrap(), day("2026-11-24").unwrap());
        assert_eq!(can_backfill(&job("lakehouse_bronze_to_gold"), first, last), Ok(()));
        assert_eq!(can_backfill(&job("lakehouse_bronze_to_gold"), first, first), Ok(()));
        assert!(can_backfill(&job("lakehouse_bronze_to_gold"), last, first).unwrap_err().words.contains("is after"));
        assert!(can_backfill(&job("lakehouse_maintenance"), first, last).unwrap_err().words.contains("no gold table"));
    }

    #[test]
    fn a_task_that_no_file_can_mean_is_refused_with_those_that_there_are() {
        let task = |name: &str| Params { task: Some(name.to_owned()), ..Params::default() };
        let maintenance = job("lakehouse_maintenance");
        assert_eq!(check_tasks(&maintenance, &Params::default()), Ok(()));
        assert_eq!(check_tasks(&maintenance, &task(&maintenance.tasks[0].name)), Ok(()));
        let refused = check_tasks(&maintenance, &task("silver")).unwrap_err();
        assert!(refused.kind == Kind::NotFound && refused.words.contains(&maintenance.tasks[0].name), "{refused}");
        assert_eq!(check_tasks(&job("lakehouse_bronze_to_gold"), &task("kpi_dau")), Ok(()), "a model");
        let both = Params { from_task: Some("silver".to_owned()), ..task("silver") };
        assert_eq!(check_tasks(&maintenance, &both).unwrap_err().kind, Kind::Wrong);
    }
}
