//! What a person may do to jobs and runs through the console: pages and the API call the same functions, which are those of the command
//! line ([`acts`]).
//!
//! Promises that nothing is done where the console is read-only, and that what is only asked for (a forecast, an estimate) leaves no trace.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Result;
use chrono::NaiveDate;
use tributary_actors::batch_coordinator::course::choose;
use tributary_actors::serving::history::Params;
use tributary_core::job::Job;

use super::asked::Asked;
use super::failure::{Failure, without_nul};
use super::shared::Shared;
use crate::acts::jobs::Paused;
use crate::acts::runs::{Cancelled, Retried};
use crate::acts::{self, Queued, Via, Who};
use crate::inspect::behind;
use crate::inspect::estimate::{self, Estimate};
use crate::inspect::forecast::{Forecast, Step, forecast};
use crate::inspect::plan::{Plan, day_numbers};

fn who(asked: &Asked, via: Via) -> Result<Who, Failure> {
    asked.may_act()?;
    Ok(Who { person: asked.person.clone(), via })
}

/// What a run of a job is made of now.
pub(crate) async fn plan(shared: &Shared, job: &Job) -> Result<Plan> {
    let models = shared.models().await?;
    Ok(Plan::new(job, models).map_err(|error| Failure::conflict(error.to_string()))?)
}

/// Asks for a run.
pub(crate) async fn run(asked: &Asked, via: Via, job: Job, params: Params) -> Result<Queued> {
    let who = who(asked, via)?;
    check(asked, &job, &params).await?;
    asked.shared.ask(|connection| Box::pin(async move { acts::run(connection, &who, &job, params).await })).await
}

async fn check(asked: &Asked, job: &Job, params: &Params) -> Result<Plan> {
    if params.task.is_some() && params.from_task.is_some() {
        return Err(Failure::wrong("either one task alone or one with those after it, not both").into());
    }
    let plan = plan(&asked.shared, job).await?;
    plan.check(job, params.task.as_deref().or(params.from_task.as_deref()))?;
    Ok(plan)
}

/// Says what a run would do.
pub(crate) async fn dry_run(asked: &Asked, job: &Job, params: &Params) -> Result<Vec<Step>> {
    let plan = check(asked, job, params).await?;
    let shared = &asked.shared;
    let _turn = shared.turn().await?;
    let published = shared.ask(|connection| Box::pin(async move { Ok(behind::published(connection).await?) })).await.ok();
    let tasks = choose(&plan.tasks, params.task.as_deref(), params.from_task.as_deref()).unwrap_or_default();
    let (catalog, streams) = (shared.lake.catalog().clone(), shared.made.streams.clone());
    let (days, force) = (params.days.iter().copied().collect::<BTreeSet<NaiveDate>>(), params.force);
    let steps = shared
        .away(async move {
            let what = Forecast {
                catalog: &catalog,
                streams: &streams,
                models: &plan.models,
                published: published.as_deref(),
                days: day_numbers(&days),
                force,
            };
            forecast(&what, &tasks).await
        })
        .await?;
    Ok(Step::of(&steps))
}

/// Keeps a job from beginning by itself, or takes that back.
pub(crate) async fn set_paused(asked: &Asked, via: Via, job: Job, paused: bool) -> Result<Paused> {
    let who = who(asked, via)?;
    asked.shared.ask(move |connection| Box::pin(async move { acts::set_paused(connection, &who, &job, paused).await })).await
}

/// Says how much a backfill reads, and how long it may take.
pub(crate) async fn preview(asked: &Asked, job: &Job, from: NaiveDate, to: NaiveDate) -> Result<Estimate> {
    acts::can_backfill(job, from, to)?;
    let shared = &asked.shared;
    let plan = plan(shared, job).await?;
    let _turn = shared.turn().await?;
    let name = job.name.clone();
    let rates =
        shared.ask(|connection| Box::pin(async move { Ok(estimate::rates(connection, &name).await?) })).await.unwrap_or_default();
    let catalog = shared.lake.catalog().clone();
    let streams: Vec<String> = shared.made.streams.iter().map(|stream| stream.name.clone()).collect();
    shared.away(async move { estimate::backfill(&catalog, &plan, &streams, (from, to), &rates).await }).await
}

/// Asks for days of the past anew.
pub(crate) async fn backfill(
    asked: &Asked,
    via: Via,
    job: Job,
    (from, to): (NaiveDate, NaiveDate),
    force: bool,
) -> Result<Queued> {
    let who = who(asked, via)?;
    asked
        .shared
        .ask(move |connection| Box::pin(async move { acts::backfill(connection, &who, &job, from, to, force).await }))
        .await
}

/// Asks for the end of a run.
pub(crate) async fn cancel(asked: &Asked, via: Via, run: i64) -> Result<Cancelled> {
    let who = who(asked, via)?;
    asked.shared.ask(move |connection| Box::pin(async move { acts::cancel(connection, &who, run).await })).await
}

/// Asks for a run again.
pub(crate) async fn retry(asked: &Asked, via: Via, run: i64, from_task: Option<String>) -> Result<Retried> {
    without_nul(from_task.as_deref())?;
    let who = who(asked, via)?;
    let jobs = asked.shared.jobs()?.jobs;
    asked
        .shared
        .ask(move |connection| Box::pin(async move { acts::retry(connection, &who, &jobs, run, from_task.as_deref()).await }))
        .await
}

/// Whether this console only shows.
pub(crate) fn only_shows(shared: &Arc<Shared>) -> bool {
    shared.made.settings.console.read_only
}
