//! `tributary debug bundle`: everything that somebody who helps would ask for, in one file without secrets.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use chrono::Utc;
use serde_json::json;

use super::session::Session;
use super::{desk, doctor, output, status};
use crate::doctor::bundle::{Bundle, stamp};
use crate::doctor::{Report, examine};
use crate::words;

/// For whoever helps: one file with everything that they would ask for
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tributary debug bundle
  tributary debug bundle --out /tmp/for-support.tar.gz
  tar -xzOf tributary-debug-*.tar.gz --wildcards '*/problems.txt'     what could not be had

Passwords and other secrets are masked. Nothing is sent anywhere: look into the file before you give it to somebody.")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Write version, settings, findings, metrics, runs and logs into one .tar.gz
    Bundle {
        /// The file, which must not be there yet [default: tributary-debug-TIME.tar.gz]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

pub(crate) fn run(args: &Args, session: &Session) -> Result<ExitCode> {
    let Action::Bundle { out } = &args.action;
    let now = Utc::now();
    let out = out.clone().unwrap_or_else(|| format!("tributary-debug-{}.tar.gz", stamp(now)).into());
    let patient = doctor::patient(session)?;
    let runtime = desk::runtime()?;
    let bundle = runtime.block_on(async {
        let mut bundle = Bundle::default();
        bundle.take("version.json", Ok(version()));
        bundle.take("status.json", status::json(session).await);
        bundle.gather(&patient, &Report::of(examine(&patient).await)).await;
        bundle
    });
    runtime.shutdown_timeout(Duration::ZERO);
    let problems = bundle.problems.len();
    let written = bundle.write(&patient, &out, now)?;
    let width = written.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    let mut text = format!("{}\n", out.display());
    for (name, size) in &written {
        text += &format!("  {name:<width$}  {}\n", words::bytes(*size as u64));
    }
    output::print(&text)?;
    if problems > 0 {
        eprintln!("{} could not be had: problems.txt in it says which, and why", words::plural(problems as u64, "part"));
    }
    eprintln!("Passwords are masked, and nothing was sent anywhere: look into it before you give it to somebody");
    Ok(ExitCode::SUCCESS)
}

/// Which program this is, and on what it runs.
fn version() -> String {
    let read = |path: &str| std::fs::read_to_string(path).map(|text| text.trim().to_owned()).ok();
    let name = read("/etc/os-release").and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
        Some(line.trim_matches('"').to_owned())
    });
    let cores = std::thread::available_parallelism().map(std::num::NonZero::get).ok();
    let version = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "librdkafka": rdkafka::util::get_rdkafka_version().1,
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
        "system": name,
        "kernel": read("/proc/sys/kernel/osrelease"),
        "cores": cores,
        "made_at": words::rfc3339(Utc::now()),
    });
    format!("{version:#}\n")
}
