//! `ListGroups`, `DescribeGroups`, `DeleteGroups`: groups as an administrator sees them.
//!
//! A group is known by its members, or by the offsets that it left.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse, GroupId, ListGroupsRequest,
    ListGroupsResponse,
};

use super::{Caller, code, text};
use crate::groups::group::{Group, Phase};
use crate::node::Node;

/// The protocol type of every consumer; what a group that left only offsets once was.
const CONSUMER: &str = "consumer";

pub(crate) async fn list(node: &Arc<Node>, caller: &Caller, request: ListGroupsRequest) -> ListGroupsResponse {
    let mut known: BTreeMap<String, (Phase, String)> = BTreeMap::new();
    for group in node.offsets.groups().into_keys() {
        known.insert(group, (Phase::Empty, CONSUMER.to_owned()));
    }
    node.groups.each(|g| {
        if g.phase != Phase::Empty || known.contains_key(&g.id) {
            known.insert(g.id.clone(), (g.phase, g.protocol_type.as_ref().map_or(CONSUMER, |t| t.as_str()).to_owned()));
        }
    });
    let wanted = |filter: &[kafka_protocol::protocol::StrBytes], value: &str| {
        filter.is_empty() || filter.iter().any(|f| f.as_str().eq_ignore_ascii_case(value))
    };
    let mut groups = Vec::with_capacity(known.len());
    for (id, (phase, protocol_type)) in known {
        if !wanted(&request.states_filter, phase.name()) || !wanted(&request.types_filter, "classic") {
            continue;
        }
        let group = ListedGroup::default().with_group_id(GroupId(text(id))).with_protocol_type(text(protocol_type));
        groups.push(match caller.version {
            ..4 => group,
            4 => group.with_group_state(text(phase.name())),
            _ => group.with_group_state(text(phase.name())).with_group_type(text("classic")),
        });
    }
    ListGroupsResponse::default().with_groups(groups)
}

pub(crate) async fn describe(node: &Arc<Node>, caller: &Caller, request: DescribeGroupsRequest) -> DescribeGroupsResponse {
    let one = |id: GroupId| {
        let described = node.groups.with(&id, |g, _| described(g, caller.version));
        let left_offsets = || !node.offsets.of_group(&id).is_empty();
        let group = match described {
            Some(d) if d.group_state.as_str() != Phase::Empty.name() || left_offsets() => d,
            _ if left_offsets() => DescribedGroup::default().with_group_state(text("Empty")).with_protocol_type(text(CONSUMER)),
            _ if caller.version >= 6 => DescribedGroup::default()
                .with_error_code(ResponseError::GroupIdNotFound.code())
                .with_error_message(Some(text(format!("Group {} not found.", id.as_str()))))
                .with_group_state(text("Dead")),
            _ => DescribedGroup::default().with_group_state(text("Dead")),
        };
        group.with_group_id(id)
    };
    DescribeGroupsResponse::default().with_groups(request.groups.into_iter().map(one).collect())
}

fn described(group: &Group, version: i16) -> DescribedGroup {
    let stable = group.phase == Phase::Stable;
    let protocol = group.protocol.clone().filter(|_| stable || group.phase == Phase::CompletingRebalance);
    let mut members = Vec::with_capacity(group.members.len());
    for id in group.in_order() {
        let Some(m) = group.members.get(&id) else { continue };
        let subscription = m.protocols.iter().find(|(name, _)| Some(name) == protocol.as_ref());
        let member = DescribedGroupMember::default()
            .with_member_id(id)
            .with_client_id(m.client_id.clone())
            .with_client_host(text(m.client_host.clone()))
            .with_member_metadata(subscription.filter(|_| stable).map(|(_, s)| s.clone()).unwrap_or_default())
            .with_member_assignment(if stable { m.assignment.clone() } else { Bytes::new() });
        members.push(if version >= 4 { member.with_group_instance_id(m.instance.clone()) } else { member });
    }
    DescribedGroup::default()
        .with_group_state(text(group.phase.name()))
        .with_protocol_type(group.protocol_type.clone().unwrap_or_default())
        .with_protocol_data(protocol.unwrap_or_default())
        .with_members(members)
}

pub(crate) async fn delete(node: &Arc<Node>, _: &Caller, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let mut results = Vec::with_capacity(request.groups_names.len());
    for id in request.groups_names {
        let known = node.groups.with(&id, |_, _| ()).is_some() || !node.offsets.of_group(&id).is_empty();
        let result = if !known {
            Err(ResponseError::GroupIdNotFound)
        } else if !node.groups.remove_empty(&id) {
            Err(ResponseError::NonEmptyGroup)
        } else {
            super::group_offsets::forget_group(node, id.to_string()).await
        };
        results.push(DeletableGroupResult::default().with_group_id(id).with_error_code(code(&result)));
    }
    DeleteGroupsResponse::default().with_results(results)
}
