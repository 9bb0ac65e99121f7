//! The head of a run: how it is, who asked and why, what it waits for, what went wrong, and what to do about it.

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use tributary_actors::serving::history::{Run, RunState, TaskAttempt, TaskState};

use super::super::super::parts::said::{call_with, command};
use super::super::super::parts::{ago, button, call, facts, lines, state, text};
use super::super::super::shell::said_by;
use super::Seen;
use crate::inspect::runs::params;
use crate::words;

pub(super) fn head(seen: &Seen, may_act: bool, now: DateTime<Utc>) -> Markup {
    let run = &seen.detail.run;
    html! {
        @for words in waits(seen) { p.note { (words) } }
        @if seen.paused && !run.state.is_over() {
            div.note.toolbar {
                span { (run.job) " is paused: this run runs all the same, further ones only when somebody asks for them." }
                @if may_act { (resume(&run.job)) }
            }
        }
        div.card {
            (facts(&around(seen, now)))
            @if may_act { (forms(run, &seen.detail.tasks)) }
        }
        @for attempt in wrong(&seen.detail.tasks) {
            div.card.problem {
                h2 { a href={ "#task-" (attempt.task) } { (attempt.task) } ", attempt " (attempt.attempt) ": " (attempt.state.as_str().replace('_', " ")) }
                @if let Some(at) = attempt.retry_at.filter(|at| *at > now) { p.faint { "Its next attempt begins " (ago(at, now)) "." } }
                (lines(attempt.error.as_deref().unwrap_or_default()))
            }
        }
    }
}

fn resume(job: &str) -> Markup {
    button("Resume", &format!("/jobs/{job}/resume"), "", &[])
}

/// What it waits for, if it does.
fn waits(seen: &Seen) -> Vec<Markup> {
    let run = &seen.detail.run;
    let mut waits = Vec::new();
    if let Some(nobody) = &seen.nobody {
        waits.push(html! { "It is " (run.state) " and stays so: " (nobody) "." });
    }
    if let (RunState::Queued, Some(other)) = (run.state, seen.behind) {
        waits.push(html! { "It waits behind " a href={ "/runs/" (other) } { "run " (other) } ": a job runs once at a time." });
    }
    waits
}

fn around(seen: &Seen, now: DateTime<Utc>) -> Vec<(&'static str, Markup)> {
    let run = &seen.detail.run;
    let mut all = vec![
        ("State", state(run.state.as_str())),
        ("Job", html! { a href={ "/jobs/" (run.job) } { (run.job) } }),
        ("Asked for by", html! { (run.requested_by) ", " (run.trigger.as_str().replace('_', " ")) }),
        ("Asked for", ago(run.queued_at, now)),
    ];
    if let Some(of) = run.retry_of {
        all.push(("Repeats", html! { a href={ "/runs/" (of) } { "run " (of) } }));
    }
    if !seen.repeated.is_empty() {
        all.push(("Repeated by", html! { @for id in &seen.repeated { a href={ "/runs/" (id) } { "run " (id) } " " } }));
    }
    let only = params(&run.params);
    if !only.is_empty() {
        all.push(("Only", text(only)));
    }
    if let Some(started) = run.started_at {
        let waited = words::between(Some(run.queued_at), Some(started), now);
        all.push(("Began", html! { (ago(started, now)) ", after " (waited) " in the queue" }));
        all.push((if run.state.is_over() { "Took" } else { "For" }, text(words::between(Some(started), run.ended_at, now))));
    }
    if let Some(leader) = &run.leader {
        let epoch = run.epoch.map_or_else(String::new, |epoch| format!(" (epoch {epoch})"));
        all.push(("Run by", text(format!("{leader}{epoch}"))));
    }
    if let (Some(at), Some(by)) = (run.cancel_requested_at, &run.cancel_requested_by) {
        let what = if run.state.is_over() { "" } else { "; it ends at its next step" };
        all.push(("Cancelled", html! { "by " (by) ", " (ago(at, now)) (what) }));
    }
    if let Some(message) = &run.message {
        // The tasks that went wrong say the rest themselves, below.
        let is_said_below = !wrong(&seen.detail.tasks).is_empty();
        all.push(("Says", if is_said_below { text(words::first_line(message, 160)) } else { text(message) }));
    }
    all
}

fn forms(run: &Run, tasks: &[TaskAttempt]) -> Markup {
    let id = run.id;
    match run.state {
        RunState::Queued | RunState::Running if run.cancel_requested_at.is_none() => html! {
            div.toolbar {
                (button("Cancel run", &format!("/runs/{id}/cancel"), "danger", &[]))
                (said_by(&format!("tributary runs cancel {id}")))
                (call("POST", &format!("/api/v1/runs/{id}/cancel")))
            }
        },
        RunState::Failed | RunState::Cancelled => html! {
            form.toolbar method="post" action={ "/runs/" (id) "/retry" } {
                button.button.primary type="submit" { "Retry" }
                label { "from "
                    select name="from_task" data-flag="--from-task" data-key="from_task" {
                        option value="" { "what it has not done" }
                        @for task in names(run, tasks) { option value=(task) { (task) } }
                    }
                }
                (command(&format!("tributary runs retry {id}"), "", ""))
                (call_with(&format!("/api/v1/runs/{id}/retry"), "{}", "{}"))
            }
        },
        _ => html! {},
    }
}

/// The tasks of its plan; without one, those that were begun.
fn names<'r>(run: &'r Run, tasks: &'r [TaskAttempt]) -> Vec<&'r str> {
    let mut names: Vec<&str> = run.plan.iter().map(|task| task.name.as_str()).collect();
    if names.is_empty() {
        names = tasks.iter().map(|task| task.task.as_str()).collect();
        names.dedup();
    }
    names
}

/// The newest attempts of tasks that went wrong, as far as they say why themselves.
fn wrong(tasks: &[TaskAttempt]) -> Vec<&TaskAttempt> {
    let newest = |a: &TaskAttempt| tasks.iter().filter(|b| b.task == a.task).all(|b| b.attempt <= a.attempt);
    let is_wrong = |a: &&TaskAttempt| matches!(a.state, TaskState::Failed | TaskState::Retrying | TaskState::Interrupted);
    tasks.iter().filter(is_wrong).filter(|a| newest(a) && a.error.is_some()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::super::parts::grid::tests::run;
    use super::*;
    use crate::inspect::runs::RunDetail;

    fn seen(run: Run) -> Seen {
        let detail = RunDetail { run, tasks: Vec::new(), tests: Vec::new() };
        Seen { detail, nobody: None, behind: None, repeated: Vec::new(), paused: false, newest: Vec::new() }
    }

    #[test]
    fn a_run_that_waits_says_for_what() {
        let now = Utc::now();
        let mut seen = seen(run(17, RunState::Queued, 0, now));
        seen.nobody = Some("no process runs jobs now".into());
        seen.behind = Some(16);
        seen.paused = true;
        let html = head(&seen, true, now).into_string();
        for words in
            ["stays so: no process runs jobs now", "/runs/16", "etl is paused", ">Resume<", ">Cancel run<", "/runs/17/cancel"]
        {
            assert!(html.contains(words), "{words} is not in {html}");
        }
        assert!(!head(&seen, false, now).into_string().contains("<form"), "a console that only shows has no forms");
    }

    #[test]
    fn a_failed_run_is_repeated_from_a_task_that_somebody_chooses() {
        let now = Utc::now();
        let mut seen = seen(run(17, RunState::Failed, 4, now));
        seen.detail.run.plan = vec![history_task("silver"), history_task("checks")];
        seen.repeated = vec![18];
        let html = head(&seen, true, now).into_string();
        for words in [">Retry<", "value=\"checks\"", "/runs/18", "tributary runs retry 17"] {
            assert!(html.contains(words), "{words} is not in {html}");
        }
        assert!(!html.contains("Cancel run"));
    }

    fn history_task(name: &str) -> tributary_actors::serving::history::PlannedTask {
        tributary_actors::serving::history::PlannedTask { name: name.into(), after: Vec::new() }
    }
}
