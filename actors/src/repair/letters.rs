//! The records of bronze that are not valid: counted by what is wrong with them, and shown one by one.
//!
//! Reads only. Files whose statistics say that every row is valid are not opened.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use arrow_schema::ArrowError;
use deltalake::logstore::LogStoreRef;
use tributary_core::batch::Status;
use tributary_core::replay::Place;
use tributary_core::table::TableFile;

use super::RepairError;
use super::bronze::{self, Bronze, Known};
use crate::lake::reader::may_hold;

/// What is read of a record that is not valid.
pub(super) const COLUMNS: [&str; 7] =
    ["status", "error", "raw", "kafka_partition", "kafka_offset", "topic_incarnation", "ingestion_timestamp"];

/// Which records are meant: those that are in all of these.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Which {
    /// These statuses; none: all but `ok`.
    pub statuses: Vec<String>,
    /// These reasons: the first words of `error`. None: all.
    pub reasons: Vec<String>,
    /// This Kafka partition.
    pub partition: Option<i32>,
    /// This incarnation of the topic.
    pub incarnation: Option<i32>,
    /// Offsets from here …
    pub from_offset: Option<i64>,
    /// … and before this one.
    pub to_offset: Option<i64>,
    /// Kafka's record time, in microseconds since 1970, from here …
    pub from_us: Option<i64>,
    /// … and before this.
    pub to_us: Option<i64>,
}

/// A record that is not valid.
#[derive(Debug, Clone, Copy)]
pub(super) struct Letter<'a> {
    pub(super) place: Place,
    pub(super) offset: i64,
    pub(super) status: &'a str,
    pub(super) error: Option<&'a str>,
    pub(super) raw: Option<&'a [u8]>,
    pub(super) at_us: Option<i64>,
}

/// Newer is more; where Kafka has no time, the offset decides.
type Age = (Option<i64>, i64, i32, i32);

impl Letter<'_> {
    fn age(&self) -> Age {
        (self.at_us, self.offset, self.place.0, self.place.1)
    }

    pub(super) fn reason(&self) -> &str {
        self.error.map_or("", |error| error.split_once(':').map_or(error, |(reason, _)| reason))
    }

    fn owned(&self) -> Shown {
        Shown {
            incarnation: self.place.0,
            partition: self.place.1,
            offset: self.offset,
            at_us: self.at_us,
            status: self.status.to_owned(),
            error: self.error.map(str::to_owned),
            raw: self.raw.map(<[u8]>::to_vec),
        }
    }
}

/// A record that is not valid, to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Which topic of that name.
    pub incarnation: i32,
    /// Kafka partition.
    pub partition: i32,
    /// Kafka offset.
    pub offset: i64,
    /// Kafka's record time, in microseconds since 1970.
    pub at_us: Option<i64>,
    /// What became of it.
    pub status: String,
    /// Why: `reason: detail`.
    pub error: Option<String>,
    /// The payload.
    pub raw: Option<Vec<u8>>,
}

impl Shown {
    fn age(&self) -> Age {
        (self.at_us, self.offset, self.incarnation, self.partition)
    }
}

/// How many records have the same fault, and the newest of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// Records.
    pub records: u64,
    /// Kafka's record time of the oldest, in microseconds since 1970.
    pub oldest_us: Option<i64>,
    /// The newest.
    pub sample: Shown,
}

impl Which {
    pub(super) fn takes(&self, letter: &Letter<'_>) -> bool {
        let among = |words: &[String], word: &str| words.is_empty() || words.iter().any(|w| w == word);
        let within = |from: Option<i64>, to: Option<i64>, at: Option<i64>| match at {
            Some(at) => from.is_none_or(|from| from <= at) && to.is_none_or(|to| at < to),
            None => from.is_none() && to.is_none(),
        };
        among(&self.statuses, letter.status)
            && among(&self.reasons, letter.reason())
            && self.incarnation.is_none_or(|n| n == letter.place.0)
            && self.partition.is_none_or(|p| p == letter.place.1)
            && within(self.from_offset, self.to_offset, Some(letter.offset))
            && within(self.from_us, self.to_us, letter.at_us)
    }

    /// The files that may hold such records, and what is known of each.
    pub(super) fn files<'a>(&'a self, table: &'a Bronze) -> impl Iterator<Item = (&'a TableFile, Known)> {
        let (from, to) = (self.from_offset.unwrap_or(i64::MIN), self.to_offset.unwrap_or(i64::MAX));
        let within = move |file: &&TableFile| match (self.incarnation, self.partition) {
            (Some(incarnation), Some(partition)) => may_hold(file, incarnation, partition, from, to),
            _ => true,
        };
        let files = table.files.iter().filter(within).map(|file| (file, Known::of(file)));
        files.filter(|(_, known)| known.may_hold_bad())
    }
}

/// Calls with each row of a batch that is not valid, and where it is.
pub(super) fn each(batch: &RecordBatch, mut call: impl FnMut(Letter<'_>)) -> Result<(), RepairError> {
    let column = |name: &str| {
        let found = batch.column_by_name(name);
        found.ok_or_else(|| RepairError::from(ArrowError::SchemaError(format!("there is no column {name}"))))
    };
    let other = |name: &str| RepairError::Schema(format!("column {name} is of another type"));
    let text = |name: &str| column(name)?.as_string_opt::<i32>().ok_or_else(|| other(name));
    let (status, error) = (text("status")?, text("error")?);
    let raw = column("raw")?.as_binary_opt::<i32>().ok_or_else(|| other("raw"))?;
    let partition = column("kafka_partition")?.as_primitive_opt::<Int32Type>().ok_or_else(|| other("kafka_partition"))?;
    let incarnation = column("topic_incarnation")?.as_primitive_opt::<Int32Type>().ok_or_else(|| other("topic_incarnation"))?;
    let offset = column("kafka_offset")?.as_primitive_opt::<Int64Type>().ok_or_else(|| other("kafka_offset"))?;
    let at = column("ingestion_timestamp")?;
    let at = at.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(|| other("ingestion_timestamp"))?;
    for row in (0..batch.num_rows()).filter(|row| status.is_valid(*row) && status.value(*row) != Status::Ok.as_str()) {
        call(Letter {
            place: (incarnation.value(row), partition.value(row)),
            offset: offset.value(row),
            status: status.value(row),
            error: error.is_valid(row).then(|| error.value(row)),
            raw: raw.is_valid(row).then(|| raw.value(row)),
            at_us: at.is_valid(row).then(|| at.value(row)),
        });
    }
    Ok(())
}

async fn read(store: &LogStoreRef, file: &TableFile, which: &Which, mut call: impl FnMut(Letter<'_>)) -> Result<(), RepairError> {
    for batch in bronze::rows(store, file, Some(&COLUMNS)).await? {
        each(&batch?, |letter| {
            if which.takes(&letter) {
                call(letter);
            }
        })?;
    }
    Ok(())
}

/// Counts by status and reason.
///
/// # Errors
/// When bronze cannot be read.
pub async fn count(store: &LogStoreRef, which: &Which) -> Result<BTreeMap<(String, String), Count>, RepairError> {
    let mut counts: BTreeMap<(String, String), Count> = BTreeMap::new();
    let Some(table) = Bronze::open(store).await? else { return Ok(counts) };
    for (file, _) in which.files(&table) {
        read(store, file, which, |letter| {
            let key = (letter.status.to_owned(), letter.reason().to_owned());
            let first = || Count { records: 0, oldest_us: letter.at_us, sample: letter.owned() };
            let count = counts.entry(key).or_insert_with(first);
            count.records += 1;
            count.oldest_us = count.oldest_us.into_iter().chain(letter.at_us).min();
            if count.sample.age() < letter.age() {
                count.sample = letter.owned();
            }
        })
        .await?;
    }
    Ok(counts)
}

/// The newest records, at most so many, the newest first. Files that hold only older ones are not opened, however long the history is.
///
/// # Errors
/// When bronze cannot be read.
pub async fn newest(store: &LogStoreRef, which: &Which, most: usize) -> Result<Vec<Shown>, RepairError> {
    let mut kept: BTreeMap<Age, Shown> = BTreeMap::new();
    let Some(table) = Bronze::open(store).await? else { return Ok(Vec::new()) };
    // Of whom nothing is known may hold the newest.
    let end = |known: &Known| known.all_before_us("ingestion_timestamp").unwrap_or(i64::MAX);
    let mut files: Vec<_> = which.files(&table).map(|(file, known)| (end(&known), file)).collect();
    files.sort_by_key(|(end, _)| Reverse(*end));
    for (end, file) in files {
        let oldest = kept.first_key_value().and_then(|((at_us, ..), _)| *at_us);
        if kept.len() >= most && oldest.is_some_and(|oldest| end <= oldest) {
            break;
        }
        read(store, file, which, |letter| {
            if kept.len() < most || kept.first_key_value().is_some_and(|(oldest, _)| *oldest < letter.age()) {
                kept.insert(letter.age(), letter.owned());
                if kept.len() > most {
                    kept.pop_first();
                }
            }
        })
        .await?;
    }
    Ok(kept.into_values().rev().collect())
}
