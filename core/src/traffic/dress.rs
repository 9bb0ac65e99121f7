//! Valid events in unusual clothes: what JSON and RFC 3339 allow and hand-made readers trip over.
//!
//! Assumes nothing. Promises that each form has exactly the values of the [`Event`], to the microsecond; what differs is the text.

use super::model::{Event, NO_PAGE, PAGES, SOURCES, TYPES};
use super::text::{Clock, push_event, push_uuid};

/// The forms; [`Event::dress`] counts them from 1.
pub const NAMES: [&str; 9] = [
    "spaced",       // blanks after every comma and colon, offset +00:00: what Python's json and isoformat make
    "reversed",     // keys in the opposite order
    "escaped",      // \u0063lick, \/home
    "offset",       // local time with +05:30
    "extra_fields", // undeclared fields, nested, with text beyond ASCII
    "null_page",    // "page": null
    "no_page",      // the key is not there
    "padded",       // white space and line ends around and inside
    "nanoseconds",  // nine digits of fraction
];
const NULL_PAGE: u8 = 6;
const MISSING_PAGE: u8 = 7;

/// Dresses an event: the two forms without a page lose it.
pub fn put_on(mut event: Event, dress: u8) -> Event {
    event.dress = dress;
    if matches!(dress, NULL_PAGE | MISSING_PAGE) {
        event.page = NO_PAGE;
    }
    event
}

/// Writes an event in its form.
pub fn push(out: &mut Vec<u8>, clock: &mut Clock, event: &Event) {
    if matches!(event.dress, 0 | NULL_PAGE) {
        return push_event(out, clock, event);
    }
    let mut id = Vec::with_capacity(36);
    push_uuid(&mut id, event.id);
    let id = String::from_utf8_lossy(&id);
    let (user, kind, source) = (event.user, TYPES[usize::from(event.kind)], SOURCES[usize::from(event.source)]);
    let page = PAGES.get(usize::from(event.page)).copied().unwrap_or("");
    let mut time = |at_us: i64| {
        let mut text = Vec::with_capacity(27);
        clock.push(&mut text, at_us);
        text.pop();
        String::from_utf8_lossy(&text).into_owned()
    };
    let utc = time(event.at_us);
    let text = match event.dress {
        1 => format!(
            r#"{{"event_id": "{id}", "user_id": {user}, "event_type": "{kind}", "page": "{page}", "timestamp": "{utc}+00:00", "source": "{source}"}}"#
        ),
        2 => format!(
            r#"{{"source":"{source}","timestamp":"{utc}Z","page":"{page}","event_type":"{kind}","user_id":{user},"event_id":"{id}"}}"#
        ),
        3 => {
            let (first, rest) = kind.split_at(1);
            let first = first.bytes().next().unwrap_or_default();
            let page = page.replace('/', r"\/");
            format!(
                r#"{{"event_id":"{id}","user_id":{user},"event_type":"\u{first:04x}{rest}","page":"{page}","timestamp":"{utc}Z","source":"{source}"}}"#
            )
        }
        4 => {
            let local = time(event.at_us + 19_800_000_000);
            format!(
                r#"{{"event_id":"{id}","user_id":{user},"event_type":"{kind}","page":"{page}","timestamp":"{local}+05:30","source":"{source}"}}"#
            )
        }
        5 => format!(
            r#"{{"event_id":"{id}","user_id":{user},"event_type":"{kind}","page":"{page}","timestamp":"{utc}Z","source":"{source}","campaign":{{"name":"été","tags":["a","b"]}},"agent":"näkymä 🌊"}}"#
        ),
        MISSING_PAGE => {
            format!(r#"{{"event_id":"{id}","user_id":{user},"event_type":"{kind}","timestamp":"{utc}Z","source":"{source}"}}"#)
        }
        8 => format!(
            "\n {{\r\n\t\"event_id\" : \"{id}\" ,\n\t\"user_id\" : {user} ,\n\t\"event_type\":\"{kind}\",\"page\" :\"{page}\",\"timestamp\": \"{utc}Z\",\n\"source\":\"{source}\" \n}} \n"
        ),
        _ => format!(
            r#"{{"event_id":"{id}","user_id":{user},"event_type":"{kind}","page":"{page}","timestamp":"{utc}000Z","source":"{source}"}}"#
        ),
    };
    out.extend_from_slice(text.as_bytes());
}
