//! One stream, from asking the stores to the verdict.
//!
//! The order is what makes an audit of a live system possible. PostgreSQL's moment comes first; bronze only grows, so it is waited
//! for until it has everything that PostgreSQL had counted, and rows beyond that are left out of the recount. Kafka comes last:
//! a store that is ahead of a watermark taken later is wrong, and not just fast.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use anyhow::Result;
use tributary_core::stream::Stream;

use super::lake::{Head, Lake, LiveFile};
use super::legs::{self, Marks};
use super::prove::{self, Stored};
use super::ranges::Ranges;
use super::recount::Symbols;
use super::report::{
    BrokerReport, BronzeReport, Finding, Kind, PartitionReport, ServingPartition, ServingReport, State, StreamReport,
};
use super::scan::{self, Counted, Plan};
use super::serving::{self, Snapshot};
use super::spans::{Claims, Place, first_app, ingest_app, topic_app};
use super::tally::Tally;
use super::{Progress, Request, Stores, broker, windows};

const POLL: Duration = Duration::from_millis(200);
/// Compaction may remove a file between reading the log and reading the file; not for ever.
const RESCANS: u32 = 3;

struct Audit<'a> {
    stores: &'a Stores,
    request: &'a Request,
    stream: &'a Stream,
    progress: &'a dyn Progress,
    symbols: Symbols,
    deadline: Instant,
    report: StreamReport,
    partitions: BTreeMap<Place, PartitionReport>,
}

/// Audits one stream.
pub(crate) async fn audit(stores: &Stores, request: &Request, stream: &Stream, progress: &dyn Progress) -> StreamReport {
    let report = StreamReport {
        stream: stream.name.clone(),
        topic: stream.topic.clone(),
        ok: false,
        bronze: BronzeReport::default(),
        serving: ServingReport::default(),
        broker: BrokerReport::default(),
        partitions: Vec::new(),
        findings: Vec::new(),
    };
    let (symbols, deadline) = (Symbols::default(), Instant::now() + request.wait);
    let mut audit = Audit { stores, request, stream, progress, symbols, deadline, report, partitions: BTreeMap::new() };
    audit.run().await;
    let mut report = audit.report;
    report.partitions = audit.partitions.into_values().collect();
    report.ok = report.findings.is_empty();
    report
}

impl Audit<'_> {
    fn find(&mut self, finding: Finding) {
        self.report.findings.push(finding);
    }

    async fn run(&mut self) {
        let target = match self.request.drained {
            true => self.marks().unwrap_or_default(),
            false => Marks::new(),
        };
        let snapshot = self.serving(&target).await;
        let needed = snapshot.as_ref().map(|snapshot| snapshot.offsets.clone()).unwrap_or_default();
        let tally = match self.bronze(snapshot.as_ref(), &needed, &target).await {
            Ok(tally) => tally,
            Err(error) => {
                self.report.bronze.state = State::Unreachable;
                self.find(Finding::new(Kind::NotChecked, format!("bronze: {error:#}")));
                None
            }
        };
        if let Some(snapshot) = &snapshot {
            self.windows(snapshot, tally.as_ref());
        }
        self.beside_broker(&target);
    }

    /// Kafka's watermarks now.
    fn marks(&mut self) -> Option<Marks> {
        let asked = match &self.stores.brokers {
            Some(brokers) => tokio::task::block_in_place(|| broker::watermarks(brokers, &self.stream.topic)),
            None => Err(anyhow::anyhow!("no broker is known")),
        };
        match asked {
            Ok(marks) => {
                self.report.broker = BrokerReport { state: State::Checked, reason: None };
                Some(marks)
            }
            Err(error) => {
                self.report.broker = BrokerReport { state: State::Unreachable, reason: Some(format!("{error:#}")) };
                None
            }
        }
    }

    async fn serving(&mut self, target: &Marks) -> Option<Snapshot> {
        if self.request.bronze_only {
            self.report.serving.state = State::Skipped;
            return None;
        }
        match self.snapshot(target).await {
            Ok(snapshot) => {
                for (place, next) in &snapshot.offsets {
                    self.partition(*place).serving = Some(ServingPartition { next: *next, lag: None });
                }
                Some(snapshot)
            }
            Err(error) => {
                let reason = format!("{error:#}");
                self.find(Finding::new(Kind::NotChecked, format!("windows not checked: {reason}")));
                self.report.serving = ServingReport { state: State::Unreachable, reason: Some(reason), ..Default::default() };
                None
            }
        }
    }

    async fn snapshot(&self, target: &Marks) -> Result<Snapshot> {
        let Some(url) = &self.stores.database_url else { anyhow::bail!("no PostgreSQL is known") };
        while !target.is_empty() && !legs::reached(&serving::offsets(url, self.stream).await?, target) && self.patient().await {}
        serving::snapshot(url, self.stream, &self.symbols).await
    }

    /// Waits a little; false once the deadline is over.
    async fn patient(&self) -> bool {
        let left = self.deadline.saturating_duration_since(Instant::now());
        tokio::time::sleep(POLL.min(left)).await;
        !left.is_zero()
    }

    fn partition(&mut self, place: Place) -> &mut PartitionReport {
        let report = self.partitions.entry(place).or_default();
        (report.incarnation, report.partition) = place;
        report
    }

    async fn bronze(
        &mut self,
        snapshot: Option<&Snapshot>,
        needed: &BTreeMap<Place, i64>,
        target: &Marks,
    ) -> Result<Option<Tally>> {
        let topic = &self.stream.topic;
        let found = Lake::at(&self.stores.lake, &self.stores.lake_options, &self.stream.name)?;
        let mut head = None;
        if let Some(lake) = &found {
            self.report.bronze.url = lake.url.to_string();
            loop {
                head = lake.head().await?;
                let offsets = head.as_ref().map(|head| stored(head, topic)).unwrap_or_default();
                let offsets: BTreeMap<Place, i64> = offsets.into_iter().filter_map(|(p, s)| Some((p, s.next?))).collect();
                let behind = needed.iter().any(|(place, next)| offsets.get(place).is_none_or(|has| has < next));
                if !(behind || !legs::reached(&offsets, target)) || !self.patient().await {
                    break;
                }
            }
        }
        let (Some(lake), Some(head)) = (found, head) else {
            self.find(Finding::new(Kind::NotChecked, format!("bronze: there is no table {} in the lake", self.stream.name)));
            return Ok(None);
        };
        let counted = counted(snapshot);
        let (head, files, tally) = self.scan(&lake, head, &counted).await?;
        Ok(Some(self.judge(head, &files, tally)))
    }

    /// Reads the files, again where compaction took one away meanwhile.
    async fn scan(&self, lake: &Lake, mut head: Head, counted: &HashMap<Place, Counted>) -> Result<(Head, Vec<LiveFile>, Tally)> {
        let mut files = lake.files(&head).await?;
        for scan in 1.. {
            let plan = Plan::new(self.stream, counted, &self.symbols);
            self.progress.begin(&self.stream.name, files.iter().map(|file| file.size).sum());
            let tally = tokio::task::block_in_place(|| scan::scan(&plan, lake, &files, &|bytes| self.progress.advance(bytes)));
            self.progress.end();
            if tally.broken.is_empty() || scan == RESCANS {
                return Ok((head, files, tally));
            }
            let Some(newest) = lake.head().await? else { return Ok((head, files, tally)) };
            let now = lake.files(&newest).await?;
            let alive = |path: &str| now.iter().any(|file| file.path.as_ref() == path);
            if tally.broken.iter().all(|(path, _)| alive(path)) {
                return Ok((head, files, tally));
            }
            (head, files) = (newest, now);
        }
        anyhow::bail!("files vanish faster than they can be read")
    }

    fn judge(&mut self, head: Head, files: &[LiveFile], mut tally: Tally) -> Tally {
        let topic = self.stream.topic.clone();
        let mut stored = stored(&head, &topic);
        let mut claims: HashMap<Place, Claims> = HashMap::new();
        for file in files {
            for span in file.spans.iter().flatten() {
                claims.entry(span.place).or_default().add(span, file.committed);
            }
            if let Some(tag) = &file.bad_tag {
                self.find(Finding::new(Kind::Unreadable, format!("its tag cannot be read: {tag}")).in_file(&file.path));
            }
        }
        for (path, error) in std::mem::take(&mut tally.broken) {
            self.find(Finding::new(Kind::Unreadable, error).in_file(path));
        }
        self.report.findings.append(&mut tally.findings);
        let places = claims.keys().chain(tally.partitions.keys()).copied().collect::<Vec<_>>();
        places.into_iter().for_each(|place| _ = stored.entry(place).or_default());

        let bronze = &mut self.report.bronze;
        bronze.state = State::Checked;
        bronze.version = head.version;
        bronze.files = files.len();
        bronze.bytes = files.iter().map(|file| file.size).sum();
        bronze.files_without_tags = files.iter().filter(|file| file.spans.is_none() && file.bad_tag.is_none()).count();
        bronze.statuses = std::mem::take(&mut tally.statuses);
        bronze.rows = bronze.statuses.values().sum();
        bronze.topics = head.txns.iter().filter_map(|(app, n)| Some((topic_app(app, &topic)?.to_string(), *n))).collect();

        for (place, offsets) in stored {
            let (claims, rows) = (claims.get_mut(&place), tally.partitions.get_mut(&place));
            let (report, findings) = prove::partition(place, offsets, claims, rows, !self.request.no_holes);
            self.report.bronze.missing += report.missing;
            self.report.bronze.twice += report.twice;
            self.report.bronze.holes += report.holes;
            self.report.bronze.lost += report.lost;
            self.partition(place).bronze = Some(report);
            self.report.findings.extend(findings);
        }
        tally
    }

    fn windows(&mut self, snapshot: &Snapshot, tally: Option<&Tally>) {
        let mut provable = true;
        for (place, next) in &snapshot.offsets {
            let bronze = self.partition(*place).bronze.as_ref().and_then(|bronze| bronze.next);
            let at = bronze.unwrap_or(0);
            if at < *next {
                provable = false;
                let detail = format!("bronze behind serving by {}: the windows hold [{at}, {next}), bronze does not", next - at);
                self.find(Finding::at(*place, Kind::BronzeBehind, Ranges::of(at, *next), detail));
            }
        }
        for (id, incarnation) in &snapshot.topics {
            if let Some(other) = self.report.bronze.topics.get(id).filter(|other| *other != incarnation) {
                let detail = format!("topic id {id} is incarnation {other} in bronze and {incarnation} in PostgreSQL");
                self.find(Finding::new(Kind::Incarnation, detail));
            }
        }
        let Some(tally) = tally.filter(|_| provable) else {
            self.report.serving.state = State::NotProvable;
            self.report.serving.reason = Some("bronze does not hold what the windows counted".into());
            return;
        };
        self.report.serving.state = State::Checked;
        if tally.recount.unkeyed > 0 {
            let detail = format!("{} valid rows have no event time, no group or nothing to add", tally.recount.unkeyed);
            self.find(Finding::new(Kind::Unkeyed, detail));
        }
        for ((window, stored), recount) in self.stream.windows.iter().zip(&snapshot.tables).zip(&tally.recount.counts) {
            let missing = serving::Stored::default();
            let report = windows::compare(self.stream, window, stored.as_ref().unwrap_or(&missing), recount, &self.symbols);
            let detail = match stored {
                None => Some(format!("table realtime.{} is missing", window.table)),
                Some(_) if report.mismatched > 0 => {
                    Some(format!("realtime.{}: {} rows differ, drift {}", window.table, report.mismatched, report.drift))
                }
                Some(_) => None,
            };
            if let Some(detail) = detail {
                self.find(Finding { table: Some(window.table.clone()), ..Finding::new(Kind::Window, detail) });
            }
            self.report.serving.mismatched += report.mismatched;
            self.report.serving.drift = self.report.serving.drift.saturating_add(report.drift);
            self.report.serving.tables.push(report);
        }
    }

    fn beside_broker(&mut self, target: &Marks) {
        let marks = self.marks();
        if marks.is_none() && (self.request.require_broker || self.request.drained) {
            let reason = self.report.broker.reason.clone().unwrap_or_default();
            self.find(Finding::new(Kind::NotChecked, format!("broker: {reason}")));
        }
        legs::place_marks(&mut self.partitions, &marks.unwrap_or_default());
        for (place, report) in &self.partitions {
            self.report.findings.extend(legs::beside_broker(*place, report));
            self.report.findings.extend(legs::not_drained(*place, report, target, self.request.bronze_only));
        }
    }
}

/// What the log stores, by incarnation and partition.
fn stored(head: &Head, topic: &str) -> BTreeMap<Place, Stored> {
    let mut stored: BTreeMap<Place, Stored> = BTreeMap::new();
    for (app, version) in &head.txns {
        if let Some(place) = ingest_app(app, topic) {
            stored.entry(place).or_default().next = Some(*version);
        } else if let Some(place) = first_app(app, topic) {
            stored.entry(place).or_default().first = Some(*version);
        }
    }
    stored
}

/// Which rows the windows should hold.
fn counted(snapshot: Option<&Snapshot>) -> HashMap<Place, Counted> {
    let Some(snapshot) = snapshot else { return HashMap::new() };
    let counted = snapshot.offsets.iter().map(|(place, next)| {
        let except = snapshot.skipped.get(place).cloned().unwrap_or_default();
        (*place, Counted { below: *next, except })
    });
    counted.collect()
}
