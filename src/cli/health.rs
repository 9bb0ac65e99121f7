//! `tributary health`: whether the process here is well, for whoever restarts it or waits for it.
//!
//! Asks the process itself, so that a container needs no other program for its health check. Exit status 0: well; 1: not, with the
//! reason in one line on stderr.

use std::process::ExitCode;

use anyhow::{Result, anyhow, bail};

use super::output;
use super::page;
use super::session::Session;

/// Ask the process that runs here whether it is well; exit status 1 when it is not
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tributary health                                      it answers
  tributary health --ready                              records flow into every store
  tributary health --set http.listen=127.0.0.1:8083     another one on this machine
  until tributary health --ready; do sleep 1; done      wait for it")]
pub(crate) struct Args {
    /// Not only that it answers: that records flow into every store
    #[arg(long)]
    ready: bool,
}

pub(crate) fn run(args: &Args, session: &Session) -> Result<ExitCode> {
    let (path, well) = if args.ready { ("/readyz", "ready") } else { ("/healthz", "healthy") };
    let listens = listens(session);
    // One line with its cause: Docker keeps it beside the verdict.
    let (status, body) = page::get(&listens, path).map_err(|error| anyhow!("not {well}: {error:#}"))?;
    if status != 200 {
        bail!("not {well}: http://{}{path} says {status}: {}", page::reachable(&listens), body.trim());
    }
    output::print(&format!("{well}: http://{}{path}\n", page::reachable(&listens)))?;
    Ok(ExitCode::SUCCESS)
}

/// Where a person says, else where the `up` of this data folder says (its port may have been taken), else the default.
fn listens(session: &Session) -> String {
    let told = session.settings().http.listen.clone();
    // Port 0 is any port: only the `up` that took one knows which.
    match session.loaded.is_default("http.listen") || told.ends_with(":0") {
        true => session.running().map_or(told, |up| up.http),
        false => told,
    }
}
