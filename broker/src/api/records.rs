//! `DeleteRecords`: moves the first offset forward.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};

use super::Caller;
use crate::clock::now_ms;
use crate::log::retention::DeleteRefused;
use crate::node::Node;

pub(crate) async fn handle(node: &Arc<Node>, _: &Caller, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let worker = node.clone();
    let topics = Node::blocking(move || {
        let mut topics = Vec::with_capacity(request.topics.len());
        for t in request.topics {
            let mut partitions = Vec::with_capacity(t.partitions.len());
            for p in t.partitions {
                let answer = DeleteRecordsPartitionResult::default().with_partition_index(p.partition_index);
                partitions.push(match delete(&worker, &t.name, p.partition_index, p.offset) {
                    Ok(first) => answer.with_low_watermark(first),
                    Err(e) => answer.with_low_watermark(-1).with_error_code(e.code()),
                });
            }
            topics.push(DeleteRecordsTopicResult::default().with_name(t.name).with_partitions(partitions));
        }
        topics
    });
    DeleteRecordsResponse::default().with_topics(topics.await.unwrap_or_default())
}

fn delete(node: &Node, topic: &str, partition: i32, offset: i64) -> Result<i64, ResponseError> {
    let found = node.partition(topic, partition).ok_or(ResponseError::UnknownTopicOrPartition)?;
    found.delete_before(offset, now_ms()).map_err(|e| match e {
        DeleteRefused::OutOfRange => ResponseError::OffsetOutOfRange,
        DeleteRefused::Deleted => ResponseError::UnknownTopicOrPartition,
        DeleteRefused::Disk(e) => {
            tracing::error!(topic, partition, error = %e, "records could not be deleted");
            ResponseError::KafkaStorageError
        }
    })
}
