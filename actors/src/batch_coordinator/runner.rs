//! One run, from its first task to its last.
//!
//! What was begun is written down before it is done, what was done before the next thing is begun. A run that its leader leaves behind
//! (it died, it lost the lease, the process stops) stays `running`, and the next leader goes on with it: every task is done again, and
//! finds in the lake what is done already.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{NaiveDate, Utc};
use serde_json::json;
use tokio::sync::watch;
use tributary_core::job::{Job, ModelSources, Task, TaskError as JobError, Work};

use super::course::{Course, Next, Outcome, State, choose};
use super::recorder::{Lost, Recorder};
use super::task::{Context, Params, Report, TaskError, TaskLog};
use super::{World, checks, gold, maintenance, publish, silver};
use crate::engine::Models;
use crate::serving::history::{PlannedTask, Run, RunState, TaskEnd, TaskState, Trigger, Versions};
use crate::serving::lease::Lease;
use crate::telemetry::{JobMeter, TaskMeter};

/// Attempts at a task of one run that may be cut off by the end of their leader.
const MOST_INTERRUPTED: i32 = 10;
/// Log lines reach the history this often.
const LINES: Duration = Duration::from_millis(500);

/// Why a run is to end before its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    /// A person said so.
    Cancelled(String),
    /// The process ends; the next leader goes on.
    Left,
}

/// A run and what it needs.
pub(super) struct Runner {
    pub(super) world: Arc<World>,
    pub(super) lease: Lease,
    pub(super) run: Run,
    pub(super) job: Job,
    /// When the job's last run began: days that were over then are closed.
    pub(super) last_started: Option<chrono::DateTime<Utc>>,
    pub(super) ending: watch::Receiver<Option<Ending>>,
}

/// How a run ended for its leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ran {
    /// Like this.
    Ended(RunState),
    /// Somebody else goes on with it.
    Left,
}

impl Runner {
    /// Runs to the end.
    pub(super) async fn go(self) -> Ran {
        let mut recorder = Recorder::new(&self.world.database_url, &self.lease, self.run.id, self.ending.clone());
        let begun = Instant::now();
        match self.run_all(&mut recorder).await {
            Ok(ran) => {
                if let Ran::Ended(state) = &ran {
                    let trigger = self.run.trigger.as_str();
                    JobMeter::new(&self.job.name).ended(state.as_str(), trigger, begun.elapsed().as_secs_f64());
                }
                ran
            }
            Err(lost) => {
                tracing::warn!(target: "batch_coordinator", run = self.run.id, "{lost}");
                Ran::Left
            }
        }
    }

    async fn run_all(&self, recorder: &mut Recorder) -> Result<Ran, Lost> {
        let begun = Instant::now();
        let log = TaskLog::new(&self.job.name, None);
        let models = match self.world.engine.models(self.world.models_dir.clone(), &self.world.streams).await {
            Ok(models) => Arc::new(models),
            Err(error) => return self.fail(recorder, &log, &error.to_string()).await,
        };
        let all = match tasks(&self.job, &models) {
            Ok(all) => all,
            Err(error) => return self.fail(recorder, &log, &error.to_string()).await,
        };
        let (only, from) = (self.run.params.task.as_deref(), self.run.params.from_task.as_deref());
        let Some(tasks) = choose(&all, only, from) else {
            let known = all.iter().map(|t| t.name.as_str()).collect::<Vec<_>>().join(", ");
            let words = format!("{} has no task {}; it has: {known}", self.job.name, only.or(from).unwrap_or_default());
            return self.fail(recorder, &log, &words).await;
        };
        let plan: Vec<PlannedTask> = tasks.iter().map(|t| PlannedTask { name: t.name.clone(), after: t.after.clone() }).collect();
        recorder.lay_out(&plan).await?;
        let params = params(&self.run);
        let mut course = Course::new(tasks, self.job.retries, self.job.retry_delay);
        let mut said: BTreeMap<usize, String> = BTreeMap::new();
        let mut ending = self.ending.clone();
        loop {
            let now = begun.elapsed();
            if now >= self.job.timeout {
                let words = format!("it took longer than {:?}", self.job.timeout);
                return self.fail(recorder, &log, &words).await;
            }
            let stop = wait_for_end(&mut ending, self.job.timeout.saturating_sub(now));
            match course.next(now) {
                Next::Ended => break,
                Next::Wait(until) => {
                    tokio::select! {
                        why = stop => return self.stopped(recorder, &log, why).await,
                        () = tokio::time::sleep(until.saturating_sub(now)) => {}
                    }
                }
                Next::Run(at) => {
                    let task = course.tasks()[at].clone();
                    let attempt = recorder.start(&task.name, at).await?;
                    let bad = bad_models(&course, &models);
                    let task_log = TaskLog::new(&self.job.name, Some(&task.name));
                    let context = Context {
                        world: &self.world,
                        params: &params,
                        models: &models,
                        bad_models: &bad,
                        run: self.run.id,
                        lease: &self.lease,
                        log: task_log.clone(),
                    };
                    let since = Instant::now();
                    let mut work = std::pin::pin!(self.attempt(&context, &task, attempt.attempt));
                    let mut stop = std::pin::pin!(stop);
                    let done = loop {
                        tokio::select! {
                            biased;
                            done = &mut work => break done,
                            why = &mut stop => {
                                recorder.lines(&task_log, Some(attempt.attempt)).await?;
                                return self.stopped(recorder, &log, why).await;
                            }
                            () = tokio::time::sleep(LINES) => recorder.lines(&task_log, Some(attempt.attempt)).await?,
                        }
                    };
                    let outcome = match &done {
                        Ok(_) => Outcome::Done,
                        Err(TaskError::Nothing(_)) => Outcome::Nothing,
                        Err(TaskError::Refused(_)) => Outcome::Refused,
                        Err(TaskError::Failed(_)) => Outcome::Failed,
                    };
                    if let Err(error) = &done {
                        said.insert(at, error.to_string());
                        match outcome {
                            Outcome::Nothing => task_log.info(error.to_string()),
                            _ => task_log.error(error.to_string()),
                        }
                    }
                    if let Ok(report) = &done {
                        self.note_late(recorder, report).await?;
                    }
                    recorder.lines(&task_log, Some(attempt.attempt)).await?;
                    let state = course.ended(at, outcome, begun.elapsed());
                    let meter = TaskMeter::new(&self.job.name, &task.name);
                    if let Ok(report) = &done {
                        meter.rows(report.rows_in, report.rows_out);
                    }
                    let end = task_end(state, done, self.job.retry_delay);
                    meter.ended(end.state.as_str(), since.elapsed().as_secs_f64());
                    recorder.end_task(attempt.id, &end).await?;
                }
            }
        }
        self.conclude(recorder, &course, &said, &log).await
    }

    /// Does a task, unless its earlier attempts say that it never ends: it would take every next leader down, too.
    async fn attempt(&self, context: &Context<'_>, task: &Task, attempt: i32) -> Result<Report, TaskError> {
        let most = i32::try_from(self.job.retries).unwrap_or(i32::MAX).saturating_add(1 + MOST_INTERRUPTED);
        if attempt > most {
            return Err(TaskError::Refused(format!(
                "it was begun {} times and interrupted each time: see why the process ended then (`tributary runs logs {}`, its own log, \
                 the system's log for memory), then `tributary runs retry {}`",
                attempt - 1,
                self.run.id,
                self.run.id
            )));
        }
        execute(context, task).await
    }

    /// Days that were over when the job last ran came back: the run says so.
    async fn note_late(&self, recorder: &mut Recorder, report: &Report) -> Result<(), Lost> {
        let Some(last) = self.last_started else { return Ok(()) };
        let closed = (last.date_naive() - NaiveDate::default()).num_days();
        if self.run.trigger == Trigger::Schedule && report.days.iter().any(|d| i64::from(*d) < closed) {
            recorder.triggered_by(Trigger::LateData).await?;
        }
        Ok(())
    }

    async fn conclude(
        &self,
        recorder: &mut Recorder,
        course: &Course,
        said: &BTreeMap<usize, String>,
        log: &TaskLog,
    ) -> Result<Ran, Lost> {
        for (task, state) in course.tasks().iter().zip(course.states()) {
            match state {
                State::UpstreamFailed => {
                    recorder.pass_over(&task.name, TaskState::UpstreamFailed, "something before it failed").await?
                }
                State::Skipped => recorder.pass_over(&task.name, TaskState::Skipped, "there was nothing to do").await?,
                _ => {}
            }
        }
        let states = course.states();
        let failed: Vec<String> = (0..states.len())
            .filter(|at| states[*at] == State::Failed)
            .map(|at| format!("{}: {}", course.tasks()[at].name, said.get(&at).map_or("", String::as_str)))
            .collect();
        let (state, message) = if !failed.is_empty() {
            (RunState::Failed, Some(failed.join("\n")))
        } else if states.contains(&State::Skipped) {
            (RunState::Skipped, said.values().next().cloned())
        } else {
            (RunState::Succeeded, None)
        };
        self.end(recorder, log, state, message.as_deref()).await
    }

    async fn stopped(&self, recorder: &mut Recorder, log: &TaskLog, why: Option<Ending>) -> Result<Ran, Lost> {
        match why {
            None => self.fail(recorder, log, &format!("it took longer than {:?} and was ended", self.job.timeout)).await,
            Some(Ending::Cancelled(by)) => {
                let words = format!("cancelled by {by}");
                log.warn(words.clone());
                self.end(recorder, log, RunState::Cancelled, Some(&words)).await
            }
            Some(Ending::Left) => Ok(Ran::Left),
        }
    }

    /// The end of a run that failed, though no task of it did.
    async fn fail(&self, recorder: &mut Recorder, log: &TaskLog, words: &str) -> Result<Ran, Lost> {
        log.error(words);
        self.end(recorder, log, RunState::Failed, Some(words)).await
    }

    async fn end(&self, recorder: &mut Recorder, log: &TaskLog, state: RunState, message: Option<&str>) -> Result<Ran, Lost> {
        log.info(format!("run {} {state}", self.run.id));
        recorder.lines(log, None).await?;
        recorder.end_run(state, message).await?;
        Ok(Ran::Ended(state))
    }
}

/// A job's tasks with one for each model. A broken one has its task too, which says what is wrong with it.
pub fn tasks(job: &Job, models: &Models) -> Result<Vec<Task>, JobError> {
    let planned = models.planned.iter().map(|p| ModelSources { name: &p.model.name, sources: &p.sources });
    let broken = models.broken.keys().map(|name| ModelSources { name, sources: &[] });
    job.tasks_with(&planned.chain(broken).collect::<Vec<_>>())
}

/// Waits for somebody who wants the run ended; none when the time is over.
async fn wait_for_end(ending: &mut watch::Receiver<Option<Ending>>, left: Duration) -> Option<Ending> {
    let asked = async {
        match ending.wait_for(Option::is_some).await {
            Ok(why) => why.clone(),
            // The leader is gone without a word.
            Err(_) => Some(Ending::Left),
        }
    };
    tokio::time::timeout(left, asked).await.unwrap_or(None)
}

/// Models without a good table: broken, failed in this run, or behind one that did.
fn bad_models(course: &Course, models: &Models) -> BTreeSet<String> {
    let failed = course.tasks().iter().zip(course.states()).filter_map(|(task, state)| match (&task.work, state) {
        (Work::Models(names), State::Failed | State::UpstreamFailed) => Some(names.clone()),
        _ => None,
    });
    failed.flatten().chain(models.broken.keys().cloned()).collect()
}

fn params(run: &Run) -> Params {
    let day = |date: NaiveDate| i32::try_from((date - NaiveDate::default()).num_days()).unwrap_or(0);
    let mut days: BTreeSet<i32> = run.params.days.iter().map(|d| day(*d)).collect();
    if let (Some(from), Some(to)) = (run.params.from, run.params.to) {
        days.extend(day(from)..=day(to));
    }
    Params { days: (!days.is_empty()).then_some(days), force: run.params.force }
}

async fn execute(context: &Context<'_>, task: &Task) -> Result<Report, TaskError> {
    match &task.work {
        Work::CheckBronze => silver::check_bronze(context).await,
        Work::Silver => silver::run_all(context).await,
        Work::Models(names) => {
            let mut report = Report::default();
            for name in names {
                if let Some(problem) = context.models.broken.get(name) {
                    return Err(TaskError::Refused(problem.clone()));
                }
                let found = context.models.planned.iter().find(|p| p.model.name == *name);
                let planned = found.ok_or_else(|| TaskError::Refused(format!("there is no model {name}")))?;
                report.absorb(gold::run(context, planned).await?);
            }
            Ok(report)
        }
        Work::Checks => checks::run(context).await,
        Work::Publish => publish::run(context).await,
        upkeep => maintenance::run(context, upkeep).await,
    }
}

fn task_end(state: State, done: Result<Report, TaskError>, retry_delay: Duration) -> TaskEnd {
    let mut end = TaskEnd::new(match state {
        State::Succeeded => TaskState::Succeeded,
        State::Skipped => TaskState::Skipped,
        State::Retrying(_) => TaskState::Retrying,
        _ => TaskState::Failed,
    });
    match done {
        Ok(report) => {
            let versions = |v: BTreeMap<String, u64>| -> Option<Versions> {
                (!v.is_empty()).then(|| v.into_iter().map(|(table, version)| (table, json!(version))).collect())
            };
            end.versions_in = versions(report.versions_in);
            end.versions_out = versions(report.versions_out);
            end.rows_in = i64::try_from(report.rows_in).ok();
            end.rows_out = i64::try_from(report.rows_out).ok();
        }
        Err(error) => end.error = Some(error.to_string()),
    }
    if end.state == TaskState::Retrying {
        end.retry_in = Some(retry_delay);
    }
    end
}
