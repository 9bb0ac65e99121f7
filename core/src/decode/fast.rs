//! The parser for the usual record: it expects the declared keys in the order in which it saw them last, and their values in the
//! plainest form, straight from the bytes into cells.
//!
//! Assumes UTF-8. Promises that what it takes is valid by the declaration and gives the very cells that [`super::reference`] would;
//! it gives up (and says nothing about the record) on all else: a repeated key, an escape in a declared text, a value that breaks the
//! declaration, a time of day in a rare form, anything that is not JSON. Nothing is appended before the last byte was read, so giving
//! up leaves nothing behind. Undeclared fields are usual: most streams have more than one reader.

use super::columns::Columns;
use super::max_text_bytes;
use super::row::{Cell, Row};
use super::scan::{self, Days};
use crate::stream::{Kind, Stream};

/// What is expected, learned from the records before.
#[derive(Debug)]
pub(super) struct Fast {
    fields: Vec<Expected>,
    /// The declared field that came last after each; the entry beyond the last field is for the beginning.
    after: Vec<usize>,
    days: Days,
}

/// One declared field, as the scanner wants it.
#[derive(Debug)]
struct Expected {
    /// The key in quotes with its colon.
    key: Vec<u8>,
    /// Bytes of the key without quotes and colon.
    name: Vec<u8>,
    kind: Kind,
    required: bool,
    minimum: i64,
    /// Only the declared values are valid.
    closed: bool,
    longest: usize,
}

/// What a key is, and where its value begins.
#[derive(Debug)]
enum Key {
    Declared(usize, usize),
    /// A key that ends before `end`.
    Undeclared {
        end: usize,
        value: usize,
    },
}

impl Fast {
    /// Expects the order of the declaration.
    pub(super) fn new(stream: &Stream) -> Self {
        let fields: Vec<_> = stream
            .fields
            .iter()
            .map(|f| {
                // A key that JSON must escape is left to the reference: 0xff is no part of UTF-8, so this one never matches.
                let plain = !f.name.contains(['"', '\\']);
                let key = if plain { format!("\"{}\":", f.name).into_bytes() } else { vec![0xff] };
                let name = if plain { f.name.clone().into_bytes() } else { vec![0xff] };
                Expected {
                    key,
                    name,
                    kind: f.kind,
                    required: f.required,
                    minimum: f.minimum.unwrap_or(i64::MIN),
                    closed: !f.allowed.is_empty(),
                    longest: max_text_bytes(f),
                }
            })
            .collect();
        let mut after: Vec<usize> = (1..=fields.len()).map(|next| next % fields.len()).collect();
        after.push(0);
        Self { fields, after, days: Days::default() }
    }

    /// Fills the row (which must be reset) if the record is as usual; else leaves it as it was.
    pub(super) fn read(&mut self, text: &str, columns: &Columns, row: &mut Row) -> bool {
        let usual = self.object(text, columns, row).is_some();
        if !usual {
            row.reset();
        }
        usual
    }

    fn object(&mut self, text: &str, columns: &Columns, row: &mut Row) -> Option<()> {
        let bytes = text.as_bytes();
        let mut at = scan::blank(bytes, 0);
        if *bytes.get(at)? != b'{' {
            return None;
        }
        at = scan::blank(bytes, at + 1);
        let mut last = self.fields.len();
        loop {
            let end = match self.key(bytes, at, last)? {
                Key::Declared(field, value) => {
                    let (cell, end) = self.value(field, text, value, columns)?;
                    let slot = row.cells.get_mut(field)?;
                    if !matches!(slot, Cell::Absent) {
                        return None;
                    }
                    *slot = cell;
                    last = field;
                    end
                }
                Key::Undeclared { end: key_end, value } => {
                    let end = scan::value_end(text, value)?;
                    row.undeclared(text.get(at..key_end)?, text.get(value..end)?);
                    end
                }
            };
            at = scan::blank(bytes, end);
            match *bytes.get(at)? {
                b',' => at = scan::blank(bytes, at + 1),
                b'}' => break,
                _ => return None,
            }
        }
        if scan::blank(bytes, at + 1) != bytes.len() {
            return None;
        }
        row.close_undeclared();
        let missing = |(field, cell): (&Expected, &Cell)| field.required && matches!(cell, Cell::Absent);
        if self.fields.iter().zip(&row.cells).any(missing) { None } else { Some(()) }
    }

    /// Which field the key at `at` is, and where its value begins.
    #[inline]
    fn key(&mut self, bytes: &[u8], at: usize, last: usize) -> Option<Key> {
        let rest = bytes.get(at..)?;
        let guess = *self.after.get(last)?;
        let expected = self.fields.get(guess)?;
        if rest.starts_with(&expected.key) {
            return Some(Key::Declared(guess, scan::blank(bytes, at + expected.key.len())));
        }
        // Another order, or blanks before the colon.
        if *rest.first()? != b'"' {
            return None;
        }
        let end = scan::text_end(bytes, at + 1)?;
        let name = bytes.get(at + 1..end)?;
        let colon = scan::blank(bytes, end + 1);
        if *bytes.get(colon)? != b':' {
            return None;
        }
        let value = scan::blank(bytes, colon + 1);
        match self.fields.iter().position(|f| f.name == name) {
            Some(field) => {
                *self.after.get_mut(last)? = field;
                Some(Key::Declared(field, value))
            }
            None => Some(Key::Undeclared { end: end + 1, value }),
        }
    }

    /// The cell of the value at `at`, and where it ends.
    #[inline]
    fn value(&mut self, field: usize, text: &str, at: usize, columns: &Columns) -> Option<(Cell, usize)> {
        let bytes = text.as_bytes();
        let expected = self.fields.get(field)?;
        let first = *bytes.get(at)?;
        match expected.kind {
            Kind::Text if first == b'"' => {
                let end = scan::text_end(bytes, at + 1)?;
                let value = bytes.get(at + 1..end)?;
                if value.len() > expected.longest {
                    return None;
                }
                let code = columns.symbols(field).and_then(|symbols| symbols.code(value));
                let cell = match code {
                    Some(code) if !expected.closed || columns.symbols(field)?.is_declared(code) => Cell::Symbol(code),
                    _ if expected.closed => return None,
                    _ => Cell::Text { from: u32::try_from(at + 1).ok()?, to: u32::try_from(end).ok()? },
                };
                Some((cell, end + 1))
            }
            Kind::Timestamp if first == b'"' => {
                let end = scan::text_end(bytes, at + 1)?;
                let us = self.days.timestamp(bytes.get(at + 1..end)?)?;
                Some((Cell::Timestamp(us), end + 1))
            }
            Kind::Integer if first != b'n' => {
                let (n, end) = scan::integer(bytes, at)?;
                if n < expected.minimum { None } else { Some((Cell::Integer(n), end)) }
            }
            Kind::Number if first != b'n' => {
                let end = scan::number_end(bytes, at)?;
                let n: f64 = text.get(at..end)?.parse().ok()?;
                if n.is_finite() { Some((Cell::Number(n), end)) } else { None }
            }
            Kind::Boolean if bytes.get(at..)?.starts_with(b"true") => Some((Cell::Boolean(true), at + 4)),
            Kind::Boolean if bytes.get(at..)?.starts_with(b"false") => Some((Cell::Boolean(false), at + 5)),
            _ if !expected.required && bytes.get(at..)?.starts_with(b"null") => Some((Cell::Null, at + 4)),
            _ => None,
        }
    }
}
