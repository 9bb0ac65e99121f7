//! How far each leg is, from the stores and without reading a row: what `tributary status` shows.
//!
//! Judges nothing. The stores are asked one after the other and not at one moment, so a lag may be off by what moved meanwhile.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat};
use serde::Serialize;
use tributary_core::stream::Stream;

use super::lake::Lake;
use super::legs::{Marks, place_marks};
use super::report::{BronzePartition, PartitionReport, ServingPartition, Watermarks};
use super::spans::Place;
use super::{Stores, broker, serving, verdict};

/// One stream, as far as the stores say.
#[derive(Debug, Serialize)]
pub(crate) struct Glance {
    /// Its name.
    pub(crate) stream: String,
    /// Its topic.
    pub(crate) topic: String,
    /// The Delta table.
    pub(crate) bronze: BronzeGlance,
    /// The windows.
    pub(crate) serving: ServingGlance,
    /// Why Kafka could not be asked.
    pub(crate) broker_problem: Option<String>,
    /// Records that bronze has yet to take; null: not known.
    pub(crate) bronze_lag: Option<i64>,
    /// Records that the windows have yet to count; null: not known.
    pub(crate) serving_lag: Option<i64>,
    /// By incarnation and partition.
    pub(crate) partitions: Vec<PartitionGlance>,
}

/// The Delta table.
#[derive(Debug, Default, Serialize)]
pub(crate) struct BronzeGlance {
    /// Newest version; null: there is none.
    pub(crate) version: Option<u64>,
    /// When it was committed, RFC 3339.
    pub(crate) last_commit: Option<String>,
    /// Why it could not be read.
    pub(crate) problem: Option<String>,
}

/// The windows.
#[derive(Debug, Default, Serialize)]
pub(crate) struct ServingGlance {
    /// Start of the newest window, RFC 3339.
    pub(crate) newest_window: Option<String>,
    /// When their offsets moved last, RFC 3339.
    pub(crate) last_merge: Option<String>,
    /// Why they could not be read.
    pub(crate) problem: Option<String>,
}

/// One partition of one incarnation of the topic; null: the store does not know it.
#[derive(Debug, Serialize)]
pub(crate) struct PartitionGlance {
    /// Kafka partition.
    pub(crate) partition: i32,
    /// Which topic of that name.
    pub(crate) incarnation: i32,
    /// Kafka's watermarks.
    pub(crate) broker: Option<Watermarks>,
    /// Next offset of bronze.
    pub(crate) bronze: Option<i64>,
    /// Next offset of the windows.
    pub(crate) serving: Option<i64>,
}

/// Looks at one stream. Needs a multi-threaded runtime.
pub(crate) async fn glance(stores: &Stores, stream: &Stream) -> Glance {
    let mut places: BTreeMap<Place, PartitionReport> = BTreeMap::new();
    let (bronze, adopted) = bronze(stores, stream, &mut places).await;
    let serving = serving(stores, stream, &mut places).await;
    let asked = match &stores.brokers {
        Some(brokers) => tokio::task::block_in_place(|| broker::watermarks(brokers, &stream.topic)),
        None => Err(anyhow::anyhow!("no broker is known")),
    };
    let (marks, broker_problem) = match asked {
        Ok(marks) => (marks, None),
        Err(error) => (Marks::new(), Some(format!("{error:#}"))),
    };
    let newest = places.keys().map(|place| place.0).chain(adopted).max().unwrap_or(1);
    place_marks(&mut places, &marks, newest);
    let of_bronze = |report: &PartitionReport| report.bronze.as_ref().and_then(|bronze| bronze.next);
    let of_serving = |report: &PartitionReport| report.serving.as_ref().map(|serving| serving.next);
    Glance {
        stream: stream.name.clone(),
        topic: stream.topic.clone(),
        bronze_lag: lag(&places, of_bronze),
        serving_lag: lag(&places, of_serving),
        bronze,
        serving,
        broker_problem,
        partitions: places
            .into_iter()
            .map(|((incarnation, partition), report)| PartitionGlance {
                partition,
                incarnation,
                broker: report.broker,
                bronze: of_bronze(&report),
                serving: of_serving(&report),
            })
            .collect(),
    }
}

/// What bronze's log says, and the newest incarnation that it knows.
async fn bronze(stores: &Stores, stream: &Stream, places: &mut BTreeMap<Place, PartitionReport>) -> (BronzeGlance, Option<i32>) {
    let problem = |text: String| (BronzeGlance { problem: Some(text), ..BronzeGlance::default() }, None);
    let lake = match Lake::at(&stores.lake, &stores.lake_options, &format!("bronze/{}", stream.name)) {
        Ok(Some(lake)) => lake,
        Ok(None) => return problem(format!("there is no table {} in {}", stream.name, stores.lake)),
        Err(error) => return problem(format!("{error:#}")),
    };
    match lake.head().await {
        Ok(Some(head)) => {
            for (place, stored) in verdict::stored(&head, &stream.topic) {
                let bronze = BronzePartition { next: stored.next, ..BronzePartition::default() };
                places.entry(place).or_default().bronze = Some(bronze);
            }
            let last_commit = head.committed_ms.and_then(|ms| time(ms.checked_mul(1000)?));
            let adopted = verdict::adopted(&head, &stream.topic).into_values().filter_map(|n| i32::try_from(n).ok()).max();
            (BronzeGlance { version: Some(head.version), last_commit, problem: None }, adopted)
        }
        Ok(None) => problem(format!("there is no Delta log in {}", lake.url)),
        Err(error) => problem(format!("{error:#}")),
    }
}

async fn serving(stores: &Stores, stream: &Stream, places: &mut BTreeMap<Place, PartitionReport>) -> ServingGlance {
    let asked = match &stores.database_url {
        Some(url) => serving::newest(url, stream).await,
        None => Err(anyhow::anyhow!("no PostgreSQL is known")),
    };
    match asked {
        Ok(newest) => {
            for (place, next) in newest.offsets {
                places.entry(place).or_default().serving = Some(ServingPartition { next, lag: None });
            }
            let (newest_window, last_merge) = (newest.window_us.and_then(time), newest.moved_us.and_then(time));
            ServingGlance { newest_window, last_merge, problem: None }
        }
        Err(error) => ServingGlance { problem: Some(format!("{error:#}")), ..ServingGlance::default() },
    }
}

/// What is left in Kafka for a store, over all partitions; none without watermarks.
fn lag(places: &BTreeMap<Place, PartitionReport>, next: impl Fn(&PartitionReport) -> Option<i64>) -> Option<i64> {
    let marked = places.values().filter_map(|report| Some((report.broker?, report)));
    // A store that does not know a partition has all of it before it.
    marked.map(|(marks, report)| (marks.high - next(report).unwrap_or(marks.low)).max(0)).reduce(|a, b| a + b)
}

fn time(us: i64) -> Option<String> {
    DateTime::from_timestamp_micros(us).map(|time| time.to_rfc3339_opts(SecondsFormat::Millis, true))
}
