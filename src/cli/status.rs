//! `tributary status`: one screen that says what runs, where, and how far it is.
//!
//! Asks a running `up` whether it is ready, and the stores themselves how far they are: what it shows does not depend on the health
//! of what it looks at. Judges nothing and exits 0; `tributary audit` judges.

use std::process::ExitCode;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use super::desk;
use super::output;
use super::page;
use super::session::Session;
use crate::audit::glance::{Glance, PartitionGlance, glance};
use crate::embedded::run_file::RunFile;
use crate::words;

/// What runs, where, and how far it is
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tributary status
  tributary status --json | jq '.streams[] | {stream, bronze_lag, serving_lag}'
  watch tributary status")]
pub(crate) struct Args {
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Status {
    /// Name of this machine's instance.
    instance: String,
    /// A running `up` with this data folder; null: none runs.
    up: Option<Up>,
    /// Where the lake is.
    lake: String,
    /// The declared streams.
    streams: Vec<Glance>,
}

#[derive(Debug, Serialize)]
struct Up {
    pid: u32,
    http: String,
    kafka: Option<String>,
    /// Answers at all.
    healthy: bool,
    /// Records flow into every store.
    ready: bool,
    /// Why not, per stream.
    not_ready: Value,
}

/// Shows the state of everything that the settings name.
pub(crate) fn run(args: &Args, session: &Session) -> Result<ExitCode> {
    let status = desk::runtime()?.block_on(look(session))?;
    match args.json {
        true => output::print_json(&status)?,
        false => output::print(&render(&status, Utc::now()))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What `--json` prints, for whoever keeps it.
pub(super) async fn json(session: &Session) -> Result<String> {
    serde_json::to_string_pretty(&look(session).await?).context("cannot write JSON")
}

async fn look(session: &Session) -> Result<Status> {
    let settings = session.reachable();
    let stores = super::audit::stores(&settings);
    let mut streams = Vec::new();
    for stream in &session.streams()? {
        streams.push(glance(&stores, stream).await);
    }
    Ok(Status { instance: settings.instance, up: session.running().map(ask), lake: settings.lake.url, streams })
}

fn ask(running: RunFile) -> Up {
    let healthy = page::get(&running.http, "/healthz").is_ok_and(|(status, _)| status == 200);
    let (status, body) = page::get(&running.http, "/readyz").unwrap_or_default();
    let mut answer: Value = serde_json::from_str(&body).unwrap_or_default();
    let not_ready = answer.get_mut("not_ready").map(Value::take).unwrap_or_default();
    Up { pid: running.pid, http: running.http, kafka: running.kafka, healthy, ready: status == 200, not_ready }
}

fn render(status: &Status, now: DateTime<Utc>) -> String {
    let mut text = format!("instance {} · lake {}\n", status.instance, status.lake);
    match &status.up {
        None => text += "up does not run here; start it: tributary up\n",
        Some(up) => {
            let state = match (up.healthy, up.ready) {
                (true, true) => "ready",
                (true, false) => "not ready",
                (false, _) => "does not answer",
            };
            text += &format!("up runs as process {}, {state} · http {}", up.pid, up.http);
            text += &up.kafka.as_ref().map_or_else(String::new, |kafka| format!(" · kafka {kafka}"));
            text += "\n";
            for stream in up.not_ready.as_array().into_iter().flatten() {
                text += &format!("  {stream}\n");
            }
        }
    }
    for glance in &status.streams {
        text += &render_stream(glance, now);
    }
    text
}

fn render_stream(glance: &Glance, now: DateTime<Utc>) -> String {
    let ago = |time: &Option<String>| time.as_deref().map_or_else(|| "?".into(), |time| age(time, now));
    let mut text = format!("\n{} · topic {}\n", glance.stream, glance.topic);
    text += &match (&glance.bronze.problem, glance.bronze.version) {
        (Some(problem), _) => format!("  bronze   {problem}\n"),
        (None, version) => {
            let version = version.map_or_else(|| "?".into(), |version| version.to_string());
            format!(
                "  bronze   lag {}, version {version}, last commit {}\n",
                known(glance.bronze_lag),
                ago(&glance.bronze.last_commit)
            )
        }
    };
    text += &match &glance.serving.problem {
        Some(problem) => format!("  windows  {problem}\n"),
        None => {
            let newest = glance.serving.newest_window.as_deref().unwrap_or("none yet");
            format!(
                "  windows  lag {}, newest {newest}, last merge {}\n",
                known(glance.serving_lag),
                ago(&glance.serving.last_merge)
            )
        }
    };
    if let Some(problem) = &glance.broker_problem {
        text += &format!("  kafka    {problem}\n");
    }
    if glance.partitions.is_empty() {
        return text;
    }
    let rows = glance.partitions.iter().map(|partition: &PartitionGlance| {
        let name = match partition.incarnation {
            1 => partition.partition.to_string(),
            n => format!("{}#{n}", partition.partition),
        };
        let broker = partition.broker.map_or_else(|| "?".into(), |marks| format!("{}..{}", marks.low, marks.high));
        vec![name, broker, known(partition.bronze), known(partition.serving)]
    });
    text + &output::table(&["partition", "kafka", "bronze", "windows"], rows.collect())
}

fn known(number: Option<i64>) -> String {
    number.map_or_else(|| "?".into(), |number| number.to_string())
}

fn age(time: &str, now: DateTime<Utc>) -> String {
    DateTime::parse_from_rfc3339(time).map_or_else(|_| time.to_owned(), |time| words::ago(time.to_utc(), now))
}
