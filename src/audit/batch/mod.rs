//! The batch layer's part of the audit: silver is bronze's valid events each once, gold is what its models say, PostgreSQL is gold.
//!
//! Each link is proven by itself and at the versions that the tables and `ops.published` name, so that a run under way makes nothing
//! look wrong: what a later run will see to is told apart (`ahead`, `behind`) from what is wrong. A layer that was never built is no
//! finding. Shares only formats with what it audits, and, for gold, the engine that runs the models' SQL ([`compute`]).
//!
//! - [`silver`]: bronze against silver, with [`files`] and [`canon`], which make rows of any store comparable.
//! - [`gold`]: a model's SELECT against its table, as a [`bag`] of rows.
//! - [`local`]: the engine for it.
//! - [`published`]: the table against PostgreSQL.

mod bag;
pub(crate) mod canon;
pub(crate) mod compute;
mod events;
mod files;
mod gold;
pub(crate) mod local;
mod published;
pub(crate) mod report;
mod silver;
pub(crate) mod text;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tributary_core::stream::Stream;

use self::compute::{Compute, Models};
use self::report::{BatchReport, GoldReport, PublishedReport, SilverReport};
use self::silver::{Counted, Files, Silver};
use super::finding::{Finding, Kind};
use super::ranges::Ranges;
use super::report::State;
use super::spans::{Place, silver_app};
use super::verdict::stored;
use super::{Progress, Request, Stores};

const POLL: Duration = Duration::from_millis(500);
/// A compaction or a run may take files away between reading a log and reading them; not for ever.
const TRIES: u32 = 3;

/// Audits silver, gold and what is published. Never fails: what cannot be checked is a finding.
pub(super) async fn audit(
    stores: &Stores,
    request: &Request,
    streams: &[Stream],
    compute: Option<&dyn Compute>,
    progress: &dyn Progress,
) -> BatchReport {
    let deadline = Instant::now() + request.wait;
    loop {
        let audit = Audit { stores, request, streams, compute, progress, report: BatchReport::default() };
        let report = audit.run().await;
        let only_late = !report.findings.is_empty() && report.findings.iter().all(|finding| finding.kind == Kind::Stale);
        if !only_late || Instant::now() >= deadline {
            return report;
        }
        tokio::time::sleep(POLL).await;
    }
}

struct Audit<'a> {
    stores: &'a Stores,
    request: &'a Request,
    streams: &'a [Stream],
    compute: Option<&'a dyn Compute>,
    progress: &'a dyn Progress,
    report: BatchReport,
}

impl Audit<'_> {
    async fn run(mut self) -> BatchReport {
        let models = match self.compute {
            Some(compute) => match compute.models(self.streams).await {
                Ok(models) => Some(models),
                Err(error) => {
                    self.find("gold", Kind::NotChecked, format!("the models cannot be read: {error:#}"));
                    None
                }
            },
            None => None,
        };
        self.published(models.as_ref()).await;
        if let (Some(compute), Some(models)) = (self.compute, models) {
            self.gold(compute, models).await;
        }
        for stream in self.streams {
            self.silver(stream).await;
        }
        let report = &mut self.report;
        let states = report.silver.iter().map(|table| table.state).chain(report.gold.iter().map(|table| table.state));
        let built = states.chain(report.published.iter().map(|table| table.state)).any(|state| state != State::Absent);
        report.state = if built { State::Checked } else { State::Absent };
        report.ok = report.findings.is_empty();
        self.report
    }

    fn find(&mut self, table: &str, kind: Kind, detail: impl Into<String>) {
        self.report.findings.push(Finding { table: Some(table.to_string()), ..Finding::new(kind, detail) });
    }

    fn late(&mut self, table: &str, detail: impl Into<String>) {
        if self.request.current {
            self.find(table, Kind::Stale, detail);
        }
    }

    async fn published(&mut self, models: Option<&Models>) {
        let (false, Some(url)) = (self.request.bronze_only, &self.stores.database_url) else { return };
        let entries = match published::entries(url).await {
            Ok(entries) => entries,
            Err(error) => return self.find("ops.published", Kind::NotChecked, format!("{error:#}")),
        };
        for entry in entries {
            let found = again(|| published::audit(self.stores, url, &entry)).await;
            let mut report = found.unwrap_or_else(|error| PublishedReport {
                state: State::NotProvable,
                reason: Some(format!("{error:#}")),
                ..entry.report()
            });
            report.orphaned = models.is_some_and(|models| entry.is_orphaned(models));
            self.judge_published(&report);
            self.report.published.push(report);
        }
    }

    fn judge_published(&mut self, report: &PublishedReport) {
        let (table, model) = (&report.table, &report.model);
        if let Some(reason) = &report.reason {
            self.find(table, Kind::PublishedMismatch, format!("is not provably {model}: {reason}"));
        }
        if report.missing + report.extra > 0 {
            let (missing, extra, version) = (report.missing, report.extra, report.version);
            let detail = format!("is not {model} at version {version}: {missing} rows are missing, {extra} are not its rows");
            self.find(table, Kind::PublishedMismatch, detail);
        }
        if report.behind && !report.orphaned {
            self.late(table, format!("{model} has changed since version {}, which is published", report.version));
        }
    }

    async fn gold(&mut self, compute: &dyn Compute, models: Models) {
        for (model, problem) in models.broken {
            let table = format!("gold.{model}");
            if matches!(gold::table(self.stores, &table), Ok(Some(_))) {
                self.find(&table, Kind::NotChecked, format!("its model is broken: {problem}"));
            }
        }
        for model in &models.planned {
            let table = format!("gold.{}", model.model.name);
            match again(|| gold::audit(self.stores, compute, model)).await {
                Ok(report) => {
                    self.judge_gold(&report);
                    self.report.gold.push(report);
                }
                Err(error) => {
                    let reason = format!("{error:#}");
                    self.find(&table, Kind::NotChecked, reason.clone());
                    let state = State::NotProvable;
                    self.report.gold.push(GoldReport { table, state, reason: Some(reason), ..GoldReport::default() });
                }
            }
        }
    }

    fn judge_gold(&mut self, report: &GoldReport) {
        let table = &report.table;
        if report.missing + report.extra > 0 {
            let made_of: Vec<String> =
                report.sources.iter().map(|(name, version)| format!("{name} at version {version}")).collect();
            let (missing, extra, sources) = (report.missing, report.extra, made_of.join(", "));
            let detail =
                format!("is not what its model makes of {sources}: {missing} rows are missing, {extra} should not be there");
            self.find(table, Kind::GoldMismatch, detail);
        }
        match &report.reason {
            Some(reason) => self.late(table, reason),
            None if !report.behind.is_empty() => {
                self.late(table, format!("{} changed since it was built", report.behind.join(", ")))
            }
            None => {}
        }
    }

    async fn silver(&mut self, stream: &Stream) {
        let table = format!("silver.{}", stream.name);
        let found = again(|| self.count_silver(stream)).await;
        let report = match found {
            Ok((mut report, findings)) => {
                for finding in findings {
                    self.report.findings.push(Finding { table: Some(table.clone()), ..finding });
                }
                if report.ahead > 0 {
                    self.late(&table, format!("{} valid rows of bronze are not in it yet", report.ahead));
                }
                report.table = table;
                report
            }
            Err(error) => {
                let reason = format!("{error:#}");
                self.find(&table, Kind::NotChecked, reason.clone());
                SilverReport { table, state: State::NotProvable, reason: Some(reason), ..SilverReport::default() }
            }
        };
        self.report.silver.push(report);
    }

    async fn count_silver(&self, stream: &Stream) -> Result<(SilverReport, Vec<Finding>)> {
        let mut report = SilverReport::default();
        let Some(silver) = gold::table(self.stores, &format!("silver.{}", stream.name))? else { return Ok((report, Vec::new())) };
        // Silver first: whatever it has, bronze had before.
        let Some(head) = silver.head().await? else { return Ok((report, Vec::new())) };
        let next: BTreeMap<Place, i64> =
            head.txns.iter().filter_map(|(app, next)| Some((silver_app(app, &stream.topic)?, *next))).collect();
        let bronze =
            gold::table(self.stores, &format!("bronze.{}", stream.name))?.context("there is a silver table and no bronze")?;
        let bronze_head = bronze.head().await?.context("there is a silver table and no log of bronze")?;
        let (of_bronze, of_silver) = (bronze.files(&bronze_head).await?, silver.files(&head).await?);
        report.version = head.version;

        let mut findings = Vec::new();
        let ends = stored(&bronze_head, &stream.topic);
        for (place, next) in &next {
            let end = ends.get(place).and_then(|stored| stored.next).unwrap_or(0);
            if *next > end {
                let detail = format!("silver says that it has everything below {next}, bronze ends at {end}");
                findings.push(Finding::at(*place, Kind::Beyond, Ranges::of(end, *next), detail));
            }
        }
        // Rows that became valid afterwards come to silver by the number of their replay.
        let taken = head.txns.get(&format!("silver-replay/{}", stream.topic)).copied().unwrap_or(0);
        let mut late: BTreeMap<Place, Ranges> = BTreeMap::new();
        for (_, place, (from, to)) in of_bronze.iter().flat_map(|file| &file.replays).filter(|(number, ..)| *number >= taken) {
            late.entry(*place).or_default().add(*from, *to);
        }
        let asked = Silver {
            stream,
            late: &late,
            bronze: Files { lake: &bronze, files: &of_bronze },
            silver: Files { lake: &silver, files: &of_silver },
            next: &next,
            slice: silver::SLICE,
        };
        self.progress.begin(&format!("silver.{}", stream.name), of_bronze.iter().chain(&of_silver).map(|file| file.size).sum());
        let counted = tokio::task::block_in_place(|| silver::count(&asked, &|bytes| self.progress.advance(bytes)));
        self.progress.end();
        findings.extend(judge_silver(&mut report, counted?));
        Ok((report, findings))
    }
}

fn judge_silver(report: &mut SilverReport, counted: Counted) -> Vec<Finding> {
    let count = |found: &BTreeMap<Place, Ranges>| found.values().map(Ranges::count).sum::<u64>();
    report.state = State::Checked;
    (report.rows, report.recounted) = (counted.rows, counted.events);
    (report.duplicates, report.ahead) = (counted.duplicates, counted.ahead);
    (report.missing, report.extra, report.twice) = (count(&counted.missing), count(&counted.extra), count(&counted.twice));
    let mut findings = Vec::new();
    for (kind, found, what) in [
        (Kind::SilverMissing, counted.missing, "valid events of bronze have no row in silver"),
        (Kind::SilverExtra, counted.extra, "rows of silver are not rows of bronze that it may have"),
        (Kind::SilverTwice, counted.twice, "rows of silver repeat an event that it has"),
        (Kind::EventDate, counted.misplaced, "rows of silver belong into the folder of another day"),
    ] {
        for (place, ranges) in found {
            let detail = format!("{} {what}: {ranges}", ranges.count());
            findings.push(Finding::at(place, kind, ranges, detail));
        }
    }
    findings
}

/// Tries again what failed: a file may have been taken away between reading the log and reading the file.
async fn again<T, F: Future<Output = Result<T>>>(mut attempt: impl FnMut() -> F) -> Result<T> {
    let mut tried = 0;
    loop {
        tried += 1;
        match attempt().await {
            Err(error) if tried < TRIES => {
                tracing::debug!(target: "audit", tried, %error, "reading again");
                tokio::time::sleep(POLL).await;
            }
            other => return other,
        }
    }
}
