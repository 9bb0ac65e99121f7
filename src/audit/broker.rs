//! Kafka's side: what it still has and what it will give out next.
//!
//! Asks and never subscribes: no group, no commit, and no topic is created by asking for it. Blocking, as librdkafka is.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::Brokers;
use super::report::Watermarks;

const PATIENCE: Duration = Duration::from_secs(5);

/// Watermarks by partition of a topic.
pub(crate) fn watermarks(brokers: &Brokers, topic: &str) -> Result<BTreeMap<i32, Watermarks>> {
    let mut config = ClientConfig::new();
    for (key, value) in &brokers.properties {
        config.set(key, value);
    }
    config.set("bootstrap.servers", &brokers.bootstrap_servers);
    config.set("allow.auto.create.topics", "false");
    let consumer: BaseConsumer = config.create().context("the settings for Kafka")?;
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
