//! `Produce`: checks what came, appends it in order, and promises an answer for when it is on disk.
//!
//! May assume: called in the order of the connection. Promises: the append is done when this returns, the waiting is not;
//! `acks=1` and `acks=all` mean the same here, on disk.

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::produce_request::TopicProduceData;
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};

use super::{Answer, Caller, Reply, text};
use crate::clock::now_ms;
use crate::config::TopicConfig;
use crate::connection::Close;
use crate::log::batch::{self, Header};
use crate::log::partition::{AppendRefused, Appended, Partition};
use crate::node::Node;
use crate::topics::Topic;

/// Zstandard came with this version; older clients must not send it.
const ZSTD_SINCE: i16 = 7;
const ZSTD: i16 = 4;

type Outcome = Result<(Arc<Partition>, Appended), (ResponseError, String)>;
type Outcomes = Vec<(TopicProduceResponse, Vec<(i32, Outcome)>)>;

pub(crate) async fn handle(node: &Arc<Node>, caller: &Caller, request: ProduceRequest, reply: Reply) -> Result<Answer, Close> {
    let (acks, version) = (request.acks, caller.version);
    let refusal = if !(-1..=1).contains(&acks) {
        Some((ResponseError::InvalidRequiredAcks, format!("acks={acks}")))
    } else if let Some(id) = request.transactional_id {
        tracing::warn!(peer = %caller.peer, transactional_id = id.as_str(), "refused: this broker has no transactions");
        Some((ResponseError::TransactionalIdAuthorizationFailed, super::producer_id::NO_TRANSACTIONS.into()))
    } else {
        None
    };
    let worker = node.clone();
    let outcomes = Node::blocking(move || append_all(&worker, version, request.topic_data, refusal.as_ref())).await;
    let outcomes = outcomes.ok_or_else(|| Close::Unanswerable("the append panicked".into()))?;
    if node.failure().is_some() {
        return Err(Close::Unanswerable("the broker is stopping".into()));
    }
    if acks == 0 {
        // The client hears nothing, so an error has only this way to show itself (as Kafka does).
        let failed = outcomes.iter().flat_map(|(_, p)| p).any(|(_, o)| o.is_err());
        return if failed { Err(Close::Unanswerable("a batch with acks=0 was refused".into())) } else { Ok(Answer::None) };
    }
    Ok(Answer::Pending(Box::pin(async move {
        let response = when_durable(outcomes, version).await;
        reply.encode(&response)
    })))
}

/// Appends everything in the request. Blocks.
fn append_all(
    node: &Arc<Node>,
    version: i16,
    data: Vec<TopicProduceData>,
    refusal: Option<&(ResponseError, String)>,
) -> Outcomes {
    let one = |t: TopicProduceData| {
        let topic = if version >= 13 { node.topics.by_id(t.topic_id) } else { node.topics.get(&t.name) };
        let unknown = if version >= 13 { ResponseError::UnknownTopicId } else { ResponseError::UnknownTopicOrPartition };
        let partition = |index: i32, records: Option<Bytes>| -> Outcome {
            if let Some(refusal) = refusal {
                return Err(refusal.clone());
            }
            let topic = topic.as_deref().ok_or_else(|| (unknown, String::new()))?;
            append(node, version, topic, index, records)
        };
        let outcomes = t.partition_data.into_iter().map(|p| (p.index, partition(p.index, p.records))).collect();
        (TopicProduceResponse::default().with_name(t.name).with_topic_id(t.topic_id), outcomes)
    };
    data.into_iter().map(one).collect()
}

fn append(node: &Arc<Node>, version: i16, topic: &Topic, index: i32, records: Option<Bytes>) -> Outcome {
    let partition = usize::try_from(index).ok().and_then(|i| topic.partitions.get(i));
    let partition = partition.ok_or((ResponseError::UnknownTopicOrPartition, String::new()))?;
    let records = records.unwrap_or_default();
    let now = now_ms();
    let header = check(&records, &topic.config, version, now)?;
    match partition.append(&records, &header, &topic.config, now) {
        Ok(appended) => {
            node.flusher.mark(partition.clone());
            Ok((partition.clone(), appended))
        }
        Err(AppendRefused::OutOfOrder) => Err((
            ResponseError::OutOfOrderSequenceNumber,
            format!("sequence {} of producer {} does not follow the last one", header.base_sequence, header.producer_id),
        )),
        Err(AppendRefused::Fenced) => {
            Err((ResponseError::InvalidProducerEpoch, format!("epoch {} is over", header.producer_epoch)))
        }
        Err(AppendRefused::Deleted) => Err((ResponseError::UnknownTopicOrPartition, String::new())),
        Err(AppendRefused::Disk(e)) => {
            tracing::error!(topic = topic.name, partition = index, error = e, "append failed");
            Err((ResponseError::KafkaStorageError, e))
        }
        Err(AppendRefused::Fatal(e)) => {
            node.fail(e.clone());
            Err((ResponseError::KafkaStorageError, e))
        }
    }
}

/// What must hold of a batch before it gets a place in the log.
fn check(records: &[u8], config: &TopicConfig, version: i16, now: i64) -> Result<Header, (ResponseError, String)> {
    let refused = |e, why: &str| Err((e, why.to_owned()));
    let Some(header) = Header::parse(records) else {
        return refused(ResponseError::CorruptMessage, "no record batch");
    };
    if header.magic != 2 {
        return refused(ResponseError::UnsupportedForMessageFormat, "only record batches of format 2 are stored");
    }
    if header.size != records.len() {
        return refused(ResponseError::InvalidRecord, "exactly one record batch per partition is taken");
    }
    if records.len() > config.max_message_bytes {
        let why = format!("a batch of {} bytes; the topic takes {}", records.len(), config.max_message_bytes);
        return Err((ResponseError::MessageTooLarge, why));
    }
    if !batch::crc_matches(records, &header) {
        return refused(ResponseError::CorruptMessage, "the checksum does not match");
    }
    if header.is_transactional() || header.is_control() {
        return refused(ResponseError::InvalidTxnState, super::producer_id::NO_TRANSACTIONS);
    }
    if header.count < 1 || header.last_offset_delta != header.count - 1 {
        return refused(ResponseError::InvalidRecord, "the batch does not count its records from zero");
    }
    if header.producer_id >= 0 && (header.producer_epoch < 0 || header.base_sequence < 0) {
        return refused(ResponseError::InvalidRecord, "a producer id without epoch or sequence");
    }
    if header.codec() > ZSTD || (header.codec() == ZSTD && version < ZSTD_SINCE) {
        return refused(ResponseError::UnsupportedCompressionType, "this codec cannot be used in this version");
    }
    if header.max_timestamp.saturating_sub(now) > config.timestamp_after_max_ms {
        let (at, limit) = (header.max_timestamp, config.timestamp_after_max_ms);
        let why = format!("a record's time, {at}, is more than {limit} ms ahead of the broker's");
        return Err((ResponseError::InvalidTimestamp, why));
    }
    Ok(header)
}

/// Waits for the disk and says how it went.
async fn when_durable(outcomes: Outcomes, version: i16) -> ProduceResponse {
    let mut responses = Vec::with_capacity(outcomes.len());
    for (topic, partitions) in outcomes {
        let mut answers = Vec::with_capacity(partitions.len());
        for (index, outcome) in partitions {
            let confirmed = match outcome {
                Ok((partition, appended)) if partition.durable_to(appended.end).await => Ok(appended),
                Ok(_) => Err((ResponseError::UnknownTopicOrPartition, "the topic was deleted".to_owned())),
                Err(e) => Err(e),
            };
            let answer = PartitionProduceResponse::default().with_index(index);
            answers.push(match confirmed {
                Ok(a) if version >= 5 => answer.with_base_offset(a.offset).with_log_start_offset(a.log_start),
                Ok(a) => answer.with_base_offset(a.offset),
                Err((e, why)) => {
                    let why = (version >= 8 && !why.is_empty()).then(|| text(why));
                    answer.with_base_offset(-1).with_error_code(e.code()).with_error_message(why)
                }
            });
        }
        responses.push(topic.with_partition_responses(answers));
    }
    ProduceResponse::default().with_responses(responses)
}
