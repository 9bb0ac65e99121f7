//! Grafana and Prometheus look where the containers are, with what the containers are given.

use std::collections::BTreeMap;

use serde_json::Value;

use super::model::{MAIN, Mount, Service, interpolate, service, services};
use crate::files;

/// Whether a service listens there, by its published ports, or (the program's) by its settings.
fn listens(address: &str) -> bool {
    let (name, port) = address.split_once(':').unwrap_or_else(|| panic!("{address} is not service:port"));
    let Some(service) = services(MAIN).into_iter().find(|service| service.name == name) else { return false };
    let http = service.env().get("TRIBUTARY_HTTP_LISTEN").is_some_and(|listens| listens.ends_with(&format!(":{port}")));
    http || service.ports().iter().any(|published| published.target.to_string() == port)
}

fn mount(service: &Service, target: &str) -> Mount {
    let found = service.mounts().into_iter().find(|mount| mount.target == target);
    found.unwrap_or_else(|| panic!("nothing is mounted at {target} in {}", service.name))
}

/// Every data source of Grafana with the variables of its container filled in, by uid.
fn data_sources() -> BTreeMap<String, Value> {
    let env = service("grafana").env();
    let mut found = BTreeMap::new();
    for file in files::listed("grafana/provisioning/datasources", ".yaml") {
        for source in files::yaml(&file)["datasources"].as_array().unwrap() {
            for variable in super::model::variables_in(&source.to_string()) {
                assert!(env.contains_key(&variable.name), "{file}: the container of Grafana has no ${}", variable.name);
            }
            let filled: Value = serde_json::from_str(&interpolate(&source.to_string(), &env)).unwrap();
            found.insert(filled["uid"].as_str().unwrap().to_owned(), filled);
        }
    }
    found
}

#[test]
fn grafana_reads_the_database_as_the_role_that_may_only_read() {
    let sources = data_sources();
    let source = &sources["tributary-pg"];
    assert!(listens(source["url"].as_str().unwrap()), "{source}");
    assert_eq!(source["user"], "grafana");
    assert_eq!(source["jsonData"]["database"], service("tributary").env()["POSTGRES_DB"]);
    assert_eq!(source["secureJsonData"]["password"], service("postgres").env()["GRAFANA_DB_PASSWORD"]);
    let script = files::text("scripts/compose/postgres-roles.sh");
    assert!(script.contains("CREATE ROLE grafana LOGIN PASSWORD :'grafana_password'"));
    assert!(files::text("sql/migrations/0001_ops.sql").contains("GRANT SELECT ON ALL TABLES IN SCHEMA realtime, ops TO grafana"));
}

#[test]
fn grafana_asks_the_prometheus_that_runs() {
    let sources = data_sources();
    let url = sources["tributary-prom"]["url"].as_str().unwrap().to_owned();
    assert!(listens(url.strip_prefix("http://").unwrap()), "{url}");
    let scrape = files::yaml("prometheus/prometheus.yml")["global"]["scrape_interval"].clone();
    assert_eq!(sources["tributary-prom"]["jsonData"]["timeInterval"], scrape, "rates are made of it");
}

#[test]
fn grafana_finds_its_dashboards_and_opens_with_one_of_them() {
    let grafana = service("grafana");
    assert_eq!(mount(&grafana, "/etc/grafana/provisioning").source, "./grafana/provisioning");
    for file in files::listed("grafana/provisioning/dashboards", ".yaml") {
        for provider in files::yaml(&file)["providers"].as_array().unwrap() {
            let folder = mount(&grafana, provider["options"]["path"].as_str().unwrap()).source;
            assert!(!files::listed(folder.trim_start_matches("./"), ".json").is_empty(), "{folder}");
        }
    }
    let env = grafana.env();
    let home = &env["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"];
    let (folder, file) = home.rsplit_once('/').unwrap();
    let dashboard = files::json(&format!("{}/{file}", mount(&grafana, folder).source));
    assert_eq!(dashboard["uid"], "lakehouse-overview");
    assert_eq!((env["GF_AUTH_ANONYMOUS_ENABLED"].as_str(), env["GF_AUTH_ANONYMOUS_ORG_ROLE"].as_str()), ("true", "Viewer"));
}

#[test]
fn grafana_starts_without_the_network() {
    let env = service("grafana").env();
    for off in ["ANALYTICS_REPORTING_ENABLED", "ANALYTICS_CHECK_FOR_UPDATES", "ANALYTICS_CHECK_FOR_PLUGIN_UPDATES"] {
        assert_eq!(env[&format!("GF_{off}")], "false");
    }
    assert_eq!(env["GF_NEWS_NEWS_FEED_ENABLED"], "false");
    // On a read-only root an update of a bundled plugin removes it. It takes both to keep Grafana from trying.
    assert_eq!(env["GF_PLUGINS_PREINSTALL_DISABLED"], "true");
    assert_eq!(env["GF_PLUGINS_PREINSTALL_AUTO_UPDATE"], "false");
}

#[test]
fn prometheus_scrapes_what_listens_and_reads_what_is_mounted() {
    let prometheus = service("prometheus");
    let told = prometheus.list("command").iter().find_map(|word| word.strip_prefix("--config.file=").map(str::to_owned)).unwrap();
    let (folder, file) = told.rsplit_once('/').unwrap();
    let config = files::yaml(&format!("{}/{file}", mount(&prometheus, folder).source));
    let mut scraped = Vec::new();
    for job in config["scrape_configs"].as_array().unwrap() {
        for target in job["static_configs"].as_array().unwrap().iter().flat_map(|group| group["targets"].as_array().unwrap()) {
            scraped.push(target.as_str().unwrap().replace("localhost:", "prometheus:"));
        }
    }
    assert!(scraped.iter().all(|target| listens(target)), "{scraped:?}");
    for name in ["tributary", "producer"] {
        assert!(scraped.iter().any(|target| target.starts_with(&format!("{name}:"))), "{name} is not scraped");
    }
    for receiver in config["alerting"]["alertmanagers"].as_array().unwrap() {
        let targets = receiver["static_configs"][0]["targets"].as_array().unwrap();
        assert!(targets.iter().all(|target| listens(target.as_str().unwrap())), "{targets:?}");
    }
}

#[test]
fn health_checks_ask_the_ports_that_are_published() {
    for name in ["prometheus", "grafana", "alertmanager"] {
        let service = service(name);
        let (port, health) = (service.ports()[0].target, service.health().join(" "));
        assert!(health.contains(&format!(":{port}")), "{name}: {health}");
    }
}

#[test]
fn links_lead_to_the_port_that_is_published_also_when_it_is_moved() {
    for name in ["prometheus", "alertmanager", "grafana"] {
        let service = service(name);
        let port = service.ports().remove(0);
        let links = |set: &BTreeMap<String, String>| {
            let mut command = service.raw["command"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let flag = command.find_map(|word| word.strip_prefix("--web.external-url="));
            let flag = flag.map(|url| interpolate(url, set));
            flag.or_else(|| service.env_with(set).remove("GF_SERVER_ROOT_URL"))
                .unwrap_or_else(|| panic!("{name} knows no address"))
        };
        // With a path, each page and the health check would be below it.
        assert_eq!(links(&BTreeMap::new()), format!("http://localhost:{}/", port.published), "{name}");
        let moved = BTreeMap::from([(port.variable, "10001".to_owned())]);
        assert_eq!(links(&moved), "http://localhost:10001/", "{name}");
    }
}

#[test]
fn a_webhook_on_this_machine_can_be_reached() {
    let told = files::yaml("prometheus/alertmanager.yml")["receivers"].to_string();
    assert!(told.contains("http://host.docker.internal:"), "the example is a webhook that listens on this machine");
    assert_eq!(service("alertmanager").list("extra_hosts"), ["host.docker.internal:host-gateway"]);
}
