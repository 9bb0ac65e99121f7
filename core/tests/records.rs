//! Whatever a producer sends, each record is one row that says what it is, and its neighbours do not notice.

mod bronze;

use std::sync::Arc;

use bronze::{NOW_MS, Row, between};
use tributary_core::batch::Status;
use tributary_core::stream::Stream;

const GOOD: &str = r#"{"event_id":"3f2b8c1e-0d4a-4c5b-9e6f-7a8b9c0d1e2f","user_id":17,"event_type":"purchase","page":"/checkout","timestamp":"2026-11-23T06:59:58.25Z","source":"web"}"#;

fn decode(payload: impl AsRef<[u8]>) -> Row {
    between(&Arc::new(Stream::builtin()), GOOD.as_bytes(), Some(payload.as_ref()), Some(NOW_MS))
}

/// The good event with one part replaced by another.
fn with(part: &str, other: &str) -> String {
    assert!(GOOD.contains(part), "{part}");
    GOOD.replacen(part, other, 1)
}

#[test]
fn a_good_event_fills_its_columns() {
    let row = decode(GOOD);
    let text = |s: &str| Some(s.to_owned());
    assert_eq!(
        row.columns,
        [
            text("3f2b8c1e-0d4a-4c5b-9e6f-7a8b9c0d1e2f"),
            text("17"),
            text("purchase"),
            text("/checkout"),
            text("1795417198250000"),
            text("web")
        ]
    );
    assert_eq!((row.status, row.extra, row.ingestion_us), (Status::Ok, None, Some(NOW_MS * 1_000)));
    assert_eq!(row.event_date, 20_780);
}

/// Class of input, payload, status, reason.
#[test]
fn every_class_of_bad_input_has_its_status_and_reason() {
    use Status::{Ancient, Future, Invalid, Malformed, Oversized};
    let deep = |n: usize| format!(r#"{{"deep":{}{}}}"#, "[".repeat(n), "]".repeat(n));
    let table: Vec<(&str, Vec<u8>, Status, &str)> = [
        ("no bytes", String::new(), Malformed, "empty_value"),
        ("a blank", " ".into(), Malformed, "not_json"),
        ("cut off in the middle", GOOD[..80].into(), Malformed, "not_json"),
        ("cut off before the last brace", GOOD[..GOOD.len() - 1].into(), Malformed, "not_json"),
        ("trailing garbage", format!("{GOOD}x"), Malformed, "not_json"),
        ("a trailing NUL", format!("{GOOD}\0"), Malformed, "not_json"),
        ("two events", format!("{GOOD}{GOOD}"), Malformed, "not_json"),
        ("a trailing comma", with("\"web\"}", "\"web\",}"), Malformed, "not_json"),
        ("a byte order mark", format!("\u{feff}{GOOD}"), Malformed, "not_json"),
        ("single quotes", GOOD.replace('"', "'"), Malformed, "not_json"),
        ("a comment", with("{", "{/* hi */"), Malformed, "not_json"),
        ("NaN", with("17", "NaN"), Malformed, "not_json"),
        ("Infinity", with("17", "-Infinity"), Malformed, "not_json"),
        ("a leading zero", with("17", "017"), Malformed, "not_json"),
        ("a leading plus", with("17", "+17"), Malformed, "not_json"),
        ("a raw control character", with("/checkout", "/check\nout"), Malformed, "not_json"),
        ("a raw NUL character", with("/checkout", "/check\0out"), Malformed, "not_json"),
        ("an escape that is none", with("/checkout", "\\x41"), Malformed, "not_json"),
        ("half an escape", with("/checkout", "\\u12"), Malformed, "not_json"),
        ("plain text", "login of user 17".into(), Malformed, "not_json"),
        ("XML", "<event/>".into(), Malformed, "not_json"),
        ("a list", format!("[{GOOD}]"), Malformed, "not_an_object"),
        ("an empty list", "[]".into(), Malformed, "not_an_object"),
        ("a text", "\"event\"".into(), Malformed, "not_an_object"),
        ("a number", " 42 ".into(), Malformed, "not_an_object"),
        ("null", "null".into(), Malformed, "not_an_object"),
        ("an open list", "[".into(), Malformed, "not_json"),
        ("nested lists", deep(127), Malformed, "nesting_too_deep"),
        ("nested lists as a list", format!("{}{}", "[".repeat(128), "]".repeat(128)), Malformed, "nesting_too_deep"),
        ("a declared field that is nested", with("17", &deep(200)), Malformed, "nesting_too_deep"),
        ("100,000 levels", deep(100_000), Malformed, "nesting_too_deep"),
        ("100,000 levels, open", "[".repeat(100_000), Malformed, "not_json"),
        ("100,000 objects, open", "{\"a\":".repeat(100_000), Malformed, "not_json"),
        ("2 MB", with("/checkout", &"x".repeat(2_000_000)), Oversized, "too_large"),
        ("2 MB of nothing", " ".repeat(2_000_000), Oversized, "too_large"),
        ("no fields", "{}".into(), Invalid, "missing_field"),
        ("other fields only", r#"{"a":1}"#.into(), Invalid, "missing_field"),
        ("a missing field", with(r#""user_id":17,"#, ""), Invalid, "missing_field"),
        ("a missing event time", with(r#""timestamp":"2026-11-23T06:59:58.25Z","#, ""), Invalid, "missing_field"),
        ("a null in a required field", with("17", "null"), Invalid, "null_field"),
        ("a null type", with("\"purchase\"", "null"), Invalid, "null_field"),
        ("a text as an integer", with("17", "\"17\""), Invalid, "wrong_type"),
        ("a float as an integer", with("17", "17.0"), Invalid, "wrong_type"),
        ("an exponent as an integer", with("17", "1e3"), Invalid, "wrong_type"),
        ("a boolean as an integer", with("17", "true"), Invalid, "wrong_type"),
        ("an integer as a text", with("\"3f2b8c1e-0d4a-4c5b-9e6f-7a8b9c0d1e2f\"", "5"), Invalid, "wrong_type"),
        ("a wrong type in an optional field", with("\"/checkout\"", "[\"/checkout\"]"), Invalid, "wrong_type"),
        ("an object as a text", with("\"web\"", "{\"is\":\"web\"}"), Invalid, "wrong_type"),
        ("an epoch as a timestamp", with("\"2026-11-23T06:59:58.25Z\"", "1795417198"), Invalid, "wrong_type"),
        ("an unknown event type", with("purchase", "refund"), Invalid, "not_allowed"),
        ("an event type in capitals", with("purchase", "PURCHASE"), Invalid, "not_allowed"),
        ("an empty event type", with("purchase", ""), Invalid, "not_allowed"),
        ("an unknown source", with("web", "fridge"), Invalid, "not_allowed"),
        ("user 0", with("17", "0"), Invalid, "below_minimum"),
        ("user -0", with("17", "-0"), Invalid, "below_minimum"),
        ("a negative user", with("17", "-17"), Invalid, "below_minimum"),
        ("the smallest integer", with("17", "-9223372036854775808"), Invalid, "below_minimum"),
        ("an integer of 65 bits", with("17", "9223372036854775808"), Invalid, "integer_out_of_range"),
        ("an integer of 400 digits", with("17", &"9".repeat(400)), Invalid, "integer_out_of_range"),
        ("a time without an offset", with("58.25Z", "58.25"), Invalid, "bad_timestamp"),
        ("a day that does not exist", with("2026-11-23", "2026-02-30"), Invalid, "bad_timestamp"),
        ("hour 24", with("T06:", "T24:"), Invalid, "bad_timestamp"),
        ("the year 0", with("2026-11-23", "0000-11-23"), Invalid, "bad_timestamp"),
        ("the year 10000", with("2026-11-23", "10000-11-23"), Invalid, "bad_timestamp"),
        ("a date", with("2026-11-23T06:59:58.25Z", "2026-11-23"), Invalid, "bad_timestamp"),
        ("half a surrogate pair in a time", with("2026-11-23T06:59:58.25Z", "\\udc00"), Invalid, "bad_timestamp"),
        ("a NUL character", with("/checkout", "/check\\u0000out"), Invalid, "nul_character"),
        ("a NUL character as the type", with("purchase", "\\u0000"), Invalid, "nul_character"),
        ("half a surrogate pair", with("/checkout", "\\ud800"), Invalid, "lone_surrogate"),
        ("a surrogate pair the wrong way round", with("/checkout", "\\udc00\\ud800"), Invalid, "lone_surrogate"),
        ("a page of 64 KiB and a byte", with("/checkout", &"x".repeat(65_537)), Invalid, "too_long"),
        ("one key twice", with("{", r#"{"user_id":17,"#), Invalid, "duplicate_key"),
        ("an optional key twice", with("}", r#","page":null}"#), Invalid, "duplicate_key"),
        ("one key twice, once escaped", with("{", r#"{"user\u005fid":17,"#), Invalid, "duplicate_key"),
        ("the year 2126", with("2026-11", "2126-11"), Future, "too_far_ahead"),
        ("ten minutes and a microsecond ahead", with("06:59:58.25Z", "07:10:00.000001Z"), Future, "too_far_ahead"),
        ("1970", with("2026-11-23T06:59:58.25Z", "1970-01-01T00:00:00Z"), Ancient, "too_old"),
        ("the year 1", with("2026-11-23T06:59:58.25Z", "0001-01-01T00:00:00Z"), Ancient, "too_old"),
    ]
    .into_iter()
    .map(|(class, payload, status, reason)| (class, payload.into_bytes(), status, reason))
    .chain([
        ("a byte that is not UTF-8", [GOOD.as_bytes(), b"\xff"].concat(), Malformed, "not_utf8"),
        ("UTF-16", GOOD.encode_utf16().flat_map(u16::to_le_bytes).collect(), Malformed, "not_json"),
        ("UTF-16 with its mark", [0xfe, 0xff].into_iter().chain(GOOD.bytes()).collect(), Malformed, "not_utf8"),
        ("gzip", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03".to_vec(), Malformed, "not_utf8"),
        ("half a character at the end", [&GOOD.as_bytes()[..90], b"\xe2\x82"].concat(), Malformed, "not_utf8"),
        ("a surrogate in UTF-8", [b"{\"a\":\"".as_slice(), b"\xed\xa0\x80", b"\"}"].concat(), Malformed, "not_utf8"),
        (
            "an overlong slash",
            with("/checkout", "").replace("\"\"", "\"\u{1}\"").bytes().flat_map(overlong).collect(),
            Malformed,
            "not_utf8",
        ),
        ("a schema registry's five bytes", [b"\0\0\0\0\x07".as_slice(), GOOD.as_bytes()].concat(), Malformed, "not_json"),
    ])
    .collect();

    let mut wrong = Vec::new();
    for (class, payload, status, reason) in &table {
        let row = decode(payload);
        if (row.status, row.reason()) != (*status, *reason) {
            wrong.push(format!("{class}: {:?} {:?}, expected {status:?} {reason}", row.status, row.error));
        }
        if row.status == Malformed || row.status == Oversized {
            assert!(row.columns.iter().all(Option::is_none) && row.extra.is_none(), "{class}: {row:?}");
        }
        assert!(row.error.as_deref().unwrap_or_default().len() < 400, "{class}: {} bytes of error", row.error.unwrap().len());
    }
    assert!(wrong.is_empty(), "{} of {} classes:\n{}", wrong.len(), table.len(), wrong.join("\n"));
    println!("{} classes of input", table.len());
}

fn overlong(byte: u8) -> Vec<u8> {
    if byte == 1 { vec![0xc0, 0xaf] } else { vec![byte] }
}

#[test]
fn what_looks_odd_but_is_valid_is_ok() {
    let pretty = GOOD.replace(',', " ,\r\n\t").replace(':', " : ").replace(" : 59 : ", ":59:");
    for (class, payload) in [
        ("pretty printed", format!("\n {pretty}\t\n")),
        (
            "another order",
            r#"{"source":"web","timestamp":"2026-11-23T06:59:58Z","page":null,"event_type":"login","user_id":1,"event_id":""}"#
                .into(),
        ),
        ("no page", with(r#""page":"/checkout","#, "")),
        ("a null page", with("\"/checkout\"", "null")),
        ("an escaped key", with("user_id", "\\u0075ser\\u005Fid")),
        ("an escaped value", with("purchase", "p\\u0075rchase")),
        ("an escaped timestamp", with("2026-11", "2026\\u002d11")),
        ("the largest user", with("17", "9223372036854775807")),
        ("a user of 19 digits", with("17", "1000000000000000000")),
        ("an empty page", with("/checkout", "")),
        ("a page of 64 KiB", with("/checkout", &"x".repeat(65_536))),
        ("a page in Japanese", with("/checkout", "/チェックアウト😀")),
        ("a page with every escape", with("/checkout", r#"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"#)),
        ("DEL and other odd characters", with("/checkout", "\u{7f}\u{80}\u{2028}\u{fffe}")),
        ("126 levels beside it", with("}", &format!(",\"deep\":{}{}}}", "[".repeat(126), "]".repeat(126)))),
        ("brackets that are text", with("}", &format!(r#","deep":["\"{0}","\\","{0}"]}}"#, "[{".repeat(99)))),
        ("ten minutes ahead", with("06:59:58.25Z", "07:10:00Z")),
        ("400 days behind", with("2026-11-23T06:59:58.25Z", "2025-10-19T07:00:00Z")),
    ] {
        let row = decode(&payload);
        assert_eq!((row.status, &row.error), (Status::Ok, &None), "{class}: {payload}");
    }
    let row = decode(with("/checkout", r#"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"#));
    assert_eq!(row.columns[3].as_deref(), Some("\"\\/\u{8}\u{c}\n\r\té😀"));
}

#[test]
fn undeclared_fields_are_kept_as_they_were_written() {
    let more = r#" "b" : [1, 2.50, {"x":"\ud800"}] ,"a":1e999,"b":null,"\ud800":true, "k\u00e9y":"\u0000""#;
    let row = decode(with("\"user_id\"", &format!("{more},\"user_id\"")));
    assert_eq!(row.status, Status::Ok);
    let extra = r#"{"b":[1, 2.50, {"x":"\ud800"}],"a":1e999,"b":null,"\ud800":true,"k\u00e9y":"\u0000"}"#;
    assert_eq!(row.extra.as_deref(), Some(extra));

    // An invalid event keeps them too, a malformed one has nothing.
    assert_eq!(decode(with("\"user_id\":17", "\"user_id\":0,\"x\":{}")).extra.as_deref(), Some("{\"x\":{}}"));
    assert_eq!(decode(with("}", ",\"x\":{}")).extra, None);
}

#[test]
fn the_first_field_of_the_declaration_that_is_wrong_gives_the_reason() {
    let row = decode(r#"{"source":7,"timestamp":"x","event_type":"nap","user_id":0}"#);
    assert_eq!(row.error.as_deref(), Some("missing_field: event_id"));
    let row = decode(r#"{"source":7,"timestamp":"x","event_type":"nap","user_id":0,"event_id":"a"}"#);
    assert_eq!(row.error.as_deref(), Some("below_minimum: user_id is 0"));
    let row = decode(r#"{"source":7,"timestamp":"x","event_type":"nap","user_id":1,"event_id":"a"}"#);
    assert_eq!(row.error.as_deref(), Some("not_allowed: event_type is \"nap\""));
    let row = decode(r#"{"source":7,"timestamp":"x","event_type":"click","user_id":1,"event_id":"a"}"#);
    assert_eq!(row.error.as_deref(), Some("bad_timestamp: timestamp is \"x\": no year"));
    let row = decode(r#"{"source":7,"timestamp":"2126-11-23T00:00:00Z","event_type":"click","user_id":1,"event_id":"a"}"#);
    assert_eq!(row.error.as_deref(), Some("wrong_type: source is 7, expected text"));
}

#[test]
fn an_invalid_event_keeps_every_column_that_could_be_read() {
    let row = decode(with("17", "0"));
    assert_eq!(row.status, Status::Invalid);
    assert_eq!(row.columns[1].as_deref(), Some("0"));
    assert!(row.columns.iter().all(Option::is_some));
    let row = decode(with("purchase", "refund"));
    assert_eq!(row.columns[2].as_deref(), Some("refund"));
    let row = decode(with("17", "\"17\""));
    assert_eq!(row.columns.iter().filter(|c| c.is_none()).count(), 1);
    // Which of the two is meant nobody can tell.
    let row = decode(with("{", r#"{"user_id":18,"#));
    assert_eq!(row.columns[1], None);
}

#[test]
fn a_row_is_filed_under_the_event_s_day_or_kafka_s() {
    let day = |row: Row| row.event_date;
    assert_eq!(day(decode(with("2026-11-23T06:59", "2026-11-21T06:59"))), 20_778);
    assert_eq!(day(decode(with("2026-11-23T06:59:58.25Z", "2026-11-23T00:30:00+02:00"))), 20_779);
    assert_eq!(day(decode(with("2026-11", "2126-11"))), 20_780); // future
    assert_eq!(day(decode(with("2026-11", "1970-11"))), 20_780); // ancient
    assert_eq!(day(decode("{")), 20_780); // no event time
    assert_eq!(day(decode(with("17", "0").replace("11-23", "11-22"))), 20_779); // invalid, but with an event time
    let stream = Arc::new(Stream::builtin());
    let at = |payload: &str, ms| between(&stream, GOOD.as_bytes(), Some(payload.as_bytes()), ms);
    assert_eq!(day(at("{", None)), 0);
    // Without a record time nothing is too far away, and the event's own day holds.
    let row = at(&with("2026-11-23", "2126-11-23"), None);
    assert_eq!((row.status, row.ingestion_us, row.event_date), (Status::Ok, None, 57_304));
    assert_eq!(at(GOOD, Some(-1)).ingestion_us, None);
    assert_eq!(at(GOOD, Some(i64::MAX)).ingestion_us, None);
}

#[test]
fn a_record_without_a_value_is_a_tombstone() {
    let row = between(&Arc::new(Stream::builtin()), GOOD.as_bytes(), None, Some(NOW_MS));
    assert_eq!((row.status, row.reason(), row.raw.as_deref()), (Status::Tombstone, "null_value", None));
    assert_eq!(row.event_date, 20_780);
}
