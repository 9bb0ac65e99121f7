//! `delta_writer` alone.

use std::sync::Arc;
use std::time::Duration;

use tributary_actors::lake::delta_log::{Commit, Kind, Move};
use tributary_actors::lake::offsets::ingest_app;
use tributary_actors::messages::Cause;
use tributary_core::span::Span;

use super::writer_setup::{NEVER, Writer};
use super::{full, in_system, sparse, watch_credit};
use crate::common::intercepted::Valve;
use crate::common::lake::{Table, files, rows, verify_chain, versions};
use crate::common::payments::stream;
use crate::common::probe::{answer, durable, span};
use crate::common::until;

fn offsets(partition: i32, range: std::ops::Range<i64>) -> Vec<(i32, i64)> {
    range.map(|offset| (partition, offset)).collect()
}

#[test]
fn rows_become_durable_once_and_the_ledger_hears_of_it() {
    in_system(async {
        let mut writer = Writer::open(NEVER).await;
        writer.send(full(&writer.gate, &[span(0, 0, 100, 0), span(1, 5, 9, 5)]));
        writer.send(full(&writer.gate, &[span(0, 100, 130, 0)]));
        writer.drain().await;
        assert_eq!(durable(&writer.durable), ["0:[0, 130)", "1:[5, 9)"]);
        assert_eq!(rows(&writer.table.store).await, [offsets(0, 0..130), offsets(1, 5..9)].concat());
        let log = verify_chain(&writer.table.store).await;
        assert_eq!((log["first/payments#1/1"], log[&ingest_app("payments", 1, 1)]), (5, 9));
        writer.empty().await;
        writer.ears.quiet();
    });
}

#[test]
fn a_small_batch_is_committed_when_it_is_old_enough() {
    in_system(async {
        let writer = Writer::open(Duration::from_millis(60)).await;
        writer.send(full(&writer.gate, &[span(0, 0, 10, 0)]));
        until("a commit by age", || durable(&writer.durable) == ["0:[0, 10)"]).await;
        writer.empty().await;
    });
}

#[test]
fn another_generation_is_ignored() {
    in_system(async {
        let mut writer = Writer::open(NEVER).await;
        for generation in [6, 8] {
            let mut stale = full(&writer.gate, &[span(0, 0, 10, 0)]);
            stale.generation = generation;
            writer.send(stale);
        }
        writer.send(full(&writer.gate, &[span(0, 0, 5, 0)]));
        writer.drain().await;
        assert_eq!(rows(&writer.table.store).await, offsets(0, 0..5));
        writer.empty().await;
        writer.ears.quiet();
    });
}

#[test]
fn what_travels_under_an_older_epoch_is_ignored() {
    in_system(async {
        let mut writer = Writer::open(NEVER).await;
        let epoch = |n, span: Span| Span { epoch: n, ..span };
        writer.send(full(&writer.gate, &[epoch(3, span(0, 0, 10, 0))]));
        writer.send(full(&writer.gate, &[epoch(2, span(0, 10, 20, 0)), span(1, 0, 4, 0)]));
        writer.drain().await;
        assert_eq!(durable(&writer.durable), ["0:[0, 10)", "1:[0, 4)"]);
        assert_eq!(rows(&writer.table.store).await, [offsets(0, 0..10), offsets(1, 0..4)].concat());
        writer.ears.quiet();
    });
}

#[test]
fn rows_below_the_floor_are_cut_before_they_are_encoded() {
    in_system(async {
        let mut writer = Writer::open(NEVER).await;
        let floor = |span: Span, bronze| Span { floor: [bronze, 0], ..span };
        writer.send(full(&writer.gate, &[floor(span(0, 10, 20, 0), 25), span(1, 0, 3, 0)]));
        writer.send(full(&writer.gate, &[floor(span(0, 20, 40, 0), 25)]));
        writer.drain().await;
        assert_eq!(durable(&writer.durable), ["0:[25, 40)", "1:[0, 3)"]);
        assert_eq!(rows(&writer.table.store).await, [offsets(0, 25..40), offsets(1, 0..3)].concat());
        writer.ears.quiet();
    });
}

#[test]
fn a_broken_chain_is_trouble_and_nothing_of_it_is_written() {
    for broken in [span(0, 11, 20, 0), span(0, 9, 20, 0)] {
        in_system(async {
            let mut writer = Writer::open(NEVER).await;
            writer.send(full(&writer.gate, &[span(0, 0, 10, 0)]));
            writer.send(full(&writer.gate, &[broken]));
            let (room, cause) = writer.ears.trouble().await;
            assert!(room == "delta_writer" && matches!(cause, Cause::ChainBroken(_)), "{room}: {cause:?}");
            assert_eq!(versions(&writer.table.store).await, [0]);
        });
    }
}

#[test]
fn a_fence_and_a_drain_are_answered_when_everything_before_them_is_durable() {
    in_system(async {
        let table = Table::beside(&stream()).await;
        let valve = Valve::over_files();
        let store = table.through(Arc::clone(&valve) as _);
        let writer = Writer::over(table, store, NEVER).await;
        writer.send(full(&writer.gate, &[span(0, 0, 10, 0)]));
        let fenced = writer.fence(&[(0, 1)]);
        until("the commit is under way", || valve.came() == 1).await;
        // Behind a commit in flight: the next cut is waited for as well.
        writer.send(full(&writer.gate, &[span(1, 0, 10, 0)]));
        let fenced_later = writer.fence(&[(1, 1)]);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(fenced.try_recv().is_err() && fenced_later.try_recv().is_err(), "nothing is durable yet");
        assert!(durable(&writer.durable).is_empty());
        assert!(writer.gate.load().bytes > 0, "what is under way is still charged");
        valve.open();
        answer(&fenced).await;
        assert!(durable(&writer.durable).contains(&"0:[0, 10)".to_owned()));
        answer(&fenced_later).await;
        assert_eq!(durable(&writer.durable), ["0:[0, 10)", "1:[0, 10)"]);
        writer.empty().await;
    });
}

#[test]
fn a_foreign_partition_is_read_again_and_what_is_under_way_is_dropped() {
    in_system(async {
        let mut writer = Writer::open(NEVER).await;
        let mut stranger = writer.stranger().await;
        let moved = Move { app: ingest_app("payments", 1, 0), expected: None, next: 50 };
        let theirs = Commit { moves: vec![moved], ..Commit::new("TEST", Kind::Note) };
        stranger.commit(&theirs).await.unwrap();

        writer.send(full(&writer.gate, &[span(0, 0, 10, 0), span(1, 0, 10, 0)]));
        writer.drain().await;
        assert_eq!(writer.ears.reread().await, [0, 1], "files mix partitions: all of them are read again");
        assert!(durable(&writer.durable).is_empty());

        // Still on its way under the old epoch.
        writer.send(full(&writer.gate, &[span(0, 10, 20, 0), span(1, 10, 20, 0)]));
        // Read again from where the stores are.
        let again = |s: Span| Span { epoch: 2, ..s };
        writer.send(full(&writer.gate, &[again(span(0, 50, 60, 50)), again(span(1, 0, 20, 0))]));
        writer.drain().await;
        assert_eq!(durable(&writer.durable), ["0:[50, 60)", "1:[0, 20)"]);
        assert_eq!(rows(&writer.table.store).await, [offsets(0, 50..60), offsets(1, 0..20)].concat());
        verify_chain(&writer.table.store).await;
        writer.empty().await;
        writer.ears.quiet();
    });
}

/// Another instance, or a person's skip, moved the partition before it came to us: the writer's head has not seen that yet.
#[test]
fn a_partition_that_was_handed_over_is_written_on_at_once() {
    in_system(async {
        let mut writer = Writer::open(NEVER).await;
        writer.send(full(&writer.gate, &[span(0, 0, 10, 0), span(1, 0, 10, 0)]));
        writer.drain().await;
        let mut stranger = writer.stranger().await;
        let moved = Move { app: ingest_app("payments", 1, 0), expected: Some(10), next: 40 };
        let theirs = Commit { moves: vec![moved], ..Commit::new("TEST", Kind::Note) };
        stranger.commit(&theirs).await.unwrap();
        writer.send(full(&writer.gate, &[Span { epoch: 2, ..span(0, 40, 50, 40) }, span(1, 10, 12, 0)]));
        writer.drain().await;
        assert_eq!(durable(&writer.durable)[2..], ["0:[40, 50)", "1:[10, 12)"]);
        assert!(writer.ears.control.try_recv().is_err(), "nothing is read again");
        writer.ears.quiet();
    });
}

#[test]
fn a_log_entry_that_nobody_understands_ends_it() {
    in_system(async {
        let mut writer = Writer::open(NEVER).await;
        std::fs::write(writer.table.root().join("_delta_log/00000000000000000001.json"), "{\"surprise\":{}}\n").unwrap();
        writer.send(full(&writer.gate, &[span(0, 0, 10, 0)]));
        writer.fence(&[(0, 1)]);
        let (room, cause) = writer.ears.trouble().await;
        let Cause::Fatal(why) = cause else { panic!("{room}: {cause:?}") };
        assert!(room == "delta_writer" && why.contains("version 1 of its log is not understood"), "{room}: {why}");
    });
}

#[test]
fn a_range_without_records_waits_for_the_next_one_to_extend_over_it() {
    in_system(async {
        let mut writer = Writer::open(Duration::from_millis(20)).await;
        writer.send(sparse(&writer.gate, &[span(0, 0, 10, 0)], &[]));
        writer.drain().await;
        assert_eq!(versions(&writer.table.store).await, [0], "a hole does not commit alone");
        writer.send(full(&writer.gate, &[span(0, 10, 14, 0)]));
        writer.drain().await;
        let tags: Vec<_> =
            files(&writer.table.store).await.into_iter().map(|f| f.tags.unwrap()["tributary.spans"].clone().unwrap()).collect();
        assert_eq!(tags, ["0:0-14:4"]);
        assert_eq!(rows(&writer.table.store).await, offsets(0, 10..14));
        // A hole behind the records of the same cut is covered with them.
        writer.send(sparse(&writer.gate, &[span(0, 14, 30, 0)], &[(0, 14..17)]));
        writer.drain().await;
        assert_eq!(verify_chain(&writer.table.store).await[&ingest_app("payments", 1, 0)], 30);
        writer.empty().await;
        writer.ears.quiet();
    });
}

#[test]
fn a_hole_in_front_of_a_revoked_partition_is_forgotten() {
    in_system(async {
        let mut writer = Writer::open(NEVER).await;
        writer.send(full(&writer.gate, &[span(0, 0, 10, 0)]));
        writer.drain().await;
        writer.send(sparse(&writer.gate, &[span(0, 10, 20, 0)], &[]));
        answer(&writer.fence(&[(0, 1)])).await;
        // Its next epoch begins at the table's own offset.
        writer.send(full(&writer.gate, &[Span { epoch: 2, ..span(0, 10, 25, 10) }]));
        writer.drain().await;
        assert_eq!(rows(&writer.table.store).await, offsets(0, 0..25));
        writer.ears.quiet();
    });
}

/// Transaction markers at the end of a quiet topic: nothing is owed, so nothing stalls.
#[test]
fn a_range_without_records_is_no_debt() {
    use actix::Actor;
    use tributary_actors::offset_ledger::{Config, OffsetLedger};
    use tributary_actors::progress::Progress;
    use tributary_core::span::{Leg, Legs};
    in_system(async {
        let table = Table::beside(&stream()).await;
        let store = table.store.clone();
        let progress = Progress::default();
        let (reports, control, mut ears) = crate::common::probe::ears();
        let legs = Legs::only(Leg::Bronze);
        let config = Config { stream: "payments".into(), legs, stall_after: Duration::from_millis(100), commits_to_group: false };
        let gate = tributary_actors::gate::Gate::new(1000, 1 << 20);
        let pulse = tributary_actors::room::Pulse::new("user_events", "offset_ledger");
        let ledger = OffsetLedger::new(config, progress.clone(), gate, control, reports, pulse).start();
        let (_, kept) = crate::common::probe::Probe::open();
        let writer = Writer::reporting_to(table, store, Duration::from_millis(20), ledger.recipient(), kept);
        progress.assigned(0, 0, [0, 0]);
        for (spans, records) in [([span(0, 0, 10, 0)], vec![(0, 0..9)]), ([span(0, 10, 12, 0)], vec![])] {
            progress.sealed(&spans, legs);
            writer.send(sparse(&writer.gate, &spans, &records));
            writer.drain().await;
        }
        tokio::time::sleep(Duration::from_millis(700)).await; // longer than two turns of the ledger and its patience
        ears.quiet();
    });
}

#[test]
fn credit_is_held_until_the_rows_are_encoded_and_all_of_it_comes_back() {
    in_system(async {
        let writer = Writer::open(NEVER).await;
        for n in 0..5 {
            let batch = full(&writer.gate, &[span(0, n * 20_000, n * 20_000 + 20_000, 0)]);
            let watched = watch_credit(&writer.gate, &batch.batch);
            writer.send(batch);
            until("the rows are encoded", || watched.is_finished()).await;
            let looks = watched.join().unwrap().expect("rows were in memory without credit");
            assert!(looks > 10, "{looks} looks");
            let load = writer.gate.load();
            assert!(load.rows == 0 && load.bytes > 0, "the encoded files are charged: {load:?}");
        }
        writer.drain().await;
        writer.empty().await;
    });
}
