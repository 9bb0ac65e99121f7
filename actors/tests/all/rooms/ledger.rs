//! `offset_ledger` alone.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr};
use tributary_actors::gate::Gate;
use tributary_actors::kafka_consumer::Control;
use tributary_actors::messages::{Ack, Cause, Drain, Durable};
use tributary_actors::offset_ledger::{Config, OffsetLedger};
use tributary_actors::progress::Progress;
use tributary_actors::room::Pulse;
use tributary_core::span::{Leg, Legs, Span};

use super::in_system;
use crate::common::probe::{Ears, answer, ears, span};
use crate::common::until;

fn open(stall_after: Duration, commits_to_group: bool) -> (Addr<OffsetLedger>, Progress, Ears) {
    let (reports, control, ears) = ears();
    let progress = Progress::default();
    let config = Config { stream: "payments".into(), legs: Legs::BOTH, stall_after, commits_to_group };
    let ledger = OffsetLedger::new(
        config,
        progress.clone(),
        Gate::new(1000, 1 << 20),
        control,
        reports,
        Pulse::new("user_events", "offset_ledger"),
    );
    (ledger.start(), progress, ears)
}

fn durable(leg: Leg, span: Span) -> Durable {
    Durable { generation: 7, leg, spans: vec![span] }
}

#[test]
fn the_group_is_told_what_both_legs_have() {
    in_system(async {
        let (ledger, progress, ears) = open(Duration::from_secs(60), true);
        progress.assigned(0, 10, [10, 20]);
        progress.assigned(1, 0, [0, 0]);
        ledger.try_send(durable(Leg::Bronze, span(0, 10, 90, 10))).unwrap();
        ledger.try_send(durable(Leg::Serving, span(0, 20, 50, 20))).unwrap();
        ledger.try_send(durable(Leg::Bronze, span(1, 0, 9, 0))).unwrap();
        let mut stale = durable(Leg::Serving, span(0, 50, 80, 20));
        stale.generation = 6;
        ledger.try_send(stale).unwrap();
        let (done, answers) = Ack::channel();
        ledger.try_send(Drain { done }).unwrap();
        answer(&answers).await;
        let Ok(Control::Commit(offsets)) = ears.control.try_recv() else { panic!("no commit before the answer") };
        assert_eq!(offsets, [(0, 50), (1, 0)]);
        // The same again is not told again.
        let (done, answers) = Ack::channel();
        ledger.try_send(Drain { done }).unwrap();
        answer(&answers).await;
        assert!(ears.control.try_recv().is_err());
    });
}

#[test]
fn a_pipeline_that_catches_up_tells_the_group_nothing() {
    in_system(async {
        let (ledger, progress, ears) = open(Duration::from_secs(60), false);
        progress.assigned(0, 0, [0, 0]);
        ledger.try_send(durable(Leg::Serving, span(0, 0, 50, 0))).unwrap();
        let (done, answers) = Ack::channel();
        ledger.try_send(Drain { done }).unwrap();
        answer(&answers).await;
        assert!(ears.control.try_recv().is_err());
    });
}

#[test]
fn the_leg_that_owes_and_does_nothing_is_named() {
    in_system(async {
        let (ledger, progress, mut ears) = open(Duration::from_millis(300), false);
        progress.assigned(0, 0, [0, 0]);
        progress.sealed(&[span(0, 0, 50, 0)], Legs::BOTH);
        ledger.try_send(durable(Leg::Bronze, span(0, 0, 50, 0))).unwrap();
        let (room, cause) = ears.trouble().await;
        assert_eq!((room, cause), ("offset_ledger", Cause::Stalled(Leg::Serving)));
        // A little is enough to be believed again.
        ledger.try_send(durable(Leg::Serving, span(0, 0, 50, 0))).unwrap();
        until("it took the report", || progress.stalled_since(Leg::Serving).is_none()).await;
        while ears.events.try_recv().is_ok() {}
        tokio::time::sleep(Duration::from_millis(600)).await;
        ears.quiet();
    });
}

#[test]
fn a_shut_gate_shortens_the_patience() {
    in_system(async {
        let (reports, control, mut ears) = ears();
        let (progress, gate) = (Progress::default(), Gate::new(1000, 1 << 20));
        let config = Config {
            stream: "payments".into(),
            legs: Legs::BOTH,
            stall_after: Duration::from_secs(3600),
            commits_to_group: false,
        };
        let pulse = Pulse::new("user_events", "offset_ledger");
        let _ledger = OffsetLedger::new(config, progress.clone(), Arc::clone(&gate), control, reports, pulse).start();
        progress.assigned(0, 0, [0, 0]);
        progress.sealed(&[span(0, 0, 50, 0)], Legs::only(Leg::Serving));
        let _full = gate.admit(950, 10, Duration::ZERO).unwrap();
        let (_, cause) = ears.trouble().await;
        assert!(matches!(cause, Cause::Stalled(_)), "{cause:?}");
    });
}
