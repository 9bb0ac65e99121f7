//! `tributary status`.
use std::process::ExitCode;

use anyhow::Result;

use super::session::Session;

/// What runs, where, and how far it is
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tributary status\n  tributary status --json | jq .lag")]
pub(crate) struct Args {
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(_args: &Args, _session: &Session) -> Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
