//! Jobs: what there is to run, when each runs by itself, and how it went.

use anyhow::Result;
use chrono::{DateTime, Utc};
use maud::{Markup, html};
use tributary_core::job::{Job, Schedule};

use super::super::asked::Asked;
use super::super::doing::only_shows;
use super::super::parts::grid::squares;
use super::super::parts::{ago_or, button, call, cards, due, empty, lines, state, text};
use super::super::shell::Page;
use crate::inspect::jobs::{self, Course, Past};
use crate::words;

pub(crate) async fn page(asked: Asked) -> Result<Page> {
    let declared = asked.shared.jobs()?;
    let jobs = declared.jobs.clone();
    let known = asked.shared.ask(|connection| Box::pin(async move { Ok(jobs::courses(connection, &jobs).await?) })).await;
    let page = Page::new("jobs", "Jobs", "/jobs").says("tributary jobs list");
    let body = html! {
        @if let Err(error) = &known { p.note { "How they went is not known: " (format!("{error:#}")) } }
        @for problem in &declared.broken {
            div.card.problem {
                h2 { "A file in " code { (asked.shared.made.settings.batch.jobs_dir) } " declares no job" }
                (lines(problem))
            }
        }
        @if declared.jobs.is_empty() {
            (empty("There is no job", "A job is a TOML file in the folder batch.jobs_dir; docs/JOBS.md says what is in it.", Some("tributary jobs list")))
        } @else {
            (rows(&declared.jobs, known.ok().unwrap_or_default(), only_shows(&asked.shared), Utc::now()))
        }
    };
    let more = html! {
        p.toolbar { a.button href="/runs" { "All runs" } (call("GET", "/api/v1/jobs")) }
    };
    Ok(page.live("jobs", body).fixed("more", more))
}

fn rows(jobs: &[Job], courses: Vec<Course>, only_shows: bool, now: DateTime<Utc>) -> Markup {
    let mut courses = courses.into_iter();
    let rows: Vec<Vec<Markup>> = jobs.iter().map(|job| row(job, courses.next().as_ref(), only_shows, now)).collect();
    cards("Jobs", &["Job", "State", "Schedule", "Next run", "Last success", "Last runs", "Takes", "Actions"], &[6], &rows)
}

fn row(job: &Job, course: Option<&Course>, only_shows: bool, now: DateTime<Utc>) -> Vec<Markup> {
    let name = html! { a.name href={ "/jobs/" (job.name) } { (job.name) } div.faint { (job.description) } };
    let Some(Course { past, runs, median }) = course else {
        let unknown = || html! { span.faint { "?" } };
        return vec![name, unknown(), schedule(job), unknown(), unknown(), unknown(), unknown(), html! {}];
    };
    vec![
        name,
        html! { (state(jobs::state(past))) @if let Some(by) = paused_by(past) { div.faint { (by) } } },
        schedule(job),
        next(job, past, now),
        ago_or(past.last_success_at, now, "never"),
        if runs.is_empty() {
            html! { span.faint { "none yet" } }
        } else {
            squares(runs)
        },
        median.map_or_else(|| text(words::NOTHING), |median| text(words::duration(median))),
        if only_shows {
            html! {}
        } else {
            html! { div.toolbar { (begin(job)) (toggle(job, past, "/jobs")) } }
        },
    ]
}

/// `by ana@anvil`; none: nobody paused it.
pub(super) fn paused_by(past: &Past) -> Option<String> {
    past.paused_by.as_ref().filter(|_| past.paused).map(|by| format!("by {by}"))
}

/// When it begins by itself, in words.
pub(super) fn schedule(job: &Job) -> Markup {
    html! {
        @if let Schedule::Cron { pattern, timezone } = &job.schedule { code { (pattern) } " " span.faint { (timezone) } }
        @else { (job.schedule.words()) }
    }
}

/// When it begins by itself next.
pub(super) fn next(job: &Job, past: &Past, now: DateTime<Utc>) -> Markup {
    match past.next_due_at.filter(|due| *due > now && !past.paused && job.schedule != Schedule::Manual) {
        Some(time) => due(time, now),
        None => html! { span.faint { (jobs::next(job, past, now)) } },
    }
}

fn begin(job: &Job) -> Markup {
    button("Run now", &format!("/jobs/{}/run", job.name), "primary", &[])
}

/// Pause or Resume, whichever makes sense. `back` is the page to see afterwards.
pub(super) fn toggle(job: &Job, past: &Past, back: &str) -> Markup {
    let (label, verb) = if past.paused { ("Resume", "resume") } else { ("Pause", "pause") };
    button(label, &format!("/jobs/{}/{verb}", job.name), "quiet", &[("back", back)])
}

#[cfg(test)]
mod tests {
    use tributary_actors::serving::history::RunState;

    use super::super::super::parts::grid::tests::run;
    use super::*;

    #[test]
    fn a_job_is_shown_with_its_runs_and_what_may_be_done() {
        let now = Utc::now();
        let job = Job::builtin().remove(0);
        let course = Course { runs: vec![run(7, RunState::Failed, 5, now)], ..Course::default() };
        let html = rows(std::slice::from_ref(&job), vec![course.clone()], false, now).into_string();
        for words in ["href=\"/runs/7\"", "/jobs/lakehouse_bronze_to_gold/run", ">Pause</button>", "never"] {
            assert!(html.contains(words), "{words} is not in {html}");
        }
        let html = rows(&[job], vec![course], true, now).into_string();
        assert!(!html.contains("<form"), "a console that only shows has no buttons: {html}");
    }

    #[test]
    fn a_run_that_is_due_is_not_said_to_have_been() {
        let (now, job) = (Utc::now(), Job::builtin().remove(0));
        let past = Past { next_due_at: Some(now + chrono::TimeDelta::seconds(200)), ..Past::default() };
        let html = next(&job, &past, now).into_string();
        assert!(
            html.starts_with("<time data-due ") && html.contains("in 3 min"),
            "the browser says `now` when it is over: {html}"
        );
    }

    #[test]
    fn without_a_history_the_files_are_still_shown() {
        let html = rows(&Job::builtin(), Vec::new(), false, Utc::now()).into_string();
        assert!(html.contains("lakehouse_maintenance") && html.contains('?'), "{html}");
    }
}
