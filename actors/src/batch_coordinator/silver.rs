//! Bronze to silver: the offsets that silver lacks, in slices of bounded size, each a commit of its own.
//!
//! Silver's log says per Kafka partition which bronze offset comes next, so a slice that was interrupted is done again and a slice that
//! landed is not. Conflicts are committed just before the rows they are about, with offsets of their own: when a crash came in between,
//! the same slice is cut again, and the conflicts that are there already are not written twice.

use std::collections::BTreeSet;
use std::sync::Arc;

use tributary_core::replay::{replay_app, silver_replay_app};
use tributary_core::stream::Stream;
use tributary_core::table::{Pinned, date_text};
use tributary_core::work::{OffsetRange, SilverOutput};

use super::World;
use super::lag;
use super::replayed;
use super::tables::{Head, Tables};
use super::task::{Context, Report, TaskError};
use crate::engine::{SilverInput, Stored};
use crate::lake::delta_log::Move;
use crate::lake::offsets::{SPANS_TAG, ingested, parse_spans, silver_app};
use crate::telemetry;

/// Offsets of one slice: what is held in memory is bounded by a day, this bounds what a crash throws away.
const SLICE_ROWS: i64 = 20_000_000;

fn conflicts_app(topic: &str, incarnation: i32, partition: i32) -> String {
    format!("conflicts/{topic}#{incarnation}/{partition}")
}

/// Whether there is anything in bronze at all.
pub(super) async fn check_bronze(context: &Context<'_>) -> Result<Report, TaskError> {
    let mut report = Report::default();
    for stream in &context.world.streams {
        let name = stream.bronze_table();
        let Some(bronze) = context.world.tables.head(&name).await? else { continue };
        if !ingested(bronze.txns(), &stream.topic).is_empty() {
            context.log.info(format!(
                "{name} version {}: {} rows in {} files",
                bronze.version(),
                bronze.pinned.rows(),
                bronze.pinned.files.len()
            ));
            report.versions_in.insert(name, bronze.version());
        }
    }
    if report.versions_in.is_empty() {
        Err(TaskError::Nothing("bronze is empty: nothing has come in yet".into()))
    } else {
        Ok(report)
    }
}

/// Whether bronze has anything that silver lacks.
pub(super) async fn is_behind(world: &World) -> Result<bool, TaskError> {
    for stream in &world.streams {
        let Some(bronze) = world.tables.head(&stream.bronze_table()).await? else { continue };
        let behind = match world.tables.head(&stream.silver_table()).await? {
            Some(silver) => {
                let replayed = silver.txn(&silver_replay_app(&stream.topic)) < bronze.txn(&replay_app(&stream.topic));
                replayed || !lag::of_silver(bronze.snapshot(), Some(silver.snapshot()), &stream.topic).is_empty()
            }
            None => !ingested(bronze.txns(), &stream.topic).is_empty(),
        };
        if behind {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Brings the silver table of every stream up to bronze.
pub(super) async fn run_all(context: &Context<'_>) -> Result<Report, TaskError> {
    let mut report = Report::default();
    for stream in &context.world.streams {
        report.absorb(match &context.params.days {
            Some(days) => rebuild(context, stream, days).await?,
            None => run(context, stream).await?,
        });
    }
    Ok(report)
}

/// Brings one silver table up to bronze.
async fn run(context: &Context<'_>, stream: &Arc<Stream>) -> Result<Report, TaskError> {
    let tables = &context.world.tables;
    let bronze_name = stream.bronze_table();
    let mut report = Report::default();
    let Some(bronze) = tables.head(&bronze_name).await? else {
        context.log.info(format!("{bronze_name} is not there yet"));
        return Ok(report);
    };
    report.versions_in.insert(bronze_name, bronze.version());
    let (mut silver, mut conflicts) = open(context, stream).await?;
    let silver_name = stream.silver_table();
    replayed::take(context, stream, &bronze, &mut silver, &mut conflicts, &mut report).await?;
    let mut has_everything = true;
    loop {
        let missing = lag::of_silver(bronze.snapshot(), Some(silver.snapshot()), &stream.topic);
        let ranges = slice(missing, &conflicts, &stream.topic);
        if ranges.is_empty() {
            break;
        }
        has_everything = false;
        let output = take(context, stream, &bronze, &silver, &conflicts, &ranges).await?;
        let days: BTreeSet<i32> = output.files.iter().filter_map(|f| f.date).collect();
        land_conflicts(tables, &mut conflicts, &stream.topic, &ranges, &output).await?;
        let step = |r: &OffsetRange| {
            let app = silver_app(&stream.topic, r.incarnation, r.partition);
            Move { expected: silver.txn(&app), app, next: r.to }
        };
        let commit = Tables::append("SILVER", &output.files, ranges.iter().map(step).collect());
        let version = tables.commit(&mut silver, &commit).await?;
        report.rows_in += output.rows_read;
        report.rows_out += output.rows_kept;
        report.days.extend(&days);
        telemetry::silver(&stream.name, output.rows_kept, output.duplicates, output.rejected, output.rows_in_conflict);
        context.log.info(format!(
            "version {version}: {} rows of bronze, {} new, {} duplicates, {} not valid, {} in conflict; {} days ({})",
            output.rows_read,
            output.rows_kept,
            output.duplicates,
            output.rejected,
            output.rows_in_conflict,
            days.len(),
            days.iter().map(|d| date_text(*d)).take(5).collect::<Vec<_>>().join(" "),
        ));
    }
    if has_everything {
        context.log.info(format!("{silver_name} has everything that bronze has"));
    }
    report.versions_out.insert(silver_name, silver.version());
    Ok(report)
}

/// Silver and its conflicts, made where they are missing, with every column that the stream declares now.
async fn open(context: &Context<'_>, stream: &Stream) -> Result<(Head, Head), TaskError> {
    let (silver_schema, conflicts_schema) = context.world.engine.silver_schemas(stream);
    let tables = &context.world.tables;
    let name = stream.silver_table();
    let words = format!("Valid events of {}, each once", stream.name);
    let silver = tables.ensure_columns(&name, &words, &silver_schema).await?;
    let words = format!("Rows of {name} whose id was seen with another event time");
    let conflicts = tables.ensure_columns(&stream.conflicts_table(), &words, &conflicts_schema).await?;
    Ok((silver, conflicts))
}

/// Makes days of silver anew from bronze, as far as silver has come; a day at a time, each a commit of its own.
async fn rebuild(context: &Context<'_>, stream: &Arc<Stream>, days: &BTreeSet<i32>) -> Result<Report, TaskError> {
    let tables = &context.world.tables;
    let mut report = Report::default();
    let Some(bronze) = tables.head(&stream.bronze_table()).await? else { return Ok(report) };
    report.versions_in.insert(stream.bronze_table(), bronze.version());
    let (mut silver, mut conflicts) = open(context, stream).await?;
    // What is made anew has what replays made valid: afterwards it would be taken twice.
    replayed::take(context, stream, &bronze, &mut silver, &mut conflicts, &mut report).await?;
    let taken = |(incarnation, partition): (i32, i32)| {
        let to = silver.txn(&silver_app(&stream.topic, incarnation, partition))?;
        Some(OffsetRange { incarnation, partition, from: 0, to })
    };
    let ranges: Vec<OffsetRange> =
        ingested(bronze.txns(), &stream.topic).into_iter().filter_map(|(place, _)| taken(place)).collect();
    for day in days {
        let only = |head: &Head, keep: bool| {
            let files = head.pinned.files.iter().filter(|f| (f.date == Some(*day)) == keep).cloned().collect();
            Stored { table: Arc::new(Pinned { files, ..head.pinned.as_ref().clone() }), ..head.stored() }
        };
        let input = SilverInput {
            stream: Arc::clone(stream),
            bronze: only(&bronze, true),
            ranges: ranges.clone(),
            silver: only(&silver, false),
            conflicts: only(&conflicts, false),
        };
        let output = context.world.engine.silver(input).await?;
        for (head, files) in [(&mut conflicts, &output.conflicts), (&mut silver, &output.files)] {
            let removes: Vec<_> = head.pinned.files.iter().filter(|f| f.date == Some(*day)).cloned().collect();
            if !(removes.is_empty() && files.is_empty()) {
                let schema = Arc::clone(&head.pinned.schema);
                let only = BTreeSet::from([*day]);
                let commit = Tables::replace("REBUILD", head, files, &removes, Vec::new(), &schema, Some(&only))?;
                tables.commit(head, &commit).await?;
            }
        }
        report.rows_in += output.rows_read;
        report.rows_out += output.rows_kept;
        report.days.insert(*day);
        context.log.info(format!("{}: {} rows made anew from {} of bronze", date_text(*day), output.rows_kept, output.rows_read));
    }
    report.versions_out.insert(stream.silver_table(), silver.version());
    Ok(report)
}

/// Cuts what is missing to one slice. Where conflicts landed and silver did not, the slice ends where theirs did.
fn slice(mut ranges: Vec<OffsetRange>, conflicts: &Head, topic: &str) -> Vec<OffsetRange> {
    let landed = |r: &OffsetRange| conflicts.txn(&conflicts_app(topic, r.incarnation, r.partition)).filter(|at| *at > r.from);
    if ranges.iter().any(|r| landed(r).is_some()) {
        ranges.retain_mut(|r| landed(r).map(|to| r.to = to.min(r.to)).is_some());
        return ranges;
    }
    let total: i64 = ranges.iter().map(|r| r.to - r.from).sum();
    if total > SLICE_ROWS {
        for r in &mut ranges {
            let part = i128::from(r.to - r.from) * i128::from(SLICE_ROWS) / i128::from(total);
            r.to = r.from + i64::try_from(part).unwrap_or(0).max(1);
        }
    }
    ranges
}

async fn take(
    context: &Context<'_>,
    stream: &Arc<Stream>,
    bronze: &Head,
    silver: &Head,
    conflicts: &Head,
    ranges: &[OffsetRange],
) -> Result<SilverOutput, TaskError> {
    let pinned = &bronze.pinned;
    let files = pinned.files.iter().filter(|file| {
        let Some(tag) = file.tags.get(SPANS_TAG) else { return true };
        ranges.iter().any(|r| {
            parse_spans(tag, r.incarnation)
                .iter()
                .any(|s| s.partition == r.partition && s.rows > 0 && s.from < r.to && r.from < s.to)
        })
    });
    let bronze_slice = Pinned { files: files.cloned().collect(), ..pinned.as_ref().clone() };
    let input = SilverInput {
        stream: Arc::clone(stream),
        bronze: Stored { table: Arc::new(bronze_slice), store: bronze.stored().store },
        ranges: ranges.to_vec(),
        silver: silver.stored(),
        conflicts: conflicts.stored(),
    };
    Ok(context.world.engine.silver(input).await?)
}

async fn land_conflicts(
    tables: &Tables,
    conflicts: &mut Head,
    topic: &str,
    ranges: &[OffsetRange],
    output: &SilverOutput,
) -> Result<(), TaskError> {
    let app = |r: &OffsetRange| conflicts_app(topic, r.incarnation, r.partition);
    let landed = ranges.iter().all(|r| conflicts.txn(&app(r)).is_some_and(|at| at >= r.to));
    if landed || output.conflicts.is_empty() {
        return Ok(());
    }
    let moves = ranges.iter().map(|r| Move { app: app(r), expected: conflicts.txn(&app(r)), next: r.to }).collect();
    tables.commit(conflicts, &Tables::append("CONFLICTS", &output.conflicts, moves)).await?;
    Ok(())
}
