//! What identifies an event, straight from the columns: a hash of its id, and its time.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_buffer::BooleanBuffer;
use arrow_schema::DataType;
use tributary_core::stream::{Kind, Stream};

use super::SilverError;
use super::seen::EventKey;

const DAY_US: i64 = 86_400_000_000;

/// Reads keys of a stream's events. Copies hash alike; another process hashes otherwise, so that nobody can aim at a collision.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    pub(super) id: String,
    pub(super) time: String,
    kind: Kind,
    one: ahash::RandomState,
    two: ahash::RandomState,
}

impl Keys {
    pub(super) fn of(stream: &Stream) -> Self {
        let id = &stream.fields[stream.id];
        Self {
            id: id.column.clone(),
            time: stream.fields[stream.event_time].column.clone(),
            kind: id.kind,
            one: ahash::RandomState::new(),
            two: ahash::RandomState::new(),
        }
    }

    /// The keys of these rows (`None`: all) of a batch of one day.
    ///
    /// # Errors
    /// [`SilverError::Refused`] when a row has no id or a time of another day: bronze promises both to valid rows.
    pub(super) fn read(
        &self,
        day: i32,
        rows: &RecordBatch,
        wanted: &Option<BooleanBuffer>,
    ) -> Result<Vec<EventKey>, SilverError> {
        let (ids, times) = (self.column(rows, &self.id)?, self.column(rows, &self.time)?);
        let times = times
            .as_primitive_opt::<TimestampMicrosecondType>()
            .ok_or_else(|| SilverError::Refused(format!("column {} is {}, not a timestamp", self.time, times.data_type())))?;
        let midnight = i64::from(day) * DAY_US;
        let hash = |id: &[u8]| u128::from(self.one.hash_one(id)) << 64 | u128::from(self.two.hash_one(id));
        let time = |row: usize| times.is_valid(row).then(|| times.value(row).wrapping_sub(midnight));
        let keys = match (self.kind, ids.data_type()) {
            (Kind::Integer, DataType::Int64) => {
                let ids = ids.as_primitive::<Int64Type>();
                collect(wanted, rows.num_rows(), time, |row| ids.is_valid(row).then(|| hash(&ids.value(row).to_le_bytes())))
            }
            (Kind::Text, DataType::Utf8) => {
                let ids = ids.as_string::<i32>();
                collect(wanted, rows.num_rows(), time, |row| ids.is_valid(row).then(|| hash(ids.value(row).as_bytes())))
            }
            (kind, found) => {
                return Err(SilverError::Refused(format!("column {} is {found}, not {}", self.id, kind.as_str())));
            }
        };
        keys.ok_or_else(|| {
            let day = tributary_core::table::date_text(day);
            SilverError::Refused(format!("a valid row of {day} has no {}, or its {} is of another day", self.id, self.time))
        })
    }

    fn column<'a>(&self, rows: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, SilverError> {
        rows.column_by_name(name).ok_or_else(|| SilverError::Refused(format!("valid rows without a column {name}")))
    }
}

fn collect(
    wanted: &Option<BooleanBuffer>,
    rows: usize,
    time: impl Fn(usize) -> Option<i64>,
    hash: impl Fn(usize) -> Option<u128>,
) -> Option<Vec<EventKey>> {
    let key = |row: usize| EventKey::new(hash(row)?, time(row)?);
    let Some(wanted) = wanted else { return (0..rows).map(key).collect() };
    let mut keys = Vec::with_capacity(wanted.count_set_bits());
    for row in wanted.set_indices() {
        keys.push(key(row)?);
    }
    Some(keys)
}
