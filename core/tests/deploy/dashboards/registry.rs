//! Metrics: what dashboards and rules ask for is what the program exports, and what it exports is looked at somewhere.

use std::collections::BTreeSet;

use tributary_core::metric::{ALL, Metric, Type};

use super::promql::{Selector, selectors};
use super::{Board, boards, files, list, nothing_wrong, text, when};

/// What there is besides ours: made by Prometheus for whatever it scrapes, by the process about itself, by Prometheus about itself.
const OTHERS: [&str; 10] = [
    "up",
    "scrape_duration_seconds",
    "ALERTS",
    "process_start_time_seconds",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_max_fds",
    "process_threads",
    "prometheus_rule_evaluation_failures_total",
];
/// What Prometheus adds to every series.
const ADDED: [&str; 3] = ["job", "instance", "service"];

/// The metric that a series belongs to, and the labels that the series has.
fn metric_of(series: &str) -> Option<(&'static Metric, Vec<&'static str>)> {
    ALL.iter().find_map(|metric| {
        let labels = || metric.labels.iter().chain(&ADDED).copied().collect::<Vec<_>>();
        match (metric.kind, series.strip_prefix(metric.name)?) {
            (Type::Histogram(_), "_sum" | "_count") => Some((metric, labels())),
            (Type::Histogram(_), "_bucket") => Some((metric, [labels(), vec!["le"]].concat())),
            (Type::Counter | Type::Gauge, "") => Some((metric, labels())),
            _ => None,
        }
    })
}

fn of_dashboards() -> Vec<(String, Selector)> {
    let boards = boards();
    let of_panels = boards.iter().flat_map(Board::expressions).map(|(at, expression)| (at, expression.to_owned()));
    let of_variables = boards.iter().flat_map(|board| {
        board.variables().iter().filter_map(|variable| {
            let inner = text(&variable["query"]["query"]).strip_prefix("label_values(")?.rsplit_once(", ")?.0;
            Some((format!("{}: variable {}", board.path, variable["name"]), inner.to_owned()))
        })
    });
    of_panels.chain(of_variables).flat_map(read).collect()
}

fn of_rules() -> Vec<(String, Selector)> {
    let found = files::listed("prometheus/rules", ".yml").into_iter().flat_map(|path| {
        let file = files::yaml(&path);
        let rules = list(&file["groups"]).iter().flat_map(|group| list(&group["rules"]).to_vec()).collect::<Vec<_>>();
        rules
            .into_iter()
            .map(move |rule| (format!("{path}: {}{}", text(&rule["alert"]), text(&rule["record"])), rule["expr"].clone()))
    });
    found.map(|(at, expr)| (at, expr.as_str().map_or_else(|| expr.to_string(), str::to_owned))).flat_map(read).collect()
}

fn read((at, expression): (String, String)) -> Vec<(String, Selector)> {
    let found = selectors(&expression).unwrap_or_else(|why| panic!("{at}: {why}: {expression}"));
    found.into_iter().map(|selector| (at.clone(), selector)).collect()
}

/// Names that rules record have a colon.
fn everything() -> Vec<(String, Selector)> {
    of_dashboards().into_iter().chain(of_rules()).filter(|(_, selector)| !selector.name.contains(':')).collect()
}

#[test]
fn every_metric_that_is_asked_for_exists() {
    let unknown = everything().into_iter().filter(|(_, s)| metric_of(&s.name).is_none() && !OTHERS.contains(&s.name.as_str()));
    nothing_wrong(unknown.map(|(at, selector)| format!("{at}: there is no {}", selector.name)));
}

#[test]
fn series_are_asked_for_by_labels_that_they_have() {
    nothing_wrong(everything().into_iter().flat_map(|(at, selector)| {
        let Some((metric, labels)) = metric_of(&selector.name) else { return Vec::new() };
        let asked = selector.matchers.iter().map(|matcher| &matcher[0]).chain(&selector.by);
        asked
            .filter(|label| !labels.contains(&label.as_str()))
            .map(|label| format!("{at}: {} has no label {label}", metric.name))
            .collect()
    }));
}

#[test]
fn only_what_grows_is_a_rate() {
    nothing_wrong(everything().into_iter().flat_map(|(at, selector)| {
        let rated = selector.calls.last().is_some_and(|call| ["rate", "irate", "increase"].contains(&call.as_str()));
        let gauge = metric_of(&selector.name).is_some_and(|(metric, _)| metric.kind == Type::Gauge);
        when(rated && gauge, format!("{at}: rate of {}", selector.name))
    }));
}

#[test]
fn quantiles_are_made_of_buckets_by_le() {
    nothing_wrong(everything().into_iter().flat_map(|(at, selector)| {
        let quantile = selector.calls.iter().any(|call| call == "histogram_quantile");
        let good = selector.name.ends_with("_bucket") && selector.by.iter().any(|label| label == "le");
        when(quantile && !good, format!("{at}: a quantile of {}", selector.name))
    }));
}

#[test]
fn every_metric_is_on_a_dashboard_or_in_a_rule_or_there_for_reference() {
    let used: BTreeSet<&str> =
        everything().iter().filter_map(|(_, s)| metric_of(&s.name)).map(|(metric, _)| metric.name).collect();
    let wrong = ALL.iter().filter(|metric| used.contains(metric.name) == metric.reference);
    nothing_wrong(wrong.map(|metric| match metric.reference {
        true => format!("{} is used, and so not for reference alone", metric.name),
        false => format!("{} is used nowhere", metric.name),
    }));
}
