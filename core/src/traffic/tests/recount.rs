//! The truth against a count that knows nothing but the bytes: parsed with serde_json, judged by rules written down a second time.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::*;

fn is_valid(value: &Value) -> bool {
    let text = |name: &str| value[name].as_str();
    let plain = |name: &str| text(name).is_some_and(|text| !text.contains('\0'));
    let time = text("timestamp").and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    value.is_object()
        && plain("event_id")
        && value["user_id"].as_i64().is_some_and(|user| user >= 1)
        && matches!(text("event_type"), Some("login" | "click" | "purchase" | "logout"))
        && matches!(text("source"), Some("web" | "mobile"))
        && (value["page"].is_null() || plain("page") && text("page").is_some_and(|page| page.len() <= 64 << 10))
        && time.is_some_and(|time| (2026..2027).contains(&time.format("%Y").to_string().parse().unwrap()))
}

/// The parts of the truth that follow from the bytes alone.
fn recount(records: &[Owned]) -> Value {
    let mut seen = HashSet::new();
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut users: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
    let mut add = |key: String| *counts.entry(key).or_default() += 1;
    for (_, payload, _) in records {
        add("total".into());
        let payload = payload.clone().unwrap_or_default();
        let text = String::from_utf8(payload).unwrap_or_default();
        let Ok(value) = serde_json::from_str::<Value>(&text) else { continue };
        if !is_valid(&value) || text.matches("user_id").count() > 1 || text.len() > 1 << 20 {
            continue;
        }
        let of = |name: &str| value[name].as_str().unwrap_or("-").to_owned();
        let (kind, source, page) = (of("event_type"), of("source"), of("page"));
        let time = DateTime::parse_from_rfc3339(&of("timestamp")).unwrap().with_timezone(&Utc);
        let (minute, day) = (time.format("%Y-%m-%dT%H:%M:00Z"), time.format("%Y-%m-%d").to_string());
        add("ok".into());
        add(format!("type {kind}"));
        add(format!("source {source}"));
        add(format!("minute {minute} {kind}"));
        if kind == "login" {
            add(format!("logins {minute} {source}"));
        }
        let first = seen.insert((of("event_id"), time));
        for part in ["valid", "distinct"].iter().take(1 + usize::from(first)) {
            add(format!("{day} {part} events"));
            add(format!("{day} {part} source {source}"));
            if kind == "purchase" {
                add(format!("{day} {part} purchases"));
                if page != "-" {
                    add(format!("{day} {part} page {page}"));
                }
            }
        }
        users.entry(day).or_default().insert(value["user_id"].as_i64().unwrap());
    }
    let users: BTreeMap<_, _> = users.into_iter().map(|(day, users)| (day, users.len())).collect();
    json!({ "counts": counts, "users": users })
}

/// The same counts, read from the truth's JSON.
fn flatten(truth: &Value) -> Value {
    let mut counts = BTreeMap::new();
    let mut users = BTreeMap::new();
    let mut put = |key: String, count: &Value| {
        let count = count.as_u64().unwrap();
        assert!(count == 0 || counts.insert(key, count).is_none());
    };
    let entries = |value: &Value| value.as_object().unwrap().clone().into_iter().collect::<Vec<_>>();
    put("total".into(), &truth["records"]["total"]);
    put("ok".into(), &truth["records"]["ok"]);
    for (name, count) in entries(&truth["valid"]["event_type"]) {
        put(format!("type {name}"), &count);
    }
    for (name, count) in entries(&truth["valid"]["source"]) {
        put(format!("source {name}"), &count);
    }
    for minute in truth["minutes"].as_array().unwrap() {
        let at = minute["minute"].as_str().unwrap();
        let purchases = minute["event_type"].get("purchase").cloned();
        assert_eq!(minute.get("purchases").cloned(), purchases);
        for (name, count) in entries(&minute["event_type"]) {
            put(format!("minute {at} {name}"), &count);
        }
        for (name, count) in entries(&minute["logins"]) {
            put(format!("logins {at} {name}"), &count);
        }
    }
    for day in truth["days"].as_array().unwrap() {
        let at = day["day"].as_str().unwrap();
        for part in ["valid", "distinct"] {
            put(format!("{at} {part} events"), &day[part]["events"]);
            put(format!("{at} {part} purchases"), &day[part]["purchases"]);
            for (name, count) in entries(&day[part]["source"]) {
                put(format!("{at} {part} source {name}"), &count);
            }
            for (name, count) in entries(&day[part]["purchases_by_page"]) {
                put(format!("{at} {part} page {name}"), &count);
            }
        }
        users.insert(at.to_owned(), day["distinct"]["users"].clone());
    }
    json!({ "counts": counts, "users": users })
}

#[test]
fn the_truth_is_what_a_second_count_of_the_bytes_finds() {
    for plan in [
        plan(20_000),
        Plan { oversized: 2, ..mixed(60_000) },
        Plan { profile: Profile::Realistic, span_us: 72 * HOUR_US, ..mixed(40_000) },
    ] {
        let records = all(&plan);
        let mut truth = Truth::default();
        records.iter().for_each(|(.., made)| truth.add(made));
        let truth: Value = serde_json::from_str(&truth.to_json(Some(&plan))).unwrap();
        assert_eq!(flatten(&truth), recount(&records));
        let sum = |name: &str| truth["records"][name].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum::<u64>();
        let rejected = truth["records"]["total"].as_u64().unwrap() - truth["records"]["ok"].as_u64().unwrap();
        assert_eq!((sum("statuses"), sum("reasons"), sum("flaws")), (plan.count, rejected, rejected));
        assert_eq!(truth["plan"]["seed"], plan.seed);
        assert_eq!(truth["plan"]["start"], "2026-11-20T10:30:00Z");
    }
}

#[test]
fn the_truth_is_the_same_text_each_time_and_does_not_depend_on_the_order() {
    let plan = mixed(20_000);
    let (mut forwards, mut backwards) = (Truth::default(), Truth::default());
    let records = all(&plan);
    records.iter().for_each(|(.., made)| forwards.add(made));
    records.iter().rev().for_each(|(.., made)| backwards.add(made));
    assert_eq!(forwards.to_json(Some(&plan)), backwards.to_json(Some(&plan)));
    assert_eq!((forwards.total(), forwards.valid()), (20_000, backwards.valid()));
}

#[test]
fn a_truth_of_nothing_is_still_json() {
    let truth: Value = serde_json::from_str(&Truth::default().to_json(None)).unwrap();
    assert_eq!((&truth["records"]["total"], &truth["minutes"]), (&json!(0), &json!([])));
}
