//! `kafka_consumer` alone, before a real broker: spans that chain from the floors on, never more than there is credit for.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use tributary_actors::gate::{Gate, Load, MOST_BATCHES};
use tributary_actors::kafka::{client_config, consumer_config, topic};
use tributary_actors::kafka_consumer::floors::{Floor, Floors, Silent};
use tributary_actors::kafka_consumer::{Config, Consumer, Control, Edges, Mode};
use tributary_actors::messages::{EventBatch, Fence};
use tributary_actors::progress::Progress;
use tributary_actors::room::Pulse;
use tributary_actors::telemetry::StreamMeter;
use tributary_core::settings::Kafka as Settings;
use tributary_core::span::Legs;

use super::in_system;
use crate::common::kafka::Kafka;
use crate::common::payments::{TOPIC, stream};
use crate::common::probe::{Ears, Kept, Probe, ears};
use crate::common::until;

/// Floors that a test sets.
#[derive(Default)]
struct Set(Mutex<BTreeMap<i32, Floor>>);

impl Floors for Set {
    fn read(&self, _: &[i32]) -> Result<BTreeMap<i32, Floor>, Silent> {
        Ok(self.0.lock().unwrap().clone())
    }
}

impl Set {
    fn at(&self, partition: i32, bronze: i64, serving: i64) {
        let floor = Floor { bronze: Some(bronze), bronze_first: Some(0), serving: Some(serving) };
        self.0.lock().unwrap().insert(partition, floor);
    }
}

struct Room {
    batches: Kept<EventBatch>,
    gate: Arc<Gate>,
    control: Sender<Control>,
    ears: Ears,
    progress: Progress,
    consumer: Consumer,
}

struct Sizes {
    gate: (usize, usize),
    batch_rows: usize,
    batch_wait: Duration,
}

const ROOMY: Sizes = Sizes { gate: (100_000, 1 << 30), batch_rows: 10_000, batch_wait: Duration::from_millis(10) };

async fn open(kafka: &Kafka, floors: Arc<Set>, partitions: Vec<i32>, sizes: Sizes) -> Room {
    open_as(kafka, floors, Mode::Manual(partitions), sizes).await
}

async fn open_as(kafka: &Kafka, floors: Arc<Set>, mode: Mode, sizes: Sizes) -> Room {
    let settings = Settings::default();
    let topic = topic::ensure(&settings, &kafka.bootstrap(), TOPIC).await.unwrap();
    let (probe, batches) = Probe::<EventBatch>::open();
    let (fences, _) = Probe::<Fence>::open();
    let (reports, control, ears) = ears();
    let (tell, ear) = std::sync::mpsc::channel();
    drop(control);
    let gate = Gate::new(sizes.gate.0, sizes.gate.1);
    let config = Config {
        stream: stream(),
        topic,
        incarnation: 1,
        legs: Legs::BOTH,
        mode,
        client: consumer_config(&settings, &kafka.bootstrap(), &settings.group_id, None),
        batch_rows: sizes.batch_rows,
        batch_wait: sizes.batch_wait,
        floors,
    };
    let progress = Progress::default();
    let edges = Edges {
        batches: vec![(probe.recipient(), Pulse::new("user_events", "delta_writer"))],
        fences: vec![fences.recipient()],
        reports,
        gate: Arc::clone(&gate),
        progress: progress.clone(),
        pulse: Pulse::new("user_events", "kafka_consumer"),
        meter: StreamMeter::new("payments"),
    };
    let consumer = Consumer::start(config, edges, (tell.clone(), ear)).unwrap();
    Room { batches, gate, control: tell, ears, progress, consumer }
}

impl Room {
    /// Records covered so far per partition, after checking that spans chain within an epoch and hold exactly their records.
    fn chains(&self) -> BTreeMap<(i32, u32), (i64, i64)> {
        use arrow_array::cast::AsArray;
        use arrow_array::types::{Int32Type, Int64Type};
        let mut chains: BTreeMap<(i32, u32), (i64, i64)> = BTreeMap::new();
        for batch in self.batches.all().iter() {
            let rows = &batch.batch.rows;
            let partitions = rows.column_by_name("kafka_partition").unwrap().as_primitive::<Int32Type>().values().to_vec();
            let offsets = rows.column_by_name("kafka_offset").unwrap().as_primitive::<Int64Type>().values().to_vec();
            let mut found: Vec<(i32, i64)> = partitions.into_iter().zip(offsets).collect();
            found.sort_unstable();
            let covered: Vec<(i32, i64)> = batch.spans.iter().flat_map(|s| (s.from..s.to).map(|o| (s.partition, o))).collect();
            assert_eq!(found, covered, "rows are the records of the spans");
            for span in batch.spans.iter() {
                let chain = chains.entry((span.partition, span.epoch)).or_insert((span.from, span.from));
                assert_eq!(chain.1, span.from, "{span} does not follow");
                chain.1 = span.to;
            }
        }
        chains
    }

    async fn close(mut self) {
        let _ = self.control.send(Control::Stop);
        let joined = tokio::task::spawn_blocking(move || self.consumer.join(Duration::from_secs(10)));
        assert!(joined.await.unwrap(), "the thread ends");
    }
}

#[test]
fn reading_begins_at_the_lowest_floor_and_each_leg_is_told_its_own() {
    in_system(async {
        let kafka = Kafka::start();
        kafka.create(TOPIC, 2).await;
        kafka.produce(TOPIC, 0, 0..500);
        kafka.produce(TOPIC, 1, 0..300);
        let floors = Arc::new(Set::default());
        floors.at(0, 120, 40);
        floors.at(1, 10, 290);
        let mut room = open(&kafka, floors, vec![0, 1], ROOMY).await;
        until("all is read", || room.chains().values().map(|(_, to)| to).sum::<i64>() == 800).await;
        assert_eq!(room.chains().into_values().collect::<Vec<_>>(), [(40, 500), (10, 300)]);
        for span in room.batches.all().iter().flat_map(|b| b.spans.to_vec()) {
            assert_eq!(span.floor, [[120, 40], [10, 290]][span.partition as usize]);
        }
        kafka.produce(TOPIC, 1, 300..310);
        until("the rest is read", || room.chains()[&(1, 2)].1 == 310).await;
        assert_eq!(room.progress.partitions()[&1].sealed, 310);
        room.ears.quiet();
        room.close().await;
    });
}

#[test]
fn a_shut_gate_stops_the_reading_until_credit_comes_back() {
    in_system(async {
        let kafka = Kafka::start();
        kafka.create(TOPIC, 1).await;
        kafka.produce(TOPIC, 0, 0..20_000);
        let sizes = Sizes { gate: (10_000, 1 << 30), batch_rows: 4_000, batch_wait: Duration::from_millis(5) };
        let floors = Arc::new(Set::default());
        floors.at(0, 0, 0);
        let room = open(&kafka, floors, vec![0], sizes).await;
        let mut read = 0;
        while read < 20_000 {
            until("a batch", || room.batches.len() > 0).await;
            tokio::time::sleep(Duration::from_millis(150)).await; // long enough to read all, if anybody let it
            let held: usize = room.batches.all().iter().map(|b| b.batch.rows.num_rows()).sum();
            let load = room.gate.load();
            assert!(held <= 10_000, "{held} rows were let in");
            assert!(load.rows >= held, "{held} rows are held with credit for {}", load.rows);
            room.chains();
            read += held;
            room.batches.all().clear();
        }
        assert_eq!(read, 20_000);
        room.close().await;
    });
}

#[test]
fn small_batches_cannot_fill_a_mailbox() {
    in_system(async {
        let kafka = Kafka::start();
        kafka.create(TOPIC, 1).await;
        let sizes = Sizes { gate: (64_000, 4 << 30), batch_rows: 100, batch_wait: Duration::from_millis(1) };
        let floors = Arc::new(Set::default());
        floors.at(0, 0, 0);
        let mut room = open(&kafka, floors, vec![0], sizes).await;
        kafka.produce(TOPIC, 0, 0..20_000);
        let mut most = 0;
        let mut read = 0;
        while read < 20_000 {
            until("batches", || room.batches.len() > 0).await;
            let mut before = usize::MAX;
            while before != room.batches.len() {
                before = room.batches.len();
                tokio::time::sleep(Duration::from_millis(60)).await;
            }
            most = most.max(before);
            let held = std::mem::take(&mut *room.batches.all());
            read += held.iter().map(|b| b.batch.rows.num_rows()).sum::<usize>();
        }
        assert!((MOST_BATCHES / 2..=MOST_BATCHES).contains(&most), "{most} batches were under way at once");
        room.ears.quiet();
        room.close().await;
    });
}

#[test]
fn what_somebody_else_moved_is_read_again_under_a_new_epoch() {
    in_system(async {
        let kafka = Kafka::start();
        kafka.create(TOPIC, 2).await;
        kafka.produce(TOPIC, 0, 0..100);
        kafka.produce(TOPIC, 1, 0..100);
        let floors = Arc::new(Set::default());
        floors.at(0, 0, 0);
        floors.at(1, 0, 0);
        let room = open(&kafka, Arc::clone(&floors), vec![0, 1], ROOMY).await;
        until("all is read", || room.chains().values().map(|(_, to)| to).sum::<i64>() == 200).await;
        floors.at(0, 60, 30);
        room.control.send(Control::Reread(vec![0])).unwrap();
        until("it is read again", || {
            room.chains().len() == 3 && room.chains().values().map(|(from, to)| to - from).sum::<i64>() == 270
        })
        .await;
        kafka.produce(TOPIC, 0, 100..120);
        kafka.produce(TOPIC, 1, 100..120);
        until("both go on", || room.chains().values().filter(|(_, to)| *to == 120).count() == 2).await;
        let chains: Vec<_> = room.chains().into_iter().map(|((partition, _), chain)| (partition, chain)).collect();
        assert_eq!(chains, [(0, (0, 100)), (0, (30, 120)), (1, (0, 120))]);
        room.close().await;
    });
}

#[test]
fn a_seal_is_answered_behind_what_was_read_and_nothing_follows() {
    in_system(async {
        let kafka = Kafka::start();
        kafka.create(TOPIC, 1).await;
        kafka.produce(TOPIC, 0, 0..1_000);
        let floors = Arc::new(Set::default());
        floors.at(0, 0, 0);
        // A batch that nothing but the seal ends.
        let sizes = Sizes { batch_wait: Duration::from_secs(3600), ..ROOMY };
        let room = open(&kafka, floors, vec![0], sizes).await;
        until("credit is taken", || room.gate.load() != Load::default()).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let (sealed, answer) = std::sync::mpsc::channel();
        room.control.send(Control::Seal(sealed)).unwrap();
        until("the answer", || answer.try_recv().is_ok()).await;
        until("the batch", || room.batches.len() == 1).await;
        let at = room.chains();
        kafka.produce(TOPIC, 0, 1_000..1_100);
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(room.chains(), at);
        room.close().await;
    });
}

#[test]
fn a_partition_whose_start_is_gone_is_blocked_and_the_others_go_on() {
    in_system(async {
        let kafka = Kafka::start();
        kafka.create(TOPIC, 3).await;
        for partition in 0..3 {
            kafka.produce(TOPIC, partition, 0..500);
        }
        kafka.forget(TOPIC, 0, 200).await;
        let floors = Arc::new(Set::default());
        floors.at(0, 50, 50);
        floors.at(1, 0, 0);
        floors.at(2, 900, 900);
        let room = open(&kafka, floors, vec![0, 1, 2], ROOMY).await;
        until("the other is read", || room.chains().values().any(|(_, to)| *to == 500)).await;
        assert_eq!(room.chains().keys().map(|(p, _)| *p).collect::<Vec<_>>(), [1]);
        let blocked = room.progress.blocked_partitions();
        assert!(blocked[&0].contains("oldest record is 200") && blocked[&2].contains("Kafka ends at 500"), "{blocked:?}");
        room.close().await;
    });
}

/// Whoever comes next would wait until the session expires.
#[test]
fn a_member_that_ends_has_left_its_group() {
    in_system(async {
        let kafka = Kafka::start();
        kafka.create(TOPIC, 24).await;
        let settings = Settings::default();
        let asking: BaseConsumer = client_config(&settings, &kafka.bootstrap()).create().unwrap();
        let members = || {
            let groups = asking.fetch_group_list(Some(&settings.group_id), Duration::from_secs(5)).unwrap();
            groups.groups().iter().map(|g| g.members().len()).sum::<usize>()
        };
        for round in 0..12 {
            let room = open_as(&kafka, Arc::default(), Mode::Group, ROOMY).await;
            until("all are assigned", || room.progress.partitions().len() == 24).await;
            assert_eq!(members(), 1);
            room.close().await;
            assert_eq!(members(), 0, "after {round} others");
        }
    });
}
