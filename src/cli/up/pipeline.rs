//! The pipeline under `up`: handed the settings with every address filled in, stopped by the first signal.
//!
//! Start: streams, then metrics, then the batch layer, then made-up traffic; the end is the other way round.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, Addr, Arbiter};
use anyhow::{Context, Result, anyhow};
use tokio::sync::watch;
use tributary_actors::batch_coordinator::leader::ReadJobs;
use tributary_actors::batch_coordinator::{self, BatchCoordinator, World};
use tributary_actors::board::Board;
use tributary_actors::generator::{Config as GeneratorConfig, Generator, Halt, Report};
use tributary_actors::lake::upkeep;
use tributary_actors::supervisor::{House, run as run_house};
use tributary_actors::telemetry::Metrics;
use tributary_batch::{Limits, Local};
use tributary_core::settings::layers::Loaded;
use tributary_core::settings::{Role, Settings};
use tributary_core::span::{Leg, Legs};
use tributary_core::stream::Stream;
use tributary_core::traffic::Profile;

use super::parts::Parts;
use super::signals::Signals;
use crate::cli::doctor;
use crate::console;
use crate::console::shared::Made;
use crate::engine::{LocalEngine, limits};

/// How long the generator's last events may take to be acknowledged.
const GENERATOR_STOP: Duration = Duration::from_secs(2);

/// How often metrics that nobody reads are made small.
const TIDY: Duration = Duration::from_secs(5);

/// Runs until a signal or a failure that no restart mends.
pub(crate) fn run(
    parts: &Parts,
    loaded: &Loaded,
    roles: BTreeSet<Role>,
    streams: Vec<Stream>,
    jobs: ReadJobs,
    signals: Signals,
) -> Result<ExitCode> {
    let settings = Arc::new(parts.settings.clone());
    let bootstrap = settings.kafka.bootstrap_servers.clone().context("no Kafka is configured or embedded")?;
    let legs = [(Role::Bronze, Leg::Bronze), (Role::Serving, Leg::Serving)]
        .into_iter()
        .filter(|(role, _)| roles.contains(role))
        .fold(Legs::NONE, |legs, (_, leg)| legs.with(leg));
    let streams: Vec<Arc<Stream>> = streams.into_iter().map(Arc::new).collect();
    let generate = if roles.contains(&Role::Generator) { streams.first().cloned() } else { None };
    let metrics = Arc::new(Metrics::install(&settings.instance).context("cannot keep metrics")?);
    let house = (!legs.is_empty()).then(|| House {
        settings: Arc::clone(&settings),
        streams: streams.clone(),
        bootstrap: bootstrap.clone(),
        embedded_kafka: parts.broker().is_some(),
        database_url: settings.serving.database_url.clone().unwrap_or_default(),
        legs,
    });
    let batch = roles.contains(&Role::Batch).then(|| coordinator(&settings, &streams, Arc::clone(&jobs))).transpose()?;
    let boards: Vec<Board> = house.iter().flat_map(|h| &h.streams).map(|_| Board::default()).collect();
    let made = || {
        // What somebody asks for in passing takes a part of what jobs may, and at least what a sort needs; the rest is spilled.
        let own = limits(&settings.batch);
        let engine = Local::new(Limits { memory: (own.memory / 4).max(32 << 20), threads: 1, ..own });
        let engine = engine.context("cannot start the console's engine")?;
        Ok::<_, anyhow::Error>(Made {
            settings: Arc::clone(&settings),
            loaded: loaded.clone(),
            data_dir: parts.data_dir.clone(),
            streams: streams.clone(),
            boards: boards.clone(),
            jobs,
            engine: Arc::new(engine),
            grafana: doctor::grafana(),
        })
    };
    let console = roles.contains(&Role::Console).then(made).transpose()?;

    let system = actix::System::new();
    let ended = system.block_on(async {
        let server = console::serve(&settings.http.listen, Arc::clone(&metrics), boards.clone(), console)?;
        actix::spawn(async move {
            let mut ticks = tokio::time::interval(TIDY);
            loop {
                ticks.tick().await;
                metrics.tidy();
            }
        });
        let http = server.handle();
        actix::spawn(server);
        let (stop, stopped) = watch::channel(false);
        let batch = batch.map(Actor::start);
        let generator = generate.map(|stream| start_generator(&settings, &stream, &bootstrap));
        let running = async {
            match house {
                Some(house) => run_house(house, &boards, stopped).await.map_err(|e| anyhow!(e)),
                None => {
                    let mut stopped = stopped;
                    let _ = stopped.wait_for(|stop| *stop).await;
                    Ok(())
                }
            }
        };
        let ending = async {
            let mut signals = signals;
            signals.first().await;
            signals.exit_on_the_next();
            if let Some(generator) = generator
                && let Ok(Some(report)) = generator.send(Halt { until: Instant::now() + GENERATOR_STOP }).await
            {
                let Report { delivered, failed, unanswered } = report;
                tracing::info!(delivered, failed, unanswered, "generator stopped");
            }
            if let Some(batch) = batch {
                // What it leaves undone, the next leader finishes.
                let _ = batch.send(batch_coordinator::Halt).await;
            }
            let _ = stop.send(true);
            std::future::pending::<()>().await;
        };
        let ended = tokio::select! {
            ended = running => ended,
            () = ending => Ok(()),
        };
        http.stop(false).await;
        ended
    });
    ended.map(|()| ExitCode::SUCCESS)
}

/// The batch layer, over the engine of this process.
fn coordinator(settings: &Arc<Settings>, streams: &[Arc<Stream>], jobs: ReadJobs) -> Result<BatchCoordinator> {
    let url = settings.serving.database_url.clone().context("no PostgreSQL is configured or embedded")?;
    let engine = LocalEngine::new(limits(&settings.batch), streams.to_vec()).context("cannot start the batch engine")?;
    let world = World::new(Arc::clone(settings), streams.to_vec(), url, Arc::new(engine))?;
    let runtime = upkeep::runtime().context("cannot start a runtime")?.handle().clone();
    Ok(BatchCoordinator::new(world, jobs, runtime))
}

/// Made-up traffic into the first stream's topic, on a thread of its own: stopping it blocks.
fn start_generator(settings: &Settings, stream: &Stream, bootstrap: &str) -> Addr<Generator> {
    let config = GeneratorConfig {
        traffic: settings.generator.clone(),
        profile: Profile::default(),
        seed: uuid::Uuid::new_v4().as_u64_pair().0,
        stream: stream.name.clone(),
        topic: stream.topic.clone(),
        kafka: settings.kafka.clone(),
        bootstrap: bootstrap.to_owned(),
    };
    Generator::start_in_arbiter(&Arbiter::new().handle(), |_| Generator::new(config))
}
