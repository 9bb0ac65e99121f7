//! Kafka's side: what it still has and what it will give out next.
//!
//! Asks and never subscribes: no group, no commit, and no topic is created by asking for it. Blocking, as librdkafka is.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::Brokers;
use super::report::Watermarks;

const PATIENCE: Duration = Duration::from_secs(5);

fn consumer(brokers: &Brokers) -> Result<BaseConsumer> {
    let mut config = ClientConfig::new();
    for (key, value) in &brokers.properties {
        config.set(key, value);
    }
    config.set("bootstrap.servers", &brokers.bootstrap_servers);
    config.set("allow.auto.create.topics", "false");
    // Asked for by librdkafka for reading, and never joined: nothing subscribes and nothing is committed.
    config.set("group.id", "tributary-looks").set("enable.auto.commit", "false");
    config.create().context("the settings for Kafka")
}

/// Kafka's time of the newest record of a topic, in milliseconds since 1970; none when there is none, or none came in time. What stands
/// at the end of a partition may be no record (the mark of a transaction): then that partition is left out.
pub(crate) fn newest_record(brokers: &Brokers, topic: &str, marks: &BTreeMap<i32, Watermarks>) -> Result<Option<i64>> {
    let consumer = consumer(brokers)?;
    let mut last = TopicPartitionList::new();
    let mut awaited = BTreeMap::new();
    for (partition, mark) in marks.iter().filter(|(_, mark)| mark.high > mark.low) {
        last.add_partition_offset(topic, *partition, Offset::Offset(mark.high - 1))?;
        awaited.insert(*partition, mark.high - 1);
    }
    if awaited.is_empty() {
        return Ok(None);
    }
    consumer.assign(&last).context("cannot read the last records")?;
    let until = std::time::Instant::now() + PATIENCE;
    let mut newest = None;
    while !awaited.is_empty() {
        let left = until.saturating_duration_since(std::time::Instant::now());
        let Some(message) = consumer.poll(left) else { break };
        let message = message?;
        newest = newest.max(message.timestamp().to_millis());
        if awaited.get(&message.partition()).is_some_and(|offset| message.offset() >= *offset) {
            awaited.remove(&message.partition());
        }
    }
    Ok(newest)
}

/// Watermarks by partition of a topic.
pub(crate) fn watermarks(brokers: &Brokers, topic: &str) -> Result<BTreeMap<i32, Watermarks>> {
    let consumer = consumer(brokers)?;
    let metadata = consumer
        .fetch_metadata(Some(topic), PATIENCE)
        .with_context(|| format!("{} does not answer", brokers.bootstrap_servers))?;
    let Some(found) = metadata.topics().first().filter(|found| found.error().is_none()) else {
        bail!("{} has no topic {topic}", brokers.bootstrap_servers);
    };
    let mut watermarks = BTreeMap::new();
    for partition in found.partitions().iter().map(|partition| partition.id()) {
        let (low, high) = consumer
            .fetch_watermarks(topic, partition, PATIENCE)
            .with_context(|| format!("watermarks of {topic}/{partition}"))?;
        watermarks.insert(partition, Watermarks { low, high });
    }
    Ok(watermarks)
}
