//! One record on its way into the columns: what was read of it, before anything is appended.
//!
//! Both parsers fill a [`Row`]; nothing touches a column until the row is complete, so that there is nothing to roll back.

use std::fmt::Write as _;

use super::reason::Reason;
use crate::batch::Status;

/// One declared field of one record.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Cell {
    /// Not seen: a null column.
    Absent,
    /// Seen, and null.
    Null,
    /// A text, as it stands in the payload between these bytes.
    Text { from: u32, to: u32 },
    /// A text that had escapes: between these bytes of [`Row::unescaped`].
    Unescaped { from: u32, to: u32 },
    /// A text whose code in its column's dictionary is known already.
    Symbol(i32),
    /// An integer.
    Integer(i64),
    /// A float.
    Number(f64),
    /// true or false.
    Boolean(bool),
    /// Microseconds since 1970.
    Timestamp(i64),
}

/// What was read of one record. Its memory is used again for the next one.
#[derive(Debug)]
pub(super) struct Row {
    /// One per declared field.
    pub(super) cells: Vec<Cell>,
    /// What became of the record.
    pub(super) status: Status,
    /// `reason: detail`; empty when ok.
    pub(super) error: String,
    /// Undeclared fields as a JSON object; empty when there are none.
    pub(super) extra: String,
    /// Texts that had escapes, end to end.
    pub(super) unescaped: String,
}

impl Row {
    /// A row of so many declared fields.
    pub(super) fn new(fields: usize) -> Self {
        Self {
            cells: vec![Cell::Absent; fields],
            status: Status::Ok,
            error: String::new(),
            extra: String::new(),
            unescaped: String::new(),
        }
    }

    /// As new.
    pub(super) fn reset(&mut self) {
        self.cells.fill(Cell::Absent);
        self.status = Status::Ok;
        for text in [&mut self.error, &mut self.extra, &mut self.unescaped] {
            // One giant record must not hold its memory for good.
            if text.capacity() > 1 << 16 {
                *text = String::new();
            }
            text.clear();
        }
    }

    /// Says what is wrong with the record. Only the first word counts; later ones are not heard.
    pub(super) fn fault(&mut self, reason: Reason, detail: std::fmt::Arguments<'_>) {
        if self.status == Status::Ok {
            self.status = reason.status();
            // Writing into a String cannot fail.
            let _ = write!(self.error, "{}: {detail}", reason.as_str());
        }
    }

    /// The record cannot be read at all: whatever was read of it is forgotten, whatever was said before.
    pub(super) fn malformed(&mut self, reason: Reason, detail: std::fmt::Arguments<'_>) {
        self.reset();
        self.fault(reason, detail);
    }

    /// Adds an undeclared field, key and value as they stand in the payload.
    pub(super) fn undeclared(&mut self, key: &str, value: &str) {
        self.extra.push(if self.extra.is_empty() { '{' } else { ',' });
        for part in [key, ":", value] {
            self.extra.push_str(part);
        }
    }

    /// After the last undeclared field.
    pub(super) fn close_undeclared(&mut self) {
        if !self.extra.is_empty() {
            self.extra.push('}');
        }
    }

    /// The event time in microseconds, if it was read.
    pub(super) fn event_time(&self, field: usize) -> Option<i64> {
        match self.cells.get(field) {
            Some(Cell::Timestamp(us)) => Some(*us),
            _ => None,
        }
    }
}

/// At most 64 bytes of a text, for messages.
pub(super) fn clip(text: &str) -> Clip<'_> {
    Clip(text)
}

/// See [`clip`].
#[derive(Debug)]
pub(super) struct Clip<'a>(&'a str);

impl std::fmt::Display for Clip<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.len() <= 64 {
            return f.write_str(self.0);
        }
        let end = (0..=64).rev().find(|end| self.0.is_char_boundary(*end)).unwrap_or(0);
        write!(f, "{}… ({} bytes)", self.0.get(..end).unwrap_or_default(), self.0.len())
    }
}
