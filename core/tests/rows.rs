//! Every record is exactly one row.

use std::sync::Arc;
use tributary_core::batch::Status;
use tributary_core::decode::{Decoder, Record};
use tributary_core::stream::Stream;

#[test]
fn a_good_event_is_ok() {
    let mut d = Decoder::new(Arc::new(Stream::builtin()), 1);
    let p = br#"{"event_id":"3f2b8c1e-0d4a-4c5b-9e6f-7a8b9c0d1e2f","user_id":12345,"event_type":"purchase","page":"/checkout","timestamp":"2026-11-23T07:00:50.123456Z","source":"mobile"}"#;
    d.push(Record { partition: 3, offset: 7, timestamp_ms: Some(1_795_417_251_000), payload: Some(p) });
    d.push(Record { partition: 3, offset: 8, timestamp_ms: None, payload: Some(b"[") });
    d.push(Record { partition: 3, offset: 8, timestamp_ms: None, payload: Some(b"{\"event_type\":\"x\",\"k\\u0020\": [1, 2]}") });
    let b = d.finish();
    println!("{b:#?}");
    assert_eq!(b.statuses[Status::Ok as usize], 1);
}
