//! What consumers may rely on.

use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;

use crate::harness::*;

#[test]
fn watermarks_count_messages_and_not_batches() {
    let topic = topic("watermarks", 2);
    assert_eq!(watermarks(&topic, 0), (0, 0));
    send_numbers(&producer(&[]), &topic, 0, 0..1_234);
    assert_eq!(watermarks(&topic, 0), (0, 1_234));
    assert_eq!(watermarks(&topic, 1), (0, 0));
}

#[test]
fn reading_begins_at_any_offset_also_inside_a_batch() {
    let topic = topic("inside", 1);
    send_numbers(&producer(&[("compression.type", "zstd")]), &topic, 0, 0..1_000);
    for start in [0, 1, 10, 499, 998, 999] {
        let messages = take(&reader(&topic, 0, Offset::Offset(start)), (1_000 - start) as usize);
        assert_eq!(offsets(&messages), (start..1_000).collect::<Vec<_>>());
    }
    take(&reader(&topic, 0, Offset::Offset(1_000)), 0);
}

#[test]
fn seek_goes_forward_and_back() {
    let topic = topic("seek", 1);
    send_numbers(&producer(&[]), &topic, 0, 0..300);
    let consumer = reader(&topic, 0, Offset::Beginning);
    take(&consumer, 300);
    for start in [42, 250, 0] {
        consumer.seek(&topic, 0, Offset::Offset(start), PATIENCE).unwrap();
        let messages = take(&consumer, (300 - start) as usize);
        assert_eq!(messages[0].offset(), start);
    }
}

#[test]
fn a_consumer_at_the_end_is_woken_by_the_next_message() {
    let topic = topic("wake", 1);
    // It would wait so long if nothing woke it: no slow machine is mistaken for that.
    let consumer = reader_with(&topic, 0, Offset::Beginning, &[("fetch.wait.max.ms", "20000")]);
    take(&consumer, 0);
    let producer = producer(&[("linger.ms", "0")]);
    for i in 0..5 {
        send_numbers(&producer, &topic, 0, i..i + 1);
        let sent = Instant::now();
        let message = eventually("the next message", || consumer.poll(Duration::from_millis(500))).unwrap();
        assert_eq!(message.offset(), i);
        assert!(sent.elapsed() < Duration::from_secs(10), "it took {:?}", sent.elapsed());
    }
}

#[test]
fn times_lead_to_the_exact_message_under_every_codec() {
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = topic("times", 1);
        let producer = producer(&[("compression.type", codec)]);
        send_numbers(&producer, &topic, 0, 0..500);
        send_numbers(&producer, &topic, 0, 500..1_000);
        let consumer: BaseConsumer = client().create().unwrap();
        let offset_at = |timestamp: i64| {
            let mut asked = TopicPartitionList::new();
            asked.add_partition_offset(&topic, 0, Offset::Offset(timestamp)).unwrap();
            consumer.offsets_for_times(asked, PATIENCE).unwrap().elements()[0].offset()
        };
        // Message i has the time 1,000 × (i + 1).
        for (timestamp, offset) in
            [(0, 0), (1_000, 0), (1_001, 1), (250_000, 249), (499_001, 499), (500_001, 500), (1_000_000, 999)]
        {
            assert_eq!(offset_at(timestamp), Offset::Offset(offset), "{codec} at {timestamp}");
        }
        assert_eq!(offset_at(1_000_001), Offset::End, "{codec}: nothing is that new");
    }
}

#[test]
fn many_partitions_are_read_side_by_side() {
    let topic = topic("many", 6);
    let producer = producer(&[("compression.type", "lz4")]);
    for p in 0..6 {
        send_numbers(&producer, &topic, p, 0..3_000);
    }
    let consumer: BaseConsumer = client()
        .set("group.id", unique("many"))
        .set("fetch.min.bytes", "100000")
        .set("fetch.wait.max.ms", "50")
        .set("max.partition.fetch.bytes", "20000")
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    for p in 0..6 {
        list.add_partition_offset(&topic, p, Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let mut next = [0i64; 6];
    for m in take(&consumer, 18_000) {
        let p = m.partition() as usize;
        assert_eq!(m.offset(), next[p]);
        next[p] += 1;
    }
    assert_eq!(next, [3_000; 6]);
}

#[test]
fn an_offset_outside_the_log_is_an_error_where_the_client_asks_for_one() {
    let topic = topic("outside", 1);
    send_numbers(&producer(&[]), &topic, 0, 0..10);
    let consumer = reader(&topic, 0, Offset::Offset(500));
    let error = eventually("an error", || consumer.poll(Duration::from_millis(100))).unwrap_err();
    assert!(matches!(error, KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset)), "{error:?}");
}

#[test]
fn read_committed_reads_what_plain_producers_wrote() {
    let topic = topic("committed", 1);
    send_numbers(&producer(&[]), &topic, 0, 0..50);
    let consumer: BaseConsumer =
        client().set("group.id", unique("rc")).set("isolation.level", "read_committed").create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&list).unwrap();
    take(&consumer, 50);
}

#[test]
fn an_empty_topic_and_a_missing_one_are_told_apart() {
    let consumer: BaseConsumer = client().create().unwrap();
    assert_eq!(consumer.fetch_watermarks(&topic("empty", 1), 0, PATIENCE).unwrap(), (0, 0));
    let missing = consumer.fetch_watermarks(&unique("missing"), 0, Duration::from_secs(5)).unwrap_err();
    let known = [RDKafkaErrorCode::UnknownPartition, RDKafkaErrorCode::UnknownTopicOrPartition, RDKafkaErrorCode::UnknownTopic];
    assert!(missing.rdkafka_error_code().is_some_and(|e| known.contains(&e)), "{missing:?}");
}
