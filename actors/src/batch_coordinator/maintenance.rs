//! Keeping the stores small: checkpoints, old log entries, small files, files nobody needs, old windows, old runs.
//!
//! Every table by itself: one that cannot be kept does not keep the others from it, and the task fails in the end. Nothing here is in the
//! way of what adds rows.

use tributary_core::job::Work;

use super::task::{Context, Report, TaskError, chain};
use crate::lake::compaction::{self, Choice, Offsets};
use crate::lake::offsets::{ingested, silver_app};
use crate::lake::table::Retention;
use crate::lake::{upkeep, vacuum};
use crate::serving::{self, retention};

/// Commits of silver and gold between two checkpoints.
const CHECKPOINT_EVERY: u64 = 50;

/// A table and what is known of it.
struct Kept {
    name: String,
    /// Bronze: which stream's.
    stream: Option<usize>,
}

/// Does one kind of upkeep.
pub(super) async fn run(context: &Context<'_>, work: &Work) -> Result<Report, TaskError> {
    match work {
        Work::RetainRealtime => retain_realtime(context).await,
        Work::RetainOps => retain_ops(context).await,
        _ => {
            let mut report = Report::default();
            let mut problems = Vec::new();
            for kept in tables(context) {
                if let Err(error) = one(context, work, &kept, &mut report).await {
                    let words = format!("{}: {error}", kept.name);
                    context.log.error(&words);
                    problems.push(words);
                }
            }
            if problems.is_empty() { Ok(report) } else { Err(TaskError::Failed(problems.join("\n"))) }
        }
    }
}

fn tables(context: &Context<'_>) -> Vec<Kept> {
    let streams = context.world.streams.iter().enumerate();
    let streams = streams.flat_map(|(at, stream)| {
        [
            Kept { name: stream.bronze_table(), stream: Some(at) },
            Kept { name: stream.silver_table(), stream: None },
            Kept { name: stream.conflicts_table(), stream: None },
        ]
    });
    let models = context.models.planned.iter().map(|p| p.model.name.clone()).chain(context.models.broken.keys().cloned());
    streams.chain(models.map(|model| Kept { name: format!("gold.{model}"), stream: None })).collect()
}

async fn one(context: &Context<'_>, work: &Work, kept: &Kept, report: &mut Report) -> Result<(), TaskError> {
    let tables = &context.world.tables;
    let settings = &context.world.settings.batch;
    let (name, store) = (&kept.name, tables.store(&kept.name)?);
    if tables.head(name).await?.is_none() {
        return Ok(());
    }
    let keep = if kept.stream.is_some() { Retention::BRONZE } else { tables.retention() };
    match work {
        Work::Checkpoint => {
            if let Some(written) = upkeep::checkpoint(&store, CHECKPOINT_EVERY).await? {
                report.versions_out.insert(name.clone(), written.version);
                context.log.info(format!("{name}: checkpoint of version {}", written.version));
            }
        }
        Work::CleanLog => {
            let gone = upkeep::clean_log(&store, keep.log).await?;
            if gone > 0 {
                context.log.info(format!("{name}: {gone} old log entries deleted"));
            }
        }
        Work::Compact => {
            let below = match kept.stream {
                Some(at) => Some(taken(context, at).await?),
                None => None,
            };
            let today = i32::try_from(chrono::Utc::now().timestamp().div_euclid(86_400)).unwrap_or(0);
            let choice = Choice { today, target_bytes: settings.target_file_bytes, below };
            let done = compaction::compact(name, &store, context.world.engine.as_ref(), &choice, || true).await;
            let done = done.map_err(|e| TaskError::Failed(chain(&e)))?;
            if done.files_before > 0 {
                context.log.info(format!(
                    "{name}: {} files into {}, {} MiB into {}",
                    done.files_before,
                    done.files_after,
                    done.bytes_before >> 20,
                    done.bytes_after >> 20
                ));
            }
            if let Some(lost) = done.lost {
                context.log.warn(format!("{name}: somebody else was first ({}); the next time goes on", lost.reason));
            }
        }
        Work::Vacuum => {
            let done = vacuum::vacuum(&store, keep.removed, false).await?;
            let (files, bytes) =
                (done.removed.files + done.orphans.files + done.staging.files, done.removed.bytes + done.orphans.bytes);
            if files > 0 {
                context.log.info(format!("{name}: {files} files deleted, {} MiB", bytes >> 20));
            }
        }
        _ => {}
    }
    Ok(())
}

/// What silver has taken of a stream's bronze: only files below may be rewritten, or a run would have to find its rows again.
async fn taken(context: &Context<'_>, at: usize) -> Result<Offsets, TaskError> {
    let mut offsets = Offsets::new();
    let Some(stream) = context.world.streams.get(at) else { return Ok(offsets) };
    let tables = &context.world.tables;
    let (bronze, silver) = (tables.head(&stream.bronze_table()).await?, tables.head(&stream.silver_table()).await?);
    if let (Some(bronze), Some(silver)) = (bronze, silver) {
        for ((incarnation, partition), _) in ingested(bronze.txns(), &stream.topic) {
            let next = silver.txn(&silver_app(&stream.topic, incarnation, partition)).unwrap_or(0);
            offsets.insert((incarnation, partition), next);
        }
    }
    Ok(offsets)
}

async fn retain_realtime(context: &Context<'_>) -> Result<Report, TaskError> {
    let mut connection = serving::connect(&context.world.database_url).await?;
    let mut report = Report::default();
    for stream in &context.world.streams {
        let keep = context.world.settings.batch.keep_realtime;
        // One that was declared a moment ago has no table yet, and nothing that is old.
        let missing = serving::missing_windows(&mut connection, stream).await?;
        let windows: Vec<_> = stream.windows.iter().filter(|window| !missing.contains(window)).cloned().collect();
        for gone in retention::windows(&mut connection, context.lease, &windows, keep).await? {
            if gone.deleted > 0 {
                context.log.info(format!("realtime.{}: {} rows before {} deleted", gone.table, gone.deleted, gone.before));
            }
            report.rows_out += gone.deleted;
        }
    }
    Ok(report)
}

async fn retain_ops(context: &Context<'_>) -> Result<Report, TaskError> {
    let mut connection = serving::connect(&context.world.database_url).await?;
    let keep = context.world.settings.batch.keep_runs;
    let gone = retention::runs(&mut connection, context.lease, keep).await?;
    if gone > 0 {
        context.log.info(format!("{gone} runs deleted with their lines"));
    }
    // What people did is of the same time as the runs that it was done to.
    let forgotten = retention::actions(&mut connection, context.lease, keep).await?;
    if forgotten > 0 {
        context.log.info(format!("{forgotten} actions of people deleted"));
    }
    Ok(Report { rows_out: gone + forgotten, ..Report::default() })
}
