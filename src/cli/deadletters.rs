//! `tributary deadletters list|show|replay`: the records that are not valid, and what a corrected declaration makes of them.
//!
//! Results go to stdout, what is being done to stderr. Exits 0 when it is done, 1 when it could not be, 2 when it was called wrongly.

use std::process::ExitCode;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use serde_json::json;
use tributary_actors::lake::upkeep;
use tributary_actors::repair::Stores;
use tributary_actors::repair::letters::Which;
use tributary_actors::repair::replay::{Replayed, Request, Slices};
use tributary_actors::serving;

use super::output;
use super::session::Session;
use super::{repair, when};
use crate::acts::{self, Replay, Still, Who};
use crate::inspect::letters::{self, Counted, clip};
use crate::words;

/// Look at records that are not valid; make those valid that a corrected declaration accepts
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tributary deadletters list                                       how many, of which kind, with the newest of each
  tributary deadletters show --reason not_allowed -n 5             the newest five, with their payload
  tributary deadletters show --stream user_events --partition 3 --offset 1047
  tributary deadletters replay --reason not_allowed --dry-run      after the declaration was corrected: how many would be valid
  tributary deadletters replay --reason not_allowed                make them so, in bronze and in the windows

Times without an offset are UTC and mean Kafka's record time")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Count them by status and reason, with the newest of each
    List {
        #[command(flatten)]
        which: Flags,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the newest of them, or one
    Show {
        #[command(flatten)]
        which: Flags,
        /// The one at this offset (with --partition)
        #[arg(long, value_name = "N", requires = "partition", conflicts_with_all = ["from_offset", "to_offset"])]
        offset: Option<i64>,
        /// At most so many of each stream
        #[arg(short = 'n', long = "number", value_name = "N", default_value_t = 10)]
        most: usize,
        /// As JSON; a payload that is not UTF-8 is in `payload_hex`
        #[arg(long)]
        json: bool,
    },
    /// Make those valid that today's declaration calls valid: each counts once in bronze and once in the windows
    #[command(long_about = "\
Make those valid that today's declaration calls valid: each counts once in bronze and once in the windows.

Bronze kept what it could not take as an event. After the declaration was corrected (another allowed value, a field that is no longer required, \
a larger limit) these records are decoded again, and the rows become what they would have been. Beside a running pipeline, and again \
after an interruption. Records without a payload (tombstones, lost ranges) stay; what the windows have not counted up to yet is left for another time.")]
    Replay {
        #[command(flatten)]
        which: Flags,
        /// Change nothing, say how many would be valid
        #[arg(long)]
        dry_run: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Flags {
    /// Only this stream
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    /// Only these statuses (malformed, invalid, tombstone, future, ancient, oversized, lost)
    #[arg(long, value_name = "STATUS", value_delimiter = ',', value_parser = status)]
    status: Vec<String>,
    /// Only these reasons: the first word of column `error`
    #[arg(long, value_name = "REASON", value_delimiter = ',')]
    reason: Vec<String>,
    /// Only this Kafka partition
    #[arg(long, value_name = "N")]
    partition: Option<i32>,
    /// Only this incarnation of the topic
    #[arg(long, value_name = "N")]
    incarnation: Option<i32>,
    /// Offsets from this one on
    #[arg(long, value_name = "N")]
    from_offset: Option<i64>,
    /// Offsets before this one
    #[arg(long, value_name = "N")]
    to_offset: Option<i64>,
    /// Records that Kafka took at this time or later
    #[arg(long, value_name = "TIME", value_parser = when::moment)]
    from: Option<DateTime<Utc>>,
    /// Records that Kafka took before this time
    #[arg(long, value_name = "TIME", value_parser = when::moment)]
    to: Option<DateTime<Utc>>,
}

fn status(text: &str) -> Result<String, String> {
    let known: Vec<&str> = letters::statuses().collect();
    match known.contains(&text) {
        true => Ok(text.to_owned()),
        false => Err(format!("`{text}` is not a status of such records; there is {}", known.join(", "))),
    }
}

impl Flags {
    fn which(&self) -> Which {
        Which {
            statuses: self.status.clone(),
            reasons: self.reason.clone(),
            partition: self.partition,
            incarnation: self.incarnation,
            from_offset: self.from_offset,
            to_offset: self.to_offset,
            from_us: self.from.map(|t| t.timestamp_micros()),
            to_us: self.to.map(|t| t.timestamp_micros()),
        }
    }
}

pub(crate) fn run(args: &Args, session: &Session) -> Result<ExitCode> {
    let (Action::List { which, .. } | Action::Show { which, .. } | Action::Replay { which, .. }) = &args.action;
    let streams = repair::streams(session, which.stream.as_deref())?;
    let named = which.which();
    upkeep::runtime().context("cannot start a runtime")?.block_on(async {
        match &args.action {
            Action::List { json, .. } => list(&repair::lakes(session, streams)?, &named, *json).await,
            Action::Show { offset, most, json, .. } => {
                let one =
                    |offset: i64| Which { from_offset: Some(offset), to_offset: Some(offset.saturating_add(1)), ..named.clone() };
                let named = offset.map_or_else(|| named.clone(), one);
                show(&repair::lakes(session, streams)?, &named, *most, *json).await
            }
            Action::Replay { dry_run, json, .. } => {
                replay_all(&repair::both(session, streams).await?, &session.who(), &named, *dry_run, *json).await
            }
        }
    })
}

async fn list(stores: &[Stores], which: &Which, as_json: bool) -> Result<ExitCode> {
    let counts = letters::counts(stores, which).await?;
    let row = |counted: &Counted| {
        let sample = &counted.newest;
        let error = clip(sample.error.as_deref().unwrap_or_default(), 60);
        vec![
            counted.stream.clone(),
            counted.status.clone(),
            counted.reason.clone(),
            counted.records.to_string(),
            counted.oldest.clone().unwrap_or_else(|| words::NOTHING.into()),
            sample.at.clone().unwrap_or_else(|| words::NOTHING.into()),
            format!("{}:{} {error}", sample.partition, sample.offset),
        ]
    };
    if as_json {
        output::print_json(&json!(counts))?;
    } else if counts.is_empty() {
        output::print("no such records\n")?;
    } else {
        let header = ["STREAM", "STATUS", "REASON", "RECORDS", "OLDEST", "NEWEST", "NEWEST ONE"];
        output::print(&output::table(&header, counts.iter().map(row).collect()))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(stores: &[Stores], which: &Which, most: usize, as_json: bool) -> Result<ExitCode> {
    let samples = letters::samples(stores, which, most).await?;
    if as_json {
        output::print_json(&json!(samples))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    for letter in &samples {
        text += &format!(
            "{} partition {} offset {} (incarnation {}) at {}\n  status   {}\n  error    {}\n  payload  {}\n\n",
            letter.stream,
            letter.partition,
            letter.offset,
            letter.incarnation,
            letter.at.as_deref().unwrap_or("-"),
            letter.status,
            letter.error.as_deref().unwrap_or("-"),
            letter.text().as_deref().unwrap_or("-"),
        );
    }
    output::print(if text.is_empty() { "no such records\n" } else { text.trim_end_matches('\n') })?;
    if !text.is_empty() {
        output::print("\n")?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn replay_all(stores: &[Stores], who: &Who, which: &Which, dry: bool, as_json: bool) -> Result<ExitCode> {
    let request = Request { which: which.clone(), dry, slices: Slices::default() };
    let (mut text, mut done) = (String::new(), Vec::new());
    for at in stores {
        let name = &at.stream.name;
        let heard =
            |so_far: &Replayed| eprintln!("{name}: {} records are valid now, after {} commits", so_far.revived, so_far.commits);
        let mut connection = serving::connect(&at.database_url).await?;
        let replayed = acts::replay(&mut connection, who, at, &request, &heard).await?;
        text += &told(&replayed);
        done.push(replayed);
    }
    match as_json {
        true => output::print_json(&json!(done))?,
        false => output::print(&text)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn told(replayed: &Replay) -> String {
    let (name, verb) = (&replayed.stream, if replayed.dry_run { "would be valid" } else { "are valid now" });
    let mut text = format!("{name}: {} of {} records {verb}", replayed.revived, replayed.records);
    if replayed.commits > 0 {
        text += &format!(" ({} commits, {} files)", replayed.commits, replayed.files);
    }
    text.push('\n');
    for Still { status, reason, records } in &replayed.still {
        text += &format!("  {records} are still {status}: {reason}\n");
    }
    if replayed.without_payload > 0 {
        text += &format!("  {} have no payload in bronze: they stay\n", replayed.without_payload);
    }
    if replayed.beyond_the_windows > 0 {
        text += &format!("  {} lie beyond what the windows have counted: say it again later\n", replayed.beyond_the_windows);
    }
    text
}
