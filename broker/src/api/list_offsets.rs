//! `ListOffsets` and `OffsetForLeaderEpoch`: from a time, or from a name like "latest", to an offset.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use kafka_protocol::messages::{
    ListOffsetsRequest, ListOffsetsResponse, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
};

use super::Caller;
use crate::log::partition::LEADER_EPOCH;
use crate::node::Node;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;

pub(crate) async fn handle(node: &Arc<Node>, caller: &Caller, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let (worker, version) = (node.clone(), caller.version);
    // A question about time may have to decompress a batch.
    let topics = Node::blocking(move || {
        let mut topics = Vec::with_capacity(request.topics.len());
        for t in request.topics {
            let one = |p| answer(&worker, &t.name, &p, version);
            let partitions = t.partitions.into_iter().map(one).collect();
            topics.push(ListOffsetsTopicResponse::default().with_name(t.name).with_partitions(partitions));
        }
        topics
    });
    ListOffsetsResponse::default().with_topics(topics.await.unwrap_or_default())
}

fn answer(node: &Node, topic: &str, asked: &ListOffsetsPartition, version: i16) -> ListOffsetsPartitionResponse {
    let response = ListOffsetsPartitionResponse::default().with_partition_index(asked.partition_index);
    match offset(node, topic, asked) {
        Err(e) => response.with_error_code(e.code()),
        Ok(None) => response,
        Ok(Some((timestamp, offset))) => {
            let response = response.with_timestamp(timestamp).with_offset(offset);
            if version >= 4 { response.with_leader_epoch(LEADER_EPOCH) } else { response }
        }
    }
}

/// (timestamp, offset); the names have no timestamp.
fn offset(node: &Node, topic: &str, asked: &ListOffsetsPartition) -> Result<Option<(i64, i64)>, ResponseError> {
    let partition = node.partition(topic, asked.partition_index).ok_or(ResponseError::UnknownTopicOrPartition)?;
    if asked.current_leader_epoch > LEADER_EPOCH {
        return Err(ResponseError::UnknownLeaderEpoch);
    }
    let (first, high_watermark) = partition.watermarks();
    let disk = |e: std::io::Error| {
        tracing::warn!(topic, partition = asked.partition_index, error = %e, "a question about time could not be answered");
        ResponseError::KafkaStorageError
    };
    match asked.timestamp {
        LATEST => Ok(Some((-1, high_watermark))),
        EARLIEST | EARLIEST_LOCAL => Ok(Some((-1, first))),
        MAX_TIMESTAMP => partition.at_max_timestamp().map_err(disk),
        LATEST_TIERED => Ok(None),
        timestamp if timestamp >= 0 => partition.at_timestamp(timestamp).map_err(disk),
        _ => Err(ResponseError::UnsupportedVersion),
    }
}

/// There is one epoch, and it ends at the high watermark.
pub(crate) async fn leader_epoch(
    node: &Arc<Node>,
    _: &Caller,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let one = |topic: &str, asked: OffsetForLeaderPartition| {
        let answer = EpochEndOffset::default().with_partition(asked.partition);
        match node.partition(topic, asked.partition) {
            None => answer.with_error_code(ResponseError::UnknownTopicOrPartition.code()),
            Some(_) if asked.current_leader_epoch > LEADER_EPOCH => {
                answer.with_error_code(ResponseError::UnknownLeaderEpoch.code())
            }
            Some(p) if asked.leader_epoch == LEADER_EPOCH => {
                answer.with_leader_epoch(LEADER_EPOCH).with_end_offset(p.watermarks().1)
            }
            Some(_) => answer,
        }
    };
    let topic = |t: kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderTopic| {
        let partitions = t.partitions.into_iter().map(|p| one(&t.topic, p)).collect();
        OffsetForLeaderTopicResult::default().with_topic(t.topic).with_partitions(partitions)
    };
    OffsetForLeaderEpochResponse::default().with_topics(request.topics.into_iter().map(topic).collect())
}
