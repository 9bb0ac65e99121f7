//! `Fetch`: records from an offset on, waiting for them if there are too few.
//!
//! Promises: nothing above the high watermark; a wait costs nothing and ends when enough is there, when the client's time
//! is up, or with an error that the client should hear at once. Fetch sessions are declined (session id 0), which every
//! client understands as "send the full list each time".

use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::FetchPartition;
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::{FetchRequest, FetchResponse};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Caller;
use crate::log::partition::{LEADER_EPOCH, Partition};
use crate::log::read::{Read, ReadRefused};
use crate::node::Node;

/// The longest that a fetch waits, whatever the client says.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// One partition of the request, and where it is.
struct Wanted {
    asked: FetchPartition,
    found: Result<Arc<Partition>, ResponseError>,
}

type Topics = Vec<(FetchableTopicResponse, Vec<Wanted>)>;

pub(crate) async fn handle(node: &Arc<Node>, caller: &Caller, request: FetchRequest) -> FetchResponse {
    if request.session_id != 0 {
        return FetchResponse::default().with_error_code(ResponseError::FetchSessionIdNotFound.code());
    }
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)).min(LONGEST_WAIT);
    let deadline = Instant::now() + wait;
    let (min_bytes, committed) = (request.min_bytes, request.isolation_level == 1);
    let max_bytes = usize::try_from(request.max_bytes).unwrap_or(0).min(node.config.max_fetch_bytes);
    let mut topics = find(node, caller.version, request);
    wait_for_enough(&topics, u64::try_from(min_bytes).unwrap_or(0), deadline).await;
    let read = Node::blocking(move || read_all(&mut topics, max_bytes, committed)).await;
    match read {
        Some(responses) => FetchResponse::default().with_responses(responses),
        None => FetchResponse::default().with_error_code(ResponseError::UnknownServerError.code()),
    }
}

fn find(node: &Node, version: i16, request: FetchRequest) -> Topics {
    let mut topics = Vec::with_capacity(request.topics.len());
    for t in request.topics {
        let (topic, unknown) = if version >= 13 {
            (node.topics.by_id(t.topic_id), ResponseError::UnknownTopicId)
        } else {
            (node.topics.get(&t.topic), ResponseError::UnknownTopicOrPartition)
        };
        let locate = |asked: FetchPartition| {
            let found = match &topic {
                None => Err(unknown),
                Some(_) if asked.current_leader_epoch > LEADER_EPOCH => Err(ResponseError::UnknownLeaderEpoch),
                Some(topic) => usize::try_from(asked.partition)
                    .ok()
                    .and_then(|i| topic.partitions.get(i).cloned())
                    .ok_or(ResponseError::UnknownTopicOrPartition),
            };
            Wanted { asked, found }
        };
        let wanted = t.partitions.into_iter().map(locate).collect();
        topics.push((FetchableTopicResponse::default().with_topic(t.topic).with_topic_id(t.topic_id), wanted));
    }
    topics
}

/// A place among the waiters of a partition, given back when dropped.
struct Place<'a>(&'a Partition, u64);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiters.forget(self.1);
    }
}

async fn wait_for_enough(topics: &Topics, min_bytes: u64, deadline: Instant) {
    let all = || topics.iter().flat_map(|(_, wanted)| wanted);
    let enough = || {
        let mut bytes = 0;
        for w in all() {
            let Ok(partition) = &w.found else { return true };
            match partition.available(w.asked.fetch_offset) {
                Some(n) => bytes += n,
                // Out of range, or deleted: the client should hear of it now.
                None => return true,
            }
        }
        bytes >= min_bytes
    };
    if min_bytes == 0 || enough() || deadline <= Instant::now() {
        return;
    }
    let wake = Arc::new(Notify::new());
    let places: Vec<_> = all().filter_map(|w| w.found.as_deref().ok()).map(|p| Place(p, p.waiters.register(&wake))).collect();
    // Looked at again after registering, so that nothing that came in between is slept over.
    while !enough() {
        tokio::select! {
            () = wake.notified() => {}
            () = tokio::time::sleep_until(deadline) => break,
        }
    }
    drop(places);
}

/// Reads what is there. Blocks.
fn read_all(topics: &mut Topics, max_bytes: usize, committed: bool) -> Vec<FetchableTopicResponse> {
    let mut left = max_bytes;
    let mut empty = true;
    let mut responses = Vec::with_capacity(topics.len());
    for (topic, wanted) in topics {
        let mut partitions = Vec::with_capacity(wanted.len());
        for w in wanted {
            let most = left.min(usize::try_from(w.asked.partition_max_bytes).unwrap_or(0));
            let read = match &w.found {
                // The first batch goes out even if it is larger than every limit, or its consumer would be stuck.
                Ok(partition) => partition.read(w.asked.fetch_offset, most, empty),
                Err(e) => {
                    partitions.push(refused(w.asked.partition, *e, -1, -1));
                    continue;
                }
            };
            if let Ok(read) = &read {
                empty &= read.records.is_empty();
                left = left.saturating_sub(read.records.len());
            }
            partitions.push(answer(w.asked.partition, read, committed));
        }
        responses.push(std::mem::take(topic).with_partitions(partitions));
    }
    responses
}

fn answer(index: i32, read: Result<Read, ReadRefused>, committed: bool) -> PartitionData {
    match read {
        Ok(r) => PartitionData::default()
            .with_partition_index(index)
            .with_high_watermark(r.high_watermark)
            .with_last_stable_offset(r.high_watermark)
            .with_log_start_offset(r.log_start)
            .with_aborted_transactions(committed.then(Vec::new))
            .with_records(Some(r.records)),
        Err(ReadRefused::OutOfRange { log_start, high_watermark }) => {
            refused(index, ResponseError::OffsetOutOfRange, high_watermark, log_start)
        }
        Err(ReadRefused::Deleted) => refused(index, ResponseError::UnknownTopicOrPartition, -1, -1),
        Err(ReadRefused::Disk(e)) => {
            tracing::error!(partition = index, error = %e, "read failed");
            refused(index, ResponseError::KafkaStorageError, -1, -1)
        }
    }
}

fn refused(index: i32, e: ResponseError, high_watermark: i64, log_start: i64) -> PartitionData {
    PartitionData::default()
        .with_partition_index(index)
        .with_error_code(e.code())
        .with_high_watermark(high_watermark)
        .with_last_stable_offset(high_watermark)
        .with_log_start_offset(log_start)
        .with_aborted_transactions(None)
        .with_records(Some(bytes::Bytes::new()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, TopicConfig};
    use crate::flusher::Flush;
    use crate::log::batch::{Header, testing};
    use crate::log::partition::State;

    fn wanted(partition: &Arc<Partition>) -> Topics {
        let asked = FetchPartition::default().with_partition_max_bytes(1_000);
        vec![(FetchableTopicResponse::default(), vec![Wanted { asked, found: Ok(partition.clone()) }])]
    }

    #[tokio::test]
    async fn a_wait_ends_with_the_fsync_and_leaves_no_waiter_behind() {
        let dir = tempfile::tempdir().unwrap();
        let partition = Arc::new(Partition::new(dir.path().join("0"), State::empty(), std::fs::File::sync_data));
        let topics = wanted(&partition);
        let soon = Instant::now() + Duration::from_millis(50);
        wait_for_enough(&topics, 1, soon).await;
        assert!(Instant::now() >= soon, "there was nothing to read");
        assert!(partition.waiters.is_empty());

        let bytes = testing::batch(None, &[1, 2, 3]);
        let config = TopicConfig::new(&Config::new(dir.path()), Default::default()).unwrap();
        let writer = partition.clone();
        let writing = tokio::spawn(async move {
            while writer.waiters.is_empty() {
                tokio::task::yield_now().await;
            }
            writer.append(&bytes, &Header::parse(&bytes).unwrap(), &config, 0).unwrap();
            assert_eq!(writer.available(0), Some(0), "written is not yet readable");
            writer.flush().unwrap();
        });
        let never = Instant::now() + Duration::from_secs(60);
        wait_for_enough(&topics, 1, never).await;
        writing.await.unwrap();
        assert!(Instant::now() < never);
        assert_eq!((partition.waiters.is_empty(), partition.watermarks()), (true, (0, 3)));
    }
}
