//! Reads the Parquet files of a bronze table, the needed columns only, a batch at a time, on a few threads.
//!
//! Promises bounded memory: a batch per thread, a bit per offset, an integer per window and key. A file of a local lake is read in
//! place; a remote one is fetched whole first, so there a thread also holds one file.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_cast::cast;
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::file::reader::ChunkReader;
use tributary_core::stream::Stream;

use super::finding::{Finding, Kind};
use super::lake::{Lake, LiveFile};
use super::ranges::Ranges;
use super::recount::{Rows, Symbols, WindowPlans};
use super::spans::Place;
use super::tally::{Class, FileCheck, Tally};

const BATCH: usize = 16_384;

/// Which rows of a partition PostgreSQL says that it counted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counted {
    /// Everything below…
    pub(crate) below: i64,
    /// …but what that leg was told to skip.
    pub(crate) except: Ranges,
}

/// What to look for.
pub(crate) struct Plan<'a> {
    event_time: &'a str,
    windows: WindowPlans,
    counted: &'a HashMap<Place, Counted>,
    symbols: &'a Symbols,
}

impl<'a> Plan<'a> {
    /// The plan of a stream; `counted` says which rows the windows should hold.
    pub(crate) fn new(stream: &'a Stream, counted: &'a HashMap<Place, Counted>, symbols: &'a Symbols) -> Self {
        let event_time = stream.fields[stream.event_time].column.as_str();
        Plan { event_time, windows: WindowPlans::of(stream, symbols), counted, symbols }
    }

    fn is_text(&self, column: &str) -> bool {
        column == "status" || self.windows.texts.iter().any(|text| text == column)
    }

    fn columns(&self) -> impl Iterator<Item = &str> {
        let fixed =
            ["kafka_partition", "kafka_offset", "topic_incarnation", "status", "ingestion_timestamp", "error", self.event_time];
        fixed.into_iter().chain(self.windows.texts.iter().chain(&self.windows.integers).map(String::as_str))
    }
}

/// Reads all files. `done` hears of the bytes of each as it is finished. Must be called where blocking is allowed.
pub(crate) fn scan(plan: &Plan<'_>, lake: &Lake, files: &[LiveFile], done: &(dyn Fn(u64) + Sync)) -> Tally {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(4)).min(files.len()).max(1);
    let runtime = tokio::runtime::Handle::current();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut tally = Tally::new(plan.windows.windows.len());
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let read = match lake.local(&file.path) {
                Some(path) => {
                    let open = File::open(&path).with_context(|| format!("cannot open {}", path.display()));
                    open.and_then(|reader| read(plan, file, reader, &mut tally))
                }
                None => runtime.block_on(lake.fetch(&file.path)).and_then(|bytes| read(plan, file, bytes, &mut tally)),
            };
            if let Err(error) = read {
                tally.broken.push((file.path.to_string(), format!("{error:#}")));
            }
            done(file.size);
        }
        tally
    };
    let mut all = Tally::new(plan.windows.windows.len());
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        all.join(work());
        for other in others {
            match other.join() {
                Ok(tally) => all.join(tally),
                // A tally that is lost would read as rows that are lost.
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    all
}

fn open<R: ChunkReader + 'static>(plan: &Plan<'_>, reader: R) -> Result<ParquetRecordBatchReader> {
    let plain = ArrowReaderMetadata::load(&reader, ArrowReaderOptions::new())?;
    // Texts of windows come as dictionaries, so that each text is looked at once per batch and not once per row.
    let symbol = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let wanted = plain.schema().fields().iter().map(|field| match field.data_type() {
        DataType::Utf8 if plan.is_text(field.name()) => Arc::new(Field::new(field.name(), symbol.clone(), field.is_nullable())),
        _ => field.clone(),
    });
    let wanted: Vec<_> = wanted.collect();
    let options =
        ArrowReaderOptions::new().with_schema(Arc::new(Schema::new_with_metadata(wanted, plain.schema().metadata().clone())));
    // A file that cannot be read that way is read as it is; the casts below make up for it.
    let metadata = ArrowReaderMetadata::try_new(plain.metadata().clone(), options).unwrap_or(plain);
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(reader, metadata);
    let mask = ProjectionMask::columns(builder.parquet_schema(), plan.columns());
    Ok(builder.with_projection(mask).with_batch_size(BATCH).build()?)
}

fn read<R: ChunkReader + 'static>(plan: &Plan<'_>, file: &LiveFile, reader: R, tally: &mut Tally) -> Result<()> {
    if file.deletion_vector {
        bail!("it has a deletion vector, which these tables never have");
    }
    let mut check = FileCheck::new(file.path.to_string(), file.event_date, file.spans.as_deref());
    if file.event_date.is_none() {
        let detail = "its partition value event_date is missing or not a date";
        tally.findings.push(Finding::new(Kind::EventDate, detail).in_file(&file.path));
    }
    let mut read = Ok(());
    for batch in open(plan, reader)? {
        read = batch.map_err(Into::into).and_then(|batch| fold(plan, &batch, &mut check, tally));
        if read.is_err() {
            break;
        }
    }
    tally.findings.extend(check.findings());
    read
}

fn column(batch: &RecordBatch, name: &str, as_type: &DataType) -> Result<ArrayRef> {
    let column = batch.column_by_name(name).with_context(|| format!("column {name} is missing"))?;
    if column.data_type() == as_type {
        return Ok(column.clone());
    }
    cast(column, as_type).with_context(|| format!("column {name} is {}", column.data_type()))
}

/// A text column as numbers, each text looked up once. A column that was declared after the file was written is null in it.
fn numbers(symbols: &Symbols, batch: &RecordBatch, name: &str) -> Result<Vec<u32>> {
    let symbol = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let Some(mut plain) = batch.column_by_name(name).cloned() else {
        return Ok(vec![super::recount::NULL; batch.num_rows()]);
    };
    if plain.data_type() != &symbol {
        // Booleans and integers have no dictionary of texts, but a text each.
        plain = cast(&cast(&plain, &DataType::Utf8)?, &symbol)?;
    }
    let dictionary = plain.as_dictionary::<Int32Type>();
    let texts = dictionary.values().as_string::<i32>();
    let of_text = symbols.numbers(texts.iter());
    let number = |key: Option<i32>| key.and_then(|key| of_text.get(key as usize).copied()).unwrap_or(super::recount::NULL);
    Ok(dictionary.keys().iter().map(number).collect())
}

fn fold(plan: &Plan<'_>, batch: &RecordBatch, check: &mut FileCheck<'_>, tally: &mut Tally) -> Result<()> {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let partition = column(batch, "kafka_partition", &DataType::Int32)?;
    let incarnation = column(batch, "topic_incarnation", &DataType::Int32)?;
    let offset = column(batch, "kafka_offset", &DataType::Int64)?;
    let event = column(batch, plan.event_time, &time)?;
    let kafka = column(batch, "ingestion_timestamp", &time)?;
    let error = column(batch, "error", &DataType::Utf8)?;
    if partition.null_count() + incarnation.null_count() + offset.null_count() > 0 {
        bail!("rows without partition, incarnation or offset");
    }
    let (partition, incarnation) = (partition.as_primitive::<Int32Type>(), incarnation.as_primitive::<Int32Type>());
    let offset = offset.as_primitive::<Int64Type>();
    let (event, kafka) = (event.as_primitive::<TimestampMicrosecondType>(), kafka.as_primitive::<TimestampMicrosecondType>());
    let error = error.as_string::<i32>();

    batch.column_by_name("status").context("column status is missing")?;
    let status = numbers(plan.symbols, batch, "status")?;
    let mut rows = Rows::default();
    for name in &plan.windows.texts {
        rows.texts.push(numbers(plan.symbols, batch, name)?);
    }
    for name in &plan.windows.integers {
        rows.integers.push(match batch.column_by_name(name) {
            Some(_) => column(batch, name, &DataType::Int64)?.as_primitive::<Int64Type>().iter().collect(),
            None => vec![None; batch.num_rows()],
        });
    }

    // A handful of statuses per batch: what each means is asked once, not per row.
    let mut statuses: Vec<(u32, Class, u64)> = Vec::new();
    let mut row = 0;
    while row < batch.num_rows() {
        // Rows of one partition come in long runs.
        let place = (incarnation.value(row), partition.value(row));
        let begin = row;
        let part = tally.partitions.entry(place).or_default();
        let counted = plan.counted.get(&place);
        while row < batch.num_rows() && (incarnation.value(row), partition.value(row)) == place {
            let at = statuses.iter().position(|s| s.0 == status[row]).unwrap_or_else(|| {
                statuses.push((status[row], Class::of(plan.symbols.text(status[row]).as_deref()), 0));
                statuses.len() - 1
            });
            statuses[at].2 += 1;
            let class = statuses[at].1;
            let offset = offset.value(row);
            let event_us = event.is_valid(row).then(|| event.value(row));
            let kafka_us = kafka.is_valid(row).then(|| kafka.value(row));
            check.folder(class, (place, offset), event_us, kafka_us);
            check.covers(place, offset);
            match class {
                Class::Lost => part.lost.extend(check.lost(place, offset, error.is_valid(row).then(|| error.value(row)))),
                _ => part.offsets.insert(offset),
            }
            match class {
                Class::Ok if counted.is_some_and(|c| offset < c.below && !c.except.has(offset)) => {
                    tally.recount.add(&plan.windows, &rows, row, event_us);
                }
                Class::Unknown => check.unreadable(place, offset),
                _ => {}
            }
            row += 1;
        }
        part.rows += (row - begin) as u64;
        check.rows(place, (row - begin) as u64);
    }
    for (number, _, rows) in statuses {
        let text = plan.symbols.text(number).unwrap_or_else(|| "null".into());
        *tally.statuses.entry(text).or_default() += rows;
    }
    Ok(())
}
