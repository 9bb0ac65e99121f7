//! Kafka as we use it: client configuration, topics and their identity, and the one file that is unsafe.

pub mod native;
pub mod topic;

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use tributary_core::settings::Kafka;

/// What can go wrong with Kafka.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    /// librdkafka's own error.
    #[error("{doing}: {source}")]
    Client {
        /// What was tried.
        doing: String,
        /// Cause.
        #[source]
        source: rdkafka::error::KafkaError,
    },
    /// A property that librdkafka does not take. Its value may be a secret.
    #[error("kafka.properties.{name}: {problem}")]
    Property {
        /// Which.
        name: String,
        /// What librdkafka says.
        problem: String,
    },
    /// Anything else, in words.
    #[error("{0}")]
    Other(String),
}

impl KafkaError {
    pub(crate) fn client(doing: impl Into<String>, source: rdkafka::error::KafkaError) -> Self {
        match source {
            rdkafka::error::KafkaError::ClientConfig(_, problem, name, _) => Self::Property { name, problem },
            source => Self::Client { doing: doing.into(), source },
        }
    }
}

/// Whether librdkafka takes these settings. Connects to nobody.
///
/// # Errors
/// With the property that it does not take.
pub fn check(settings: &Kafka) -> Result<(), KafkaError> {
    let made = consumer_config(settings, "127.0.0.1:9", "check", None).create_with_context::<_, BaseConsumer<Mute>>(Mute);
    made.map(drop).map_err(|e| KafkaError::client("preparing a client", e))
}

/// Nobody listens where [`check`] points its client to: that is nothing to log.
struct Mute;

impl ClientContext for Mute {
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, _: rdkafka::error::KafkaError, _: &str) {}
}

impl ConsumerContext for Mute {}

/// How long a question to the broker may take.
pub const ASK: Duration = Duration::from_secs(5);

/// What every client of ours has in common: where Kafka is, how to log in, who we are.
pub fn client_config(settings: &Kafka, bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("client.id", "tributary")
        .set("allow.auto.create.topics", "false")
        .set("topic.metadata.refresh.interval.ms", "5000")
        // Ten seconds by default: longer than an outage should echo.
        .set("reconnect.backoff.max.ms", "1000")
        .set("log.connection.close", "false");
    for (name, value) in &settings.properties {
        config.set(name, value);
    }
    config
}

/// A consumer that never moves on its own: no auto commit, no reset, committed offsets never asked for position.
///
/// With a `member` name, which must be unique in the group, a process that was killed gets its partitions back at once when it is
/// started again; without, it waits for its own dead membership to expire.
pub fn consumer_config(settings: &Kafka, bootstrap: &str, group: &str, member: Option<&str>) -> ClientConfig {
    let mut config = client_config(settings, bootstrap);
    if let Some(member) = member {
        config.set("group.instance.id", member);
    }
    config
        .set("group.id", group)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", settings.session_timeout.as_millis().to_string())
        .set("heartbeat.interval.ms", "1000")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("check.crcs", "true")
        // One second by default: a queue that is emptied faster than that would idle.
        .set("fetch.queue.backoff.ms", "5")
        .set("fetch.wait.max.ms", "100")
        // So that somebody knows when no broker answers.
        .set("statistics.interval.ms", "3000")
        // A queued message costs about 500 bytes whatever its size: this bounds the queue to some 40 MB.
        .set("queued.min.messages", "50000")
        .set("queued.max.messages.kbytes", "8192");
    for (name, value) in &settings.properties {
        config.set(name, value);
    }
    config
}
