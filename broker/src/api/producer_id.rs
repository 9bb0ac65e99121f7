//! `InitProducerId`: a number for an idempotent producer, and the refusal of transactions.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};

use super::Caller;
use crate::node::Node;

/// What a client that asks for transactions is told.
pub(crate) const NO_TRANSACTIONS: &str =
    "this broker has no transactions: unset transactional.id (idempotent producers are served), or use Apache Kafka";

pub(crate) async fn handle(node: &Arc<Node>, caller: &Caller, request: InitProducerIdRequest) -> InitProducerIdResponse {
    let response = InitProducerIdResponse::default();
    if let Some(id) = request.transactional_id {
        tracing::warn!(peer = %caller.peer, transactional_id = id.as_str(), "refused: {NO_TRANSACTIONS}");
        return response.with_error_code(ResponseError::TransactionalIdAuthorizationFailed.code());
    }
    let worker = node.clone();
    match Node::blocking(move || worker.topics.new_producer_id()).await {
        Some(Ok(id)) => response.with_producer_id(id.into()),
        Some(Err((e, _))) => response.with_error_code(e.code()),
        None => response.with_error_code(ResponseError::UnknownServerError.code()),
    }
}
