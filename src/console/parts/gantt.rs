//! When each task of a run was done: a row for each task, a bar for each attempt, hatched where it waits for the next one.

use std::time::Duration;

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use tributary_actors::serving::history::{Run, TaskAttempt, TaskState};

use crate::words;

/// Units of a row from left to right, and from top to bottom.
const WIDE: f64 = 1_000.0;
const HIGH: u32 = 20;
/// What took no time can be seen all the same.
const LEAST: f64 = 4.0;

/// A piece of a row.
#[derive(Debug, Clone, PartialEq)]
struct Bar {
    state: &'static str,
    /// From and to, as shares of the whole time.
    from: f64,
    to: f64,
    says: String,
}

/// From when to when the drawing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Frame {
    from: DateTime<Utc>,
    to: DateTime<Utc>,
}

impl Frame {
    fn of(run: &Run, tasks: &[TaskAttempt], now: DateTime<Utc>) -> Option<Self> {
        let began = tasks.iter().filter_map(|task| task.started_at).min();
        let from = run.started_at.into_iter().chain(began).min()?;
        let ended = tasks.iter().filter_map(|task| task.ended_at).max();
        let to = if run.state.is_over() { run.ended_at.into_iter().chain(ended).max().unwrap_or(now) } else { now };
        Some(Self { from, to: to.max(from + chrono::TimeDelta::milliseconds(1)) })
    }

    fn long(self) -> Duration {
        (self.to - self.from).to_std().unwrap_or_default()
    }

    fn share(self, time: DateTime<Utc>) -> f64 {
        let micros = |time: DateTime<Utc>| (time - self.from).num_microseconds().unwrap_or(i64::MAX) as f64;
        (micros(time) / micros(self.to).max(1.0)).clamp(0.0, 1.0)
    }
}

/// Draws it; nothing where nothing began.
pub(crate) fn gantt(run: &Run, tasks: &[TaskAttempt], now: DateTime<Utc>) -> Option<Markup> {
    let frame = Frame::of(run, tasks, now)?;
    let mut names: Vec<&str> = Vec::new();
    for task in tasks {
        if names.last() != Some(&task.task.as_str()) {
            names.push(&task.task);
        }
    }
    Some(html! {
        div.scroll role="region" aria-label="When each task was done" tabindex="0" {
            table.gantt {
                thead {
                    tr {
                        th scope="col" { "Task" }
                        th.axis scope="col" aria-label="Time" {
                            div.ticks { @for tick in ticks(frame.long()) { span { (tick) } } }
                        }
                        th.number scope="col" { "Took" }
                    }
                }
                tbody {
                    @for name in names {
                        @let attempts: Vec<&TaskAttempt> = tasks.iter().filter(|task| task.task == name).collect();
                        (row(run.id, name, &attempts, frame, now))
                    }
                }
            }
        }
    })
}

fn row(run: i64, name: &str, attempts: &[&TaskAttempt], frame: Frame, now: DateTime<Utc>) -> Markup {
    let bars = bars(attempts, frame, now);
    let says = match bars.is_empty() {
        true => format!("{name}: {}", attempts.last().map_or("", |attempt| attempt.state.as_str()).replace('_', " ")),
        false => format!("{name}: {}", bars.iter().map(|bar| bar.says.as_str()).collect::<Vec<_>>().join("; ")),
    };
    let took: Duration = attempts.iter().filter_map(|attempt| took(attempt, now)).sum();
    html! {
        tr {
            th scope="row" { a href={ "#task-" (name) } { (name) } }
            td.track {
                a href={ "/runs/" (run) "/logs?task=" (name) } aria-label={ "Logs of " (says) } {
                    svg viewBox={ "0 0 " (WIDE) " " (HIGH) } width="100%" height=(HIGH) preserveAspectRatio="none" aria-hidden="true" {
                        @if bars.iter().any(|bar| bar.state == WAIT) {
                            defs {
                                pattern id={ "wait-" (name) } width="8" height="8" patternUnits="userSpaceOnUse" {
                                    path.hatch d="M0 8L8 0" {}
                                }
                            }
                        }
                        @for bar in &bars { (drawn(bar, name)) }
                    }
                }
            }
            td.number { @if took.is_zero() { (words::NOTHING) } @else { (words::duration(took)) } }
        }
    }
}

fn drawn(bar: &Bar, name: &str) -> Markup {
    let (x, width) = span(bar);
    html! {
        @if bar.state == WAIT {
            rect.wait x=(x) y="5" width=(width) height=(HIGH - 10) fill={ "url(#wait-" (name) ")" } { title { (bar.says) } }
        } @else {
            rect.attempt data-state=(bar.state) x=(x) y="2" width=(width) height=(HIGH - 4) rx="3" { title { (bar.says) } }
        }
    }
}

/// Where a bar begins and how wide it is, in units of the drawing; it stays within.
fn span(bar: &Bar) -> (String, String) {
    let width = ((bar.to - bar.from) * WIDE).max(LEAST);
    let x = (bar.from * WIDE).min(WIDE - width).max(0.0);
    (format!("{x:.1}"), format!("{width:.1}"))
}

/// What is hatched.
const WAIT: &str = "waiting";

fn bars(attempts: &[&TaskAttempt], frame: Frame, now: DateTime<Utc>) -> Vec<Bar> {
    let mut bars = Vec::new();
    for (n, attempt) in attempts.iter().enumerate() {
        let Some(started) = attempt.started_at else { continue };
        let ended = attempt.ended_at.unwrap_or(frame.to);
        let spent = took(attempt, now).map_or_else(String::new, words::duration);
        let how = match attempt.state {
            TaskState::Running => "runs for",
            TaskState::Retrying | TaskState::Failed => "failed after",
            state => state.as_str(),
        };
        let after = if attempt.state.is_over() && !how.ends_with("after") { " after" } else { "" };
        let says = format!("attempt {} {how}{after} {spent}", attempt.attempt);
        bars.push(Bar { state: attempt.state.as_str(), from: frame.share(started), to: frame.share(ended), says });
        if attempt.state == TaskState::Retrying {
            let next = attempts.get(n + 1).and_then(|next| next.started_at);
            let until = next.unwrap_or(frame.to);
            let waited = (until - ended).to_std().unwrap_or_default();
            let says = format!("waited {} for another attempt", words::duration(waited));
            bars.push(Bar { state: WAIT, from: frame.share(ended), to: frame.share(until), says });
        }
    }
    bars
}

fn took(attempt: &TaskAttempt, now: DateTime<Utc>) -> Option<Duration> {
    (attempt.ended_at.unwrap_or(now) - attempt.started_at?).to_std().ok()
}

/// Times at five places, evenly spread: the style sheet spreads them.
fn ticks(long: Duration) -> Vec<String> {
    (0..=4_u32).map(|quarter| if quarter == 0 { "0".to_owned() } else { words::duration(long * quarter / 4) }).collect()
}

#[cfg(test)]
mod tests {
    use tributary_actors::serving::history::RunState;

    use super::super::grid::tests::run;
    use super::*;
    use crate::inspect::runs;

    fn attempt(task: &str, n: i32, state: TaskState, times: Option<(i64, i64)>, begin: DateTime<Utc>) -> TaskAttempt {
        let at = |second| begin + chrono::TimeDelta::seconds(second);
        TaskAttempt {
            started_at: times.map(|(from, _)| at(from)),
            ended_at: times.filter(|_| state.is_over()).map(|(_, to)| at(to)),
            ..runs::tests::attempt(0, task, n, state)
        }
    }

    #[test]
    fn bars_stand_where_attempts_were_and_waits_are_between_them() {
        let now = Utc::now();
        let run = run(1, RunState::Failed, 100, now);
        let begin = run.started_at.unwrap();
        let tasks = [
            attempt("silver", 1, TaskState::Retrying, Some((0, 25)), begin),
            attempt("silver", 2, TaskState::Failed, Some((75, 100)), begin),
        ];
        let frame = Frame::of(&run, &tasks, now).unwrap();
        let bars = bars(&tasks.iter().collect::<Vec<_>>(), frame, now);
        let spans: Vec<_> = bars.iter().map(|bar| (bar.state, bar.from, bar.to)).collect();
        assert_eq!(spans, [("retrying", 0.0, 0.25), (WAIT, 0.25, 0.75), ("failed", 0.75, 1.0)]);
        assert_eq!(bars[1].says, "waited 50 s for another attempt");
        assert_eq!(bars[2].says, "attempt 2 failed after 25 s");
    }

    #[test]
    fn what_runs_reaches_to_now_and_what_took_no_time_can_be_seen() {
        let now = Utc::now();
        let run = run(1, RunState::Running, 0, now);
        let begin = run.started_at.unwrap();
        let tasks = [
            attempt("check", 1, TaskState::Succeeded, Some((0, 0)), begin),
            attempt("silver", 1, TaskState::Running, Some((0, 0)), begin),
            attempt("checks", 1, TaskState::Queued, None, begin),
        ];
        let frame = Frame::of(&run, &tasks, now).unwrap();
        assert_eq!(bars(&[&tasks[1]], frame, now)[0].to, 1.0);
        assert_eq!(span(&bars(&[&tasks[0]], frame, now)[0]), ("0.0".into(), "4.0".into()));
        let end = Bar { state: "succeeded", from: 1.0, to: 1.0, says: String::new() };
        assert_eq!(span(&end), ("996.0".into(), "4.0".into()), "it stays within");
        let html = gantt(&run, &tasks, now).unwrap().into_string();
        assert!(html.contains("silver: attempt 1 runs for 3 min 20 s") && html.contains("checks: queued"), "{html}");
    }

    #[test]
    fn nothing_is_drawn_of_a_run_that_has_not_begun() {
        let now = Utc::now();
        let mut waits = run(1, RunState::Queued, 0, now);
        waits.started_at = None;
        assert_eq!(gantt(&waits, &[], now).map(|html| html.into_string()), None);
    }
}
