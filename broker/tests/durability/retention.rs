//! The old end of a log goes, by age or by size; offsets never come back.

use std::time::Duration;

use tributary_broker::{Broker, Config};

use crate::clients::*;

fn config(dir: &std::path::Path) -> Config {
    let mut config = Config::new(dir);
    config.retention_check_interval = Duration::from_millis(50);
    config
}

#[test]
fn records_go_when_they_are_old_and_their_offsets_are_not_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(config(dir.path())).unwrap();
    let address = broker.addr().to_string();
    create_topic(&address, "short", 1, &[("retention.ms", "1500")]);
    create_topic(&address, "long", 1, &[]);
    send_all(&address, "short", 0..100);
    send_all(&address, "long", 0..100);
    assert_eq!(watermarks(&address, "short", 0), (0, 100));
    eventually("they are gone", || (watermarks(&address, "short", 0) == (100, 100)).then_some(()));
    assert_eq!(watermarks(&address, "long", 0), (0, 100));
    send_all(&address, "short", 0..10);
    assert_eq!(watermarks(&address, "short", 0).1, 110);
    eventually("those too", || (watermarks(&address, "short", 0) == (110, 110)).then_some(()));
    broker.stop().unwrap();
    for clean in [true, false] {
        if !clean {
            std::fs::remove_file(dir.path().join("clean-shutdown")).unwrap();
        }
        let broker = Broker::start(config(dir.path())).unwrap();
        assert_eq!(watermarks(&broker.addr().to_string(), "short", 0), (110, 110), "clean {clean}");
        broker.stop().unwrap();
    }
    assert_eq!(files(dir.path(), "short", 0, "log").len(), 1, "the empty one that keeps the offset");
}

#[test]
fn a_partition_keeps_about_as_many_bytes_as_it_may() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(config(dir.path())).unwrap();
    let address = broker.addr().to_string();
    create_topic(&address, "t", 1, &[("segment.bytes", "10000"), ("retention.bytes", "50000")]);
    for i in 0..20 {
        send_all(&address, "t", i * 1_000..(i + 1) * 1_000);
    }
    let bytes = || files(dir.path(), "t", 0, "log").iter().map(|f| std::fs::metadata(f).map_or(0, |m| m.len())).sum::<u64>();
    eventually("the old end is gone", || (bytes() < 80_000).then_some(()));
    assert!(bytes() >= 50_000, "and no more than had to go: {}", bytes());
    let (low, high) = watermarks(&address, "t", 0);
    assert!(low > 0 && high == 20_000);
    assert_eq!(read_all(&address, "t", 0), (low..high).map(|i| (i, i)).collect::<Vec<_>>());
}

#[test]
fn what_was_deleted_on_request_stays_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(config(dir.path())).unwrap();
    let address = broker.addr().to_string();
    create_topic(&address, "t", 1, &[("segment.bytes", "2000")]);
    for i in 0..10 {
        send_all(&address, "t", i * 100..(i + 1) * 100);
    }
    let before = files(dir.path(), "t", 0, "log").len();
    let admin: rdkafka::admin::AdminClient<rdkafka::client::DefaultClientContext> = client(&address).create().unwrap();
    let mut list = rdkafka::TopicPartitionList::new();
    list.add_partition_offset("t", 0, rdkafka::Offset::Offset(555)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(admin.delete_records(&list, &rdkafka::admin::AdminOptions::new())).unwrap();
    assert_eq!(watermarks(&address, "t", 0), (555, 1_000));
    assert!(files(dir.path(), "t", 0, "log").len() < before, "whole segments are gone");
    broker.stop().unwrap();
    std::fs::remove_file(dir.path().join("clean-shutdown")).unwrap();
    let broker = Broker::start(config(dir.path())).unwrap();
    let address = broker.addr().to_string();
    assert_eq!(watermarks(&address, "t", 0), (555, 1_000));
    assert_eq!(read_all(&address, "t", 0), (555..1_000).map(|i| (i, i)).collect::<Vec<_>>());
}
