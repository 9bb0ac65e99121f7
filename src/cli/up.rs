//! `tributary up`: everything, or the roles that are asked for.
//!
//! The order is the promise: what is embedded starts first and stops last (the broker, then PostgreSQL), so that the pipeline always
//! has something to write its last offsets to.

mod parts;
mod pipeline;
pub(crate) mod signals;
mod welcome;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tributary_actors::batch_coordinator::leader::ReadJobs;
use tributary_actors::kafka;
use tributary_core::settings::Role;
use tributary_core::settings::layers::Flag;
use tributary_core::stream::Stream;

use super::declared;
use super::globals::flag;
use super::output::{self, Usage};
use super::session::Session;
use crate::inspect::catalog::Catalog;
use crate::inspect::fits::misfits;
use parts::Parts;
use signals::Signals;

/// How long the lake may take to say what its tables are like.
const LOOK: Duration = Duration::from_secs(5);

/// Run the lakehouse: broker and PostgreSQL where none is configured, then the pipeline
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tributary up                                  everything here, with 5 made-up events per second
  tributary up --rate 2000                      with 2000
  tributary up --no-generator                   with yours: send them to 127.0.0.1:29092
  KAFKA_BOOTSTRAP_SERVERS=kafka:9092 DATABASE_URL=postgres://me@db/serving tributary up
  tributary up --roles generator                more traffic for an `up` that runs already

Ctrl-C stops in order, a second Ctrl-C at once; either way nothing is lost and nothing is counted twice.")]
pub(crate) struct Args {
    /// What this process does: some of bronze,serving,batch,generator,console
    #[arg(long, value_name = "ROLES")]
    roles: Option<String>,
    /// Made-up events per second
    #[arg(long, value_name = "N")]
    rate: Option<String>,
    /// No made-up traffic
    #[arg(long, conflicts_with = "rate")]
    no_generator: bool,
    /// Print where everything is as JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(crate) fn flags(&self) -> Vec<Flag> {
        let roles = self.roles.as_ref().map(|roles| flag("--roles", "roles", roles));
        let rate = self.rate.as_ref().map(|rate| flag("--rate", "generator.events_per_second", rate));
        let silence = self.no_generator.then(|| flag("--no-generator", "generator.events_per_second", "0"));
        roles.into_iter().chain(rate).chain(silence).collect()
    }
}

pub(crate) fn run(args: &Args, session: &Session) -> Result<ExitCode> {
    let streams = session.streams()?;
    let roles = roles(session, &streams);
    kafka::check(&session.settings().kafka).map_err(|error| Usage(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start a runtime")?;
    let mut signals = runtime.block_on(async { Signals::listen() })?;

    let plan = parts::Plan::new(session, &roles)?;
    let starting = runtime.spawn_blocking(move || Parts::start(plan));
    let mut parts = runtime.block_on(async {
        tokio::select! {
            started = starting => started.context("starting the embedded parts panicked")?,
            // What was spawned ends with us.
            () = signals.first() => std::process::exit(130),
        }
    })?;

    // Before anybody is told that all is up.
    if let Err(misfits) = fit(&parts, &streams) {
        parts.stop();
        return Err(misfits);
    }
    match args.json {
        true => output::print_json(parts.run_file())?,
        false => output::print(&welcome::text(&parts, &roles, &streams))?,
    }
    let done = pipeline::run(&parts, &session.loaded, roles, streams, jobs(session)?, signals);
    parts.stop();
    done
}

/// Refuses streams that the tables which are there cannot hold. A lake that does not answer in time is the pipeline's to wait for.
fn fit(parts: &Parts, streams: &[Stream]) -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().context("cannot start a runtime")?;
    let catalog = Catalog::of(&parts.settings)?;
    let look = async { tokio::time::timeout(LOOK, misfits(&catalog, streams.iter())).await };
    let misfits = runtime.block_on(look).unwrap_or_default();
    runtime.shutdown_background();
    match misfits.is_empty() {
        true => Ok(()),
        false => Err(Usage(misfits.join("\n")).into()),
    }
}

/// Reads the declared jobs, now and whenever it is called: their files may change while `up` runs.
fn jobs(session: &Session) -> Result<ReadJobs> {
    let folder = PathBuf::from(&session.settings().batch.jobs_dir);
    let may_be_missing = session.loaded.is_default("batch.jobs_dir");
    // What is wrong from the first moment on is said before anything starts.
    declared::jobs(&folder, may_be_missing)?;
    Ok(Arc::new(move || declared::each_job(&folder, may_be_missing).map_err(|error| format!("{error:#}"))))
}

/// The roles that were asked for. Made-up events go to somebody else's Kafka only when somebody asks for them, and into no other stream.
fn roles(session: &Session, streams: &[Stream]) -> BTreeSet<Role> {
    let settings = session.settings();
    let mut roles = settings.roles.clone();
    let asked = !session.loaded.is_default("roles") || !session.loaded.is_default("generator.events_per_second");
    let made_up = streams.first().is_some_and(|stream| stream.name == Stream::builtin().name);
    if !made_up || settings.generator.events_per_second == 0.0 || (settings.kafka.bootstrap_servers.is_some() && !asked) {
        roles.remove(&Role::Generator);
    }
    roles
}
