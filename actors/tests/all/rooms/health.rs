//! What the supervisor sees of a room that is gone or stands still.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Arbiter};
use tributary_actors::delta_writer::{Config, DeltaWriter};
use tributary_actors::gate::{Gate, Load};
use tributary_actors::messages::Durable;
use tributary_actors::room::{Event, Pulse};
use tributary_actors::sink::Edges;

use super::writer_setup::NEVER;
use super::{full, in_system};
use crate::common::lake::Table;
use crate::common::payments::{TOPIC, stream};
use crate::common::probe::{Probe, ears, span};
use crate::common::until;

#[test]
fn a_panic_in_a_room_is_told_and_gives_its_credit_back() {
    in_system(async {
        let table = Table::beside(&stream()).await;
        let (reports, consumer, mut ears) = ears();
        let gate = Gate::new(100_000, 1 << 30);
        let (probe, _) = Probe::<Durable>::open();
        let edges = Edges { gate: Arc::clone(&gate), ledger: probe.recipient(), consumer, reports };
        let arbiter = Arbiter::new();
        let config = Config {
            stream: stream(),
            topic: TOPIC.to_owned(),
            incarnation: 1,
            store: table.store.clone(),
            flush: NEVER,
            file_bytes: 64 << 20,
            min_free_bytes: 0,
        };
        let writer = DeltaWriter::start_in_arbiter(&arbiter.handle(), move |_| {
            DeltaWriter::new(config, edges, Pulse::new("user_events", "delta_writer"))
        });
        writer.try_send(full(&gate, &[span(0, 0, 10, 0)])).unwrap();
        // Rows without the columns that the room relies on: a bug, and what a bug does.
        let mut broken = full(&gate, &[span(0, 10, 20, 0)]);
        let mut batch = (*broken.batch).clone();
        batch.rows = batch.rows.project(&[0]).unwrap();
        broken.batch = Arc::new(batch);
        writer.try_send(broken).unwrap();
        match ears.events.recv().await.unwrap() {
            Event::Down { room, generation, panicked } => assert_eq!((room, generation, panicked), ("delta_writer", 7, true)),
            other => panic!("{other:?}"),
        }
        until("credit comes back", || gate.load() == Load::default()).await;
        until("the mailbox is closed", || !writer.connected()).await;
        arbiter.stop();
    });
}

#[test]
fn a_room_that_ends_without_a_panic_is_told_as_such() {
    let (reports, _, mut ears) = ears();
    drop(reports.tombstone("somebody"));
    assert!(matches!(ears.events.try_recv().unwrap(), Event::Down { room: "somebody", generation: 7, panicked: false }));
}

#[test]
fn a_pulse_shows_how_long_a_room_has_been_busy_with_one_message() {
    let pulse = Pulse::new("user_events", "somebody");
    assert_eq!(pulse.read(), ("somebody", Duration::ZERO));
    let busy = pulse.busy();
    std::thread::sleep(Duration::from_millis(30));
    let (_, first) = pulse.clone().read();
    assert!(first >= Duration::from_millis(30), "{first:?}");
    std::thread::sleep(Duration::from_millis(5));
    assert!(pulse.read().1 > first);
    drop(busy);
    assert_eq!(pulse.read().1, Duration::ZERO);
}
