//! The rules of grafana/dashboard-linter, where Prometheus is asked. Its rules on Loki have nothing to look at here; those on titles,
//! descriptions, units and editing hold for every panel and are in `panels` and `shape`.

use serde_json::{Value, json};

use super::promql::{Selector, selectors};
use super::{Board, boards, each_panel, list, nothing_wrong, text, when};

/// Series that Prometheus makes of its own rules; they have no job of their own.
const OF_RULES: [&str; 1] = ["ALERTS"];

/// The dashboards that are about Prometheus: those with a choice of it.
fn about_prometheus() -> Vec<Board> {
    let found: Vec<Board> = boards().into_iter().filter(|board| !board.variables().is_empty()).collect();
    assert!(!found.is_empty());
    found
}

/// What is wrong with each selector in panels of dashboards about Prometheus.
fn each_selector(wrong: impl Fn(&Selector) -> Vec<String>) {
    let boards = about_prometheus();
    nothing_wrong(boards.iter().flat_map(Board::expressions).flat_map(|(at, expression)| {
        let found = selectors(expression).unwrap_or_else(|why| panic!("{at}: {why}: {expression}"));
        found.iter().flat_map(&wrong).map(|what| format!("{at}: {what}")).collect::<Vec<_>>()
    }));
}

#[test]
fn template_datasource_there_is_one_choice_of_a_data_source_and_it_is_ours_at_first() {
    for board in about_prometheus() {
        let choices: Vec<&Value> = board.variables().iter().filter(|variable| variable["type"] == "datasource").collect();
        assert_eq!(choices.len(), 1, "{}", board.path);
        let found = ["name", "label", "query"].map(|key| text(&choices[0][key]));
        assert_eq!(found, ["datasource", "Data source", "prometheus"], "{}", board.path);
        assert_eq!(choices[0]["current"]["value"], "tributary-prom", "{}", board.path);
    }
}

#[test]
fn a_panel_that_asks_prometheus_is_on_a_dashboard_where_it_can_be_chosen() {
    for board in boards().iter().filter(|board| board.variables().is_empty()) {
        let asks = board.panels().into_iter().any(|panel| list(&panel["targets"]).iter().any(|target| !target["expr"].is_null()));
        assert!(!asks, "{}", board.path);
    }
}

#[test]
fn template_job_and_instance_both_can_be_narrowed_and_are_all_at_first() {
    for board in about_prometheus() {
        for (name, label) in [("job", "Job"), ("instance", "Instance")] {
            let variable = board.variable(name);
            let wanted = json!({
                "type": "query", "label": label, "multi": true, "includeAll": true, "allValue": ".+",
                "datasource": {"type": "prometheus", "uid": "${datasource}"}, "current": {"text": ["All"], "value": ["$__all"]},
            });
            let wrong = wanted.as_object().into_iter().flatten().filter(|(key, value)| variable[key] != **value);
            nothing_wrong(wrong.map(|(key, value)| format!("{}: variable {name}: {key} is not {value}", board.path)));
        }
    }
}

#[test]
fn template_label_promql_variables_ask_for_values_of_a_label() {
    for board in about_prometheus() {
        for variable in board.variables().iter().filter(|variable| variable["type"] == "query") {
            let query = text(&variable["query"]["query"]);
            let inner = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
            let (series, label) =
                inner.and_then(|inner| inner.rsplit_once(", ")).unwrap_or_else(|| panic!("{}: {query}", board.path));
            assert_eq!(selectors(series).map(|found| found.len()), Ok(1), "{}: {query}", board.path);
            assert_eq!(label, text(&variable["name"]), "{}: {query}", board.path);
            assert_eq!(variable["definition"], variable["query"]["query"], "{}", board.path);
        }
    }
}

#[test]
fn template_on_time_change_reload_variables_are_asked_for_anew_with_every_time_range() {
    for board in about_prometheus() {
        let queries = board.variables().iter().filter(|variable| variable["type"] == "query");
        nothing_wrong(queries.filter(|query| query["refresh"] != 2).map(|query| format!("{}: {}", board.path, query["name"])));
    }
}

#[test]
fn panel_datasource_what_asks_prometheus_asks_the_one_that_was_chosen() {
    each_panel(|_, panel| {
        let asks = list(&panel["targets"]).iter().filter(|target| !target["expr"].is_null());
        let wanted = json!({"type": "prometheus", "uid": "${datasource}"});
        asks.flat_map(|target| when(target["datasource"] != wanted || panel["datasource"] != wanted, "a data source of its own"))
            .collect()
    });
}

#[test]
fn panel_no_targets_every_panel_asks_something() {
    each_panel(|_, panel| when(list(&panel["targets"]).is_empty(), "asks nothing"));
}

#[test]
fn target_promql_every_expression_can_be_read() {
    let boards = boards();
    let expressions = boards.iter().flat_map(Board::expressions);
    nothing_wrong(expressions.filter_map(|(at, expression)| selectors(expression).err().map(|why| format!("{at}: {why}"))));
}

#[test]
fn target_rate_interval_rates_are_over_the_interval_that_grafana_works_out() {
    each_selector(|selector| {
        let rate = selector.calls.last().is_some_and(|call| ["rate", "irate"].contains(&call.as_str()));
        when(
            rate && selector.range.as_deref() != Some("$__rate_interval"),
            format!("{} over {:?}", selector.name, selector.range),
        )
    });
}

/// Both rules: is the series narrowed by this variable?
fn narrowed_by(name: &str) {
    each_selector(|selector| {
        let wanted = [name, "=~", &format!("${name}")].map(str::to_owned);
        when(
            !OF_RULES.contains(&selector.name.as_str()) && !selector.matchers.contains(&wanted),
            format!("{} of any {name}", selector.name),
        )
    });
}

#[test]
fn target_job_every_series_is_narrowed_by_job() {
    narrowed_by("job");
}

#[test]
fn target_instance_every_series_is_narrowed_by_instance() {
    narrowed_by("instance");
}

#[test]
fn target_counter_agg_what_only_grows_is_shown_as_a_rate_or_an_increase() {
    let grows = ["_total", "_bucket", "_sum", "_count"];
    each_selector(|selector| {
        let rated = selector.calls.last().is_some_and(|call| ["rate", "irate", "increase"].contains(&call.as_str()));
        let counter = grows.iter().any(|ending| selector.name.ends_with(ending));
        when(counter && !(rated && selector.range.is_some()), format!("{} as it is", selector.name))
    });
}

#[test]
fn a_legend_names_only_labels_that_the_expression_keeps() {
    each_panel(|_, panel| {
        let targets = list(&panel["targets"]).iter().filter(|target| !target["expr"].is_null());
        targets
            .flat_map(|target| {
                let kept: Vec<String> =
                    selectors(text(&target["expr"])).unwrap_or_default().into_iter().flat_map(|s| s.by).collect();
                let named = text(&target["legendFormat"])
                    .split("{{")
                    .skip(1)
                    .filter_map(|rest| rest.split_once("}}"))
                    .map(|(name, _)| name);
                named
                    .filter(|name| !kept.iter().any(|kept| kept == name))
                    .map(|name| format!("legend {name}"))
                    .collect::<Vec<_>>()
            })
            .collect()
    });
}
