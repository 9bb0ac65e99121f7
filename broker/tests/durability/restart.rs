//! What a restart keeps, and what it costs.

use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message;
use tributary_broker::{Broker, Config, Error};

use crate::clients::*;

#[test]
fn after_a_clean_stop_nothing_is_scanned_and_after_any_other_end_the_last_segment_is() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(Config::new(dir.path())).unwrap();
    create_topic(&broker.addr().to_string(), "t", 1, &[]);
    for i in 0..10 {
        send_all(&broker.addr().to_string(), "t", i * 10..(i + 1) * 10);
    }
    broker.stop().unwrap();
    // A flipped bit tells whether anybody looks: it is invisible unless the checksums are read.
    let log = files(dir.path(), "t", 0, "log").pop().unwrap();
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&log).unwrap();
    let at = file.metadata().unwrap().len() / 2 + 5;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0xff], at).unwrap();
    let broker = Broker::start(Config::new(dir.path())).unwrap();
    assert_eq!(watermarks(&broker.addr().to_string(), "t", 0), (0, 100), "it was not scanned");
    broker.stop().unwrap();
    std::fs::remove_file(dir.path().join("clean-shutdown")).unwrap();
    let broker = Broker::start(Config::new(dir.path())).unwrap();
    let (low, high) = watermarks(&broker.addr().to_string(), "t", 0);
    assert!(low == 0 && (10..100).contains(&high), "it was scanned, up to the damage: {high}");
}

#[test]
fn a_start_with_many_segments_is_fast_clean_or_not() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(Config::new(dir.path())).unwrap();
    let address = broker.addr().to_string();
    create_topic(&address, "t", 1, &[("segment.bytes", "20000")]);
    send_all(&address, "t", 0..200_000);
    broker.stop().unwrap();
    let segments = files(dir.path(), "t", 0, "log").len();
    assert!(segments > 50, "{segments}");
    for clean in [true, false] {
        if !clean {
            std::fs::remove_file(dir.path().join("clean-shutdown")).unwrap();
        }
        let began = Instant::now();
        let broker = Broker::start(Config::new(dir.path())).unwrap();
        let took = began.elapsed();
        println!("{segments} segments, clean {clean}: {took:?}");
        assert!(took < Duration::from_secs(2), "{took:?}");
        assert_eq!(watermarks(&broker.addr().to_string(), "t", 0), (0, 200_000));
        broker.stop().unwrap();
    }
    let broker = Broker::start(Config::new(dir.path())).unwrap();
    assert!(read_all(&broker.addr().to_string(), "t", 0) == (0..200_000).map(|i| (i, i)).collect::<Vec<_>>());
}

#[test]
fn topics_settings_ids_and_the_cluster_id_last() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(Config::new(dir.path())).unwrap();
    let id = broker.cluster_id().to_owned();
    create_topic(&broker.addr().to_string(), "t", 3, &[("retention.ms", "12345")]);
    broker.stop().unwrap();
    let catalogue = std::fs::read_to_string(dir.path().join("topics.json")).unwrap();
    let broker = Broker::start(Config::new(dir.path())).unwrap();
    assert_eq!(broker.cluster_id(), id);
    assert_eq!(std::fs::read_to_string(dir.path().join("cluster.id")).unwrap(), id);
    let consumer: BaseConsumer = client(&broker.addr().to_string()).create().unwrap();
    assert_eq!(consumer.client().fetch_cluster_id(PATIENCE), Some(id.clone()));
    assert_eq!(consumer.fetch_metadata(Some("t"), PATIENCE).unwrap().topics()[0].partitions().len(), 3);
    assert_eq!(std::fs::read_to_string(dir.path().join("topics.json")).unwrap(), catalogue);
    let other = tempfile::tempdir().unwrap();
    assert_ne!(Broker::start(Config::new(other.path())).unwrap().cluster_id(), id);
}

#[test]
fn a_group_finds_together_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(Config::new(dir.path())).unwrap();
    let address = broker.addr();
    create_topic(&address.to_string(), "t", 2, &[]);
    let consumer: BaseConsumer = client(&address.to_string())
        .set("group.id", "g")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "300")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    consumer.subscribe(&["t"]).unwrap();
    let next = |expected: i64| {
        eventually("the next message", || {
            let m = consumer.poll(Duration::from_millis(100))?.ok()?;
            assert_eq!(m.offset(), expected);
            Some(())
        });
    };
    send_all(&address.to_string(), "t", 0..1);
    next(0);
    consumer.commit_consumer_state(CommitMode::Sync).unwrap();
    broker.stop().unwrap();
    let mut config = Config::new(dir.path());
    config.listen = address;
    let _broker = Broker::start(config).unwrap();
    send_all(&address.to_string(), "t", 1..2);
    next(1);
}

#[test]
fn an_address_that_others_can_reach_is_refused_unless_it_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path());
    config.listen = "0.0.0.0:0".parse().unwrap();
    assert!(matches!(Broker::start(config.clone()), Err(Error::NotLoopback(_))));
    assert!(!dir.path().join("cluster.id").exists(), "nothing was touched");
    config.listen = "[::1]:0".parse().unwrap();
    if let Ok(broker) = Broker::start(config) {
        assert!(broker.addr().ip().is_loopback());
    }
}

#[tokio::test]
async fn it_starts_and_stops_inside_another_runtime() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(Config::new(dir.path())).unwrap();
    assert_eq!(broker.failure(), None);
    broker.shutdown().await.unwrap();
    let broker = Broker::start(Config::new(dir.path())).unwrap();
    drop(broker);
    assert!(dir.path().join("clean-shutdown").exists());
}

#[test]
fn an_idle_broker_uses_no_cpu() {
    let dir = tempfile::tempdir().unwrap();
    let broker = crate::kill::Process::start(dir.path(), "127.0.0.1:0");
    create_topic(&broker.address, "t", 6, &[]);
    let consumer: BaseConsumer =
        client(&broker.address).set("group.id", "g").set("auto.offset.reset", "earliest").create().unwrap();
    consumer.subscribe(&["t"]).unwrap();
    eventually("the assignment", || {
        consumer.poll(Duration::from_millis(50));
        (consumer.assignment().unwrap().count() == 6).then_some(())
    });
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", broker.id())).unwrap();
        let fields: Vec<u64> =
            stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2).map(|f| f.parse().unwrap()).collect();
        fields[0] + fields[1]
    };
    let before = ticks();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        consumer.poll(Duration::from_millis(100));
    }
    let used = ticks() - before;
    println!("{used} ticks of 10 ms in 3 s, with a consumer that waits");
    assert!(used <= 5, "{used} ticks");
}
