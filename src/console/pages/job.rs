//! One job: how it is, how its runs went task by task, what its tasks do, and everything that may be done to it.

mod act;
mod forms;
mod tasks;

use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, Utc};
use maud::{Markup, html};
use tributary_actors::serving::history::Run;
use tributary_core::job::Job;

pub(in crate::console::pages) use self::act::word;
pub(crate) use self::act::{backfill, pause, resume, run};
use super::super::asked::Asked;
use super::super::doing::{only_shows, plan};
use super::super::parts::chart::{Chart, Line, chart};
use super::super::parts::{ago, ago_or, call, empty, facts, lines, state, text};
use super::super::shell::{Page, said_by};
use super::jobs::{next, paused_by, schedule, toggle};
use crate::console::encoded;
use crate::inspect::grid::{Grid, took};
use crate::inspect::jobs::{self, Past};
use crate::words;

/// Columns of the grid.
const RUNS: u32 = 30;

pub(crate) async fn page(asked: Asked) -> Result<Page> {
    if let Some(problem) = asked.shared.broken_job(asked.name("job"))? {
        return Ok(unreadable(asked.name("job"), &problem));
    }
    let job = asked.shared.job(asked.name("job"))?;
    let name = job.name.clone();
    let of = job.clone();
    let question = asked.shared.ask(|connection| {
        Box::pin(async move {
            let (past, _) = jobs::past(connection, &of).await?;
            Ok((past, crate::inspect::grid::grid(connection, &of.name, RUNS).await?))
        })
    });
    let (known, plan) = tokio::join!(question, plan(&asked.shared, &job));
    let (may_act, now) = (!only_shows(&asked.shared), Utc::now());
    let (problem, known) = match known {
        Ok(known) => (None, Some(known)),
        Err(error) => (Some(format!("{error:#}")), None),
    };
    let history = known.as_ref();
    let grid = history.map(|(_, grid)| grid);
    let planned = plan.as_ref().map_or(&job.tasks, |plan| &plan.tasks);
    let mut page = Page::new("job", &job.name, "/jobs").below("Jobs", "/jobs").says(format!("tributary jobs show {name}"));
    page.charts = true;
    Ok(page
        .live("state", head(&job, history, problem.as_deref(), may_act, now))
        .fixed("forms", forms::all(&job, planned, may_act))
        .live("grid", tasks::grid(&job, grid, planned, now))
        .live("durations", durations(grid))
        .live("graph", tasks::graph(planned, grid))
        .live("tasks", tasks::list(&job, plan.as_ref(), grid)))
}

/// A job whose file cannot be read: what is wrong with the file, and where its runs are.
fn unreadable(name: &str, problem: &str) -> Page {
    let words = html! {
        div.card.problem {
            h2 { "Its file cannot be read, so there is no such job until it is mended" }
            (lines(problem))
            p { "It does not begin by itself meanwhile, and nobody can run it. " a href={ "/runs?job=" (encoded(name)) } { "Its earlier runs" } }
        }
    };
    Page::new("job", name, "/jobs").below("Jobs", "/jobs").says("tributary jobs list").live("state", words)
}

fn head(job: &Job, known: Option<&(Past, Grid)>, problem: Option<&str>, may_act: bool, now: DateTime<Utc>) -> Markup {
    html! {
        @if let Some(problem) = problem { p.note { "How it went is not known: " (problem) } }
        div.card {
            p.lead { (job.description) }
            @if let Some((past, grid)) = known {
                (facts(&[
                    ("State", html! { (state(jobs::state(past))) @if let Some(by) = paused_by(past) { " " (by) " " (ago_or(past.paused_at, now, "")) } }),
                    ("Schedule", schedule(job)),
                    ("Next run", next(job, past, now)),
                    ("Last success", ago_or(past.last_success_at, now, "never")),
                    ("Last run", grid.runs.last().map_or_else(|| html! { span.faint { "none yet" } }, |run| last(run, now))),
                    ("Takes", text(grid.median.map_or_else(|| words::NOTHING.into(), words::duration))),
                    ("Owner", text(&job.owner)),
                    ("Retries", text(retries(job))),
                    ("File", html! { code { (job.file) } }),
                ]))
                @if may_act {
                    div.toolbar {
                        (toggle(job, past, ""))
                        @if past.paused { span.faint { "It does not begin by itself. Run now runs it all the same." } }
                        a.button.quiet href={ "/runs?job=" (job.name) } { "All its runs" }
                        @let verb = if past.paused { "resume" } else { "pause" };
                        (said_by(&format!("tributary jobs {verb} {}", job.name)))
                        (call("POST", &format!("/api/v1/jobs/{}/{verb}", job.name)))
                    }
                }
            } @else {
                (facts(&[("Schedule", schedule(job)), ("Owner", text(&job.owner)), ("Retries", text(retries(job)))]))
            }
        }
    }
}

fn last(run: &Run, now: DateTime<Utc>) -> Markup {
    html! {
        a href={ "/runs/" (run.id) } { "run " (run.id) } " " (state(run.state.as_str())) " "
        (ago(run.ended_at.or(run.started_at).unwrap_or(run.queued_at), now))
    }
}

fn retries(job: &Job) -> String {
    let tries = match job.retries {
        0 => "none".to_owned(),
        n => format!("{n} of each task, {} after it failed", words::duration(job.retry_delay)),
    };
    format!("{tries}; ends after {}", words::duration(job.timeout))
}

/// How long runs took, one after the other.
fn durations(grid: Option<&Grid>) -> Markup {
    let over = |run: &&Run| run.state.is_over() && run.started_at.is_some();
    let mut runs: Vec<&Run> = grid.into_iter().flat_map(|grid| &grid.runs).filter(over).collect();
    // A run that waited behind another one may have begun after a later one.
    runs.sort_by_key(|run| run.started_at);
    if runs.len() < 2 {
        return html! { div.card { h2 { "Durations" } p.faint { "A trend needs two runs that are over." } } };
    }
    let seconds = |time: Duration| (time.as_secs_f64() * 100.0).round() / 100.0;
    let times: Vec<i64> = runs.iter().filter_map(|run| run.started_at).map(|at| at.timestamp()).collect();
    let each = runs.iter().map(|run| took(run, run.ended_at.unwrap_or_default()).map(seconds)).collect();
    let median = grid.and_then(|grid| grid.median).map(seconds);
    let mut drawn = vec![Line { name: "run".into(), values: each }];
    drawn.extend(median.map(|median| Line { name: "median".into(), values: vec![Some(median); times.len()] }));
    let name = "Seconds that each run took".to_owned();
    html! {
        div.card {
            h2 { "Seconds that each run took" }
            (chart(&Chart { name, times, lines: drawn, unit: "s", stacked: false }))
        }
    }
}

/// What is wrong with the models or with the tasks, in full.
fn broken(words: &str) -> Markup {
    html! { div.card.problem { (lines(words)) } }
}

/// The place of a grid without runs.
fn no_runs(job: &str) -> Markup {
    let command = format!("tributary run {job}");
    empty("No run yet", "It has not begun by itself and nobody asked for it: Run now, or wait for its schedule.", Some(&command))
}

#[cfg(test)]
mod tests {
    use tributary_actors::serving::history::RunState;

    use super::super::super::parts::grid::tests::run;
    use super::*;

    #[test]
    fn a_paused_job_says_by_whom_and_that_it_runs_when_asked() {
        let now = Utc::now();
        let job = Job::builtin().remove(0);
        let past = Past { paused: true, paused_by: Some("ana@anvil".into()), paused_at: Some(now), ..Past::default() };
        let html = head(&job, Some(&(past.clone(), Grid::default())), None, true, now).into_string();
        for words in ["by ana@anvil", "Run now runs it all the same", ">Resume</button>", "data-state=\"paused\""] {
            assert!(html.contains(words), "{words} is not in {html}");
        }
        assert!(!head(&job, Some(&(past, Grid::default())), None, false, now).into_string().contains("<form"));
    }

    #[test]
    fn a_job_whose_file_is_broken_has_a_page_that_says_so() {
        let page = unreadable("nightly", "jobs/nightly.toml, line 3: schedule: <x>\n  | here");
        let html = &page.parts[0].html.0;
        assert!(
            html.contains("nightly.toml, line 3") && html.contains("&lt;x&gt;") && html.contains("/runs?job=nightly"),
            "{html}"
        );
        assert_eq!(page.status, 200);
    }

    #[test]
    fn a_trend_is_of_runs_that_are_over() {
        let now = Utc::now();
        let runs =
            vec![run(1, RunState::Succeeded, 10, now), run(2, RunState::Failed, 30, now), run(3, RunState::Running, 0, now)];
        let html = durations(Some(&Grid { runs, median: Some(Duration::from_secs(10)), ..Grid::default() })).into_string();
        assert!(html.contains("[10.0,30.0]") && html.contains("median"), "{html}");
        assert!(durations(None).into_string().contains("two runs"));
    }
}
