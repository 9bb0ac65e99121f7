//! Alerts: each says who must act, what it means, what to do first and where to read on, and is shown to fire and not to fire.
//!
//! Assumes the files of prometheus/. What the expressions do is for promtool (prometheus/check.sh); that none is without such a test,
//! and none points to a section or a dashboard that is not there, is for here.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::files::{json, listed, root, text, yaml};

const GUIDE: &str = "docs/TROUBLESHOOTING.md";
/// What must fire when there is no data at all; everything else must not.
const ABSENCE: [&str; 4] = ["TributaryEventsTooFew", "TributaryMetricsMissing", "TributaryNoPurchases", "TributaryWatchdog"];

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn rules() -> Vec<Value> {
    let files = listed("prometheus/rules", ".yml");
    files.iter().flat_map(|path| list(&yaml(path)["groups"]).to_vec()).flat_map(|group| list(&group["rules"]).to_vec()).collect()
}

/// By name.
fn alerts() -> BTreeMap<String, Value> {
    let all: Vec<Value> = rules().into_iter().filter(|rule| rule["alert"].is_string()).collect();
    let named: BTreeMap<String, Value> = all.iter().map(|rule| (word(&rule["alert"]).to_owned(), rule.clone())).collect();
    assert_eq!(named.len(), all.len(), "two alerts of one name");
    assert!(named.len() > 30, "only {} alerts were found", named.len());
    named
}

/// What the tests ask about alerts: file, name, whether it must fire.
fn asked() -> Vec<(String, String, bool)> {
    let mut found = Vec::new();
    for path in listed("prometheus/tests", "_test.yml") {
        for test in list(&yaml(&path)["tests"]) {
            for ask in list(&test["alert_rule_test"]) {
                found.push((path.clone(), word(&ask["alertname"]).to_owned(), !list(&ask["exp_alerts"]).is_empty()));
            }
        }
    }
    found
}

/// As GitHub makes them of headings of one word or more.
fn anchors(markdown: &str) -> BTreeSet<String> {
    let titles =
        markdown.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim().to_lowercase());
    let kept =
        |title: String| title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>().replace(' ', "-");
    titles.map(kept).collect()
}

#[test]
fn every_alert_says_who_must_act_and_what_to_do_first() {
    for (name, rule) in alerts() {
        let severity = word(&rule["labels"]["severity"]);
        assert!(name.starts_with("Tributary"), "{name}: its name begins with Tributary");
        assert!(
            ["page", "ticket"].contains(&severity) || (name == "TributaryWatchdog" && severity == "none"),
            "{name}: severity {severity}"
        );
        assert!(!word(&rule["labels"]["area"]).is_empty(), "{name}: no area, by which Alertmanager groups");
        let notes = &rule["annotations"];
        let (summary, description) = (word(&notes["summary"]), word(&notes["description"]));
        assert!((5..90).contains(&summary.len()), "{name}: summary of {} bytes", summary.len());
        assert!(description.contains("First: "), "{name}: the description has no first step");
        assert!(rule["expr"].is_string(), "{name}: no expression");
    }
}

#[test]
fn every_alert_has_its_section_and_every_section_its_alert() {
    let guide = text(GUIDE);
    let (sections, alerts) = (anchors(&guide), alerts());
    for (name, rule) in &alerts {
        let anchor = name.to_lowercase();
        assert_eq!(word(&rule["annotations"]["runbook_url"]), format!("{GUIDE}#{anchor}"), "{name}: runbook_url");
        assert!(sections.contains(&anchor), "{GUIDE} has no section {name}");
    }
    for title in guide.lines().filter_map(|line| line.strip_prefix("### ")) {
        assert!(alerts.contains_key(title), "{GUIDE} has a section {title}, and there is no such alert");
    }
}

#[test]
fn the_guide_links_to_what_is_there() {
    let guide = text(GUIDE);
    let own = anchors(&guide);
    for link in guide.split("](").skip(1).filter_map(|rest| rest.split(')').next()).filter(|link| !link.starts_with("http")) {
        let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
        if !file.is_empty() {
            assert!(root().join("docs").join(file).exists(), "{GUIDE}: {link}");
        }
        let anchors = if file.is_empty() { own.clone() } else { anchors(&text(&format!("docs/{file}"))) };
        assert!(anchor.is_empty() || anchors.contains(anchor), "{GUIDE}: no section {link}");
    }
}

#[test]
fn every_alert_opens_a_dashboard_that_is_there() {
    let known: BTreeSet<String> =
        listed("grafana/dashboards", ".json").iter().map(|path| word(&json(path)["uid"]).to_owned()).collect();
    for (name, rule) in alerts() {
        let url = word(&rule["annotations"]["dashboard_url"]);
        let uid = url.strip_prefix("/d/").unwrap_or_default();
        assert!(known.contains(uid), "{name}: {url}, but there are only {known:?}");
    }
}

#[test]
fn every_alert_is_shown_to_fire_to_be_quiet_and_what_it_does_without_data() {
    let (alerts, asked) = (alerts(), asked());
    for (path, name, _) in &asked {
        assert!(alerts.contains_key(name), "{path} asks for {name}, and there is no such alert");
    }
    let shown = |name: &str, fires: bool| asked.iter().any(|(_, other, fired)| other == name && *fired == fires);
    for name in alerts.keys() {
        assert!(shown(name, true), "no test in which {name} fires");
        assert!(name == "TributaryWatchdog" || shown(name, false), "no test in which {name} does not fire");
        let silent = asked.iter().any(|(path, other, fired)| path.ends_with("missing_test.yml") && other == name && !fired);
        assert_eq!(silent, !ABSENCE.contains(&name.as_str()), "{name} without data");
    }
}

#[test]
fn every_number_that_is_settable_is_used_and_every_one_that_is_used_is_settable() {
    let settable: BTreeSet<String> = list(&yaml("prometheus/rules/thresholds.yml")["groups"][0]["rules"])
        .iter()
        .map(|rule| word(&rule["record"]).to_owned())
        .collect();
    let mut used = BTreeSet::new();
    for rule in rules() {
        for rest in word(&rule["expr"]).split("tributary:threshold:").skip(1) {
            let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            used.insert(format!("tributary:threshold:{name}"));
        }
    }
    assert_eq!(settable, used);
}

#[test]
fn what_is_recorded_is_used_by_somebody() {
    let mut text_of_all: String = rules().iter().map(|rule| word(&rule["expr"]).to_owned() + "\n").collect();
    for path in listed("grafana/dashboards", ".json") {
        text_of_all += &text(&path);
    }
    for rule in rules().iter().filter(|rule| rule["record"].is_string()) {
        assert!(text_of_all.contains(word(&rule["record"])), "nobody asks for {}", rule["record"]);
    }
}
