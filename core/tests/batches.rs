//! What a batch says about its rows, and what a decoder carries from one batch to the next.

mod bronze;

use std::sync::Arc;

use bronze::{NOW_MS, Row};
use tributary_core::batch::Status;
use tributary_core::decode::{Decoder, MAX_BATCH_BYTES, Record, lost_row};
use tributary_core::stream::Stream;

const GOOD: &str = r#"{"event_id":"3f2b8c1e-0d4a-4c5b-9e6f-7a8b9c0d1e2f","user_id":17,"event_type":"purchase","page":"/checkout","timestamp":"2026-11-23T06:59:58.25Z","source":"web"}"#;

/// The good event with one part replaced by another.
fn with(part: &str, other: &str) -> String {
    assert!(GOOD.contains(part), "{part}");
    GOOD.replacen(part, other, 1)
}

#[test]
fn a_batch_knows_its_newest_event_and_the_next_one_starts_anew() {
    let stream = Arc::new(Stream::builtin());
    let mut decoder = Decoder::new(Arc::clone(&stream), 1);
    let push = |decoder: &mut Decoder, payload: &str| {
        decoder.push(Record { partition: 0, offset: 0, timestamp_ms: Some(NOW_MS), payload: Some(payload.as_bytes()) });
    };
    push(&mut decoder, GOOD);
    push(&mut decoder, &with("06:59", "06:12"));
    push(&mut decoder, &with("17", "0").replace("06:59", "07:05")); // invalid: does not count
    push(&mut decoder, &with("purchase", "refund"));
    assert!(decoder.bytes() > 4 * 100);
    let first = decoder.finish();
    assert_eq!((first.rows.num_rows(), first.newest_event_ms), (4, Some(NOW_MS - 1_750)));
    assert_eq!(first.statuses, [2, 0, 2, 0, 0, 0, 0, 0]);
    assert_eq!((decoder.rows(), decoder.bytes()), (0, 0));

    let empty = decoder.finish();
    assert_eq!((empty.rows.num_rows(), empty.newest_event_ms), (0, None));
    push(&mut decoder, &with("purchase", "login"));
    let next = decoder.finish();
    assert_eq!(next.statuses, [1, 0, 0, 0, 0, 0, 0, 0]);
    // A dictionary begins with the declared values again, and forgets the others.
    let dictionary = arrow_array::cast::AsArray::as_any_dictionary(next.rows.column(2)).values().len();
    assert_eq!(dictionary, 4);
    assert_eq!(decoder.predicted(), 3);
}

#[test]
fn a_lost_range_is_one_row() {
    let stream = Arc::new(Stream::builtin());
    let batch = lost_row(&stream, 3, 5, 100, 250, Some(NOW_MS));
    assert_eq!(batch.statuses[Status::Lost as usize], 1);
    assert_eq!(batch.newest_event_ms, None);
    let [row] = <[Row; 1]>::try_from(bronze::rows(&stream, &batch.rows)).unwrap();
    assert_eq!((row.partition, row.offset, row.incarnation, row.status), (5, 100, 3, Status::Lost));
    assert_eq!((row.error.as_deref(), row.raw, row.event_date), (Some("lost: [100, 250)"), None, 20_780));
}

#[test]
fn a_batch_that_nobody_finishes_says_so_before_it_overflows() {
    let stream = Arc::new(Stream::builtin());
    let mut decoder = Decoder::new(Arc::clone(&stream), 1);
    // Valid events that are nearly all blanks: a GiB passes by, little of it is kept.
    let padded = format!("{GOOD}{}", " ".repeat(stream.limits.max_event_bytes - GOOD.len()));
    let mut push = |times: usize| {
        for _ in 0..times {
            decoder.push(Record { partition: 0, offset: 0, timestamp_ms: Some(NOW_MS), payload: Some(padded.as_bytes()) });
        }
        decoder.finish()
    };
    let fits = MAX_BATCH_BYTES / padded.len();
    let batch = push(fits + 1);
    assert_eq!((batch.statuses[0], batch.statuses[Status::Oversized as usize]), (fits as u64, 1));
    let last = bronze::rows(&stream, &batch.rows).pop().unwrap();
    assert_eq!(last.error.as_deref(), Some("too_large: 1048576 bytes did not fit into the batch and were left out"));
    assert_eq!(push(1).statuses[0], 1);
}

#[test]
fn the_order_of_the_keys_is_learned() {
    let stream = Arc::new(Stream::builtin());
    let mut decoder = Decoder::new(Arc::clone(&stream), 1);
    // Backwards, with a field nobody declared, with blanks, without the optional field: all of it is usual.
    let backwards = r#"{"source": "web", "session": 7, "timestamp": "2026-11-23T06:59:58Z", "event_type": "click", "user_id": 1, "event_id": "a"}"#;
    for payload in [GOOD, backwards, backwards, GOOD, GOOD] {
        decoder.push(Record { partition: 0, offset: 0, timestamp_ms: Some(NOW_MS), payload: Some(payload.as_bytes()) });
    }
    assert_eq!((decoder.predicted(), decoder.finish().statuses[0]), (5, 5));
    // A record that is not, is no trouble for the next ones.
    for payload in [GOOD, "{", &with("/checkout", "\\u0041"), GOOD] {
        decoder.push(Record { partition: 0, offset: 0, timestamp_ms: Some(NOW_MS), payload: Some(payload.as_bytes()) });
    }
    assert_eq!((decoder.predicted(), decoder.finish().statuses[0]), (7, 3));
}

#[test]
fn the_declared_values_have_the_same_codes_in_every_batch() {
    use arrow_array::cast::AsArray as _;
    let stream = Arc::new(Stream::builtin());
    for new in [Decoder::new, Decoder::reference] {
        let mut decoder = new(Arc::clone(&stream), 1);
        for kinds in [["logout", "refund", "click"], ["purchase", "nap", "refund"]] {
            for kind in kinds {
                let payload = with("purchase", kind);
                decoder.push(Record { partition: 0, offset: 0, timestamp_ms: None, payload: Some(payload.as_bytes()) });
            }
            let batch = decoder.finish();
            let column = batch.rows.column(2).as_dictionary::<arrow_array::types::Int32Type>();
            let values: Vec<_> = column.values().as_string::<i32>().iter().flatten().map(str::to_owned).collect();
            assert_eq!(values[..4], stream.fields[2].allowed);
            let read: Vec<_> = column.keys().values().iter().map(|code| values[*code as usize].as_str()).collect();
            assert_eq!(read, kinds);
        }
    }
}
