//! Topics: making sure one exists, who it is, and where its partitions begin and end.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use tributary_core::settings::Kafka;

use super::native::{Identity, topic_identity};
use super::{ASK, KafkaError, client_config};

/// A topic that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Name.
    pub name: String,
    /// Identity.
    pub id: String,
    /// Number of partitions now.
    pub partitions: i32,
}

/// Finds the topic, creating it with the configured number of partitions when there is none.
///
/// # Errors
/// When Kafka cannot be reached or refuses.
pub async fn ensure(settings: &Kafka, bootstrap: &str, name: &str) -> Result<Topic, KafkaError> {
    if let Some(topic) = find(settings, bootstrap, name).await? {
        return Ok(topic);
    }
    let admin: AdminClient<DefaultClientContext> =
        client_config(settings, bootstrap).create().map_err(|e| KafkaError::client("connecting to Kafka", e))?;
    let new = NewTopic::new(name, settings.partitions, TopicReplication::Fixed(-1));
    let options = AdminOptions::new().operation_timeout(Some(ASK)).request_timeout(Some(ASK));
    let doing = || format!("creating topic {name}");
    for answer in admin.create_topics([&new], &options).await.map_err(|e| KafkaError::client(doing(), e))? {
        match answer {
            Ok(_) => tracing::info!(topic = name, partitions = settings.partitions, "created"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(KafkaError::Other(format!("{}: {code}", doing()))),
        }
    }
    // Metadata may lag behind the answer.
    let mut wait = Duration::from_millis(20);
    loop {
        if let Some(topic) = find(settings, bootstrap, name).await? {
            return Ok(topic);
        }
        if wait > ASK {
            return Err(KafkaError::Other(format!("topic {name} was created but does not appear")));
        }
        tokio::time::sleep(wait).await;
        wait *= 2;
    }
}

/// Finds the topic.
///
/// # Errors
/// When Kafka cannot be reached.
pub async fn find(settings: &Kafka, bootstrap: &str, name: &str) -> Result<Option<Topic>, KafkaError> {
    let config = client_config(settings, bootstrap);
    let name = name.to_owned();
    let asked = tokio::task::spawn_blocking(move || {
        let client: BaseConsumer = config.create().map_err(|e| KafkaError::client("connecting to Kafka", e))?;
        // The first question waits for the connection; the identity follows on the same one.
        let metadata =
            client.fetch_metadata(Some(&name), ASK).map_err(|e| KafkaError::client("asking Kafka for its topics", e))?;
        let partitions = metadata.topics().iter().find(|t| t.name() == name).map_or(0, |t| t.partitions().len());
        if partitions == 0 {
            return Ok(None);
        }
        match topic_identity(client.client(), &name, ASK)? {
            Identity::Missing => Ok(None),
            Identity::Id(id) => Ok(Some(Topic { name, id, partitions: i32::try_from(partitions).unwrap_or(i32::MAX) })),
        }
    });
    asked.await.map_err(|e| KafkaError::Other(e.to_string()))?
}
