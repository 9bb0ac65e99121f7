//! Made-up traffic against the embedded broker: the rate is held, an outage loses and repeats nothing, and the report is the truth.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use actix::{Actor, Arbiter};
use chrono::{DateTime, Utc};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use tributary_actors::generator::outbox::{Outbox, Refused, Size, Tally};
use tributary_actors::generator::{Config, Generator, GeneratorHandle, Halt, Report};
use tributary_broker::{Broker, Running};
use tributary_core::settings;
use tributary_core::traffic::{Made, Plan, Population, Profile, Truth};

const TOPIC: &str = "user-events";
const PARTITIONS: i32 = 3;

/// Partition, key, payload.
type Stored = (i32, Vec<u8>, Option<Vec<u8>>);

/// Fields are dropped in this order: the broker must not outlive its folder.
struct Kafka {
    broker: Option<Running>,
    dir: tempfile::TempDir,
    addr: SocketAddr,
}

impl Kafka {
    /// A broker of its own with an empty topic.
    fn with_topic() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let broker = start(dir.path(), "127.0.0.1:0".parse().unwrap());
        let kafka = Self { addr: broker.addr(), broker: Some(broker), dir };
        let admin: AdminClient<DefaultClientContext> = kafka.client().create().unwrap();
        let topic = NewTopic::new(TOPIC, PARTITIONS, TopicReplication::Fixed(1));
        let answers = futures::executor::block_on(admin.create_topics([&topic], &AdminOptions::new())).unwrap();
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        kafka
    }

    fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", self.addr.to_string()).set("reconnect.backoff.max.ms", "200");
        client
    }

    fn stop(&mut self) {
        self.broker.take().unwrap().stop().unwrap();
    }

    fn start_again(&mut self) {
        self.broker = Some(start(self.dir.path(), self.addr));
    }

    /// Everything in the topic.
    fn records(&self) -> Vec<Stored> {
        let mut client = self.client();
        client.set("group.id", "reader").set("enable.auto.commit", "false").set("fetch.message.max.bytes", "10000000");
        let consumer: BaseConsumer = client.create().unwrap();
        let mut left: i64 = 0;
        let mut all = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            let (low, high) = consumer.fetch_watermarks(TOPIC, partition, Duration::from_secs(10)).unwrap();
            left += high - low;
            all.add_partition_offset(TOPIC, partition, Offset::Offset(low)).unwrap();
        }
        consumer.assign(&all).unwrap();
        let (mut records, deadline) = (Vec::new(), Instant::now() + Duration::from_secs(60));
        while (records.len() as i64) < left {
            assert!(Instant::now() < deadline, "{} of {left} records after a minute", records.len());
            if let Some(message) = consumer.poll(Duration::from_millis(100)) {
                let message = message.unwrap();
                let key = message.key().unwrap_or_default().to_vec();
                records.push((message.partition(), key, message.payload().map(<[u8]>::to_vec)));
            }
        }
        records
    }

    fn generator(&self, events_per_second: f64) -> GeneratorHandle {
        GeneratorHandle::start(self.traffic(events_per_second)).unwrap()
    }

    fn traffic(&self, events_per_second: f64) -> Config {
        static SEED: AtomicU32 = AtomicU32::new(1);
        let traffic = settings::Generator { events_per_second, num_users: 50, user_growth_rate: 10.0 };
        let seed = u64::from(SEED.fetch_add(1, Ordering::Relaxed));
        let (stream, topic) = ("user_events".to_owned(), TOPIC.to_owned());
        let bootstrap = self.addr.to_string();
        Config { traffic, profile: Profile::Plain, seed, stream, topic, kafka: settings::Kafka::default(), bootstrap }
    }
}

fn start(dir: &Path, listen: SocketAddr) -> Running {
    let mut config = tributary_broker::Config::new(dir);
    config.listen = listen;
    Broker::start(config).unwrap()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = soon();
    while !holds() {
        assert!(Instant::now() < deadline, "not within 30 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// One field of every event.
fn field(records: &[Stored], name: &str) -> Vec<String> {
    let read = |payload: &Option<Vec<u8>>| -> String {
        let event: serde_json::Value = serde_json::from_slice(payload.as_deref().unwrap()).unwrap();
        event[name].as_str().unwrap().to_owned()
    };
    records.iter().map(|(.., payload)| read(payload)).collect()
}

fn ids(records: &[Stored]) -> HashSet<String> {
    field(records, "event_id").into_iter().collect()
}

fn times(records: &[Stored]) -> Vec<DateTime<Utc>> {
    field(records, "timestamp").iter().map(|time| time.parse().unwrap()).collect()
}

/// Kafka's own hash, as its Java client computes it, written down from the description of MurmurHash2.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut h = 0x9747_b28c ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes(word.try_into().unwrap()).wrapping_mul(M);
        k ^= k >> 24;
        h = h.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (at, byte) in rest.iter().enumerate() {
            h ^= u32::from(*byte) << (8 * at);
        }
        h = h.wrapping_mul(M);
    }
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    h ^ (h >> 15)
}

#[test]
fn the_rate_is_held_and_everything_arrives_where_its_key_belongs() {
    for rate in [5.0, 2_000.0] {
        let (kafka, began) = (Kafka::with_topic(), Instant::now());
        let generator = kafka.generator(rate);
        until("reports of four seconds, fetched as they come", || generator.delivered() as f64 >= 4.0 * rate);
        let report = generator.stop(soon()).unwrap();
        let most = rate * began.elapsed().as_secs_f64();
        assert!(report.delivered as f64 <= most + 1.0, "{} where {most} were due at {rate}/s", report.delivered);
        let records = kafka.records();
        assert_eq!(report, Report { delivered: records.len() as u64, failed: 0, unanswered: 0 });
        // By the events' own times: how late this thread was told, or that one ran, is the machine's affair. One more or less is rounding.
        let times = times(&records);
        let (first, last) = (times.iter().min().unwrap(), times.iter().max().unwrap());
        let due = rate * (*last - *first).as_seconds_f64() + 1.0;
        let off = records.len() as f64 - due;
        assert!(off.abs() <= 1.0 + 0.01 * due, "{} where {due} were due at {rate}/s", records.len());
        assert_eq!(ids(&records).len(), records.len());
        for (partition, key, _) in &records {
            assert_eq!(*partition, ((murmur2(key) & 0x7fff_ffff) % PARTITIONS as u32) as i32);
        }
    }
}

#[test]
fn a_broker_that_goes_and_comes_back_costs_nothing() {
    let mut kafka = Kafka::with_topic();
    let generator = kafka.generator(20_000.0);
    std::thread::sleep(Duration::from_secs(2));
    kafka.stop();
    let before = generator.delivered();
    // Longer than the outbox lasts: 50,000 records are full after two and a half seconds.
    std::thread::sleep(Duration::from_secs(4));
    assert!(generator.is_running() && before > 0);
    kafka.start_again();
    until("60,000 more after the outage", || generator.delivered() >= before + 60_000);
    let report = generator.stop(soon()).unwrap();
    let records = kafka.records();
    assert_eq!(report, Report { delivered: records.len() as u64, failed: 0, unanswered: 0 });
    assert_eq!(ids(&records).len(), records.len(), "no event twice");
}

#[test]
fn what_has_no_answer_at_the_deadline_is_said() {
    let mut kafka = Kafka::with_topic();
    let generator = kafka.generator(100.0);
    until("fifty events there", || generator.delivered() > 50);
    kafka.stop();
    std::thread::sleep(Duration::from_secs(1));
    let began = Instant::now();
    let report = generator.stop(began + Duration::from_secs(1)).unwrap();
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert!(report.delivered > 50 && report.unanswered > 50, "{report:?}");
    kafka.start_again();
    let arrived = kafka.records().len() as u64;
    assert!((report.delivered..=report.delivered + report.unanswered).contains(&arrived), "{arrived} {report:?}");
}

#[test]
fn the_room_waits_for_kafka_and_makes_traffic_until_it_is_halted() {
    let mut kafka = Kafka::with_topic();
    let config = kafka.traffic(500.0);
    kafka.stop();
    let report = actix::System::new().block_on(async {
        let room = Generator::start_in_arbiter(&Arbiter::new().handle(), move |_| Generator::new(config));
        kafka.start_again();
        until("traffic after Kafka came", || !kafka.records().is_empty());
        let report = room.send(Halt { until: soon() }).await.unwrap();
        let arrived = kafka.records().len();
        // Longer than the room takes to replace a thread that is gone.
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(
            (room.send(Halt { until: soon() }).await.unwrap(), kafka.records().len()),
            (None, arrived),
            "it does not begin again"
        );
        report.unwrap()
    });
    assert_eq!(report, Report { delivered: kafka.records().len() as u64, failed: 0, unanswered: 0 });
}

/// Through the same outbox as `tributary generate`: what is in the topic is what the plan said, to the byte.
#[test]
fn a_run_is_in_the_topic_to_the_byte() {
    let kafka = Kafka::with_topic();
    let start_us = Utc::now().timestamp_micros() - 7_200_000_000;
    let population = Population { num_users: 1_000, growth_per_hour: 0.0 };
    let plan = Plan {
        count: 20_000,
        seed: 11,
        start_us,
        span_us: 3_600_000_000,
        population,
        profile: Profile::Plain,
        malformed: 0.05,
        late: 0.05,
        duplicate: 0.05,
        unusual: 0.05,
        oversized: 2,
    };
    let tally = Arc::new(Tally::default());
    let size = Size { record_bytes: 4_000_000, ..Size::SMALL };
    let mut outbox = Outbox::open(kafka.client(), TOPIC, size, Arc::clone(&tally)).unwrap();
    let (mut records, mut truth) = (plan.records(), Truth::default());
    let mut expected: HashMap<(Vec<u8>, Option<Vec<u8>>), i64> = HashMap::new();
    while let Some(record) = records.next() {
        while let Err(refused) = outbox.offer(record.key, record.payload) {
            assert!(matches!(refused, Refused::Full), "{refused}");
        }
        truth.add(&record.made);
        *expected.entry((record.key.to_vec(), record.payload.map(<[u8]>::to_vec))).or_default() += 1;
        assert!(matches!(record.made, Made::Valid { .. } | Made::Flawed(_)));
    }
    assert_eq!((outbox.drain(soon()), tally.failed(), tally.delivered()), (0, 0, 20_000), "{:?}", tally.last_error());
    for (_, key, payload) in kafka.records() {
        *expected.entry((key, payload)).or_default() -= 1;
    }
    assert!(expected.values().all(|n| *n == 0));
    assert_eq!(truth.total(), 20_000);
}
