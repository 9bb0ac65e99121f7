//! What a leader looks at only to show it: how far jobs, tables and windows are. Decides nothing.
//!
//! Runs beside the leader while it leads. A look that fails is said once and tried again at the next turn.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use tributary_core::stream::Stream;

use super::World;
use super::leader::ReadJobs;
use crate::engine::EngineError;
use crate::lake::LakeError;
use crate::repair::drift::drift;
use crate::repair::{RepairError, Stores};
use crate::serving::history::{self, RunState, Which};
use crate::serving::{self, ServingError, offsets, publish};
use crate::telemetry::{self, JobMeter};

/// How often jobs are shown.
const SHOW: Duration = Duration::from_secs(5);
/// How often the logs of the tables are looked at.
const LOOK: Duration = Duration::from_secs(30);
/// How often windows and bronze are compared.
const COMPARE: Duration = Duration::from_secs(60);
const MINUTE_MS: i64 = 60_000;
/// Minutes that are compared, the newest of them over for at least one. Longer windows are not: they would be read again and again.
const MINUTES: i64 = 10;
/// How long bronze may take to come as far as the windows.
const REACH: Duration = Duration::from_secs(10);

/// Why nothing could be shown.
#[derive(Debug, thiserror::Error)]
enum GaugeError {
    #[error(transparent)]
    Serving(#[from] ServingError),
    #[error(transparent)]
    Lake(#[from] LakeError),
    #[error(transparent)]
    Repair(#[from] RepairError),
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Shows, until it is aborted.
pub(super) async fn keep(world: Arc<World>, jobs: ReadJobs) {
    let mut said = None;
    let mut silent = BTreeSet::new();
    let (mut compared, mut looked): (Option<Instant>, Option<Instant>) = (None, None);
    let mut connection: Option<PgConnection> = None;
    loop {
        let tables = is_due(&mut looked, LOOK);
        let shown = show(&world, &jobs, &mut connection, tables).await;
        if shown.is_err() {
            connection = None;
        }
        if is_due(&mut compared, COMPARE) {
            compare(&world, &mut silent).await;
        }
        let problem = shown.err().map(|error| error.to_string());
        if let (Some(words), true) = (&problem, said != problem) {
            tracing::warn!(target: "batch_coordinator", "cannot look at everything that is shown as a metric: {words}");
        }
        said = problem;
        tokio::time::sleep(SHOW).await;
    }
}

async fn show(
    world: &Arc<World>,
    jobs: &ReadJobs,
    connection: &mut Option<PgConnection>,
    tables: bool,
) -> Result<(), GaugeError> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(serving::connect(&world.database_url).await?),
    };
    show_jobs(jobs, connection).await?;
    for stream in &world.streams {
        telemetry::lost_records(&stream.name, offsets::lost(connection, &stream.name).await?);
    }
    if tables {
        show_tables(world, connection).await?;
    }
    Ok(())
}

/// Shows every table that a stream or a model declares, whether or not anything was done to it since this process began.
async fn show_tables(world: &World, connection: &mut PgConnection) -> Result<(), GaugeError> {
    let models = world.engine.models(world.models_dir.clone(), &world.streams).await?;
    let mut names: BTreeSet<String> = world
        .streams
        .iter()
        .flat_map(|stream| [stream.bronze_table(), stream.silver_table(), stream.conflicts_table()])
        .collect();
    names.extend(models.planned.iter().map(|planned| planned.model.table()));
    names.extend(models.broken.keys().map(|model| format!("gold.{model}")));
    world.tables.show(&names).await?;
    telemetry::tables(&names);
    // Of a broken model nobody knows what it publishes: what was shown stays until it can be read.
    if models.broken.is_empty() {
        let times: HashMap<_, _> = publish::times(connection).await?.into_iter().collect();
        let declared = models.planned.iter().filter_map(|planned| planned.model.publish.as_ref());
        let at = |table: &String| (format!("gold.{table}"), times.get(table).map(DateTime::timestamp_millis));
        telemetry::were_published(&declared.map(at).collect());
    }
    Ok(())
}

/// Compares every stream; one that cannot be compared is no reason to leave out the others. `silent` are those of which that was said.
async fn compare(world: &Arc<World>, silent: &mut BTreeSet<String>) {
    for stream in &world.streams {
        match show_drift(world, stream).await {
            Ok(()) => drop(silent.remove(&stream.name)),
            // It lags, which has a metric of its own.
            Err(GaugeError::Repair(RepairError::Behind(words))) => {
                tracing::debug!(target: "batch_coordinator", stream = stream.name, "windows and bronze are not compared: {words}");
            }
            Err(error) => {
                if silent.insert(stream.name.clone()) {
                    tracing::warn!(target: "batch_coordinator", stream = stream.name, "windows and bronze cannot be compared: {error}");
                }
            }
        }
    }
}

fn is_due(last: &mut Option<Instant>, every: Duration) -> bool {
    let due = last.is_none_or(|at| at.elapsed() >= every);
    if due {
        *last = Some(Instant::now());
    }
    due
}

async fn show_jobs(jobs: &ReadJobs, connection: &mut PgConnection) -> Result<(), ServingError> {
    for job in jobs().unwrap_or_default().jobs {
        // Skipped: there was nothing to do.
        let states = vec![RunState::Succeeded, RunState::Skipped];
        let which = Which { job: Some(job.name.clone()), states, before: None, limit: 1 };
        if let Some(ended) = history::runs(connection, &which).await?.first().and_then(|run| run.ended_at) {
            JobMeter::new(&job.name).succeeded_at(ended.timestamp_millis());
        }
    }
    Ok(())
}

/// The last minutes that are over, as far as they are of one day.
fn minutes(now_ms: i64) -> (i64, i64) {
    let to = (now_ms.div_euclid(MINUTE_MS) - 1) * MINUTE_MS;
    let day = 24 * 60 * MINUTE_MS;
    ((to - MINUTES * MINUTE_MS).max((to - 1).div_euclid(day) * day), to)
}

async fn show_drift(world: &World, stream: &Arc<Stream>) -> Result<(), GaugeError> {
    if stream.windows.iter().all(|window| window.every_ms > MINUTES * MINUTE_MS) {
        telemetry::nothing_to_compare(&stream.name);
        return Ok(());
    }
    let at = Stores {
        stream: Arc::clone(stream),
        table: world.tables.store(&stream.bronze_table())?,
        database_url: world.database_url.clone(),
    };
    let part = minutes(Utc::now().timestamp_millis());
    // Counting computes: not on the runtime that renews the lease.
    let runtime = tokio::runtime::Handle::current();
    let looked = tokio::task::spawn_blocking(move || runtime.block_on(drift(&at, part, REACH))).await;
    let found = match looked {
        Ok(found) => found?,
        Err(error) => return Err(RepairError::Busy(format!("the comparison of windows and bronze ended: {error}")).into()),
    };
    let Some(found) = found else { return Ok(()) };
    if found.events > 0 {
        tracing::error!(
            target: "batch_coordinator",
            stream = stream.name,
            events = found.events,
            "windows of the last minutes differ from bronze at the same offsets; look with `tributary audit --current`, mend with `tributary heal`"
        );
    }
    telemetry::compared(&stream.name, found.events);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_minutes_that_are_over_and_of_one_day_are_compared() {
        let day = 24 * 60 * MINUTE_MS;
        assert_eq!(minutes(day + 30 * MINUTE_MS + 59_999), (day + 19 * MINUTE_MS, day + 29 * MINUTE_MS));
        assert_eq!(minutes(day + 4 * MINUTE_MS), (day, day + 3 * MINUTE_MS), "from midnight on");
        assert_eq!(minutes(day + MINUTE_MS), (day - 10 * MINUTE_MS, day), "the end of the day before");
    }
}
