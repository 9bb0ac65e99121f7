//! A gold table beside what its model's SELECT says over exactly the versions that the table's transactions name.
//!
//! Assumes an engine for the SELECT. Promises that the table is read to its last row whatever its statistics say, that each day is
//! compared, and that versions, ids and the model's hash come from the Delta log and not from anybody's memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use arrow_array::{Array, RecordBatch};
use futures::StreamExt;
use tokio::runtime::Handle;
use tributary_core::model::Planned;
use tributary_core::table::{DATE_COLUMN, date_text};

use super::super::Stores;
use super::super::lake::{Head, Lake, LiveFile};
use super::super::report::State;
use super::bag::{Bag, Group, Sums};
use super::canon::{self, Column, Form, Hasher};
use super::compute::{Compute, Rows, Source};
use super::files;
use super::report::{GoldReport, RowDifference, RowProblem};

/// Hexadecimal digits of the model's hash in an application id.
const HASH_DIGITS: usize = 8;
/// Differing rows that are shown.
pub(super) const SHOWN: usize = 100;

/// A table of the lake, by its name in SQL: `silver.user_events` is in `silver/user_events`.
pub(super) fn table(stores: &Stores, name: &str) -> Result<Option<Lake>> {
    Lake::at(&stores.lake, &stores.lake_options, &name.replacen('.', "/", 1))
}

/// Audits one model's table. What differs is in the report; an error is what could not be looked at.
pub(super) async fn audit(stores: &Stores, compute: &dyn Compute, model: &Planned) -> Result<GoldReport> {
    let name = format!("gold.{}", model.model.name);
    let mut report = GoldReport { table: name.clone(), ..GoldReport::default() };
    let Some(lake) = table(stores, &name)? else { return Ok(report) };
    let Some(head) = lake.head().await? else { return Ok(report) };
    let (pinned, found) = lake.pinned(&name, head.version).await?;
    report.version = head.version;
    let Some(sources) = sources(stores, model, &head, &mut report).await? else {
        report.state = State::NotProvable;
        return Ok(report);
    };

    let columns = canon::forms(&pinned.schema)?;
    let comparison =
        Comparison { lake: &lake, found: &found, hasher: Hasher::default(), columns: &columns, by_date: pinned.by_date };
    let (mut stored, mut wanted) = (Sums::default(), Sums::default());
    comparison.stored(&|_| true, &mut |block| block.each(|group, row, _| stored.add(group, row)))?;
    let select = || async { compute.select(model, sources.clone()).await.context("the model's SELECT cannot be run") };
    comparison.wanted(select().await?, &mut |block| block.each(|group, row, _| wanted.add(group, row))).await?;
    (report.rows, report.recounted) = (stored.rows(), wanted.rows());
    report.state = State::Checked;

    let differing = wanted.differing(&stored);
    if !differing.is_empty() {
        let mut bag = Bag::default();
        let here = |group: &Group| differing.contains(group);
        let select_again = select().await?;
        comparison
            .wanted(select_again, &mut |block| {
                block.each(|group, row, _| {
                    if here(&group) {
                        bag.expect(row)
                    }
                })
            })
            .await?;
        comparison.stored(&here, &mut |block| block.each(|_, row, _| bag.find(row)))?;
        (report.missing, report.extra) = bag.balance();
        let shown = &mut report.differences;
        comparison.stored(&here, &mut |block| {
            block.each(|_, row, at| {
                if shown.len() < SHOWN && bag.take_extra(row) {
                    shown.push(RowDifference { problem: RowProblem::Extra, row: block.show(&columns, at) });
                }
            });
        })?;
        let most = shown.len() + SHOWN;
        comparison
            .wanted(select().await?, &mut |block| {
                block.each(|_, row, at| {
                    if shown.len() < most && bag.take_missing(row) {
                        shown.push(RowDifference { problem: RowProblem::Missing, row: block.show(&columns, at) });
                    }
                });
            })
            .await?;
        report.days = differing.into_iter().flatten().map(date_text).collect();
    }
    Ok(report)
}

/// The source tables at the versions that the table's transactions name; none, with the reason in the report: they name none.
async fn sources(stores: &Stores, model: &Planned, head: &Head, report: &mut GoldReport) -> Result<Option<Vec<Source>>> {
    let digits = model.model.hash.get(..HASH_DIGITS).unwrap_or_default();
    let mut sources = Vec::new();
    for name in &model.sources {
        let lake = table(stores, name)?.with_context(|| format!("{name} is not there"))?;
        let newest = lake.head().await?.with_context(|| format!("{name} has no log"))?;
        let (now, _) = lake.pinned(name, newest.version).await?;
        let app = format!("gold/{}@{}@{digits}", model.model.name, now.id);
        // Below zero: another text of the model has taken its place since.
        let Some(version) = head.txns.get(&app).filter(|version| **version >= 0) else {
            report.behind.push(name.clone());
            report.reason = Some(match head.txns.keys().any(|app| app.starts_with("gold/")) {
                true => format!("it was built by another text of the model or from another {name}: the next run builds it anew"),
                false => "its log names no versions that it was built from".to_string(),
            });
            return Ok(None);
        };
        let version = u64::try_from(*version).with_context(|| format!("{app} is {version}"))?;
        report.sources.insert(name.clone(), version);
        if version > newest.version {
            bail!("it was made from version {version} of {name}, which ends at {}", newest.version);
        }
        // A compaction changes no row, and what it replaced may be gone by now: then the newest version says the same.
        let mut at = version;
        match version < newest.version && lake.changed_since(version, &newest).await? {
            true => report.behind.push(name.clone()),
            false => at = at.max(newest.version),
        }
        let (pinned, _) = lake.pinned(name, at).await.with_context(|| format!("{name} cannot be read as it was"))?;
        sources.push((Arc::new(pinned), lake.store()));
    }
    Ok(Some(sources))
}

/// A batch in numbers.
pub(super) struct Block {
    columns: Vec<Column>,
    rows: Vec<u128>,
    /// The column of days, where the table is compared by day.
    day: Option<usize>,
}

impl Block {
    pub(super) fn new(batch: &RecordBatch, columns: &[(String, Form)], hasher: &Hasher, by_date: bool) -> Result<Block> {
        let day = columns.iter().position(|(name, _)| by_date && name == DATE_COLUMN);
        Ok(Block { day, ..Block::of(canon::columns(batch, columns)?, batch.num_rows(), hasher) })
    }

    pub(super) fn of(columns: Vec<Column>, rows: usize, hasher: &Hasher) -> Block {
        Block { rows: hasher.rows(&columns, rows), columns, day: None }
    }

    /// Each row: its group, its number, its place in the block.
    pub(super) fn each(&self, mut take: impl FnMut(Group, u128, usize)) {
        for (at, row) in self.rows.iter().enumerate() {
            let day = self.day.and_then(|day| match &self.columns[day] {
                Column::Whole(days) if days.is_valid(at) => i32::try_from(days.value(at)).ok(),
                _ => None,
            });
            take(day, *row, at);
        }
    }

    pub(super) fn show(&self, columns: &[(String, Form)], row: usize) -> BTreeMap<String, Option<String>> {
        columns.iter().zip(&self.columns).map(|((name, _), column)| (name.clone(), column.show(row))).collect()
    }
}

struct Comparison<'a> {
    lake: &'a Lake,
    found: &'a [LiveFile],
    hasher: Hasher,
    columns: &'a [(String, Form)],
    by_date: bool,
}

impl Comparison<'_> {
    /// What is stored, of the files in these groups.
    fn stored(&self, here: &dyn Fn(&Group) -> bool, take: &mut dyn FnMut(&Block)) -> Result<()> {
        let files = self.found.iter().filter(|file| here(&file.event_date.filter(|_| self.by_date)));
        read_all(self.lake, files, self.columns, |batch| {
            take(&Block::new(batch, self.columns, &self.hasher, self.by_date)?);
            Ok(())
        })
    }

    /// What should be.
    async fn wanted(&self, mut rows: Rows, take: &mut dyn FnMut(&Block)) -> Result<()> {
        while let Some(batch) = rows.next().await {
            take(&Block::new(&batch?, self.columns, &self.hasher, self.by_date)?);
        }
        Ok(())
    }
}

/// All rows of these files. Blocks.
pub(super) fn read_all<'a>(
    lake: &Lake,
    mut files: impl Iterator<Item = &'a LiveFile>,
    columns: &[(String, Form)],
    mut take: impl FnMut(&RecordBatch) -> Result<()>,
) -> Result<()> {
    let names: Vec<String> = columns.iter().map(|(name, _)| name.clone()).collect();
    let runtime = Handle::current();
    tokio::task::block_in_place(|| files.try_for_each(|file| files::read(&runtime, lake, file, &names, &mut take)))
}
