//! `window_aggregator` alone.

use std::sync::Arc;

use actix::{Actor, Addr};
use tributary_actors::gate::{Gate, Load};
use tributary_actors::messages::{Ack, Cause, Drain, Fence, WindowBatch};
use tributary_actors::room::Pulse;
use tributary_actors::window_aggregator::{Edges, WindowAggregator};
use tributary_core::span::Span;

use super::{full, in_system, sparse, watch_credit};
use crate::common::payments::{Windows, stream, windows};
use crate::common::probe::{Ears, Kept, Probe, ears, span};
use crate::common::until;

struct Room {
    gate: Arc<Gate>,
    addr: Addr<WindowAggregator>,
    folded: Kept<WindowBatch>,
    fences: Kept<Fence>,
    drains: Kept<Drain>,
    ears: Ears,
}

impl Room {
    fn open() -> Self {
        let (sink, folded) = Probe::<WindowBatch>::open();
        let (fence, fences) = Probe::<Fence>::open();
        let (drain, drains) = Probe::<Drain>::open();
        let (reports, _, ears) = ears();
        let edges = Edges {
            sink: sink.recipient(),
            fences: fence.recipient(),
            drains: drain.recipient(),
            sink_pulse: Pulse::new("user_events", "postgres_sink"),
        };
        let addr = WindowAggregator::new(stream(), edges, reports, Pulse::new("user_events", "window_aggregator")).start();
        Self { gate: Gate::new(100_000, 1 << 30), addr, folded, fences, drains, ears }
    }

    /// What all deltas add up to, as the window tables would say it.
    fn sum(&self) -> Windows {
        let stream = stream();
        let mut sum = Windows::new();
        for (key, amount) in self.folded.all().iter().flat_map(|b| &b.deltas).flat_map(|d| &d.cells) {
            let table = ["payments_per_minute", "turnover_per_hour"][usize::from(key.window)];
            assert_eq!(table, stream.windows[usize::from(key.window)].table);
            let group = key.group.iter().map(|g| g.to_string()).collect();
            *sum.entry((table, key.start_ms, group)).or_default() += *amount;
        }
        sum
    }
}

#[test]
fn rows_below_the_serving_floor_are_cut_before_they_are_folded() {
    in_system(async {
        let mut room = Room::open();
        let floor = |serving, span: Span| Span { floor: [0, serving], ..span };
        room.addr.try_send(full(&room.gate, &[floor(130, span(0, 0, 100, 0)), span(1, 0, 40, 0)])).unwrap();
        room.addr.try_send(full(&room.gate, &[floor(130, span(0, 100, 200, 0))])).unwrap();
        until("both are folded", || room.folded.len() == 2).await;
        let spans: Vec<String> = room.folded.all().iter().flat_map(|b| &b.deltas).map(|d| d.span.to_string()).collect();
        assert_eq!(spans, ["0:[130, 130)", "1:[0, 40)", "0:[130, 200)"]);
        assert_eq!(room.sum(), windows(&[(0, 130..200), (1, 0..40)]));
        room.ears.quiet();
    });
}

#[test]
fn another_generation_is_ignored() {
    in_system(async {
        let room = Room::open();
        let mut stale = full(&room.gate, &[span(0, 0, 50, 0)]);
        stale.generation = 6;
        room.addr.try_send(stale).unwrap();
        room.addr.try_send(full(&room.gate, &[span(0, 0, 20, 0)])).unwrap();
        until("one is folded", || room.folded.len() == 1 && room.gate.load() == Load::default()).await;
        assert_eq!(room.sum(), windows(&[(0, 0..20)]));
    });
}

#[test]
fn a_batch_without_a_row_that_counts_moves_the_offsets_all_the_same() {
    in_system(async {
        let room = Room::open();
        // Offset 6 is malformed, and a hole follows.
        room.addr.try_send(sparse(&room.gate, &[span(0, 6, 30, 6)], &[(0, 6..7)])).unwrap();
        until("it is folded", || room.folded.len() == 1).await;
        let folded = room.folded.all();
        assert_eq!((folded[0].deltas[0].span.to_string(), folded[0].deltas[0].rows), ("0:[6, 30)".to_owned(), 0));
        assert!(folded[0].deltas[0].cells.is_empty());
    });
}

#[test]
fn fences_and_drains_come_behind_the_deltas() {
    in_system(async {
        let room = Room::open();
        let (done, _answers) = Ack::channel();
        room.addr.try_send(full(&room.gate, &[span(0, 0, 5_000, 0)])).unwrap();
        room.addr.try_send(Fence { partitions: [(0, 1)].into(), done: done.clone() }).unwrap();
        room.addr.try_send(Drain { done }).unwrap();
        until("both came", || room.fences.len() == 1 && room.drains.len() == 1).await;
        assert_eq!(room.folded.len(), 1);
    });
}

#[test]
fn rows_of_another_schema_are_fatal() {
    in_system(async {
        let mut room = Room::open();
        let mut batch = full(&room.gate, &[span(0, 0, 5, 0)]);
        let mut other = (*batch.batch).clone();
        other.rows = other.rows.project(&[0, 1]).unwrap();
        batch.batch = Arc::new(other);
        room.addr.try_send(batch).unwrap();
        let (room_name, cause) = room.ears.trouble().await;
        assert!(room_name == "window_aggregator" && matches!(cause, Cause::Fatal(_)), "{cause:?}");
    });
}

#[test]
fn credit_is_held_until_the_rows_are_folded_and_all_of_it_comes_back() {
    in_system(async {
        let room = Room::open();
        let batch = full(&room.gate, &[span(0, 0, 50_000, 0)]);
        let watched = watch_credit(&room.gate, &batch.batch);
        room.addr.try_send(batch).unwrap();
        until("it is folded", || watched.is_finished()).await;
        watched.join().unwrap().expect("rows were in memory without credit");
        until("credit comes back", || room.gate.load() == Load::default()).await;
    });
}
