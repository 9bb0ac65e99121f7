//! `tributary generate`: a finite run of made-up traffic into Kafka, and the truth about it.
//!
//! The truth goes to stdout (or a file) as JSON, everything else to stderr. Exits 0 only when Kafka has acknowledged every record,
//! 1 when it has not, 2 when it was called wrongly, 130 when it was interrupted; the truth is printed in each of these cases but
//! the third, and covers exactly the records that were handed to Kafka's client.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};
use tokio::signal::unix::{SignalKind, signal};
use tributary_actors::generator::outbox::{Outbox, Size, Tally};
use tributary_actors::kafka::{client_config, topic};
use tributary_core::settings::Settings;
use tributary_core::settings::unit::{Kind, Time};
use tributary_core::stream::Stream;
use tributary_core::traffic::{Plan, Population, Profile, Truth};

mod progress;
mod send;
mod values;

use super::output::{Usage, print};
use super::session::Session;
use send::{End, Sender};
use values::{count, moment, share};

/// Fields that the made-up events have.
const FIELDS: [&str; 6] = ["event_id", "user_id", "event_type", "page", "timestamp", "source"];

/// Send made-up events to Kafka and print the truth about them
///
/// The same arguments with the same --start make the same records, to the byte. The truth says what the lake and PostgreSQL must show afterwards.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  tributary generate --count 1M                                     as fast as Kafka takes them
  tributary generate --count 5M --malformed 1% --late 2% --duplicate 1% --truth truth.json
  tributary generate --count 10k --rate 500 --profile realistic --span 24h
  tributary generate --count 1M --start 2026-01-05T10:00:00Z --dry-run   only the truth

Exit status: 0 every record acknowledged, 1 not, 2 wrong usage, 130 interrupted")]
pub(crate) struct Args {
    /// Records to send, all kinds together; 500k and 5M are understood
    #[arg(long, value_name = "N", value_parser = count)]
    count: u64,
    /// Decides everything random
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Records per second; without it as fast as Kafka takes them
    #[arg(long, value_name = "N", value_parser = values::rate)]
    rate: Option<f64>,
    /// Event time of the first event; by default such that the last is now, in whole minutes
    #[arg(long, value_name = "TIME", value_parser = moment)]
    start: Option<DateTime<Utc>>,
    /// Event time to spread the events over
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = <Time as Kind<Duration>>::parse)]
    span: Duration,
    /// Users at the start; by default as many as the setting generator.num_users says
    #[arg(long, value_name = "N", value_parser = count)]
    users: Option<u64>,
    /// New users per hour of event time; by default as the setting generator.user_growth_rate says
    #[arg(long, value_name = "N", value_parser = values::growth)]
    growth: Option<f64>,
    /// How the events are spread over pages and hours: plain or realistic
    #[arg(long, value_name = "NAME", default_value = "plain", value_parser = values::profile)]
    profile: Profile,
    /// Share of records that are wrong, each in one of 44 ways (1% or 0.01)
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share)]
    malformed: f64,
    /// Share of events that are late, by a minute to a day
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share)]
    late: f64,
    /// Share of records that repeat an earlier one to the byte
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share)]
    duplicate: f64,
    /// Share of valid events in a form that few expect: other order, escapes, offsets, further fields
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share)]
    unusual: f64,
    /// Records of two megabytes among them
    #[arg(long, value_name = "N", default_value = "0", value_parser = count)]
    oversized: u64,
    /// Stream whose topic is written to
    #[arg(long, value_name = "NAME", default_value = "user_events")]
    stream: String,
    /// Another topic than the stream's
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// Another Kafka than the settings': host:port
    #[arg(long, value_name = "ADDRESS")]
    bootstrap: Option<String>,
    /// Where to write the truth instead of stdout
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
    /// Send nothing: only print the truth
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    fn plan(&self, settings: &Settings, now_us: i64) -> Plan {
        let span_us = i64::try_from(self.span.as_micros()).unwrap_or(i64::MAX);
        let minute = 60_000_000;
        let start_us = match self.start {
            Some(start) => start.timestamp_micros(),
            None => now_us.saturating_sub(span_us).div_euclid(minute) * minute,
        };
        Plan {
            count: self.count,
            seed: self.seed,
            start_us,
            span_us,
            population: Population {
                num_users: self.users.unwrap_or(settings.generator.num_users),
                growth_per_hour: self.growth.unwrap_or(settings.generator.user_growth_rate),
            },
            profile: self.profile,
            malformed: self.malformed,
            late: self.late,
            duplicate: self.duplicate,
            unusual: self.unusual,
            oversized: self.oversized,
        }
    }
}

/// Makes the run, sends it unless it is a dry one, prints the truth.
pub(crate) fn run(args: &Args, session: &Session) -> Result<ExitCode> {
    let streams = session.streams()?;
    let Some(stream) = streams.iter().find(|stream| stream.name == args.stream) else {
        let known: Vec<_> = streams.iter().map(|stream| stream.name.as_str()).collect();
        return Err(Usage(format!("no stream `{}` is declared; there is {}", args.stream, known.join(", "))).into());
    };
    if let Some(field) = foreign_field(stream) {
        return Err(Usage(format!("stream {} needs a field `{field}`, which made-up events do not have", stream.name)).into());
    }
    let now_us = Utc::now().timestamp_micros();
    let plan = args.plan(session.settings(), now_us);
    plan.check(now_us, &stream.limits).map_err(|error| Usage(error.to_string()))?;
    if stream.fields != Stream::builtin().fields {
        eprintln!("note: {} is not declared as it was delivered; the truth goes by the delivered declaration", stream.name);
    }

    // What was sent without its truth being kept would be worth nothing.
    let mut file = match &args.truth {
        Some(path) => Some(File::create(path).with_context(|| format!("cannot write the truth to {}", path.display()))?),
        None => None,
    };
    let (truth, end) = match args.dry_run {
        true => (make(&plan), End::Complete),
        false => deliver(args, session, stream, &plan)?,
    };
    let json = truth.to_json(Some(&plan));
    match &mut file {
        Some(file) => file.write_all(json.as_bytes()).context("cannot write the truth")?,
        None => print(&json)?,
    }
    Ok(match end {
        End::Complete => ExitCode::SUCCESS,
        End::Incomplete => ExitCode::FAILURE,
        End::Interrupted => ExitCode::from(130),
    })
}

/// A required field that made-up events do not have.
fn foreign_field(stream: &Stream) -> Option<&str> {
    stream.fields.iter().find(|field| field.required && !FIELDS.contains(&field.name.as_str())).map(|field| field.name.as_str())
}

fn make(plan: &Plan) -> Truth {
    let (mut records, mut truth) = (plan.records(), Truth::default());
    while let Some(record) = records.next() {
        truth.add(&record.made);
    }
    truth
}

fn deliver(args: &Args, session: &Session, stream: &Stream, plan: &Plan) -> Result<(Truth, End)> {
    let settings = session.settings();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().context("cannot start a runtime")?;
    let stop = Arc::new(AtomicBool::new(false));
    runtime.spawn(interruption(Arc::clone(&stop)));

    let bootstrap = args.bootstrap.clone().map_or_else(|| session.kafka(), Ok)?;
    let name = args.topic.as_deref().unwrap_or(&stream.topic);
    let existed = runtime
        .block_on(topic::find(&settings.kafka, &bootstrap, name))
        .with_context(|| format!("no answer from Kafka at {bootstrap}; start it, or say --bootstrap host:port"))?
        .is_some();
    let topic = runtime.block_on(topic::ensure(&settings.kafka, &bootstrap, name))?;
    match existed {
        true => eprintln!("{} records into {name} ({} partitions) at {bootstrap}", plan.count, topic.partitions),
        false => eprintln!("{} records into {name} (created with {} partitions) at {bootstrap}", plan.count, topic.partitions),
    }
    if stop.load(Ordering::Relaxed) {
        bail!("interrupted before anything was sent");
    }

    let size = if plan.oversized > 0 { Size { record_bytes: 4_000_000, ..Size::LARGE } } else { Size::LARGE };
    let client = client_config(&settings.kafka, &bootstrap);
    let outbox = Outbox::open(client, name, size, Arc::new(Tally::default())).context("Kafka's client refuses the settings")?;
    let sent = Sender::new(outbox, args.rate, &stop).send(plan);
    runtime.shutdown_background();
    Ok(sent)
}

/// The first signal asks to stop; the second does not ask.
async fn interruption(stop: Arc<AtomicBool>) {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    loop {
        tokio::select! {
            pressed = tokio::signal::ctrl_c() => if pressed.is_err() { return },
            _ = terminate.recv() => {}
        }
        if stop.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("stopping: waiting for what is on its way (again to give up)");
    }
}
