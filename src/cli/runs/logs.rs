//! `tributary runs logs`: the lines of a run, and those that come while it runs.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use tributary_actors::serving::history::{self, LogLine};

use super::super::desk::History;
use super::super::output;
use super::find;

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
    let mut text = String::new();
    for line in lines {
        text += &match json {
            true => serde_json::to_string(line)?,
            false => words(line),
        };
        text.push('\n');
    }
    output::print(&text)
}

/// `22:41:03.120 info  silver: version 5: …`, so that what matters comes first and lines align.
fn words(line: &LogLine) -> String {
    let place = match (&line.task, line.attempt) {
        (Some(task), Some(attempt)) if attempt > 1 => format!("{task}#{attempt}: "),
        (Some(task), _) => format!("{task}: "),
        (None, _) => String::new(),
    };
    format!("{} {:<5} {place}{}", line.at.format("%Y-%m-%d %H:%M:%S%.3f"), line.level, line.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_when_how_grave_which_task_and_what() {
        let mut line = LogLine {
            id: 1,
            run_id: 1,
            task: Some("silver".into()),
            attempt: Some(1),
            at: chrono::DateTime::parse_from_rfc3339("2026-01-05T10:00:00.25Z").unwrap().to_utc(),
            level: "info".into(),
            message: "version 5".into(),
        };
        assert_eq!(words(&line), "2026-01-05 10:00:00.250 info  silver: version 5");
        line.attempt = Some(2);
        assert!(words(&line).contains("silver#2: "));
        line.task = None;
        assert!(words(&line).ends_with("info  version 5"));
    }
}
