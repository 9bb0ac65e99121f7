//! Laws, for whatever rows and spans.

use proptest::prelude::*;
use tributary_core::span::{Broken, Leg, Span};
use tributary_core::window::{Folder, PartitionDelta};

use crate::sales::{Cells, Row, add, batch, counted, plain_cells, rows, spans, stream};

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
