//! What every page and every call of the API has at hand: the settings, the streams, and ways to ask the stores that end in time.
//!
//! Work on the stores is done on a runtime of the console's own, never on the threads that answer: a large table makes no other page
//! wait. What was begun there ends there, whether or not somebody still listens, so that no transaction is left half done.

use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::future::BoxFuture;
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};
use tributary_actors::batch_coordinator::leader::{Jobs, ReadJobs};
use tributary_actors::board::Board;
use tributary_actors::lake::history::history;
use tributary_actors::serving;
use tributary_actors::telemetry::Metrics;
use tributary_batch::Local;
use tributary_batch::models::Models;
use tributary_core::job::Job;
use tributary_core::settings::Settings;
use tributary_core::settings::layers::Loaded;
use tributary_core::stream::Stream;

use super::failure::Failure;
use super::flow::{self, Flow};
use super::guard::{self, Pace};
use super::kept::Kept;
use super::lake_view::{LakeView, Seen, Tables};
use super::rows::Counts;
use crate::doctor::{Patient, Report, examine};
use crate::embedded::run_file::RunFile;
use crate::inspect::catalog::{Catalog, no_table};
use crate::inspect::query::Rows;
use crate::inspect::tables::Version;

/// Connections to PostgreSQL: enough for a page, a live stream and an action at once.
const CONNECTIONS: u32 = 4;
/// How long a page waits for one of them.
const PATIENCE: Duration = Duration::from_secs(2);
/// Previews, queries and examinations at the same time: each may take a core.
const HEAVY: usize = 2;
/// How long one of those waits for its turn.
const TURN: Duration = Duration::from_secs(10);
/// Live pages that are open at once, over all browsers.
const WATCHERS: usize = 48;
/// Models are planned again after this long: their files may have changed.
const MODELS_FOR: Duration = Duration::from_secs(5);
/// The doctor comes again after this long.
const REPORT_FOR: Duration = Duration::from_secs(30);
/// Previews that are kept: each has a MiB at most.
const PREVIEWS: usize = 16;
/// Counts of records that are not valid, by what somebody asked for; and for how long.
const COUNTS: usize = 32;
const COUNTS_FOR: Duration = Duration::from_secs(10);
/// Histories of tables that are kept.
const PASTS: usize = 32;

/// What the console is made of.
pub(crate) struct Made {
    /// With every address filled in.
    pub(crate) settings: Arc<Settings>,
    /// Settings and their origins, as they were given.
    pub(crate) loaded: Loaded,
    /// Folder of everything embedded.
    pub(crate) data_dir: PathBuf,
    /// The declared streams.
    pub(crate) streams: Vec<Arc<Stream>>,
    /// What their supervisors show; none of a process that reads no stream.
    pub(crate) boards: Vec<Board>,
    /// Where the jobs come from.
    pub(crate) jobs: ReadJobs,
    /// Reads tables and plans models.
    pub(crate) engine: Arc<Local>,
    /// Where Grafana is, if the environment says so.
    pub(crate) grafana: Option<String>,
}

/// What every page has at hand.
pub(crate) struct Shared {
    /// What it was made of.
    pub(crate) made: Made,
    /// The tables of the lake, as they were a moment ago.
    pub(crate) lake: LakeView,
    /// How fast records have moved.
    pub(crate) flow: Flow,
    /// What is compared with the token that somebody shows; none: the console is open.
    pub(crate) token: Option<[u8; 32]>,
    /// How often something may be done.
    pub(crate) pace: Pace,
    /// How often somebody may be wrong about the token.
    pub(crate) guesses: Pace,
    /// Live pages that are open.
    pub(crate) watchers: Arc<Semaphore>,
    /// Previews, by table and version: they do not change.
    pub(crate) previews: Kept<Rows>,
    /// How many records are not valid.
    pub(crate) letters: Kept<Counts>,
    /// What happened to tables, by table and version.
    pub(crate) pasts: Kept<Vec<Version>>,
    metrics: Arc<Metrics>,
    pool: Option<PgPool>,
    /// Ends with the process: what it is at may block, and dropping it would wait for that.
    runtime: ManuallyDrop<Runtime>,
    heavy: Semaphore,
    models: Mutex<Option<(Instant, Arc<Models>)>>,
    report: Mutex<Option<(Instant, Arc<Report>)>>,
}

impl Shared {
    pub(crate) fn new(made: Made, metrics: Arc<Metrics>) -> Result<Self> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).thread_name("console").enable_all().build().context("cannot start a runtime")?;
        let pool = made.settings.serving.database_url.as_deref().map(|url| {
            let _inside = runtime.enter();
            let options = serving::options(url)?;
            let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(PATIENCE);
            Ok::<_, anyhow::Error>(pool.connect_lazy_with(options))
        });
        Ok(Self {
            lake: LakeView::new(Catalog::of(&made.settings)?),
            flow: Flow::default(),
            pace: Pace::default(),
            guesses: Pace::default(),
            watchers: Arc::new(Semaphore::new(WATCHERS)),
            token: made.settings.console.token.as_deref().map(guard::digest),
            previews: Kept::new(PREVIEWS, None),
            letters: Kept::new(COUNTS, Some(COUNTS_FOR)),
            pasts: Kept::new(PASTS, None),
            metrics,
            pool: pool.transpose()?,
            runtime: ManuallyDrop::new(runtime),
            heavy: Semaphore::new(HEAVY),
            models: Mutex::new(None),
            report: Mutex::new(None),
            made,
        })
    }

    /// Does it away from the threads that answer, to its end.
    pub(crate) async fn away<T: Send + 'static>(&self, work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        self.runtime.spawn(work).await.context("the work for this page broke off; the log says why")?
    }

    /// Asks PostgreSQL.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T>> + Send + 'static,
    ) -> Result<T> {
        let pool = self.pool.clone().ok_or_else(|| Failure::away("no PostgreSQL is configured or embedded here"))?;
        self.away(async move {
            let connection = pool.acquire().await;
            let mut connection = connection.map_err(|error| Failure::away(format!("PostgreSQL does not answer: {error}")))?;
            question(&mut connection).await
        })
        .await
    }

    /// The tables of the lake, by layer and name.
    pub(crate) async fn tables(&self) -> Result<Tables> {
        let lake = self.lake.clone();
        self.away(async move { lake.tables().await }).await
    }

    /// One of them, by the name that a person wrote: the layer may be left out where only one has a table of that name.
    pub(crate) async fn table(&self, written: &str) -> Result<Seen> {
        let Tables { seen: tables, unreadable } = self.tables().await?;
        if let Some(one) = unreadable.iter().find(|one| one.table == written) {
            return Err(Failure::away(format!("{} cannot be read: {}", one.table, one.problem)).into());
        }
        let bare = |name: &str| name.split_once('.').is_some_and(|(_, table)| table == written);
        let mut found: Vec<&Seen> = tables.iter().filter(|table| table.name == written).collect();
        if found.is_empty() {
            found = tables.iter().filter(|table| bare(&table.name)).collect();
        }
        match found[..] {
            [one] => Ok(one.clone()),
            _ => Err(no_table(written, &tables.iter().map(|table| table.name.clone()).collect::<Vec<_>>()).into()),
        }
    }

    /// The newest versions of a table, at most so many.
    pub(crate) async fn past(&self, seen: &Seen, most: usize) -> Result<Arc<Vec<Version>>> {
        let snapshot = Arc::clone(&seen.snapshot);
        let key = format!("{} {} {most}", snapshot.id(), snapshot.version());
        let read = self.away(async move {
            let events = history(snapshot.store(), most).await?;
            Ok(events.into_iter().map(Version::from).collect())
        });
        self.pasts.or(&key, read).await
    }

    /// Waits for a turn at what takes a core.
    pub(crate) async fn turn(&self) -> Result<SemaphorePermit<'_>, Failure> {
        match tokio::time::timeout(TURN, self.heavy.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Failure::busy("others are reading tables through the console right now; try again in some seconds")),
        }
    }

    /// The jobs, as their files are now.
    pub(crate) fn jobs(&self) -> Result<Jobs> {
        (self.made.jobs)().map_err(anyhow::Error::msg)
    }

    /// The job of that name or alias.
    pub(crate) fn job(&self, name: &str) -> Result<Job> {
        let Jobs { jobs, broken } = self.jobs()?;
        let known = jobs.iter().map(|job| job.name.clone()).collect::<Vec<_>>().join(", ");
        let found = jobs.into_iter().find(|job| job.is_called(name));
        found.ok_or_else(|| {
            Failure::not_found(match broken.iter().find(|problem| declares(problem, name)) {
                Some(problem) => format!("there is no job {name}, because its file cannot be read: {problem}"),
                None => format!("there is no job {name}; there are: {known}"),
            })
            .into()
        })
    }

    /// What is wrong with the file of that job; none: there is such a job, or no such file.
    pub(crate) fn broken_job(&self, name: &str) -> Result<Option<String>> {
        let Jobs { jobs, broken } = self.jobs()?;
        let is_there = jobs.iter().any(|job| job.is_called(name));
        Ok(broken.into_iter().find(|problem| !is_there && declares(problem, name)))
    }

    /// Records of a stream that were no valid events, as this process has met them since it began.
    pub(crate) fn refused(&self, stream: &str) -> u64 {
        flow::refused(&self.metrics.render(), stream)
    }

    /// The models, as their files were a moment ago.
    pub(crate) async fn models(&self) -> Result<Arc<Models>> {
        let mut kept = self.models.lock().await;
        if let Some((at, models)) = kept.as_ref()
            && at.elapsed() < MODELS_FOR
        {
            return Ok(Arc::clone(models));
        }
        let (engine, streams) = (Arc::clone(&self.made.engine), self.made.streams.clone());
        let folder = PathBuf::from(&self.made.settings.batch.models_dir);
        let models = Arc::new(self.away(async move { Ok(engine.models(&folder, &streams).await?) }).await?);
        *kept = Some((Instant::now(), Arc::clone(&models)));
        Ok(models)
    }

    /// What the doctor finds, as of half a minute ago at most.
    pub(crate) async fn report(&self) -> Result<Arc<Report>> {
        let mut kept = self.report.lock().await;
        if let Some((at, report)) = kept.as_ref()
            && at.elapsed() < REPORT_FOR
        {
            return Ok(Arc::clone(report));
        }
        let patient = Patient {
            settings: (*self.made.settings).clone(),
            loaded: self.made.loaded.clone(),
            streams: self.made.streams.iter().map(|stream| (**stream).clone()).collect(),
            streams_problem: None,
            data_dir: self.made.data_dir.clone(),
            running: RunFile::read(&self.made.data_dir),
            grafana: self.made.grafana.clone(),
        };
        // It asks this process as well, and some of what it asks with blocks: it has threads of its own.
        let examined = self.runtime.spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
            let checks = runtime.block_on(examine(&patient));
            runtime.shutdown_timeout(Duration::ZERO);
            Ok::<_, std::io::Error>(Report::of(checks))
        });
        let report =
            Arc::new(examined.await.context("the examination broke off; the log says why")?.context("no threads for it")?);
        *kept = Some((Instant::now(), Arc::clone(&report)));
        Ok(report)
    }
}

/// Whether an error, which begins with its file, is about the file of the job of that name: a file is called like what it declares.
fn declares(problem: &str, job: &str) -> bool {
    let file = problem.split(", line ").next().unwrap_or_default();
    Path::new(file).file_stem().is_some_and(|stem| stem == job)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_about_the_job_that_its_file_is_called_like() {
        let problem = "/srv/jobs/nightly.toml, line 3: schedule: there is no such word\n  |";
        assert!(declares(problem, "nightly") && !declares(problem, "night") && !declares("", "nightly"));
    }
}
