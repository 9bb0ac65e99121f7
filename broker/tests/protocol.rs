//! The wire itself: every request in every version that the broker offers is asked and its answer decoded, and then the
//! same requests are damaged. Embedded only: this is about how this broker reads and writes bytes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a failed step is a failed test")]

#[path = "protocol/samples.rs"]
mod samples;
#[path = "protocol/wire.rs"]
mod wire;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse};
use tributary_broker::{Broker, Config, Running};

use wire::{Wire, frame};

fn broker() -> (tempfile::TempDir, Running) {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path());
    config.min_session_timeout = Duration::from_millis(100);
    let broker = Broker::start(config).unwrap();
    (dir, broker)
}

fn offered(wire: &mut Wire) -> Vec<(ApiKey, i16, i16)> {
    let answer: ApiVersionsResponse = wire.ask(ApiKey::ApiVersions, 3, &ApiVersionsRequest::default());
    let one = |a: &kafka_protocol::messages::api_versions_response::ApiVersion| {
        (ApiKey::try_from(a.api_key).unwrap(), a.min_version, a.max_version)
    };
    answer.api_keys.iter().map(one).collect()
}

#[test]
fn every_request_is_answered_in_every_version_that_is_offered() {
    let (_dir, broker) = broker();
    let mut wire = Wire::connect(broker.addr());
    let offered = offered(&mut wire);
    assert!(offered.len() > 25);
    let mut asked = 0;
    for (key, min, max) in offered {
        for version in min..=max {
            // Each answer is decoded to its last byte in there.
            samples::ask(&mut wire, key, version);
            asked += 1;
        }
    }
    println!("{asked} requests");
    assert!(asked > 140);
}

#[test]
fn a_version_from_the_future_is_told_which_ones_there_are() {
    let (_dir, broker) = broker();
    let mut wire = Wire::connect(broker.addr());
    wire.send(&frame(ApiKey::ApiVersions, 3, 99, &ApiVersionsRequest::default()));
    let answer: ApiVersionsResponse = wire.receive(ApiKey::ApiVersions, 0);
    assert_eq!(answer.error_code, 35);
    assert!(answer.api_keys.iter().any(|a| a.api_key == ApiKey::Produce as i16));
}

/// Numbers that look random and are the same in every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[test]
fn a_damaged_request_costs_its_sender_the_connection_and_nobody_else_anything() {
    let (_dir, broker) = broker();
    let mut wire = Wire::connect(broker.addr());
    let offered = offered(&mut wire);
    let mut noise = Noise(0x5EED);
    let mut wire = Wire::connect(broker.addr());
    let mut closed = 0;
    for round in 0..30 {
        for (key, min, max) in &offered {
            // A join that is well-formed by chance would wait for the others of its group.
            if matches!(key, ApiKey::JoinGroup | ApiKey::SyncGroup) && round > 2 {
                continue;
            }
            let version = min + (noise.next() % (max - min + 1) as u64) as i16;
            let mut bytes = samples::frame_of(*key, version);
            for _ in 0..=noise.next() % 4 {
                // Beyond the length and the header's first fields: those have tests of their own.
                let at = 12 + (noise.next() as usize) % (bytes.len() - 12);
                bytes[at] = if noise.next().is_multiple_of(3) { 0xff } else { noise.next() as u8 };
            }
            if wire.try_ask(&bytes).is_none() {
                closed += 1;
                wire = Wire::connect(broker.addr());
            }
        }
    }
    println!("{closed} connections closed");
    assert!(closed > 50);
    samples::ask(&mut Wire::connect(broker.addr()), ApiKey::Metadata, 9);
}

#[test]
fn counts_that_would_reserve_gigabytes_are_refused_before_they_are_believed() {
    let (_dir, broker) = broker();
    for (key, version, huge) in [
        (ApiKey::Metadata, 1, &[0x7f, 0xff, 0xff, 0xff][..]),
        (ApiKey::Metadata, 9, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        (ApiKey::CreateTopics, 7, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        (ApiKey::DescribeGroups, 0, &[0x7f, 0xff, 0xff, 0xff]),
    ] {
        let mut body = vec![0, key as u8, 0, version, 0, 0, 0, 1, 0xff, 0xff];
        if key.request_header_version(i16::from(version)) >= 2 {
            body.push(0);
        }
        body.extend_from_slice(huge);
        body.extend_from_slice(&[0; 20]);
        let mut bytes = (body.len() as i32).to_be_bytes().to_vec();
        bytes.extend_from_slice(&body);
        assert_eq!(Wire::connect(broker.addr()).try_ask(&bytes), None, "{key:?} {version}");
    }
    samples::ask(&mut Wire::connect(broker.addr()), ApiKey::Metadata, 9);
}

#[test]
fn what_is_not_kafkas_protocol_at_all_is_hung_up_on() {
    let (_dir, broker) = broker();
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0xff; 64],
        &[0, 0, 0, 2, 0, 18],
        &[0, 0, 0, 0],
        &[0, 0, 0, 9, 3, 0xe7, 0, 0, 0, 0, 0, 1, 0],
    ] {
        let mut stream = TcpStream::connect(broker.addr()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        // Closed, or reset because it had not read everything.
        assert_eq!(stream.read_to_end(&mut answer).unwrap_or(0), 0, "{bytes:?}");
    }
    samples::ask(&mut Wire::connect(broker.addr()), ApiKey::Metadata, 9);
}

#[test]
fn answers_come_in_the_order_of_the_questions() {
    let (_dir, broker) = broker();
    let mut wire = Wire::connect(broker.addr());
    let keys = [ApiKey::Produce, ApiKey::Metadata, ApiKey::Produce, ApiKey::ListOffsets, ApiKey::Produce, ApiKey::ApiVersions];
    for (i, key) in keys.iter().enumerate() {
        let version = if *key == ApiKey::ApiVersions { 0 } else { 7 };
        let mut bytes = samples::frame_of(*key, version);
        bytes[8..12].copy_from_slice(&(1_000 + i as i32).to_be_bytes());
        wire.send(&bytes);
    }
    let order: Vec<i32> = keys.iter().map(|_| wire.correlation_id()).collect();
    assert_eq!(order, (1_000..1_000 + keys.len() as i32).collect::<Vec<_>>());
}
