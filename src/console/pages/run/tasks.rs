//! The tasks of a run with all their attempts, and how the tests of its models went.

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use serde_json::Value;
use tributary_actors::serving::history::{ModelTest, TaskAttempt, Versions};

use super::super::super::parts::{ago, empty, lines, state};
use crate::inspect::runs::RunDetail;
use crate::words;

/// A row for each attempt.
pub(super) fn list(detail: &RunDetail, now: DateTime<Utc>) -> Markup {
    if detail.tasks.is_empty() {
        return empty("No task yet", "The process that runs jobs lays out the tasks when it takes the run.", None);
    }
    let header = ["Task", "State", "Began", "Took", "Rows in", "Rows out", "From versions", "To versions"];
    let number = |at: usize| [3, 4, 5].contains(&at).then_some("number");
    html! {
        div.scroll role="region" aria-label="Tasks" tabindex="0" {
            table {
                thead { tr { @for (at, words) in header.iter().enumerate() { th scope="col" class=[number(at)] { (words) } } } }
                tbody {
                    @for (at, task) in detail.tasks.iter().enumerate() {
                        @let is_first = at == 0 || detail.tasks[at - 1].task != task.task;
                        tr id=[is_first.then(|| format!("task-{}", task.task))] data-state=(task.state) { (row(&detail.run.job, task, is_first, now)) }
                    }
                }
            }
        }
    }
}

fn row(job: &str, task: &TaskAttempt, is_first: bool, now: DateTime<Utc>) -> Markup {
    let id = task.run_id;
    html! {
        td {
            @if is_first { b { a href={ "/jobs/" (job) "#task-" (task.task) } title="What it does" { (task.task) } } } @else { span.faint { (task.task) } }
            @if let Some(table) = built(task) { div { a href={ "/tables/" (table) } { (table) } } }
        }
        td {
            (state(task.state.as_str()))
            div { a href={ "/runs/" (id) "/logs?task=" (task.task) "&attempt=" (task.attempt) } aria-label={ "Logs of " (task.task) ", attempt " (task.attempt) } { "attempt " (task.attempt) } }
            @if let Some(at) = task.retry_at.filter(|at| *at > now) { div.faint { "again " (ago(at, now)) } }
        }
        td { @match task.started_at { Some(at) => (ago(at, now)), None => (words::NOTHING) } }
        td.number { (words::between(task.started_at, task.ended_at, now)) }
        td.number { (words::count_or(task.rows_in)) }
        td.number { (words::count_or(task.rows_out)) }
        td { (versions(task.versions_in.as_ref())) }
        td {
            (versions(task.versions_out.as_ref()))
            @if let Some(error) = &task.error {
                details { summary { "Why" } (lines(error)) }
            }
        }
    }
}

/// The gold table that it wrote, where the task is called like it.
fn built(task: &TaskAttempt) -> Option<String> {
    let table = format!("gold.{}", task.task);
    let named = |versions: &Option<Versions>| versions.as_ref().is_some_and(|versions| versions.contains_key(&table));
    named(&task.versions_out).then_some(table)
}

/// Each table with its version, linked; what is more than fits is folded.
fn versions(versions: Option<&Versions>) -> Markup {
    const MOST: usize = 2;
    let all: Vec<(&String, &Value)> = versions.into_iter().flatten().collect();
    let (first, rest) = all.split_at(all.len().min(MOST));
    html! {
        @if all.is_empty() { span.faint { (words::NOTHING) } }
        @for (table, version) in first { div { (one(table, version)) } }
        @if !rest.is_empty() {
            details { summary { (rest.len()) " more" } @for (table, version) in rest { div { (one(table, version)) } } }
        }
    }
}

fn one(table: &str, version: &Value) -> Markup {
    let is_table = ["bronze.", "silver.", "gold."].iter().any(|layer| table.starts_with(layer));
    html! {
        @match version {
            Value::Number(number) if is_table => a href={ "/tables/" (table) "?version=" (number) } { (table) " " (number) },
            other => { (table) " " span.faint title=(other) { (words::first_line(&other.to_string(), 24)) } },
        }
    }
}

/// Failed ones in full, the others in a number.
pub(super) fn tests(tests: &[ModelTest]) -> Markup {
    let (passed, failed): (Vec<_>, Vec<_>) = tests.iter().partition(|test| test.passed);
    html! {
        div.card {
            h2 { "Tests of the models" }
            @if tests.is_empty() { p.faint { "None was run: the task that runs them was not reached, or nothing was built." } }
            @else { p { (words::plural(passed.len() as u64, "test")) " passed, " (failed.len()) " failed" } }
            @for test in failed { (broken(test)) }
            @if !passed.is_empty() {
                details { summary { "Those that passed" } ul { @for test in passed { li { "gold." (test.model) ": " (test.test) } } } }
            }
        }
    }
}

/// A test that does not hold, with some of the rows that break it.
pub(in crate::console::pages) fn broken(test: &ModelTest) -> Markup {
    let consequence = if test.severity == "fail" { "not published" } else { "a warning" };
    html! {
        div.test data-state=(if test.severity == "fail" { "failed" } else { "warn" }) {
            p {
                (state(if test.severity == "fail" { "failed" } else { "warn" })) " "
                a href={ "/tables/gold." (test.model) } { "gold." (test.model) } ": " code { (test.test) } " (" (consequence) "): "
                @match &test.error {
                    Some(error) => { "could not be run: " (error) },
                    None => { "broken by " (words::plural(u64::try_from(test.failing_rows).unwrap_or(0), "row")) },
                }
            }
            @if !test.sample.is_empty() { (lines(&test.sample.join("\n"))) }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tributary_actors::serving::history::{RunState, TaskState};

    use super::super::super::super::parts::grid::tests::run;
    use super::*;

    #[test]
    fn an_attempt_links_what_it_read_and_wrote_and_says_why_it_failed() {
        let now = Utc::now();
        let attempt = |n, state, error: Option<&str>| TaskAttempt {
            id: i64::from(n),
            run_id: 17,
            task: "kpi_dau".into(),
            place: 2,
            attempt: n,
            state,
            epoch: None,
            started_at: Some(now),
            ended_at: Some(now),
            retry_at: None,
            versions_in: Some([("silver.user_events".to_owned(), json!(17)), ("kafka".to_owned(), json!({"0": 5}))].into()),
            versions_out: Some([("gold.kpi_dau".to_owned(), json!(4))].into()),
            rows_in: Some(1_200),
            rows_out: Some(3),
            error: error.map(str::to_owned),
        };
        let tasks = vec![attempt(1, TaskState::Retrying, Some("disk <full>")), attempt(2, TaskState::Succeeded, None)];
        let html = list(&RunDetail { run: run(17, RunState::Succeeded, 1, now), tasks, tests: Vec::new() }, now).into_string();
        for words in [
            "/tables/silver.user_events?version=17",
            "/tables/gold.kpi_dau\"",
            "1,200",
            "disk &lt;full&gt;",
            "task=kpi_dau&amp;attempt=2",
        ] {
            assert!(html.contains(words), "{words} is not in {html}");
        }
        assert_eq!(html.matches("id=\"task-kpi_dau\"").count(), 1, "an address leads to one place");
    }

    #[test]
    fn a_test_that_failed_shows_rows_that_break_it() {
        let test = |passed, severity: &str| ModelTest {
            run_id: 17,
            model: "kpi_dau".into(),
            test: "not_null(event_date)".into(),
            severity: severity.into(),
            passed,
            failing_rows: 3,
            sample: vec!["null, 5".into()],
            error: None,
            checked_at: Utc::now(),
        };
        let html = super::tests(&[test(true, "fail"), test(false, "fail"), test(false, "warn")]).into_string();
        for words in ["1 test passed, 2 failed", "not published", "a warning", "broken by 3 rows", "null, 5"] {
            assert!(html.contains(words), "{words} is not in {html}");
        }
        assert!(super::tests(&[]).into_string().contains("None was run"));
    }
}
