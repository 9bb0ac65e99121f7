//! Files as another engine reads them: one per date, plain types, statistics that are true.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use chrono::DateTime;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use tributary_actors::lake::encoder::{Encoded, Encoder};

use crate::common::payments::{BEGIN_MS, batch, payment, stream};

fn encoded(parts: &[(i32, Range<i64>)]) -> Vec<Encoded> {
    let stream = stream();
    let mut encoder = Encoder::new(Arc::clone(&stream));
    for part in parts {
        encoder.write(&batch(&stream, std::slice::from_ref(part)).rows).unwrap();
    }
    assert!(encoder.bytes() > 0);
    let files = encoder.finish().unwrap();
    assert_eq!((encoder.rows(), encoder.bytes()), (0, 0));
    files
}

fn read(file: &Encoded) -> Vec<RecordBatch> {
    ParquetRecordBatchReaderBuilder::try_new(file.bytes.clone()).unwrap().build().unwrap().map(Result::unwrap).collect()
}

fn column<'a>(rows: &'a RecordBatch, name: &str) -> &'a dyn Array {
    rows.column_by_name(name).unwrap_or_else(|| panic!("no column {name}"))
}

#[test]
fn every_record_is_in_the_file_of_its_date_once() {
    let parts = [(0, 0..150), (1, 40..90), (0, 150..151), (7, 0..80)];
    let files = encoded(&parts);
    let mut found = BTreeMap::new();
    for file in &files {
        let mut per_partition: BTreeMap<i32, u64> = BTreeMap::new();
        for rows in read(file) {
            let partitions = column(&rows, "kafka_partition").as_primitive::<arrow_array::types::Int32Type>().values().to_vec();
            for (partition, offset) in partitions.iter().zip(column(&rows, "kafka_offset").as_primitive::<Int64Type>().values()) {
                *per_partition.entry(*partition).or_default() += 1;
                assert!(found.insert((*partition, *offset), file.date).is_none(), "{partition}@{offset} is there twice");
            }
        }
        assert_eq!(file.per_partition, per_partition);
        assert_eq!(file.rows, per_partition.values().sum::<u64>());
    }
    let expected: BTreeMap<_, _> = parts
        .iter()
        .flat_map(|(partition, range)| range.clone().map(|offset| (*partition, offset)))
        .map(|(partition, offset)| {
            let event = payment(partition, offset);
            let at = if event.malformed { event.at_ms + 1_000 } else { event.at_ms };
            ((partition, offset), at.div_euclid(86_400_000) as i32)
        })
        .collect();
    assert_eq!(found, expected);
    assert_eq!(files.iter().map(|f| f.date).collect::<Vec<_>>(), [20_454, 20_455]);
}

#[test]
fn columns_are_plain_and_the_date_is_not_among_them() {
    for file in encoded(&[(0, 0..50)]) {
        let rows = &read(&file)[0];
        let schema = rows.schema();
        let types: Vec<String> = schema.fields().iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect();
        assert_eq!(
            types,
            [
                "payment_id Utf8",
                "payment_kind Utf8",
                "shop Utf8",
                "amount Int64",
                "paid_at Timestamp(µs, \"UTC\")",
                "ingestion_timestamp Timestamp(µs, \"UTC\")",
                "kafka_partition Int32",
                "kafka_offset Int64",
                "topic_incarnation Int32",
                "status Utf8",
                "error Utf8",
                "raw Binary",
                "extra Utf8"
            ]
        );
        let (status, kind) = (column(rows, "status").as_string::<i32>(), column(rows, "payment_kind").as_string::<i32>());
        let offsets = column(rows, "kafka_offset").as_primitive::<Int64Type>();
        for row in 0..rows.num_rows() {
            let event = payment(0, offsets.value(row));
            assert_eq!(status.value(row), if event.malformed { "malformed" } else { "ok" });
            assert_eq!(kind.is_valid(row).then(|| kind.value(row)), (!event.malformed).then_some(event.kind));
        }
    }
}

#[test]
fn statistics_are_what_the_values_say() {
    let files = encoded(&[(3, 5..60), (0, 900..950)]);
    assert!(files.len() > 1);
    for file in files {
        let stats: Value = serde_json::from_str(&file.stats).unwrap();
        assert_eq!(stats["numRecords"], file.rows);
        let all = read(&file);
        let rows = arrow_select::concat::concat_batches(&all[0].schema(), &all).unwrap();
        for (at, field) in rows.schema().fields().iter().enumerate() {
            let (name, array) = (field.name(), rows.column(at));
            if let Some(nulls) = stats["nullCount"][name].as_u64() {
                assert_eq!(nulls as usize, array.null_count(), "{name}");
            }
            let (low, high) = (&stats["minValues"][name], &stats["maxValues"][name]);
            match field.data_type() {
                DataType::Int64 => {
                    let values: Vec<i64> = array.as_primitive::<Int64Type>().iter().flatten().collect();
                    assert_eq!(
                        (low.as_i64(), high.as_i64()),
                        (values.iter().min().copied(), values.iter().max().copied()),
                        "{name}"
                    );
                }
                DataType::Timestamp(..) => {
                    let values: Vec<i64> = array.as_primitive::<TimestampMicrosecondType>().iter().flatten().collect();
                    let bound = |v: &Value| DateTime::parse_from_rfc3339(v.as_str().unwrap()).unwrap().timestamp_micros();
                    let (min, max) = (*values.iter().min().unwrap(), *values.iter().max().unwrap());
                    assert!(bound(low) <= min && min - bound(low) < 1_000, "{name}: {low} for {min}");
                    assert!(max <= bound(high) && bound(high) - max < 1_000, "{name}: {high} for {max}");
                }
                DataType::Utf8 if !low.is_null() => {
                    let values: Vec<&str> = array.as_string::<i32>().iter().flatten().collect();
                    assert_eq!(
                        (low.as_str(), high.as_str()),
                        (values.iter().min().copied(), values.iter().max().copied()),
                        "{name}"
                    );
                }
                _ => {}
            }
        }
        for name in ["kafka_partition", "kafka_offset", "paid_at", "amount", "status"] {
            assert!(stats["nullCount"][name].is_u64(), "{name} is what readers prune by");
        }
        assert!(stats["minValues"]["payment_kind"].is_string() && stats["minValues"]["kafka_partition"].is_i64());
        assert!(stats["minValues"]["raw"].is_null(), "bytes have no statistics");
    }
}

#[test]
fn an_upper_bound_is_never_below_a_time_with_microseconds() {
    let stream = stream();
    let mut decoder = tributary_core::decode::Decoder::new(Arc::clone(&stream), 1);
    for (offset, at) in ["2026-01-01T10:00:00.000001Z", "2026-01-01T10:00:00.123456Z"].iter().enumerate() {
        let payload = format!(r#"{{"payment_id":"a","kind":"card","shop":"s","amount":1,"at":"{at}"}}"#);
        let timestamp_ms = Some(BEGIN_MS);
        decoder.push(tributary_core::decode::Record {
            partition: 0,
            offset: offset as i64,
            timestamp_ms,
            payload: Some(payload.as_bytes()),
        });
    }
    let mut encoder = Encoder::new(stream);
    encoder.write(&decoder.finish().rows).unwrap();
    let stats: Value = serde_json::from_str(&encoder.finish().unwrap()[0].stats).unwrap();
    assert_eq!(stats["minValues"]["paid_at"], "2026-01-01T10:00:00.000Z");
    assert_eq!(stats["maxValues"]["paid_at"], "2026-01-01T10:00:00.124Z");
}

/// More than a row group's default: bounds would be lost, and with them what readers prune by.
#[test]
fn a_file_of_many_small_rows_keeps_its_bounds() {
    let stream = stream();
    let mut encoder = Encoder::new(Arc::clone(&stream));
    let rows = batch(&stream, &[(3, 0..20)]).rows;
    while encoder.rows() < 2_200_000 {
        let many = arrow_select::concat::concat_batches(&rows.schema(), vec![&rows; 1_000]).unwrap();
        encoder.write(&many).unwrap();
    }
    for file in encoder.finish().unwrap() {
        let stats: Value = serde_json::from_str(&file.stats).unwrap();
        assert_eq!(stats["minValues"]["kafka_partition"], 3, "{} rows", file.rows);
    }
}
