//! One file of bronze written anew, with some of its rows made valid.
//!
//! Every other row stays as it is, in its order, columns included that today's declaration does not know. A revived row goes to the day of
//! its event time, which may be another file's folder. Promises tags that keep their meaning: each new file names the ranges of the old
//! one with its own rows, together they have all rows and all ranges, and the replay's number is on the files that hold its rows.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Int32Type, Int64Type};
use arrow_array::{ArrayRef, Date32Array, RecordBatch, RecordBatchReader, new_null_array};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Schema, SchemaRef};
use deltalake::kernel::{Add, Remove};
use deltalake::logstore::LogStoreRef;
use tributary_core::batch::{Columns, Status, schema};
use tributary_core::replay::{self, Place, REPLAY_TAG, Revived, format_tag};
use tributary_core::stream::Stream;
use tributary_core::table::{DATE_COLUMN, TableFile};

use super::{RepairError, bronze};
use crate::lake::compaction::MERGED_TAG;
use crate::lake::encoder::Encoder;
use crate::lake::files;
use crate::lake::offsets::{SPANS_TAG, TaggedSpan, format_all, parse_tag};

/// Rows of one file that become valid, as they are to be.
#[derive(Debug)]
pub(super) struct Picked {
    /// By [`plain_schema`] of the stream alone.
    pub(super) rows: RecordBatch,
    /// Which of them is of which record.
    pub(super) at: HashMap<(Place, i64), usize, ahash::RandomState>,
}

/// What a commit needs to put the new files in the place of the old one. The files are durable.
#[derive(Debug)]
pub(super) struct Rewritten {
    pub(super) adds: Vec<Add>,
    pub(super) remove: Remove,
}

/// The rows of a stream as files have them: texts are plain strings, and behind the stream's columns those that only the file has.
pub(super) fn plain_schema(stream: &Stream, undeclared: impl IntoIterator<Item = FieldRef>) -> SchemaRef {
    let schema = schema(stream);
    let ours = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Dictionary(_, values) => Arc::new(Field::new(field.name(), (**values).clone(), field.is_nullable())),
        _ => Arc::clone(field),
    });
    Arc::new(Schema::new(ours.chain(undeclared).collect::<Vec<_>>()))
}

/// A decoder's rows, as files have them.
pub(super) fn plain(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns: Result<Vec<ArrayRef>, ArrowError> = rows
        .columns()
        .iter()
        .map(|column| match column.as_any_dictionary_opt() {
            Some(dictionary) => arrow_select::take::take(dictionary.values().as_ref(), dictionary.keys(), None),
            None => Ok(Arc::clone(column)),
        })
        .collect();
    RecordBatch::try_new(Arc::clone(schema), columns?)
}

/// What a new file holds of the old file's spans, and of the replay.
#[derive(Default)]
struct Part {
    rows: Vec<u64>,
    revived: Revived,
}

/// Writes the file anew and puts what came of it.
pub(super) async fn rewrite(
    store: &LogStoreRef,
    stream: &Arc<Stream>,
    file: &TableFile,
    number: i64,
    picked: &Picked,
) -> Result<Rewritten, RepairError> {
    let strange = |what: String| RepairError::Schema(format!("{}: {what}", file.path));
    let date = file.date.ok_or_else(|| strange(format!("it is of no {DATE_COLUMN}")))?;
    let reader = bronze::rows(store, file, None).await?;
    let declared = plain_schema(stream, []);
    let unknown =
        reader.schema().fields().iter().filter(|f| declared.field_with_name(f.name()).is_err()).cloned().collect::<Vec<_>>();
    let schema = plain_schema(stream, unknown);
    let revived = widen(&picked.rows, &schema)?;
    let places = Columns::of(stream.fields.len());
    let dates = revived.column(places.event_date).as_primitive::<Date32Type>().clone();

    let unreadable = || strange(format!("its tag {SPANS_TAG} cannot be read"));
    let spans = file.tags.get(SPANS_TAG).map(|tag| parse_tag(tag).ok_or_else(unreadable)).transpose()?;
    let mut parts: BTreeMap<i32, Part> = BTreeMap::new();
    let mut encoder = Encoder::of_schema(Arc::clone(stream), &schema);
    let mut near = usize::MAX;
    for batch in reader {
        let old = whole(&batch?, &schema, date).map_err(|e| strange(e.to_string()))?;
        let incarnations = old.column(places.topic_incarnation).as_primitive::<Int32Type>();
        let partitions = old.column(places.kafka_partition).as_primitive::<Int32Type>();
        let offsets = old.column(places.kafka_offset).as_primitive::<Int64Type>();
        let statuses = old.column(places.status).as_string::<i32>();
        let mut rows = Vec::with_capacity(old.num_rows());
        for row in 0..old.num_rows() {
            let (place, offset) = ((incarnations.value(row), partitions.value(row)), offsets.value(row));
            let valid = statuses.value(row) == Status::Ok.as_str();
            let now = if valid { None } else { picked.at.get(&(place, offset)).copied() };
            let part = parts.entry(now.map_or(date, |now| dates.value(now))).or_default();
            if let Some(spans) = &spans {
                // Rows of one span come in long runs.
                if !spans.get(near).is_some_and(|span| covers(span, place, offset)) {
                    near = spans.iter().position(|span| covers(span, place, offset)).unwrap_or(usize::MAX);
                }
                part.rows.resize(spans.len(), 0);
                if let Some(rows) = part.rows.get_mut(near) {
                    *rows += 1;
                }
            }
            match now {
                Some(now) => {
                    part.revived.entry((number, place)).or_default().insert(offset);
                    rows.push((1, now));
                }
                None => rows.push((0, row)),
            }
        }
        encoder.write(&arrow_select::interleave::interleave_record_batch(&[&old, &revived], &rows)?)?;
    }

    let encoded = encoder.finish()?;
    let paths: Vec<String> = encoded.iter().map(|new| files::new_path(new.date)).collect();
    files::put(store, encoded.iter().zip(&paths)).await?;
    // Where no row stays, the ranges without a row must not be forgotten: they are what tells a hole from a loss.
    let heir = if parts.contains_key(&date) { Some(date) } else { parts.keys().next().copied() };
    let mut adds = Vec::with_capacity(encoded.len());
    for (new, path) in encoded.iter().zip(&paths) {
        let mut part = parts.remove(&new.date).unwrap_or_default();
        let mut add = files::add(new, path, 1, &[]);
        let mut tags = file.tags.clone();
        if new.date != date {
            // What its ranges may overlap is the same.
            tags.retain(|name, _| name == MERGED_TAG);
        }
        if let Some(spans) = &spans {
            part.rows.resize(spans.len(), 0);
            let spans = spans.iter().zip(&part.rows).filter(|(_, rows)| **rows > 0 || heir == Some(new.date));
            tags.insert(
                SPANS_TAG.to_owned(),
                format_all(spans.map(|((n, span), rows)| (*n, TaggedSpan { rows: *rows, ..*span }))),
            );
        }
        if let Some(before) = tags.get(REPLAY_TAG) {
            part.revived
                .extend(replay::parse_tag(before).ok_or_else(|| strange(format!("its tag {REPLAY_TAG} cannot be read")))?);
        }
        if !part.revived.is_empty() {
            tags.insert(REPLAY_TAG.to_owned(), format_tag(&part.revived));
        }
        add.tags = Some(tags.into_iter().map(|(name, value)| (name, Some(value))).collect());
        adds.push(add);
    }
    Ok(Rewritten { adds, remove: files::remove(file, true) })
}

fn covers((incarnation, span): &(i32, TaggedSpan), place: Place, offset: i64) -> bool {
    (*incarnation, span.partition) == place && (span.from..span.to).contains(&offset)
}

/// The columns of a file in the order of the schema; what it lacks is null.
fn whole(batch: &RecordBatch, schema: &SchemaRef, date: i32) -> Result<RecordBatch, ArrowError> {
    let rows = batch.num_rows();
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        match batch.column_by_name(field.name()) {
            _ if field.name() == DATE_COLUMN => Arc::new(Date32Array::from_value(date, rows)),
            Some(column) => Arc::clone(column),
            None => new_null_array(field.data_type(), rows),
        }
    });
    RecordBatch::try_new(Arc::clone(schema), columns.collect())
}

/// The same rows with null where the schema has more columns.
fn widen(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let more = schema.fields().iter().skip(rows.num_columns()).map(|field| new_null_array(field.data_type(), rows.num_rows()));
    RecordBatch::try_new(Arc::clone(schema), rows.columns().iter().cloned().chain(more).collect())
}
