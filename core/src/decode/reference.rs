//! The parser that says what is true: serde_json splits the object, then each declared field is judged in its order.
//!
//! Assumes UTF-8. Promises a complete [`Row`] for any text, in time that grows with its length and in a fixed depth of stack: values
//! are first taken as they stand (`RawValue` skips them without recursion) and their nesting is counted.

use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::reason::Reason;
use super::row::{Cell, Row, clip};
use super::{MAX_DEPTH, max_text_bytes, time};
use crate::stream::{Field, Kind, Stream};

/// Reads one text into `row` (which must be reset).
pub(super) fn read(text: &str, stream: &Stream, members: &mut Members, row: &mut Row) {
    members.reset(stream.fields.len());
    let first = text.trim_start_matches([' ', '\t', '\n', '\r']).as_bytes().first().copied();
    if first != Some(b'{') {
        return not_an_object(text, row);
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let split = Split { text, all: &mut members.all };
    if let Err(e) = split.deserialize(&mut json).and_then(|()| json.end()) {
        return row.malformed(Reason::NotJson, format_args!("{e}"));
    }

    for n in 0..members.all.len() {
        let Member { key, value } = members.all[n];
        let (key, value) = (key.of(text), value.of(text));
        if value.starts_with(['[', '{']) && depth(value) >= MAX_DEPTH {
            return row.malformed(Reason::NestingTooDeep, format_args!("more than {MAX_DEPTH} levels"));
        }
        match field_of(key, stream) {
            Some(field) => match &mut members.declared[field] {
                seen @ Seen::Never => *seen = Seen::Once(n),
                seen => *seen = Seen::Often,
            },
            None => row.undeclared(key, value),
        }
    }
    row.close_undeclared();

    for (at, (field, seen)) in stream.fields.iter().zip(&members.declared).enumerate() {
        match seen {
            Seen::Never if field.required => row.fault(Reason::MissingField, format_args!("{}", field.name)),
            Seen::Never => {}
            Seen::Once(n) => judge(at, field, members.all[*n].value, text, row),
            Seen::Often => row.fault(Reason::DuplicateKey, format_args!("{}", field.name)),
        }
    }
}

fn not_an_object(text: &str, row: &mut Row) {
    match serde_json::from_str::<&RawValue>(text) {
        Err(e) => row.malformed(Reason::NotJson, format_args!("{e}")),
        Ok(value) if depth(value.get()) > MAX_DEPTH => {
            row.malformed(Reason::NestingTooDeep, format_args!("more than {MAX_DEPTH} levels"));
        }
        Ok(value) => row.malformed(Reason::NotAnObject, format_args!("{}", clip(value.get()))),
    }
}

/// Levels of lists and objects in a valid JSON text.
pub(super) fn depth(json: &str) -> usize {
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// The declared field of a key, which comes as it stands in the text: in quotes, with its escapes.
fn field_of(key: &str, stream: &Stream) -> Option<usize> {
    if key.contains('\\') {
        // A key that is not even a text (half a surrogate pair) is nobody's.
        serde_json::from_str::<String>(key).ok().and_then(|key| stream.field(&key))
    } else {
        stream.field(inside(key))
    }
}

/// What is between the quotes.
fn inside(quoted: &str) -> &str {
    quoted.get(1..quoted.len() - 1).unwrap_or_default()
}

/// Judges one value; the cell is filled whenever the value can be held by its column.
fn judge(at: usize, field: &Field, span: Bytes, text: &str, row: &mut Row) {
    let value = span.of(text);
    let name = &field.name;
    let fault = |row: &mut Row, reason| row.fault(reason, format_args!("{name} is {}", clip(value)));
    let first = value.as_bytes().first().copied().unwrap_or(b' ');
    if first == b'n' {
        row.cells[at] = Cell::Null;
        if field.required {
            row.fault(Reason::NullField, format_args!("{name}"));
        }
        return;
    }
    let number = first == b'-' || first.is_ascii_digit();
    let whole = !value.contains(['.', 'e', 'E']);
    match field.kind {
        Kind::Text if first == b'"' => judge_text(at, field, span, text, row),
        Kind::Timestamp if first == b'"' => {
            let parsed = if value.contains('\\') {
                serde_json::from_str::<String>(value).map_err(|_| "half a surrogate pair").and_then(|t| time::parse(&t))
            } else {
                time::parse(inside(value))
            };
            match parsed {
                Ok(us) => row.cells[at] = Cell::Timestamp(us),
                Err(why) => row.fault(Reason::BadTimestamp, format_args!("{name} is {}: {why}", clip(value))),
            }
        }
        Kind::Integer if number && whole => match value.parse() {
            Ok(n) => {
                row.cells[at] = Cell::Integer(n);
                if field.minimum.is_some_and(|minimum| n < minimum) {
                    fault(row, Reason::BelowMinimum);
                }
            }
            Err(_) => fault(row, Reason::IntegerOutOfRange),
        },
        Kind::Number if number => match value.parse::<f64>() {
            Ok(n) if n.is_finite() => row.cells[at] = Cell::Number(n),
            _ => fault(row, Reason::NumberOutOfRange),
        },
        Kind::Boolean if first == b't' || first == b'f' => row.cells[at] = Cell::Boolean(first == b't'),
        kind => row.fault(Reason::WrongType, format_args!("{name} is {}, expected {}", clip(value), kind.as_str())),
    }
}

fn judge_text(at: usize, field: &Field, span: Bytes, text: &str, row: &mut Row) {
    let value = span.of(text);
    let (cell, content) = if value.contains('\\') {
        let Ok(content) = serde_json::from_str::<String>(value) else {
            return row.fault(Reason::LoneSurrogate, format_args!("{} is {}", field.name, clip(value)));
        };
        let from = row.unescaped.len() as u32;
        row.unescaped.push_str(&content);
        (Cell::Unescaped { from, to: row.unescaped.len() as u32 }, std::borrow::Cow::Owned(content))
    } else {
        (Cell::Text { from: span.from + 1, to: span.to - 1 }, std::borrow::Cow::Borrowed(inside(value)))
    };
    if content.contains('\0') {
        return row.fault(Reason::NulCharacter, format_args!("{} is {}", field.name, clip(value)));
    }
    let limit = max_text_bytes(field);
    if content.len() > limit {
        return row.fault(Reason::TooLong, format_args!("{} has {} bytes, at most {limit}", field.name, content.len()));
    }
    row.cells[at] = cell;
    if !field.allowed.is_empty() && !field.allowed.iter().any(|a| *a == content) {
        row.fault(Reason::NotAllowed, format_args!("{} is {}", field.name, clip(value)));
    }
}

/// A stretch of the text; texts are shorter than 4 GiB (`max_event_bytes`).
#[derive(Debug, Clone, Copy)]
struct Bytes {
    from: u32,
    to: u32,
}

impl Bytes {
    /// Where `part`, which was borrowed from `text`, lies in it.
    fn within(text: &str, part: &str) -> Self {
        let from = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
        Self { from: from as u32, to: (from + part.len()) as u32 }
    }

    fn of(self, text: &str) -> &str {
        text.get(self.from as usize..self.to as usize).unwrap_or_default()
    }
}

#[derive(Debug, Clone, Copy)]
struct Member {
    key: Bytes,
    value: Bytes,
}

#[derive(Debug, Clone, Copy)]
enum Seen {
    Never,
    Once(usize),
    Often,
}

/// The members of the last object, and which of them are declared. Kept so that its memory is used again.
#[derive(Debug, Default)]
pub(super) struct Members {
    all: Vec<Member>,
    declared: Vec<Seen>,
}

impl Members {
    fn reset(&mut self, fields: usize) {
        self.all.clear();
        self.all.shrink_to(1 << 10);
        self.declared.clear();
        self.declared.resize(fields, Seen::Never);
    }
}

/// Splits an object into its members, unread.
struct Split<'m, 'de> {
    text: &'de str,
    all: &'m mut Vec<Member>,
}

impl<'de> DeserializeSeed<'de> for Split<'_, 'de> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Split<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((key, value)) = map.next_entry::<&'de RawValue, &'de RawValue>()? {
            self.all.push(Member { key: Bytes::within(self.text, key.get()), value: Bytes::within(self.text, value.get()) });
        }
        Ok(())
    }
}
