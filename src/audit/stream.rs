//! One stream: which store is asked when. What the answers mean is in [`super::verdict`].
//!
//! The order is what makes an audit of a live system possible. PostgreSQL's moment comes first; bronze only grows, so it is waited
//! for until it has everything that PostgreSQL had counted, and rows beyond that are left out of the recount. Kafka comes last:
//! a store that is ahead of a watermark taken later is wrong, and not just fast.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use anyhow::Result;
use tributary_core::stream::Stream;

use super::finding::{Finding, Kind};
use super::lake::{Head, Lake, LiveFile};
use super::legs::{self, Marks};
use super::recount::Symbols;
use super::report::{BrokerReport, BronzeReport, PartitionReport, ServingPartition, ServingReport, State, StreamReport};
use super::scan::{self, Counted, Plan};
use super::serving::{self, Snapshot};
use super::spans::Place;
use super::tally::Tally;
use super::verdict::stored;
use super::{Progress, Request, Stores, broker};

const POLL: Duration = Duration::from_millis(200);
/// Compaction may remove a file between reading the log and reading the file; not for ever.
const RESCANS: u32 = 3;

/// An audit of one stream under way.
pub(super) struct Audit<'a> {
    stores: &'a Stores,
    pub(super) request: &'a Request,
    pub(super) stream: &'a Stream,
    progress: &'a dyn Progress,
    pub(super) symbols: Symbols,
    deadline: Instant,
    pub(super) report: StreamReport,
    pub(super) partitions: BTreeMap<Place, PartitionReport>,
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
    pub(super) fn find(&mut self, finding: Finding) {
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
    pub(super) fn marks(&mut self) -> Option<Marks> {
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

    pub(super) fn partition(&mut self, place: Place) -> &mut PartitionReport {
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
        let found = Lake::at(&self.stores.lake, &self.stores.lake_options, &format!("bronze/{}", self.stream.name))?;
        let mut head = None;
        if let Some(lake) = &found {
            self.report.bronze.url = lake.url.to_string();
            loop {
                head = lake.head().await?;
                let offsets = head.as_ref().map(|head| stored(head, topic)).unwrap_or_default();
                let offsets: BTreeMap<Place, i64> = offsets.into_iter().filter_map(|(p, s)| Some((p, s.next?))).collect();
                let behind = needed.iter().any(|(place, next)| offsets.get(place).is_none_or(|has| has < next));
                let there = !behind && legs::reached(&offsets, target);
                if there || !self.patient().await {
                    break;
                }
            }
        }
        let (Some(lake), Some(head)) = (found, head) else {
            self.find(Finding::new(Kind::NotChecked, format!("bronze: there is no table {} in the lake", self.stream.name)));
            return Ok(None);
        };
        let (head, files, tally) = self.scan(&lake, head, snapshot).await?;
        self.replays(snapshot, &head);
        Ok(Some(self.judge(head, &files, tally)))
    }

    /// How many replays the windows have yet to take.
    fn replays(&mut self, snapshot: Option<&Snapshot>, head: &Head) {
        let Some(snapshot) = snapshot else { return };
        let made = head.txns.get(&format!("replay/{}", self.stream.topic)).copied().unwrap_or(0);
        let taken = snapshot.replays.get(&head.id).copied().unwrap_or(0);
        self.report.serving.replays_behind = (made - taken).max(0).unsigned_abs();
        if self.request.drained && taken < made {
            let detail = format!(
                "bronze has had {made} replays, the windows have taken {taken}; `up` or the next `deadletters replay` brings them the others"
            );
            self.find(Finding::new(Kind::NotDrained, detail));
        }
    }

    /// Reads the files, again where compaction took one away meanwhile.
    async fn scan(&self, lake: &Lake, mut head: Head, snapshot: Option<&Snapshot>) -> Result<(Head, Vec<LiveFile>, Tally)> {
        let mut files = lake.files(&head).await?;
        for scan in 1.. {
            let counted = counted(snapshot, &head, &files);
            let plan = Plan::new(self.stream, &counted, &self.symbols);
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
}

/// Which rows the windows should hold: not those yet that a replay has made valid since.
fn counted(snapshot: Option<&Snapshot>, head: &Head, files: &[LiveFile]) -> HashMap<Place, Counted> {
    let Some(snapshot) = snapshot else { return HashMap::new() };
    let taken = snapshot.replays.get(&head.id).copied().unwrap_or(0);
    let counted = snapshot.offsets.iter().map(|(place, next)| {
        let mut except = snapshot.skipped.get(place).cloned().unwrap_or_default();
        let late = files.iter().flat_map(|file| &file.replays).filter(|(number, at, _)| *number >= taken && at == place);
        late.for_each(|(.., (from, to))| except.add(*from, *to));
        (*place, Counted { below: *next, except })
    });
    counted.collect()
}
