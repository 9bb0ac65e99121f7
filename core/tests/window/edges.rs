//! Single cases that a person would ask about.

use std::sync::Arc;

use arrow_array::{Array, RecordBatch};
use arrow_schema::{Field, Schema};
use tributary_core::batch::Status;
use tributary_core::span::Span;
use tributary_core::stream::Measure;
use tributary_core::window::{Folder, PartitionDelta};

use crate::sales::{Cells, Row, batch, plain_cells, stream};

/// The declaration is read as it is meant here.
#[test]
fn the_declaration_is_the_one_that_is_counted_by_hand() {
    let stream = stream();
    let every: Vec<i64> = stream.windows.iter().map(|w| w.every_ms).collect();
    assert_eq!(every, [60_000, 90_000, 3_600_000, 86_400_000]);
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
        let event_time = &stream().fields[stream().event_time].column;
        if ["kafka_partition", "kafka_offset", "status", event_time].contains(&field.name().as_str()) {
            let error = folder.fold(&without, &[WHOLE]).unwrap_err().to_string();
            assert!(error.contains(field.name()) && error.contains("sales"), "{error}");
        } else {
            // It was declared after these rows were written.
            let deltas = folder.fold(&without, &[WHOLE]).unwrap();
            let of_it = |n: &usize| stream().fields[*n].column == *field.name();
            for (key, amount) in &deltas[0].cells {
                let window = &stream().windows[usize::from(key.window)];
                assert!(!window.group_by.iter().any(of_it), "{key:?} is of a group that nobody knows");
                assert!(!window.filter.iter().any(|(n, _)| of_it(n)), "{key:?} passed a filter of what it has not");
                if let Measure::Sum { field, .. } = &window.measure
                    && of_it(field)
                {
                    assert_eq!(*amount, 0, "{key:?}");
                }
            }
            assert_eq!(deltas[0].rows, 1);
        }
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
