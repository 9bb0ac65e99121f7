//! Short words for clients of a broker at a known address, and for its files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{Offset, TopicPartitionList};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn client(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("reconnect.backoff.max.ms", "200");
    config
}

pub(crate) fn create_topic(bootstrap: &str, name: &str, partitions: i32, settings: &[(&str, &str)]) {
    let admin: AdminClient<DefaultClientContext> = client(bootstrap).create().unwrap();
    let new = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    let new = settings.iter().fold(new, |t, (k, v)| t.set(k, v));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    runtime.block_on(admin.create_topics([&new], &options)).unwrap().remove(0).unwrap();
}

pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "in vain for {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Counts how deliveries ended.
#[derive(Clone, Default)]
pub(crate) struct Deliveries {
    pub(crate) ok: Arc<AtomicUsize>,
    pub(crate) failed: Arc<AtomicUsize>,
}

impl ClientContext for Deliveries {}
impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();
    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let counter = if result.is_ok() { &self.ok } else { &self.failed };
        counter.fetch_add(1, Ordering::SeqCst);
    }
}

impl Deliveries {
    pub(crate) fn ok(&self) -> usize {
        self.ok.load(Ordering::SeqCst)
    }

    pub(crate) fn failed(&self) -> usize {
        self.failed.load(Ordering::SeqCst)
    }
}

pub(crate) fn producer(bootstrap: &str, settings: &[(&str, &str)]) -> (BaseProducer<Deliveries>, Deliveries) {
    let deliveries = Deliveries::default();
    let mut config = client(bootstrap);
    config.set("linger.ms", "5").set("batch.num.messages", "1000").set("message.timeout.ms", "60000");
    for (k, v) in settings {
        config.set(*k, *v);
    }
    (config.create_with_context(deliveries.clone()).unwrap(), deliveries)
}

/// Hands a number to the producer, waiting for room in its queue.
pub(crate) fn send(producer: &BaseProducer<Deliveries>, topic: &str, partition: i32, number: i64) {
    let value = number.to_string();
    let mut record = BaseRecord::<str, str>::to(topic).partition(partition).payload(&value);
    while let Err((_, back)) = producer.send(record) {
        producer.poll(Duration::from_millis(5));
        record = back;
    }
}

/// Sends numbers to partition 0 and waits until all of them are confirmed.
pub(crate) fn send_all(bootstrap: &str, topic: &str, numbers: std::ops::Range<i64>) {
    let (producer, deliveries) = producer(bootstrap, &[]);
    let n = numbers.clone().count();
    for i in numbers {
        send(&producer, topic, 0, i);
    }
    producer.flush(PATIENCE).unwrap();
    assert_eq!((deliveries.ok(), deliveries.failed()), (n, 0));
}

pub(crate) fn watermarks(bootstrap: &str, topic: &str, partition: i32) -> (i64, i64) {
    let consumer: BaseConsumer = client(bootstrap).create().unwrap();
    consumer.fetch_watermarks(topic, partition, PATIENCE).unwrap()
}

/// Reads a partition from its beginning to its end: (offset, number) of every message.
pub(crate) fn read_all(bootstrap: &str, topic: &str, partition: i32) -> Vec<(i64, i64)> {
    let (low, high) = watermarks(bootstrap, topic, partition);
    let consumer: BaseConsumer = client(bootstrap)
        .set("group.id", "reader")
        .set("enable.auto.commit", "false")
        .set("check.crcs", "true")
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(low)).unwrap();
    consumer.assign(&list).unwrap();
    let mut read = Vec::new();
    eventually("the whole partition", || {
        while (read.len() as i64) < high - low {
            let m = consumer.poll(Duration::from_millis(200))?.unwrap();
            read.push((m.offset(), std::str::from_utf8(m.payload().unwrap()).unwrap().parse().unwrap()));
        }
        Some(())
    });
    read
}

/// The files of a partition with this extension, by base offset.
pub(crate) fn files(dir: &Path, topic: &str, partition: i32, extension: &str) -> Vec<PathBuf> {
    let home = std::fs::read_dir(dir.join("topics")).unwrap().flatten().map(|e| e.path());
    let home = home.into_iter().find(|p| p.file_name().unwrap().to_str().unwrap().starts_with(&format!("{topic}@"))).unwrap();
    let entries = std::fs::read_dir(home.join(partition.to_string())).unwrap().flatten().map(|e| e.path());
    let mut found: Vec<_> = entries.filter(|p| p.extension().is_some_and(|e| e == extension)).collect();
    found.sort();
    found
}

/// Copies a directory as a power cut would find it.
pub(crate) fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
