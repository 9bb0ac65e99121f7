//! Runs that failed and that nothing has mended since.
//!
//! A later run mends an earlier one when it did all that the other had left: the first task that came to nothing, and everything after
//! it. A run of one task alone mends that task and not what follows, so it does not make a failed run a good one.

use sqlx::PgConnection;
use tributary_actors::serving::ServingError;
use tributary_actors::serving::history::{self, Params, Run, RunState, TaskAttempt, TaskState, Which};
use tributary_core::job::Job;

use crate::words;

/// Runs of a job that are looked through: those since the last one that did everything.
const RUNS: u32 = 50;
/// Letters of what a run said.
const LETTERS: usize = 160;

/// A run that failed, with what it left undone.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Unmended {
    /// The run.
    pub(crate) run: Run,
    /// A person must change something first: the same again fails the same.
    pub(crate) by_person: bool,
}

impl Unmended {
    /// What happened, in one line.
    pub(crate) fn words(&self) -> String {
        let only = super::runs::params(&self.run.params);
        let only = if only.is_empty() { only } else { format!(" ({only})") };
        let why = self.run.message.as_deref().map_or_else(String::new, |said| format!(": {}", words::first_line(said, LETTERS)));
        format!("run {} of {}{only} failed, and no later run did what it left{why}", self.run.id, self.run.job)
    }

    /// What does it again.
    pub(crate) fn retry(&self) -> String {
        format!("tributary runs retry {}", self.run.id)
    }
}

/// Those of these jobs, the newest of each job first.
pub(crate) async fn unmended(connection: &mut PgConnection, jobs: &[Job]) -> Result<Vec<Unmended>, ServingError> {
    let mut all = Vec::new();
    for job in jobs {
        let states = vec![RunState::Succeeded, RunState::Failed];
        let which = Which { job: Some(job.name.clone()), states, limit: RUNS, ..Which::default() };
        let runs = history::runs(connection, &which).await?;
        for (at, run) in up_to_whole(&runs).iter().enumerate().filter(|(_, run)| run.state == RunState::Failed) {
            let attempts = history::tasks(connection, run.id).await?;
            if !runs[..at].iter().any(|later| does_all_of(later, run, &attempts)) {
                all.push(Unmended { run: run.clone(), by_person: needs_person(job, &attempts) });
            }
        }
    }
    Ok(all)
}

/// The newest runs, up to the first that did everything: whatever was before it is in it.
fn up_to_whole(newest_first: &[Run]) -> &[Run] {
    let last = newest_first.iter().position(|run| is_whole(&run.params));
    last.and_then(|last| newest_first.get(..=last)).unwrap_or(newest_first)
}

/// Whether a run was asked for everything that there is to do.
fn is_whole(params: &Params) -> bool {
    params.task.is_none() && params.from_task.is_none() && is_of_all_days(params)
}

fn is_of_all_days(params: &Params) -> bool {
    params.days.is_empty() && params.from.is_none() && params.to.is_none()
}

/// Whether a later run was to do all that a failed one left; how it went itself is another question.
fn does_all_of(later: &Run, failed: &Run, attempts: &[TaskAttempt]) -> bool {
    if is_whole(&later.params) {
        return true;
    }
    let days = |params: &Params| (params.days.clone(), params.from, params.to);
    let same_days = is_of_all_days(&later.params) || days(&later.params) == days(&failed.params);
    let left = left(failed, attempts);
    same_days && !left.is_empty() && left.iter().all(|name| later.plan.iter().any(|task| task.name == *name))
}

/// The first task of its plan that did not succeed, and those after it; none: it is not known which.
fn left<'r>(run: &'r Run, attempts: &[TaskAttempt]) -> Vec<&'r str> {
    let is_done = |name: &str| newest(attempts, name).is_some_and(|attempt| attempt.state == TaskState::Succeeded);
    run.plan.iter().map(|task| task.name.as_str()).skip_while(|name| is_done(name)).collect()
}

fn newest<'a>(attempts: &'a [TaskAttempt], task: &str) -> Option<&'a TaskAttempt> {
    attempts.iter().filter(|attempt| attempt.task == task).max_by_key(|attempt| attempt.attempt)
}

/// What another attempt may help is tried as often as the job says. A task that failed before was refused: a broken model, a test that
/// does not hold, a key that is there twice. So was a run that could not even be laid out.
fn needs_person(job: &Job, attempts: &[TaskAttempt]) -> bool {
    let tries = i32::try_from(job.retries).unwrap_or(i32::MAX).saturating_add(1);
    let failed = || attempts.iter().filter(|attempt| attempt.state == TaskState::Failed);
    // Where nothing is ever tried again, both look alike, and to look first is never wrong.
    attempts.is_empty() || failed().any(|attempt| attempt.attempt < tries || tries == 1)
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use tributary_actors::serving::history::PlannedTask;

    use super::super::runs;
    use super::*;

    const PLAN: [&str; 4] = ["silver", "kpi_dau", "checks", "publish"];

    fn run(id: i64, state: RunState, params: Params, plan: &[&str]) -> Run {
        let plan = plan.iter().map(|name| PlannedTask { name: (*name).to_owned(), after: Vec::new() }).collect();
        Run { params, plan, message: Some("checks: gold.kpi_dau: no\nmore".into()), ..runs::tests::run(id, state) }
    }

    fn attempt(task: &str, attempt: i32, state: TaskState) -> TaskAttempt {
        runs::tests::attempt(1, task, attempt, state)
    }

    /// Run 8 did silver and the model; a test failed, and what could be published was.
    fn failed() -> (Run, Vec<TaskAttempt>) {
        let done = |task, state| attempt(task, 1, state);
        let attempts = vec![
            done("silver", TaskState::Succeeded),
            done("kpi_dau", TaskState::Succeeded),
            done("checks", TaskState::Failed),
            done("publish", TaskState::Succeeded),
        ];
        (run(8, RunState::Failed, Params::default(), &PLAN), attempts)
    }

    #[test]
    fn one_task_alone_mends_no_run_and_all_from_the_failed_one_on_does() {
        let (failed, attempts) = failed();
        assert_eq!(left(&failed, &attempts), ["checks", "publish"]);
        let later = |params, plan: &[&str]| does_all_of(&run(9, RunState::Succeeded, params, plan), &failed, &attempts);
        let task = |name: &str| Params { task: Some(name.into()), ..Params::default() };
        let from = |name: &str| Params { from_task: Some(name.into()), ..Params::default() };
        assert!(!later(task("kpi_dau"), &["kpi_dau"]) && !later(task("checks"), &["checks"]));
        assert!(!later(from("publish"), &["publish"]) && later(from("checks"), &["checks", "publish"]));
        assert!(later(from("kpi_dau"), &["kpi_dau", "checks", "publish"]) && later(Params::default(), &PLAN));
        let some_days = Params { days: vec![Utc::now().date_naive()], ..Params::default() };
        assert!(!later(some_days, &PLAN), "other days than the failed run had");
    }

    #[test]
    fn a_run_that_was_never_laid_out_is_mended_by_a_whole_one_alone() {
        let failed = run(8, RunState::Failed, Params::default(), &[]);
        let one = Params { from_task: Some("checks".into()), ..Params::default() };
        assert!(!does_all_of(&run(9, RunState::Succeeded, one, &["checks", "publish"]), &failed, &[]));
        assert!(does_all_of(&run(9, RunState::Succeeded, Params::default(), &PLAN), &failed, &[]));
    }

    #[test]
    fn what_was_before_a_whole_run_is_not_looked_at() {
        let one = Params { task: Some("kpi_dau".into()), ..Params::default() };
        let runs = [
            run(9, RunState::Succeeded, one.clone(), &["kpi_dau"]),
            run(8, RunState::Failed, Params::default(), &PLAN),
            run(7, RunState::Failed, one, &["kpi_dau"]),
        ];
        assert_eq!(up_to_whole(&runs).iter().map(|run| run.id).collect::<Vec<_>>(), [9, 8]);
        assert_eq!(up_to_whole(&runs[..1]).len(), 1);
    }

    #[test]
    fn what_is_not_tried_again_by_itself_waits_for_a_person() {
        let job = Job::builtin().remove(0);
        let tries = i32::try_from(job.retries).unwrap() + 1;
        assert!(tries > 1 && needs_person(&job, &[attempt("checks", 1, TaskState::Failed)]) && needs_person(&job, &[]));
        assert!(!needs_person(&job, &[attempt("publish", tries, TaskState::Failed)]), "PostgreSQL was away");
        assert!(needs_person(&Job { retries: 0, ..job }, &[attempt("publish", 1, TaskState::Failed)]));
    }

    #[test]
    fn it_is_said_in_one_line_with_what_it_was_asked_for() {
        let (run, _) = failed();
        let said = Unmended { run, by_person: true };
        assert_eq!(said.words(), "run 8 of etl failed, and no later run did what it left: checks: gold.kpi_dau: no…");
        assert_eq!(said.retry(), "tributary runs retry 8");
    }
}
