//! `tributary doctor`: what is wrong here, and what to do about it.
//!
//! Shows what [`crate::doctor`] finds, also when the settings themselves cannot be read. Changes nothing.

use std::fmt::Write;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use tributary_core::settings::layers::Refused;

use super::globals::Globals;
use super::output::{self, Usage};
use super::session::Session;
use super::{desk, output::print_json};
use crate::doctor::{self, Check, Patient, Report, State};

/// What is wrong here, and what to do about it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tributary doctor
  tributary doctor --json | jq '.checks[] | select(.state == \"bad\")'
  GRAFANA_URL=http://graf.example:3000 tributary doctor
  tributary doctor || tributary debug bundle      all of it in one file, for whoever helps

Looks at settings, ports, Kafka, PostgreSQL, the lake, Prometheus, Grafana, memory and passwords, and changes nothing.
Exit status: 0 all is well (what does not apply is skipped), 1 there are warnings, 2 something is bad")]
pub(crate) struct Args {
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, globals: &Globals) -> Result<ExitCode> {
    let report = match Session::begin(globals, Vec::new()) {
        Ok(session) => examined(&patient(&session)?)?,
        // Settings that cannot be read are the first thing that a doctor is asked about.
        Err(error) if error.is::<Refused>() || error.is::<Usage>() => {
            Report::of(vec![doctor::unreadable(&error.to_string().replace('\n', "; "))])
        }
        Err(error) => return Err(error),
    };
    match args.json {
        true => print_json(&report)?,
        false => output::print(&text(&report, globals.colour() && std::io::stdout().is_terminal()))?,
    }
    Ok(ExitCode::from(match report.state {
        State::Skipped | State::Ok => 0,
        State::Warn => 1,
        State::Bad => 2,
    }))
}

/// Whom a session is about.
pub(super) fn patient(session: &Session) -> Result<Patient> {
    let streams = session.streams();
    Ok(Patient {
        settings: session.reachable(),
        loaded: session.loaded.clone(),
        streams_problem: streams.as_ref().err().map(|error| format!("{error:#}")),
        streams: streams.unwrap_or_default(),
        data_dir: session.data_dir()?,
        running: session.running(),
        grafana: grafana(),
    })
}

/// Where the environment says that Grafana is.
pub(super) fn grafana() -> Option<String> {
    std::env::var("GRAFANA_URL").ok().filter(|url| !url.is_empty())
}

/// Examines, and does not wait for what is still stuck afterwards.
fn examined(patient: &Patient) -> Result<Report> {
    let runtime = desk::runtime()?;
    let checks = runtime.block_on(doctor::examine(patient));
    runtime.shutdown_timeout(Duration::ZERO);
    Ok(Report::of(checks))
}

fn text(report: &Report, colour: bool) -> String {
    let width = report.checks.iter().map(|check| check.name.chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    let mut group = None;
    for check in &report.checks {
        if group != Some(check.group) {
            group = Some(check.group);
            // Writing to a String cannot fail.
            let _ =
                writeln!(text, "{}{}", if text.is_empty() { "" } else { "\n" }, painted(&check.group.to_string(), "1", colour));
        }
        line(&mut text, check, width, colour);
    }
    let count = |state| report.checks.iter().filter(|check| check.state == state).count();
    let (bad, warn, skipped) = (count(State::Bad), count(State::Warn), count(State::Skipped));
    let verdict = match (bad, warn) {
        (0, 0) => "all is well".to_owned(),
        (0, warn) => format!("{warn} to know of, nothing bad"),
        (bad, warn) => format!("{bad} bad, {warn} to know of"),
    };
    let _ = writeln!(text, "\n{verdict} ({} looked at, {skipped} skipped)", report.checks.len());
    text
}

fn line(text: &mut String, check: &Check, width: usize, colour: bool) {
    let (mark, paint) = match check.state {
        State::Ok => ("✓", "32"),
        State::Warn => ("!", "33"),
        State::Bad => ("✗", "31"),
        State::Skipped => ("-", "2"),
    };
    let found = match check.state {
        State::Skipped => format!("SKIPPED: {}", check.found),
        _ => check.found.clone(),
    };
    let _ = writeln!(text, "{} {:<width$}  {found}", painted(mark, paint, colour), check.name);
    let indent = " ".repeat(width + 4);
    if let Some(fix) = &check.fix {
        let docs = check.docs.map_or_else(String::new, |docs| format!("  ({docs})"));
        let _ = writeln!(text, "{indent}→ {fix}{docs}");
    }
}

fn painted(text: &str, paint: &str, colour: bool) -> String {
    if colour { format!("\u{1b}[{paint}m{text}\u{1b}[0m") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use crate::doctor::Group;

    use super::*;

    fn check(name: &'static str, group: Group, state: State, fix: Option<&str>) -> Check {
        let found = format!("{name} was found");
        Check { name, group, state, found, fix: fix.map(Into::into), docs: fix.map(|_| "docs/RUN.md#settings"), took_ms: 3 }
    }

    #[test]
    fn each_group_has_its_lines_and_a_fix_stands_below_what_it_mends() {
        let report = Report::of(vec![
            check("answers", Group::Kafka, State::Ok, None),
            check("topics", Group::Kafka, State::Bad, Some("make them")),
            check("place", Group::Lake, State::Skipped, None),
        ]);
        let expected = "Kafka\n✓ answers  answers was found\n✗ topics   topics was found\n           → make them  (docs/RUN.md#settings)\n\n\
                        Lake\n- place    SKIPPED: place was found\n\n1 bad, 0 to know of (3 looked at, 1 skipped)\n";
        assert_eq!(text(&report, false), expected);
        assert!(text(&report, true).contains("\u{1b}[31m✗\u{1b}[0m"));
    }
}
