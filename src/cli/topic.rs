//! `tributary topic adopt|skip`: a person's word on what the pipeline will not decide by itself.
//!
//! Writes the decision into the stores; a pipeline that runs sees it within seconds.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use tributary_actors::decisions;
use tributary_actors::lake::{self, upkeep};
use tributary_actors::line::Line;

use super::output::{self, Usage};
use super::session::Session;

/// Decide for a partition that stopped: take a recreated topic as it is, or give lost records up
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tributary topic adopt user_events                    the topic was recreated: begin it anew, keep what is in the stores
  tributary topic skip user_events --partition 3       Kafka lost records of partition 3: go on behind them, the loss becomes a row")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Take the topic that is there now as the next incarnation of the stream
    Adopt {
        /// Name of the stream
        stream: String,
    },
    /// Go on behind records that Kafka no longer has; the loss becomes a row
    Skip {
        /// Name of the stream
        stream: String,
        /// Only this partition
        #[arg(long, value_name = "N")]
        partition: Option<i32>,
    },
}

pub(crate) fn run(args: &Args, session: &Session) -> Result<ExitCode> {
    let (Action::Adopt { stream } | Action::Skip { stream, .. }) = &args.action;
    let line = line(session, stream)?;
    let text = upkeep::runtime().context("cannot start a runtime")?.block_on(async {
        match &args.action {
            Action::Adopt { .. } => adopt(&line).await,
            Action::Skip { partition, .. } => skip(&line, *partition).await,
        }
    })?;
    output::print(&(text + "\n"))?;
    Ok(ExitCode::SUCCESS)
}

async fn adopt(line: &Line) -> Result<String> {
    let adopted = decisions::adopt(line).await?;
    let twice = if adopted.again { ", and what it still holds of that is there twice" } else { "" };
    Ok(format!(
        "topic {} ({}) is incarnation {} of {} from now on; it begins at its oldest record, what the stores have stays{twice}",
        adopted.topic.name, adopted.topic.id, adopted.incarnation, line.stream.name
    ))
}

async fn skip(line: &Line, partition: Option<i32>) -> Result<String> {
    let range = |lost: Option<(i64, i64)>| lost.map_or("nothing".to_owned(), |(from, to)| format!("[{from}, {to})"));
    let skipped = decisions::skip(line, partition).await?;
    let lines = skipped.into_iter().map(|s| {
        format!("partition {}: bronze gave up {}, the windows gave up {}", s.partition, range(s.bronze), range(s.serving))
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

/// The stream and its stores, as a running `up` or the settings name them.
fn line(session: &Session, name: &str) -> Result<Line> {
    let streams = session.streams()?;
    let Some(stream) = streams.iter().find(|stream| stream.name == name) else {
        let known: Vec<&str> = streams.iter().map(|stream| stream.name.as_str()).collect();
        return Err(Usage(format!("no stream `{name}` is declared; there is {}", known.join(", "))).into());
    };
    let settings = session.reachable();
    let nothing = "no PostgreSQL is configured and no `tributary up` runs here; start one, or set DATABASE_URL";
    let url = lake::lake_url(&settings.lake.url)?;
    Ok(Line {
        table: lake::bronze(&url, &stream.name, settings.lake.options.clone())?,
        stream: Arc::new(stream.clone()),
        bootstrap: session.kafka()?,
        embedded_kafka: false,
        seen: false.into(),
        database_url: settings.serving.database_url.clone().context(nothing)?,
        runtime: upkeep::runtime().context("cannot start a runtime")?.handle().clone(),
        settings: Arc::new(settings),
    })
}
