//! What producers may rely on.

use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::harness::*;

#[test]
fn every_codec_comes_back_as_it_was_sent() {
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = topic(codec, 1);
        send_numbers(&producer(&[("compression.type", codec)]), &topic, 0, 0..2_000);
        let messages = take(&reader(&topic, 0, Offset::Beginning), 2_000);
        assert_eq!(numbers(&messages), (0..2_000).collect::<Vec<_>>(), "{codec}");
        assert_eq!(messages[1_999].timestamp().to_millis(), Some(2_000_000), "{codec}");
    }
}

#[test]
fn an_idempotent_producer_writes_every_message_once_and_in_order() {
    let topic = topic("idempotent", 3);
    let settings = [("enable.idempotence", "true"), ("linger.ms", "0"), ("compression.type", "lz4")];
    let producer = producer(&settings);
    for partition in 0..3 {
        send_numbers(&producer, &topic, partition, 0..5_000);
    }
    for partition in 0..3 {
        assert_eq!(watermarks(&topic, partition), (0, 5_000));
        let messages = take(&reader(&topic, partition, Offset::Beginning), 5_000);
        assert_eq!(numbers(&messages), (0..5_000).collect::<Vec<_>>());
    }
}

#[test]
fn acks_of_every_kind_reach_the_log() {
    for acks in ["all", "1", "0"] {
        let topic = topic("acks", 1);
        send_numbers(&producer(&[("acks", acks)]), &topic, 0, 0..100);
        eventually("all of them are readable", || (watermarks(&topic, 0) == (0, 100)).then_some(()));
    }
}

#[test]
fn headers_null_keys_null_values_and_empty_ones_stay_what_they_are() {
    let topic = topic("shapes", 1);
    let producer = producer(&[]);
    let headers =
        OwnedHeaders::new().insert(Header { key: "a", value: Some("1") }).insert(Header { key: "none", value: None::<&str> });
    producer.send(BaseRecord::<str, str>::to(&topic).partition(0).key("k").payload("v").headers(headers)).unwrap();
    producer.send(BaseRecord::<str, str>::to(&topic).partition(0).payload("no key")).unwrap();
    producer.send(BaseRecord::<str, str>::to(&topic).partition(0).key("no value")).unwrap();
    producer.send(BaseRecord::<str, str>::to(&topic).partition(0)).unwrap();
    producer.send(BaseRecord::to(&topic).partition(0).key("").payload("")).unwrap();
    producer.flush(PATIENCE).unwrap();
    let m = take(&reader(&topic, 0, Offset::Beginning), 5);
    let shape = |i: usize| (m[i].key(), m[i].payload());
    assert_eq!(shape(0), (Some(&b"k"[..]), Some(&b"v"[..])));
    assert_eq!(shape(1), (None, Some(&b"no key"[..])));
    assert_eq!(shape(2), (Some(&b"no value"[..]), None));
    assert_eq!(shape(3), (None, None));
    assert_eq!(shape(4), (Some(&b""[..]), Some(&b""[..])));
    let headers = m[0].headers().unwrap();
    assert_eq!((headers.get(0).key, headers.get(0).value), ("a", Some(&b"1"[..])));
    assert_eq!((headers.get(1).key, headers.get(1).value), ("none", None));
}

/// Sends one message and returns how its delivery ended.
fn outcome(topic: &str, settings: &[(&str, &str)], payload: &[u8], timestamp: Option<i64>) -> Option<RDKafkaErrorCode> {
    use rdkafka::client::ClientContext;
    use rdkafka::producer::{DeliveryResult, ProducerContext};
    use std::sync::mpsc;

    struct Report(mpsc::Sender<Option<RDKafkaErrorCode>>);
    impl ClientContext for Report {}
    impl ProducerContext for Report {
        type DeliveryOpaque = ();
        fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
            self.0.send(result.as_ref().err().and_then(|(e, _)| e.rdkafka_error_code())).unwrap();
        }
    }
    let (send, receive) = mpsc::channel();
    let mut config = client();
    config.set("message.timeout.ms", "10000").set("message.max.bytes", "10000000");
    for (k, v) in settings {
        config.set(*k, *v);
    }
    let producer: BaseProducer<Report> = config.create_with_context(Report(send)).unwrap();
    let mut record = BaseRecord::<(), [u8]>::to(topic).partition(0).payload(payload);
    record.timestamp = timestamp;
    producer.send(record).unwrap();
    producer.flush(PATIENCE).unwrap();
    receive.recv().unwrap()
}

#[test]
fn a_message_that_is_too_large_is_refused_and_one_that_just_fits_is_not() {
    let topic = topic("large", 1);
    assert_eq!(outcome(&topic, &[], &vec![b'x'; 1_048_400], None), None);
    assert_eq!(outcome(&topic, &[], &vec![b'x'; 1_048_700], None), Some(RDKafkaErrorCode::MessageSizeTooLarge));
    let small = topic_with("small", 1, &[("max.message.bytes", "1000")]);
    assert_eq!(outcome(&small, &[], &[b'x'; 800], None), None);
    assert_eq!(outcome(&small, &[], &[b'x'; 1_100], None), Some(RDKafkaErrorCode::MessageSizeTooLarge));
}

#[test]
fn a_record_from_the_far_future_is_refused() {
    let topic = topic("future", 1);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    assert_eq!(outcome(&topic, &[], b"soon", Some(now + 60_000)), None);
    assert_eq!(outcome(&topic, &[], b"far", Some(now + 7_200_000)), Some(RDKafkaErrorCode::InvalidTimestamp));
}

#[test]
fn a_topic_that_does_not_exist_is_an_error_for_its_producer() {
    // Apache Kafka's own default would create it; the broker under test is run with auto.create.topics.enable=false.
    let settings = [("message.timeout.ms", "3000"), ("topic.metadata.propagation.max.ms", "500")];
    let began = Instant::now();
    let outcome = outcome(&unique("never-created"), &settings, b"x", None);
    let known = [RDKafkaErrorCode::UnknownTopic, RDKafkaErrorCode::UnknownTopicOrPartition, RDKafkaErrorCode::MessageTimedOut];
    assert!(outcome.is_some_and(|e| known.contains(&e)), "{outcome:?}");
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn transactions_are_refused_clearly() {
    if !is_embedded() {
        println!("SKIPPED on this broker: it has transactions, the embedded one documents that it has none");
        return;
    }
    let producer = producer(&[("transactional.id", "t")]);
    let began = Instant::now();
    let error = producer.init_transactions(PATIENCE).unwrap_err();
    assert!(error.to_string().contains("no transactions"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(5), "refused only after {:?}", began.elapsed());
}
