//! `Metadata` and `DescribeTopicPartitions`: which topics there are, with their ids and partitions.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_topic_partitions_response::{
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic};
use kafka_protocol::messages::{
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, MetadataRequest, MetadataResponse, TopicName,
};

use super::{Caller, host_and_port, text};
use crate::log::partition::LEADER_EPOCH;
use crate::node::{NODE_ID, Node};
use crate::topics::Topic;

pub(crate) async fn handle(node: &Arc<Node>, caller: &Caller, request: MetadataRequest) -> MetadataResponse {
    let v = caller.version;
    let (host, port) = host_and_port(node);
    let broker = MetadataResponseBroker::default().with_node_id(NODE_ID.into()).with_host(host).with_port(port);
    let mut response = MetadataResponse::default().with_brokers(vec![broker]).with_controller_id(NODE_ID.into());
    if v >= 2 {
        response.cluster_id = Some(text(node.cluster_id.clone()));
    }
    response.topics = match request.topics {
        // Before version 1 an empty list meant all, since then it means none.
        None => all(node, v),
        Some(topics) if topics.is_empty() && v == 0 => all(node, v),
        Some(topics) => {
            let mut found = Vec::with_capacity(topics.len());
            for asked in topics {
                found.push(one(node, v, asked, request.allow_auto_topic_creation).await);
            }
            found
        }
    };
    response
}

fn all(node: &Node, version: i16) -> Vec<MetadataResponseTopic> {
    node.topics.all().iter().map(|t| found(t, version)).collect()
}

async fn one(node: &Arc<Node>, version: i16, asked: MetadataRequestTopic, may_create: bool) -> MetadataResponseTopic {
    let Some(name) = asked.name.filter(|n| !n.is_empty()) else {
        return match node.topics.by_id(asked.topic_id) {
            Some(topic) => found(&topic, version),
            None => {
                let missing = MetadataResponseTopic::default().with_topic_id(asked.topic_id);
                let name = if version >= 12 { None } else { Some(TopicName::default()) };
                missing.with_name(name).with_error_code(ResponseError::UnknownTopicId.code())
            }
        };
    };
    let mut topic = node.topics.get(&name);
    let mut refused = ResponseError::UnknownTopicOrPartition;
    // Before version 4 a client could not say no.
    if topic.is_none() && node.config.auto_create_topics && (may_create || version < 4) {
        let (node, name) = (node.clone(), name.to_string());
        match Node::blocking(move || node.topics.create(&name, -1, BTreeMap::new(), false)).await {
            Some(Ok(created)) => topic = Some(created),
            Some(Err((e, _))) => refused = e,
            None => refused = ResponseError::UnknownServerError,
        }
    }
    match topic {
        Some(topic) => found(&topic, version),
        None => MetadataResponseTopic::default().with_name(Some(name)).with_error_code(refused.code()),
    }
}

fn found(topic: &Topic, version: i16) -> MetadataResponseTopic {
    let partition = |i: usize| {
        let p = MetadataResponsePartition::default()
            .with_partition_index(i as i32)
            .with_leader_id(NODE_ID.into())
            .with_replica_nodes(vec![NODE_ID.into()])
            .with_isr_nodes(vec![NODE_ID.into()]);
        if version >= 7 { p.with_leader_epoch(LEADER_EPOCH) } else { p }
    };
    let found = MetadataResponseTopic::default()
        .with_name(Some(TopicName(text(topic.name.clone()))))
        .with_partitions((0..topic.partitions.len()).map(partition).collect());
    if version >= 10 { found.with_topic_id(topic.id) } else { found }
}

/// The Java tools' way to ask for many partitions; the whole answer fits on one page here.
pub(crate) async fn describe(
    node: &Arc<Node>,
    _: &Caller,
    request: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let partition = |i: usize| {
        DescribeTopicPartitionsResponsePartition::default()
            .with_partition_index(i as i32)
            .with_leader_id(NODE_ID.into())
            .with_leader_epoch(LEADER_EPOCH)
            .with_replica_nodes(vec![NODE_ID.into()])
            .with_isr_nodes(vec![NODE_ID.into()])
            .with_eligible_leader_replicas(Some(Vec::new()))
            .with_last_known_elr(Some(Vec::new()))
    };
    let topic = |name: TopicName| {
        let answer = DescribeTopicPartitionsResponseTopic::default();
        match node.topics.get(&name) {
            Some(t) => {
                answer.with_topic_id(t.id).with_partitions((0..t.partitions.len()).map(partition).collect()).with_name(Some(name))
            }
            None => answer.with_name(Some(name)).with_error_code(ResponseError::UnknownTopicOrPartition.code()),
        }
    };
    let mut names: Vec<TopicName> = match request.topics.is_empty() {
        true => node.topics.all().iter().map(|t| TopicName(text(t.name.clone()))).collect(),
        false => request.topics.into_iter().map(|t| t.name).collect(),
    };
    names.sort();
    names.dedup();
    DescribeTopicPartitionsResponse::default().with_topics(names.into_iter().map(topic).collect())
}
