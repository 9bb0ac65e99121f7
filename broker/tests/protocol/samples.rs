//! One request of every kind, with something in each of its arrays, as far as the version allows.

use bytes::Bytes;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::*;
use kafka_protocol::messages::{alter_configs_request as alter, incremental_alter_configs_request as incremental};
use kafka_protocol::protocol::StrBytes;

use crate::wire::{Wire, frame};

fn s(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

fn topic() -> TopicName {
    TopicName(s("sample"))
}

fn group() -> GroupId {
    GroupId(s("group"))
}

/// `$do!(key, version, request, response type)` for the sample of a kind.
macro_rules! sample {
    ($key:expr, $v:expr, $do:ident) => {{
        let v: i16 = $v;
        match $key {
            ApiKey::ApiVersions => {
                let r = ApiVersionsRequest::default();
                let r = if v >= 3 { r.with_client_software_name(s("a")).with_client_software_version(s("1")) } else { r };
                $do!(r, ApiVersionsResponse)
            }
            ApiKey::Metadata => {
                let t = MetadataRequestTopic::default().with_name(Some(topic()));
                $do!(MetadataRequest::default().with_topics(Some(vec![t.clone(), t])), MetadataResponse)
            }
            ApiKey::Produce => {
                let p = PartitionProduceData::default().with_index(0).with_records(Some(Bytes::from_static(&[0; 80])));
                let t = TopicProduceData::default().with_partition_data(vec![p]);
                let t = if v < 13 { t.with_name(topic()) } else { t };
                $do!(ProduceRequest::default().with_acks(1).with_topic_data(vec![t]), ProduceResponse)
            }
            ApiKey::Fetch => {
                let p = FetchPartition::default().with_partition_max_bytes(100);
                let t = FetchTopic::default().with_partitions(vec![p]);
                let f = ForgottenTopic::default().with_partitions(vec![1, 2]);
                let (t, f) = if v < 13 { (t.with_topic(topic()), f.with_topic(topic())) } else { (t, f) };
                let r = FetchRequest::default().with_topics(vec![t]).with_max_bytes(1000).with_session_epoch(-1);
                $do!(if v >= 7 { r.with_forgotten_topics_data(vec![f]) } else { r }, FetchResponse)
            }
            ApiKey::ListOffsets => {
                let p = ListOffsetsPartition::default().with_timestamp(-1);
                let t = ListOffsetsTopic::default().with_name(topic()).with_partitions(vec![p]);
                $do!(ListOffsetsRequest::default().with_topics(vec![t]), ListOffsetsResponse)
            }
            ApiKey::OffsetForLeaderEpoch => {
                let t = OffsetForLeaderTopic::default().with_topic(topic());
                let t = t.with_partitions(vec![OffsetForLeaderPartition::default()]);
                $do!(OffsetForLeaderEpochRequest::default().with_topics(vec![t]), OffsetForLeaderEpochResponse)
            }
            ApiKey::OffsetCommit => {
                let p = OffsetCommitRequestPartition::default().with_committed_offset(3);
                let t = OffsetCommitRequestTopic::default().with_name(topic()).with_partitions(vec![p]);
                $do!(OffsetCommitRequest::default().with_group_id(group()).with_topics(vec![t]), OffsetCommitResponse)
            }
            ApiKey::OffsetFetch if v < 8 => {
                let t = OffsetFetchRequestTopic::default().with_name(topic()).with_partition_indexes(vec![0, 1]);
                let r = OffsetFetchRequest::default().with_group_id(group()).with_topics(Some(vec![t]));
                $do!(r, OffsetFetchResponse)
            }
            ApiKey::OffsetFetch => {
                let t = OffsetFetchRequestTopics::default().with_name(topic()).with_partition_indexes(vec![0, 1]);
                let g = OffsetFetchRequestGroup::default().with_group_id(group()).with_topics(Some(vec![t]));
                $do!(OffsetFetchRequest::default().with_groups(vec![g]), OffsetFetchResponse)
            }
            ApiKey::OffsetDelete => {
                let p = OffsetDeleteRequestPartition::default().with_partition_index(1);
                let t = OffsetDeleteRequestTopic::default().with_name(topic()).with_partitions(vec![p]);
                $do!(OffsetDeleteRequest::default().with_group_id(group()).with_topics(vec![t]), OffsetDeleteResponse)
            }
            ApiKey::FindCoordinator => {
                let r = FindCoordinatorRequest::default();
                let r = if v < 4 { r.with_key(s("group")) } else { r.with_coordinator_keys(vec![s("group"), s("b")]) };
                $do!(r, FindCoordinatorResponse)
            }
            ApiKey::JoinGroup => {
                let p = JoinGroupRequestProtocol::default().with_name(s("range")).with_metadata(Bytes::from_static(b"abc"));
                let r = JoinGroupRequest::default().with_group_id(group()).with_session_timeout_ms(100);
                let r = r.with_protocol_type(s("consumer")).with_protocols(vec![p]);
                $do!(if v >= 1 { r.with_rebalance_timeout_ms(100) } else { r }, JoinGroupResponse)
            }
            ApiKey::SyncGroup => {
                let a = SyncGroupRequestAssignment::default().with_member_id(s("m")).with_assignment(Bytes::from_static(b"a"));
                $do!(SyncGroupRequest::default().with_group_id(group()).with_assignments(vec![a]), SyncGroupResponse)
            }
            ApiKey::Heartbeat => {
                $do!(HeartbeatRequest::default().with_group_id(group()).with_member_id(s("m")), HeartbeatResponse)
            }
            ApiKey::LeaveGroup => {
                let r = LeaveGroupRequest::default().with_group_id(group());
                let m = MemberIdentity::default().with_member_id(s("m")).with_group_instance_id(Some(s("i")));
                $do!(if v < 3 { r.with_member_id(s("m")) } else { r.with_members(vec![m]) }, LeaveGroupResponse)
            }
            ApiKey::DescribeGroups => {
                $do!(DescribeGroupsRequest::default().with_groups(vec![group(), group()]), DescribeGroupsResponse)
            }
            ApiKey::ListGroups => {
                let r = ListGroupsRequest::default();
                let r = if v >= 4 { r.with_states_filter(vec![s("Stable"), s("Empty")]) } else { r };
                $do!(if v >= 5 { r.with_types_filter(vec![s("classic")]) } else { r }, ListGroupsResponse)
            }
            ApiKey::DeleteGroups => {
                $do!(DeleteGroupsRequest::default().with_groups_names(vec![GroupId(s("none"))]), DeleteGroupsResponse)
            }
            ApiKey::CreateTopics => {
                let c = CreatableTopicConfig::default().with_name(s("retention.ms")).with_value(Some(s("1000")));
                let t = CreatableTopic::default().with_name(topic()).with_num_partitions(2).with_replication_factor(1);
                $do!(CreateTopicsRequest::default().with_topics(vec![t.with_configs(vec![c])]), CreateTopicsResponse)
            }
            ApiKey::DeleteTopics => {
                let r = DeleteTopicsRequest::default();
                let (name, state) = (TopicName(s("none")), DeleteTopicState::default().with_name(Some(TopicName(s("none")))));
                $do!(if v < 6 { r.with_topic_names(vec![name]) } else { r.with_topics(vec![state]) }, DeleteTopicsResponse)
            }
            ApiKey::CreatePartitions => {
                let t = CreatePartitionsTopic::default().with_name(topic()).with_count(1).with_assignments(None);
                $do!(CreatePartitionsRequest::default().with_topics(vec![t]), CreatePartitionsResponse)
            }
            ApiKey::DeleteRecords => {
                let p = DeleteRecordsPartition::default().with_offset(-1);
                let t = DeleteRecordsTopic::default().with_name(topic()).with_partitions(vec![p]);
                $do!(DeleteRecordsRequest::default().with_topics(vec![t]), DeleteRecordsResponse)
            }
            ApiKey::InitProducerId => {
                $do!(InitProducerIdRequest::default().with_transactional_id(None), InitProducerIdResponse)
            }
            ApiKey::DescribeConfigs => {
                let r = DescribeConfigsResource::default().with_resource_type(2).with_resource_name(s("sample"));
                let r = r.with_configuration_keys(Some(vec![s("retention.ms"), s("segment.bytes")]));
                $do!(
                    DescribeConfigsRequest::default().with_resources(vec![r]).with_include_synonyms(true),
                    DescribeConfigsResponse
                )
            }
            ApiKey::AlterConfigs => {
                let c = alter::AlterableConfig::default().with_name(s("retention.ms")).with_value(Some(s("5")));
                let r = alter::AlterConfigsResource::default().with_resource_type(2).with_resource_name(s("sample"));
                $do!(AlterConfigsRequest::default().with_resources(vec![r.with_configs(vec![c])]), AlterConfigsResponse)
            }
            ApiKey::IncrementalAlterConfigs => {
                let c = incremental::AlterableConfig::default().with_name(s("retention.ms")).with_value(Some(s("5")));
                let r = incremental::AlterConfigsResource::default().with_resource_type(2).with_resource_name(s("sample"));
                let r = r.with_configs(vec![c]);
                $do!(IncrementalAlterConfigsRequest::default().with_resources(vec![r]), IncrementalAlterConfigsResponse)
            }
            ApiKey::DescribeCluster => $do!(DescribeClusterRequest::default(), DescribeClusterResponse),
            ApiKey::DescribeTopicPartitions => {
                let t = describe_topic_partitions_request::TopicRequest::default().with_name(topic());
                $do!(DescribeTopicPartitionsRequest::default().with_topics(vec![t]), DescribeTopicPartitionsResponse)
            }
            other => panic!("no sample of {other:?}"),
        }
    }};
}

/// Asks the sample and decodes the answer.
pub(crate) fn ask(wire: &mut Wire, key: ApiKey, version: i16) {
    macro_rules! ask {
        ($request:expr, $response:ty) => {{
            wire.send(&frame(key, version, version, &$request));
            let _: $response = wire.receive(key, version);
        }};
    }
    sample!(key, version, ask);
}

/// The sample's bytes.
pub(crate) fn frame_of(key: ApiKey, version: i16) -> Vec<u8> {
    macro_rules! bytes {
        ($request:expr, $response:ty) => {
            frame(key, version, version, &$request)
        };
    }
    sample!(key, version, bytes)
}
