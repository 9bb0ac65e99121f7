//! How far each leg is, beside the other and beside Kafka.
//!
//! Assumes watermarks that were read after the stores: then a store that is ahead of them has offsets that Kafka never gave out.

use std::collections::BTreeMap;

use super::finding::{Finding, Kind};
use super::ranges::Ranges;
use super::report::{PartitionReport, Watermarks};
use super::spans::Place;

/// Kafka's watermarks by partition.
pub(crate) type Marks = BTreeMap<i32, Watermarks>;

/// Puts Kafka's watermarks beside the newest incarnation, of which a store may have nothing yet: older topics of that name are no longer in
/// Kafka.
pub(crate) fn place_marks(partitions: &mut BTreeMap<Place, PartitionReport>, marks: &Marks, newest: i32) {
    for (partition, mark) in marks {
        let report = partitions.entry((newest, *partition)).or_default();
        (report.incarnation, report.partition, report.broker) = (newest, *partition, Some(*mark));
        if let Some(bronze) = &mut report.bronze {
            bronze.lag = bronze.next.map(|next| (mark.high - next).max(0));
        }
        if let Some(serving) = &mut report.serving {
            serving.lag = Some((mark.high - serving.next).max(0));
        }
    }
}

/// What is wrong between Kafka and the stores.
pub(crate) fn beside_broker(place: Place, report: &PartitionReport) -> Vec<Finding> {
    let Some(Watermarks { low, high }) = report.broker else { return Vec::new() };
    let mut findings = Vec::new();
    let bronze = report.bronze.as_ref().and_then(|bronze| bronze.next);
    for (leg, next) in [("bronze", bronze), ("serving", report.serving.as_ref().map(|serving| serving.next))] {
        if let Some(next) = next.filter(|next| *next > high) {
            let detail = format!(
                "{leg} is at {next}, Kafka's high watermark is {high}: was the topic recreated, or is it another cluster?"
            );
            findings.push(Finding::at(place, Kind::AheadOfBroker, Ranges::of(high, next), detail));
        }
    }
    // The serving leg can refill from bronze what Kafka no longer has; bronze has nowhere else to go.
    if let Some(next) = bronze.filter(|next| *next < low) {
        let detail = format!("bronze is at {next}, Kafka's first offset is {low}: what is between is gone");
        findings.push(Finding::at(place, Kind::Expired, Ranges::of(next, low), detail));
    }
    findings
}

/// What bronze has of an older topic, and the windows do not: Kafka cannot bring it any more.
pub(crate) fn left_behind(place: Place, report: &PartitionReport) -> Option<Finding> {
    let bronze = report.bronze.as_ref()?;
    let next = bronze.next?;
    let counted = report.serving.as_ref().map_or(bronze.first.unwrap_or(0), |serving| serving.next);
    let detail =
        || format!("bronze has this older topic up to {next}, the windows counted it up to {counted}; `up` refills them");
    (counted < next).then(|| Finding::at(place, Kind::WindowsBehind, Ranges::of(counted, next), detail()))
}

/// What is still on its way, when nothing may be.
pub(crate) fn not_drained(place: Place, report: &PartitionReport, target: &Marks, bronze_only: bool) -> Vec<Finding> {
    let Some(mark) = target.get(&place.1).filter(|_| report.broker.is_some()) else { return Vec::new() };
    let mut findings = Vec::new();
    let mut leg = |leg: &str, next: Option<i64>| {
        // A partition that holds nothing may be unknown to a store.
        let next = next.unwrap_or(mark.low);
        if next < mark.high {
            let detail = format!("{leg} is at {next}, Kafka had {} when the audit began: {} behind", mark.high, mark.high - next);
            findings.push(Finding::at(place, Kind::NotDrained, Ranges::of(next, mark.high), detail));
        }
    };
    leg("bronze", report.bronze.as_ref().and_then(|bronze| bronze.next));
    if !bronze_only {
        leg("serving", report.serving.as_ref().map(|serving| serving.next));
    }
    findings
}

/// Whether a store has reached these offsets; a partition that holds nothing may be unknown to it.
pub(crate) fn reached(offsets: &BTreeMap<Place, i64>, target: &Marks) -> bool {
    let newest = offsets.keys().map(|place| place.0).max().unwrap_or(1);
    target.iter().all(|(partition, mark)| offsets.get(&(newest, *partition)).copied().unwrap_or(mark.low) >= mark.high)
}

#[cfg(test)]
mod tests {
    use super::super::report::{BronzePartition, ServingPartition};
    use super::*;

    fn at(bronze: i64, serving: i64, low: i64, high: i64) -> PartitionReport {
        PartitionReport {
            broker: Some(Watermarks { low, high }),
            bronze: Some(BronzePartition { next: Some(bronze), ..BronzePartition::default() }),
            serving: Some(ServingPartition { next: serving, lag: None }),
            ..PartitionReport::default()
        }
    }

    fn kinds(report: &PartitionReport) -> Vec<(Kind, String)> {
        beside_broker((1, 0), report).into_iter().map(|f| (f.kind, f.ranges.to_string())).collect()
    }

    #[test]
    fn no_store_may_be_ahead_of_kafka_and_bronze_not_behind_what_it_still_has() {
        assert_eq!(kinds(&at(90, 100, 0, 100)), []);
        assert_eq!(kinds(&at(101, 100, 0, 100)), [(Kind::AheadOfBroker, "[100, 101)".into())]);
        assert_eq!(kinds(&at(100, 103, 0, 100)), [(Kind::AheadOfBroker, "[100, 103)".into())]);
        assert_eq!(kinds(&at(60, 40, 70, 100)), [(Kind::Expired, "[60, 70)".into())]);
    }

    #[test]
    fn drained_means_both_legs_and_only_partitions_that_hold_something() {
        let target = Marks::from([(0, Watermarks { low: 0, high: 100 })]);
        assert!(not_drained((1, 0), &at(100, 100, 0, 100), &target, false).is_empty());
        assert_eq!(not_drained((1, 0), &at(100, 99, 0, 100), &target, false).len(), 1);
        assert!(not_drained((1, 0), &at(100, 99, 0, 100), &target, true).is_empty());
        let empty = Marks::from([(0, Watermarks { low: 5, high: 5 })]);
        assert!(reached(&BTreeMap::new(), &empty) && !reached(&BTreeMap::new(), &target));
        assert!(reached(&BTreeMap::from([((1, 0), 7), ((2, 0), 100)]), &target), "the newest incarnation counts");
        assert!(!reached(&BTreeMap::from([((1, 0), 100), ((2, 0), 7)]), &target));
    }

    #[test]
    fn an_older_topic_is_in_the_windows_as_far_as_it_is_in_bronze() {
        assert!(left_behind((1, 0), &at(50, 50, 0, 0)).is_none());
        assert_eq!(left_behind((1, 0), &at(50, 20, 0, 0)).unwrap().ranges.to_string(), "[20, 50)");
        let unknown = PartitionReport { serving: None, ..at(50, 0, 0, 0) };
        assert_eq!(left_behind((1, 0), &unknown).unwrap().ranges.to_string(), "[0, 50)");
    }

    #[test]
    fn only_the_newest_incarnation_is_in_kafka() {
        let mut partitions = BTreeMap::from([((1, 0), at(50, 50, 0, 0)), ((2, 0), at(8, 9, 0, 0))]);
        partitions.values_mut().for_each(|report| report.broker = None);
        place_marks(
            &mut partitions,
            &Marks::from([(0, Watermarks { low: 0, high: 10 }), (1, Watermarks { low: 0, high: 0 })]),
            2,
        );
        assert_eq!(partitions[&(1, 0)].broker, None);
        assert_eq!(partitions[&(2, 0)].bronze.as_ref().unwrap().lag, Some(2));
        assert_eq!(partitions[&(2, 0)].serving.as_ref().unwrap().lag, Some(1));
        assert!(partitions[&(2, 1)].bronze.is_none());
    }
}
