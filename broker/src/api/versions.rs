//! `ApiVersions`: the first question of every client.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};

use super::{APIS, Caller};
use crate::node::Node;

fn list() -> ApiVersionsResponse {
    let one = |(key, min, max): &(kafka_protocol::messages::ApiKey, i16, i16)| {
        ApiVersion::default().with_api_key(*key as i16).with_min_version(*min).with_max_version(*max)
    };
    ApiVersionsResponse::default().with_api_keys(APIS.iter().map(one).collect())
}

pub(crate) async fn handle(_: &Arc<Node>, caller: &Caller, request: ApiVersionsRequest) -> ApiVersionsResponse {
    if caller.version >= 3 {
        let (name, version) = (request.client_software_name.as_str(), request.client_software_version.as_str());
        tracing::debug!(peer = %caller.peer, name, version, "client");
    }
    list()
}

/// The answer to a version of this request that does not exist yet.
pub(crate) fn unsupported() -> ApiVersionsResponse {
    list().with_error_code(ResponseError::UnsupportedVersion.code())
}
