//! `tributary heal`: windows counted again from bronze and put right, beside whatever runs.
//!
//! The rows that differed go to stdout, what is being done to stderr. Exits 0 when the windows are right now, 1 when they could not be put
//! right (or, with `--dry-run`, when something differs), 2 when it was called wrongly.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use tributary_actors::lake::upkeep;
use tributary_actors::repair::heal::{Healed, Healing, Request, heal};
use tributary_core::settings::unit::{Kind, Time};

use super::output::{self, Usage};
use super::session::Session;
use super::{repair, when};

/// Count windows again from bronze and put right what differs
///
/// Exact beside a running pipeline: one transaction per day. Windows are healed whole: `--minute` heals the hour of an hourly window.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tributary heal --minute 2026-01-05T10:07                     what is shown for that minute
  tributary heal --from 2026-01-05 --to 2026-01-07 --dry-run   only say what differs in these two days
  tributary heal --from 2026-01-05T10:00                       from then until now
  tributary heal --all --stream user_events                    every window of one stream

Times without an offset are UTC. Exit status: 0 right now, 1 not (with --dry-run: something differs), 2 wrong usage")]
pub(crate) struct Args {
    /// Only this stream
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    /// The windows that hold this minute of event time
    #[arg(long, value_name = "TIME", value_parser = when::moment, conflicts_with_all = ["from", "to", "all"])]
    minute: Option<DateTime<Utc>>,
    /// Windows from this event time on
    #[arg(long, value_name = "TIME", value_parser = when::moment)]
    from: Option<DateTime<Utc>>,
    /// … and before this one [default: now]
    #[arg(long, value_name = "TIME", value_parser = when::moment, requires = "from")]
    to: Option<DateTime<Utc>>,
    /// Every window
    #[arg(long, conflicts_with = "from")]
    all: bool,
    /// Change nothing, say what differs
    #[arg(long)]
    dry_run: bool,
    /// Believe a bronze that was made after the windows had begun to count
    #[arg(long)]
    force: bool,
    /// How long bronze may take to reach the windows
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = <Time as Kind<Duration>>::parse)]
    wait: Duration,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    fn range(&self) -> Result<Option<(i64, i64)>, Usage> {
        let minute = self.minute.map(|minute| {
            let from = minute.timestamp_millis().div_euclid(60_000) * 60_000;
            (from, from + 60_000)
        });
        // Events of the minute that is running may be a little ahead of this clock.
        let to = || self.to.unwrap_or_else(|| Utc::now() + TimeDelta::hours(1));
        match minute.or(self.from.map(|from| (from.timestamp_millis(), to().timestamp_millis()))) {
            Some((from, to)) if from >= to => Err(Usage("--from is not before --to".to_owned())),
            None if !self.all => Err(Usage("say which windows: --minute TIME, --from TIME [--to TIME], or --all".to_owned())),
            range => Ok(range),
        }
    }
}

pub(crate) fn run(args: &Args, session: &Session) -> Result<ExitCode> {
    let request = Request { range: args.range()?, dry: args.dry_run, force: args.force, wait: args.wait };
    let streams = repair::streams(session, args.stream.as_deref())?;
    let runtime = upkeep::runtime().context("cannot start a runtime")?;
    let healings = runtime.block_on(async {
        let mut healings: Vec<(String, Healing)> = Vec::new();
        for stores in repair::both(session, streams).await? {
            let healing = heal(&stores, request).await.with_context(|| format!("stream {}", stores.stream.name))?;
            healings.push((stores.stream.name.clone(), healing));
        }
        Ok::<_, anyhow::Error>(healings)
    })?;
    if args.json {
        let streams: Vec<Value> = healings.iter().map(|(stream, healing)| as_json(stream, healing, args.dry_run)).collect();
        output::print_json(&json!({"dry_run": args.dry_run, "streams": streams}))?;
    } else {
        output::print(&text(&healings, args.dry_run))?;
    }
    let differ = healings.iter().any(|(_, healing)| !healing.healed.is_empty());
    Ok(ExitCode::from(u8::from(args.dry_run && differ)))
}

fn number(number: Option<i128>) -> String {
    number.map_or("-".to_owned(), |n| n.to_string())
}

fn text(healings: &[(String, Healing)], dry: bool) -> String {
    let mut text = String::new();
    let rows: Vec<Vec<String>> = healings.iter().flat_map(|(_, healing)| &healing.healed).map(row).collect();
    if !rows.is_empty() {
        text += &output::table(&["TABLE", "WINDOW", "KEY", "BEFORE", if dry { "SHOULD BE" } else { "NOW" }], rows);
    }
    for (stream, healing) in healings {
        let differed = if dry { "differ" } else { "were put right" };
        text +=
            &format!("{stream}: {} rows {differed}, {} were right, {} days", healing.healed.len(), healing.right, healing.days);
        if healing.replayed > 0 {
            text += &format!(", {} replayed records came to the windows", healing.replayed);
        }
        if !healing.missing.is_empty() {
            text += &format!("; no table yet, `up` makes it: {}", healing.missing.join(", "));
        }
        text.push('\n');
    }
    text
}

fn row(healed: &Healed) -> Vec<String> {
    let key: Vec<String> = healed.key.iter().map(|(column, value)| format!("{column}={value}")).collect();
    let start = when::shown(Some(healed.start_ms * 1_000));
    vec![healed.table.clone(), start, key.join(" "), number(healed.before), number(healed.after)]
}

fn as_json(stream: &str, healing: &Healing, dry: bool) -> Value {
    let rows: Vec<Value> = healing
        .healed
        .iter()
        .map(|healed| {
            let key: serde_json::Map<String, Value> = healed.key.iter().map(|(c, v)| (c.clone(), json!(v))).collect();
            json!({
                "table": healed.table, "window_start": when::shown(Some(healed.start_ms * 1_000)), "key": key,
                // Sums may be wider than any number of JSON's readers.
                "before": healed.before.map(|n| n.to_string()), "after": healed.after.map(|n| n.to_string()),
            })
        })
        .collect();
    json!({
        "stream": stream, "healed": if dry { 0 } else { rows.len() }, "differed": rows, "right": healing.right, "days": healing.days,
        "replayed": healing.replayed, "missing_tables": healing.missing,
    })
}
