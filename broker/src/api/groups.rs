//! `JoinGroup`, `SyncGroup`, `Heartbeat`, `LeaveGroup`: the life of a group's member, from the wire's side.

use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse,
    SyncGroupRequest, SyncGroupResponse,
};

use super::{Caller, code};
use crate::groups::join::Join;
use crate::groups::sync::{Sync, Who};
use crate::node::Node;

/// The longest session timeout (Kafka's `group.max.session.timeout.ms`).
const LONGEST_SESSION: Duration = Duration::from_secs(1800);

fn millis(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

pub(crate) async fn join(node: &Arc<Node>, caller: &Caller, request: JoinGroupRequest) -> JoinGroupResponse {
    let session = millis(request.session_timeout_ms);
    let refused = |e: ResponseError, id| {
        let response = JoinGroupResponse::default().with_error_code(e.code()).with_member_id(id);
        if caller.version >= 7 { response.with_protocol_name(None) } else { response }
    };
    if request.group_id.is_empty() {
        return refused(ResponseError::InvalidGroupId, request.member_id);
    }
    if session < node.config.min_session_timeout || session > LONGEST_SESSION {
        return refused(ResponseError::InvalidSessionTimeout, request.member_id);
    }
    let join = Join {
        member_id: request.member_id,
        instance: request.group_instance_id,
        client_id: caller.client_id.clone(),
        client_host: format!("/{}", caller.peer.ip()),
        session,
        // Before version 1 one timeout served as both.
        rebalance: if caller.version >= 1 { millis(request.rebalance_timeout_ms) } else { session },
        protocol_type: request.protocol_type,
        protocols: request.protocols.into_iter().map(|p| (p.name, p.metadata)).collect(),
        comes_back: caller.version >= 4,
        may_skip: caller.version >= 9,
    };
    let formed = node.groups.with_new(&request.group_id, |group, now| group.join(join, now));
    let joined = match formed.await {
        Ok(Ok(joined)) => joined,
        Ok(Err((e, id))) => return refused(e, id),
        Err(_) => return refused(ResponseError::CoordinatorNotAvailable, Default::default()),
    };
    let member = |(id, instance, metadata)| {
        let m = JoinGroupResponseMember::default().with_member_id(id).with_metadata(metadata);
        if caller.version >= 5 { m.with_group_instance_id(instance) } else { m }
    };
    let response = JoinGroupResponse::default()
        .with_generation_id(joined.generation)
        .with_protocol_name(Some(joined.protocol.unwrap_or_default()))
        .with_leader(joined.leader)
        .with_member_id(joined.member_id)
        .with_members(joined.members.into_iter().map(member).collect());
    match caller.version {
        ..7 => response,
        7..9 => response.with_protocol_type(joined.protocol_type),
        _ => response.with_protocol_type(joined.protocol_type).with_skip_assignment(joined.skip_assignment),
    }
}

pub(crate) async fn sync(node: &Arc<Node>, caller: &Caller, request: SyncGroupRequest) -> SyncGroupResponse {
    let sync = Sync {
        who: Who { member_id: request.member_id, instance: request.group_instance_id, generation: request.generation_id },
        protocol_type: request.protocol_type,
        protocol: request.protocol_name,
        assignments: request.assignments.into_iter().map(|a| (a.member_id, a.assignment)).collect(),
    };
    let refused = |e: ResponseError| SyncGroupResponse::default().with_error_code(e.code());
    let Some(waiting) = node.groups.with(&request.group_id, |group, now| group.sync(sync, now)) else {
        return refused(ResponseError::UnknownMemberId);
    };
    match waiting.await {
        Ok(Ok(synced)) => {
            let response = SyncGroupResponse::default().with_assignment(synced.assignment);
            if caller.version >= 5 {
                response.with_protocol_type(synced.protocol_type).with_protocol_name(synced.protocol)
            } else {
                response
            }
        }
        Ok(Err(e)) => refused(e),
        Err(_) => refused(ResponseError::CoordinatorNotAvailable),
    }
}

pub(crate) async fn heartbeat(node: &Arc<Node>, _: &Caller, request: HeartbeatRequest) -> HeartbeatResponse {
    let (member_id, instance, generation) = (request.member_id, request.group_instance_id, request.generation_id);
    let who = Who { member_id, instance, generation };
    let result = node.groups.with(&request.group_id, |group, now| group.heartbeat(&who, now));
    HeartbeatResponse::default().with_error_code(code(&result.unwrap_or(Err(ResponseError::UnknownMemberId))))
}

pub(crate) async fn leave(node: &Arc<Node>, caller: &Caller, request: LeaveGroupRequest) -> LeaveGroupResponse {
    let leave = |id: &_, instance: Option<&_>| {
        let result = node.groups.with(&request.group_id, |group, now| group.leave(id, instance, now));
        result.unwrap_or(Err(ResponseError::UnknownMemberId))
    };
    if caller.version < 3 {
        return LeaveGroupResponse::default().with_error_code(code(&leave(&request.member_id, None)));
    }
    let one = |m: &kafka_protocol::messages::leave_group_request::MemberIdentity| {
        let result = leave(&m.member_id, m.group_instance_id.as_ref());
        MemberResponse::default()
            .with_member_id(m.member_id.clone())
            .with_group_instance_id(m.group_instance_id.clone())
            .with_error_code(code(&result))
    };
    LeaveGroupResponse::default().with_members(request.members.iter().map(one).collect())
}
