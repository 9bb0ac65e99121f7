//! What a stream is: its topic, its fields, its windows. Data, not code.
//!
//! Assumes nothing about where the text came from. Promises that a [`Stream`] in hand is coherent: every name it mentions is one of
//! its own fields, every table and column name is safe to quote, and windows only group by fields that every valid event has.

use crate::declare::Source;

mod declaration;
mod windows;

pub use crate::declare::{DeclarationError, Place, did_you_mean};

/// File and text of the stream that is compiled in.
pub const BUILTIN: (&str, &str) = ("streams/user_events.toml", include_str!("../../streams/user_events.toml"));

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

impl Stream {
    /// Reads a declaration (`streams/*.toml`). `file` is only what errors call it.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line and what to write instead.
    pub fn parse(text: &str, file: &str) -> Result<Self, DeclarationError> {
        declaration::parse(Source { file, text }).map(|(stream, _)| stream)
    }

    /// The stream that is compiled in: [`BUILTIN`].
    pub fn builtin() -> Self {
        match Self::parse(BUILTIN.1, BUILTIN.0) {
            Ok(stream) => stream,
            // A test reads it, so that a broken file never leaves the house.
            Err(e) => panic!("{e}"),
        }
    }

    /// The field of that JSON key.
    pub fn field(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|f| f.name == name)
    }

    /// Name of the table that its records land in.
    pub fn bronze_table(&self) -> String {
        format!("bronze.{}", self.name)
    }

    /// Name of the table that the batch layer makes of them.
    pub fn silver_table(&self) -> String {
        format!("silver.{}", self.name)
    }

    /// Name of the table of rows whose id was seen with another event time.
    pub fn conflicts_table(&self) -> String {
        format!("silver.{}_conflicts", self.name)
    }
}

/// Reads several declarations, given as `(file, text)`, and checks that no two streams share a name, a topic or a window table.
///
/// # Errors
/// The first thing that is wrong. Of two streams that clash, the later one is pointed at and the earlier one is named.
pub fn parse_all<N: AsRef<str>, T: AsRef<str>>(files: &[(N, T)]) -> Result<Vec<Stream>, DeclarationError> {
    let mut streams: Vec<Stream> = Vec::with_capacity(files.len());
    for (n, (file, text)) in files.iter().enumerate() {
        let source = Source { file: file.as_ref(), text: text.as_ref() };
        let (stream, names) = declaration::parse(source)?;
        for (earlier, (earlier_file, _)) in streams.iter().zip(files.iter().take(n)) {
            let earlier_file = earlier_file.as_ref();
            let clash = |span, place: &str, name: &str| {
                let problem = format!("`{name}` is already taken by {earlier_file}");
                Err(source.error(span, place, problem, "choose another one here, or remove one of the two files"))
            };
            if earlier.name == stream.name {
                return clash(names.name, "name", &stream.name);
            }
            if earlier.topic == stream.topic {
                return clash(names.topic, "topic", &stream.topic);
            }
            for (window, span) in stream.windows.iter().zip(&names.tables) {
                if earlier.windows.iter().any(|w| w.table == window.table) {
                    return clash(span.clone(), &format!("window {}: table", window.table), &window.table);
                }
            }
        }
        streams.push(stream);
    }
    Ok(streams)
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

impl Kind {
    /// What a declaration calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Text => "text",
            Kind::Integer => "integer",
            Kind::Number => "number",
            Kind::Boolean => "boolean",
            Kind::Timestamp => "timestamp",
        }
    }
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
