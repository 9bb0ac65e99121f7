//! `tributary jobs`: what there is to run, when it runs by itself, and how it went.
//!
//! Jobs are files; how they went is in PostgreSQL. Without PostgreSQL the files are still shown.

mod show;

use std::process::ExitCode;

use anyhow::Result;
use chrono::{DateTime, Utc};
use serde::Serialize;
use tributary_actors::serving::history::{self, Run, RunState, ScheduleRow};
use tributary_core::job::{Job, Schedule};

use super::desk::{History, with_history};
use super::output;
use super::session::Session;
use crate::words;

/// Runs that are shown of each job.
const RECENT: u32 = 14;

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

/// A job and how it went.
#[derive(Debug, Serialize)]
struct Listed {
    job: String,
    aliases: Vec<String>,
    description: String,
    file: String,
    owner: String,
    tags: Vec<String>,
    schedule: String,
    tasks: Vec<String>,
    /// Null: the history cannot be read.
    history: Option<Past>,
}

/// How a job went.
#[derive(Debug, Serialize)]
struct Past {
    paused: bool,
    paused_by: Option<String>,
    paused_at: Option<DateTime<Utc>>,
    next_due_at: Option<DateTime<Utc>>,
    last_success_at: Option<DateTime<Utc>>,
    /// The newest first.
    last_runs: Vec<RunState>,
}

pub(crate) fn run(args: &Args, session: &Session) -> Result<ExitCode> {
    match &args.action {
        Action::List { json } => list(session, *json)?,
        Action::Show { job } => show::show(session, &session.job(job)?)?,
        Action::Pause { job } => set_paused(session, &session.job(job)?, true)?,
        Action::Resume { job } => set_paused(session, &session.job(job)?, false)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(session: &Session, json: bool) -> Result<()> {
    let jobs = session.jobs()?;
    let pasts = with_history(session, async |history| pasts(history, &jobs).await);
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

impl Listed {
    fn new(job: &Job, history: Option<Past>) -> Self {
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

async fn pasts(history: &mut History, jobs: &[Job]) -> Result<Vec<Past>> {
    let schedules = history.ask(async |connection| history::schedules(connection).await).await?;
    let mut pasts = Vec::new();
    for job in jobs {
        pasts.push(past(history, job, &schedules).await?.0);
    }
    Ok(pasts)
}

/// How a job went, with its newest runs.
async fn past(history: &mut History, job: &Job, schedules: &[ScheduleRow]) -> Result<(Past, Vec<Run>)> {
    let which = history::Which { job: Some(job.name.clone()), limit: RECENT, ..history::Which::default() };
    let newest = history.ask(async |connection| history::runs(connection, &which).await).await?;
    let which = history::Which { states: vec![RunState::Succeeded], limit: 1, ..which };
    let success = history.ask(async |connection| history::runs(connection, &which).await).await?;
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

fn state(past: &Past) -> &'static str {
    match (past.paused, past.last_runs.first()) {
        (true, _) => "paused",
        (false, Some(RunState::Running)) => "running",
        (false, _) => "on",
    }
}

/// When it runs next by itself.
fn next(job: &Job, past: &Past, now: DateTime<Utc>) -> String {
    match (&job.schedule, past.next_due_at) {
        _ if past.paused => words::NOTHING.into(),
        (Schedule::Manual, _) => words::NOTHING.into(),
        (_, None) => "when `up` runs".into(),
        (Schedule::Every { only_new_data: true, .. }, Some(due)) if due <= now => "with new data".into(),
        (_, Some(due)) => words::until(due, now),
    }
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
    let person = session.person();
    let name = &job.name;
    let (changed, active) = with_history(session, async |history| {
        if !paused && !job.catch_up {
            history::forget_missed(history.connection(), name).await?;
        }
        let changed = history::set_paused(history.connection(), name, paused, &person).await?;
        let states = vec![RunState::Queued, RunState::Running];
        let which = history::Which { job: Some(name.clone()), states, limit: 1, ..history::Which::default() };
        Ok((changed, history::runs(history.connection(), &which).await?))
    })?;
    output::print(&match (changed, paused) {
        (true, true) => format!("{name} is paused: it does not begin by itself; `tributary run {name}` still runs it\n"),
        (true, false) => format!("{name} begins by itself again: {}\n", job.schedule.words()),
        (false, true) => format!("{name} was paused already\n"),
        (false, false) => format!("{name} was not paused\n"),
    })?;
    if let (true, Some(run)) = (paused, active.first()) {
        eprintln!("run {0} is {1} and goes on; `tributary runs cancel {0}` ends it", run.id, run.state);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn past() -> Past {
        Past { paused: false, paused_by: None, paused_at: None, next_due_at: None, last_success_at: None, last_runs: Vec::new() }
    }

    #[test]
    fn the_newest_run_is_on_the_right() {
        use RunState::{Cancelled, Failed, Queued, Running, Skipped, Succeeded};
        assert_eq!(strip(&[Queued, Running, Skipped, Cancelled, Failed, Succeeded]), "✓✗–·▸…");
        assert_eq!(strip(&[]), "-");
    }

    #[test]
    fn what_is_paused_has_no_next_run() {
        let now = Utc::now();
        let job = Job::builtin().remove(0);
        let due = |seconds| Past { next_due_at: Some(now + chrono::TimeDelta::seconds(seconds)), ..past() };
        assert_eq!(next(&job, &past(), now), "when `up` runs");
        assert_eq!(next(&job, &due(200), now), "in 3 min");
        assert_eq!(next(&job, &due(-5), now), "with new data");
        assert_eq!(next(&job, &Past { paused: true, ..due(200) }, now), "-");
        assert_eq!(state(&Past { paused: true, last_runs: vec![RunState::Running], ..past() }), "paused");
    }
}
