//! Each small step against a slow one that is plainly right, or against the reference.

use super::*;
use crate::decode::time;

#[test]
fn a_text_ends_at_its_quote_wherever_that_lies_in_a_word() {
    for lead in 0..20 {
        for stop in [b'"', b'\\', 0x1f, 0x00, b'\n'] {
            let mut bytes = vec![b'x'; lead];
            bytes.push(stop);
            bytes.extend_from_slice(b"!\"\\\x01 and more");
            let expected = if stop == b'"' { Some(lead) } else { None };
            assert_eq!(text_end(&bytes, 0), expected, "{lead} {stop}");
        }
    }
    assert_eq!(text_end(b"no end", 0), None);
    assert_eq!(text_end(b"no end at all in here", 3), None);
    assert_eq!(text_end(b"", 0), None);
    assert_eq!(text_end(b"x", 5), None);
}

#[test]
fn no_byte_but_quote_escape_and_control_stops_a_text() {
    for byte in 0..=255_u8 {
        for place in 0..9 {
            let mut bytes = *b"abcdefghi\"";
            bytes[place] = byte;
            let slow = bytes.iter().position(|b| matches!(b, b'"' | b'\\' | 0..0x20)).filter(|at| bytes[*at] == b'"');
            assert_eq!(text_end(&bytes, 0), slow, "{byte} at {place}");
        }
    }
}

#[test]
fn integers_are_plain_or_left_alone() {
    assert_eq!(integer(b"0,", 0), Some((0, 1)));
    assert_eq!(integer(b"-0", 0), Some((0, 2)));
    assert_eq!(integer(b"-17}", 0), Some((-17, 3)));
    assert_eq!(integer(b"999999999999999999", 0), Some((999_999_999_999_999_999, 18)));
    for text in ["", "-", "01", "-01", "+1", "x", "1000000000000000000"] {
        assert_eq!(integer(text.as_bytes(), 0), None, "{text}");
    }
}

#[test]
fn a_number_ends_where_serde_json_says_so() {
    for text in [
        "0", "-0", "1", "-1", "10.5", "1e5", "1E+5", "1.25e-7", "-0.0", "0e0", "00", "01", ".5", "5.", "1e", "1e+", "-", "+1",
        "--1", "1.e5", "0x1", "NaN", "Infinity", "1_000", "1e5.5",
    ] {
        let ours = number_end(text.as_bytes(), 0) == Some(text.len());
        let theirs = serde_json::from_str::<serde_json::Number>(text).is_ok();
        assert_eq!(ours, theirs, "{text}");
    }
}

#[test]
fn the_usual_timestamp_is_read_as_the_reference_reads_it() {
    let mut days = Days::default();
    let mut read = |text: &str| days.timestamp(text.as_bytes());
    for text in [
        "2026-11-23T07:00:50Z",
        "2026-11-23T07:00:50.1Z",
        "2026-11-23T07:00:50.123456Z",
        "2026-11-23T07:00:50.1234567899Z",
        "2026-11-23T07:00:50+00:00",
        "2024-02-29T07:00:50.5-09:30",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999Z",
    ] {
        assert_eq!(read(text), Some(time::parse(text).unwrap()), "{text}");
    }
    // Left to the reference, whether right or wrong; a bad day is not remembered as a good one.
    for text in [
        "2026-02-29T07:00:50Z",
        "2026-02-29T07:00:50Z",
        "2026-11-23t07:00:50Z",
        "2026-11-23 07:00:50Z",
        "2026-11-23T07:00:50z",
        "2016-12-31T23:59:60Z",
        "2026-11-23T24:00:00Z",
        "2026-11-23T07:00:50",
        "2026-11-23T07:00:50.Z",
        "2026-11-23T07:00:50+0100",
        "0000-11-23T07:00:50Z",
        "9999-12-31T23:59:59-00:01",
        "2026-11-23",
        "",
    ] {
        assert_eq!(read(text), None, "{text}");
    }
}
