//! Rows of bronze and of silver in the same numbers: one for the event, one for the whole row.

use anyhow::{Context, Result};
use arrow_array::{Array, ArrayRef, RecordBatch};
use tributary_core::stream::Stream;

use super::super::spans::Place;
use super::canon::{Column, Form, Hasher};

/// What is read, and where the columns are that mean something.
pub(super) struct Columns {
    pub(super) names: Vec<String>,
    id: usize,
    pub(super) time: usize,
}

/// Beside the declared columns, in this order; then, in bronze, the status.
const PLACE: [&str; 5] = ["topic_incarnation", "kafka_partition", "kafka_offset", "ingestion_timestamp", "extra"];
pub(super) const STATUS: &str = "status";

impl Columns {
    pub(super) fn of(stream: &Stream) -> Columns {
        let mut names: Vec<String> = stream.fields.iter().map(|field| field.column.clone()).collect();
        names.extend(PLACE.map(str::to_string));
        Columns { names, id: stream.id, time: stream.event_time }
    }

    pub(super) fn bronze(&self) -> Vec<String> {
        self.names.iter().cloned().chain([STATUS.to_string()]).collect()
    }
}

/// A batch in numbers.
pub(super) struct Rows {
    columns: Vec<Column>,
    /// Event ids with their times.
    pub(super) events: Vec<u128>,
    /// Everything that bronze and silver both know of a row.
    pub(super) rows: Vec<u128>,
    place: [usize; 3],
}

impl Rows {
    pub(super) fn new(batch: &RecordBatch, columns: &Columns, hasher: &Hasher) -> Result<Rows> {
        let form = |name: &str, array: &ArrayRef| match array.data_type() {
            // Files from before the column was added.
            kind if array.null_count() == array.len() && PLACE.contains(&name) => Form::of(kind).or(Some(Form::Text)),
            kind => Form::of(kind),
        };
        let of = |name: &String| {
            let array = batch.column_by_name(name).with_context(|| format!("column {name} is missing"))?;
            let form =
                form(name, array).with_context(|| format!("column {name} is {}, which is not compared", array.data_type()))?;
            Column::new(array, form).with_context(|| name.clone())
        };
        let all: Vec<Column> = columns.names.iter().map(of).collect::<Result<_>>()?;
        let rows = batch.num_rows();
        let events = hasher.rows([&all[columns.id], &all[columns.time]], rows);
        let first = columns.names.len() - PLACE.len();
        Ok(Rows { events, rows: hasher.rows(&all, rows), columns: all, place: [first, first + 1, first + 2] })
    }

    pub(super) fn whole(&self, column: usize, row: usize) -> Result<i64> {
        match &self.columns[column] {
            Column::Whole(values) if values.is_valid(row) => Ok(values.value(row)),
            _ => anyhow::bail!("a row without event time, partition, incarnation or offset"),
        }
    }

    pub(super) fn at(&self, row: usize) -> Result<(Place, i64)> {
        let [incarnation, partition, offset] = self.place;
        let place = (i32::try_from(self.whole(incarnation, row)?)?, i32::try_from(self.whole(partition, row)?)?);
        Ok((place, self.whole(offset, row)?))
    }
}
