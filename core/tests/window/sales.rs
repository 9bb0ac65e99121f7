//! A stream of sales, rows of it, and what counting one row at a time says.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::types::{Int32Type, UInt8Type};
use arrow_array::{
    ArrayRef, DictionaryArray, Int32Array, Int64Array, PrimitiveArray, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow_schema::{Field, Schema};
use proptest::prelude::*;
use tributary_core::batch::Status;
use tributary_core::span::Span;
use tributary_core::stream::Stream;
use tributary_core::window::PartitionDelta;

/// Intervals that do not divide each other, a filter on a field that is grouped by, one on a field that is not, sums of two fields.
const DECLARATION: &str = r#"
name = "sales"
topic = "sales"
id = "id"
event_time = "at"
key = "id"

[[field]]
name = "id"
type = "text"
required = true

[[field]]
name = "kind"
type = "text"
required = true

[[field]]
name = "shop"
column = "shop_name"
type = "text"
required = true

[[field]]
name = "cents"
type = "integer"
required = true

[[field]]
name = "pieces"
type = "integer"
required = true

[[field]]
name = "at"
column = "sold_at"
type = "timestamp"
required = true

[[window]]
table = "per_minute"
every = "1 min"
group_by = ["kind", "shop"]
count = "sales"

[[window]]
table = "big_kinds"
every = "90 s"
where = { kind = ["a", "b"] }
group_by = ["kind"]
sum = { field = "cents", as = "cents" }

[[window]]
table = "pieces_of_a"
every = "1 h"
where = { kind = "a" }
sum = { field = "pieces", as = "pieces" }

[[window]]
table = "all"
every = "24 h"
count = "sales"
"#;

pub(crate) fn stream() -> Arc<Stream> {
    Arc::new(Stream::parse(DECLARATION, "sales.toml").unwrap())
}

#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) status: Status,
    pub(crate) kind: Option<&'static str>,
    pub(crate) shop: Option<&'static str>,
    pub(crate) cents: Option<i64>,
    pub(crate) pieces: Option<i64>,
    pub(crate) at_us: Option<i64>,
}

pub(crate) fn rows(offsets: Range<i64>) -> impl Strategy<Value = Vec<Row>> {
    let text = |values: &'static [&'static str]| proptest::option::weighted(0.95, proptest::sample::select(values));
    let number = prop_oneof![4 => -50..50_i64, 1 => Just(i64::MAX), 1 => Just(i64::MIN)];
    // Around 1970, on both sides, to the microsecond; some far away.
    let time = prop_oneof![8 => -300_000_000_000..300_000_000_000_i64, 1 => -60_000_000_000_000_000..60_000_000_000_000_000_i64];
    let row = (
        (0..3_i32, offsets),
        proptest::sample::select(vec![
            Status::Ok,
            Status::Ok,
            Status::Ok,
            Status::Ok,
            Status::Invalid,
            Status::Future,
            Status::Lost,
        ]),
        (text(&["a", "b", "c", ""]), text(&["x", "y", "ü"])),
        (proptest::option::weighted(0.95, number.clone()), proptest::option::weighted(0.95, number)),
        proptest::option::weighted(0.95, time),
    );
    let row = row.prop_map(|((partition, offset), status, (kind, shop), (cents, pieces), at_us)| Row {
        partition,
        offset,
        status,
        kind,
        shop,
        cents,
        pieces,
        at_us,
    });
    // Runs of equal rows, as real batches have them.
    proptest::collection::vec((row, 1..4_usize), 0..60).prop_map(|runs| {
        runs.into_iter().flat_map(|(row, n)| (0..n).map(move |i| Row { offset: row.offset + i as i64, ..row.clone() })).collect()
    })
}

pub(crate) fn spans() -> impl Strategy<Value = Vec<Span>> {
    let one = |partition| {
        proptest::option::weighted(0.85, (0..100_i64, 0..60_i64, 0..130_i64)).prop_map(move |s| {
            s.map(|(from, length, floor)| Span { partition, epoch: 1, from, to: from + length, floor: [0, floor] })
        })
    };
    (one(2), one(0), one(1)).prop_map(|(a, b, c)| [a, b, c].into_iter().flatten().collect())
}

/// Plain columns, as the lake gives them back, or dictionaries, as the decoder makes them.
pub(crate) fn batch(rows: &[Row], plain: bool) -> RecordBatch {
    let symbol = |values: Vec<Option<&'static str>>| -> ArrayRef {
        if plain {
            Arc::new(StringArray::from(values))
        } else {
            Arc::new(values.into_iter().collect::<DictionaryArray<Int32Type>>())
        }
    };
    let status: ArrayRef = if plain {
        Arc::new(rows.iter().map(|r| Some(r.status.as_str())).collect::<StringArray>())
    } else {
        let keys: PrimitiveArray<UInt8Type> = rows.iter().map(|r| Some(r.status as u8)).collect();
        let values = StringArray::from(Status::ALL.map(Status::as_str).to_vec());
        Arc::new(DictionaryArray::new(keys, Arc::new(values)))
    };
    let times: TimestampMicrosecondArray = rows.iter().map(|r| r.at_us).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("kafka_offset", Arc::new(rows.iter().map(|r| Some(r.offset)).collect::<Int64Array>())),
        ("kind", symbol(rows.iter().map(|r| r.kind).collect())),
        ("sold_at", Arc::new(times.with_timezone("UTC"))),
        ("shop_name", symbol(rows.iter().map(|r| r.shop).collect())),
        ("status", status),
        ("cents", Arc::new(rows.iter().map(|r| r.cents).collect::<Int64Array>())),
        ("pieces", Arc::new(rows.iter().map(|r| r.pieces).collect::<Int64Array>())),
        ("kafka_partition", Arc::new(rows.iter().map(|r| Some(r.partition)).collect::<Int32Array>())),
    ];
    let schema = Schema::new(columns.iter().map(|(n, a)| Field::new(*n, a.data_type().clone(), true)).collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), columns.into_iter().map(|(_, a)| a).collect()).unwrap()
}

pub(crate) type Cells = BTreeMap<(u16, i64, Vec<String>), i128>;

/// One row at a time, straight from the declaration's words.
pub(crate) fn counted(rows: &[Row], span: &Span) -> (u64, Option<i64>, Cells) {
    let (mut n, mut newest, mut cells) = (0, None, Cells::new());
    for row in rows {
        let inside = row.partition == span.partition && span.from <= row.offset && row.offset < span.to;
        let (true, Status::Ok, Some(at)) = (inside, row.status, row.at_us) else { continue };
        n += 1;
        let ms = (at - at.rem_euclid(1_000)) / 1_000;
        newest = newest.max(Some(ms));
        let start = |every: i64| ms - ms.rem_euclid(every);
        let mut add = |window: u16, every: i64, group: &[Option<&str>], amount: i128| {
            let group: Option<Vec<String>> = group.iter().map(|g| g.map(str::to_owned)).collect();
            if let Some(group) = group {
                *cells.entry((window, start(every), group)).or_default() += amount;
            }
        };
        add(0, 60_000, &[row.kind, row.shop], 1);
        if matches!(row.kind, Some("a" | "b")) {
            add(1, 90_000, &[row.kind], row.cents.unwrap_or(0).into());
        }
        if row.kind == Some("a") {
            add(2, 3_600_000, &[], row.pieces.unwrap_or(0).into());
        }
        add(3, 86_400_000, &[], 1);
    }
    (n, newest, cells)
}

pub(crate) fn plain_cells(delta: &PartitionDelta) -> Cells {
    delta.cells.iter().map(|(k, n)| ((k.window, k.start_ms, k.group.iter().map(|g| g.to_string()).collect()), *n)).collect()
}

pub(crate) fn add(sum: &mut Cells, cells: Cells) {
    for (key, amount) in cells {
        *sum.entry(key).or_default() += amount;
    }
}
