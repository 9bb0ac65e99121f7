//! One partition of bronze, judged: the log says up to where, the tags say what was covered, the rows say what is there.
//!
//! Promises: each offset between the first that anything names and the stored next one is exactly one of row, hole, lost or missing;
//! and each finding names the exact offsets.

use super::finding::{Finding, Kind};
use super::ranges::Ranges;
use super::report::BronzePartition;
use super::spans::{Claims, Place};
use super::tally::Partition;

/// Holes are described, not judged, and there may be one per record: only so many ranges are listed.
const HOLES_LISTED: usize = 1000;

/// What the log stores of a partition: the first offset that the table ever took, and the next one. None where it does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Older tables do not store it: then the first that a file names counts.
    pub(crate) first: Option<i64>,
    /// Everything below is in the table.
    pub(crate) next: Option<i64>,
}

/// Compares the three. `holes` says whether offsets of a committed span may be without a record.
pub(crate) fn partition(
    place: Place,
    Stored { first, next }: Stored,
    claims: Option<&mut Claims>,
    rows: Option<&mut Partition>,
    holes: bool,
) -> (BronzePartition, Vec<Finding>) {
    let mut report = BronzePartition { next, ..BronzePartition::default() };
    let mut findings = Vec::new();
    let mut find = |kind, ranges: &Ranges, detail: String| findings.push(Finding::at(place, kind, ranges.clone(), detail));

    let (mut no_claims, mut no_rows) = (Claims::default(), Partition::default());
    let (claims, rows) = (claims.unwrap_or(&mut no_claims), rows.unwrap_or(&mut no_rows));
    let overlaps = claims.overlaps();
    if !overlaps.is_empty() {
        find(Kind::Overlap, &overlaps, format!("two commits both claim {overlaps}"));
    }
    let covered = claims.covered();

    report.rows = rows.rows;
    report.twice = rows.offsets.repeats();
    report.twice_ranges = rows.offsets.twice().clone();
    for (from, to) in &rows.lost {
        let again = report.lost_ranges.within(*from, *to);
        report.twice += again.count();
        report.twice_ranges.add_all(&again);
        report.lost_ranges.add(*from, *to);
    }
    report.lost = report.lost_ranges.count();

    let mut runs = Bounds::default();
    rows.offsets.runs(|from, to| runs.add(from, to));
    let named = [covered.first(), report.lost_ranges.first(), runs.first, first];
    report.first = named.into_iter().flatten().min();
    let end = [covered.end(), report.lost_ranges.end(), runs.end].into_iter().flatten().max();
    let until = next.or(end).unwrap_or(0);

    let mut at = report.first.unwrap_or(until);
    let lost = report.lost_ranges.clone();
    let gap = |report: &mut BronzePartition, from: i64, to: i64| {
        for (from, to) in lost.without(from, to.min(until)).iter() {
            for (from, to) in covered.within(from, to).iter() {
                report.holes += from.abs_diff(to);
                report.hole_ranges_total += 1;
                if report.hole_ranges.iter().len() < HOLES_LISTED {
                    report.hole_ranges.add(from, to);
                }
            }
            report.missing_ranges.add_all(&covered.without(from, to));
        }
    };
    rows.offsets.runs(|from, to| {
        gap(&mut report, at, from);
        at = to;
        let both = lost.within(from, to);
        report.twice += both.count();
        report.twice_ranges.add_all(&both);
        report.beyond_ranges.add(from.max(until), to);
    });
    gap(&mut report, at, until);
    report.missing = report.missing_ranges.count();
    report.beyond = report.beyond_ranges.count();

    if report.missing > 0 {
        let detail = format!("{} offsets below {until} have neither row nor span: {}", report.missing, report.missing_ranges);
        find(Kind::Missing, &report.missing_ranges, detail);
    }
    if report.first.is_none() && until > 0 {
        let detail = format!("the log says that everything below {until} is there, and no file knows of any");
        find(Kind::Missing, &Ranges::default(), detail);
    }
    if !holes && report.holes > 0 {
        let listed = &report.hole_ranges;
        find(Kind::Missing, listed, format!("{} offsets of committed spans have no row: {listed}", report.holes));
    }
    if report.twice > 0 {
        find(Kind::Twice, &report.twice_ranges, format!("{} rows too many: {}", report.twice, report.twice_ranges));
    }
    match (next, end) {
        (None, Some(_)) => {
            let all = Ranges::of(report.first.unwrap_or(until), until);
            find(Kind::Beyond, &all, format!("the log stores no next offset, and the files hold {all}"));
        }
        (Some(next), Some(end)) if end > next => {
            let detail = format!("the files reach to {end}, the log says {next}; {} rows beyond", report.beyond);
            find(Kind::Beyond, &Ranges::of(next, end), detail);
        }
        _ => {}
    }
    (report, findings)
}

#[derive(Default)]
struct Bounds {
    first: Option<i64>,
    end: Option<i64>,
}

impl Bounds {
    fn add(&mut self, from: i64, to: i64) {
        self.first.get_or_insert(from);
        self.end = Some(to);
    }
}

#[cfg(test)]
mod tests {
    use super::super::spans::TagSpan;
    use super::*;

    struct Case {
        claims: Claims,
        rows: Partition,
    }

    fn case(spans: &[(i64, i64)], offsets: impl IntoIterator<Item = i64>) -> Case {
        let mut case = Case { claims: Claims::default(), rows: Partition::default() };
        for (from, to) in spans {
            case.claims.add(&TagSpan { place: (1, 0), from: *from, to: *to, rows: 0 }, true);
        }
        for offset in offsets {
            case.rows.offsets.insert(offset);
            case.rows.rows += 1;
        }
        case
    }

    fn judge(case: &mut Case, next: Option<i64>) -> (BronzePartition, Vec<Kind>) {
        let (report, findings) =
            partition((1, 0), Stored { first: None, next }, Some(&mut case.claims), Some(&mut case.rows), true);
        (report, findings.iter().map(|finding| finding.kind).collect())
    }

    #[test]
    fn every_offset_is_one_of_row_hole_lost_or_missing() {
        let mut case = case(&[(10, 50), (60, 100)], (10..40).chain(60..95));
        case.rows.lost.push((40, 45));
        let (report, kinds) = judge(&mut case, Some(110));
        assert_eq!(kinds, [Kind::Missing]);
        assert_eq!(report.missing_ranges.to_string(), "[50, 60) [100, 110)");
        assert_eq!(report.hole_ranges.to_string(), "[45, 50) [95, 100)");
        assert_eq!(report.rows + report.holes + report.lost + report.missing, 100);
        assert_eq!(report.first, Some(10));
    }

    #[test]
    fn without_tags_the_rows_decide() {
        let (_, kinds) = judge(&mut case(&[], 5..20), Some(20));
        assert_eq!(kinds, []);
        let (report, kinds) = judge(&mut case(&[], (5..10).chain(12..20)), Some(20));
        assert_eq!((report.missing_ranges.to_string().as_str(), kinds), ("[10, 12)", vec![Kind::Missing]));
    }

    #[test]
    fn a_record_that_is_there_and_lost_came_twice() {
        let mut case = case(&[(0, 20)], 0..12);
        case.rows.lost.extend([(10, 20), (15, 20)]);
        let (report, kinds) = judge(&mut case, Some(20));
        assert_eq!((report.twice, report.twice_ranges.to_string().as_str()), (7, "[10, 12) [15, 20)"));
        assert_eq!(kinds, [Kind::Twice]);
    }

    #[test]
    fn beyond_the_stored_offset_nothing_may_be() {
        let (report, kinds) = judge(&mut case(&[(0, 20)], 0..20), Some(18));
        assert_eq!((report.beyond, report.missing, kinds), (2, 0, vec![Kind::Beyond]));
        let (_, kinds) = judge(&mut case(&[(0, 20)], 0..20), None);
        assert_eq!(kinds, [Kind::Beyond]);
        let (_, kinds) = judge(&mut case(&[], []), Some(18));
        assert_eq!(kinds, [Kind::Missing], "a stored offset without any file");
        let (_, kinds) = judge(&mut case(&[], []), Some(0));
        assert_eq!(kinds, []);
    }

    #[test]
    fn the_first_offset_counts_when_the_log_stores_it() {
        let mut case = case(&[(10, 20)], 10..20);
        let stored = Stored { first: Some(5), next: Some(20) };
        let (report, _) = partition((1, 0), stored, Some(&mut case.claims), Some(&mut case.rows), true);
        assert_eq!(report.missing_ranges.to_string(), "[5, 10)");
        let (report, findings) = partition((1, 0), Stored { first: Some(7), next: Some(7) }, None, None, true);
        assert_eq!((report.missing, findings.len()), (0, 0), "nothing was taken yet");
    }

    #[test]
    fn holes_are_judged_only_on_request() {
        let mut case = case(&[(0, 20)], (0..20).step_by(2));
        let (report, kinds) = judge(&mut case, Some(20));
        assert_eq!((report.holes, report.hole_ranges_total, kinds), (10, 10, vec![]));
        let (_, findings) =
            partition((1, 0), Stored { first: None, next: Some(20) }, Some(&mut case.claims), Some(&mut case.rows), false);
        assert_eq!(findings[0].kind, Kind::Missing);
    }
}
