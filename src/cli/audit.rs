//! `tributary audit`: the proof on the command line.
//!
//! The report goes to stdout, as a table or as JSON; messages and the progress bar go to stderr. Exits 0 when everything is right,
//! 1 when anything differs or could not be checked, 2 when it was called wrongly.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use tributary_core::settings::Settings;
use tributary_core::settings::unit::{Kind, Time};
use tributary_core::stream::Stream;

use super::output::{self, Usage};
use crate::audit::batch::compute::Compute;
use crate::audit::batch::local::Engine;
use crate::audit::{self, Brokers, Progress, Request, Stores, text};

/// Prove from the stores that every record is in the lake once and in every window once
///
/// Reads the lake, PostgreSQL and Kafka's watermarks; changes nothing. May run beside a busy pipeline.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  tributary audit                      everything, now
  tributary audit --drained            … and nothing may be on its way any more
  tributary audit --bronze-only        the lake alone, with everything else stopped
  tributary audit --json | jq '.streams[].findings'

Exit status: 0 all right, 1 something differs or could not be checked, 2 wrong usage")]
pub(crate) struct Args {
    /// Only this stream
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    /// How long the stores may take to reach each other
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = <Time as Kind<Duration>>::parse)]
    wait: Duration,
    /// Both stores must have reached what Kafka holds (waits for it up to --wait)
    #[arg(long)]
    drained: bool,
    /// Leave PostgreSQL alone and check the lake
    #[arg(long)]
    bronze_only: bool,
    /// An unreachable broker is an error
    #[arg(long)]
    require_broker: bool,
    /// Offsets without a record are errors: for topics without transactions
    #[arg(long)]
    no_holes: bool,
    /// Leave silver, gold and PostgreSQL's gold tables out
    #[arg(long)]
    no_batch: bool,
    /// What the next run would bring up to date in silver, gold and PostgreSQL is an error (waits for it up to --wait)
    #[arg(long)]
    current: bool,
    /// Print the whole report as JSON
    #[arg(long)]
    json: bool,
    /// Print at most this many findings and rows of each list
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
}

/// Runs the audit over the declared streams.
pub(crate) fn run(args: &Args, settings: &Settings, mut streams: Vec<Stream>) -> Result<ExitCode> {
    if let Some(name) = &args.stream {
        let known: Vec<String> = streams.iter().map(|stream| stream.name.clone()).collect();
        streams.retain(|stream| stream.name == *name);
        if streams.is_empty() {
            return Err(Usage(format!("no stream {name} is declared; there is {}", known.join(", "))).into());
        }
    }
    let request = Request {
        wait: args.wait,
        drained: args.drained,
        bronze_only: args.bronze_only,
        require_broker: args.require_broker,
        no_holes: args.no_holes,
        no_batch: args.no_batch,
        current: args.current,
    };
    let stores = stores(settings);
    let engine = if args.no_batch { None } else { Some(Engine::new(settings)?) };
    let compute = engine.as_ref().map(|engine| engine as &dyn Compute);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().context("cannot start a runtime")?;
    let report = runtime.block_on(audit::audit(&stores, &request, &streams, compute, &Bar::new()));
    if args.json {
        output::print_json(&report)?;
        eprintln!("{}", text::verdict(&report));
    } else {
        output::print(&text::render(&report, args.limit))?;
    }
    Ok(ExitCode::from(if report.ok { 0 } else { 1 }))
}

/// Where the stores are, by settings that know of a running `up`.
pub(crate) fn stores(settings: &Settings) -> Stores {
    let properties = settings.kafka.properties.clone();
    Stores {
        lake: settings.lake.url.clone(),
        lake_options: settings.lake.options.clone(),
        database_url: settings.serving.database_url.clone(),
        brokers: settings.kafka.bootstrap_servers.clone().map(|bootstrap_servers| Brokers { bootstrap_servers, properties }),
    }
}

struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        // Draws on stderr, and nothing when that is not a terminal.
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}") {
            bar.set_style(style);
        }
        Bar(bar)
    }
}

impl Progress for Bar {
    fn begin(&self, stream: &str, bytes: u64) {
        self.0.reset();
        self.0.set_length(bytes);
        self.0.set_message(format!("reading {stream} ({})", HumanBytes(bytes)));
    }

    fn advance(&self, bytes: u64) {
        self.0.inc(bytes);
    }

    fn end(&self) {
        self.0.finish_and_clear();
    }
}
