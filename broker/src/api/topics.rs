//! `CreateTopics`, `DeleteTopics`, `CreatePartitions`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{
    BrokerId, CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest,
    DeleteTopicsResponse, TopicName,
};

use super::{Caller, configs, text};
use crate::node::{NODE_ID, Node};
use crate::topics::{Refusal, Topic};

fn lost() -> Refusal {
    (ResponseError::UnknownServerError, "the work on disk did not return".into())
}

pub(crate) async fn create(node: &Arc<Node>, caller: &Caller, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let mut times: HashMap<TopicName, usize> = HashMap::new();
    for t in &request.topics {
        *times.entry(t.name.clone()).or_default() += 1;
    }
    let mut results = Vec::with_capacity(request.topics.len());
    for t in request.topics {
        let (name, asked) = (t.name.clone(), t);
        let result = if times.get(&name).copied().unwrap_or(0) > 1 {
            Err((ResponseError::InvalidRequest, "Duplicate topic name.".to_owned()))
        } else {
            let (worker, dry) = (node.clone(), request.validate_only);
            Node::blocking(move || create_one(&worker, asked, dry)).await.unwrap_or_else(|| Err(lost()))
        };
        let answer = CreatableTopicResult::default().with_name(name);
        results.push(match result {
            Ok(topic) => created(answer, &topic, caller.version),
            Err((e, why)) => answer.with_error_code(e.code()).with_error_message(Some(text(why))),
        });
    }
    CreateTopicsResponse::default().with_topics(results)
}

/// Creates one topic. Blocks.
fn create_one(node: &Node, asked: CreatableTopic, dry: bool) -> Result<Arc<Topic>, Refusal> {
    let mut partitions = asked.num_partitions;
    if asked.assignments.is_empty() {
        if !matches!(asked.replication_factor, -1 | 1) {
            let why = format!("Replication factor {} is larger than the only node.", asked.replication_factor);
            return Err((ResponseError::InvalidReplicationFactor, why));
        }
    } else {
        if asked.assignments.iter().any(|a| !only_here(&a.broker_ids)) {
            return Err((ResponseError::InvalidReplicaAssignment, format!("The only node is {NODE_ID}.")));
        }
        partitions = asked.assignments.len() as i32;
    }
    let mut settings = BTreeMap::new();
    for c in asked.configs {
        let value = c.value.ok_or_else(|| (ResponseError::InvalidConfig, format!("Null value for {}", c.name.as_str())))?;
        settings.insert(c.name.to_string(), value.to_string());
    }
    let topic = node.topics.create(&asked.name, partitions, settings, dry)?;
    if !dry {
        tracing::info!(topic = topic.name, id = %topic.id, partitions = topic.partitions.len(), "topic created");
    }
    Ok(topic)
}

fn only_here(brokers: &[BrokerId]) -> bool {
    matches!(brokers, [only] if *only == NODE_ID)
}

fn created(answer: CreatableTopicResult, topic: &Topic, version: i16) -> CreatableTopicResult {
    let answer = answer.with_error_message(None);
    if version < 5 {
        return answer;
    }
    let config = |(name, value, source): (&'static str, String, i8)| {
        CreatableTopicConfigs::default().with_name(text(name)).with_value(Some(text(value))).with_config_source(source)
    };
    let answer = answer
        .with_num_partitions(topic.partitions.len() as i32)
        .with_replication_factor(1)
        .with_configs(Some(configs::in_force(topic).map(config).collect()));
    if version >= 7 { answer.with_topic_id(topic.id) } else { answer }
}

pub(crate) async fn delete(node: &Arc<Node>, caller: &Caller, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let asked: Vec<DeleteTopicState> = if caller.version >= 6 {
        request.topics
    } else {
        request.topic_names.into_iter().map(|n| DeleteTopicState::default().with_name(Some(n))).collect()
    };
    let mut responses = Vec::with_capacity(asked.len());
    for t in asked {
        let name = match &t.name {
            Some(name) => Some(name.to_string()),
            None => node.topics.by_id(t.topic_id).map(|t| t.name.clone()),
        };
        let result = match name.clone() {
            None => Err((ResponseError::UnknownTopicId, "There is no topic of this id.".to_owned())),
            Some(name) => {
                let worker = node.clone();
                Node::blocking(move || worker.topics.delete(&name)).await.unwrap_or_else(|| Err(lost()))
            }
        };
        let answer = DeletableTopicResult::default().with_name(name.map(|n| TopicName(text(n))));
        responses.push(match result {
            Ok(topic) => {
                tracing::info!(topic = topic.name, id = %topic.id, "topic deleted");
                if let Err(e) = super::group_offsets::forget_topic(node, topic.name.clone()).await {
                    tracing::error!(topic = topic.name, error = %e, "offsets of a deleted topic were not forgotten");
                }
                if caller.version >= 6 { answer.with_topic_id(topic.id) } else { answer }
            }
            Err((e, why)) => {
                let answer = answer.with_error_code(e.code());
                let answer = if caller.version >= 6 { answer.with_topic_id(t.topic_id) } else { answer };
                if caller.version >= 5 { answer.with_error_message(Some(text(why))) } else { answer }
            }
        });
    }
    DeleteTopicsResponse::default().with_responses(responses)
}

pub(crate) async fn grow(node: &Arc<Node>, _: &Caller, request: CreatePartitionsRequest) -> CreatePartitionsResponse {
    let mut results = Vec::with_capacity(request.topics.len());
    for t in request.topics {
        let misplaced = t.assignments.iter().flatten().any(|a| !only_here(&a.broker_ids));
        let result = if misplaced {
            Err((ResponseError::InvalidReplicaAssignment, format!("The only node is {NODE_ID}.")))
        } else {
            let (worker, name, dry) = (node.clone(), t.name.to_string(), request.validate_only);
            let grown = Node::blocking(move || worker.topics.grow(&name, t.count, dry)).await;
            grown.unwrap_or_else(|| Err(lost()))
        };
        let answer = CreatePartitionsTopicResult::default().with_name(t.name);
        results.push(match result {
            Ok(()) => answer,
            Err((e, why)) => answer.with_error_code(e.code()).with_error_message(Some(text(why))),
        });
    }
    CreatePartitionsResponse::default().with_results(results)
}
