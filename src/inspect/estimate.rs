//! How much a backfill reads, and how long it may take.
//!
//! Sizes are the lake's own statistics. Time is what earlier runs of each task took per row; a task that never ran has no time, and
//! then the sum is a lower bound.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use chrono::NaiveDate;
use schemars::JsonSchema;
use serde::Serialize;
use sqlx::{FromRow, PgConnection};
use tributary_core::job::Work;
use tributary_core::model::{Materialize, Planned};
use tributary_core::table::TableFile;

use super::catalog::Catalog;
use super::plan::{Plan, day_number};
use crate::words;

/// How much of one table is read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Volume {
    /// Days that have rows.
    pub(crate) days: usize,
    /// Rows.
    pub(crate) rows: u64,
    /// Bytes of their files.
    pub(crate) bytes: u64,
}

impl Volume {
    /// Of the files of these days.
    pub(crate) fn of<'f>(files: impl IntoIterator<Item = &'f TableFile>, days: &std::ops::RangeInclusive<i32>) -> Self {
        let mut volume = Self::default();
        let mut seen = std::collections::BTreeSet::new();
        for file in files.into_iter().filter(|file| file.date.is_some_and(|day| days.contains(&day))) {
            seen.extend(file.date);
            volume.rows += file.rows.unwrap_or(0);
            volume.bytes += file.size;
        }
        volume.days = seen.len();
        volume
    }
}

/// Rows per second of the tasks of a job, as they were.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub(crate) struct Rate {
    /// Which task.
    pub(crate) task: String,
    /// Rows that its attempts read.
    pub(crate) rows: i64,
    /// Time that they took.
    pub(crate) seconds: f64,
}

/// The rates of a job's tasks, over the newest attempts that read anything.
pub(crate) async fn rates(connection: &mut PgConnection, job: &str) -> sqlx::Result<Vec<Rate>> {
    sqlx::query_as(
        "SELECT task, sum(rows_in)::bigint AS rows, sum(extract(epoch FROM ended_at - started_at))::float8 AS seconds FROM (\
           SELECT t.task, t.rows_in, t.started_at, t.ended_at, row_number() OVER (PARTITION BY t.task ORDER BY t.id DESC) AS place \
           FROM ops.tasks t JOIN ops.runs r ON r.id = t.run_id \
           WHERE r.job = $1 AND t.state = 'succeeded' AND t.rows_in > 0 AND t.ended_at > t.started_at\
         ) newest WHERE place <= 50 GROUP BY task",
    )
    .bind(job)
    .fetch_all(connection)
    .await
}

/// What a backfill would do.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Estimate {
    /// Days that were asked for.
    pub(crate) days_asked: usize,
    /// What each task reads, by its name.
    pub(crate) tasks: BTreeMap<String, Volume>,
    /// How long; none: nothing of it ever ran.
    pub(crate) time: Option<Duration>,
    /// Tasks that never ran, so that the time is a lower bound.
    pub(crate) unknown: Vec<String>,
}

impl Estimate {
    /// Everything that is read.
    pub(crate) fn total(&self) -> Volume {
        let days = self.tasks.values().map(|volume| volume.days).max().unwrap_or(0);
        let sum = |of: fn(&Volume) -> u64| self.tasks.values().map(of).sum();
        Volume { days, rows: sum(|volume| volume.rows), bytes: sum(|volume| volume.bytes) }
    }

    /// How long, with what is not known about it.
    pub(crate) fn time_words(&self) -> String {
        match (self.time, self.unknown.is_empty()) {
            (None, _) => "unknown: no run yet".into(),
            (Some(time), true) => format!("{}, as fast as earlier runs", words::duration(time)),
            (Some(time), false) => format!("more than {}: {} never ran", words::duration(time), self.unknown.join(", ")),
        }
    }

    fn new(days_asked: usize, tasks: BTreeMap<String, Volume>, rates: &[Rate]) -> Self {
        let mut time = None;
        let mut unknown = Vec::new();
        for (task, volume) in &tasks {
            match rates.iter().find(|rate| rate.task == *task && rate.rows > 0) {
                Some(rate) => {
                    let seconds = volume.rows as f64 * rate.seconds / rate.rows as f64;
                    *time.get_or_insert(Duration::ZERO) += Duration::try_from_secs_f64(seconds).unwrap_or_default();
                }
                None => unknown.push(task.clone()),
            }
        }
        Self { days_asked, tasks, time, unknown }
    }
}

/// How much a backfill of a job reads: from the first day to the last, which is included.
pub(crate) async fn backfill(
    catalog: &Catalog,
    plan: &Plan,
    streams: &[String],
    (from, to): (NaiveDate, NaiveDate),
    rates: &[Rate],
) -> Result<Estimate> {
    let silver = plan.tasks.iter().filter(|task| task.work == Work::Silver).map(|task| task.name.as_str()).collect();
    let models = plan.tasks.iter().filter_map(|task| plan.model(task)).map(AsRef::as_ref).collect();
    estimate(catalog, &Readers { silver, streams, models }, day_number(from)..=day_number(to), rates).await
}

/// What reads, in the order of a job.
struct Readers<'p> {
    /// Tasks that take bronze to silver, by name.
    silver: Vec<&'p str>,
    /// The streams that they take.
    streams: &'p [String],
    /// The models.
    models: Vec<&'p Planned>,
}

/// How much is read of these days. A rollup reads all of its sources, whatever the days.
async fn estimate(
    catalog: &Catalog,
    readers: &Readers<'_>,
    days: std::ops::RangeInclusive<i32>,
    rates: &[Rate],
) -> Result<Estimate> {
    let mut tables = BTreeMap::new();
    let mut tasks = BTreeMap::new();
    for task in &readers.silver {
        let mut volume = Volume::default();
        for stream in readers.streams {
            let found = catalog.find(&format!("bronze.{stream}")).await?;
            let of = found.map_or_else(Volume::default, |bronze| Volume::of(bronze.files().values(), &days));
            volume = Volume { days: volume.days.max(of.days), rows: volume.rows + of.rows, bytes: volume.bytes + of.bytes };
        }
        tasks.insert((*task).to_owned(), volume);
    }
    for planned in &readers.models {
        let mut volume = Volume::default();
        for source in &planned.sources {
            if !tables.contains_key(source) {
                let found = catalog.find(source).await?;
                tables.insert(source.clone(), found.map_or_else(Vec::new, |table| table.files().values().cloned().collect()));
            }
            let files = tables.get(source).map_or(&[][..], Vec::as_slice);
            let of = match planned.model.materialize {
                Materialize::ByDay => Volume::of(files, &days),
                Materialize::Rollup => Volume {
                    days: 0,
                    rows: files.iter().filter_map(|file| file.rows).sum(),
                    bytes: files.iter().map(|file| file.size).sum(),
                },
            };
            volume = Volume { days: volume.days.max(of.days), rows: volume.rows + of.rows, bytes: volume.bytes + of.bytes };
        }
        tasks.insert(planned.model.name.clone(), volume);
    }
    Ok(Estimate::new(days.count(), tasks, rates))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(day: i32, rows: u64) -> TableFile {
        TableFile {
            path: String::new(),
            size: rows * 10,
            rows: Some(rows),
            date: Some(day),
            stats: None,
            tags: BTreeMap::new(),
            modified_ms: 0,
        }
    }

    #[test]
    fn only_files_of_the_days_count() {
        let files = [file(1, 5), file(2, 7), file(2, 1), file(4, 100)];
        assert_eq!(Volume::of(&files, &(2..=3)), Volume { days: 1, rows: 8, bytes: 80 });
    }

    #[test]
    fn time_is_what_earlier_runs_took_per_row_and_says_what_it_does_not_know() {
        let tasks = BTreeMap::from([
            ("kpi_dau".to_owned(), Volume { days: 3, rows: 1_000, bytes: 1 }),
            ("kpi_new".to_owned(), Volume { days: 3, rows: 1_000, bytes: 1 }),
        ]);
        let rates = [Rate { task: "kpi_dau".into(), rows: 500, seconds: 2.0 }];
        let estimate = Estimate::new(3, tasks.clone(), &rates);
        assert_eq!(estimate.time, Some(Duration::from_secs(4)));
        assert_eq!(estimate.unknown, ["kpi_new"]);
        assert_eq!(estimate.total(), Volume { days: 3, rows: 2_000, bytes: 2 });
        assert_eq!(Estimate::new(3, tasks, &[]).time, None);
    }
}
