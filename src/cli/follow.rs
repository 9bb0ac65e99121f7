//! Following a run to its end: each change of a task on stderr, the outcome on stdout.
//!
//! Looks at the history again and again; whoever runs the job does not know of it. Ends with 0 when the run succeeded or had nothing to
//! do, else with 1.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use chrono::Utc;
use tributary_actors::serving::history::{self, Run, RunState, TaskAttempt, TaskState};

use super::desk::{History, nobody_leads};
use super::output;
use crate::inspect::runs::first_in_line;
use crate::words;

/// Between two looks: a person sees a change as it happens, and PostgreSQL does not notice.
const LOOK: Duration = Duration::from_millis(250);
/// How long there may be no leader before somebody who waits is told: a new one needs as long as a lease lasts.
pub(crate) const NO_LEADER: Duration = Duration::from_secs(15);

/// Waits for the end of a run.
pub(crate) async fn follow(history: &mut History, id: i64) -> Result<ExitCode> {
    eprintln!("following run {id}; Ctrl-C ends the following, not the run (`tributary runs cancel {id}` does)");
    let mut seen = BTreeMap::new();
    let mut leaderless: Option<Instant> = None;
    let mut behind = None;
    loop {
        let (run, tasks) = look(history, id).await?;
        for task in changes(&mut seen, &tasks) {
            eprintln!("{}", line(task));
        }
        if run.state.is_over() {
            output::print(&outcome(&run))?;
            return Ok(ended(&run));
        }
        match nobody_leads(history).await? {
            None => leaderless = None,
            Some(why) if leaderless.get_or_insert_with(Instant::now).elapsed() > NO_LEADER => {
                bail!("run {id} is {} and stays so: {why}. `tributary runs cancel {id}` takes it back", run.state);
            }
            Some(_) => {}
        }
        if run.state == RunState::Queued {
            let before = history.ask(async |connection| first_in_line(connection, &run).await).await?;
            if before.is_some() && before != behind {
                eprintln!("waits behind run {}", before.unwrap_or_default());
            }
            behind = before;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits until somebody leads, or says why nobody does.
pub(crate) async fn wait_for_a_leader(history: &mut History, patience: Duration) -> Result<Option<String>> {
    let begin = Instant::now();
    loop {
        let nobody = nobody_leads(history).await?;
        if nobody.is_none() || begin.elapsed() >= patience {
            return Ok(nobody);
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn look(history: &mut History, id: i64) -> Result<(Run, Vec<TaskAttempt>)> {
    // The run first: what its tasks are afterwards is at least as new, so that the last change is not missed when it is over.
    let Some(run) = history.ask(async |connection| history::run(connection, id).await).await? else {
        bail!("run {id} is no longer in the history");
    };
    let tasks = history.ask(async |connection| history::tasks(connection, id).await).await?;
    Ok((run, tasks))
}

/// Attempts whose state is another one than when they were seen last.
fn changes<'t>(seen: &mut BTreeMap<i64, TaskState>, tasks: &'t [TaskAttempt]) -> Vec<&'t TaskAttempt> {
    tasks.iter().filter(|task| task.state != TaskState::Queued && seen.insert(task.id, task.state) != Some(task.state)).collect()
}

fn line(task: &TaskAttempt) -> String {
    let mut line = format!("  {:<28} {}", task.task, task.state);
    if task.attempt > 1 {
        line += &format!(" (attempt {})", task.attempt);
    }
    if task.state.is_over() && task.started_at.is_some() {
        line += &format!(" in {}", words::between(task.started_at, task.ended_at, Utc::now()));
    }
    if let (Some(read), Some(written)) = (task.rows_in, task.rows_out) {
        line += &format!(", {} rows read, {} written", words::count_or(Some(read)), words::count_or(Some(written)));
    }
    if let Some(retry_at) = task.retry_at {
        line += &format!(", again {}", words::until(retry_at, Utc::now()));
    }
    if let Some(error) = &task.error {
        line += &format!(": {}", words::first_line(error, 160));
    }
    line
}

fn outcome(run: &Run) -> String {
    let took = words::between(run.started_at, run.ended_at, Utc::now());
    let mut text = format!("run {} of {} {}", run.id, run.job, run.state);
    if run.started_at.is_some() {
        text += &format!(" in {took}");
    }
    if let Some(message) = &run.message {
        text += &format!(": {message}");
    }
    text + "\n"
}

fn ended(run: &Run) -> ExitCode {
    match run.state {
        RunState::Succeeded | RunState::Skipped => ExitCode::SUCCESS,
        _ => {
            eprintln!("what happened: tributary runs show {0} · again: tributary runs retry {0}", run.id);
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::cli) fn attempt(id: i64, task: &str, state: TaskState) -> TaskAttempt {
        crate::inspect::runs::tests::attempt(id, task, 1, state)
    }

    #[test]
    fn a_change_is_said_once() {
        let mut seen = BTreeMap::new();
        let mut tasks = vec![attempt(1, "silver", TaskState::Running), attempt(2, "checks", TaskState::Queued)];
        assert_eq!(changes(&mut seen, &tasks).len(), 1);
        assert_eq!(changes(&mut seen, &tasks).len(), 0);
        tasks[0].state = TaskState::Succeeded;
        tasks[1].state = TaskState::Running;
        assert_eq!(changes(&mut seen, &tasks).iter().map(|t| t.task.as_str()).collect::<Vec<_>>(), ["silver", "checks"]);
    }

    #[test]
    fn a_line_says_what_failed_and_when_it_is_tried_again() {
        let mut task = attempt(1, "silver", TaskState::Retrying);
        task.attempt = 2;
        task.retry_at = Some(Utc::now() + chrono::TimeDelta::seconds(100));
        task.error = Some("the disk is full\nand more".into());
        let said = line(&task);
        assert!(said.contains("retrying (attempt 2), again in ") && said.ends_with(": the disk is full…"), "{said}");
    }
}
