//! Grafana, where there is one: its data sources and our dashboards, as somebody sees them who has not logged in.

use std::time::Duration;

use serde_json::Value;

use super::{Check, Finding, Group, Patient, check, json_page};

const LIMIT: Duration = Duration::from_secs(4);
/// Where compose puts it.
const USUAL: &str = "127.0.0.1:3000";
/// Ours, by the names that the dashboards use.
const SOURCES: [&str; 2] = ["tributary-pg", "tributary-prom"];
/// Ours, by uid and title.
const DASHBOARDS: [(&str, &str); 3] = [
    ("tributary-history", "Business – history"),
    ("lakehouse-overview", "Business – live"),
    ("tributary-health", "Pipeline health"),
];
const DOCS: &str = "docs/RUN.md#with-docker-compose";
const PROVISION: &str = "mount grafana/provisioning and grafana/dashboards as docker-compose.yml does, then restart Grafana";

pub(super) async fn checks(patient: &Patient) -> Vec<Check> {
    let group = Group::Grafana;
    let mut at = None;
    let answers = check(group, "answers", LIMIT, async {
        let (finding, found) = answers(patient.grafana.as_deref()).await;
        at = found;
        finding
    })
    .await;
    let Some(at) = at else { return vec![answers] };
    vec![
        answers,
        check(group, "data sources", LIMIT, sources(&at)).await,
        check(group, "dashboards", LIMIT, async {
            match json_page(&at, "/api/search?type=dash-db&limit=1000").await {
                Ok((200, found)) => dashboards(&found),
                other => closed(other),
            }
        })
        .await,
    ]
}

/// Whether there is one, and where.
async fn answers(told: Option<&str>) -> (Finding, Option<String>) {
    let at = match told.map(address) {
        Some(Some(at)) => at,
        Some(None) => return (Finding::skipped("GRAFANA_URL is not a plain http:// address, and no other is spoken here"), None),
        None => USUAL.to_owned(),
    };
    let fix = "start it (docker compose up -d grafana), or mind GRAFANA_URL";
    match json_page(&at, "/api/health").await {
        Ok((200, health)) if health["database"] == "ok" => {
            (Finding::ok(format!("http://{at} answers, version {}", health["version"].as_str().unwrap_or("?"))), Some(at))
        }
        _ if told.is_none() => (Finding::skipped(format!("none answers at http://{USUAL}; GRAFANA_URL names another")), None),
        Ok((status, _)) => (Finding::bad(format!("http://{at}/api/health says {status}"), fix).docs(DOCS), None),
        Err(error) => (Finding::bad(format!("{error:#}"), fix).docs(DOCS), None),
    }
}

/// `host:port` of a URL, without whatever else it holds.
fn address(url: &str) -> Option<String> {
    let url = url::Url::parse(url).ok().filter(|url| url.scheme() == "http")?;
    Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?))
}

async fn sources(at: &str) -> Finding {
    let there = match json_page(at, "/api/frontend/settings").await {
        Ok((200, settings)) => missing_sources(&settings),
        other => return closed(other),
    };
    if !there.is_empty() {
        return Finding::bad(format!("missing: {}", there.join(", ")), PROVISION).docs(DOCS);
    }
    let mut broken = Vec::new();
    for uid in SOURCES {
        // Whoever may not ask this is answered 403: then that it is there has to do.
        if let Ok((status @ (400 | 500..), said)) = json_page(at, &format!("/api/datasources/uid/{uid}/health")).await {
            broken.push(format!("{uid} does not work: {}", said["message"].as_str().unwrap_or(&status.to_string())));
        }
    }
    match broken.is_empty() {
        true => Finding::ok(format!("{} are there", SOURCES.join(" and "))),
        false => {
            let fix = "mind GRAFANA_DB_URL, GRAFANA_DB_PASSWORD and GRAFANA_PROMETHEUS_URL, which Grafana gets at its start";
            Finding::bad(broken.join("; "), fix).docs(DOCS)
        }
    }
}

fn missing_sources(settings: &Value) -> Vec<&'static str> {
    let there: Vec<&str> =
        settings["datasources"].as_object().into_iter().flatten().filter_map(|(_, source)| source["uid"].as_str()).collect();
    SOURCES.into_iter().filter(|uid| !there.contains(uid)).collect()
}

fn dashboards(found: &Value) -> Finding {
    let there: Vec<&str> = found.as_array().into_iter().flatten().filter_map(|one| one["uid"].as_str()).collect();
    let missing: Vec<&str> = DASHBOARDS.iter().filter(|(uid, _)| !there.contains(uid)).map(|(_, title)| *title).collect();
    match missing.is_empty() {
        true => Finding::ok(format!("all {} are there", DASHBOARDS.len())),
        false => Finding::bad(format!("missing: {}", missing.join(", ")), PROVISION).docs(DOCS),
    }
}

fn closed(answer: anyhow::Result<(u16, Value)>) -> Finding {
    match answer {
        Ok((401 | 403, _)) => Finding::skipped("it asks for a login, and none is used here"),
        Ok((status, _)) => Finding::warn(format!("it says {status}"), "look at its log: docker compose logs grafana").docs(DOCS),
        Err(error) => Finding::warn(format!("{error:#}"), "look at its log: docker compose logs grafana").docs(DOCS),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::State;
    use super::*;

    #[test]
    fn the_dashboards_are_those_of_the_folder() {
        let mut of_folder: Vec<(String, String)> = std::fs::read_dir("grafana/dashboards")
            .unwrap()
            .map(|entry| {
                let board: Value = serde_json::from_slice(&std::fs::read(entry.unwrap().path()).unwrap()).unwrap();
                (board["uid"].as_str().unwrap().to_owned(), board["title"].as_str().unwrap().to_owned())
            })
            .collect();
        of_folder.sort_by(|one, other| one.1.cmp(&other.1));
        let known = DASHBOARDS.map(|(uid, title)| (uid.to_owned(), title.to_owned()));
        assert_eq!(of_folder, known);
        let sources = std::fs::read_to_string("grafana/provisioning/datasources/tributary.yaml").unwrap();
        assert!(SOURCES.iter().all(|uid| sources.contains(&format!("uid: {uid}"))));
    }

    #[test]
    fn what_is_missing_is_named() {
        let some = json!([{"uid": "tributary-health"}, {"uid": "somebody-elses"}]);
        let found = dashboards(&some);
        assert!(found.state == State::Bad && found.found == "missing: Business – history, Business – live", "{found:?}");
        let settings = json!({"datasources": {"Tributary PostgreSQL": {"uid": "tributary-pg"}}});
        assert_eq!(missing_sources(&settings), ["tributary-prom"]);
    }

    #[test]
    fn an_address_is_taken_from_a_url_and_a_login_is_not() {
        assert_eq!(address("http://admin:hush@graf:3001/x").as_deref(), Some("graf:3001"));
        assert_eq!(address("http://graf").as_deref(), Some("graf:80"));
        assert_eq!(address("https://graf"), None);
    }

    #[tokio::test]
    async fn none_is_skipped_and_one_that_was_named_is_missed() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (found, at) = answers(Some(&format!("http://{free}"))).await;
        assert!(found.state == State::Bad && at.is_none(), "{found:?}");
        assert_eq!(answers(Some("https://graf")).await.0.state, State::Skipped);
    }
}
