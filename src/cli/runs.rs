//! `tributary runs`: what was run, what came of it, and what a person may do about it.
//!
//! Reads the history in PostgreSQL, so it works while nothing runs. Asking for an end or for a repetition only leaves a word there; the
//! process that runs jobs takes it up.

mod logs;
mod show;

use std::process::ExitCode;

use anyhow::Result;
use chrono::{DateTime, Utc};
use tributary_actors::serving::history::{self, Run, RunState};
use tributary_core::job::Job;

use super::desk::{History, with_history};
use super::follow;
use super::output;
use super::session::Session;
use crate::acts::{self, Refused, Who};
use crate::words;

/// Runs of jobs: what ran, what came of it, what it said
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tributary runs list
  tributary runs list --job lakehouse_bronze_to_gold --state failed
  tributary runs show 17                      its tasks, versions, rows, errors and failed tests
  tributary runs logs 17 --task silver -f     what the task says while it runs
  tributary runs retry 17                     again, from the first task that failed
  tributary runs cancel 17")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// The newest runs
    List(List),
    /// One run: tasks and attempts, versions, rows, errors, failed tests
    Show {
        /// Number of the run
        #[arg(value_name = "RUN")]
        id: i64,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// What a run said
    Logs(logs::Logs),
    /// End a run, or take it back before it begins
    Cancel {
        /// Number of the run
        #[arg(value_name = "RUN")]
        id: i64,
    },
    /// Run again what a run has not done
    Retry(Retry),
}

#[derive(Debug, clap::Args)]
struct List {
    /// Only of this job
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
    /// Only in this state; may be repeated
    #[arg(long, value_name = "STATE", value_parser = state)]
    state: Vec<RunState>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Retry {
    /// Number of the run
    #[arg(value_name = "RUN")]
    id: i64,
    /// From this task on, instead of the first that failed
    #[arg(long, value_name = "TASK")]
    from_task: Option<String>,
    /// Follow it to its end
    #[arg(long)]
    wait: bool,
}

pub(crate) fn run(args: &Args, session: &Session) -> Result<ExitCode> {
    match &args.action {
        Action::List(args) => list(args, session),
        Action::Show { id, json } => with_history(session, async |history| show::show(history, *id, *json).await),
        Action::Logs(args) => with_history(session, async |history| logs::logs(history, args).await),
        Action::Cancel { id } => with_history(session, async |history| cancel(history, *id, &session.who()).await),
        Action::Retry(args) => {
            let jobs = session.jobs()?;
            with_history(session, async |history| retry(history, args, &jobs, &session.who()).await)
        }
    }
}

/// A run that somebody named.
async fn find(history: &mut History, id: i64) -> Result<Run> {
    let found = history.ask(async |connection| history::run(connection, id).await).await?;
    found.ok_or_else(|| Refused::no_run(id).into())
}

fn list(args: &List, session: &Session) -> Result<ExitCode> {
    let job = args.job.as_deref().map(|name| session.job(name)).transpose()?.map(|job| job.name);
    let which = history::Which { job, states: args.state.clone(), before: None, limit: args.limit.max(1) };
    let runs =
        with_history(session, async |history| history.ask(async |connection| history::runs(connection, &which).await).await)?;
    if args.json {
        output::print_json(&runs)?;
    } else if runs.is_empty() {
        eprintln!("no such run; `tributary run JOB` makes one");
    } else {
        let rows = runs.iter().map(|run| row(run, Utc::now())).collect();
        output::print(&output::table(&["RUN", "JOB", "STATE", "TRIGGER", "BY", "BEGAN", "TOOK", "MESSAGE"], rows))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn row(run: &Run, now: DateTime<Utc>) -> Vec<String> {
    let began = match (run.started_at, run.state) {
        (Some(started), _) => words::ago(started, now),
        (None, RunState::Queued) => format!("queued {}", words::ago(run.queued_at, now)),
        (None, _) => words::NOTHING.into(),
    };
    vec![
        run.id.to_string(),
        run.job.clone(),
        run.state.to_string(),
        run.trigger.to_string(),
        run.requested_by.clone(),
        began,
        words::between(run.started_at, run.ended_at, now),
        words::first_line(run.message.as_deref().unwrap_or_default(), 60),
    ]
}

fn state(text: &str) -> Result<RunState, String> {
    let known: Vec<&str> = RunState::ALL.iter().map(|state| state.as_str()).collect();
    text.parse().map_err(|_| format!("a run is {}", known.join(", ")))
}

async fn cancel(history: &mut History, id: i64, who: &Who) -> Result<ExitCode> {
    let cancelled = acts::cancel(history.connection(), who, id).await?;
    output::print(&match cancelled.over {
        true => format!("run {id} is cancelled: it had not begun\n"),
        false => {
            format!("run {id} is asked to end; what it has committed stays. It ends at its next step: tributary runs show {id}\n")
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn retry(history: &mut History, args: &Retry, jobs: &[Job], who: &Who) -> Result<ExitCode> {
    let retried = acts::retry(history.connection(), who, jobs, args.id, args.from_task.as_deref()).await?;
    eprintln!("{retried}");
    follow_or_say(history, retried.run, args.wait).await
}

/// The end of every command that queues a run: its number on stdout and how to follow it, or following it.
pub(super) async fn follow_or_say(history: &mut History, id: i64, wait: bool) -> Result<ExitCode> {
    if wait {
        return follow::follow(history, id).await;
    }
    output::print(&format!("{id}\n"))?;
    eprintln!("run {id} is queued. Follow it: tributary runs logs {id} -f · its state: tributary runs show {id}");
    // As long as a leader that ends in order takes to be followed by the next.
    if let Some(nobody) = follow::wait_for_a_leader(history, std::time::Duration::from_secs(5)).await? {
        eprintln!("but {nobody}. Run {id} stays queued until then");
    }
    Ok(ExitCode::SUCCESS)
}
