//! Calls about jobs: what there is to run and how it went; a run, a backfill, a pause.

use anyhow::Result;
use chrono::NaiveDate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tributary_actors::serving::history::Params;

use super::super::asked::Asked;
use super::super::doing;
use super::operation::{Nothing, Operation, get, post};
use crate::acts::jobs::Paused;
use crate::acts::{Queued, Via};
use crate::inspect::estimate::Estimate;
use crate::inspect::forecast::Step;
use crate::inspect::jobs::{self, JobDetail, Listed};

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get(("/jobs", "jobs", "All jobs, with how they went", "tributary jobs list --json"), list),
        get(("/jobs/{job}", "job", "One job: its tasks, its newest runs", "tributary jobs show JOB --json"), show),
        post(("/jobs/{job}/run", "runJob", "Ask for a run, or with `dry_run` for what it would do", "tributary run JOB"), run),
        post(("/jobs/{job}/pause", "pauseJob", "Keep a job from beginning by itself", "tributary jobs pause JOB"), pause),
        post(("/jobs/{job}/resume", "resumeJob", "Let it begin by itself again", "tributary jobs resume JOB"), resume),
        post(
            (
                "/jobs/{job}/backfill",
                "backfillJob",
                "Days of the past anew, or with `dry_run` how much that is",
                "tributary backfill JOB --from DAY --to DAY",
            ),
            backfill,
        ),
    ]
}

/// What there is to run.
#[derive(Serialize, JsonSchema)]
struct Jobs {
    /// Jobs that can be run.
    jobs: Vec<Listed>,
    /// What is wrong with files that declare none.
    broken: Vec<String>,
}

async fn list(asked: Asked, _: Nothing) -> Result<Jobs> {
    let declared = asked.shared.jobs()?;
    let of = declared.jobs.clone();
    let pasts = asked.shared.ask(|connection| Box::pin(async move { Ok(jobs::pasts(connection, &of).await?) })).await;
    let mut pasts = pasts.into_iter().flatten();
    let jobs = declared.jobs.iter().map(|job| Listed::new(job, pasts.next())).collect();
    Ok(Jobs { jobs, broken: declared.broken })
}

async fn show(asked: Asked, _: Nothing) -> Result<JobDetail> {
    let job = asked.shared.job(asked.name("job"))?;
    let of = job.clone();
    let question = asked.shared.ask(|connection| Box::pin(async move { Ok(jobs::past(connection, &of).await?) }));
    let (past, plan) = tokio::join!(question, doing::plan(&asked.shared, &job));
    Ok(JobDetail::new(&job, plan.ok().as_ref(), past.ok()))
}

/// How a job is to be run.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct HowToRun {
    /// This task alone.
    task: Option<String>,
    /// This task and everything after it.
    from_task: Option<String>,
    /// These days anew, whether or not they changed.
    days: Vec<NaiveDate>,
    /// Everything anew; days that shrank are published.
    force: bool,
    /// Only say what would be done.
    dry_run: bool,
}

/// A run that was queued, or what it would do.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
enum Begun {
    /// It is queued.
    Queued(Queued),
    /// Nothing was done.
    DryRun {
        /// Always true.
        dry_run: bool,
        /// What each task would do.
        steps: Vec<Step>,
    },
}

async fn run(asked: Asked, how: HowToRun) -> Result<Begun> {
    let job = asked.shared.job(asked.name("job"))?;
    let days: std::collections::BTreeSet<NaiveDate> = how.days.into_iter().collect();
    let params = Params {
        task: how.task,
        from_task: how.from_task,
        days: days.into_iter().collect(),
        force: how.force,
        ..Params::default()
    };
    match how.dry_run {
        true => Ok(Begun::DryRun { dry_run: true, steps: doing::dry_run(&asked, &job, &params).await? }),
        false => Ok(Begun::Queued(doing::run(&asked, Via::Api, job, params).await?)),
    }
}

async fn pause(asked: Asked, _: Nothing) -> Result<Paused> {
    let job = asked.shared.job(asked.name("job"))?;
    doing::set_paused(&asked, Via::Api, job, true).await
}

async fn resume(asked: Asked, _: Nothing) -> Result<Paused> {
    let job = asked.shared.job(asked.name("job"))?;
    doing::set_paused(&asked, Via::Api, job, false).await
}

/// Which days of the past.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WhichDays {
    /// The first.
    from: NaiveDate,
    /// The last, which is included.
    to: NaiveDate,
    /// Days that shrank are published, too.
    #[serde(default)]
    force: bool,
    /// Only say how much it is.
    #[serde(default)]
    dry_run: bool,
}

/// A backfill that was queued, or how much it is.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
enum Filled {
    /// It is queued.
    Queued(Queued),
    /// Nothing was done.
    DryRun {
        /// Always true.
        dry_run: bool,
        /// How much it reads, and how long it may take.
        estimate: Estimate,
        /// How long, in words.
        expected_time: String,
    },
}

async fn backfill(asked: Asked, days: WhichDays) -> Result<Filled> {
    let job = asked.shared.job(asked.name("job"))?;
    if !days.dry_run {
        return Ok(Filled::Queued(doing::backfill(&asked, Via::Api, job, (days.from, days.to), days.force).await?));
    }
    let estimate = doing::preview(&asked, &job, days.from, days.to).await?;
    Ok(Filled::DryRun { dry_run: true, expected_time: estimate.time_words(), estimate })
}
