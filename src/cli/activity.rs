//! `tributary activity`: what people did to jobs, runs and records, on the command line and in the console.

use std::process::ExitCode;

use anyhow::Result;
use chrono::{DateTime, Utc};
use tributary_actors::serving::actions::{self, Action};

use super::desk::with_history;
use super::output;
use super::session::Session;
use crate::inspect::actions::with;
use crate::words;

/// What people did: runs, pauses, cancellations, replays
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tributary activity
  tributary activity --limit 100
  tributary activity --json | jq '.[] | select(.outcome != \"done\")'

Kept as long as runs are (batch.keep_runs). An action that stays `begun` was interrupted before its end could be written")]
pub(crate) struct Args {
    /// At most so many, the newest first
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, session: &Session) -> Result<ExitCode> {
    let which = actions::Which { before: None, limit: args.limit.max(1) };
    let actions =
        with_history(session, async |history| history.ask(async |connection| actions::list(connection, which).await).await)?;
    if args.json {
        output::print_json(&actions)?;
    } else if actions.is_empty() {
        eprintln!("nobody has done anything yet");
    } else {
        let rows = actions.iter().map(|action| row(action, Utc::now())).collect();
        output::print(&output::table(&["WHEN", "BY", "VIA", "ACTION", "OF", "WITH", "OUTCOME", "MESSAGE"], rows))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn row(action: &Action, now: DateTime<Utc>) -> Vec<String> {
    vec![
        words::ago(action.at, now),
        action.person.clone(),
        action.via.to_string(),
        action.action.to_string(),
        action.subject.clone(),
        with(&action.params, 40),
        action.outcome.to_string(),
        words::first_line(action.message.as_deref().unwrap_or_default(), 60),
    ]
}
