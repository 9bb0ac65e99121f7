//! One run: how it is and what it waits for, when each task was done, what went wrong, what it says; its end, and its repetition.

mod act;
mod state;
mod tasks;

use anyhow::Result;
use chrono::Utc;
use maud::{Markup, html};
use tributary_actors::serving::history::{self, LogLine};
use tributary_actors::serving::lease;

pub(crate) use self::act::{cancel, retry};
pub(in crate::console::pages) use self::tasks::broken as broken_test;
use super::super::asked::Asked;
use super::super::doing::only_shows;
use super::super::failure::Failure;
use super::super::parts::gantt::gantt;
use super::super::shell::Page;
use super::logs;
use crate::inspect::runs::{self, RunDetail};
use crate::inspect::{leader, lines};

/// The newest lines of its log that are shown.
const LINES: u32 = 20;

/// A run and what is around it.
struct Seen {
    detail: RunDetail,
    /// Why nobody takes queued runs.
    nobody: Option<String>,
    /// The run of the same job that is before it.
    behind: Option<i64>,
    /// Runs that repeat it.
    repeated: Vec<i64>,
    /// Its job does not begin by itself for now.
    paused: bool,
    newest: Vec<LogLine>,
}

pub(crate) async fn page(asked: Asked) -> Result<Page> {
    let id = asked.number("run")?;
    // Of a job that nobody paused or resumed, its file says whether it begins by itself.
    let off: Vec<String> = asked.shared.jobs()?.jobs.into_iter().filter(|job| !job.enabled).map(|job| job.name).collect();
    let seen = asked.shared.ask(move |connection| {
        Box::pin(async move {
            let Some(detail) = runs::detail(connection, id).await? else { return Ok(None) };
            let is_over = detail.run.state.is_over();
            let held = if is_over { None } else { Some(lease::held(connection, lease::BATCH).await?) };
            let behind = if is_over { None } else { runs::first_in_line(connection, &detail.run).await? };
            let schedules = history::schedules(connection).await?;
            Ok(Some(Seen {
                nobody: held.and_then(|held| leader::nobody(held.as_ref(), Utc::now())),
                behind,
                repeated: if is_over { runs::repetitions(connection, &detail.run).await? } else { Vec::new() },
                paused: schedules
                    .iter()
                    .find(|row| row.job == detail.run.job)
                    .map_or_else(|| off.contains(&detail.run.job), |row| row.paused),
                newest: lines::newest(connection, id, &lines::Wanted::default(), None, LINES).await?,
                detail,
            }))
        })
    });
    let seen = seen.await?.ok_or_else(|| no_run(id))?;
    let RunDetail { run, tasks, tests } = &seen.detail;
    let now = Utc::now();
    let may_act = !only_shows(&asked.shared);
    let page =
        Page::new("run", format!("Run {id}"), "/jobs").below("Jobs", "/jobs").below(&run.job, format!("/jobs/{}", run.job));
    Ok(page
        .says(format!("tributary runs show {id}"))
        .live("state", state::head(&seen, may_act, now))
        .live(
            "gantt",
            html! {
                div.card {
                    h2 { "When" }
                    @match gantt(run, tasks, now) { Some(drawn) => (drawn), None => p.faint { "Nothing of it has begun." } }
                }
            },
        )
        .live("tasks", tasks::list(&seen.detail, now))
        .live("tests", tasks::tests(tests))
        .live("logs", last_lines(id, &seen.newest)))
}

fn last_lines(id: i64, newest: &[LogLine]) -> Markup {
    html! {
        div.card {
            h2 { "Log" }
            @if newest.is_empty() { p.faint { "It has said nothing yet." } } @else { (logs::lines(newest)) }
            div.toolbar {
                a.button href={ "/runs/" (id) "/logs" } { "All lines" }
                a.button.quiet href={ "/runs/" (id) "/logs.txt" } { "Download" }
            }
        }
    }
}

pub(super) fn no_run(id: i64) -> Failure {
    Failure::not_found(format!("there is no run {id}; the page Runs shows what there is. Old runs are deleted (batch.keep_runs)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_is_silent_says_so_and_leads_to_its_log() {
        let html = last_lines(17, &[]).into_string();
        assert!(html.contains("nothing yet") && html.contains("/runs/17/logs.txt"), "{html}");
        assert_eq!(no_run(3).status, 404);
    }
}
