//! One gold model: the days whose sources changed, or the whole table, in one commit.
//!
//! A gold table's log says which version of each source is in it, for this very model: `gold/<model>@<source's id>@<hash>`. So a run
//! that died between silver and gold forgets nothing, a model that was edited is another application id and builds itself anew, and a
//! source that was replaced by another table is noticed.

use std::collections::BTreeSet;
use std::sync::Arc;

use tributary_core::model::{Materialize, Planned};
use tributary_core::table::{NewFile, date_text};

use super::lag::{self, Lag, gold_app};
use super::tables::{Head, Tables};
use super::task::{Context, Report, TaskError};
use crate::engine::Stored;
use crate::lake::delta_log::Move;

/// Rows of sources that one query reads at most, but for a day that has more.
const SLICE_ROWS: u64 = 8_000_000;

/// Takes the place of a version: whatever it was, it is not in the table any more.
const FORGOTTEN: i64 = -1;

/// Brings a model's table up to its sources.
pub(super) async fn run(context: &Context<'_>, planned: &Arc<Planned>) -> Result<Report, TaskError> {
    let tables = &context.world.tables;
    let model = &planned.model;
    let name = format!("gold.{}", model.name);
    let mut report = Report::default();
    let mut sources = Vec::new();
    for source in &planned.sources {
        let Some(head) = tables.head(source).await? else {
            return Err(TaskError::Failed(format!("{source} is not there yet")));
        };
        report.versions_in.insert(source.clone(), head.version());
        sources.push(head);
    }
    let by_day = model.materialize == Materialize::ByDay;
    let mut gold = tables.ensure(&name, &model.description, &planned.schema, by_day).await?;
    let there: Vec<_> = sources.iter().map(|head| (head.pinned.name.as_str(), head.snapshot())).collect();
    let lag = match (&context.params.days, lag::of_model(planned, &there, gold.snapshot()).await?) {
        // Days alone would leave the others as they are: as another text of the model made them, or not there.
        (Some(_), Lag::Everything(why)) => Lag::Everything(why),
        (Some(days), _) if by_day => Lag::Days(days.clone()),
        (None, _) if context.params.force => Lag::Everything("asked for with --force".into()),
        (_, lag) => lag,
    };
    // A day that was asked for says nothing about the others.
    let is_partial = by_day && context.params.days.is_some() && matches!(lag, Lag::Days(_));
    let (days, reason) = match lag {
        Lag::Nothing => {
            context.log.info(format!("{name} has everything that its sources have"));
            report.versions_out.insert(name, gold.version());
            return Ok(report);
        }
        Lag::Days(days) => (Some(days), None),
        Lag::Everything(why) => (None, Some(why)),
    };
    let files = build(context, planned, &sources, days.as_ref(), &gold, &mut report).await?;
    let goes = |date: Option<i32>| days.as_ref().is_none_or(|days| date.is_some_and(|d| days.contains(&d)));
    let removes: Vec<_> = gold.pinned.files.iter().filter(|f| goes(f.date)).cloned().collect();
    let mut moves: Vec<Move> = Vec::new();
    for source in &sources {
        let app = gold_app(planned, &source.pinned.id);
        let next = match is_partial {
            true => gold.txn(&app),
            false => i64::try_from(source.version()).ok(),
        };
        if let Some(next) = next {
            moves.push(Move { expected: gold.txn(&app), app, next });
        }
    }
    // What another text of the model had put in is in there no more: a model that is edited back is built anew, too.
    let ours: BTreeSet<String> = sources.iter().map(|source| gold_app(planned, &source.pinned.id)).collect();
    let others = gold.txns().iter().filter(|(app, at)| app.starts_with("gold/") && **at >= 0 && !ours.contains(*app));
    moves.extend(others.map(|(app, at)| Move { app: app.clone(), expected: Some(*at), next: FORGOTTEN }));
    let commit = Tables::replace("GOLD", &gold, &files, &removes, moves, &planned.schema, days.as_ref())?;
    let version = tables.commit(&mut gold, &commit).await?;
    report.rows_out = files.iter().map(|f| f.rows).sum();
    report.days.extend(files.iter().filter_map(|f| f.date));
    report.versions_out.insert(name, version);
    context.log.info(match (&days, reason) {
        (Some(days), _) => format!(
            "version {version}: {} rows for {} days ({})",
            report.rows_out,
            days.len(),
            days.iter().map(|d| date_text(*d)).take(5).collect::<Vec<_>>().join(" ")
        ),
        (None, why) => format!("version {version}: {} rows, all built anew: {}", report.rows_out, why.unwrap_or_default()),
    });
    Ok(report)
}

/// Runs the model, some days at a time so that memory does not grow with history.
async fn build(
    context: &Context<'_>,
    planned: &Arc<Planned>,
    sources: &[Head],
    days: Option<&BTreeSet<i32>>,
    gold: &Head,
    report: &mut Report,
) -> Result<Vec<NewFile>, TaskError> {
    let engine = &context.world.engine;
    let into = gold.stored().store;
    if planned.model.materialize == Materialize::Rollup {
        let sources = sources.iter().map(Head::stored).collect();
        let built = engine.build(planned, sources, into).await?;
        report.rows_in += built.rows_read;
        return Ok(built.files);
    }
    let there: BTreeSet<i32> = sources.iter().flat_map(|s| s.pinned.days()).collect();
    let wanted: Vec<i32> = there.into_iter().filter(|d| days.is_none_or(|days| days.contains(d))).collect();
    let mut files = Vec::new();
    for slice in slices(&wanted, sources) {
        let cut: Vec<Stored> =
            sources.iter().map(|s| Stored { table: Arc::new(s.pinned.only_days(slice)), ..s.stored() }).collect();
        report.rows_in += cut.iter().map(|s| s.table.rows()).sum::<u64>();
        let built = engine.build(planned, cut, Arc::clone(&into)).await?;
        files.extend(built.files);
    }
    Ok(files)
}

/// Runs of days that have few enough rows together.
fn slices<'d>(days: &'d [i32], sources: &[Head]) -> Vec<&'d [i32]> {
    let rows = |day: i32| -> u64 {
        sources.iter().flat_map(|s| &s.pinned.files).filter(|f| f.date == Some(day)).filter_map(|f| f.rows).sum()
    };
    let (mut slices, mut from, mut held) = (Vec::new(), 0, 0);
    for (at, day) in days.iter().enumerate() {
        let n = rows(*day);
        if at > from && held + n > SLICE_ROWS {
            slices.push(&days[from..at]);
            (from, held) = (at, 0);
        }
        held += n;
    }
    if from < days.len() {
        slices.push(&days[from..]);
    }
    slices
}
