//! The fast parser and the reference give the same rows, whatever the bytes: more than a million records per run, from a seed.
//!
//! `SEED=… cargo test …` repeats a run. What the reference itself says is held against serde_json's own idea of the payload.

mod bronze;
mod mischief;

use std::collections::BTreeMap;
use std::sync::Arc;

use bronze::Row;
use mischief::Dice;
use serde_json::Value;
use tributary_core::batch::{Batch, Status};
use tributary_core::decode::{Decoder, MAX_DEPTH, Reason, Record};
use tributary_core::stream::{Kind, Stream};

const BATCHES: usize = 160;
const ROWS: usize = 2_560;

/// Keys that JSON must escape, keys that are not ASCII, every type, optional and not, a group without declared values.
const ODD: &str = r#"
name = "odd"
topic = "odd"
id = "id"
event_time = "at"
key = "group"
limits = { max_event_bytes = "4 KiB", max_ahead = "1 h", max_age = "1 day" }
field = [
  { name = "flag", type = "boolean", required = true },
  { name = "größe", column = "size", type = "number" },
  { name = "say \"hi\"\\", column = "greeting", type = "text" },
  { name = "at", type = "timestamp", required = true },
  { name = "group", column = "grp", type = "text", required = true },
  { name = "id", type = "integer", required = true },
  { name = "debt", type = "integer", minimum = -5 },
  { name = "user_id", type = "timestamp" },
]
window = [{ table = "t", every = "1 min", group_by = "group", count = "n" }]
"#;

#[test]
fn parsers_agree_on_user_events() {
    agree(Stream::builtin(), 1);
}

#[test]
fn parsers_agree_on_orders() {
    agree(Stream::parse(include_str!("../../examples/orders.toml"), "orders.toml").unwrap(), 2);
}

#[test]
fn parsers_agree_on_odd_fields() {
    agree(Stream::parse(ODD, "odd.toml").unwrap(), 3);
}

fn agree(stream: Stream, number: u64) {
    let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(20_261_123 + number);
    eprintln!("{}: SEED={seed}", stream.name);
    let stream = Arc::new(stream);
    let mut dice = Dice(seed);
    let (mut fast, mut reference) = (Decoder::new(Arc::clone(&stream), 1), Decoder::reference(Arc::clone(&stream), 1));
    let mut statuses = [0_u64; Status::ALL.len()];
    let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
    for batch in 0..BATCHES {
        let records: Vec<_> = (0..ROWS).map(|_| mischief::record(&mut dice, &stream)).collect();
        for (n, (payload, timestamp_ms)) in records.iter().enumerate() {
            let offset = (batch * ROWS + n) as i64;
            let record = Record { partition: n as i32 % 6, offset, timestamp_ms: *timestamp_ms, payload: payload.as_deref() };
            fast.push(record);
            reference.push(record);
        }
        assert_eq!((fast.rows(), reference.rows()), (ROWS, ROWS), "one row per record");
        assert_eq!(fast.bytes(), reference.bytes());
        let (ours, theirs) = (fast.finish(), reference.finish());
        same(&stream, &ours, &theirs, &records, seed);

        let rows = bronze::rows(&stream, &theirs.rows);
        for (n, (row, (payload, _))) in rows.iter().zip(&records).enumerate() {
            assert_eq!(row.offset, (batch * ROWS + n) as i64);
            assert_eq!(row.raw.as_ref(), payload.as_ref().filter(|_| row.status != Status::Ok));
            plausible(&stream, row, payload.as_deref());
            statuses[row.status as usize] += 1;
            *reasons.entry(row.reason().to_owned()).or_default() += 1;
        }
    }
    let records = (BATCHES * ROWS) as u64;
    eprintln!("{}: {records} records, {} by the fast parser, {statuses:?}, {reasons:?}", stream.name, fast.predicted());
    // Else the run would prove little.
    assert!(fast.predicted() > records / 20 && statuses[Status::Ok as usize] > records / 4);
    assert_eq!(reference.predicted(), 0);
    for reason in Reason::ALL {
        // Texts of 64 KiB are no thing to make by the thousand, and not every stream declares every rule.
        let always = !matches!(
            reason,
            Reason::Lost
                | Reason::TooLong
                | Reason::NumberOutOfRange
                | Reason::NotAllowed
                | Reason::TooLarge
                | Reason::BelowMinimum
        );
        assert!(!always || reasons.get(reason.as_str()).is_some_and(|n| *n > 5), "{reason:?} never came up");
    }
}

fn same(stream: &Stream, ours: &Batch, theirs: &Batch, records: &[(Option<Vec<u8>>, Option<i64>)], seed: u64) {
    if ours.rows == theirs.rows && ours.statuses == theirs.statuses && ours.newest_event_ms == theirs.newest_event_ms {
        return;
    }
    let rows = bronze::rows(stream, &ours.rows).into_iter().zip(bronze::rows(stream, &theirs.rows));
    for ((ours, theirs), (payload, timestamp_ms)) in rows.zip(records) {
        let payload = String::from_utf8_lossy(payload.as_deref().unwrap_or_default()).into_owned();
        assert_eq!(ours, theirs, "SEED={seed}\n{payload}\nat {timestamp_ms:?}");
    }
    panic!("SEED={seed}: rows agree, batches do not: {ours:?} {theirs:?}");
}

/// What can be said about a row from the payload as serde_json reads it.
fn plausible(stream: &Stream, row: &Row, payload: Option<&[u8]>) {
    let Some(payload) = payload else { return assert_eq!(row.status, Status::Tombstone) };
    if payload.len() > stream.limits.max_event_bytes {
        return assert_eq!(row.status, Status::Oversized);
    }
    let shown = String::from_utf8_lossy(payload);
    match serde_json::from_slice::<Value>(payload) {
        Ok(Value::Object(members)) => {
            assert_ne!(row.status, Status::Malformed, "{shown} {row:?}");
            if row.status == Status::Ok {
                for (field, column) in stream.fields.iter().zip(&row.columns) {
                    let value = members.get(&field.name).filter(|v| !v.is_null());
                    let expected = value.map(|v| match (field.kind, v) {
                        (Kind::Text, Value::String(text)) => text.clone(),
                        (Kind::Timestamp, Value::String(text)) => micros(text, column),
                        (Kind::Integer | Kind::Number, v) if close(v, column) => column.clone().unwrap_or_default(),
                        (_, v) => v.to_string(),
                    });
                    assert_eq!(*column, expected, "{} of {shown}", field.name);
                }
            }
        }
        Ok(_) => assert_eq!(row.status, Status::Malformed, "{shown} {row:?}"),
        Err(e) => {
            // What serde_json refuses as a value though it is JSON.
            let e = e.to_string();
            let json = ["surrogate", "end of hex escape", "out of range"].iter().any(|s| e.contains(s));
            assert!(json || row.status == Status::Malformed, "{shown} {row:?} {e}");
            assert!(!e.contains("recursion limit") || row.status == Status::Malformed, "{MAX_DEPTH} levels");
        }
    }
}

/// chrono's reading, where it reads; it takes leap seconds at other times of day and knows no space in the middle.
fn micros(text: &str, column: &Option<String>) -> String {
    match chrono::DateTime::parse_from_rfc3339(&text.replace(' ', "T")) {
        Ok(time) if !text.contains(":60") => time.timestamp_micros().to_string(),
        _ => column.clone().unwrap_or_default(),
    }
}

/// serde_json reads floats to within the last bit; integers are exact.
fn close(value: &Value, column: &Option<String>) -> bool {
    let text = column.as_deref().unwrap_or_default();
    match (value.as_i64(), value.as_f64(), text.parse::<f64>()) {
        (Some(n), ..) => text == n.to_string() || text.parse() == Ok(n as f64),
        (None, Some(a), Ok(b)) => (a - b).abs() <= b.abs() * 1e-15,
        _ => false,
    }
}
