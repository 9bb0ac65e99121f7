//! What clients may ask: the list of requests with their versions, and the way from a frame to an answer.
//!
//! May assume: a frame is complete. Promises: a version outside the list is never guessed at; each file here answers one
//! group of questions and knows nothing of bytes.

mod cluster;
mod configs;
mod coordinator;
mod fetch;
mod group_admin;
mod group_offsets;
mod groups;
mod list_offsets;
mod metadata;
mod produce;
mod producer_id;
mod records;
mod shape;
mod topics;
mod versions;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, Message, StrBytes, decode_request_header_from_buffer};

use crate::connection::Close;
use crate::node::Node;

/// Every request that is answered, with the lowest and the highest version. Where the highest is below the crate's, the
/// newer one would need what this broker does not have.
pub(crate) const APIS: &[(ApiKey, i16, i16)] = &[
    (ApiKey::Produce, 3, 13),
    (ApiKey::Fetch, 4, 17),
    (ApiKey::ListOffsets, 1, 10),
    (ApiKey::Metadata, 0, 13),
    (ApiKey::OffsetCommit, 2, 9),
    (ApiKey::OffsetFetch, 1, 9),
    (ApiKey::FindCoordinator, 0, 6),
    (ApiKey::JoinGroup, 0, 9),
    (ApiKey::Heartbeat, 0, 4),
    (ApiKey::LeaveGroup, 0, 5),
    (ApiKey::SyncGroup, 0, 5),
    (ApiKey::DescribeGroups, 0, 6),
    (ApiKey::ListGroups, 0, 5),
    (ApiKey::ApiVersions, 0, 4),
    (ApiKey::CreateTopics, 2, 7),
    (ApiKey::DeleteTopics, 1, 6),
    (ApiKey::DeleteRecords, 0, 2),
    (ApiKey::InitProducerId, 0, 5),
    (ApiKey::OffsetForLeaderEpoch, 2, 4),
    (ApiKey::DescribeConfigs, 1, 4),
    (ApiKey::AlterConfigs, 0, 2),
    (ApiKey::CreatePartitions, 0, 3),
    (ApiKey::DeleteGroups, 0, 2),
    (ApiKey::IncrementalAlterConfigs, 0, 1),
    (ApiKey::OffsetDelete, 0, 0),
    (ApiKey::DescribeCluster, 0, 2),
    (ApiKey::DescribeTopicPartitions, 0, 0),
];

/// Who asks, and in which version.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) version: i16,
    pub(crate) client_id: StrBytes,
    pub(crate) peer: SocketAddr,
}

/// An answer that waits for the disk.
pub(crate) type Pending = Pin<Box<dyn Future<Output = Result<BytesMut, Close>> + Send>>;

/// What becomes of a request.
pub(crate) enum Answer {
    /// The client does not want one (`acks=0`).
    None,
    Ready(BytesMut),
    Pending(Pending),
}

/// Where the answer goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reply {
    key: ApiKey,
    version: i16,
    correlation_id: i32,
}

impl Reply {
    /// The frame of an answer.
    pub(crate) fn encode(&self, response: &impl Encodable) -> Result<BytesMut, Close> {
        let failed = |e: String| Close::Unanswerable(format!("{:?} version {}: {e}", self.key, self.version));
        let size = response.compute_size(self.version).map_err(|e| failed(e.to_string()))?;
        let mut out = BytesMut::with_capacity(size + 16);
        out.put_i32(0);
        let header = ResponseHeader::default().with_correlation_id(self.correlation_id);
        let header_version = self.key.response_header_version(self.version);
        header.encode(&mut out, header_version).map_err(|e| failed(e.to_string()))?;
        response.encode(&mut out, self.version).map_err(|e| failed(e.to_string()))?;
        let length = i32::try_from(out.len() - 4).map_err(|_| Close::Unanswerable("more than 2 GiB".into()))?;
        out[..4].copy_from_slice(&length.to_be_bytes());
        Ok(out)
    }
}

/// Decodes a request, asks the handler, encodes what it says.
macro_rules! ask {
    ($request:ident, $body:expr, $caller:expr, $reply:expr, $handler:path, $node:expr) => {{
        let request = decode::<$request>($body, $caller.version)?;
        let response = $handler($node, $caller, request).await;
        Answer::Ready($reply.encode(&response)?)
    }};
}

/// Answers one frame.
pub(crate) async fn answer(node: &Arc<Node>, mut frame: Bytes, peer: SocketAddr) -> Result<Answer, Close> {
    if frame.len() < 8 {
        return Err(Close::Malformed(format!("{} bytes are too few for a header", frame.len())));
    }
    let (code, version) = (frame.slice(..2).get_i16(), frame.slice(2..4).get_i16());
    let key = ApiKey::try_from(code).map_err(|()| Close::Malformed(format!("unknown API {code}")))?;
    let header = decode_request_header_from_buffer(&mut frame).map_err(|e| Close::Malformed(e.to_string()))?;
    let client_id = header.client_id.unwrap_or_default();
    let reply = Reply { key, version, correlation_id: header.correlation_id };
    let known = APIS.iter().any(|(k, min, max)| *k == key && (*min..=*max).contains(&version));
    if !known {
        if key == ApiKey::ApiVersions {
            // A newer client asks in a version of its own and is told which ones there are, in the oldest.
            let reply = Reply { version: 0, ..reply };
            return Ok(Answer::Ready(reply.encode(&versions::unsupported())?));
        }
        return Err(Close::Malformed(format!("{key:?} version {version} is not served")));
    }
    shape::check(key, version, &frame).map_err(|e| Close::Malformed(format!("{key:?} version {version}: {e}")))?;
    let caller = Caller { version, client_id, peer };
    let c = &caller;
    Ok(match key {
        ApiKey::Produce => produce::handle(node, c, decode::<ProduceRequest>(&mut frame, version)?, reply).await?,
        ApiKey::Fetch => ask!(FetchRequest, &mut frame, c, reply, fetch::handle, node),
        ApiKey::ListOffsets => ask!(ListOffsetsRequest, &mut frame, c, reply, list_offsets::handle, node),
        ApiKey::OffsetForLeaderEpoch => {
            ask!(OffsetForLeaderEpochRequest, &mut frame, c, reply, list_offsets::leader_epoch, node)
        }
        ApiKey::Metadata => ask!(MetadataRequest, &mut frame, c, reply, metadata::handle, node),
        ApiKey::DescribeTopicPartitions => {
            ask!(DescribeTopicPartitionsRequest, &mut frame, c, reply, metadata::describe, node)
        }
        ApiKey::DescribeCluster => ask!(DescribeClusterRequest, &mut frame, c, reply, cluster::handle, node),
        ApiKey::ApiVersions => ask!(ApiVersionsRequest, &mut frame, c, reply, versions::handle, node),
        ApiKey::FindCoordinator => ask!(FindCoordinatorRequest, &mut frame, c, reply, coordinator::handle, node),
        ApiKey::InitProducerId => ask!(InitProducerIdRequest, &mut frame, c, reply, producer_id::handle, node),
        ApiKey::JoinGroup => ask!(JoinGroupRequest, &mut frame, c, reply, groups::join, node),
        ApiKey::SyncGroup => ask!(SyncGroupRequest, &mut frame, c, reply, groups::sync, node),
        ApiKey::Heartbeat => ask!(HeartbeatRequest, &mut frame, c, reply, groups::heartbeat, node),
        ApiKey::LeaveGroup => ask!(LeaveGroupRequest, &mut frame, c, reply, groups::leave, node),
        ApiKey::OffsetCommit => ask!(OffsetCommitRequest, &mut frame, c, reply, group_offsets::commit, node),
        ApiKey::OffsetFetch => ask!(OffsetFetchRequest, &mut frame, c, reply, group_offsets::fetch, node),
        ApiKey::OffsetDelete => ask!(OffsetDeleteRequest, &mut frame, c, reply, group_offsets::delete, node),
        ApiKey::ListGroups => ask!(ListGroupsRequest, &mut frame, c, reply, group_admin::list, node),
        ApiKey::DescribeGroups => ask!(DescribeGroupsRequest, &mut frame, c, reply, group_admin::describe, node),
        ApiKey::DeleteGroups => ask!(DeleteGroupsRequest, &mut frame, c, reply, group_admin::delete, node),
        ApiKey::CreateTopics => ask!(CreateTopicsRequest, &mut frame, c, reply, topics::create, node),
        ApiKey::DeleteTopics => ask!(DeleteTopicsRequest, &mut frame, c, reply, topics::delete, node),
        ApiKey::CreatePartitions => ask!(CreatePartitionsRequest, &mut frame, c, reply, topics::grow, node),
        ApiKey::DeleteRecords => ask!(DeleteRecordsRequest, &mut frame, c, reply, records::handle, node),
        ApiKey::DescribeConfigs => ask!(DescribeConfigsRequest, &mut frame, c, reply, configs::describe, node),
        ApiKey::AlterConfigs => ask!(AlterConfigsRequest, &mut frame, c, reply, configs::replace, node),
        ApiKey::IncrementalAlterConfigs => {
            ask!(IncrementalAlterConfigsRequest, &mut frame, c, reply, configs::edit, node)
        }
        _ => return Err(Close::Malformed(format!("{key:?} is not served"))),
    })
}

fn decode<T: Decodable + Message>(body: &mut Bytes, version: i16) -> Result<T, Close> {
    T::decode(body, version).map_err(|e| Close::Malformed(e.to_string()))
}

/// A string of the protocol.
pub(crate) fn text(s: impl Into<String>) -> StrBytes {
    StrBytes::from_string(s.into())
}

/// The code of a result.
pub(crate) fn code<T>(result: &Result<T, ResponseError>) -> i16 {
    result.as_ref().err().map_or(0, ResponseError::code)
}

/// The node as clients are to reach it.
pub(crate) fn host_and_port(node: &Node) -> (StrBytes, i32) {
    (text(node.addr.ip().to_string()), i32::from(node.addr.port()))
}
