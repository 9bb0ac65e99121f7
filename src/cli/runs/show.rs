//! `tributary runs show`: one run on one screen.

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::Result;
use chrono::{DateTime, Utc};
use serde_json::json;
use tributary_actors::serving::history::{ModelTest, Run, RunState, TaskAttempt};

use super::super::desk::History;
use super::super::output;
use crate::acts::Refused;
use crate::inspect::runs::{self, RunDetail, params, versions};
use crate::words;

pub(super) async fn show(history: &mut History, id: i64, as_json: bool) -> Result<ExitCode> {
    let found = history.ask(async |connection| runs::detail(connection, id).await).await?;
    let detail = found.ok_or_else(|| Refused::no_run(id))?;
    if as_json {
        output::print_json(&json!(detail))?;
        return Ok(ExitCode::SUCCESS);
    }
    let RunDetail { run, tasks, tests } = detail;
    output::print(&text(&run, &tasks, &tests, Utc::now()))?;
    match run.state {
        RunState::Failed | RunState::Cancelled => {
            eprintln!("what it said: tributary runs logs {id} · again: tributary runs retry {id}");
        }
        RunState::Queued | RunState::Running => {
            eprintln!("what it says: tributary runs logs {id} -f · end it: tributary runs cancel {id}")
        }
        RunState::Succeeded | RunState::Skipped => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn text(run: &Run, tasks: &[TaskAttempt], tests: &[ModelTest], now: DateTime<Utc>) -> String {
    let mut text = format!("run {} of {}: {}\n", run.id, run.job, run.state);
    let mut line = |name: &str, what: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {name:<10} {what}");
    };
    let asked = format!(
        "{}, by {}, {} ({} UTC)",
        run.trigger,
        run.requested_by,
        words::ago(run.queued_at, now),
        words::moment(run.queued_at)
    );
    line("asked for", asked);
    if let Some(of) = run.retry_of {
        line("repeats", format!("run {of}"));
    }
    let differently = params(&run.params);
    if !differently.is_empty() {
        line("only", differently);
    }
    if let Some(started) = run.started_at {
        let waited = words::between(Some(run.queued_at), Some(started), now);
        let took = words::between(Some(started), run.ended_at, now);
        let so_far = if run.state.is_over() { "took" } else { "for" };
        line("began", format!("{}, after {waited} in the queue; {so_far} {took}", words::ago(started, now)));
    }
    if let Some(leader) = &run.leader {
        let epoch = run.epoch.map_or_else(String::new, |epoch| format!(" (epoch {epoch})"));
        line("run by", format!("{leader}{epoch}"));
    }
    if let (Some(at), Some(by)) = (run.cancel_requested_at, &run.cancel_requested_by) {
        line("cancelled", format!("by {by}, {}", words::ago(at, now)));
    }
    if let Some(message) = &run.message {
        line("says", message.clone());
    }
    if tasks.is_empty() {
        return text;
    }
    text += "\n";
    let rows = tasks.iter().map(|task| row(task, now)).collect();
    text += &output::table(&["TASK", "ATTEMPT", "STATE", "TOOK", "ROWS IN", "ROWS OUT", "FROM", "TO"], rows);
    for task in tasks {
        let Some(error) = &task.error else { continue };
        let again =
            task.retry_at.filter(|at| *at > now).map_or_else(String::new, |at| format!(", again {}", words::until(at, now)));
        let _ = writeln!(text, "\n{}, attempt {}, {}{again}:", task.task, task.attempt, task.state);
        error.lines().for_each(|line| _ = writeln!(text, "  {line}"));
    }
    text + &failed_tests(tests)
}

fn row(task: &TaskAttempt, now: DateTime<Utc>) -> Vec<String> {
    vec![
        task.task.clone(),
        task.attempt.to_string(),
        task.state.to_string(),
        words::between(task.started_at, task.ended_at, now),
        words::count_or(task.rows_in),
        words::count_or(task.rows_out),
        versions(task.versions_in.as_ref()),
        versions(task.versions_out.as_ref()),
    ]
}

fn failed_tests(tests: &[ModelTest]) -> String {
    let (failed, passed): (Vec<_>, Vec<_>) = tests.iter().partition(|test| !test.passed);
    if tests.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{} passed, {} failed\n", words::plural(passed.len() as u64, "test"), failed.len());
    for test in failed {
        let what = match &test.error {
            Some(error) => format!("could not be run: {error}"),
            None => format!("broken by {}", words::plural(u64::try_from(test.failing_rows).unwrap_or(0), "row")),
        };
        let consequence = if test.severity == "fail" { "not published" } else { "a warning" };
        let _ = writeln!(text, "  gold.{}: {} ({consequence}): {what}", test.model, test.test);
        test.sample.iter().for_each(|row| _ = writeln!(text, "    {row}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::super::follow::tests::attempt;
    use super::*;
    use tributary_actors::serving::history::{Params, TaskState, Trigger};

    fn failed_run(now: DateTime<Utc>) -> Run {
        Run {
            id: 17,
            job: "lakehouse_bronze_to_gold".into(),
            state: RunState::Failed,
            trigger: Trigger::Retry,
            requested_by: "ana@anvil".into(),
            params: Params { from_task: Some("kpi_dau".into()), force: true, ..Params::default() },
            plan: Vec::new(),
            retry_of: Some(16),
            due_at: None,
            queued_at: now - chrono::TimeDelta::seconds(10),
            started_at: Some(now - chrono::TimeDelta::seconds(9)),
            ended_at: Some(now - chrono::TimeDelta::seconds(5)),
            epoch: Some(3),
            leader: Some("anvil".into()),
            cancel_requested_at: None,
            cancel_requested_by: None,
            message: Some("task kpi_dau failed".into()),
        }
    }

    #[test]
    fn a_failed_run_says_why_in_full() {
        let now = Utc::now();
        let mut task = attempt(1, "kpi_dau", TaskState::Failed);
        task.error = Some("first line\nsecond line".into());
        task.versions_in = Some([("silver.user_events".to_owned(), json!(17))].into());
        let test = ModelTest {
            run_id: 17,
            model: "kpi_dau".into(),
            test: "not_null(event_date)".into(),
            severity: "fail".into(),
            passed: false,
            failing_rows: 3,
            sample: vec!["null, 5".into()],
            error: None,
            checked_at: now,
        };
        let said = text(&failed_run(now), &[task], &[test], now);
        for words in [
            "run 17 of lakehouse_bronze_to_gold: failed",
            "repeats    run 16",
            "from task kpi_dau on, by force",
            "took 4.0 s",
            "anvil (epoch 3)",
            "silver.user_events 17",
            "  first line\n  second line\n",
            "0 tests passed, 1 failed",
            "gold.kpi_dau: not_null(event_date) (not published): broken by 3 rows",
            "    null, 5",
        ] {
            assert!(said.contains(words), "{words} is not in:\n{said}");
        }
    }
}
