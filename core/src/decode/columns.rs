//! The columns of a batch while it grows.
//!
//! Assumes rows that are complete: a [`Row`] is appended to all columns or the process ends. Promises arrays in the order and of the
//! types of [`batch::schema`].

use std::sync::Arc;

use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Float64Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::types::UInt8Type;
use arrow_array::{ArrayRef, Date32Array, DictionaryArray, Int32Array, Int64Array, RecordBatch, StringArray, UInt8Array};
use arrow_schema::SchemaRef;

use super::row::{Cell, Row};
use super::symbols::Symbols;
use crate::batch::{self, Status};
use crate::stream::{Field, Kind, Stream};

/// Where a row is from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    pub(super) partition: i32,
    pub(super) offset: i64,
    /// Kafka's record time in microseconds.
    pub(super) record_us: Option<i64>,
    /// Days since 1970.
    pub(super) event_date: i32,
}

/// All columns.
#[derive(Debug)]
pub(super) struct Columns {
    schema: SchemaRef,
    incarnation: i32,
    declared: Vec<Column>,
    ingestion: TimestampMicrosecondBuilder,
    event_date: Vec<i32>,
    partition: Vec<i32>,
    offset: Vec<i64>,
    status: Vec<u8>,
    statuses: ArrayRef,
    error: Sparse<StringBuilder>,
    raw: Sparse<BinaryBuilder>,
    extra: Sparse<StringBuilder>,
    /// Bytes of texts and payloads.
    bytes: usize,
}

/// One declared column.
#[derive(Debug)]
enum Column {
    Text(StringBuilder),
    Symbol(Box<Symbols>),
    Integer(Int64Builder),
    Number(Float64Builder),
    Boolean(BooleanBuilder),
    Timestamp(TimestampMicrosecondBuilder),
}

impl Columns {
    /// Empty columns for a stream.
    pub(super) fn new(stream: &Stream, incarnation: i32) -> Self {
        Self {
            schema: batch::schema(stream),
            incarnation,
            declared: stream.fields.iter().map(Column::new).collect(),
            ingestion: timestamps(0),
            event_date: Vec::new(),
            partition: Vec::new(),
            offset: Vec::new(),
            status: Vec::new(),
            statuses: Arc::new(StringArray::from_iter_values(Status::ALL.map(Status::as_str))),
            error: Sparse::default(),
            raw: Sparse::default(),
            extra: Sparse::default(),
            bytes: 0,
        }
    }

    /// Rows held.
    pub(super) fn rows(&self) -> usize {
        self.offset.len()
    }

    /// Memory held, estimated: what was appended, not what is reserved.
    pub(super) fn bytes(&self) -> usize {
        // Per row: 8 for each declared column, and those that every bronze table has (three of them are four bytes of offset).
        self.rows() * (self.declared.len() * 8 + 8 + 4 + 4 + 8 + 4 + 1 + 12) + self.bytes
    }

    /// The dictionary of a declared column, if it has one.
    #[inline]
    pub(super) fn symbols(&self, field: usize) -> Option<&Symbols> {
        match self.declared.get(field) {
            Some(Column::Symbol(symbols)) => Some(symbols),
            _ => None,
        }
    }

    /// Appends a row. `text` is what the row's cells point into; `raw` is the payload when the row is not ok.
    pub(super) fn append(&mut self, row: &Row, text: &str, raw: Option<&[u8]>, origin: Origin) {
        for (column, cell) in self.declared.iter_mut().zip(&row.cells) {
            self.bytes += column.append(*cell, text, &row.unescaped);
        }
        self.ingestion.append_option(origin.record_us);
        self.event_date.push(origin.event_date);
        self.partition.push(origin.partition);
        self.offset.push(origin.offset);
        self.status.push(row.status as u8);
        if row.error.is_empty() {
            self.error.gap += 1;
        } else {
            self.error.fill(StringBuilder::append_nulls).append_value(&row.error);
            self.bytes += row.error.len();
        }
        match raw {
            None => self.raw.gap += 1,
            Some(payload) => {
                self.raw.fill(BinaryBuilder::append_nulls).append_value(payload);
                self.bytes += payload.len();
            }
        }
        if row.extra.is_empty() {
            self.extra.gap += 1;
        } else {
            self.extra.fill(StringBuilder::append_nulls).append_value(&row.extra);
            self.bytes += row.extra.len();
        }
    }

    /// Takes all rows. The next batch is expected to be as large as this one.
    pub(super) fn finish(&mut self) -> RecordBatch {
        let rows = self.rows();
        let incarnations = vec![self.incarnation; rows];
        let status = UInt8Array::from(take(&mut self.status));
        let status = match DictionaryArray::<UInt8Type>::try_new(status, Arc::clone(&self.statuses)) {
            Ok(array) => array,
            Err(e) => panic!("a status outside Status::ALL: {e}"),
        };
        let mut arrays: Vec<ArrayRef> = self.declared.iter_mut().map(|c| c.finish(rows)).collect();
        let ingestion = std::mem::replace(&mut self.ingestion, timestamps(rows)).finish();
        arrays.push(Arc::new(ingestion));
        arrays.push(Arc::new(Date32Array::from(take(&mut self.event_date))));
        arrays.push(Arc::new(Int32Array::from(take(&mut self.partition))));
        arrays.push(Arc::new(Int64Array::from(take(&mut self.offset))));
        arrays.push(Arc::new(Int32Array::from(incarnations)));
        arrays.push(Arc::new(status));
        arrays.push(Arc::new(self.error.fill(StringBuilder::append_nulls).finish()));
        arrays.push(Arc::new(self.raw.fill(BinaryBuilder::append_nulls).finish()));
        arrays.push(Arc::new(self.extra.fill(StringBuilder::append_nulls).finish()));
        self.bytes = 0;
        match RecordBatch::try_new(Arc::clone(&self.schema), arrays) {
            Ok(batch) => batch,
            // Going on would lose rows; ending here loses nothing, their offsets were not stored.
            Err(e) => panic!("a batch that breaks its own schema: {e}"),
        }
    }
}

impl Column {
    fn new(field: &Field) -> Self {
        match field.kind {
            Kind::Text if field.symbol => Self::Symbol(Box::new(Symbols::new(&field.allowed))),
            Kind::Text => Self::Text(StringBuilder::new()),
            Kind::Integer => Self::Integer(Int64Builder::new()),
            Kind::Number => Self::Number(Float64Builder::new()),
            Kind::Boolean => Self::Boolean(BooleanBuilder::new()),
            Kind::Timestamp => Self::Timestamp(timestamps(0)),
        }
    }

    /// Appends a cell (one of another type than the column's counts as null); says how many bytes beside the slot it took.
    #[inline]
    fn append(&mut self, cell: Cell, text: &str, unescaped: &str) -> usize {
        let text = match cell {
            Cell::Text { from, to } => text.get(from as usize..to as usize),
            Cell::Unescaped { from, to } => unescaped.get(from as usize..to as usize),
            _ => None,
        };
        match (self, cell, text) {
            (Self::Text(column), _, Some(text)) => {
                column.append_value(text);
                return text.len();
            }
            (Self::Text(column), ..) => column.append_null(),
            (Self::Symbol(column), _, Some(text)) => return column.append(text),
            (Self::Symbol(column), Cell::Symbol(code), _) => column.append_code(code),
            (Self::Symbol(column), ..) => column.append_null(),
            (Self::Integer(column), Cell::Integer(n), _) => column.append_value(n),
            (Self::Integer(column), ..) => column.append_null(),
            (Self::Number(column), Cell::Number(n), _) => column.append_value(n),
            (Self::Number(column), ..) => column.append_null(),
            (Self::Boolean(column), Cell::Boolean(b), _) => column.append_value(b),
            (Self::Boolean(column), ..) => column.append_null(),
            (Self::Timestamp(column), Cell::Timestamp(us), _) => column.append_value(us),
            (Self::Timestamp(column), ..) => column.append_null(),
        }
        0
    }

    fn finish(&mut self, rows: usize) -> ArrayRef {
        match self {
            Self::Text(column) => {
                let bytes = column.values_slice().len();
                let next = StringBuilder::with_capacity(rows, bytes + bytes / 16);
                Arc::new(std::mem::replace(column, next).finish())
            }
            Self::Symbol(column) => column.finish(rows),
            Self::Integer(column) => Arc::new(std::mem::replace(column, Int64Builder::with_capacity(rows)).finish()),
            Self::Number(column) => Arc::new(std::mem::replace(column, Float64Builder::with_capacity(rows)).finish()),
            Self::Boolean(column) => Arc::new(std::mem::replace(column, BooleanBuilder::with_capacity(rows)).finish()),
            Self::Timestamp(column) => Arc::new(std::mem::replace(column, timestamps(rows)).finish()),
        }
    }
}

/// A column that is null nearly everywhere: nulls are counted and appended in one go before the next value.
#[derive(Debug, Default)]
struct Sparse<B> {
    builder: B,
    gap: usize,
}

impl<B> Sparse<B> {
    fn fill(&mut self, append_nulls: impl Fn(&mut B, usize)) -> &mut B {
        append_nulls(&mut self.builder, std::mem::take(&mut self.gap));
        &mut self.builder
    }
}

fn timestamps(capacity: usize) -> TimestampMicrosecondBuilder {
    TimestampMicrosecondBuilder::with_capacity(capacity).with_data_type(batch::timestamp_type())
}

/// Takes a vector and leaves one that can grow as far without moving.
fn take<T>(vec: &mut Vec<T>) -> Vec<T> {
    let capacity = vec.len();
    std::mem::replace(vec, Vec::with_capacity(capacity))
}
