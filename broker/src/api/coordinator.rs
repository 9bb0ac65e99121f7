//! `FindCoordinator`: every group's coordinator is this node; transactions have none.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;

use super::{Caller, host_and_port};
use crate::api::producer_id::NO_TRANSACTIONS;
use crate::node::{NODE_ID, Node};

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

pub(crate) async fn handle(node: &Arc<Node>, caller: &Caller, request: FindCoordinatorRequest) -> FindCoordinatorResponse {
    let (host, port) = host_and_port(node);
    let refusal = match request.key_type {
        GROUP => None,
        TRANSACTION => {
            tracing::warn!(peer = %caller.peer, "refused: {NO_TRANSACTIONS}");
            Some((ResponseError::TransactionalIdAuthorizationFailed, NO_TRANSACTIONS))
        }
        _ => Some((ResponseError::InvalidRequest, "only groups have a coordinator here")),
    };
    if caller.version >= 4 {
        let one = |key: StrBytes| match refusal {
            None => Coordinator::default()
                .with_key(key)
                .with_node_id(NODE_ID.into())
                .with_host(host.clone())
                .with_port(port)
                .with_error_message(None),
            Some((e, why)) => Coordinator::default()
                .with_key(key)
                .with_node_id((-1).into())
                .with_port(-1)
                .with_error_code(e.code())
                .with_error_message(Some(StrBytes::from_static_str(why))),
        };
        return FindCoordinatorResponse::default().with_coordinators(request.coordinator_keys.into_iter().map(one).collect());
    }
    let response = FindCoordinatorResponse::default();
    match refusal {
        None => {
            let response = response.with_node_id(NODE_ID.into()).with_host(host).with_port(port);
            if caller.version >= 1 { response.with_error_message(None) } else { response }
        }
        Some((e, why)) => {
            let response = response.with_node_id((-1).into()).with_port(-1).with_error_code(e.code());
            let message = Some(StrBytes::from_static_str(why));
            if caller.version >= 1 { response.with_error_message(message) } else { response }
        }
    }
}
