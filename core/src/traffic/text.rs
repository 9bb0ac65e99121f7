//! An event as JSON text, written by hand: this is the inner loop of every load test.
//!
//! Assumes event times between the years 0 and 9999. Promises compact JSON in the declared order of the fields, UTC with six
//! digits of fraction, and no allocation once the buffer has grown.

use chrono::{DateTime, Datelike, Timelike};

use super::model::{Event, NO_PAGE, PAGES, SOURCES, TYPES};

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Writes timestamps and remembers the text of the last second: neighbours in a stream mostly share it.
#[derive(Debug, Clone)]
pub struct Clock {
    second: i64,
    /// `2026-11-23T07:00:51.`
    text: [u8; 20],
}

impl Default for Clock {
    fn default() -> Self {
        let mut clock = Self { second: 0, text: *b"1970-01-01T00:00:00." };
        clock.turn_to(0);
        clock
    }
}

impl Clock {
    fn turn_to(&mut self, second: i64) {
        self.second = second;
        let time = DateTime::from_timestamp(second, 0).unwrap_or_default();
        let (year, text) = (time.year().clamp(0, 9999) as u32, &mut self.text);
        put2(text, 0, year / 100);
        put2(text, 2, year % 100);
        for (at, value) in [(5, time.month()), (8, time.day()), (11, time.hour()), (14, time.minute()), (17, time.second())] {
            put2(text, at, value);
        }
    }

    /// `2026-11-23T07:00:51.123456Z`
    pub fn push(&mut self, out: &mut Vec<u8>, at_us: i64) {
        let second = at_us.div_euclid(1_000_000);
        if second != self.second {
            self.turn_to(second);
        }
        let micros = at_us.rem_euclid(1_000_000) as u32;
        let mut text = [b'Z'; 27];
        text[..20].copy_from_slice(&self.text);
        put2(&mut text, 20, micros / 10_000);
        put2(&mut text, 22, micros / 100 % 100);
        put2(&mut text, 24, micros % 100);
        out.extend_from_slice(&text);
    }
}

fn put2(text: &mut [u8], at: usize, value: u32) {
    text[at] = b'0' + (value / 10) as u8;
    text[at + 1] = b'0' + (value % 10) as u8;
}

/// The usual form of a UUID.
pub fn push_uuid(out: &mut Vec<u8>, id: u128) {
    let mut text = [b'-'; 36];
    let mut at = 0;
    for (i, byte) in id.to_be_bytes().into_iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            at += 1;
        }
        text[at] = HEX[usize::from(byte >> 4)];
        text[at + 1] = HEX[usize::from(byte & 15)];
        at += 2;
    }
    out.extend_from_slice(&text);
}

/// Decimal digits.
pub fn push_digits(out: &mut Vec<u8>, mut value: u64) {
    let mut text = [0; 20];
    let mut at = text.len();
    loop {
        at -= 1;
        text[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&text[at..]);
}

/// The event, compact.
pub fn push_event(out: &mut Vec<u8>, clock: &mut Clock, event: &Event) {
    out.reserve(192);
    out.extend_from_slice(br#"{"event_id":""#);
    push_uuid(out, event.id);
    out.extend_from_slice(br#"","user_id":"#);
    push_digits(out, event.user);
    out.extend_from_slice(br#","event_type":""#);
    out.extend_from_slice(TYPES[usize::from(event.kind)].as_bytes());
    if event.page == NO_PAGE {
        out.extend_from_slice(br#"","page":null,"timestamp":""#);
    } else {
        out.extend_from_slice(br#"","page":""#);
        out.extend_from_slice(PAGES[usize::from(event.page)].as_bytes());
        out.extend_from_slice(br#"","timestamp":""#);
    }
    clock.push(out, event.at_us);
    out.extend_from_slice(br#"","source":""#);
    out.extend_from_slice(SOURCES[usize::from(event.source)].as_bytes());
    out.extend_from_slice(br#""}"#);
}
