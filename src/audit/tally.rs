//! What the rows say: per partition, which offsets have one, and what of a file is not where it should be.
//!
//! Assumes nothing of the order of rows or files. Promises that tallies of several threads can be joined without losing a repeat.

use std::collections::{BTreeMap, HashMap};

use super::finding::{Finding, Kind};
use super::offsets::Offsets;
use super::ranges::Ranges;
use super::recount::Recount;
use super::spans::{Place, TagSpan, lost_range};

const DAY_US: i64 = 86_400_000_000;

/// Rows of one partition.
#[derive(Debug, Default)]
pub(crate) struct Partition {
    /// Rows, the lost ones among them.
    pub(crate) rows: u64,
    /// Offsets with a row.
    pub(crate) offsets: Offsets,
    /// Ranges that lost rows stand for.
    pub(crate) lost: Vec<(i64, i64)>,
}

/// Everything that one thread saw.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// By incarnation and partition.
    pub(crate) partitions: HashMap<Place, Partition, ahash::RandomState>,
    /// Rows by status.
    pub(crate) statuses: BTreeMap<String, u64>,
    /// The windows.
    pub(crate) recount: Recount,
    /// What is wrong inside of files.
    pub(crate) findings: Vec<Finding>,
    /// Files that could not be read to their end: name and why.
    pub(crate) broken: Vec<(String, String)>,
}

impl Tally {
    /// Nothing seen yet.
    pub(crate) fn new(windows: usize) -> Self {
        Tally { recount: Recount::new(windows), ..Tally::default() }
    }

    /// Takes all of another tally.
    pub(crate) fn join(&mut self, other: Tally) {
        for (place, theirs) in other.partitions {
            let ours = self.partitions.entry(place).or_default();
            ours.rows += theirs.rows;
            ours.offsets.join(theirs.offsets);
            ours.lost.extend(theirs.lost);
        }
        for (status, rows) in other.statuses {
            *self.statuses.entry(status).or_default() += rows;
        }
        self.recount.join(other.recount);
        self.findings.extend(other.findings);
        self.broken.extend(other.broken);
    }
}

/// What a status means to an audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Counted by the windows, in the folder of its event time.
    Ok,
    /// In the folder of Kafka's date, whatever its event time says.
    AwayFromKafka,
    /// Not valid; in the folder of its event time if it has a plausible one.
    Rejected,
    /// Stands for a range of offsets.
    Lost,
    /// No status that a writer of ours knows.
    Unknown,
}

impl Class {
    /// Of a status text.
    pub(crate) fn of(status: Option<&str>) -> Self {
        match status {
            Some("ok") => Class::Ok,
            Some("future" | "ancient") => Class::AwayFromKafka,
            Some("malformed" | "invalid" | "tombstone" | "oversized") => Class::Rejected,
            Some("lost") => Class::Lost,
            _ => Class::Unknown,
        }
    }

    /// Whether a row of this class, event time and Kafka's time may be in the folder of `date`.
    ///
    /// The limits that make an event time ancient or future are not asked: they may have been others when the row was written, and
    /// the status already says what they said then.
    fn may_be_in(self, date: i32, event_us: Option<i64>, kafka_us: Option<i64>) -> bool {
        let is = |us: i64| us.div_euclid(DAY_US) == i64::from(date);
        let of_kafka = || kafka_us.map_or(date == 0, is);
        match self {
            Class::Ok => event_us.is_some_and(is),
            Class::AwayFromKafka => of_kafka(),
            Class::Rejected => event_us.is_some_and(is) || of_kafka(),
            Class::Lost => kafka_us.is_none_or(is),
            Class::Unknown => true,
        }
    }
}

/// What one file adds to a tally, checked row by row against its own tag and folder.
pub(crate) struct FileCheck<'a> {
    path: String,
    date: Option<i32>,
    spans: Option<&'a [TagSpan]>,
    rows: HashMap<Place, u64>,
    outside: BTreeMap<Place, Ranges>,
    misplaced: u64,
    first_misplaced: Option<(Place, i64)>,
    unreadable: BTreeMap<Place, Ranges>,
    /// The span that the last row was in.
    near: Option<TagSpan>,
}

impl<'a> FileCheck<'a> {
    /// A file with this folder and tag.
    pub(crate) fn new(path: String, date: Option<i32>, spans: Option<&'a [TagSpan]>) -> Self {
        FileCheck {
            path,
            date,
            spans,
            rows: HashMap::new(),
            outside: BTreeMap::new(),
            misplaced: 0,
            first_misplaced: None,
            unreadable: BTreeMap::new(),
            near: None,
        }
    }

    /// Counts rows of a partition.
    pub(crate) fn rows(&mut self, place: Place, rows: u64) {
        *self.rows.entry(place).or_default() += rows;
    }

    /// Whether the tag covers an offset; a file without a tag covers all.
    pub(crate) fn covers(&mut self, place: Place, offset: i64) {
        let within = |span: &TagSpan| span.place == place && (span.from..span.to).contains(&offset);
        let Some(spans) = self.spans else { return };
        if self.near.as_ref().is_some_and(within) {
            return;
        }
        self.near = spans.iter().find(|span| within(span)).copied();
        if self.near.is_none() {
            self.outside.entry(place).or_default().add(offset, offset.saturating_add(1));
        }
    }

    /// Whether a row is in the right folder.
    pub(crate) fn folder(&mut self, class: Class, at: (Place, i64), event_us: Option<i64>, kafka_us: Option<i64>) {
        // A file without a readable date is a finding of its own.
        if self.date.is_some_and(|date| !class.may_be_in(date, event_us, kafka_us)) {
            self.misplaced += 1;
            self.first_misplaced.get_or_insert(at);
        }
    }

    /// Reads what a lost row stands for.
    pub(crate) fn lost(&mut self, place: Place, offset: i64, error: Option<&str>) -> Option<(i64, i64)> {
        let range = error.and_then(lost_range);
        if range.is_none() {
            self.unreadable(place, offset);
        }
        range
    }

    /// Notes a row that makes no sense.
    pub(crate) fn unreadable(&mut self, place: Place, offset: i64) {
        self.unreadable.entry(place).or_default().add(offset, offset.saturating_add(1));
    }

    /// What is wrong with the file, now that all of it was seen.
    pub(crate) fn findings(self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (place, ranges) in self.outside {
            findings.push(Finding::at(place, Kind::OutsideTag, ranges, "rows that the tag of their file does not cover"));
        }
        for (place, ranges) in self.unreadable {
            let detail = "rows with an unknown status, or lost rows without a range `lost: [from, to)`";
            findings.push(Finding::at(place, Kind::Unreadable, ranges, detail));
        }
        if let Some(((incarnation, partition), offset)) = self.first_misplaced {
            let detail = format!("{} rows belong into the folder of another day, the first is offset {offset}", self.misplaced);
            let first = Ranges::of(offset, offset.saturating_add(1));
            findings.push(Finding::at((incarnation, partition), Kind::EventDate, first, detail));
        }
        if let Some(spans) = self.spans {
            let mut places: BTreeMap<Place, u64> = BTreeMap::new();
            for span in spans {
                *places.entry(span.place).or_default() += span.rows;
            }
            for place in self.rows.keys() {
                places.entry(*place).or_default();
            }
            for (place, tag) in places {
                let rows = self.rows.get(&place).copied().unwrap_or(0);
                if rows != tag {
                    let detail = format!("{rows} rows in the file, {tag} in its tag");
                    findings.push(Finding::at(place, Kind::RowsDiffer, Ranges::default(), detail));
                }
            }
        }
        findings.into_iter().map(|finding| finding.in_file(&self.path)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_of_row_has_its_folder() {
        let day = |n: i64| Some(n * DAY_US + 5);
        assert!(Class::Ok.may_be_in(10, day(10), day(12)));
        assert!(!Class::Ok.may_be_in(12, day(10), day(12)));
        assert!(!Class::Ok.may_be_in(12, None, day(12)));
        assert!(Class::AwayFromKafka.may_be_in(12, day(99), day(12)));
        assert!(!Class::AwayFromKafka.may_be_in(99, day(99), day(12)));
        assert!(Class::Rejected.may_be_in(12, None, day(12)) && Class::Rejected.may_be_in(10, day(10), day(12)));
        assert!(!Class::Rejected.may_be_in(11, day(10), day(12)));
        assert!(Class::Rejected.may_be_in(0, None, None) && !Class::Rejected.may_be_in(1, None, None));
        assert!(Class::Lost.may_be_in(7, None, None) && !Class::Lost.may_be_in(7, None, day(8)));
        assert!(Class::Ok.may_be_in(-1, Some(-1), None), "the day before 1970");
    }
}
