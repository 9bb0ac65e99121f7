//! The leader: takes the lease, queues what is due, runs what is queued.
//!
//! One loop, one connection. A lease that cannot be renewed for longer than it lasts is given up, with every run in hand: whoever takes
//! it next goes on with them. PostgreSQL that is away is waited for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tributary_core::job::{Job, Schedule};

use super::runner::{Ending, Ran, Runner};
use super::{World, due, gauges};
use crate::serving::history::{self, Enqueued, NewRun, Params, Run, RunState, ScheduleRow, Trigger, Which};
use crate::serving::lease::{BATCH, LeaderError, Lease};
use crate::serving::{self, ServingError};
use crate::telemetry::{self, JobMeter};

const TICK: Duration = Duration::from_millis(500);
/// How long a lease lasts without being renewed.
const TTL: Duration = Duration::from_secs(10);
/// A lease that could not be renewed for this long is given up; until somebody takes it, nobody else leads either.
const PATIENCE: Duration = Duration::from_secs(30);
const RENEW: Duration = Duration::from_secs(2);
/// How often job files and schedules are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Runs of different jobs at a time: maintenance beside a build.
const AT_ONCE: usize = 2;
/// How long runs may take to see that the process ends.
const LEAVE: Duration = Duration::from_secs(5);

/// What is declared.
#[derive(Debug, Clone, Default)]
pub struct Jobs {
    /// Jobs that can be run.
    pub jobs: Vec<Job>,
    /// What is wrong with the other files.
    pub broken: Vec<String>,
}

/// Where the jobs come from; called again and again, since files change.
pub type ReadJobs = Arc<dyn Fn() -> Result<Jobs, String> + Send + Sync>;

/// Who leads, and what.
pub struct Leader {
    world: Arc<World>,
    jobs: ReadJobs,
    instance: String,
    running: HashMap<i64, Running>,
    /// What a leader knows of each job since it leads.
    seen: HashMap<String, due::Seen>,
    /// What was wrong with the files of jobs last.
    complaint: Option<String>,
}

struct Running {
    job: String,
    ending: watch::Sender<Option<Ending>>,
    handle: JoinHandle<Ran>,
}

/// From one acquisition of the lease to its end.
struct Term {
    lease: Lease,
    connection: Option<PgConnection>,
    renewed: Instant,
    asked: Option<Instant>,
    looked: Option<Instant>,
    /// Runs may be under way that nobody has in hand.
    is_fresh: bool,
}

/// Why a term ended.
enum TermEnd {
    /// The process ends.
    Stopped,
    /// Somebody else leads, or PostgreSQL was away for too long.
    Lost(String),
}

impl Leader {
    /// Leads nothing yet.
    pub fn new(world: Arc<World>, jobs: ReadJobs, instance: String) -> Self {
        Self { world, jobs, instance, running: HashMap::new(), seen: HashMap::new(), complaint: None }
    }

    /// Leads whenever nobody else does, until the stop is asked for.
    pub async fn lead(mut self, mut stop: watch::Receiver<bool>) {
        let mut said = None;
        loop {
            let term = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                taken = take(self.world.database_url.clone(), self.instance.clone()) => taken,
            };
            let problem = match term {
                Ok((connection, lease)) => {
                    tracing::info!(target: "batch_coordinator", epoch = lease.epoch(), "leads");
                    said = None;
                    let gauges = gauges::keep(Arc::clone(&self.world), Arc::clone(&self.jobs));
                    // Ends with the term, also when that panics.
                    let mut beside = tokio::task::JoinSet::new();
                    beside.spawn(gauges);
                    let end = self.lead_term(connection, lease, &mut stop).await;
                    drop(beside);
                    telemetry::leads(false);
                    match end {
                        TermEnd::Stopped => return,
                        TermEnd::Lost(why) => why,
                    }
                }
                Err(error) => error.to_string(),
            };
            telemetry::leads(false);
            if said.as_ref() != Some(&problem) {
                tracing::warn!(target: "batch_coordinator", "does not lead: {problem}");
                said = Some(problem);
            }
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(RENEW) => {}
            }
        }
    }

    /// Leads until it ends.
    async fn lead_term(&mut self, connection: PgConnection, lease: Lease, stop: &mut watch::Receiver<bool>) -> TermEnd {
        let now = Instant::now();
        let mut term = Term { lease, connection: Some(connection), renewed: now, asked: None, looked: None, is_fresh: true };
        let mut problem = String::new();
        self.seen.clear();
        let end = loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break TermEnd::Stopped,
                () = tokio::time::sleep(TICK) => {}
            }
            telemetry::leads(true);
            // PostgreSQL's own time limits end what it does; a network that swallows everything needs one here.
            let step = tokio::time::timeout(PATIENCE, self.step(&mut term)).await;
            match step.unwrap_or_else(|_| Err(LeaderError::Serving(ServingError::no_answer("leading", PATIENCE)))) {
                Ok(()) => {}
                Err(LeaderError::Lost { .. }) => break TermEnd::Lost("another coordinator took the lease".into()),
                Err(LeaderError::Serving(error)) => {
                    term.connection = None;
                    // A run may have been claimed without our hearing of it.
                    term.is_fresh = true;
                    if term.renewed.elapsed() > PATIENCE {
                        break TermEnd::Lost(format!("the lease could not be renewed: {error}"));
                    }
                    let words = error.to_string();
                    if problem != words {
                        tracing::warn!(target: "batch_coordinator", "{words}; waiting");
                        problem = words;
                    }
                }
            }
        };
        self.leave().await;
        if let (TermEnd::Stopped, Some(mut connection)) = (&end, term.connection)
            && let Err(error) = term.lease.release(&mut connection).await
        {
            tracing::debug!(target: "batch_coordinator", %error, "the lease runs out by itself");
        }
        end
    }

    /// One look at everything.
    async fn step(&mut self, term: &mut Term) -> Result<(), LeaderError> {
        let mut connection = match term.connection.take() {
            Some(connection) => connection,
            None => {
                migrate(&self.world.database_url).await?;
                serving::connect(&self.world.database_url).await?
            }
        };
        let c = &mut connection;
        if term.asked.is_none_or(|at| at.elapsed() >= RENEW) {
            let now = Instant::now();
            term.asked = Some(now);
            term.lease.renew(c, TTL).await?;
            term.renewed = now;
        }
        self.reap().await;
        if term.is_fresh {
            self.take_over(c, &term.lease).await?;
            term.is_fresh = false;
        }
        for (run, by) in history::to_cancel(c).await? {
            if let Some(running) = self.running.get(&run) {
                let _ = running.ending.send(Some(Ending::Cancelled(by)));
            }
        }
        if term.looked.is_none_or(|at| at.elapsed() >= LOOK) {
            term.looked = Some(Instant::now());
            self.schedule(c, &term.lease).await?;
        }
        self.claim(c, &term.lease).await?;
        term.connection = Some(connection);
        Ok(())
    }

    /// Lets go of runs that have ended.
    async fn reap(&mut self) {
        let over: Vec<i64> = self.running.iter().filter(|(_, r)| r.handle.is_finished()).map(|(id, _)| *id).collect();
        for id in over {
            let Some(running) = self.running.remove(&id) else { continue };
            let seen = self.seen.entry(running.job).or_default();
            match running.handle.await {
                Ok(Ran::Ended(state)) => seen.ended(state),
                Ok(Ran::Left) => {}
                Err(error) => {
                    tracing::error!(target: "batch_coordinator", run = id, %error, "the run panicked; it is taken over again");
                    seen.panicked = true;
                }
            }
        }
    }

    /// Ends every run in hand, without an end in its history.
    async fn leave(&mut self) {
        for running in self.running.values() {
            let _ = running.ending.send(Some(Ending::Left));
        }
        let until = tokio::time::Instant::now() + LEAVE;
        for (_, mut running) in self.running.drain() {
            if tokio::time::timeout_at(until, &mut running.handle).await.is_err() {
                running.handle.abort();
            }
        }
    }

    async fn take_over(&mut self, connection: &mut PgConnection, lease: &Lease) -> Result<(), LeaderError> {
        let in_hand: Vec<i64> = self.running.keys().copied().collect();
        for run in history::take_over(connection, lease, &in_hand).await? {
            tracing::info!(target: "batch_coordinator", run = run.id, job_name = run.job, "goes on with a run that its leader left");
            self.start(connection, lease, run).await?;
        }
        Ok(())
    }

    async fn claim(&mut self, connection: &mut PgConnection, lease: &Lease) -> Result<(), LeaderError> {
        if self.seen.values_mut().any(|seen| std::mem::take(&mut seen.panicked)) {
            self.take_over(connection, lease).await?;
        }
        let free = AT_ONCE.saturating_sub(self.running.len());
        if free == 0 {
            return Ok(());
        }
        for run in history::claim(connection, lease, u32::try_from(free).unwrap_or(1)).await? {
            self.start(connection, lease, run).await?;
        }
        Ok(())
    }

    async fn start(&mut self, connection: &mut PgConnection, lease: &Lease, run: Run) -> Result<(), LeaderError> {
        let declared = match (self.jobs)() {
            Ok(declared) => declared,
            Err(why) => return refuse(connection, lease, run.id, why).await,
        };
        let Some(job) = declared.jobs.into_iter().find(|job| job.is_called(&run.job)) else {
            let mut why = format!("there is no job {} any more", run.job);
            if !declared.broken.is_empty() {
                why = format!("{why}; files of jobs that cannot be read:\n{}", declared.broken.join("\n"));
            }
            return refuse(connection, lease, run.id, why).await;
        };
        let which = Which { job: Some(run.job.clone()), states: due::WORKED.to_vec(), before: Some(run.id), limit: 1 };
        let last_started = history::runs(connection, &which).await?.first().and_then(|r| r.started_at);
        let (ending, ended) = watch::channel(None);
        let (id, name) = (run.id, run.job.clone());
        self.seen.entry(name.clone()).or_default().started = true;
        let runner = Runner { world: Arc::clone(&self.world), lease: lease.clone(), run, job, last_started, ending: ended };
        self.running.insert(id, Running { job: name, ending, handle: tokio::spawn(runner.go()) });
        Ok(())
    }

    /// Queues what is due.
    async fn schedule(&mut self, connection: &mut PgConnection, lease: &Lease) -> Result<(), LeaderError> {
        let declared = (self.jobs)().unwrap_or_else(|why| Jobs { jobs: Vec::new(), broken: vec![why] });
        let complaint = (!declared.broken.is_empty()).then(|| declared.broken.join("\n"));
        if let (Some(why), true) = (&complaint, complaint != self.complaint) {
            tracing::error!(target: "batch_coordinator", "not scheduled until it is mended: {why}");
        }
        self.complaint = complaint;
        let known = history::schedules(connection).await?;
        let now: DateTime<Utc> = serving::now(connection).await?;
        if declared.broken.is_empty() {
            telemetry::declared(&declared.jobs.iter().map(|job| job.name.as_str()).collect::<Vec<_>>());
        }
        for job in &declared.jobs {
            let row = known.iter().find(|row| row.job == job.name);
            let meter = JobMeter::new(&job.name);
            meter.begin();
            meter.active(self.running.values().filter(|r| r.job == job.name).count());
            meter
                .schedule(row.and_then(|row| row.next_due_at).map(|at| at.timestamp_millis()), row.is_some_and(|row| row.paused));
        }
        for job in declared.jobs.iter().filter(|job| job.schedule != Schedule::Manual) {
            if self.running.values().any(|r| r.job == job.name) {
                continue;
            }
            let row = known.iter().find(|row| row.job == job.name);
            self.schedule_one(connection, lease, job, row, now).await?;
        }
        Ok(())
    }

    async fn schedule_one(
        &mut self,
        connection: &mut PgConnection,
        lease: &Lease,
        job: &Job,
        row: Option<&ScheduleRow>,
        now: DateTime<Utc>,
    ) -> Result<(), LeaderError> {
        let seen = self.seen.entry(job.name.clone()).or_default();
        if !seen.is_known {
            *seen = seen.again(connection, &job.name).await?;
        }
        let when = seen.next_due(job, row, now);
        // A paused job's next time is of no use to anybody, and moves on with the clock.
        let row = match row.filter(|row| row.paused || row.next_due_at == when) {
            Some(row) => row.clone(),
            None => history::see_job(connection, lease, &job.name, job.enabled, when).await?,
        };
        let Some(due) = when.filter(|due| *due <= now && !row.paused) else { return Ok(()) };
        if !seen.is_wanted(job, &self.world).await {
            return Ok(());
        }
        let new = NewRun {
            job: job.name.clone(),
            trigger: Trigger::Schedule,
            requested_by: self.instance.clone(),
            params: Params::default(),
            retry_of: None,
            behind_others: false,
        };
        if let Enqueued::Run(run) = history::enqueue_due(connection, lease, &new, due).await? {
            tracing::debug!(target: "batch_coordinator", run, job = job.name, "due");
        }
        Ok(())
    }
}

async fn refuse(connection: &mut PgConnection, lease: &Lease, run: i64, why: String) -> Result<(), LeaderError> {
    history::end_run(connection, lease, run, RunState::Failed, Some(&why)).await?;
    Ok(())
}

/// Waits for the lease.
async fn take(url: String, instance: String) -> Result<(PgConnection, Lease), ServingError> {
    migrate(&url).await?;
    let mut connection = serving::connect(&url).await?;
    loop {
        if let Some(lease) = Lease::acquire(&mut connection, BATCH, &instance, TTL).await? {
            return Ok((connection, lease));
        }
        telemetry::leads(false);
        tokio::time::sleep(RENEW).await;
    }
}

/// Brings the database up to date, wherever that future may be polled: it is not `Send`.
async fn migrate(url: &str) -> Result<(), ServingError> {
    let (url, handle) = (url.to_owned(), tokio::runtime::Handle::current());
    let work = move || {
        handle.block_on(async {
            let mut connection = serving::connect(&url).await?;
            serving::migrate(&mut connection).await
        })
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
