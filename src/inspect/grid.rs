//! The newest runs of a job with how each task went in each: what a grid of runs and tasks shows.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};
use tributary_actors::serving::history::{self, Run};

/// A task in a run, by its newest attempt.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub(crate) struct Cell {
    /// Which run.
    pub(crate) run_id: i64,
    /// Which task.
    pub(crate) task: String,
    /// Its place in the plan of that run.
    pub(crate) place: i32,
    /// The newest attempt.
    pub(crate) attempt: i32,
    /// How that one is.
    pub(crate) state: String,
}

/// The newest runs of a job.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Grid {
    /// The newest last, as time goes.
    pub(crate) runs: Vec<Run>,
    /// Their tasks.
    pub(crate) cells: Vec<Cell>,
    /// How long the newest successful ones took, half of them less.
    pub(crate) median: Option<Duration>,
}

impl Grid {
    /// How a task went in a run.
    pub(crate) fn cell(&self, run: i64, task: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.run_id == run && cell.task == task)
    }

    /// The names of these tasks, and behind them those that only earlier runs had.
    pub(crate) fn tasks(&self, planned: impl IntoIterator<Item = String>) -> Vec<String> {
        let mut names: Vec<String> = planned.into_iter().collect();
        let mut others: Vec<&Cell> = self.cells.iter().collect();
        // Of a name that had several places, the newest one counts.
        others.sort_by_key(|cell| std::cmp::Reverse(cell.run_id));
        let mut more: Vec<(i32, &str)> = Vec::new();
        for cell in others {
            if !names.contains(&cell.task) && !more.iter().any(|(_, name)| *name == cell.task) {
                more.push((cell.place, &cell.task));
            }
        }
        more.sort_unstable();
        names.extend(more.into_iter().map(|(_, name)| name.to_owned()));
        names
    }
}

/// The newest runs of a job, so many.
pub(crate) async fn grid(connection: &mut PgConnection, job: &str, limit: u32) -> anyhow::Result<Grid> {
    let which = history::Which { job: Some(job.to_owned()), limit, ..history::Which::default() };
    let mut runs = history::runs(connection, &which).await?;
    runs.reverse();
    let ids: Vec<i64> = runs.iter().map(|run| run.id).collect();
    let cells = sqlx::query_as(
        "SELECT DISTINCT ON (run_id, task) run_id, task, place, attempt, state FROM ops.tasks WHERE run_id = ANY($1) \
         ORDER BY run_id, task, attempt DESC",
    )
    .bind(&ids)
    .fetch_all(&mut *connection)
    .await?;
    let median = median(history::durations(connection, job, limit).await?);
    Ok(Grid { runs, cells, median })
}

/// The one in the middle; of an even number the larger one of the two.
pub(crate) fn median(mut times: Vec<Duration>) -> Option<Duration> {
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}

/// How long a run took, or takes already.
pub(crate) fn took(run: &Run, now: DateTime<Utc>) -> Option<Duration> {
    (run.ended_at.unwrap_or(now) - run.started_at?).to_std().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_of_the_plan_come_first_and_those_of_the_past_behind_them() {
        let cell = |run_id, task: &str, place| Cell { run_id, task: task.into(), place, attempt: 1, state: "succeeded".into() };
        let grid = Grid { cells: vec![cell(1, "silver", 0), cell(1, "b", 2), cell(2, "a", 1)], ..Grid::default() };
        assert_eq!(grid.tasks(["silver".to_owned(), "checks".to_owned()]), ["silver", "checks", "a", "b"]);
        assert_eq!(grid.cell(2, "a").map(|cell| cell.place), Some(1));
        assert_eq!(grid.cell(2, "b"), None);
    }

    #[test]
    fn half_of_the_runs_took_less_than_the_median() {
        let seconds = |all: &[u64]| median(all.iter().map(|s| Duration::from_secs(*s)).collect()).map(|median| median.as_secs());
        assert_eq!(seconds(&[9, 1, 2]), Some(2));
        assert_eq!(seconds(&[4, 1]), Some(4));
        assert_eq!(seconds(&[]), None);
    }
}
