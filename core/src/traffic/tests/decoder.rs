//! What the traffic says of its records is what the decoder makes of them.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType, UInt8Type};
use arrow_array::{Array, ArrayRef};

use super::*;
use crate::batch::{Batch, Columns, Status};
use crate::decode::{Decoder, Record};
use crate::stream::Stream;
use crate::traffic::flaw::{FLAWS, OVERSIZED};
use crate::traffic::model::{NO_PAGE, PAGES, SOURCES, TYPES};
use crate::traffic::text::Clock;

fn decode<'a>(payloads: impl IntoIterator<Item = Option<&'a [u8]>>) -> (Batch, Columns) {
    let stream = Arc::new(Stream::builtin());
    let columns = Columns::of(stream.fields.len());
    let mut decoder = Decoder::new(stream, 1);
    for (offset, payload) in payloads.into_iter().enumerate() {
        let now_ms = (START_US + HOUR_US) / 1000;
        decoder.push(Record { partition: 0, offset: offset as i64, timestamp_ms: Some(now_ms), payload });
    }
    (decoder.finish(), columns)
}

/// Text of a row, whether the column is a dictionary or not.
fn text(column: &ArrayRef, row: usize) -> Option<String> {
    if column.is_null(row) {
        return None;
    }
    let value = if let Some(symbols) = column.as_dictionary_opt::<Int32Type>() {
        symbols.values().as_string::<i32>().value(symbols.keys().value(row) as usize)
    } else if let Some(statuses) = column.as_dictionary_opt::<UInt8Type>() {
        statuses.values().as_string::<i32>().value(statuses.keys().value(row) as usize)
    } else {
        column.as_string::<i32>().value(row)
    };
    Some(value.to_owned())
}

#[test]
fn every_flaw_has_the_status_and_the_reason_it_claims() {
    let (mut model, mut clock) = (Model::new(1, Profile::Plain), Clock::default());
    for flaw in FLAWS.iter().chain([&OVERSIZED]) {
        for _ in 0..20 {
            let mut payload = Vec::new();
            let full = flaw.write(&model.event(START_US, 1_000), &mut clock, &mut payload);
            let (batch, columns) = decode([full.then_some(&payload[..])]);
            let status = text(batch.rows.column(columns.status), 0).unwrap();
            let error = text(batch.rows.column(columns.error), 0).unwrap_or_default();
            let reason = error.split(':').next().unwrap_or_default();
            assert_eq!((status.as_str(), reason), (flaw.status().as_str(), flaw.reason.as_str()), "{}: {error}", flaw.name);
        }
    }
}

#[test]
fn a_decoded_run_has_the_values_that_the_traffic_drew() {
    let plan = Plan { oversized: 1, ..mixed(30_000) };
    let records = all(&plan);
    let (batch, columns) = decode(records.iter().map(|(_, payload, _)| payload.as_deref()));
    let rows = &batch.rows;
    let mut truth = Truth::default();
    for (row, (.., made)) in records.iter().enumerate() {
        truth.add(made);
        let Made::Valid { event, .. } = made else {
            assert_ne!(text(rows.column(columns.status), row).as_deref(), Some("ok"));
            continue;
        };
        let page = (event.page != NO_PAGE).then(|| PAGES[usize::from(event.page)].to_owned());
        assert_eq!(text(rows.column(columns.error), row), None);
        assert_eq!(text(rows.column(0), row), Some(uuid::Uuid::from_u128(event.id).to_string()));
        assert_eq!(rows.column(1).as_primitive::<Int64Type>().value(row), event.user as i64);
        assert_eq!(text(rows.column(2), row).as_deref(), Some(TYPES[usize::from(event.kind)]));
        assert_eq!(text(rows.column(3), row), page);
        assert_eq!(rows.column(4).as_primitive::<TimestampMicrosecondType>().value(row), event.at_us);
        assert_eq!(text(rows.column(5), row).as_deref(), Some(SOURCES[usize::from(event.source)]));
    }
    assert_eq!(batch.statuses[Status::Ok as usize], truth.valid());
    assert_eq!(batch.statuses.iter().sum::<u64>(), truth.total());
}
