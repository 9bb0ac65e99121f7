//! What administrators may rely on: topics, settings, identity, deletion of records.

use std::collections::HashMap;

use rdkafka::admin::{AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use crate::harness::*;

fn partitions(topic: &str) -> Option<usize> {
    let consumer: BaseConsumer = client().create().unwrap();
    let metadata = consumer.fetch_metadata(None, PATIENCE).unwrap();
    metadata.topics().iter().find(|t| t.name() == topic).map(|t| t.partitions().len())
}

fn delete(topic: &str) -> Result<(), RDKafkaErrorCode> {
    wait(admin().delete_topics(&[topic], &options())).unwrap().remove(0).map(drop).map_err(|(_, e)| e)
}

#[test]
fn a_topic_is_created_once_listed_and_deleted() {
    let topic = topic("life", 3);
    assert_eq!(partitions(&topic), Some(3));
    assert_eq!(create(&topic, 3, &[]), Err(RDKafkaErrorCode::TopicAlreadyExists));
    delete(&topic).unwrap();
    eventually("it is gone", || partitions(&topic).is_none().then_some(()));
    assert_eq!(delete(&topic), Err(RDKafkaErrorCode::UnknownTopicOrPartition));
}

#[test]
fn what_cannot_be_created_is_refused_with_the_right_reason() {
    use RDKafkaErrorCode as E;
    let name = unique("refused");
    assert_eq!(create("no spaces", 1, &[]), Err(E::InvalidTopic));
    assert_eq!(create(&name, 1, &[("retention.ms", "soon")]), Err(E::InvalidConfig));
    assert_eq!(create(&name, 1, &[("no.such.setting", "1")]), Err(E::InvalidConfig));
    let replicated = NewTopic::new(&name, 1, TopicReplication::Fixed(3));
    let refused = wait(admin().create_topics([&replicated], &options())).unwrap().remove(0);
    assert_eq!(refused.unwrap_err().1, E::InvalidReplicationFactor);
    let two = [&NewTopic::new(&name, 1, TopicReplication::Fixed(1)), &NewTopic::new(&name, 2, TopicReplication::Fixed(1))];
    // librdkafka finds the same name twice by itself, or the broker does.
    let twice = wait(admin().create_topics(two, &options()));
    assert!(twice.map_or(true, |r| r.iter().all(Result::is_err)));
    assert_eq!(partitions(&name), None);
}

#[test]
fn validate_only_creates_nothing() {
    let name = unique("validated");
    let new = NewTopic::new(&name, 2, TopicReplication::Fixed(1));
    let dry = options().validate_only(true);
    wait(admin().create_topics([&new], &dry)).unwrap().remove(0).unwrap();
    assert_eq!(partitions(&name), None);
}

#[test]
fn partitions_grow_and_never_shrink() {
    let topic = topic("growth", 2);
    let to = |n: usize| wait(admin().create_partitions(&[NewPartitions::new(&topic, n)], &options())).unwrap().remove(0);
    to(5).unwrap();
    eventually("there are five", || (partitions(&topic) == Some(5)).then_some(()));
    assert_eq!(to(4).unwrap_err().1, RDKafkaErrorCode::InvalidPartitions);
    assert_eq!(to(5).unwrap_err().1, RDKafkaErrorCode::InvalidPartitions);
    eventually("the new one takes messages", || (watermarks(&topic, 4) == (0, 0)).then_some(()));
    send_numbers(&producer(&[]), &topic, 4, 0..10);
    assert_eq!(watermarks(&topic, 4), (0, 10));
}

fn settings(topic: &str) -> HashMap<String, String> {
    let resource = ResourceSpecifier::Topic(topic);
    let described = wait(admin().describe_configs([&resource], &options())).unwrap().remove(0).unwrap();
    described.entries.into_iter().filter_map(|e| Some((e.name, e.value?))).collect()
}

#[test]
fn settings_are_described_and_altered() {
    let topic = topic_with("settings", 1, &[("retention.ms", "3600000"), ("segment.bytes", "1048576")]);
    let found = settings(&topic);
    assert_eq!(found["retention.ms"], "3600000");
    assert_eq!(found["segment.bytes"], "1048576");
    assert_eq!(found["max.message.bytes"], "1048588");
    assert_eq!(found["retention.bytes"], "-1");
    assert_eq!(found["cleanup.policy"], "delete");
    assert_eq!(found["compression.type"], "producer");
    assert_eq!(found["message.timestamp.type"], "CreateTime");
    let change = AlterConfig::new(ResourceSpecifier::Topic(&topic)).set("retention.bytes", "1000000");
    wait(admin().alter_configs([&change], &options())).unwrap().remove(0).unwrap();
    // The older AlterConfigs, which this call uses, replaces all that was set.
    eventually("the change is in force", || (settings(&topic)["retention.bytes"] == "1000000").then_some(()));
    assert_ne!(settings(&topic)["retention.ms"], "3600000");
    let wrong = AlterConfig::new(ResourceSpecifier::Topic(&topic)).set("retention.ms", "soon");
    // rdkafka drops the error that the broker answers per resource, so only the effect can be asserted.
    let _ = wait(admin().alter_configs([&wrong], &options())).unwrap();
    assert_eq!(settings(&topic)["retention.bytes"], "1000000");
    assert_ne!(settings(&topic)["retention.ms"], "soon");
}

#[test]
fn a_topics_id_lasts_and_a_recreated_topic_has_another() {
    let name = topic("identity", 1);
    let first = topic_id(&name).unwrap();
    assert_eq!(topic_id(&name), Ok(first));
    send_numbers(&producer(&[]), &name, 0, 0..10);
    let grow = NewPartitions::new(&name, 2);
    wait(admin().create_partitions(&[grow], &options())).unwrap().remove(0).unwrap();
    assert_eq!(topic_id(&name), Ok(first), "growing does not change it");
    delete(&name).unwrap();
    eventually("it is gone", || topic_id(&name).is_err().then_some(()));
    assert_eq!(topic_id(&name), Err(RDKafkaErrorCode::UnknownTopicOrPartition));
    create(&name, 1, &[]).unwrap();
    assert_ne!(topic_id(&name).unwrap(), first);
    assert_eq!(watermarks(&name, 0), (0, 0), "and nothing of the old one's records");
}

#[test]
fn a_deleted_topics_committed_offsets_are_forgotten() {
    let (name, group) = (topic("forgotten", 1), unique("forgotten"));
    let consumer: BaseConsumer = client().set("group.id", &group).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&name, 0, Offset::Offset(7)).unwrap();
    send_numbers(&producer(&[]), &name, 0, 0..10);
    consumer.commit(&list, rdkafka::consumer::CommitMode::Sync).unwrap();
    let committed = || {
        let mut asked = TopicPartitionList::new();
        asked.add_partition(&name, 0);
        consumer.committed_offsets(asked, PATIENCE).unwrap().elements()[0].offset()
    };
    assert_eq!(committed(), Offset::Offset(7));
    delete(&name).unwrap();
    eventually("it is gone", || partitions(&name).is_none().then_some(()));
    eventually("it can be created again", || create(&name, 1, &[]).is_ok().then_some(()));
    assert_eq!(committed(), Offset::Invalid);
}

#[test]
fn records_are_deleted_up_to_an_offset_inside_a_batch() {
    let topic = topic("cut", 1);
    send_numbers(&producer(&[("compression.type", "gzip")]), &topic, 0, 0..100);
    let cut = |offset: Offset| {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&topic, 0, offset).unwrap();
        let result = wait(admin().delete_records(&list, &options())).unwrap();
        let element = &result.elements()[0];
        element.error().map(|()| element.offset()).map_err(|e| e.rdkafka_error_code().unwrap())
    };
    assert_eq!(cut(Offset::Offset(42)), Ok(Offset::Offset(42)));
    assert_eq!(watermarks(&topic, 0), (42, 100));
    let messages = take(&reader(&topic, 0, Offset::Beginning), 58);
    assert_eq!(offsets(&messages), (42..100).collect::<Vec<_>>());
    assert_eq!(cut(Offset::Offset(10)), Ok(Offset::Offset(42)), "it never goes back");
    assert_eq!(cut(Offset::Offset(101)), Err(RDKafkaErrorCode::OffsetOutOfRange));
    assert_eq!(cut(Offset::End), Ok(Offset::Offset(100)));
    assert_eq!(watermarks(&topic, 0), (100, 100));
    send_numbers(&producer(&[]), &topic, 0, 0..1);
    assert_eq!(watermarks(&topic, 0), (100, 101), "offsets are not used again");
}

#[test]
fn the_cluster_has_an_id_and_a_controller_that_can_be_reached() {
    let consumer: BaseConsumer = client().create().unwrap();
    let metadata = consumer.fetch_metadata(None, PATIENCE).unwrap();
    assert_eq!(metadata.brokers().len(), 1);
    let broker = &metadata.brokers()[0];
    assert_eq!(format!("{}:{}", broker.host(), broker.port()), bootstrap());
    let id = consumer.client().fetch_cluster_id(PATIENCE).unwrap();
    assert_eq!(id.len(), 22, "{id}");
}
