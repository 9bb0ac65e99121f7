//! The broker under test, and short words for what clients do with it.

use std::ffi::CString;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::bindings as rd;
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaRespErr;
use tributary_broker::{Broker, Config, Running};

/// How long anything may take before it counts as not happening.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

struct Embedded {
    broker: Running,
    _dir: tempfile::TempDir,
}

/// Where the broker under test listens. The embedded one is started once per test process.
pub(crate) fn bootstrap() -> String {
    static EMBEDDED: OnceLock<Embedded> = OnceLock::new();
    if let Ok(address) = std::env::var("CONFORMANCE_BOOTSTRAP") {
        return address;
    }
    let embedded = EMBEDDED.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let broker = Broker::start(Config::new(dir.path())).unwrap();
        Embedded { broker, _dir: dir }
    });
    embedded.broker.addr().to_string()
}

/// Whether the broker under test is this crate's.
pub(crate) fn is_embedded() -> bool {
    std::env::var("CONFORMANCE_BOOTSTRAP").is_err()
}

/// A name that no other run has used.
pub(crate) fn unique(name: &str) -> String {
    format!("{name}-{}", &uuid::Uuid::new_v4().simple().to_string()[..12])
}

pub(crate) fn client() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap()).set("reconnect.backoff.max.ms", "500");
    config
}

pub(crate) fn admin() -> AdminClient<DefaultClientContext> {
    client().create().unwrap()
}

pub(crate) fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE))
}

/// Runs an admin call to its end.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Creates a topic and waits until it can be used.
pub(crate) fn topic(name: &str, partitions: i32) -> String {
    topic_with(name, partitions, &[])
}

pub(crate) fn topic_with(name: &str, partitions: i32, settings: &[(&str, &str)]) -> String {
    let name = unique(name);
    create(&name, partitions, settings).unwrap();
    name
}

pub(crate) fn create(name: &str, partitions: i32, settings: &[(&str, &str)]) -> Result<(), RDKafkaErrorCode> {
    let new = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    let new = settings.iter().fold(new, |t, (k, v)| t.set(k, v));
    let result = wait(admin().create_topics([&new], &options())).unwrap().remove(0);
    result.map_err(|(_, e)| e)?;
    let consumer: BaseConsumer = client().create().unwrap();
    eventually("the topic has its leaders", || {
        let metadata = consumer.fetch_metadata(Some(name), PATIENCE).ok()?;
        let topic = metadata.topics().first()?;
        let ready = topic.error().is_none()
            && topic.partitions().len() == partitions as usize
            && topic.partitions().iter().all(|p| p.leader() >= 0 && p.error().is_none());
        ready.then_some(())
    });
    Ok(())
}

/// Asks again and again until there is an answer.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "in vain for {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A producer that gathers everything it is given into as few batches as it can.
pub(crate) fn producer(settings: &[(&str, &str)]) -> BaseProducer {
    let mut config = client();
    config.set("linger.ms", "50").set("message.timeout.ms", "30000");
    for (k, v) in settings {
        config.set(*k, *v);
    }
    config.create().unwrap()
}

/// Sends values `0..n` as text with `timestamp` = 1,000 × the value, and waits for all of them.
pub(crate) fn send_numbers(producer: &BaseProducer, topic: &str, partition: i32, numbers: std::ops::Range<i64>) {
    for i in numbers {
        let (key, value) = (format!("k{i}"), i.to_string());
        let mut record = BaseRecord::to(topic).partition(partition).key(&key).payload(&value).timestamp(1_000 * (i + 1));
        while let Err((e, back)) = producer.send(record) {
            assert_eq!(e.rdkafka_error_code(), Some(RDKafkaErrorCode::QueueFull), "{e}");
            producer.poll(Duration::from_millis(10));
            record = back;
        }
    }
    producer.flush(PATIENCE).unwrap();
    assert_eq!(producer.in_flight_count(), 0);
}

/// A consumer outside any group, reading one partition from an offset.
pub(crate) fn reader(topic: &str, partition: i32, offset: rdkafka::Offset) -> BaseConsumer {
    reader_with(topic, partition, offset, &[])
}

pub(crate) fn reader_with(topic: &str, partition: i32, offset: rdkafka::Offset, settings: &[(&str, &str)]) -> BaseConsumer {
    let mut config = client();
    config
        .set("group.id", unique("reader"))
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .set("check.crcs", "true");
    for (k, v) in settings {
        config.set(*k, *v);
    }
    let consumer: BaseConsumer = config.create().unwrap();
    let mut list = rdkafka::TopicPartitionList::new();
    list.add_partition_offset(topic, partition, offset).unwrap();
    consumer.assign(&list).unwrap();
    consumer
}

/// Takes `n` messages, then makes sure that no further one is waiting.
pub(crate) fn take(consumer: &BaseConsumer, n: usize) -> Vec<OwnedMessage> {
    let mut taken = Vec::with_capacity(n);
    eventually(&format!("{n} messages"), || {
        while taken.len() < n {
            taken.push(consumer.poll(Duration::from_millis(100))?.expect("a message").detach());
        }
        Some(())
    });
    let extra = consumer.poll(Duration::from_millis(200));
    assert!(extra.is_none(), "more than {n} messages: {extra:?}");
    taken
}

pub(crate) fn offsets(messages: &[OwnedMessage]) -> Vec<i64> {
    messages.iter().map(Message::offset).collect()
}

pub(crate) fn numbers(messages: &[OwnedMessage]) -> Vec<i64> {
    messages.iter().map(|m| std::str::from_utf8(m.payload().unwrap()).unwrap().parse().unwrap()).collect()
}

/// (low, high)
pub(crate) fn watermarks(topic: &str, partition: i32) -> (i64, i64) {
    let consumer: BaseConsumer = client().create().unwrap();
    consumer.fetch_watermarks(topic, partition, PATIENCE).unwrap()
}

/// A topic's id as librdkafka's `DescribeTopics` reports it; rdkafka has no safe way to it.
#[allow(unsafe_code, reason = "librdkafka's admin API for topic ids has no safe wrapper")]
pub(crate) fn topic_id(topic: &str) -> Result<(i64, i64), RDKafkaErrorCode> {
    let client: BaseConsumer = client().create().unwrap();
    let name = CString::new(topic).unwrap();
    let mut names = [name.as_ptr()];
    let timeout_ms = PATIENCE.as_millis() as i32;
    let mut text = [0; 256];
    // SAFETY: every pointer comes from librdkafka, is checked before it is read, and is destroyed once, after its last
    // use; `client` outlives them all.
    unsafe {
        let rk = client.client().native_ptr();
        let queue = rd::rd_kafka_queue_new(rk);
        let topics = rd::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), 1);
        let operation = rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        let options = rd::rd_kafka_AdminOptions_new(rk, operation);
        rd::rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, text.as_mut_ptr(), text.len());
        rd::rd_kafka_DescribeTopics(rk, topics, options, queue);
        let event = rd::rd_kafka_queue_poll(queue, timeout_ms + 1000);
        assert!(!event.is_null(), "DescribeTopics timed out");
        assert_eq!(rd::rd_kafka_event_error(event), RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR);
        let mut n = 0;
        let result = rd::rd_kafka_event_DescribeTopics_result(event);
        let list = rd::rd_kafka_DescribeTopics_result_topics(result, &mut n);
        assert_eq!(n, 1);
        let description = *list;
        let error = rd::rd_kafka_error_code(rd::rd_kafka_TopicDescription_error(description));
        let id = rd::rd_kafka_TopicDescription_topic_id(description);
        let found = (rd::rd_kafka_Uuid_most_significant_bits(id), rd::rd_kafka_Uuid_least_significant_bits(id));
        rd::rd_kafka_event_destroy(event);
        rd::rd_kafka_AdminOptions_destroy(options);
        rd::rd_kafka_TopicCollection_destroy(topics);
        rd::rd_kafka_queue_destroy(queue);
        match error {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(found),
            e => Err(e.into()),
        }
    }
}
