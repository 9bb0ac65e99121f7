//! The batch layer's one leader: bronze to silver to gold to PostgreSQL, and maintenance, when it is due or when somebody asks.
//!
//! A tour:
//!
//! - [`leader`]: the lease, what is due, who runs. One leader at a time over all instances; what a leader that died had begun, the next
//!   one finishes. `due`: when, and whether there is anything to do.
//! - `runner`: one run from its first task to its last; [`course`] decides what comes next, `recorder` writes the history.
//! - [`silver`], `gold`, `checks`, `publish`, `maintenance`: what tasks do. `task`: what they are given.
//! - [`lag`]: what a table has not taken over yet of what it is made from.
//! - `tables`: tables of the lake, read at one version and committed to.
//! - [`crate::engine`]: who computes over tables.
//!
//! No status is trusted: every step looks at what its output's own log says is in it, so that a step which is repeated finds nothing to
//! do, and a step that was forgotten is done by the next run.
//!
//! The actor [`BatchCoordinator`] is a shell around the leader, which works on a runtime of its own: it starts it, starts it again after
//! a panic, and stops it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, ResponseActFuture, WrapFuture};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tributary_core::settings::Settings;
use tributary_core::stream::Stream;

use self::leader::{Leader, ReadJobs};
use self::tables::Tables;
use crate::engine::Engine;
use crate::lake::{self, LakeError};

mod checks;
pub mod course;
mod due;
mod gauges;
mod gold;
pub mod lag;
pub mod leader;
mod maintenance;
mod publish;
mod recorder;
mod replayed;
mod runner;
pub mod silver;
mod tables;
mod task;

pub use self::runner::tasks;

/// After a panic.
const AGAIN: Duration = Duration::from_secs(2);

/// What every run works on.
pub struct World {
    /// All settings.
    pub settings: Arc<Settings>,
    /// The streams of this process.
    pub streams: Vec<Arc<Stream>>,
    /// PostgreSQL.
    pub database_url: String,
    /// Where the models are.
    pub models_dir: PathBuf,
    /// Who computes.
    pub engine: Arc<dyn Engine>,
    tables: Tables,
}

impl World {
    /// Over the lake that the settings name.
    ///
    /// # Errors
    /// When its location is wrong.
    pub fn new(
        settings: Arc<Settings>,
        streams: Vec<Arc<Stream>>,
        database_url: String,
        engine: Arc<dyn Engine>,
    ) -> Result<Self, LakeError> {
        let lake = lake::lake_url(&settings.lake.url)?;
        let tables = Tables::new(lake, settings.lake.options.clone(), settings.batch.keep_versions);
        let models_dir = PathBuf::from(&settings.batch.models_dir);
        Ok(Self { settings, streams, database_url, models_dir, engine, tables })
    }
}

/// Leads, whenever nobody else does.
pub struct BatchCoordinator {
    world: Arc<World>,
    jobs: ReadJobs,
    runtime: Handle,
    stop: watch::Sender<bool>,
    ended: watch::Sender<bool>,
}

impl BatchCoordinator {
    /// Works on that runtime, which must not be the one that computes: it renews the lease.
    pub fn new(world: World, jobs: ReadJobs, runtime: Handle) -> Self {
        Self { world: Arc::new(world), jobs, runtime, stop: watch::channel(false).0, ended: watch::channel(false).0 }
    }
}

impl Actor for BatchCoordinator {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let (world, jobs, runtime) = (Arc::clone(&self.world), Arc::clone(&self.jobs), self.runtime.clone());
        let (stop, ended) = (self.stop.subscribe(), self.ended.clone());
        let leading = async move {
            loop {
                let instance = world.settings.instance.clone();
                let leader = Leader::new(Arc::clone(&world), Arc::clone(&jobs), instance);
                match runtime.spawn(leader.lead(stop.clone())).await {
                    Ok(()) => break,
                    Err(error) => tracing::error!(target: "batch_coordinator", %error, "the leader panicked and starts again"),
                }
                tokio::time::sleep(AGAIN).await;
            }
            ended.send_replace(true);
        };
        ctx.spawn(leading.into_actor(self));
    }
}

/// Leave what runs to the next leader, let go of the lease, and answer.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Halt;

impl Handler<Halt> for BatchCoordinator {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, _: Halt, _: &mut Self::Context) -> Self::Result {
        self.stop.send_replace(true);
        let mut ended = self.ended.subscribe();
        let wait = async move { _ = ended.wait_for(|ended| *ended).await };
        Box::pin(wait.into_actor(self).map(|(), _, _| ()))
    }
}
