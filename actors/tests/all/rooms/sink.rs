//! `postgres_sink` alone, before a real PostgreSQL.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr};
use tributary_actors::gate::{Gate, Load};
use tributary_actors::messages::{Ack, Cause, Drain, Durable, Fence, WindowBatch};
use tributary_actors::postgres_sink::{Config, PostgresSink};
use tributary_actors::room::Pulse;
use tributary_actors::serving::merge::Target;
use tributary_actors::serving::{connect, prepare};
use tributary_actors::sink::Edges;
use tributary_core::span::{Leg, Span};
use tributary_core::window::Folder;

use super::in_system;
use super::writer_setup::NEVER;
use crate::common::payments::{batch, stream, windows};
use crate::common::postgres::{Database, Server, database};
use crate::common::probe::{Ears, Kept, Probe, answer, durable, ears, span};
use crate::common::proxy::Proxy;
use crate::common::until;

struct Sink {
    gate: Arc<Gate>,
    addr: Addr<PostgresSink>,
    durable: Kept<Durable>,
    ears: Ears,
}

fn open(url: &str, merge: Duration) -> Sink {
    let (probe, durable) = Probe::<Durable>::open();
    let (reports, consumer, ears) = ears();
    let gate = Gate::new(100_000, 1 << 30);
    let edges = Edges { gate: Arc::clone(&gate), ledger: probe.recipient(), consumer, reports };
    let config = Config { stream: stream(), incarnation: 1, database_url: url.to_owned(), merge };
    let addr = PostgresSink::new(config, edges, Pulse::new("user_events", "postgres_sink")).start();
    Sink { gate, addr, durable, ears }
}

async fn prepared() -> Option<Database> {
    let database = database().await?;
    prepare(&database.url, &stream()).await.unwrap();
    Some(database)
}

/// What an aggregator would send of these spans, already cut to the floor.
fn folded(spans: &[Span]) -> WindowBatch {
    let stream = stream();
    let spans: Vec<Span> = spans.iter().map(|s| s.above_floor(Leg::Serving)).collect();
    let ranges: Vec<(i32, Range<i64>)> = spans.iter().map(|s| (s.partition, s.from..s.to)).collect();
    let deltas = Folder::new(Arc::clone(&stream)).fold(&batch(&stream, &ranges).rows, &spans).unwrap();
    WindowBatch { generation: 7, deltas, oldest_record_ms: None }
}

impl Sink {
    fn send(&self, spans: &[Span]) {
        self.addr.try_send(folded(spans)).unwrap();
    }

    async fn drain(&self) {
        let (done, answers) = Ack::channel();
        self.addr.try_send(Drain { done }).unwrap();
        assert_eq!(answer(&answers).await, Leg::Serving);
    }

    async fn empty(&self) {
        until("credit comes back", || self.gate.load() == Load::default()).await;
    }
}

fn epoch(n: u32, span: Span) -> Span {
    Span { epoch: n, ..span }
}

#[test]
fn deltas_become_rows_once_and_a_fence_is_answered_behind_them() {
    in_system(async {
        let Some(database) = prepared().await else { return };
        let mut sink = open(&database.url, NEVER);
        sink.send(&[span(0, 0, 50, 0), span(1, 7, 20, 7)]);
        sink.send(&[span(0, 50, 90, 0)]);
        until("it is held and charged", || sink.gate.load().bytes > 0).await;
        assert!(database.offsets().await.is_empty(), "nothing is merged before its time");
        let (done, answers) = Ack::channel();
        sink.addr.try_send(Fence { partitions: [(0, 1)].into(), done }).unwrap();
        answer(&answers).await;
        assert_eq!(durable(&sink.durable), ["0:[0, 90)", "1:[7, 20)"]);
        assert_eq!(database.windows(&stream()).await, windows(&[(0, 0..90), (1, 7..20)]));
        sink.empty().await;
        sink.ears.quiet();
    });
}

#[test]
fn deltas_are_merged_every_so_often() {
    in_system(async {
        let Some(database) = prepared().await else { return };
        let sink = open(&database.url, Duration::from_millis(20));
        for n in 0..20 {
            sink.send(&[span(0, n * 10, n * 10 + 10, 0)]);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        until("all is durable", || durable(&sink.durable).last().is_some_and(|s| s.ends_with(", 200)"))).await;
        assert_eq!(database.windows(&stream()).await, windows(&[(0, 0..200)]));
        sink.empty().await;
    });
}

#[test]
fn another_generation_and_an_older_epoch_are_ignored() {
    in_system(async {
        let Some(database) = prepared().await else { return };
        let mut sink = open(&database.url, NEVER);
        let mut stale = folded(&[span(0, 0, 40, 0)]);
        stale.generation = 6;
        sink.addr.try_send(stale).unwrap();
        sink.send(&[epoch(3, span(0, 0, 10, 0))]);
        sink.send(&[epoch(2, span(0, 10, 30, 0)), epoch(2, span(1, 0, 5, 0))]);
        sink.drain().await;
        assert_eq!(database.windows(&stream()).await, windows(&[(0, 0..10), (1, 0..5)]));
        assert_eq!(database.offsets().await, ["0:10", "1:5"]);
        sink.ears.quiet();
    });
}

#[test]
fn what_is_held_of_an_older_epoch_is_forgotten_when_a_newer_one_reads_it_again() {
    in_system(async {
        let Some(database) = prepared().await else { return };
        let mut sink = open(&database.url, NEVER);
        sink.send(&[span(0, 0, 60, 0), span(1, 0, 10, 0)]);
        sink.send(&[epoch(2, span(0, 0, 30, 0))]);
        sink.drain().await;
        assert_eq!(database.windows(&stream()).await, windows(&[(0, 0..30), (1, 0..10)]));
        sink.empty().await;
        sink.ears.quiet();
    });
}

#[test]
fn a_broken_chain_is_trouble() {
    for broken in [span(0, 11, 20, 0), span(0, 9, 20, 0)] {
        in_system(async {
            let Some(database) = prepared().await else { return };
            let mut sink = open(&database.url, NEVER);
            sink.send(&[span(0, 0, 10, 0)]);
            sink.send(&[broken]);
            let (room, cause) = sink.ears.trouble().await;
            assert!(room == "postgres_sink" && matches!(cause, Cause::ChainBroken(_)), "{room}: {cause:?}");
            assert!(database.offsets().await.is_empty());
        });
    }
}

#[test]
fn a_first_span_above_the_floor_is_a_broken_chain() {
    in_system(async {
        let Some(database) = prepared().await else { return };
        let mut sink = open(&database.url, NEVER);
        sink.send(&[span(0, 5, 10, 3)]);
        assert!(matches!(sink.ears.trouble().await.1, Cause::ChainBroken(_)));
    });
}

#[test]
fn a_foreign_partition_is_read_again_and_the_others_are_not_touched() {
    in_system(async {
        let Some(database) = prepared().await else { return };
        let mut sink = open(&database.url, NEVER);
        let mut stranger = connect(&database.url).await.unwrap();
        Target::new(stream(), 1).merge(&mut stranger, &folded(&[span(0, 0, 25, 0)]).deltas).await.unwrap();
        sink.send(&[span(0, 0, 10, 0), span(1, 0, 10, 0)]);
        sink.drain().await;
        assert_eq!(sink.ears.reread().await, [0]);
        assert_eq!(durable(&sink.durable), ["1:[0, 10)"]);
        // Still on its way under the old epoch, then read again from where PostgreSQL is.
        sink.send(&[span(0, 10, 40, 0), span(1, 10, 12, 0)]);
        sink.send(&[epoch(2, span(0, 25, 33, 25))]);
        sink.drain().await;
        assert_eq!(database.windows(&stream()).await, windows(&[(0, 0..33), (1, 0..12)]));
        sink.empty().await;
        sink.ears.quiet();
    });
}

#[test]
fn lost_answers_and_lost_commits_change_nothing() {
    in_system(async {
        let Some(database) = prepared().await else { return };
        let port = database.url.rsplit(':').next().unwrap().split('/').next().unwrap();
        let proxy = Proxy::to(port.parse().unwrap());
        let mut sink = open(&database.url.replace(port, &proxy.port.to_string()), NEVER);
        for n in 0..8 {
            if n % 2 == 0 {
                proxy.lose_the_next_answer()
            } else {
                proxy.lose_the_next_commit()
            }
            sink.send(&[span(0, n * 10, n * 10 + 10, 0), span(1, n * 3, n * 3 + 3, 0)]);
            sink.drain().await;
            assert_eq!(database.windows(&stream()).await, windows(&[(0, 0..n * 10 + 10), (1, 0..n * 3 + 3)]), "step {n}");
        }
        assert_eq!(proxy.cuts(), 8);
        assert_eq!(durable(&sink.durable).len(), 16, "each span is reported once");
        assert!(sink.ears.control.try_recv().is_err(), "nothing was read again");
        sink.empty().await;
        sink.ears.quiet();
    });
}

#[test]
fn while_postgresql_is_away_deltas_add_up_and_nobody_is_told_that_they_are_durable() {
    in_system(async {
        let Some(server) = Server::new() else { return println!("SKIPPED: no PostgreSQL in /usr/lib/postgresql") };
        server.start();
        let database = server.database().await;
        prepare(&database.url, &stream()).await.unwrap();
        let mut sink = open(&database.url, Duration::from_millis(20));
        sink.send(&[span(0, 0, 10, 0)]);
        sink.drain().await;
        server.stop();
        for n in 1..50 {
            sink.send(&[span(0, n * 10, n * 10 + 10, 0)]);
        }
        let (done, answers) = Ack::channel();
        sink.addr.try_send(Drain { done }).unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(answers.try_recv().is_err() && sink.durable.len() == 1);
        assert!(sink.gate.load().bytes > 0, "what is held is charged");
        server.start();
        answer(&answers).await;
        assert_eq!(database.windows(&stream()).await, windows(&[(0, 0..500)]));
        sink.empty().await;
        sink.ears.quiet();
    });
}

#[test]
fn a_database_that_is_not_ours_is_fatal() {
    in_system(async {
        let Some(database) = database().await else { return };
        let mut sink = open(&database.url, Duration::from_millis(20));
        sink.send(&[span(0, 0, 10, 0)]);
        let (room, cause) = sink.ears.trouble().await;
        assert!(room == "postgres_sink" && matches!(cause, Cause::Fatal(_)), "no tables: {cause:?}");
    });
}
