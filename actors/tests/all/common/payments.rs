//! A stream of payments whose every event follows from its partition and offset, and the truth about any range of them.
//!
//! Every seventh record is malformed. Amounts are so large that a few of them leave 64 bits. Times cross midnight.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use tributary_core::batch::Batch;
use tributary_core::decode::{Decoder, Record};
use tributary_core::stream::Stream;

pub const TOPIC: &str = "payments";

pub const DECLARATION: &str = r#"
name = "payments"
topic = "payments"
id = "payment_id"
event_time = "at"
key = "payment_id"

[[field]]
name = "payment_id"
type = "text"
required = true

[[field]]
name = "kind"
column = "payment_kind"
type = "text"
required = true
allowed = ["card", "cash", "refund"]

[[field]]
name = "shop"
type = "text"
required = true

[[field]]
name = "amount"
type = "integer"
required = true

[[field]]
name = "at"
column = "paid_at"
type = "timestamp"
required = true

[[window]]
table = "payments_per_minute"
every = "1 min"
group_by = ["kind", "shop"]
count = "payments"

[[window]]
table = "turnover_per_hour"
every = "1 h"
where = { kind = ["card", "cash"] }
sum = { field = "amount", as = "cents" }
"#;

pub fn stream() -> Arc<Stream> {
    Arc::new(Stream::parse(DECLARATION, "payments.toml").unwrap())
}

/// 2026-01-01T23:58:00Z.
pub const BEGIN_MS: i64 = 1_767_311_880_000;

/// One event.
pub struct Payment {
    pub id: String,
    pub kind: &'static str,
    pub shop: String,
    pub amount: i64,
    pub at_ms: i64,
    pub malformed: bool,
}

pub fn payment(partition: i32, offset: i64) -> Payment {
    let n = offset + i64::from(partition) * 3;
    Payment {
        id: format!("{partition}-{offset}"),
        kind: ["card", "cash", "refund"][n.rem_euclid(3) as usize],
        shop: format!("shop {}", n.rem_euclid(4)),
        amount: i64::MAX - n,
        at_ms: BEGIN_MS + offset * 1_700 - (offset % 5) * 60_000,
        malformed: n.rem_euclid(7) == 6,
    }
}

impl Payment {
    pub fn payload(&self) -> String {
        if self.malformed {
            return format!("{{\"payment_id\":\"{}\"", self.id);
        }
        let at =
            chrono::DateTime::from_timestamp_millis(self.at_ms).unwrap().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        let Payment { id, kind, shop, amount, .. } = self;
        format!(r#"{{"payment_id":"{id}","kind":"{kind}","shop":"{shop}","amount":{amount},"at":"{at}"}}"#)
    }
}

/// The decoded records of these ranges.
pub fn batch(stream: &Arc<Stream>, ranges: &[(i32, Range<i64>)]) -> Batch {
    let mut decoder = Decoder::new(Arc::clone(stream), 1);
    for (partition, range) in ranges {
        for offset in range.clone() {
            let event = payment(*partition, offset);
            let payload = event.payload();
            let timestamp_ms = Some(event.at_ms + 1_000);
            decoder.push(Record { partition: *partition, offset, timestamp_ms, payload: Some(payload.as_bytes()) });
        }
    }
    decoder.finish()
}

/// Window table, start of the interval, group → what it must say.
pub type Windows = BTreeMap<(&'static str, i64, Vec<String>), i128>;

/// What the windows must say about these ranges, counted from the events themselves.
pub fn windows(ranges: &[(i32, Range<i64>)]) -> Windows {
    let mut windows = Windows::new();
    for (partition, range) in ranges {
        for event in range.clone().map(|offset| payment(*partition, offset)).filter(|e| !e.malformed) {
            let minute = event.at_ms.div_euclid(60_000) * 60_000;
            let group = vec![event.kind.to_owned(), event.shop];
            *windows.entry(("payments_per_minute", minute, group)).or_default() += 1;
            if event.kind != "refund" {
                let hour = event.at_ms.div_euclid(3_600_000) * 3_600_000;
                *windows.entry(("turnover_per_hour", hour, Vec::new())).or_default() += i128::from(event.amount);
            }
        }
    }
    windows
}
