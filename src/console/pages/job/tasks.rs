//! The tasks of a job: in a grid with its runs, as a graph, and as a list that says what each does.

use anyhow::Result;
use chrono::{DateTime, Utc};
use maud::{Markup, html};
use tributary_core::job::{Job, Task};

use super::super::super::parts::{
    self, code,
    graph::{NONE, Node},
    state,
};
use super::{broken, no_runs};
use crate::inspect::grid::Grid;
use crate::inspect::plan::{Plan, does};

pub(super) fn grid(job: &Job, grid: Option<&Grid>, planned: &[Task], now: DateTime<Utc>) -> Markup {
    let Some(grid) = grid else {
        return html! { div.card { h2 { "Runs" } p.faint { "PostgreSQL has them, and does not answer." } } };
    };
    let Some(newest) = grid.runs.last() else { return no_runs(&job.name) };
    let tasks = grid.tasks(planned.iter().map(|task| task.name.clone()));
    html! {
        div.card {
            h2 { "Runs" }
            (parts::grid::grid(grid, &tasks, now))
            p.faint { "The newest is run " (newest.id) ", on the right. " a href={ "/runs?job=" (newest.job) } { "Older ones" } }
        }
    }
}

pub(super) fn graph(planned: &[Task], grid: Option<&Grid>) -> Markup {
    let last = grid.and_then(|grid| Some((grid, grid.runs.last()?.id)));
    let node = |task: &Task| {
        let cell = last.and_then(|(grid, run)| grid.cell(run, &task.name));
        Node {
            name: task.name.clone(),
            state: cell.map_or_else(|| NONE.to_owned(), |cell| cell.state.clone()),
            after: task.after.clone(),
            href: cell.map_or_else(|| format!("#task-{}", task.name), |cell| format!("/runs/{}#task-{}", cell.run_id, task.name)),
        }
    };
    let nodes: Vec<Node> = planned.iter().map(node).collect();
    html! {
        div.card {
            h2 { "Tasks, each after what is to its left" }
            (parts::graph::graph("Tasks and what each comes after", &nodes))
            @match last {
                Some((_, run)) => p.faint { "As they were in " a href={ "/runs/" (run) } { "run " (run) } "." },
                None => p.faint { "No run has done any of them yet." },
            }
        }
    }
}

pub(super) fn list(job: &Job, plan: Result<&Plan, &anyhow::Error>, grid: Option<&Grid>) -> Markup {
    let (plan, problem) = match plan {
        Ok(plan) => (Some(plan), None),
        Err(error) => (None, Some(format!("{error:#}"))),
    };
    let tasks = plan.map_or(&job.tasks, |plan| &plan.tasks);
    let last = grid.and_then(|grid| Some((grid, grid.runs.last()?.id)));
    html! {
        @if let Some(problem) = problem { (broken(&problem)) }
        @for problem in plan.into_iter().flat_map(|plan| plan.models.broken.values()) { (broken(problem)) }
        div.scroll role="region" aria-label="Tasks" tabindex="0" {
            table {
                thead { tr { @for words in ["Task", "Last run", "What it does", "After", "SQL"] { th scope="col" { (words) } } } }
                tbody {
                    @for task in tasks {
                        tr id={ "task-" (task.name) } {
                            td { b { (task.name) } }
                            td {
                                @match last.and_then(|(grid, run)| grid.cell(run, &task.name)) {
                                    Some(cell) => a href={ "/runs/" (cell.run_id) "#task-" (task.name) } { (state(&cell.state)) },
                                    None => span.faint { "not run" },
                                }
                            }
                            (what(task, plan))
                        }
                    }
                }
            }
        }
    }
}

fn what(task: &Task, plan: Option<&Plan>) -> Markup {
    let planned = plan.and_then(|plan| plan.model(task));
    let says = plan.map_or_else(String::new, |plan| does(&task.work, &plan.models));
    html! {
        td {
            (says)
            @if let Some(planned) = planned {
                @if !planned.model.description.is_empty() { div.faint { (planned.model.description) } }
                div { a href={ "/tables/" (planned.model.table()) } { (planned.model.table()) } }
            }
        }
        td.faint { (after(task)) }
        td {
            @if let Some(planned) = planned {
                details {
                    summary { "SQL" }
                    p.faint { code { (planned.model.file) } }
                    (code(&format!("SQL of {}", planned.model.name), &planned.model.sql))
                }
            }
        }
    }
}

/// As many as fit a line.
fn after(task: &Task) -> String {
    const MOST: usize = 3;
    let named = task.after.iter().take(MOST).cloned().collect::<Vec<_>>().join(", ");
    match task.after.len() {
        ..=MOST => named,
        n => format!("{named} +{}", n - MOST),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tributary_actors::serving::history::RunState;

    use super::super::super::super::parts::grid::tests::run;
    use super::*;
    use crate::inspect::grid::Cell;

    #[test]
    fn tasks_are_shown_as_they_were_in_the_last_run() {
        let now = Utc::now();
        let job = Job::builtin().into_iter().find(|job| job.name == "lakehouse_maintenance").unwrap();
        let plan = Plan::new(&job, Arc::default()).unwrap();
        let first = plan.tasks[0].name.clone();
        let cell = |run_id, state: &str| Cell { run_id, task: first.clone(), place: 0, attempt: 1, state: state.into() };
        let runs = vec![run(1, RunState::Succeeded, 1, now), run(2, RunState::Failed, 1, now)];
        let all = Grid { runs, cells: vec![cell(1, "succeeded"), cell(2, "failed")], median: None };
        let html = list(&job, Ok(&plan), Some(&all)).into_string();
        assert!(html.contains(&format!("/runs/2#task-{first}")) && html.contains("not run"), "{html}");
        let html = graph(&plan.tasks, Some(&all)).into_string();
        assert!(html.contains(&format!("{first}: failed")) && html.contains("run 2"), "{html}");
        let html = super::grid(&job, Some(&all), &plan.tasks, now).into_string();
        assert!(html.contains(&format!("run 1, {first}: succeeded")), "{html}");
    }

    #[test]
    fn what_is_wrong_with_the_tasks_is_said_above_those_of_the_file() {
        let job = Job::builtin().remove(0);
        let html = list(&job, Err(&anyhow::anyhow!("there is no model <x>")), None).into_string();
        assert!(html.contains("there is no model &lt;x&gt;") && html.contains("task-silver"), "{html}");
    }
}
