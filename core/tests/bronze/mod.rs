//! A batch as a person would look at it: one struct per row.

use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Date32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType, UInt8Type};
use arrow_array::{Array, ArrayRef, RecordBatch};
use tributary_core::batch::{Columns, Status};
use tributary_core::decode::{Decoder, Record};
use tributary_core::stream::{Kind, Stream};

/// One row, its declared columns as text.
#[derive(Debug, Clone, PartialEq)]
#[allow(dead_code, reason = "each test file looks at other columns")]
pub(crate) struct Row {
    pub columns: Vec<Option<String>>,
    pub ingestion_us: Option<i64>,
    pub event_date: i32,
    pub partition: i32,
    pub offset: i64,
    pub incarnation: i32,
    pub status: Status,
    pub error: Option<String>,
    pub raw: Option<Vec<u8>>,
    pub extra: Option<String>,
}

impl Row {
    /// The stable first word of the error.
    #[allow(dead_code, reason = "each test file looks at other columns")]
    pub(crate) fn reason(&self) -> &str {
        self.error.as_deref().map_or("", |e| e.split(": ").next().unwrap_or_default())
    }
}

/// All rows of a batch.
pub(crate) fn rows(stream: &Stream, batch: &RecordBatch) -> Vec<Row> {
    let at = Columns::of(stream.fields.len());
    let column = |n: usize| batch.column(n);
    let status = column(at.status).as_dictionary::<UInt8Type>();
    let names = status.values().as_string::<i32>();
    let text = |n: usize, row: usize| {
        let array = column(n).as_string::<i32>();
        array.is_valid(row).then(|| array.value(row).to_owned())
    };
    (0..batch.num_rows())
        .map(|row| {
            let code = status.keys().value(row);
            let status = Status::ALL[usize::from(code)];
            assert_eq!(names.value(usize::from(code)), status.as_str(), "codes are Status as u8");
            let ingestion = column(at.ingestion_timestamp).as_primitive::<TimestampMicrosecondType>();
            let raw = column(at.raw).as_binary::<i32>();
            Row {
                columns: stream.fields.iter().enumerate().map(|(n, f)| cell(f.kind, column(n), row)).collect(),
                ingestion_us: ingestion.is_valid(row).then(|| ingestion.value(row)),
                event_date: column(at.event_date).as_primitive::<Date32Type>().value(row),
                partition: column(at.kafka_partition).as_primitive::<Int32Type>().value(row),
                offset: column(at.kafka_offset).as_primitive::<Int64Type>().value(row),
                incarnation: column(at.topic_incarnation).as_primitive::<Int32Type>().value(row),
                status,
                error: text(at.error, row),
                raw: raw.is_valid(row).then(|| raw.value(row).to_vec()),
                extra: text(at.extra, row),
            }
        })
        .collect()
}

fn cell(kind: Kind, array: &ArrayRef, row: usize) -> Option<String> {
    if array.is_null(row) {
        return None;
    }
    Some(match kind {
        Kind::Text => match array.as_any_dictionary_opt() {
            Some(dictionary) => {
                let code = array.as_dictionary::<Int32Type>().keys().value(row);
                dictionary.values().as_string::<i32>().value(code as usize).to_owned()
            }
            None => array.as_string::<i32>().value(row).to_owned(),
        },
        Kind::Integer => array.as_primitive::<Int64Type>().value(row).to_string(),
        Kind::Number => array.as_primitive::<Float64Type>().value(row).to_string(),
        Kind::Boolean => array.as_boolean().value(row).to_string(),
        Kind::Timestamp => array.as_primitive::<TimestampMicrosecondType>().value(row).to_string(),
    })
}

/// When the records of these tests were written to Kafka: 2026-11-23T07:00:00Z.
#[allow(dead_code, reason = "each test file looks at other columns")]
pub(crate) const NOW_MS: i64 = 1_795_417_200_000;

/// Decodes one payload between two good neighbours, by both parsers, and gives its row. The neighbours must come out as if it were
/// not there.
#[allow(dead_code, reason = "each test file looks at other columns")]
pub(crate) fn between(stream: &Arc<Stream>, good: &[u8], payload: Option<&[u8]>, timestamp_ms: Option<i64>) -> Row {
    let [a, b] = [Decoder::new, Decoder::reference].map(|new| {
        let mut decoder = new(Arc::clone(stream), 4);
        let record = |offset, payload, timestamp_ms| Record { partition: 2, offset, timestamp_ms, payload };
        decoder.push(record(10, Some(good), Some(NOW_MS)));
        decoder.push(record(11, payload, timestamp_ms));
        decoder.push(record(12, Some(good), Some(NOW_MS)));
        assert_eq!(decoder.rows(), 3);
        let batch = decoder.finish();
        assert_eq!(batch.rows.schema(), tributary_core::batch::schema(stream));
        let Ok([before, row, after]) = <[Row; 3]>::try_from(rows(stream, &batch.rows)) else {
            panic!("three records are not three rows: {batch:?}")
        };

        assert_eq!(before.status, Status::Ok, "{before:?}");
        assert_eq!((before.offset, after.offset), (10, 12));
        assert_eq!(Row { offset: 12, ..before.clone() }, after, "neighbours differ");
        assert_eq!((&before.raw, &before.error), (&None, &None));
        assert_eq!((row.offset, row.partition, row.incarnation), (11, 2, 4));
        assert_eq!(batch.statuses.iter().sum::<u64>(), 3);
        assert_eq!(batch.statuses[Status::Ok as usize], if row.status == Status::Ok { 3 } else { 2 });
        if row.status == Status::Ok {
            assert_eq!((&row.raw, &row.error), (&None, &None));
        } else {
            assert_eq!(row.raw.as_deref(), payload, "the payload is kept whole");
        }
        row
    });
    assert_eq!(a, b, "the parsers disagree");
    a
}
