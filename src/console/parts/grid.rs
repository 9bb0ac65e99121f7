//! Runs as small squares: the last ones of a job in a row, and the grid of runs and tasks with a bar for how long each run took.
//!
//! Each square is a link with a name, by its shape and by its colour. Of the grid, only the heads of columns and rows are reached by Tab:
//! the squares say the same as the page of the run, and there may be hundreds.

use std::time::Duration;

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use tributary_actors::serving::history::Run;

use super::shape;
use crate::inspect::grid::{Grid, took};
use crate::words;

/// Width of a column and height of its bar.
const WIDE: u32 = 20;
const HIGH: u32 = 56;

/// The newest runs of a job, given as the newest first, shown with the newest on the right.
pub(crate) fn squares(newest_first: &[Run]) -> Markup {
    html! {
        span.squares {
            @for run in newest_first.iter().rev() {
                a.square data-state=(run.state) href={ "/runs/" (run.id) } aria-label=(name(run)) title=(name(run)) {
                    (shape(run.state.as_str()))
                }
            }
        }
    }
}

/// `run 17: failed, 2026-11-26 10:00:00 UTC, took 20 s`. The moment and not its age, which would be news every two seconds.
pub(crate) fn name(run: &Run) -> String {
    let since = run.ended_at.or(run.started_at).unwrap_or(run.queued_at);
    let took = over(run).map_or_else(String::new, |took| format!(", took {}", words::duration(took)));
    format!("run {}: {}, {} UTC{took}", run.id, run.state, words::moment(since))
}

/// How long it took, when it is over.
fn over(run: &Run) -> Option<Duration> {
    took(run, run.ended_at?)
}

/// The grid of a job: a column for each run, the newest on the right, a row for each of these tasks.
pub(crate) fn grid(grid: &Grid, tasks: &[String], now: DateTime<Utc>) -> Markup {
    // Of those that are over: the scale stands still while a run goes on.
    let longest = grid.runs.iter().filter_map(over).chain(grid.median).max().unwrap_or_default();
    html! {
        div.scroll.newest role="region" aria-label="Runs and their tasks" tabindex="0" {
            table.grid {
                thead {
                    tr {
                        th scope="col" { (scale(longest, grid.median)) }
                        @for run in &grid.runs {
                            th scope="col" {
                                a.column data-state=(run.state) href={ "/runs/" (run.id) } aria-label=(name(run)) title=(name(run)) {
                                    (bar(took(run, now), longest, grid.median))
                                    span.run { (run.id) }
                                    (shape(run.state.as_str()))
                                }
                            }
                        }
                    }
                }
                tbody {
                    @for task in tasks {
                        tr {
                            th scope="row" { a href={ "#task-" (task) } { (task) } }
                            @for run in &grid.runs { td { (cell(grid, run, task)) } }
                        }
                    }
                }
            }
        }
    }
}

fn scale(longest: Duration, median: Option<Duration>) -> Markup {
    html! {
        span.scale {
            span.faint { "up to " (words::duration(longest)) }
            @if let Some(median) = median { span.median { "median " (words::duration(median)) } }
        }
    }
}

fn cell(grid: &Grid, run: &Run, task: &str) -> Markup {
    let Some(cell) = grid.cell(run.id, task) else { return html! { span.faint title="not in this run" { "·" } } };
    let attempts = if cell.attempt > 1 { format!(" at attempt {}", cell.attempt) } else { String::new() };
    let name = format!("run {}, {task}: {}{attempts}", run.id, cell.state.replace('_', " "));
    html! {
        a.square data-state=(cell.state) tabindex="-1" href={ "/runs/" (run.id) "#task-" (task) } aria-label=(name) title=(name) {
            (shape(&cell.state))
        }
    }
}

/// How long a run took beside the others, and where half of them are.
fn bar(took: Option<Duration>, longest: Duration, median: Option<Duration>) -> Markup {
    let at = |time: Duration| height(time, longest);
    html! {
        svg.bar viewBox={ "0 0 " (WIDE) " " (HIGH) } width=(WIDE) height=(HIGH) aria-hidden="true" {
            @if let Some(took) = took {
                rect.took x="3" y=(HIGH - at(took)) width=(WIDE - 6) height=(at(took)) rx="2" {}
            }
            @if let Some(median) = median {
                line.median x1="0" x2=(WIDE) y1=(HIGH - at(median)) y2=(HIGH - at(median)) {}
            }
        }
    }
}

/// In units of the drawing; what took any time at all can be seen.
fn height(time: Duration, longest: Duration) -> u32 {
    let share = time.as_secs_f64() / longest.as_secs_f64().max(0.001);
    ((share * f64::from(HIGH - 2)).round() as u32).clamp(2, HIGH - 2)
}

#[cfg(test)]
pub(crate) mod tests {
    use tributary_actors::serving::history::{RunState, Trigger};

    use super::*;
    use crate::inspect::grid::Cell;
    use crate::inspect::runs;

    pub(crate) fn run(id: i64, state: RunState, seconds: i64, now: DateTime<Utc>) -> Run {
        let started = now - chrono::TimeDelta::seconds(200);
        Run {
            trigger: Trigger::Schedule,
            requested_by: "anvil".into(),
            queued_at: started,
            started_at: Some(started),
            ended_at: state.is_over().then(|| started + chrono::TimeDelta::seconds(seconds)),
            ..runs::tests::run(id, state)
        }
    }

    #[test]
    fn bars_are_as_high_as_runs_took_long() {
        let seconds = Duration::from_secs;
        assert_eq!(height(seconds(10), seconds(10)), HIGH - 2);
        assert_eq!(height(seconds(5), seconds(10)), (HIGH - 2) / 2);
        assert_eq!(height(Duration::ZERO, seconds(10)), 2);
        assert_eq!(height(Duration::ZERO, Duration::ZERO), 2);
    }

    #[test]
    fn the_newest_run_is_on_the_right_and_each_says_how_it_went() {
        let now = Utc::now();
        let runs = [run(8, RunState::Running, 0, now), run(7, RunState::Failed, 20, now)];
        let html = squares(&runs).into_string();
        assert!(html.find("/runs/7").unwrap() < html.find("/runs/8").unwrap(), "{html}");
        let (ended, began) = (runs[1].ended_at.map(words::moment).unwrap(), runs[0].started_at.map(words::moment).unwrap());
        assert!(html.contains(&format!("run 7: failed, {ended} UTC, took 20 s")), "{html}");
        assert!(html.contains(&format!("aria-label=\"run 8: running, {began} UTC\"")), "{html}");
    }

    #[test]
    fn a_square_of_the_grid_leads_to_the_task_in_its_run() {
        let now = Utc::now();
        let cell = Cell { run_id: 7, task: "silver".into(), place: 0, attempt: 2, state: "upstream_failed".into() };
        let all = Grid { runs: vec![run(7, RunState::Failed, 20, now)], cells: vec![cell], median: Some(Duration::from_secs(9)) };
        let html = grid(&all, &["silver".into(), "checks".into()], now).into_string();
        assert!(
            html.contains("href=\"/runs/7#task-silver\" aria-label=\"run 7, silver: upstream failed at attempt 2\""),
            "{html}"
        );
        assert!(html.contains("median 9.0 s") && html.contains("not in this run"), "{html}");
    }
}
