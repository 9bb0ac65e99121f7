//! The only place that touches the metrics library: one function per thing that is counted, names from [`tributary_core::metric`].
//!
//! Promises that a metric is bumped once per fact. Whoever calls from a commit path calls after the commit. What is set is held here
//! and shown until it is let go of, so that a partition that was revoked or a pipeline that is gone leaves no number behind.
#![allow(clippy::disallowed_macros)] // this module is what the ban points to

mod batch;
mod lake;
mod postgres;
mod stream;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;
use metrics_util::MetricKindMask;
use tributary_core::metric::{self, Metric, Type};

pub use self::batch::{
    JobMeter, TaskMeter, compared, declared, leads, lost_records, nothing_to_compare, published, silver, tables, tested,
    were_published,
};
pub use self::lake::{TableMeter, disk};
pub use self::postgres::{connection, transaction};
pub use self::stream::{ActorMeter, GeneratorMeter, LegMeter, PartitionPosition, StreamMeter};

type Labels = Vec<(&'static str, String)>;

/// What is shown now: per metric, per labels.
static HELD: Mutex<BTreeMap<&'static str, BTreeMap<Labels, f64>>> = Mutex::new(BTreeMap::new());

fn held() -> MutexGuard<'static, BTreeMap<&'static str, BTreeMap<Labels, f64>>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The metrics of this process.
pub struct Metrics {
    handle: PrometheusHandle,
    process: Collector,
    /// One reader at a time: the library drops what was not set between two.
    reading: Mutex<()>,
}

impl Metrics {
    /// Installs the recorder; call once per process. `name` is the process's own name.
    ///
    /// # Errors
    /// When a recorder is already installed.
    pub fn install(name: &str) -> Result<Self, BuildError> {
        // What is held is set before each look: whatever was not is gone.
        let mut builder = PrometheusBuilder::new().idle_timeout(MetricKindMask::GAUGE, Some(Duration::ZERO));
        for m in metric::ALL {
            if let Type::Histogram(bounds) = m.kind {
                builder = builder.set_buckets_for_metric(Matcher::Full(m.name.to_owned()), bounds)?;
            }
        }
        let handle = builder.install_recorder()?;
        for m in metric::ALL {
            match m.kind {
                Type::Counter => metrics::describe_counter!(m.name, m.help),
                Type::Gauge => metrics::describe_gauge!(m.name, m.help),
                Type::Histogram(_) => metrics::describe_histogram!(m.name, m.help),
            }
        }
        let process = Collector::default();
        process.describe();
        set(metric::BUILD_INFO, &[env!("CARGO_PKG_VERSION"), name], 1.0);
        Ok(Self { handle, process, reading: Mutex::new(()) })
    }

    /// Everything, in Prometheus's text format.
    pub fn render(&self) -> String {
        let _one = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        self.process.collect();
        for (name, series) in held().iter() {
            for (labels, value) in series {
                metrics::gauge!(*name, labels).set(*value);
            }
        }
        self.handle.render()
    }

    /// Makes histograms small that nobody has looked at; call every few seconds.
    pub fn tidy(&self) {
        self.handle.run_upkeep();
    }
}

fn labels(m: Metric, values: &[&str]) -> Labels {
    debug_assert_eq!(m.labels.len(), values.len(), "{}", m.name);
    m.labels.iter().copied().zip(values.iter().map(|value| (*value).to_owned())).collect()
}

fn add(m: Metric, values: &[&str], n: u64) {
    metrics::counter!(m.name, &labels(m, values)).increment(n);
}

fn observe(m: Metric, values: &[&str], value: f64) {
    metrics::histogram!(m.name, &labels(m, values)).record(value);
}

fn set(m: Metric, values: &[&str], value: f64) {
    held().entry(m.name).or_default().insert(labels(m, values), value);
}

/// Sets what only grows to the larger of two.
fn raise(m: Metric, values: &[&str], value: f64) {
    let mut held = held();
    let shown = held.entry(m.name).or_default().entry(labels(m, values)).or_insert(value);
    *shown = shown.max(value);
}

/// Shows these and nothing else of those that begin with the same label values.
fn replace(m: Metric, first: &[&str], rows: impl IntoIterator<Item = (Vec<String>, f64)>) {
    let mut held = held();
    let series = held.entry(m.name).or_default();
    series.retain(|labels, _| !labels.iter().zip(first).all(|((_, value), wanted)| value == wanted));
    for (rest, value) in rows {
        let values: Vec<&str> = first.iter().copied().chain(rest.iter().map(String::as_str)).collect();
        series.insert(labels(m, &values), value);
    }
}

/// Lets go of the others.
fn keep(m: Metric, is_kept: impl Fn(&Labels) -> bool) {
    if let Some(series) = held().get_mut(m.name) {
        series.retain(|labels, _| is_kept(labels));
    }
}

fn flag(value: bool) -> f64 {
    f64::from(u8::from(value))
}

fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}

fn now() -> f64 {
    seconds(chrono::Utc::now().timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_replaced_is_gone_and_what_belongs_to_others_stays() {
        let shown = || held().get(metric::LAG.name).map_or(Vec::new(), |s| s.values().copied().collect::<Vec<_>>());
        let row = |partition: &str, lag: f64| (vec![partition.to_owned()], lag);
        replace(metric::LAG, &["s", "bronze"], [row("0", 1.0), row("1", 2.0)]);
        replace(metric::LAG, &["s", "serving"], [row("0", 3.0)]);
        replace(metric::LAG, &["s", "bronze"], [row("1", 4.0)]);
        assert_eq!(shown(), [4.0, 3.0], "partition 0 was revoked from bronze");
    }

    #[test]
    fn a_series_that_is_let_go_of_is_not_rendered_again() {
        let metrics = Metrics::install("test").unwrap();
        let row = |partition: &str| (vec![partition.to_owned()], 7.0);
        replace(metric::NEXT_OFFSET, &["gone", "bronze"], [row("0"), row("1")]);
        let series =
            |partition: &str| format!("tributary_next_offset{{stream=\"gone\",leg=\"bronze\",partition=\"{partition}\"}} 7");
        for _ in 0..2 {
            let page = metrics.render();
            assert!(page.contains(&series("0")) && page.contains(&series("1")), "{page}");
        }
        replace(metric::NEXT_OFFSET, &["gone", "bronze"], [row("1")]);
        let page = metrics.render();
        assert!(!page.contains(&series("0")) && page.contains(&series("1")), "{page}");
    }
}
