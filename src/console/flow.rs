//! How fast records have moved: the boards of the streams, looked at every two seconds and kept for ten minutes.
//!
//! Decides nothing and asks no store. A partition counts only where it was there at both looks, so that a rebalance is no burst.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tributary_actors::board::{Board, PartitionState};
use tributary_core::metric;

/// Between two looks.
pub(crate) const LOOK: Duration = Duration::from_secs(2);
/// Looks that are kept.
const KEPT: usize = 300;

/// Records per second of one stream between two looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rates {
    /// When it was looked.
    pub(crate) at: DateTime<Utc>,
    /// Written to Kafka.
    pub(crate) kafka: f64,
    /// Made durable in bronze.
    pub(crate) bronze: f64,
    /// Counted in the windows.
    pub(crate) serving: f64,
}

#[derive(Debug, Default)]
struct Course {
    last: Option<(Instant, BTreeMap<i32, PartitionState>)>,
    rates: VecDeque<Rates>,
}

/// The courses of all streams.
#[derive(Debug, Default)]
pub(crate) struct Flow(Mutex<BTreeMap<String, Course>>);

impl Flow {
    /// Looks at every board.
    pub(crate) fn look(&self, boards: &[Board]) {
        let (now, at) = (Instant::now(), Utc::now());
        let mut courses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for state in boards.iter().map(Board::read) {
            let course = courses.entry(state.stream.clone()).or_default();
            if let Some((before, partitions)) = &course.last {
                let rates = rates(partitions, &state.partitions, now - *before, at);
                course.rates.push_back(rates);
                while course.rates.len() > KEPT {
                    course.rates.pop_front();
                }
            }
            course.last = Some((now, state.partitions));
        }
    }

    /// What is kept of a stream, the oldest first.
    pub(crate) fn of(&self, stream: &str) -> Vec<Rates> {
        let courses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        courses.get(stream).map(|course| course.rates.iter().copied().collect()).unwrap_or_default()
    }

    /// The mean of the newest looks: one alone is as jumpy as the commits.
    pub(crate) fn now(&self, stream: &str) -> Option<Rates> {
        const NEWEST: usize = 3;
        let all = self.of(stream);
        let newest = all.get(all.len().saturating_sub(NEWEST)..).unwrap_or_default();
        let mean = |of: fn(&Rates) -> f64| newest.iter().map(of).sum::<f64>() / newest.len().max(1) as f64;
        newest.last().map(|last| Rates {
            at: last.at,
            kafka: mean(|rates| rates.kafka),
            bronze: mean(|rates| rates.bronze),
            serving: mean(|rates| rates.serving),
        })
    }
}

/// Records of a stream that were no valid events, as a text for Prometheus counts them.
pub(crate) fn refused(text: &str, stream: &str) -> u64 {
    let label = format!("stream=\"{stream}\"");
    let of =
        |line: &&str| line.split_once('{').is_some_and(|(name, rest)| name == metric::REJECTED.name && rest.contains(&label));
    let numbers = text.lines().filter(of).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    numbers.sum::<f64>() as u64
}

fn rates(
    before: &BTreeMap<i32, PartitionState>,
    after: &BTreeMap<i32, PartitionState>,
    took: Duration,
    at: DateTime<Utc>,
) -> Rates {
    let moved = |of: fn(&PartitionState) -> Option<i64>| {
        let each = after.iter().filter_map(|(partition, now)| Some(of(now)? - of(before.get(partition)?)?));
        each.map(|records| records.max(0)).sum::<i64>() as f64 / took.as_secs_f64().max(0.001)
    };
    Rates { at, kafka: moved(|p| p.high), bronze: moved(|p| p.bronze), serving: moved(|p| p.serving) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_that_were_refused_are_added_up_by_stream() {
        let text = "# HELP tributary_records_rejected_total x\n\
                    tributary_records_rejected_total{stream=\"a\",status=\"invalid\"} 12\n\
                    tributary_records_rejected_total{status=\"malformed\",stream=\"a\"} 3\n\
                    tributary_records_rejected_total{stream=\"ab\",status=\"invalid\"} 100\n\
                    tributary_actor_in_total{stream=\"a\"} 9\n";
        assert_eq!([refused(text, "a"), refused(text, "ab"), refused(text, "b")], [15, 100, 0]);
    }

    #[test]
    fn a_partition_that_comes_or_goes_is_no_burst() {
        let at = |high, bronze| PartitionState { high: Some(high), bronze: Some(bronze), ..PartitionState::default() };
        let before = BTreeMap::from([(0, at(100, 90)), (1, at(1_000_000, 1_000_000))]);
        let after = BTreeMap::from([(0, at(120, 110)), (2, at(5_000_000, 5_000_000))]);
        let rates = rates(&before, &after, Duration::from_secs(2), Utc::now());
        assert_eq!((rates.kafka, rates.bronze, rates.serving), (10.0, 10.0, 0.0));
    }
}
