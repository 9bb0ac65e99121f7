//! A power cut takes the page cache with it: what was written but not fsynced may be gone, or half there.

use std::time::Duration;

use tributary_broker::{Broker, Config};

use crate::clients::*;

#[test]
fn what_is_not_fsynced_is_neither_shown_nor_confirmed_and_may_vanish() {
    let dir = tempfile::tempdir().unwrap();
    let start = |fsync: Duration| {
        let mut config = Config::new(dir.path());
        config.fsync_interval = fsync;
        Broker::start(config).unwrap()
    };
    let broker = start(Duration::from_millis(5));
    let address = broker.addr().to_string();
    create_topic(&address, "t", 1, &[]);
    send_all(&address, "t", 0..500);
    broker.stop().unwrap();
    let log = files(dir.path(), "t", 0, "log").pop().unwrap();
    let fsynced = std::fs::metadata(&log).unwrap().len();

    // From here on nothing reaches the disk.
    let broker = start(Duration::from_secs(3600));
    let address = broker.addr().to_string();
    let (producer, deliveries) = producer(&address, &[("linger.ms", "0"), ("batch.num.messages", "10")]);
    for i in 500..600 {
        send(&producer, "t", 0, i);
    }
    eventually("the batches are in the file", || {
        producer.poll(Duration::from_millis(10));
        (std::fs::metadata(&log).unwrap().len() > fsynced + 1_000).then_some(())
    });
    assert_eq!(watermarks(&address, "t", 0), (0, 500), "nothing of it is shown");
    assert_eq!(read_all(&address, "t", 0).len(), 500);
    assert_eq!(deliveries.ok(), 0, "nothing of it is confirmed");

    // The power goes at several moments: with nothing of the rest on disk, with half of it, with all but a byte of it.
    let written = std::fs::metadata(&log).unwrap().len();
    for kept in [fsynced, fsynced + 30, (fsynced + written) / 2, written - 1] {
        let after = tempfile::tempdir().unwrap();
        copy_dir(dir.path(), after.path());
        let log = files(after.path(), "t", 0, "log").pop().unwrap();
        std::fs::OpenOptions::new().write(true).open(log).unwrap().set_len(kept).unwrap();
        let broker = Broker::start(Config::new(after.path())).unwrap();
        let address = broker.addr().to_string();
        let found = read_all(&address, "t", 0);
        let n = found.len() as i64;
        assert!((500..600).contains(&n), "{n} of 500 confirmed and 100 others, {kept} bytes kept");
        assert_eq!(found, (0..n).map(|i| (i, i)).collect::<Vec<_>>());
        send_all(&address, "t", n..n + 10);
        assert_eq!(watermarks(&address, "t", 0), (0, n + 10));
        broker.stop().unwrap();
    }
    drop(producer);
}

#[test]
fn damage_to_confirmed_data_is_refused_and_not_cut_away() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(Config::new(dir.path())).unwrap();
    let address = broker.addr().to_string();
    create_topic(&address, "t", 1, &[("segment.bytes", "2000")]);
    for i in 0..20 {
        send_all(&address, "t", i * 50..(i + 1) * 50);
    }
    broker.stop().unwrap();
    // A segment that is not the last loses its index and a bit: it has to be scanned, and the scan fails.
    let first = files(dir.path(), "t", 0, "log").remove(0);
    std::fs::remove_file(files(dir.path(), "t", 0, "index").remove(0)).unwrap();
    let mut bytes = std::fs::read(&first).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&first, &bytes).unwrap();
    let refused = Broker::start(Config::new(dir.path())).unwrap_err().to_string();
    assert!(refused.contains("damaged") && refused.contains(first.file_name().unwrap().to_str().unwrap()), "{refused}");
    // Once the bit is back, the missing index is made anew.
    bytes[100] ^= 1;
    std::fs::write(&first, &bytes).unwrap();
    let broker = Broker::start(Config::new(dir.path())).unwrap();
    assert_eq!(read_all(&broker.addr().to_string(), "t", 0), (0..1_000).map(|i| (i, i)).collect::<Vec<_>>());
}
