//! `OffsetCommit`, `OffsetFetch`, `OffsetDelete`: how far a group has got.
//!
//! Promises: a commit is confirmed when it is on disk.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestTopic;
use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kafka_protocol::messages::offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, OffsetFetchRequest,
    OffsetFetchResponse, TopicName,
};

use super::{Caller, code, text};
use crate::clock::now_ms;
use crate::groups::group::Group;
use crate::groups::offsets::Committed;
use crate::groups::sync::Who;
use crate::node::Node;

/// The longest note beside an offset (Kafka's `offset.metadata.max.bytes`).
const LONGEST_NOTE: usize = 4096;

pub(crate) async fn commit(node: &Arc<Node>, _: &Caller, request: OffsetCommitRequest) -> OffsetCommitResponse {
    let who = Who {
        member_id: request.member_id,
        instance: request.group_instance_id,
        generation: request.generation_id_or_member_epoch,
    };
    let known = node.groups.with(&request.group_id, |group, now| group.may_commit(&who, now));
    // Nobody is in a group that is not known; only somebody who is in none may commit for it.
    let allowed = known.unwrap_or(if who.generation < 0 { Ok(()) } else { Err(ResponseError::IllegalGeneration) });
    let mut accepted = Vec::new();
    let mut response = Vec::with_capacity(request.topics.len());
    for t in request.topics {
        response.push(sort_out(node, t, allowed, &mut accepted));
    }
    if !accepted.is_empty() {
        let stored = store(node, request.group_id.to_string(), accepted).await;
        if let Err(e) = stored {
            let failed = response.iter_mut().flat_map(|t| &mut t.partitions).filter(|p| p.error_code == 0);
            failed.for_each(|p| p.error_code = e.code());
        }
    }
    OffsetCommitResponse::default().with_topics(response)
}

fn sort_out(
    node: &Node,
    topic: OffsetCommitRequestTopic,
    allowed: Result<(), ResponseError>,
    accepted: &mut Vec<(String, i32, Committed)>,
) -> OffsetCommitResponseTopic {
    let mut partitions = Vec::with_capacity(topic.partitions.len());
    for p in topic.partitions {
        let note = p.committed_metadata.filter(|m| !m.is_empty()).map(|m| m.to_string());
        let result = allowed.and_then(|()| match node.partition(&topic.name, p.partition_index) {
            None => Err(ResponseError::UnknownTopicOrPartition),
            Some(_) if note.as_ref().is_some_and(|n| n.len() > LONGEST_NOTE) => Err(ResponseError::OffsetMetadataTooLarge),
            Some(_) => Ok(()),
        });
        partitions.push(
            OffsetCommitResponsePartition::default().with_partition_index(p.partition_index).with_error_code(code(&result)),
        );
        if result.is_ok() {
            let (offset, leader_epoch) = (p.committed_offset, p.committed_leader_epoch);
            let committed = Committed { offset, leader_epoch, metadata: note, at_ms: now_ms() };
            accepted.push((topic.name.to_string(), p.partition_index, committed));
        }
    }
    OffsetCommitResponseTopic::default().with_name(topic.name).with_partitions(partitions)
}

async fn store(node: &Arc<Node>, group: String, accepted: Vec<(String, i32, Committed)>) -> Result<(), ResponseError> {
    let offsets = node.offsets.clone();
    durable(node, move || offsets.commit(&group, accepted)).await
}

/// Writes to the journal of offsets and waits until that is on disk.
async fn durable(node: &Arc<Node>, write: impl FnOnce() -> std::io::Result<u64> + Send + 'static) -> Result<(), ResponseError> {
    let mark = match Node::blocking(write).await {
        Some(Ok(mark)) => mark,
        Some(Err(e)) => {
            tracing::error!(error = %e, "offsets could not be written");
            return Err(ResponseError::KafkaStorageError);
        }
        None => return Err(ResponseError::UnknownServerError),
    };
    node.flusher.mark(node.offsets.clone());
    if node.offsets.durable_to(mark).await { Ok(()) } else { Err(ResponseError::KafkaStorageError) }
}

/// Forgets what a group committed.
pub(crate) async fn forget_group(node: &Arc<Node>, group: String) -> Result<(), ResponseError> {
    let offsets = node.offsets.clone();
    durable(node, move || offsets.remove_group(&group)).await
}

/// Forgets a topic in every group.
pub(crate) async fn forget_topic(node: &Arc<Node>, topic: String) -> Result<(), ResponseError> {
    let offsets = node.offsets.clone();
    durable(node, move || offsets.remove_topic(&topic)).await
}

pub(crate) async fn fetch(node: &Arc<Node>, caller: &Caller, request: OffsetFetchRequest) -> OffsetFetchResponse {
    let asked = |topics: Option<Vec<(TopicName, Vec<i32>)>>, group: &str| -> Vec<(TopicName, Vec<(i32, Committed)>)> {
        let known = node.offsets.of_group(group);
        let nothing = Committed { offset: -1, leader_epoch: -1, metadata: None, at_ms: 0 };
        let of = |name: &TopicName, p: i32| known.get(&(name.to_string(), p)).cloned().unwrap_or(nothing.clone());
        let topics = topics.unwrap_or_else(|| {
            let mut all: BTreeMap<TopicName, Vec<i32>> = BTreeMap::new();
            for (topic, partition) in known.keys() {
                all.entry(TopicName(text(topic.clone()))).or_default().push(*partition);
            }
            all.into_iter().collect()
        });
        let topic = |(name, partitions): (TopicName, Vec<i32>)| {
            let partitions = partitions.into_iter().map(|p| (p, of(&name, p))).collect();
            (name, partitions)
        };
        topics.into_iter().map(topic).collect()
    };
    let note = |c: &Committed| Some(text(c.metadata.clone().unwrap_or_default()));
    if caller.version >= 8 {
        let mut groups = Vec::with_capacity(request.groups.len());
        for g in request.groups {
            let topics = g.topics.map(|t| t.into_iter().map(|t| (t.name, t.partition_indexes)).collect());
            let partition = |(i, c): (i32, Committed)| {
                OffsetFetchResponsePartitions::default()
                    .with_partition_index(i)
                    .with_committed_offset(c.offset)
                    .with_committed_leader_epoch(c.leader_epoch)
                    .with_metadata(note(&c))
            };
            let topic = |(name, p): (TopicName, Vec<(i32, Committed)>)| {
                let partitions = p.into_iter().map(partition).collect();
                OffsetFetchResponseTopics::default().with_name(name).with_partitions(partitions)
            };
            let topics = asked(topics, &g.group_id).into_iter().map(topic).collect();
            groups.push(OffsetFetchResponseGroup::default().with_group_id(g.group_id).with_topics(topics));
        }
        return OffsetFetchResponse::default().with_groups(groups);
    }
    let topics = request.topics.map(|t| t.into_iter().map(|t| (t.name, t.partition_indexes)).collect());
    let partition = |(i, c): (i32, Committed)| {
        let p = OffsetFetchResponsePartition::default().with_partition_index(i).with_committed_offset(c.offset);
        let p = if caller.version >= 5 { p.with_committed_leader_epoch(c.leader_epoch) } else { p };
        p.with_metadata(note(&c))
    };
    let topic = |(name, p): (TopicName, Vec<(i32, Committed)>)| {
        OffsetFetchResponseTopic::default().with_name(name).with_partitions(p.into_iter().map(partition).collect())
    };
    OffsetFetchResponse::default().with_topics(asked(topics, &request.group_id).into_iter().map(topic).collect())
}

pub(crate) async fn delete(node: &Arc<Node>, _: &Caller, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
    let group = request.group_id.to_string();
    let subscribed = node.groups.with(&group, |g, _| subscriptions(g));
    if subscribed.is_none() && node.offsets.of_group(&group).is_empty() {
        return OffsetDeleteResponse::default().with_error_code(ResponseError::GroupIdNotFound.code());
    }
    let subscribed = subscribed.unwrap_or_default();
    let mut gone = Vec::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for t in request.topics {
        let busy = subscribed.contains(t.name.as_str());
        let mut partitions = Vec::with_capacity(t.partitions.len());
        for p in t.partitions {
            let result = match node.partition(&t.name, p.partition_index) {
                _ if busy => Err(ResponseError::GroupSubscribedToTopic),
                None => Err(ResponseError::UnknownTopicOrPartition),
                Some(_) => {
                    gone.push((t.name.to_string(), p.partition_index));
                    Ok(())
                }
            };
            let answer = OffsetDeleteResponsePartition::default().with_partition_index(p.partition_index);
            partitions.push(answer.with_error_code(code(&result)));
        }
        topics.push(OffsetDeleteResponseTopic::default().with_name(t.name).with_partitions(partitions));
    }
    let offsets = node.offsets.clone();
    let result = durable(node, move || offsets.remove(&group, gone)).await;
    OffsetDeleteResponse::default().with_error_code(code(&result)).with_topics(topics)
}

/// The topics that a group's members read, as far as their subscriptions can be read.
fn subscriptions(group: &Group) -> HashSet<String> {
    use kafka_protocol::messages::ConsumerProtocolSubscription;
    use kafka_protocol::protocol::Decodable;
    let mut topics = HashSet::new();
    for (_, metadata) in group.members.values().flat_map(|m| &m.protocols) {
        let Some((version, mut body)) = metadata.split_first_chunk::<2>() else { continue };
        let version = i16::from_be_bytes(*version).clamp(0, 3);
        // A count that cannot be right is not decoded: it would reserve room for it.
        let sane = body.first_chunk::<4>().is_some_and(|n| (i32::from_be_bytes(*n) as usize) < body.len());
        if sane && let Ok(s) = ConsumerProtocolSubscription::decode(&mut body, version) {
            topics.extend(s.topics.iter().map(|t| t.to_string()));
        }
    }
    topics
}
