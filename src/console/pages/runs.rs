//! Runs: all of them, the newest first, of one job or in one state.

use anyhow::Result;
use chrono::{DateTime, Utc};
use maud::{Markup, html};
use tributary_actors::serving::history::{self, Run, RunState};
use url::form_urlencoded::Serializer;

use super::super::asked::Asked;
use super::super::failure::without_nul;
use super::super::parts::{ago, call, cards, empty, state, text};
use super::super::shell::Page;
use crate::inspect::runs::params;
use crate::words;

/// Runs on a page.
const LIMIT: u32 = 50;

pub(crate) async fn page(asked: Asked) -> Result<Page> {
    let written = asked.word("job").map(str::to_owned);
    without_nul(written.as_deref())?;
    let jobs: Vec<String> = asked.shared.jobs()?.jobs.into_iter().map(|job| job.name).collect();
    // A job whose file is gone has runs all the same.
    let job = written.map(|name| asked.shared.job(&name).map_or(name, |job| job.name));
    let in_state: Option<RunState> = asked.parsed("state")?;
    let before: Option<i64> = asked.parsed("before")?;
    let which = history::Which { job: job.clone(), states: in_state.into_iter().collect(), before, limit: LIMIT };
    let runs = asked.shared.ask(|connection| Box::pin(async move { Ok(history::runs(connection, &which).await?) })).await?;
    let page = Page::new("runs", "Runs", "/jobs").below("Jobs", "/jobs").says(command(job.as_deref(), in_state));
    Ok(page
        .fixed("filter", filter(&jobs, job.as_deref(), in_state))
        .live("runs", body(&runs, job.as_deref(), in_state, before, Utc::now()))
        .fixed("more", html! { p { (call("GET", "/api/v1/runs?limit=50")) } }))
}

fn command(job: Option<&str>, in_state: Option<RunState>) -> String {
    let job = job.map_or_else(String::new, |job| format!(" --job {job}"));
    let in_state = in_state.map_or_else(String::new, |state| format!(" --state {state}"));
    format!("tributary runs list{job}{in_state}")
}

fn filter(jobs: &[String], job: Option<&str>, in_state: Option<RunState>) -> Markup {
    let unlisted = job.filter(|job| !jobs.iter().any(|known| known == job));
    html! {
        form.filter method="get" action="/runs" {
            label { "Job "
                select name="job" {
                    option value="" { "all" }
                    @for name in jobs.iter().map(String::as_str).chain(unlisted) { option value=(name) selected[job == Some(name)] { (name) } }
                }
            }
            label { "State "
                select name="state" {
                    option value="" { "all" }
                    @for state in RunState::ALL { option value=(state) selected[in_state == Some(*state)] { (state) } }
                }
            }
            button.button type="submit" { "Show" }
        }
    }
}

fn body(runs: &[Run], job: Option<&str>, in_state: Option<RunState>, before: Option<i64>, now: DateTime<Utc>) -> Markup {
    let address = |before: Option<i64>| {
        let mut query = Serializer::new(String::new());
        query.extend_pairs(job.map(|job| ("job", job))).extend_pairs(in_state.map(|state| ("state", state.as_str())));
        query.extend_pairs(before.map(|before| ("before", before.to_string())));
        format!("/runs?{}", query.finish())
    };
    if runs.is_empty() {
        let command = format!("tributary run {}", job.unwrap_or("JOB"));
        return empty(
            "No such run",
            "Runs begin by their job's schedule, or when somebody asks for one on the job's page.",
            Some(&command),
        );
    }
    let rows: Vec<Vec<Markup>> = runs.iter().map(|run| row(run, now)).collect();
    html! {
        (cards("Runs", &["Run", "Job", "State", "Asked for by", "Began", "Took", "Says"], &[5], &rows))
        div.toolbar {
            @if before.is_some() { a.button href=(address(None)) { "Newest" } }
            @if runs.len() >= LIMIT as usize { a.button href=(address(runs.last().map(|run| run.id))) { "Older" } }
        }
    }
}

fn row(run: &Run, now: DateTime<Utc>) -> Vec<Markup> {
    let only = params(&run.params);
    vec![
        html! { a.name href={ "/runs/" (run.id) } { (run.id) } },
        html! { a href={ "/jobs/" (run.job) } { (run.job) } @if !only.is_empty() { div.faint { (only) } } },
        state(run.state.as_str()),
        html! { (run.requested_by) div.faint { (run.trigger.as_str().replace('_', " ")) } },
        match (run.started_at, run.state) {
            (Some(started), _) => ago(started, now),
            (None, RunState::Queued) => html! { "queued " (ago(run.queued_at, now)) },
            (None, _) => text(words::NOTHING),
        },
        text(words::between(run.started_at, run.ended_at, now)),
        html! { (words::first_line(run.message.as_deref().unwrap_or_default(), 100)) },
    ]
}

#[cfg(test)]
mod tests {
    use super::super::super::parts::grid::tests::run;
    use super::*;

    #[test]
    fn older_runs_are_asked_for_with_the_same_filter() {
        let now = Utc::now();
        let runs: Vec<Run> = (1..=50).rev().map(|id| run(id, RunState::Failed, 3, now)).collect();
        let html = body(&runs, Some("a&b"), Some(RunState::Failed), None, now).into_string();
        assert!(html.contains("/runs?job=a%26b&amp;state=failed&amp;before=1\""), "{html}");
        assert!(html.contains("href=\"/runs/50\"") && !html.contains("Newest"));
        assert!(
            body(&runs[..3], None, None, Some(9), now).into_string().contains("href=\"/runs?\">Newest"),
            "back to the newest"
        );
    }

    #[test]
    fn a_filter_keeps_a_job_whose_file_is_gone() {
        let html = filter(&["etl".into()], Some("gone"), None).into_string();
        assert!(html.contains("value=\"gone\" selected"), "{html}");
        assert_eq!(command(Some("etl"), Some(RunState::Failed)), "tributary runs list --job etl --state failed");
    }
}
