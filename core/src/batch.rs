//! The shape of a bronze batch: its columns, their order, what a row's status may be.
//!
//! One batch holds rows of several partitions, each partition's rows in offset order. In memory, `symbol` fields and `status` are
//! dictionaries; in the lake they are strings.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field as ArrowField, Schema, SchemaRef, TimeUnit};

use crate::stream::{Kind, Stream};

/// What became of a record. The text is what bronze's `status` column holds and what counters are labelled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Status {
    /// Valid: counted by the windows, taken by silver.
    Ok = 0,
    /// Not a JSON object in UTF-8.
    Malformed = 1,
    /// An object that breaks the stream's declaration.
    Invalid = 2,
    /// A null value.
    Tombstone = 3,
    /// Valid but for an event time too far ahead of Kafka's record time.
    Future = 4,
    /// Valid but for an event time too far behind Kafka's record time.
    Ancient = 5,
    /// Larger than the stream's limit; kept whole, not parsed.
    Oversized = 6,
    /// Not a record: one row that stands for a range of offsets which Kafka no longer had and a person said to skip.
    Lost = 7,
}

impl Status {
    /// All statuses, in the order of their codes.
    pub const ALL: [Status; 8] =
        [Self::Ok, Self::Malformed, Self::Invalid, Self::Tombstone, Self::Future, Self::Ancient, Self::Oversized, Self::Lost];

    /// The text in bronze and in metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Malformed => "malformed",
            Self::Invalid => "invalid",
            Self::Tombstone => "tombstone",
            Self::Future => "future",
            Self::Ancient => "ancient",
            Self::Oversized => "oversized",
            Self::Lost => "lost",
        }
    }
}

/// Rows with their spans' offsets inside, and what a reader wants to know without looking at them.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Rows by [`schema`].
    pub rows: RecordBatch,
    /// Rows per status, indexed by `Status as usize`.
    pub statuses: [u64; Status::ALL.len()],
    /// Newest event time among the valid rows, in milliseconds since 1970.
    pub newest_event_ms: Option<i64>,
}

/// Where the columns of a batch are: the declared fields come first, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Columns {
    /// Kafka's record time, `Timestamp(Microsecond, UTC)`, null when the record has none.
    pub ingestion_timestamp: usize,
    /// Partition column of the table, `Date32`: the event time's UTC date, else Kafka's, else 1970-01-01.
    pub event_date: usize,
    /// `Int32`.
    pub kafka_partition: usize,
    /// `Int64`.
    pub kafka_offset: usize,
    /// `Int32`: 1 for the first topic of that name, one more each time it is recreated.
    pub topic_incarnation: usize,
    /// `Dictionary(UInt8, Utf8)`, codes are `Status as u8`.
    pub status: usize,
    /// `Utf8`: `reason: detail`, null when ok.
    pub error: usize,
    /// `Binary`: the payload when not ok.
    pub raw: usize,
    /// `Utf8`: undeclared fields as a JSON object, null when there are none.
    pub extra: usize,
}

impl Columns {
    /// The places for a stream with this many declared fields.
    pub const fn of(fields: usize) -> Self {
        Self {
            ingestion_timestamp: fields,
            event_date: fields + 1,
            kafka_partition: fields + 2,
            kafka_offset: fields + 3,
            topic_incarnation: fields + 4,
            status: fields + 5,
            error: fields + 6,
            raw: fields + 7,
            extra: fields + 8,
        }
    }
}

/// Names that every bronze table has after the declared columns; a stream may not declare them itself.
pub const RESERVED_COLUMNS: [&str; 9] = [
    "ingestion_timestamp",
    "event_date",
    "kafka_partition",
    "kafka_offset",
    "topic_incarnation",
    "status",
    "error",
    "raw",
    "extra",
];

/// UTC microseconds, the only timestamp type of the house.
pub fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn symbol_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// The in-memory schema of a batch of this stream.
pub fn schema(stream: &Stream) -> SchemaRef {
    let mut fields: Vec<ArrowField> = stream
        .fields
        .iter()
        .map(|f| {
            let data_type = match f.kind {
                Kind::Text if f.symbol => symbol_type(),
                Kind::Text => DataType::Utf8,
                Kind::Integer => DataType::Int64,
                Kind::Number => DataType::Float64,
                Kind::Boolean => DataType::Boolean,
                Kind::Timestamp => timestamp_type(),
            };
            ArrowField::new(&f.column, data_type, true)
        })
        .collect();
    let status = DataType::Dictionary(Box::new(DataType::UInt8), Box::new(DataType::Utf8));
    let types: [(DataType, bool); 9] = [
        (timestamp_type(), true),
        (DataType::Date32, false),
        (DataType::Int32, false),
        (DataType::Int64, false),
        (DataType::Int32, false),
        (status, false),
        (DataType::Utf8, true),
        (DataType::Binary, true),
        (DataType::Utf8, true),
    ];
    for (name, (data_type, nullable)) in RESERVED_COLUMNS.iter().zip(types) {
        fields.push(ArrowField::new(*name, data_type, nullable));
    }
    Arc::new(Schema::new(fields))
}
