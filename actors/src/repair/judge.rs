//! Records decoded again, by today's declaration: which of them are valid now, and as which rows.
//!
//! Uses the one decoder with Kafka's own record time, so that a row is what ingest would write today.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, UInt8Type};
use arrow_array::{Array, BooleanArray, RecordBatch};
use tributary_core::batch::{Columns, Status};
use tributary_core::decode::{Decoder, Record};
use tributary_core::replay::Place;
use tributary_core::stream::Stream;

use super::RepairError;
use super::letters::Letter;
use super::replay::Replayed;
use super::rewrite::{Picked, plain, plain_schema};

/// Decodes again and keeps what is valid.
pub(super) struct Judge<'a> {
    stream: &'a Arc<Stream>,
    keep: bool,
    decoders: BTreeMap<i32, Decoder>,
    kept: Vec<RecordBatch>,
    at: HashMap<(Place, i64), usize, ahash::RandomState>,
    /// Unbroken ranges of offsets that were kept.
    pub(super) ranges: usize,
    last: Option<(Place, i64)>,
}

impl<'a> Judge<'a> {
    /// `keep`: the rows are wanted, not only their numbers.
    pub(super) fn new(stream: &'a Arc<Stream>, keep: bool) -> Self {
        Self { stream, keep, decoders: BTreeMap::new(), kept: Vec::new(), at: HashMap::default(), ranges: 0, last: None }
    }

    /// Takes a record; [`Self::judged`] decides.
    pub(super) fn push(&mut self, letter: &Letter<'_>, raw: &[u8]) {
        let new = || Decoder::new(Arc::clone(self.stream), letter.place.0);
        let decoder = self.decoders.entry(letter.place.0).or_insert_with(new);
        // Kafka's record time is in milliseconds, and was stored as microseconds.
        let timestamp_ms = letter.at_us.map(|us| us.div_euclid(1_000));
        decoder.push(Record { partition: letter.place.1, offset: letter.offset, timestamp_ms, payload: Some(raw) });
    }

    /// Sorts what was pushed; says how many bytes are kept of it.
    pub(super) fn judged(&mut self, into: &mut Replayed) -> Result<usize, RepairError> {
        let columns = Columns::of(self.stream.fields.len());
        let mut bytes = 0;
        for (incarnation, decoder) in self.decoders.iter_mut().filter(|(_, decoder)| decoder.rows() > 0) {
            let rows = decoder.finish().rows;
            let codes = rows.column(columns.status).as_dictionary::<UInt8Type>().keys().clone();
            let valid: BooleanArray = codes.values().iter().map(|code| Some(*code == Status::Ok as u8)).collect();
            let errors = rows.column(columns.error).as_string::<i32>();
            for row in (0..rows.num_rows()).filter(|row| !valid.value(*row)) {
                let status = Status::ALL.get(usize::from(codes.value(row))).map_or("", |status| status.as_str());
                let error = if errors.is_valid(row) { errors.value(row) } else { "" };
                let reason = error.split_once(':').map_or(error, |(reason, _)| reason);
                *into.still.entry((status.to_owned(), reason.to_owned())).or_default() += 1;
            }
            into.revived += valid.true_count() as u64;
            if valid.true_count() == 0 || !self.keep {
                continue;
            }
            let rows = arrow_select::filter::filter_record_batch(&rows, &valid)?;
            let partitions = rows.column(columns.kafka_partition).as_primitive::<Int32Type>();
            let offsets = rows.column(columns.kafka_offset).as_primitive::<Int64Type>();
            for (partition, offset) in partitions.values().iter().zip(offsets.values()) {
                let place = (*incarnation, *partition);
                if self.last != Some((place, offset - 1)) {
                    self.ranges += 1;
                }
                self.last = Some((place, *offset));
                self.at.insert((place, *offset), self.at.len());
            }
            bytes += rows.get_array_memory_size();
            self.kept.push(plain(&rows, &plain_schema(self.stream, []))?);
        }
        Ok(bytes)
    }

    /// What was kept; none when nothing was.
    pub(super) fn picked(self) -> Result<Option<Picked>, RepairError> {
        if self.kept.is_empty() {
            return Ok(None);
        }
        let rows = arrow_select::concat::concat_batches(&plain_schema(self.stream, []), &self.kept)?;
        Ok(Some(Picked { rows, at: self.at }))
    }
}
