//! `tributary jobs`: what there is to run, when it runs by itself, and how it went.
//!
//! Jobs are files; how they went is in PostgreSQL. Without PostgreSQL the files are still shown.

mod show;

use std::process::ExitCode;

use anyhow::Result;
use chrono::{DateTime, Utc};
use tributary_actors::serving::history::RunState;
use tributary_core::job::Job;

use super::desk::with_history;
use super::output;
use super::session::Session;
use crate::acts;
use crate::inspect::jobs::{Listed, Past, next, pasts, state};
use crate::words;

/// Jobs: what runs, when, and how it went
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tributary jobs list
  tributary jobs show lakehouse_bronze_to_gold      its tasks, with one for each model, and its file
  tributary jobs pause lakehouse_maintenance        it no longer begins by itself
  tributary jobs resume lakehouse_maintenance

A third job is a third file in jobs/ (batch.jobs_dir). Of the last runs the newest is on the right:
  ✓ succeeded  ✗ failed  – cancelled  · nothing to do  ▸ running  … queued")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// All jobs
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// One job: tasks, schedule, last runs, file
    Show {
        /// Name or alias
        #[arg(value_name = "JOB")]
        job: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Do not begin by itself any more; `tributary run` still runs it
    Pause {
        /// Name or alias
        #[arg(value_name = "JOB")]
        job: String,
    },
    /// Begin by itself again; what was missed is not made up for unless the job says so
    Resume {
        /// Name or alias
        #[arg(value_name = "JOB")]
        job: String,
    },
}

pub(crate) fn run(args: &Args, session: &Session) -> Result<ExitCode> {
    match &args.action {
        Action::List { json } => list(session, *json)?,
        Action::Show { job, json } => show::show(session, &session.job(job)?, *json)?,
        Action::Pause { job } => set_paused(session, &session.job(job)?, true)?,
        Action::Resume { job } => set_paused(session, &session.job(job)?, false)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(session: &Session, json: bool) -> Result<()> {
    let jobs = session.jobs()?;
    let pasts = with_history(session, async |history| history.ask(async |connection| pasts(connection, &jobs).await).await);
    let pasts = pasts.map_err(|error| eprintln!("how they went is not known: {error:#}")).ok();
    let mut pasts = pasts.into_iter().flatten();
    let listed: Vec<Listed> = jobs.iter().map(|job| Listed::new(job, pasts.next())).collect();
    if json {
        return output::print_json(&listed);
    }
    let now = Utc::now();
    let rows = jobs.iter().zip(&listed).map(|(job, listed)| row(job, listed, now)).collect();
    let header = ["JOB", "STATE", "SCHEDULE", "NEXT", "LAST SUCCESS", "LAST RUNS", "TASKS", "OWNER", "TAGS"];
    output::print(&output::table(&header, rows))
}

fn row(job: &Job, listed: &Listed, now: DateTime<Utc>) -> Vec<String> {
    let past = listed.history.as_ref();
    let ask = |of: &dyn Fn(&Past) -> String| past.map_or_else(|| "?".into(), of);
    vec![
        listed.job.clone(),
        ask(&|past| state(past).into()),
        listed.schedule.clone(),
        ask(&|past| next(job, past, now)),
        ask(&|past| words::ago_or(past.last_success_at, now, "never")),
        ask(&|past| strip(&past.last_runs)),
        listed.tasks.len().to_string(),
        listed.owner.clone(),
        listed.tags.join(","),
    ]
}

/// The newest run on the right, as time goes.
fn strip(newest_first: &[RunState]) -> String {
    let mark = |state: &RunState| match state {
        RunState::Succeeded => '✓',
        RunState::Failed => '✗',
        RunState::Cancelled => '–',
        RunState::Skipped => '·',
        RunState::Running => '▸',
        RunState::Queued => '…',
    };
    match newest_first.is_empty() {
        true => words::NOTHING.into(),
        false => newest_first.iter().rev().map(mark).collect(),
    }
}

fn set_paused(session: &Session, job: &Job, paused: bool) -> Result<()> {
    let name = &job.name;
    let set = with_history(session, async |history| acts::set_paused(history.connection(), &session.who(), job, paused).await)?;
    output::print(&match (set.changed, paused) {
        (true, true) => format!("{name} is paused: it does not begin by itself; `tributary run {name}` still runs it\n"),
        (true, false) => format!("{name} begins by itself again: {}\n", job.schedule.words()),
        (false, true) => format!("{name} was paused already\n"),
        (false, false) => format!("{name} was not paused\n"),
    })?;
    if let (true, Some(run), Some(state)) = (paused, set.active_run, set.active_state) {
        eprintln!("run {run} is {state} and goes on; `tributary runs cancel {run}` ends it");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_run_is_on_the_right() {
        use RunState::{Cancelled, Failed, Queued, Running, Skipped, Succeeded};
        assert_eq!(strip(&[Queued, Running, Skipped, Cancelled, Failed, Succeeded]), "✓✗–·▸…");
        assert_eq!(strip(&[]), "-");
    }
}
