//! Data sources and the provider of dashboards: what Grafana reads at its start, and what compose gives it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Board, boards, files, list, nothing_wrong, text};

const SOURCES: &str = "grafana/provisioning/datasources/tributary.yaml";
const PROVIDER: &str = "grafana/provisioning/dashboards/tributary.yaml";

/// The uids that exist, each with its type.
fn sources() -> BTreeMap<String, String> {
    let file = files::yaml(SOURCES);
    list(&file["datasources"]).iter().map(|one| (text(&one["uid"]).to_owned(), text(&one["type"]).to_owned())).collect()
}

/// Every `datasource` anywhere in a dashboard.
fn asked(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(all) => all.iter().flat_map(asked).collect(),
        Value::Object(all) => all.iter().flat_map(|(key, v)| if key == "datasource" { vec![v] } else { asked(v) }).collect(),
        _ => Vec::new(),
    }
}

/// The uid that is meant: of a variable its first value.
fn meant<'a>(board: &'a Board, uid: &'a str) -> &'a str {
    let variable = uid.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    variable.map_or(uid, |name| text(&board.variable(name)["current"]["value"]))
}

#[test]
fn only_data_sources_that_are_provisioned_are_asked() {
    let (boards, sources) = (boards(), sources());
    nothing_wrong(boards.iter().flat_map(|board| {
        let wrong = asked(&board.json)
            .into_iter()
            .filter(|one| sources.get(meant(board, text(&one["uid"]))).is_none_or(|kind| one["type"] != kind.as_str()));
        wrong.map(|one| format!("{}: {one}", board.path)).collect::<Vec<_>>()
    }));
}

/// Every text anywhere in a file.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(all) => all.iter().flat_map(texts).collect(),
        Value::Object(all) => all.values().flat_map(texts).collect(),
        other => other.as_str().into_iter().collect(),
    }
}

#[test]
fn compose_gives_grafana_every_variable_that_provisioning_asks_for() {
    let (file, compose) = (files::yaml(SOURCES), files::yaml("docker-compose.yml"));
    let given: BTreeSet<&str> =
        compose["services"]["grafana"]["environment"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    let asked = texts(&file).into_iter().filter_map(|value| value.strip_prefix('$'));
    nothing_wrong(
        asked.filter(|name| !given.contains(name)).map(|name| format!("docker-compose.yml does not give Grafana {name}")),
    );
}

#[test]
fn variables_are_whole_values_without_braces_because_grafana_expands_those_with_braces_twice() {
    let file = files::yaml(SOURCES);
    let wrong =
        |value: &&str| value.contains('$') && (!value.starts_with('$') || value.contains('{') || value[1..].contains('$'));
    nothing_wrong(texts(&file).into_iter().filter(wrong).map(str::to_owned));
}

#[test]
fn sources_are_not_edited_in_the_browser_and_the_database_is_asked_as_the_role_that_only_reads() {
    let file = files::yaml(SOURCES);
    let sources = list(&file["datasources"]);
    assert!(sources.iter().all(|one| one["editable"] == false && one["access"] == "proxy"));
    let postgres = sources.iter().find(|one| one["uid"] == "tributary-pg").unwrap();
    assert_eq!((&postgres["user"], &postgres["secureJsonData"]["password"]), (&"grafana".into(), &"$GRAFANA_DB_PASSWORD".into()));
    assert!(postgres["jsonData"]["database"].is_string(), "Grafana reads the database's name from jsonData alone");
}

#[test]
fn rates_are_made_for_the_interval_at_which_prometheus_scrapes() {
    let (file, prometheus) = (files::yaml(SOURCES), files::yaml("prometheus/prometheus.yml"));
    let source = list(&file["datasources"]).iter().find(|one| one["uid"] == "tributary-prom").unwrap();
    assert_eq!(source["jsonData"]["timeInterval"], prometheus["global"]["scrape_interval"]);
}

#[test]
fn dashboards_are_read_from_where_compose_mounts_them() {
    let (provider, compose) = (files::yaml(PROVIDER), files::yaml("docker-compose.yml"));
    let provider = &provider["providers"][0];
    assert_eq!((&provider["allowUiUpdates"], &provider["type"]), (&false.into(), &"file".into()));
    let path = text(&provider["options"]["path"]);
    let grafana = &compose["services"]["grafana"];
    let mounts: Vec<&str> = list(&grafana["volumes"]).iter().map(text).collect();
    assert!(mounts.contains(&format!("./grafana/dashboards:{path}:ro").as_str()), "{mounts:?}");
    assert!(mounts.contains(&"./grafana/provisioning:/etc/grafana/provisioning:ro"), "{mounts:?}");
    let home = text(&grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]);
    let file = home.strip_prefix(&format!("{path}/")).unwrap_or_else(|| panic!("{home} is not in {path}"));
    assert!(files::root().join("grafana/dashboards").join(file).is_file(), "{home}");
}
