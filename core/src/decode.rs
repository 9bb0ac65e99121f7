//! Bytes from Kafka become rows of a bronze batch. Every record is exactly one row: what cannot be read becomes a row with a reason.
//!
//! Assumes nothing about the bytes. Promises never to fail and never to panic on them, and that the same record gives the same row
//! whenever it is read: no clock is asked, the event time is compared with Kafka's record time only.
//!
//! What is decided, in this order:
//!
//! 1. No value: `tombstone`. More than `max_event_bytes`: `oversized`, kept whole, not parsed.
//! 2. Not one JSON object in UTF-8, or nested deeper than [`MAX_DEPTH`]: `malformed`, no declared column is filled.
//! 3. A declared field that is missing, twice there or breaks its declaration: `invalid`. The first such field in the order of the
//!    declaration gives the reason; every column that could be read is filled all the same.
//! 4. An event time too far from Kafka's record time: `future` or `ancient`.
//! 5. Else `ok`. Fields that nobody declared make nothing invalid: they are in `extra`, as they were written.
//!
//! Two parsers give the same rows. `reference.rs` says what is true; `fast.rs` predicts what comes next and gives up as soon as the
//! prediction fails, so that a row is only ever taken from it when nothing is unusual.

use std::sync::Arc;

use crate::batch::{Batch, Status};
use crate::declare::units::show_millis;
use crate::stream::{Field, Stream};

mod columns;
mod fast;
mod reason;
mod reference;
mod row;
mod scan;
mod symbols;
mod time;

use self::columns::{Columns, Origin};
use self::fast::Fast;
pub use self::reason::Reason;
use self::reference::Members;
use self::row::Row;
use self::time::Place;

/// Levels of lists and objects in a payload, the payload's own object included: what serde_json reads back.
pub const MAX_DEPTH: usize = 127;
/// Longest valid text of a field that a window groups or filters by and that has no declared values: three of them make a key of a
/// PostgreSQL index, which takes some 2,700 bytes.
pub const MAX_SYMBOL_BYTES: usize = 512;
/// Longest valid text of any other field.
pub const MAX_TEXT_BYTES: usize = 64 << 10;
/// Payload bytes that one batch takes: arrow counts the bytes of a column in 31 bits. A batch is meant to be finished long before; a
/// payload that would go beyond becomes `oversized` without its bytes, and says so.
pub const MAX_BATCH_BYTES: usize = 1 << 30;

/// One record as Kafka gives it.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Kafka partition.
    pub partition: i32,
    /// Kafka offset.
    pub offset: i64,
    /// Kafka's record time in milliseconds since 1970.
    pub timestamp_ms: Option<i64>,
    /// The value; none for a tombstone.
    pub payload: Option<&'a [u8]>,
}

/// Collects records into a batch.
#[derive(Debug)]
pub struct Decoder {
    stream: Arc<Stream>,
    columns: Columns,
    /// None: the reference alone.
    fast: Option<Fast>,
    members: Members,
    row: Row,
    statuses: [u64; Status::ALL.len()],
    newest_event_us: Option<i64>,
    payload_bytes: usize,
    predicted: u64,
}

impl Decoder {
    /// A decoder for a stream; `incarnation` is 1 for the first topic of that name.
    pub fn new(stream: Arc<Stream>, incarnation: i32) -> Self {
        let fast = Some(Fast::new(&stream));
        Self { fast, ..Self::reference(stream, incarnation) }
    }

    /// The same decoder without the fast parser: the measure for [`Self::new`], in tests and benchmarks.
    pub fn reference(stream: Arc<Stream>, incarnation: i32) -> Self {
        Self {
            columns: Columns::new(&stream, incarnation),
            fast: None,
            members: Members::default(),
            row: Row::new(stream.fields.len()),
            statuses: [0; Status::ALL.len()],
            newest_event_us: None,
            payload_bytes: 0,
            predicted: 0,
            stream,
        }
    }

    /// Rows held.
    pub fn rows(&self) -> usize {
        self.columns.rows()
    }

    /// Memory held by the rows, estimated.
    pub fn bytes(&self) -> usize {
        self.columns.bytes()
    }

    /// Rows that the fast parser took since the decoder was made. Far fewer than all rows: the stream is three times slower to read
    /// than it could be.
    pub fn predicted(&self) -> u64 {
        self.predicted
    }

    /// Takes one record: exactly one row more, whatever its bytes are.
    pub fn push(&mut self, record: Record<'_>) {
        self.row.reset();
        let record_us = time::record_time(record.timestamp_ms);
        let mut raw = record.payload;
        let text = self.read(&mut raw);
        self.check_time(record_us);
        self.append(text, raw, record.partition, record.offset, record_us);
    }

    /// Fills the row from the payload; the text that its cells point into.
    fn read<'a>(&mut self, payload: &mut Option<&'a [u8]>) -> &'a str {
        let Some(bytes) = *payload else {
            self.row.fault(Reason::NullValue, format_args!("the record has no value"));
            return "";
        };
        if self.payload_bytes + bytes.len() > MAX_BATCH_BYTES {
            self.row.fault(Reason::TooLarge, format_args!("{} bytes did not fit into the batch and were left out", bytes.len()));
            *payload = None;
            return "";
        }
        self.payload_bytes += bytes.len();
        let limit = self.stream.limits.max_event_bytes;
        if bytes.is_empty() {
            self.row.fault(Reason::EmptyValue, format_args!("the record's value has no bytes"));
        } else if bytes.len() > limit {
            self.row.fault(Reason::TooLarge, format_args!("{} bytes, at most {limit}", bytes.len()));
        } else {
            match std::str::from_utf8(bytes) {
                Ok(text) => {
                    let usual = self.fast.as_mut().is_some_and(|fast| fast.read(text, &self.columns, &mut self.row));
                    if usual {
                        self.predicted += 1;
                    } else {
                        reference::read(text, &self.stream, &mut self.members, &mut self.row);
                    }
                    return text;
                }
                Err(e) => self.row.fault(Reason::NotUtf8, format_args!("byte {} is not UTF-8", e.valid_up_to())),
            }
        }
        ""
    }

    /// The last rule: an event time that is too far from the record time.
    fn check_time(&mut self, record_us: Option<i64>) {
        let Some(event_us) = self.row.event_time(self.stream.event_time) else { return };
        let limits = &self.stream.limits;
        let name = self.stream.fields.get(self.stream.event_time).map_or("", |f| f.name.as_str());
        match time::place(event_us, record_us, limits) {
            Place::Near => {}
            Place::Ahead => {
                let most = show_millis(limits.max_ahead_ms.unsigned_abs().into());
                self.row.fault(Reason::TooFarAhead, format_args!("{name} is more than {most} ahead of Kafka's record time"));
            }
            Place::Behind => {
                let most = show_millis(limits.max_age_ms.unsigned_abs().into());
                self.row.fault(Reason::TooOld, format_args!("{name} is more than {most} behind Kafka's record time"));
            }
        }
    }

    fn append(&mut self, text: &str, raw: Option<&[u8]>, partition: i32, offset: i64, record_us: Option<i64>) {
        let event_us = self.row.event_time(self.stream.event_time);
        let event_date = time::event_date(event_us, record_us, &self.stream.limits);
        let ok = self.row.status == Status::Ok;
        if ok {
            self.newest_event_us = self.newest_event_us.max(event_us);
        }
        self.statuses[self.row.status as usize] += 1;
        let origin = Origin { partition, offset, record_us, event_date };
        self.columns.append(&self.row, text, raw.filter(|_| !ok), origin);
    }

    /// Takes all rows as a batch; what was learned about the shape of the records is kept.
    pub fn finish(&mut self) -> Batch {
        self.payload_bytes = 0;
        Batch {
            rows: self.columns.finish(),
            statuses: std::mem::take(&mut self.statuses),
            newest_event_ms: self.newest_event_us.take().map(|us| us.div_euclid(1_000)),
        }
    }
}

/// The one row that stands for offsets `[from, to)` which Kafka no longer had. `timestamp_ms` is when that was noticed.
pub fn lost_row(stream: &Arc<Stream>, incarnation: i32, partition: i32, from: i64, to: i64, timestamp_ms: Option<i64>) -> Batch {
    let mut decoder = Decoder::new(Arc::clone(stream), incarnation);
    decoder.row.fault(Reason::Lost, format_args!("[{from}, {to})"));
    decoder.append("", None, partition, from, time::record_time(timestamp_ms));
    decoder.finish()
}

/// The longest valid text of a field.
fn max_text_bytes(field: &Field) -> usize {
    if field.symbol && field.allowed.is_empty() { MAX_SYMBOL_BYTES } else { MAX_TEXT_BYTES }
}
