//! The Prometheus beside the running `up`: whether it answers, reads us, and which alerts fire.

use std::time::Duration;

use serde_json::Value;

use super::{Check, Finding, Group, Patient, check, json_page, page};

const LIMIT: Duration = Duration::from_secs(3);
/// Always fires, and means that alerting works.
const WATCHDOG: &str = "TributaryWatchdog";

pub(super) async fn checks(patient: &Patient) -> Vec<Check> {
    let group = Group::Prometheus;
    let Some(at) = patient.running.as_ref().and_then(|up| up.prometheus.as_deref()) else {
        let why = match &patient.running {
            None => "nothing runs",
            Some(_) => "the running `up` has started none: it is not installed, switched off, or elsewhere",
        };
        return vec![Finding::skipped(why).into_check(group, "answers", Duration::ZERO)];
    };
    vec![
        check(group, "answers", LIMIT, answers(at)).await,
        check(group, "target", LIMIT, async {
            match json_page(at, "/api/v1/targets?state=active").await {
                Ok((200, answer)) => target(&answer),
                other => unanswered(other),
            }
        })
        .await,
        check(group, "alerts", LIMIT, async {
            match json_page(at, "/api/v1/alerts").await {
                Ok((200, answer)) => alerts(&answer),
                other => unanswered(other),
            }
        })
        .await,
    ]
}

async fn answers(at: &str) -> Finding {
    let fix = "nothing depends on it; data/prometheus/prometheus.log says why, and `up` starts it again";
    match page(at, "/-/ready").await {
        Ok((200, _)) => Finding::ok(format!("http://{at} is ready")),
        Ok((status, _)) => Finding::warn(format!("http://{at} is not ready ({status})"), fix),
        Err(error) => Finding::warn(format!("{error:#}"), fix),
    }
    .docs("docs/RUN.md#what-is-embedded")
}

fn unanswered(answer: anyhow::Result<(u16, Value)>) -> Finding {
    match answer {
        Ok((status, _)) => Finding::skipped(format!("it cannot be asked: it says {status}")),
        Err(_) => Finding::skipped("it does not answer"),
    }
}

fn target(answer: &Value) -> Finding {
    let targets: Vec<&Value> = answer["data"]["activeTargets"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|target| target["labels"]["job"] == "tributary")
        .collect();
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let docs = "docs/TROUBLESHOOTING.md#tributarytargetdown";
    let down: Vec<String> = targets
        .iter()
        .filter(|target| target["health"] == "down")
        .map(|target| format!("{}: {}", text(&target["scrapeUrl"]), text(&target["lastError"])))
        .collect();
    let up: Vec<String> =
        targets.iter().filter(|target| target["health"] == "up").map(|target| text(&target["scrapeUrl"])).collect();
    match (targets.is_empty(), down.is_empty(), up.is_empty()) {
        (true, ..) => {
            // It looks for them some seconds after its start.
            let fix = "ask again in ten seconds; if it stays so start `up` again, which writes its configuration";
            Finding::warn("it has no target `tributary` yet", fix).docs("docs/TROUBLESHOOTING.md#tributarymetricsmissing")
        }
        (_, false, _) => Finding::bad(down.join("; "), "see whether that address answers: curl it").docs(docs),
        (_, _, false) => Finding::ok(format!("reads {}", up.join(", "))),
        (_, _, true) => Finding::ok("has not read us yet: it does every five seconds"),
    }
}

fn alerts(answer: &Value) -> Finding {
    let Some(all) = answer["data"]["alerts"].as_array() else { return Finding::skipped("it says nothing about alerts") };
    let mut firing: Vec<&str> = all
        .iter()
        .filter(|alert| alert["state"] == "firing")
        .filter_map(|alert| alert["labels"]["alertname"].as_str())
        .filter(|name| *name != WATCHDOG)
        .collect();
    let many = firing.len();
    firing.sort_unstable();
    firing.dedup();
    match many {
        0 => Finding::ok("none fires"),
        1 => Finding::warn(format!("1 fires: {}", firing.join(", ")), "docs/TROUBLESHOOTING.md has a section of that name"),
        n => Finding::warn(format!("{n} fire: {}", firing.join(", ")), "docs/TROUBLESHOOTING.md has a section for each"),
    }
    .docs("docs/TROUBLESHOOTING.md#alerts")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::State;
    use super::*;

    #[test]
    fn a_target_that_is_down_is_said_with_its_error() {
        let of = |health: &str| {
            json!({"data": {"activeTargets": [
                {"labels": {"job": "tributary"}, "scrapeUrl": "http://127.0.0.1:8082/metrics", "health": health, "lastError": "refused"},
                {"labels": {"job": "prometheus"}, "health": "down"},
            ]}})
        };
        assert_eq!(target(&of("up")).state, State::Ok);
        assert_eq!(target(&of("unknown")).state, State::Ok);
        let down = target(&of("down"));
        assert!(down.state == State::Bad && down.found.contains("refused"), "{down:?}");
        assert_eq!(target(&Value::Null).state, State::Warn);
    }

    #[test]
    fn alerts_that_fire_are_named_and_the_watchdog_is_none() {
        let alert = |name: &str, state: &str| json!({"labels": {"alertname": name}, "state": state});
        let quiet = json!({"data": {"alerts": [alert(WATCHDOG, "firing"), alert("TributaryDrift", "pending")]}});
        assert_eq!(alerts(&quiet), Finding::ok("none fires"));
        let loud = json!({"data": {"alerts": [alert("TributaryDrift", "firing"), alert("TributaryDiskFull", "firing")]}});
        assert_eq!(alerts(&loud).found, "2 fire: TributaryDiskFull, TributaryDrift");
    }
}
