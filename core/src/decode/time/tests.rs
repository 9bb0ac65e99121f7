//! Timestamps against the calendar of another library, and by hand where that one is laxer.

use super::*;

fn chrono_us(text: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros()
}

#[test]
fn every_form_of_rfc_3339_is_one_instant() {
    let noon = chrono_us("2026-11-23T12:00:00Z");
    for text in [
        "2026-11-23T12:00:00Z",
        "2026-11-23t12:00:00z",
        "2026-11-23 12:00:00Z",
        "2026-11-23T12:00:00+00:00",
        "2026-11-23T12:00:00-00:00",
        "2026-11-23T17:45:00+05:45",
        "2026-11-23T02:30:00-09:30",
        "2026-11-24T11:59:00+23:59",
        "2026-11-22T12:01:00-23:59",
        "2026-11-23T12:00:00.0Z",
        "2026-11-23T12:00:00.0000009999999999999999Z",
    ] {
        assert_eq!(parse(text), Ok(noon), "{text}");
    }
    assert_eq!(parse("2026-11-23T12:00:00.1Z"), Ok(noon + 100_000));
    assert_eq!(parse("2026-11-23T12:00:00.123456789Z"), Ok(noon + 123_456));
}

#[test]
fn a_leap_second_is_the_next_day_s_first_second() {
    let next_day = chrono_us("2017-01-01T00:00:00Z");
    assert_eq!(parse("2016-12-31T23:59:60Z"), Ok(next_day));
    assert_eq!(parse("2016-12-31T23:59:60.25Z"), Ok(next_day + 250_000));
    assert_eq!(parse("2017-01-01T05:29:60+05:30"), Ok(next_day));
    assert_eq!(parse("2016-12-31T12:00:60Z"), Err("no such time of day"));
    assert_eq!(parse("2016-12-31T23:59:61Z"), Err("no such time of day"));
}

#[test]
fn what_is_no_instant_is_refused_and_says_why() {
    for (text, why) in [
        ("", "no year"),
        ("yesterday", "no year"),
        ("26-11-23T12:00:00Z", "no year"),
        ("2026/11/23T12:00:00Z", "no date"),
        ("2026-11-23", "no time of day"),
        ("2026-11-23T12:00Z", "no seconds"),
        ("2026-11-23T12:00:00", "no offset"),
        ("2026-11-23T12:00:00,5Z", "no offset"),
        ("2026-11-23T12:00:00.Z", "no fraction after the point"),
        ("2026-11-23T12:00:00+0100", "no offset"),
        ("2026-11-23T12:00:00+01", "no offset"),
        ("2026-11-23T12:00:00+24:00", "no such offset"),
        ("2026-11-23T12:00:00+01:60", "no such offset"),
        ("2026-11-23T12:00:00Zulu", "something follows the offset"),
        ("2026-11-23T12:00:00Z ", "something follows the offset"),
        (" 2026-11-23T12:00:00Z", "no year"),
        ("+026-11-23T12:00:00Z", "no year"),
        ("2026-00-23T12:00:00Z", "no such day"),
        ("2026-13-23T12:00:00Z", "no such day"),
        ("2026-02-29T12:00:00Z", "no such day"),
        ("1900-02-29T12:00:00Z", "no such day"),
        ("2026-11-31T12:00:00Z", "no such day"),
        ("2026-11-00T12:00:00Z", "no such day"),
        ("2026-11-23T24:00:00Z", "no such time of day"),
        ("2026-11-23T12:60:00Z", "no such time of day"),
        ("0000-12-31T12:00:00Z", "outside the years 0001 to 9999"),
        ("0001-01-01T00:00:00+00:01", "outside the years 0001 to 9999"),
        ("9999-12-31T23:59:59-00:01", "outside the years 0001 to 9999"),
        ("9999-12-31T23:59:60Z", "outside the years 0001 to 9999"),
        ("２026-11-23T12:00:00Z", "no year"),
    ] {
        assert_eq!(parse(text), Err(why), "{text}");
    }
    assert_eq!(parse("0001-01-01T00:00:00Z"), Ok(MIN_US));
    assert_eq!(parse("9999-12-31T23:59:59.9999999Z"), Ok(MAX_US));
    assert!(parse("2000-02-29T12:00:00Z").is_ok());
}

#[test]
fn every_day_of_the_calendar_agrees_with_chrono() {
    let first = chrono::NaiveDate::from_ymd_opt(1, 1, 1).unwrap();
    let mut days = 0_i64;
    for date in first.iter_days().take_while(|d| d.format("%Y").to_string().len() == 4) {
        let text = format!("{date}T00:00:00Z");
        assert_eq!(parse(&text), Ok(MIN_US + days * DAY_US), "{text}");
        days += 1;
        if days % 37 != 0 {
            continue; // the calendar itself by another route, now and then
        }
        assert_eq!(parse(&text), Ok(chrono_us(&text)), "{text}");
    }
    assert_eq!(days, 3_652_059);
}

#[test]
fn the_limits_themselves_are_near_enough() {
    let limits = Limits { max_event_bytes: 1, max_ahead_ms: 10, max_age_ms: 20 };
    assert_eq!(place(1_010_000, Some(1_000_000), &limits), Place::Near);
    assert_eq!(place(1_010_001, Some(1_000_000), &limits), Place::Ahead);
    assert_eq!(place(980_000, Some(1_000_000), &limits), Place::Near);
    assert_eq!(place(979_999, Some(1_000_000), &limits), Place::Behind);
    assert_eq!(place(MAX_US, None, &limits), Place::Near);
    assert_eq!(place(MIN_US, Some(MAX_US), &limits), Place::Behind);
}

#[test]
fn a_row_is_filed_under_the_event_s_date_unless_that_cannot_be() {
    let limits = Limits::default();
    let day = |n: i64| Some(n * DAY_US + 5);
    assert_eq!(event_date(day(20_000), day(20_001), &limits), 20_000);
    assert_eq!(event_date(day(20_002), day(20_001), &limits), 20_001); // future
    assert_eq!(event_date(day(0), day(20_001), &limits), 20_001); // ancient
    assert_eq!(event_date(None, day(20_001), &limits), 20_001);
    assert_eq!(event_date(day(-3), None, &limits), -3);
    assert_eq!(event_date(None, None, &limits), 0);
}

#[test]
fn a_record_time_that_no_store_could_hold_is_none() {
    assert_eq!(record_time(Some(-1)), None);
    assert_eq!(record_time(Some(i64::MAX)), None);
    assert_eq!(record_time(Some(0)), Some(0));
    assert_eq!(record_time(None), None);
}
