//! Shares, sameness and the shape of single records.

use std::collections::{BTreeMap, HashSet};

use chrono::DateTime;
use serde_json::Value;

use super::*;
use crate::batch::Status;
use crate::traffic::model::{NO_PAGE, PAGES, SOURCES, TYPES};
use crate::traffic::{dress, flaw};

fn near(share: f64, expected: f64) -> bool {
    (share - expected).abs() < 0.01
}

#[test]
fn types_pages_and_sources_have_their_shares() {
    let events = events(&plan(100_000));
    let share = |test: &dyn Fn(&Event) -> bool| events.iter().filter(|e| test(e)).count() as f64 / events.len() as f64;
    for (kind, expected) in [(0, 0.20), (1, 0.50), (2, 0.15), (3, 0.15)] {
        assert!(near(share(&|e| e.kind == kind), expected), "{}", TYPES[usize::from(kind)]);
    }
    for page in 0..10 {
        assert!(near(share(&|e| e.page == page), 0.1), "{}", PAGES[usize::from(page)]);
    }
    assert!(near(share(&|e| e.source == 1), 0.5));
}

#[test]
fn the_realistic_profile_has_favourites_and_nights() {
    let events = events(&Plan { profile: Profile::Realistic, span_us: 24 * HOUR_US, ..plan(100_000) });
    let share = |test: &dyn Fn(&Event) -> bool| events.iter().filter(|e| test(e)).count() as f64 / events.len() as f64;
    assert!(near(share(&|e| e.page == 0), 0.28));
    assert!(near(share(&|e| e.page == 8), 0.02));
    let in_hour = |hour: i64| share(&|e| e.at_us.div_euclid(HOUR_US).rem_euclid(24) == hour);
    assert!(in_hour(3) < 0.2 / 24.0 * 1.2, "{}", in_hour(3));
    assert!(in_hour(19) > 1.7 / 24.0 * 0.9, "{}", in_hour(19));
    assert!(events.iter().map(|e| e.at_us).is_sorted());
}

#[test]
fn four_of_five_events_come_from_the_active_users() {
    let population = Population { num_users: 1_000_000, growth_per_hour: 0.0 };
    let events = events(&Plan { population, ..plan(100_000) });
    let users: HashSet<_> = events.iter().map(|e| e.user).collect();
    assert!(near(users.len() as f64 / events.len() as f64, 0.2), "{} users", users.len());
}

#[test]
fn the_population_grows_by_the_hour() {
    let population = Population { num_users: 50, growth_per_hour: 100.0 };
    let events = events(&Plan { population, span_us: 10 * HOUR_US, ..plan(50_000) });
    assert!(events.iter().all(|e| (1..=50 + 100 * ((e.at_us - START_US) / HOUR_US + 1) as u64).contains(&e.user)));
    assert!(events.iter().any(|e| e.user > 900));
    assert_eq!(Population { num_users: 0, growth_per_hour: -5.0 }.after(HOUR_US), 1);
}

#[test]
fn the_same_seed_makes_the_same_bytes_and_another_seed_others() {
    let text = |plan: &Plan| all(plan).into_iter().map(|(key, payload, _)| (key, payload)).collect::<Vec<_>>();
    let plan = mixed(20_000);
    assert_eq!(text(&plan), text(&plan));
    let other = text(&Plan { seed: 8, ..plan.clone() });
    let same = text(&plan).iter().zip(&other).filter(|(a, b)| a.1.is_some() && a.1 == b.1).count();
    assert!(same < 100, "{same} equal records: only what has no event inside may be alike");
}

#[test]
fn every_kind_of_record_has_its_share_and_the_count_is_exact() {
    let plan = Plan { oversized: 3, ..mixed(100_000) };
    let (mut late, mut duplicates, mut unusual, mut flawed, mut huge) = (0, 0, 0, 0, 0);
    let records = all(&plan);
    for (_, payload, made) in &records {
        match made {
            Made::Valid { event, duplicate, late: is_late } => {
                late += u32::from(*is_late);
                duplicates += u32::from(*duplicate);
                unusual += u32::from(event.dress > 0 && !duplicate);
            }
            Made::Flawed(flaw) if flaw.status() == Status::Oversized => {
                huge += 1;
                assert!(payload.as_ref().is_some_and(|bytes| bytes.len() > 2_000_000));
            }
            Made::Flawed(_) => flawed += 1,
        }
    }
    assert_eq!((records.len(), huge), (100_000, 3));
    for (n, expected) in [(late, 5_000), (duplicates, 3_000), (unusual, 4_000), (flawed, 2_000)] {
        assert!((n as f64 / f64::from(expected) - 1.0).abs() < 0.1, "{n} instead of {expected}");
    }
}

#[test]
fn ids_are_version_4_and_repeated_only_by_duplicates_to_the_byte() {
    let mut seen = BTreeMap::new();
    for (key, payload, made) in all(&mixed(50_000)) {
        let Made::Valid { event, duplicate, .. } = made else { continue };
        let id = uuid::Uuid::from_u128(event.id);
        assert_eq!((id.get_version_num(), id.get_variant()), (4, uuid::Variant::RFC4122));
        assert_eq!(key, event.user.to_string().into_bytes());
        let first = seen.insert(event.id, payload.clone());
        assert_eq!(first.is_some(), duplicate);
        assert!(first.is_none_or(|first| first == payload));
    }
}

#[test]
fn late_events_touch_minutes_and_days_of_the_past_and_the_rest_keeps_its_place() {
    let plan = mixed(50_000);
    let (mut position, mut days) = (START_US, HashSet::new());
    for (.., made) in all(&plan) {
        match made {
            Made::Valid { event, late: true, .. } => {
                assert!(event.at_us <= position - 55_000_000 && event.at_us >= START_US - plan::LATEST_US);
                days.insert(event.at_us.div_euclid(24 * HOUR_US));
            }
            Made::Valid { event, duplicate: false, .. } => {
                assert!(event.at_us >= position && event.at_us < START_US + HOUR_US);
                position = event.at_us;
            }
            _ => {}
        }
    }
    assert!(days.len() >= 2, "{days:?}");
}

#[test]
fn every_dress_says_what_the_event_says() {
    let mut model = Model::new(3, Profile::Plain);
    for dress in 0..=dress::NAMES.len() as u8 {
        for at_us in [START_US + 123_456, -1, 0, 951_782_399_999_999] {
            let event = dress::put_on(model.event(at_us, 1_000), dress);
            let mut text = Vec::new();
            model.write(&event, &mut text);
            let value: Value = serde_json::from_slice(&text).unwrap();
            let text_of = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
            assert_eq!(text_of("event_id"), uuid::Uuid::from_u128(event.id).to_string());
            assert_eq!(value["user_id"], event.user);
            assert_eq!(text_of("event_type"), TYPES[usize::from(event.kind)]);
            assert_eq!(text_of("source"), SOURCES[usize::from(event.source)]);
            let page = if event.page == NO_PAGE { "" } else { PAGES[usize::from(event.page)] };
            assert_eq!(text_of("page"), page);
            let time = DateTime::parse_from_rfc3339(&text_of("timestamp")).unwrap();
            assert_eq!(time.timestamp_micros(), event.at_us, "dress {dress}");
        }
    }
}

#[test]
fn flaws_cover_every_status_and_have_names_of_their_own() {
    let names: HashSet<_> = flaw::FLAWS.iter().map(|flaw| flaw.name).collect();
    assert_eq!(names.len(), flaw::FLAWS.len());
    for status in Status::ALL {
        let made = flaw::FLAWS.iter().chain([&flaw::OVERSIZED]).any(|flaw| flaw.status() == status);
        assert_eq!(made, !matches!(status, Status::Ok | Status::Lost), "{status:?}");
    }
    let drawn: HashSet<_> = all(&Plan { malformed: 1.0, ..plan(5_000) })
        .into_iter()
        .filter_map(|(.., made)| match made {
            Made::Flawed(flaw) => Some(flaw.name),
            Made::Valid { .. } => None,
        })
        .collect();
    assert_eq!(drawn, names);
}
