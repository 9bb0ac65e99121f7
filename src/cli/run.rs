//! `tributary run`: a run of a job, now.
//!
//! Leaves a row in the history; the process that runs jobs takes it up. A dry run is computed here and leaves nothing anywhere.

mod dry;

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::Result;
use chrono::NaiveDate;
use tributary_actors::batch_coordinator::course::choose;
use tributary_actors::serving::history::Params;
use tributary_core::job::{Job, Schedule};

use super::desk::{self, with_history};
use super::runs::follow_or_say;
use super::session::Session;
use crate::acts::{self, Queued};
use crate::words;

/// Run a job now
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tributary run lakehouse_bronze_to_gold --wait           and follow it to its end
  tributary run lakehouse_bronze_to_gold --dry-run        what it would do, without doing it
  tributary run lakehouse_bronze_to_gold --task kpi_dau   one task alone
  tributary run lakehouse_bronze_to_gold --from-task checks
  tributary run lakehouse_bronze_to_gold --day 2026-11-24 --day yesterday    these days anew
  tributary run lakehouse_bronze_to_gold --force          everything anew; shrunken days are published, too

The number of the run goes to stdout. Exit status with --wait: 0 succeeded or nothing to do, 1 failed or cancelled, 2 wrong usage")]
pub(crate) struct Args {
    /// Name or alias of the job
    #[arg(value_name = "JOB")]
    job: String,
    /// This task alone
    #[arg(long, value_name = "TASK", conflicts_with = "from_task")]
    task: Option<String>,
    /// This task and everything after it
    #[arg(long, value_name = "TASK")]
    from_task: Option<String>,
    /// This day anew, whether or not it changed: 2026-11-25, today or yesterday; may be repeated
    #[arg(long, value_name = "DAY", value_parser = words::day)]
    day: Vec<NaiveDate>,
    /// Build everything anew, and publish days that shrank
    #[arg(long)]
    force: bool,
    /// Say what would be done, and do nothing
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
    /// Follow it to its end
    #[arg(long)]
    wait: bool,
}

pub(crate) fn run(args: &Args, session: &Session) -> Result<ExitCode> {
    let job = session.job(&args.job)?;
    let plan = desk::runtime()?.block_on(desk::plan(session, &job))?;
    plan.check(&job, args.task.as_deref().or(args.from_task.as_deref()))?;
    let days: BTreeSet<NaiveDate> = args.day.iter().copied().collect();
    if args.dry_run {
        let tasks = choose(&plan.tasks, args.task.as_deref(), args.from_task.as_deref()).unwrap_or_default();
        return dry::run(session, &plan, &tasks, &days, args.force);
    }
    let params = Params {
        task: args.task.clone(),
        from_task: args.from_task.clone(),
        days: days.into_iter().collect(),
        force: args.force,
        ..Params::default()
    };
    with_history(session, async |history| {
        let queued = acts::run(history.connection(), &session.who(), &job, params).await?;
        say_if_paused(&queued, &job);
        follow_or_say(history, queued.run, args.wait).await
    })
}

/// What a person might not expect.
pub(super) fn say_if_paused(queued: &Queued, job: &Job) {
    if queued.paused && job.schedule != Schedule::Manual {
        eprintln!(
            "{0} is paused: run {1} runs all the same, further ones only when asked for (tributary jobs resume {0})",
            queued.job, queued.run
        );
    }
}
