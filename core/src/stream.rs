//! What a stream is: its topic, its fields, its windows. Data, not code.
//!
//! Assumes nothing about where the text came from. Promises that a [`Stream`] in hand is coherent: every name it mentions is one of
//! its own fields, every table and column name is safe to quote, and windows only group by fields that every valid event has.

/// A declared stream: one Kafka topic, one bronze table, any number of window tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Name of the bronze table and of the stream everywhere (`user_events`).
    pub name: String,
    /// Kafka topic (`user-events`).
    pub topic: String,
    /// One line for people.
    pub description: String,
    /// Declared fields, in column order.
    pub fields: Vec<Field>,
    /// Index into `fields`: what identifies an event.
    pub id: usize,
    /// Index into `fields`: when the event happened.
    pub event_time: usize,
    /// Index into `fields`: what Kafka's record key is made of.
    pub key: usize,
    /// Window tables in PostgreSQL's schema `realtime`.
    pub windows: Vec<Window>,
    /// What is too large, too early or too late to be an event.
    pub limits: Limits,
}

/// One declared field of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The JSON key.
    pub name: String,
    /// The column in bronze (the JSON key unless declared otherwise).
    pub column: String,
    /// What its values are.
    pub kind: Kind,
    /// Whether an event without it is invalid.
    pub required: bool,
    /// For text: the values that are valid (empty: all).
    pub allowed: Vec<String>,
    /// For integers: the smallest valid value.
    pub minimum: Option<i64>,
    /// Few distinct values expected (it has `allowed`, or a window groups or filters by it): decoded into a dictionary.
    pub symbol: bool,
}

/// The type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// 64-bit signed integer; a JSON number with a fraction or exponent is a wrong type.
    Integer,
    /// 64-bit float.
    Number,
    /// true or false.
    Boolean,
    /// RFC 3339 with any offset; stored in UTC microseconds.
    Timestamp,
}

/// One window table: counts or sums per interval and group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Table in schema `realtime`.
    pub table: String,
    /// Length of an interval in milliseconds; a whole number of seconds that divides a day.
    pub every_ms: i64,
    /// Only events whose field has one of these values.
    pub filter: Vec<(usize, Vec<String>)>,
    /// Fields (required, text) that make the key beside the interval. At most three.
    pub group_by: Vec<usize>,
    /// What is added up.
    pub measure: Measure,
}

/// What a window adds up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Measure {
    /// Number of events, in this column.
    Count {
        /// Column of the window table.
        column: String,
    },
    /// Sum of an integer field, in this column.
    Sum {
        /// Index into the stream's fields (integer, required).
        field: usize,
        /// Column of the window table.
        column: String,
    },
}

impl Measure {
    /// The column that holds the result.
    pub fn column(&self) -> &str {
        match self {
            Measure::Count { column } | Measure::Sum { column, .. } => column,
        }
    }
}

/// What is too large, too early or too late to be an event. Time is measured against Kafka's record time, never a clock, so that
/// reading a record twice gives the same answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A payload above this is kept whole as `oversized` and not parsed.
    pub max_event_bytes: usize,
    /// An event time further than this ahead of Kafka's record time is `future`.
    pub max_ahead_ms: i64,
    /// An event time further than this behind Kafka's record time is `ancient`.
    pub max_age_ms: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_event_bytes: 1 << 20, max_ahead_ms: 10 * 60_000, max_age_ms: 400 * 86_400_000 }
    }
}
