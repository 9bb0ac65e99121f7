//! Records that are wrong, each in exactly one way, with what a reader must make of them.
//!
//! Assumes the declaration of `user_events`: six fields, page optional, four types, two sources, user_id from 1. Promises that the
//! flaw named is the only one, so that the order in which a reader checks does not matter.

use super::model::{Event, PAGES, SOURCES, TYPES};
use super::text::{Clock, push_uuid};
use crate::batch::Status;
use crate::decode::Reason;

/// One way of being wrong.
#[derive(Debug)]
pub struct Flaw {
    /// Its name in the truth.
    pub name: &'static str,
    /// What bronze's `error` must begin with; its `status` follows.
    pub reason: Reason,
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

const fn flaw(name: &'static str, reason: Reason, make: Make) -> Flaw {
    Flaw { name, reason, make }
}

/// All of them but [`OVERSIZED`], drawn alike.
pub static FLAWS: [Flaw; 44] = [
    flaw("truncated", Reason::NotJson, Make::Cut(9)),
    flaw("trailing_garbage", Reason::NotJson, Make::Around("", "}")),
    flaw("two_objects", Reason::NotJson, Make::Around("", "{}")),
    flaw("byte_order_mark", Reason::NotJson, Make::Around("\u{feff}", "")),
    flaw("plain_text", Reason::NotJson, Make::Bytes(b"user 17 clicked on /home")),
    flaw("lone_surrogate", Reason::LoneSurrogate, Make::Field("page", r#""\ud800""#)),
    flaw("raw_line_feed", Reason::NotJson, Make::Byte(b'\n')),
    flaw("not_a_number", Reason::NotJson, Make::Field("user_id", "NaN")),
    flaw("leading_zero", Reason::NotJson, Make::Field("user_id", "007")),
    flaw("single_quotes", Reason::NotJson, Make::Field("source", "'web'")),
    flaw("comma_too_many", Reason::NotJson, Make::More(",")),
    flaw("not_utf8", Reason::NotUtf8, Make::Byte(0xff)),
    flaw("array", Reason::NotAnObject, Make::Around("[", "]")),
    flaw("bare_string", Reason::NotAnObject, Make::Bytes(br#""click""#)),
    flaw("bare_null", Reason::NotAnObject, Make::Bytes(b"null")),
    flaw("deep_nesting", Reason::NestingTooDeep, Make::Deep(1_000)),
    flaw("duplicate_key", Reason::DuplicateKey, Make::More(r#","user_id":1"#)),
    flaw("empty_payload", Reason::EmptyValue, Make::Bytes(b"")),
    flaw("null_value", Reason::NullValue, Make::Null),
    flaw("empty_object", Reason::MissingField, Make::Bytes(b"{}")),
    flaw("missing_id", Reason::MissingField, Make::Without("event_id")),
    flaw("missing_user", Reason::MissingField, Make::Without("user_id")),
    flaw("missing_time", Reason::MissingField, Make::Without("timestamp")),
    flaw("null_type", Reason::NullField, Make::Field("event_type", "null")),
    flaw("null_source", Reason::NullField, Make::Field("source", "null")),
    flaw("user_as_text", Reason::WrongType, Make::Field("user_id", r#""17""#)),
    flaw("user_as_fraction", Reason::WrongType, Make::Field("user_id", "17.5")),
    flaw("user_as_exponent", Reason::WrongType, Make::Field("user_id", "1e3")),
    flaw("type_as_boolean", Reason::WrongType, Make::Field("event_type", "true")),
    flaw("time_as_number", Reason::WrongType, Make::Field("timestamp", "1700000000")),
    flaw("page_as_object", Reason::WrongType, Make::Field("page", r#"{"path":"/home"}"#)),
    flaw("unknown_type", Reason::NotAllowed, Make::Field("event_type", r#""hover""#)),
    flaw("type_in_capitals", Reason::NotAllowed, Make::Field("event_type", r#""CLICK""#)),
    flaw("unknown_source", Reason::NotAllowed, Make::Field("source", r#""toaster""#)),
    flaw("user_zero", Reason::BelowMinimum, Make::Field("user_id", "0")),
    flaw("user_negative", Reason::BelowMinimum, Make::Field("user_id", "-5")),
    flaw("user_huge", Reason::IntegerOutOfRange, Make::Field("user_id", "9223372036854775808")),
    flaw("time_in_words", Reason::BadTimestamp, Make::Field("timestamp", r#""yesterday""#)),
    flaw("time_without_zone", Reason::BadTimestamp, Make::Field("timestamp", r#""2026-01-05T10:00:00""#)),
    flaw("time_not_in_calendar", Reason::BadTimestamp, Make::Field("timestamp", r#""2026-02-30T10:00:00Z""#)),
    flaw("nul_in_text", Reason::NulCharacter, Make::Field("page", r#""/ho\u0000me""#)),
    flaw("page_too_long", Reason::TooLong, Make::Long(70_000)),
    flaw("future", Reason::TooFarAhead, Make::Time(4_070_908_800)),
    flaw("ancient", Reason::TooOld, Make::Time(0)),
];

/// Two megabytes that would be a valid event. Made on demand only: Kafka's own limit for a batch is 1 MiB unless it is raised.
pub static OVERSIZED: Flaw = flaw("oversized", Reason::TooLarge, Make::Long(2_000_000));

impl Flaw {
    /// What bronze's `status` must be.
    pub fn status(&self) -> Status {
        self.reason.status()
    }

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
