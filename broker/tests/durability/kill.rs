//! `kill -9` of the whole broker, while clients are at work.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::Producer;
use rdkafka::{Offset, TopicPartitionList};

use crate::clients::*;

/// A broker as a process of its own.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: String,
}

impl Process {
    pub(crate) fn start(dir: &Path, address: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tributary-broker"))
            .args([dir.to_str().unwrap(), address])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "the broker did not start");
        Self { child, address: line.trim().to_owned() }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn idempotent_producers_lose_and_double_nothing_when_the_broker_is_killed_three_times() {
    const MESSAGES: i64 = 300_000;
    const PARTITIONS: i32 = 3;
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Process::start(dir.path(), "127.0.0.1:0");
    let address = broker.address.clone();
    create_topic(&address, "t", PARTITIONS, &[("segment.bytes", "1000000")]);
    let settings = [("enable.idempotence", "true"), ("compression.type", "lz4"), ("batch.num.messages", "200")];
    let (producer, deliveries) = producer(&address, &settings);
    let sent = AtomicBool::new(false);
    std::thread::scope(|s| {
        s.spawn(|| {
            for i in 0..MESSAGES {
                let partition = (i % i64::from(PARTITIONS)) as i32;
                send(&producer, "t", partition, i / i64::from(PARTITIONS));
                if i % 100 == 0 {
                    producer.poll(Duration::ZERO);
                }
            }
            sent.store(true, Ordering::SeqCst);
        });
        for kill in 1..=3 {
            eventually("some deliveries", || (deliveries.ok() > kill * MESSAGES as usize / 5).then_some(()));
            broker.kill();
            broker = Process::start(dir.path(), &address);
        }
    });
    assert!(sent.load(Ordering::SeqCst));
    producer.flush(PATIENCE).unwrap();
    assert_eq!((deliveries.ok(), deliveries.failed()), (MESSAGES as usize, 0));
    for p in 0..PARTITIONS {
        let expected: Vec<_> = (0..MESSAGES / i64::from(PARTITIONS)).map(|i| (i, i)).collect();
        assert!(read_all(&address, "t", p) == expected, "partition {p} is not 0, 1, 2, … in this order");
    }
    broker.kill();
}

#[test]
fn a_consumer_never_sees_what_a_kill_could_take_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Process::start(dir.path(), "127.0.0.1:0");
    let address = broker.address.clone();
    create_topic(&address, "t", 1, &[]);
    let (producer, _) = producer(&address, &[("enable.idempotence", "true"), ("linger.ms", "0")]);
    let consumer: BaseConsumer = client(&address)
        .set("group.id", "g")
        .set("auto.offset.reset", "error")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset("t", 0, Offset::Offset(0)).unwrap();
    consumer.assign(&list).unwrap();
    let (mut next_sent, mut next_seen) = (0, 0);
    for _ in 0..3 {
        for _ in 0..5_000 {
            send(&producer, "t", 0, next_sent);
            next_sent += 1;
            producer.poll(Duration::ZERO);
            while let Some(Ok(m)) = consumer.poll(Duration::ZERO) {
                assert_eq!(m.offset(), next_seen);
                next_seen += 1;
            }
        }
        broker.kill();
        broker = Process::start(dir.path(), &address);
        assert!(watermarks(&address, "t", 0).1 >= next_seen, "it had shown {next_seen}");
    }
    producer.flush(PATIENCE).unwrap();
    eventually("everything", || {
        while let Some(Ok(m)) = consumer.poll(Duration::from_millis(50)) {
            assert_eq!(m.offset(), next_seen);
            assert_eq!(m.payload().unwrap(), next_seen.to_string().as_bytes());
            next_seen += 1;
        }
        (next_seen == next_sent).then_some(())
    });
    broker.kill();
}

#[test]
fn a_confirmed_commit_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Process::start(dir.path(), "127.0.0.1:0");
    create_topic(&broker.address, "t", 1, &[]);
    let commit = |address: &str, offset: i64| {
        let consumer: BaseConsumer = client(address).set("group.id", "g").create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset("t", 0, Offset::Offset(offset)).unwrap();
        consumer.commit(&list, CommitMode::Sync).unwrap();
    };
    for i in 1..=20 {
        commit(&broker.address, i);
    }
    broker.kill();
    let mut broker = Process::start(dir.path(), "127.0.0.1:0");
    let consumer: BaseConsumer = client(&broker.address).set("group.id", "g").create().unwrap();
    let mut asked = TopicPartitionList::new();
    asked.add_partition("t", 0);
    let committed = consumer.committed_offsets(asked, PATIENCE).unwrap().elements()[0].offset();
    assert_eq!(committed, Offset::Offset(20));
    broker.kill();
}

#[test]
fn a_torn_tail_is_cut_and_the_log_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Process::start(dir.path(), "127.0.0.1:0");
    create_topic(&broker.address, "t", 1, &[]);
    send_all(&broker.address, "t", 0..1_000);
    broker.kill();
    let log = files(dir.path(), "t", 0, "log").pop().unwrap();
    let mut bytes = std::fs::read(&log).unwrap();
    // The beginning of the first batch again: a header with a sane length, but the wrong offset and too few bytes.
    bytes.extend_from_within(..100);
    std::fs::write(&log, &bytes).unwrap();
    let mut broker = Process::start(dir.path(), "127.0.0.1:0");
    assert_eq!(watermarks(&broker.address, "t", 0), (0, 1_000));
    send_all(&broker.address, "t", 1_000..1_100);
    assert_eq!(read_all(&broker.address, "t", 0), (0..1_100).map(|i| (i, i)).collect::<Vec<_>>());
    broker.kill();
}

#[test]
fn a_second_broker_on_the_same_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Process::start(dir.path(), "127.0.0.1:0");
    let refused = tributary_broker::Broker::start(tributary_broker::Config::new(dir.path())).unwrap_err().to_string();
    assert!(refused.contains(&broker.child.id().to_string()) && refused.contains("in use"), "{refused}");
    let second = Command::new(env!("CARGO_BIN_EXE_tributary-broker")).arg(dir.path()).stderr(Stdio::piped()).spawn().unwrap();
    let second = second.wait_with_output().unwrap();
    assert!(!second.status.success());
    broker.kill();
    tributary_broker::Broker::start(tributary_broker::Config::new(dir.path())).unwrap().stop().unwrap();
}

#[test]
fn a_polite_signal_is_a_clean_stop() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Process::start(dir.path(), "127.0.0.1:0");
    create_topic(&broker.address, "t", 1, &[]);
    send_all(&broker.address, "t", 0..10);
    let pid = broker.child.id().to_string();
    assert!(Command::new("kill").arg(&pid).status().unwrap().success());
    assert!(broker.child.wait().unwrap().success());
    let mut rest = String::new();
    broker.child.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
    assert!(dir.path().join("clean-shutdown").exists());
}
