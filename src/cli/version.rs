//! `tributary version`.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use super::globals::Globals;
use super::output;

/// What this is, for a person or a machine
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tributary version\n  tributary version --json | jq -r .version")]
pub(crate) struct Args {
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, _globals: &Globals) -> Result<ExitCode> {
    let (version, target) = (env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
    let (librdkafka, os) = (rdkafka::util::get_rdkafka_version().1, std::env::consts::OS);
    match args.json {
        true => output::print_json(&json!({ "version": version, "os": os, "arch": target, "librdkafka": librdkafka }))?,
        false => output::print(&format!("tributary {version} ({os} {target}, librdkafka {librdkafka})\n"))?,
    }
    Ok(ExitCode::SUCCESS)
}
