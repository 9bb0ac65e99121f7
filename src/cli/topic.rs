//! `tributary topic adopt|skip`: a person's word on what the pipeline will not decide by itself.

use std::process::ExitCode;

use anyhow::Result;

use super::output::Usage;
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
    let (Action::Adopt { stream: name } | Action::Skip { stream: name, .. }) = &args.action;
    let streams = session.streams()?;
    if !streams.iter().any(|stream| stream.name == *name) {
        let known: Vec<&str> = streams.iter().map(|stream| stream.name.as_str()).collect();
        return Err(Usage(format!("no stream `{name}` is declared; there is {}", known.join(", "))).into());
    }
    anyhow::bail!("this pipeline does not take such a word yet")
}
