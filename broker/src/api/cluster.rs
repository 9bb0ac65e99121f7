//! `DescribeCluster`: who is in it. One node is.

use std::sync::Arc;

use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{DescribeClusterRequest, DescribeClusterResponse};

use super::{Caller, host_and_port, text};
use crate::node::{NODE_ID, Node};

pub(crate) async fn handle(node: &Arc<Node>, _: &Caller, _: DescribeClusterRequest) -> DescribeClusterResponse {
    let (host, port) = host_and_port(node);
    let broker = DescribeClusterBroker::default().with_broker_id(NODE_ID.into()).with_host(host).with_port(port);
    DescribeClusterResponse::default()
        .with_cluster_id(text(node.cluster_id.clone()))
        .with_controller_id(NODE_ID.into())
        .with_brokers(vec![broker])
}
