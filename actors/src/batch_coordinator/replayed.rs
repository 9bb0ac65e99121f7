//! Bronze to silver, beside the way by offsets: rows that became valid after silver had passed them.
//!
//! Bronze's log says how many replays there were, silver's how many of them it has; the rows are named by the tags of bronze's files. They
//! are taken in the commit that stores the number, before silver goes on by its offsets.

use std::collections::BTreeSet;
use std::sync::Arc;

use tributary_core::replay::{Untaken, replay_app, silver_replay_app, untaken};
use tributary_core::stream::Stream;
use tributary_core::table::Pinned;

use super::tables::{Head, Tables};
use super::task::{Context, Report, TaskError};
use crate::engine::{SilverInput, Stored};
use crate::lake::delta_log::Move;
use crate::lake::offsets::silver_app;
use tributary_core::work::{OffsetRange, SilverOutput};

/// Takes rows that became valid after silver had passed them. Those that it has not passed come to it by their offsets.
pub(super) async fn take(
    context: &Context<'_>,
    stream: &Arc<Stream>,
    bronze: &Head,
    silver: &mut Head,
    conflicts: &mut Head,
    report: &mut Report,
) -> Result<(), TaskError> {
    let app = silver_replay_app(&stream.topic);
    let newest = bronze.txn(&replay_app(&stream.topic)).unwrap_or(0);
    loop {
        let (taken, seen) = (silver.txn(&app), conflicts.txn(&app));
        let from = taken.unwrap_or(0);
        if from >= newest {
            return Ok(());
        }
        // Where conflicts landed and silver did not, this ends where theirs did.
        let until = seen.filter(|at| *at > from).map_or(newest, |at| at.min(newest));
        // Going on without them would lose rows that were said to be replayed.
        let files = untaken(&bronze.pinned.files, from, until).map_err(|error| TaskError::Refused(error.to_string()))?;
        let output = replayed(context, stream, bronze, silver, conflicts, &files).await?;
        let tables = &context.world.tables;
        if !output.conflicts.is_empty() && seen.unwrap_or(0) < until {
            let step = Move { app: app.clone(), expected: seen, next: until };
            tables.commit(conflicts, &Tables::append("REPLAY", &output.conflicts, vec![step])).await?;
        }
        let step = Move { app: app.clone(), expected: taken, next: until };
        let version = tables.commit(silver, &Tables::append("REPLAY", &output.files, vec![step])).await?;
        context.log.info(format!("version {version}: {} rows that became valid afterwards", output.rows_kept));
        report.rows_in += output.rows_read;
        report.rows_out += output.rows_kept;
        report.days.extend(output.files.iter().filter_map(|f| f.date));
    }
}

/// Silver of those rows of these files that it had passed.
async fn replayed(
    context: &Context<'_>,
    stream: &Arc<Stream>,
    bronze: &Head,
    silver: &Head,
    conflicts: &Head,
    files: &[Untaken],
) -> Result<SilverOutput, TaskError> {
    let mut ranges = Vec::new();
    for ((incarnation, partition), offsets) in files.iter().flat_map(|file| &file.rows) {
        let passed = silver.txn(&silver_app(&stream.topic, *incarnation, *partition)).unwrap_or(0);
        let below = offsets.ranges().map(|(from, to)| (from, to.min(passed))).filter(|(from, to)| from < to);
        ranges.extend(below.map(|(from, to)| OffsetRange { incarnation: *incarnation, partition: *partition, from, to }));
    }
    if ranges.is_empty() {
        return Ok(SilverOutput::default());
    }
    let named: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let some = bronze.pinned.files.iter().filter(|file| named.contains(file.path.as_str())).cloned().collect();
    let part = Stored { table: Arc::new(Pinned { files: some, ..bronze.pinned.as_ref().clone() }), ..bronze.stored() };
    let input =
        SilverInput { stream: Arc::clone(stream), bronze: part, ranges, silver: silver.stored(), conflicts: conflicts.stored() };
    Ok(context.world.engine.silver(input).await?)
}
