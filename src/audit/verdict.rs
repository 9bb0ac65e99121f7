//! What the answers of the stores mean: partition by partition, table by table, finding by finding.
//!
//! Assumes that PostgreSQL was asked before bronze; promises that bronze's part is judged whatever became of the other stores.

use std::collections::{BTreeMap, HashMap};

use super::finding::{Finding, Kind};
use super::lake::{Head, LiveFile};
use super::legs::{self, Marks};
use super::prove::{self, Stored};
use super::ranges::Ranges;
use super::report::State;
use super::serving::{self, Snapshot};
use super::spans::{Claims, Place, first_app, ingest_app, topic_app};
use super::stream::Audit;
use super::tally::Tally;
use super::windows;

impl Audit<'_> {
    /// What log, tags and rows say of each partition.
    pub(super) fn judge(&mut self, head: Head, files: &[LiveFile], mut tally: Tally) -> Tally {
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
        bronze.topics = adopted(&head, &topic);

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

    /// What the windows say, beside the rows. None: there are no rows to count.
    pub(super) fn windows(&mut self, snapshot: &Snapshot, tally: Option<&Tally>) {
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
            let detail = format!("{} valid rows have no event time", tally.recount.unkeyed);
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

    /// What Kafka says, beside both. `target`: what it had when the audit began, where nothing may be on its way.
    pub(super) fn beside_broker(&mut self, target: &Marks) {
        let marks = self.marks();
        if marks.is_none() && (self.request.require_broker || self.request.drained) {
            let reason = self.report.broker.reason.clone().unwrap_or_default();
            self.find(Finding::new(Kind::NotChecked, format!("broker: {reason}")));
        }
        let stored = self.partitions.keys().map(|place| place.0).max().unwrap_or(1);
        let adopted = self.report.bronze.topics.values().filter_map(|n| i32::try_from(*n).ok()).max();
        let newest = adopted.map_or(stored, |n| n.max(stored));
        legs::place_marks(&mut self.partitions, &marks.unwrap_or_default(), newest);
        let counted = !matches!(self.report.serving.state, State::Skipped | State::Unreachable);
        for (place, report) in &self.partitions {
            if place.0 < newest && counted {
                self.report.findings.extend(legs::left_behind(*place, report));
            }
            self.report.findings.extend(legs::beside_broker(*place, report));
            self.report.findings.extend(legs::not_drained(*place, report, target, self.request.bronze_only));
        }
    }
}

/// Which topic ids the log knows, and the incarnation of each.
pub(super) fn adopted(head: &Head, topic: &str) -> BTreeMap<String, i64> {
    head.txns.iter().filter_map(|(app, n)| Some((topic_app(app, topic)?.to_string(), *n))).collect()
}

/// What the log stores, by incarnation and partition.
pub(super) fn stored(head: &Head, topic: &str) -> BTreeMap<Place, Stored> {
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
