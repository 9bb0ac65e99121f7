//! Jobs and how they went: what their files say, with what the history in PostgreSQL knows.

use std::time::Duration;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use sqlx::PgConnection;
use tributary_actors::serving::ServingError;
use tributary_actors::serving::history::{self, Run, RunState, ScheduleRow};
use tributary_core::job::{Job, Schedule};

use super::grid::median;
use super::plan::{Plan, TaskShown};
use crate::words;

/// Runs that are shown of each job.
const RECENT: u32 = 14;

/// A job and how it went.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Listed {
    /// Its name.
    pub(crate) job: String,
    /// Other names that people know it by.
    pub(crate) aliases: Vec<String>,
    /// One line for people.
    pub(crate) description: String,
    /// The file that declares it.
    pub(crate) file: String,
    /// Who answers for it.
    pub(crate) owner: String,
    /// For finding it.
    pub(crate) tags: Vec<String>,
    /// When it begins by itself, in words.
    pub(crate) schedule: String,
    /// As the file has them: one stands for all models.
    pub(crate) tasks: Vec<String>,
    /// Null: the history cannot be read.
    pub(crate) history: Option<Past>,
}

/// A job with what hangs on it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct JobDetail {
    /// What its file says, and how it went.
    #[serde(flatten)]
    pub(crate) job: Listed,
    /// Its tasks, with one for each model; null: the models cannot be read.
    pub(crate) plan: Option<Vec<TaskShown>>,
    /// Its newest runs, the newest first; null: the history cannot be read.
    pub(crate) runs: Option<Vec<Run>>,
}

/// How a job went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Past {
    /// It does not begin by itself for now.
    pub(crate) paused: bool,
    /// Who said so last, or took it back.
    pub(crate) paused_by: Option<String>,
    /// When that was.
    pub(crate) paused_at: Option<DateTime<Utc>>,
    /// When it begins by itself next, as the leader has worked it out.
    pub(crate) next_due_at: Option<DateTime<Utc>>,
    /// When it last ended well.
    pub(crate) last_success_at: Option<DateTime<Utc>>,
    /// The newest first.
    pub(crate) last_runs: Vec<RunState>,
}

impl Listed {
    /// What its file says, with how it went.
    pub(crate) fn new(job: &Job, history: Option<Past>) -> Self {
        Self {
            job: job.name.clone(),
            aliases: job.aliases.clone(),
            description: job.description.clone(),
            file: job.file.clone(),
            owner: job.owner.clone(),
            tags: job.tags.clone(),
            schedule: job.schedule.words(),
            tasks: job.tasks.iter().map(|task| task.name.clone()).collect(),
            history,
        }
    }
}

impl JobDetail {
    /// What its file says, with its tasks and its newest runs where they can be read.
    pub(crate) fn new(job: &Job, plan: Option<&Plan>, known: Option<(Past, Vec<Run>)>) -> Self {
        let (past, runs) = known.unzip();
        Self { job: Listed::new(job, past), plan: plan.map(Plan::shown), runs }
    }
}

/// How each of these jobs went, in their order.
pub(crate) async fn pasts(connection: &mut PgConnection, jobs: &[Job]) -> Result<Vec<Past>, ServingError> {
    let schedules = history::schedules(connection).await?;
    let mut pasts = Vec::with_capacity(jobs.len());
    for job in jobs {
        pasts.push(of(connection, job, &schedules).await?.0);
    }
    Ok(pasts)
}

/// How a job went, with its newest runs and how long successful ones take.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Course {
    /// How it went.
    pub(crate) past: Past,
    /// Its newest runs, the newest first.
    pub(crate) runs: Vec<Run>,
    /// Half of the newest successful ones took less.
    pub(crate) median: Option<Duration>,
}

/// The same for each of these jobs, in their order.
pub(crate) async fn courses(connection: &mut PgConnection, jobs: &[Job]) -> Result<Vec<Course>, ServingError> {
    let schedules = history::schedules(connection).await?;
    let mut courses = Vec::with_capacity(jobs.len());
    for job in jobs {
        let (past, runs) = of(connection, job, &schedules).await?;
        let median = median(history::durations(connection, &job.name, RECENT).await?);
        courses.push(Course { past, runs, median });
    }
    Ok(courses)
}

/// How a job went, with its newest runs.
pub(crate) async fn past(connection: &mut PgConnection, job: &Job) -> Result<(Past, Vec<Run>), ServingError> {
    let schedules = history::schedules(connection).await?;
    of(connection, job, &schedules).await
}

async fn of(connection: &mut PgConnection, job: &Job, schedules: &[ScheduleRow]) -> Result<(Past, Vec<Run>), ServingError> {
    let which = history::Which { job: Some(job.name.clone()), limit: RECENT, ..history::Which::default() };
    let newest = history::runs(connection, &which).await?;
    let which = history::Which { states: vec![RunState::Succeeded], limit: 1, ..which };
    let success = history::runs(connection, &which).await?;
    let row = schedules.iter().find(|row| row.job == job.name);
    let past = Past {
        paused: row.map_or(!job.enabled, |row| row.paused),
        paused_by: row.and_then(|row| row.paused_by.clone()),
        paused_at: row.and_then(|row| row.paused_at),
        next_due_at: row.and_then(|row| row.next_due_at),
        last_success_at: success.first().and_then(|run| run.ended_at),
        last_runs: newest.iter().map(|run| run.state).collect(),
    };
    Ok((past, newest))
}

/// How it is, in a word.
pub(crate) fn state(past: &Past) -> &'static str {
    match (past.paused, past.last_runs.first()) {
        (true, _) => "paused",
        (false, Some(RunState::Running)) => "running",
        (false, _) => "on",
    }
}

/// When it runs next by itself.
pub(crate) fn next(job: &Job, past: &Past, now: DateTime<Utc>) -> String {
    match (&job.schedule, past.next_due_at) {
        _ if past.paused => words::NOTHING.into(),
        (Schedule::Manual, _) => words::NOTHING.into(),
        (_, None) => "when `up` runs".into(),
        (Schedule::Every { only_new_data: true, .. }, Some(due)) if due <= now => "with new data".into(),
        (_, Some(due)) => words::until(due, now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_paused_has_no_next_run() {
        let now = Utc::now();
        let job = Job::builtin().remove(0);
        let due = |seconds| Past { next_due_at: Some(now + chrono::TimeDelta::seconds(seconds)), ..Past::default() };
        assert_eq!(next(&job, &Past::default(), now), "when `up` runs");
        assert_eq!(next(&job, &due(200), now), "in 3 min");
        assert_eq!(next(&job, &due(-5), now), "with new data");
        assert_eq!(next(&job, &Past { paused: true, ..due(200) }, now), "-");
        assert_eq!(state(&Past { paused: true, last_runs: vec![RunState::Running], ..Past::default() }), "paused");
    }
}
