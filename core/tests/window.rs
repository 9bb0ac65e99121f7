//! Windows against brute force: whatever the rows, spans and declarations, deltas are what counting one row at a time gives.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // a panic in a test is a red test

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
use tributary_core::span::{Broken, Leg, Span};
use tributary_core::stream::Stream;
use tributary_core::window::{Folder, PartitionDelta};

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

fn stream() -> Arc<Stream> {
    Arc::new(Stream::parse(DECLARATION, "sales.toml").unwrap())
}

#[derive(Debug, Clone)]
struct Row {
    partition: i32,
    offset: i64,
    status: Status,
    kind: Option<&'static str>,
    shop: Option<&'static str>,
    cents: Option<i64>,
    pieces: Option<i64>,
    at_us: Option<i64>,
}

fn rows(offsets: Range<i64>) -> impl Strategy<Value = Vec<Row>> {
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

fn spans() -> impl Strategy<Value = Vec<Span>> {
    let one = |partition| {
        proptest::option::weighted(0.85, (0..100_i64, 0..60_i64, 0..130_i64)).prop_map(move |s| {
            s.map(|(from, length, floor)| Span { partition, epoch: 1, from, to: from + length, floor: [0, floor] })
        })
    };
    (one(2), one(0), one(1)).prop_map(|(a, b, c)| [a, b, c].into_iter().flatten().collect())
}

/// Plain columns, as the lake gives them back, or dictionaries, as the decoder makes them.
fn batch(rows: &[Row], plain: bool) -> RecordBatch {
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

type Cells = BTreeMap<(u16, i64, Vec<String>), i128>;

/// One row at a time, straight from the declaration's words.
fn counted(rows: &[Row], span: &Span) -> (u64, Option<i64>, Cells) {
    let (mut n, mut newest, mut cells) = (0, None, Cells::new());
    for row in rows {
        let inside = row.partition == span.partition && span.from <= row.offset && row.offset < span.to;
        let (true, Status::Ok, Some(at)) = (inside, row.status, row.at_us) else { continue };
        n += 1;
        let ms = (at as f64 / 1000.0).floor() as i64;
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

fn plain_cells(delta: &PartitionDelta) -> Cells {
    delta.cells.iter().map(|(k, n)| ((k.window, k.start_ms, k.group.iter().map(|g| g.to_string()).collect()), *n)).collect()
}

fn add(sum: &mut Cells, cells: Cells) {
    for (key, amount) in cells {
        *sum.entry(key).or_default() += amount;
    }
}

/// The declaration is read as it is meant here.
#[test]
fn the_declaration_is_the_one_that_is_counted_by_hand() {
    let stream = stream();
    let every: Vec<i64> = stream.windows.iter().map(|w| w.every_ms).collect();
    assert_eq!(every, [60_000, 90_000, 3_600_000, 86_400_000]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn deltas_are_what_counting_gives(rows in rows(0..150), spans in spans()) {
        let folder = Folder::new(stream());
        for plain in [false, true] {
            let deltas = folder.fold(&batch(&rows, plain), &spans).unwrap();
            prop_assert_eq!(deltas.len(), spans.len());
            for (delta, span) in deltas.iter().zip(&spans) {
                prop_assert_eq!(delta.span, *span);
                prop_assert_eq!((delta.rows, delta.newest_event_ms, plain_cells(delta)), counted(&rows, span));
            }
        }
    }

    #[test]
    fn a_floor_takes_away_exactly_what_is_below_it(rows in rows(0..150), spans in spans()) {
        let folder = Folder::new(stream());
        let cut: Vec<Span> = spans.iter().map(|s| s.above_floor(Leg::Serving)).collect();
        for (span, whole) in cut.iter().zip(&spans) {
            prop_assert_eq!(span.above_floor(Leg::Serving), *span, "cutting twice cuts once");
            prop_assert_eq!(whole.above_floor(Leg::Bronze), *whole, "the other leg's floor is another one");
        }
        let above = |r: &&Row| spans.iter().any(|s| s.partition == r.partition && s.floor[1] <= r.offset);
        let remaining: Vec<Row> = rows.iter().filter(above).cloned().collect();
        for (delta, whole) in folder.fold(&batch(&rows, false), &cut).unwrap().iter().zip(&spans) {
            prop_assert_eq!(plain_cells(delta), counted(&remaining, whole).2);
        }
    }

    #[test]
    fn folding_in_parts_is_folding_the_whole(a in rows(0..150), b in rows(0..150), at in 0..100_i64, spans in spans()) {
        let folder = Folder::new(stream());
        let whole: Vec<Row> = a.iter().chain(&b).cloned().collect();
        // By rows: each part under the same spans.
        for (n, span) in spans.iter().enumerate() {
            let mut sum = Cells::new();
            for part in [&a, &b] {
                add(&mut sum, plain_cells(&folder.fold(&batch(part, false), &spans).unwrap()[n]));
            }
            prop_assert_eq!(&sum, &counted(&whole, span).2);
        }
        // By offsets: spans that touch.
        for span in &spans {
            let at = at.clamp(span.from, span.to);
            let [first, second] = [Span { to: at, ..*span }, Span { from: at, ..*span }];
            let fold = |s: Span| folder.fold(&batch(&whole, true), &[s]).unwrap().remove(0);
            let (mut sum, later) = (fold(first), fold(second));
            let before = sum.clone();
            if !first.is_empty() {
                let gap = PartitionDelta { span: Span { from: at + 1, ..later.span }, ..later.clone() };
                prop_assert_eq!(sum.absorb(gap), Err(Broken::Gap { partition: span.partition, expected: at, got: at + 1 }));
                let overlap = PartitionDelta { span: Span { from: at - 1, ..later.span }, ..later.clone() };
                prop_assert_eq!(sum.absorb(overlap), Err(Broken::Overlap { partition: span.partition, expected: at, got: at - 1 }));
                prop_assert_eq!(&sum, &before, "what is refused changes nothing");
            }
            sum.absorb(later).unwrap();
            prop_assert_eq!((sum.rows, sum.newest_event_ms, plain_cells(&sum)), counted(&whole, span));
            prop_assert_eq!((sum.span.from, sum.span.to), (span.from, span.to));
        }
    }
}

fn sale(offset: i64, kind: &'static str, cents: i64, at_us: i64) -> Row {
    Row {
        partition: 0,
        offset,
        status: Status::Ok,
        kind: Some(kind),
        shop: Some("x"),
        cents: Some(cents),
        pieces: Some(1),
        at_us: Some(at_us),
    }
}

const WHOLE: Span = Span { partition: 0, epoch: 1, from: 0, to: i64::MAX, floor: [0, 0] };

fn cells(rows: &[Row]) -> Cells {
    plain_cells(&Folder::new(stream()).fold(&batch(rows, false), &[WHOLE]).unwrap()[0])
}

#[test]
fn sums_leave_64_bits_on_both_sides() {
    let rows: Vec<Row> = (0..3).map(|n| sale(n, "a", i64::MAX, 0)).chain((3..8).map(|n| sale(n, "b", i64::MIN, 0))).collect();
    let cells = cells(&rows);
    assert_eq!(cells[&(1, 0, vec!["a".to_owned()])], 3 * i128::from(i64::MAX));
    assert_eq!(cells[&(1, 0, vec!["b".to_owned()])], 5 * i128::from(i64::MIN));
}

#[test]
fn a_time_before_1970_is_in_the_interval_that_began_before_it() {
    let found = cells(&[sale(0, "c", 1, -1), sale(1, "c", 1, 0), sale(2, "c", 1, -60_000_000), sale(3, "c", 1, -60_000_001)]);
    let per_minute: Vec<(i64, i128)> =
        found.iter().filter(|((w, ..), _)| *w == 0).map(|((_, start, _), n)| (*start, *n)).collect();
    assert_eq!(per_minute, [(-120_000, 1), (-60_000, 2), (0, 1)]);
}

#[test]
fn a_late_row_is_one_more_addition() {
    let minute = 60_000_000;
    let found = cells(&[sale(0, "c", 1, 5 * minute), sale(1, "c", 1, 6 * minute), sale(2, "c", 1, 5 * minute + 1)]);
    let key = |start| (0, start, vec!["c".to_owned(), "x".to_owned()]);
    assert_eq!((found[&key(300_000)], found[&key(360_000)]), (2, 1));
}

#[test]
fn a_null_in_a_group_leaves_out_only_the_windows_that_group_by_it() {
    let found = cells(&[Row { shop: None, ..sale(0, "a", 7, 0) }]);
    let windows: Vec<u16> = found.keys().map(|(w, ..)| *w).collect();
    assert_eq!(windows, [1, 2, 3]);
}

#[test]
fn a_column_that_is_missing_or_of_another_type_is_named() {
    let folder = Folder::new(stream());
    let rows = batch(&[sale(0, "a", 1, 0)], false);
    for (at, field) in rows.schema().fields().iter().enumerate() {
        let mut without = rows.clone();
        without.remove_column(at);
        let error = folder.fold(&without, &[WHOLE]).unwrap_err().to_string();
        assert!(error.contains(field.name()) && error.contains("sales"), "{error}");
        let mut columns = rows.columns().to_vec();
        columns[at] = Arc::new(arrow_array::BooleanArray::from(vec![true]));
        let fields: Vec<_> =
            rows.schema().fields().iter().zip(&columns).map(|(f, c)| Field::new(f.name(), c.data_type().clone(), true)).collect();
        let other = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
        let error = folder.fold(&other, &[WHOLE]).unwrap_err().to_string();
        assert!(error.contains(field.name()) && error.contains("Boolean"), "{error}");
    }
}

#[test]
fn no_rows_are_still_a_span() {
    let folder = Folder::new(stream());
    let empty = RecordBatch::new_empty(Arc::new(Schema::empty()));
    let deltas = folder.fold(&empty, &[WHOLE]).unwrap();
    assert_eq!(deltas, [PartitionDelta::empty(WHOLE)]);
}
