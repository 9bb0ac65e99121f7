//! `tributary runs logs`: the lines of a run, and those that come while it runs.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use tributary_actors::serving::history::{self, LogLine};

use super::super::desk::History;
use super::super::output;
use super::find;
use crate::inspect::lines::text;

/// Between two looks for new lines: soon enough for a person who watches.
const LOOK: Duration = Duration::from_millis(250);
/// Lines that are read at once.
const PAGE: u32 = 1_000;

#[derive(Debug, clap::Args)]
pub(super) struct Logs {
    /// Number of the run
    #[arg(value_name = "RUN")]
    id: i64,
    /// Only of this task
    #[arg(long, value_name = "TASK")]
    task: Option<String>,
    /// Only of this attempt of each task
    #[arg(long, value_name = "N")]
    attempt: Option<i32>,
    /// Go on until the run is over
    #[arg(short, long)]
    follow: bool,
    /// As JSON, a line each
    #[arg(long)]
    json: bool,
}

pub(super) async fn logs(history: &mut History, args: &Logs) -> Result<ExitCode> {
    let first = find(history, args.id).await?;
    if let Some(task) = &args.task {
        check_task(history, args.id, task).await?;
    }
    let mut wanted = history::Lines { task: args.task.clone(), attempt: args.attempt, after: 0, limit: PAGE };
    let (mut over, mut any) = (first.state.is_over(), false);
    loop {
        let lines = history.ask(async |connection| history::log_lines(connection, args.id, &wanted).await).await?;
        let more = lines.len() >= PAGE as usize;
        any |= !lines.is_empty();
        print(&lines, args.json)?;
        wanted.after = lines.last().map_or(wanted.after, |line| line.id);
        if more {
            continue;
        }
        // What was said before the end was there before the run was seen to be over: one more look after that has it all.
        if over || !args.follow {
            break;
        }
        over = find(history, args.id).await?.state.is_over();
        if !over {
            tokio::time::sleep(LOOK).await;
        }
    }
    if !any {
        eprintln!("run {} is {} and has said nothing yet", args.id, first.state);
    }
    Ok(ExitCode::SUCCESS)
}

/// Refuses a task that the run does not have, as far as its tasks are known.
async fn check_task(history: &mut History, id: i64, task: &str) -> Result<()> {
    let run = find(history, id).await?;
    let known: Vec<&str> = run.plan.iter().map(|task| task.name.as_str()).collect();
    if known.is_empty() || known.contains(&task) {
        return Ok(());
    }
    Err(super::output::unknown("task", task, known).into())
}

fn print(lines: &[LogLine], json: bool) -> Result<()> {
    let mut said = String::new();
    for line in lines {
        said += &match json {
            true => serde_json::to_string(line)?,
            false => text(line),
        };
        said.push('\n');
    }
    output::print(&said)
}
