//! Records that are wrong, each in exactly one way, with what a reader must make of them.
//!
//! Assumes the declaration of `user_events`: six fields, page optional, four types, two sources, user_id from 1. Promises that the
//! flaw named is the only one, so that the order in which a reader checks does not matter.

use super::model::{Event, PAGES, SOURCES, TYPES};
use super::text::{Clock, push_uuid};
use crate::batch::Status;

/// One way of being wrong.
#[derive(Debug)]
pub struct Flaw {
    /// Its name in the truth.
    pub name: &'static str,
    /// What bronze must say.
    pub status: Status,
    /// The code at the beginning of bronze's `error`.
    pub reason: &'static str,
    make: Make,
}

#[derive(Debug)]
enum Make {
    /// No value at all.
    Null,
    /// Just these bytes.
    Bytes(&'static [u8]),
    /// The event with the value of one field replaced by this JSON text.
    Field(&'static str, &'static str),
    /// The event without a field.
    Without(&'static str),
    /// The event's text with this before it and this behind it.
    Around(&'static str, &'static str),
    /// The event's text without its last so many bytes.
    Cut(usize),
    /// The event with further text before the closing brace.
    More(&'static str),
    /// The event with one byte of its page replaced.
    Byte(u8),
    /// The event at another time: this plus up to a year, in seconds since 1970.
    Time(i64),
    /// The event with a text of so many bytes as its page.
    Long(usize),
    /// The event with an undeclared field of so many nested arrays.
    Deep(usize),
}

const fn flaw(name: &'static str, status: Status, reason: &'static str, make: Make) -> Flaw {
    Flaw { name, status, reason, make }
}

use Status::{Ancient, Future, Invalid, Malformed, Tombstone};

/// All of them but [`OVERSIZED`], drawn alike.
pub static FLAWS: [Flaw; 43] = [
    flaw("truncated", Malformed, "not_json", Make::Cut(9)),
    flaw("trailing_garbage", Malformed, "not_json", Make::Around("", "}")),
    flaw("two_objects", Malformed, "not_json", Make::Around("", "{}")),
    flaw("byte_order_mark", Malformed, "not_json", Make::Around("\u{feff}", "")),
    flaw("plain_text", Malformed, "not_json", Make::Bytes(b"user 17 clicked on /home")),
    flaw("lone_surrogate", Malformed, "not_json", Make::Field("page", r#""\ud800""#)),
    flaw("raw_line_feed", Malformed, "not_json", Make::Byte(b'\n')),
    flaw("not_a_number", Malformed, "not_json", Make::Field("user_id", "NaN")),
    flaw("leading_zero", Malformed, "not_json", Make::Field("user_id", "007")),
    flaw("single_quotes", Malformed, "not_json", Make::Field("source", "'web'")),
    flaw("comma_too_many", Malformed, "not_json", Make::More(",")),
    flaw("not_utf8", Malformed, "not_utf8", Make::Byte(0xff)),
    flaw("array", Malformed, "not_an_object", Make::Around("[", "]")),
    flaw("bare_string", Malformed, "not_an_object", Make::Bytes(br#""click""#)),
    flaw("bare_null", Malformed, "not_an_object", Make::Bytes(b"null")),
    flaw("deep_nesting", Malformed, "nesting_too_deep", Make::Deep(1_000)),
    flaw("duplicate_key", Malformed, "duplicate_key", Make::More(r#","user_id":1"#)),
    flaw("empty_payload", Malformed, "empty_value", Make::Bytes(b"")),
    flaw("null_value", Tombstone, "null_value", Make::Null),
    flaw("empty_object", Invalid, "missing_field", Make::Bytes(b"{}")),
    flaw("missing_id", Invalid, "missing_field", Make::Without("event_id")),
    flaw("missing_user", Invalid, "missing_field", Make::Without("user_id")),
    flaw("missing_time", Invalid, "missing_field", Make::Without("timestamp")),
    flaw("null_type", Invalid, "null_field", Make::Field("event_type", "null")),
    flaw("null_source", Invalid, "null_field", Make::Field("source", "null")),
    flaw("user_as_text", Invalid, "wrong_type", Make::Field("user_id", r#""17""#)),
    flaw("user_as_fraction", Invalid, "wrong_type", Make::Field("user_id", "17.5")),
    flaw("user_as_exponent", Invalid, "wrong_type", Make::Field("user_id", "1e3")),
    flaw("type_as_boolean", Invalid, "wrong_type", Make::Field("event_type", "true")),
    flaw("time_as_number", Invalid, "wrong_type", Make::Field("timestamp", "1700000000")),
    flaw("page_as_object", Invalid, "wrong_type", Make::Field("page", r#"{"path":"/home"}"#)),
    flaw("unknown_type", Invalid, "not_allowed", Make::Field("event_type", r#""hover""#)),
    flaw("type_in_capitals", Invalid, "not_allowed", Make::Field("event_type", r#""CLICK""#)),
    flaw("unknown_source", Invalid, "not_allowed", Make::Field("source", r#""toaster""#)),
    flaw("user_zero", Invalid, "below_minimum", Make::Field("user_id", "0")),
    flaw("user_negative", Invalid, "below_minimum", Make::Field("user_id", "-5")),
    flaw("user_huge", Invalid, "integer_out_of_range", Make::Field("user_id", "9223372036854775808")),
    flaw("time_in_words", Invalid, "bad_timestamp", Make::Field("timestamp", r#""yesterday""#)),
    flaw("time_without_zone", Invalid, "bad_timestamp", Make::Field("timestamp", r#""2026-01-05T10:00:00""#)),
    flaw("time_not_in_calendar", Invalid, "bad_timestamp", Make::Field("timestamp", r#""2026-02-30T10:00:00Z""#)),
    flaw("nul_in_text", Invalid, "nul_character", Make::Field("page", r#""/ho\u0000me""#)),
    flaw("future", Future, "too_far_ahead", Make::Time(4_070_908_800)),
    flaw("ancient", Ancient, "too_old", Make::Time(0)),
];

/// Two megabytes that would be a valid event. Made on demand only: Kafka's own limit for a batch is 1 MiB unless it is raised.
pub static OVERSIZED: Flaw = flaw("oversized", Status::Oversized, "too_large", Make::Long(2_000_000));

impl Flaw {
    /// Writes the wrong form of an event. False: the record has no value at all.
    pub fn write(&self, event: &Event, clock: &mut Clock, out: &mut Vec<u8>) -> bool {
        out.clear();
        let usual = Fields::of(event, clock);
        match self.make {
            Make::Null => return false,
            Make::Bytes(bytes) => out.extend_from_slice(bytes),
            Make::Field(name, text) => usual.with(name, text).join(out),
            Make::Without(name) => usual.with(name, "").join(out),
            Make::Around(before, behind) => {
                out.extend_from_slice(before.as_bytes());
                usual.join(out);
                out.extend_from_slice(behind.as_bytes());
            }
            Make::Cut(bytes) => {
                usual.join(out);
                out.truncate(out.len().saturating_sub(bytes));
            }
            Make::More(text) => usual.close_with(text, out),
            Make::Byte(byte) => {
                usual.with("page", r#""/#me""#).join(out);
                out.iter_mut().filter(|b| **b == b'#').for_each(|b| *b = byte);
            }
            Make::Time(second) => {
                let within_a_year = event.at_us.rem_euclid(365 * 86_400_000_000);
                Fields::of(&Event { at_us: second * 1_000_000 + within_a_year, ..*event }, clock).join(out);
            }
            Make::Long(bytes) => usual.with("page", &format!("\"/{}\"", "x".repeat(bytes))).join(out),
            Make::Deep(levels) => {
                let (open, close) = ("[".repeat(levels), "]".repeat(levels));
                usual.close_with(&format!(",\"deep\":{open}{close}"), out);
            }
        }
        true
    }
}

/// An event's fields as JSON texts; an empty text leaves the field out.
struct Fields([(&'static str, String); 6]);

impl Fields {
    fn of(event: &Event, clock: &mut Clock) -> Self {
        let mut id = vec![b'"'];
        push_uuid(&mut id, event.id);
        id.push(b'"');
        let mut time = vec![b'"'];
        clock.push(&mut time, event.at_us);
        time.push(b'"');
        let page = PAGES.get(usize::from(event.page)).map_or("null".to_owned(), |page| format!("\"{page}\""));
        Self([
            ("event_id", String::from_utf8_lossy(&id).into_owned()),
            ("user_id", event.user.to_string()),
            ("event_type", format!("\"{}\"", TYPES[usize::from(event.kind)])),
            ("page", page),
            ("timestamp", String::from_utf8_lossy(&time).into_owned()),
            ("source", format!("\"{}\"", SOURCES[usize::from(event.source)])),
        ])
    }

    fn with(mut self, name: &str, text: &str) -> Self {
        self.0.iter_mut().filter(|(field, _)| *field == name).for_each(|(_, value)| text.clone_into(value));
        self
    }

    fn join(&self, out: &mut Vec<u8>) {
        self.close_with("", out);
    }

    fn close_with(&self, text: &str, out: &mut Vec<u8>) {
        for (at, (name, value)) in self.0.iter().filter(|(_, value)| !value.is_empty()).enumerate() {
            let comma = if at == 0 { '{' } else { ',' };
            out.extend_from_slice(format!("{comma}\"{name}\":{value}").as_bytes());
        }
        out.extend_from_slice(text.as_bytes());
        out.push(b'}');
    }
}
