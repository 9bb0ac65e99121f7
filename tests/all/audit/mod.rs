//! `tributary audit` against lakes that are right and lakes that are wrong in exactly one way.
//!
//! Each test names the findings that the report must hold, all of them: a check that is removed turns a test red, and so does a check
//! that cries wolf. Here: the report as a whole, and what is beside it. `bronze` and `windows` hold what can be wrong in each.

mod batch;
mod bronze;
mod replay;
mod windows;
mod world;

use std::time::Duration;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::{Value, json};
use world::{TOPIC, World, full};

const LAKE: &[&str] = &["--bronze-only"];
const NOTHING: [&str; 0] = [];

/// The report's numbers of a partition in bronze.
fn bronze(report: &Value, partition: usize) -> &Value {
    &report["streams"][0]["partitions"][partition]["bronze"]
}

#[test]
fn a_clean_lake_and_its_windows_are_right() {
    let world = World::served();
    let (status, report) = world.audit(&[]);
    assert_eq!((status, &report["ok"]), (0, &json!(true)), "{report:#}");
    let stream = &report["streams"][0];
    assert_eq!((&stream["bronze"]["rows"], &stream["bronze"]["statuses"]), (&json!(190), &json!({"ok": 190})));
    assert_eq!(stream["serving"]["tables"][0]["rows"], stream["serving"]["tables"][0]["recounted"]);
    assert!(stream["serving"]["tables"][0]["rows"].as_u64().unwrap() > 20);
    assert_eq!((&bronze(&report, 0)["first"], &bronze(&report, 0)["next"]), (&json!(0), &json!(100)));
}

#[test]
fn people_get_a_table_and_one_line_that_says_it_all() {
    let world = World::served();
    let output = world.command(&[]);
    let text = String::from_utf8(output.stdout).unwrap();
    let last = "audit: bronze 2 partitions, 190 rows, missing=0 twice=0 · windows 2 tables, mismatched=0 drift=0 \
                · silver and gold not built yet · ok";
    assert_eq!(text.lines().last(), Some(last), "{text}");

    world.sql("UPDATE realtime.revenue SET cents = cents + 5 WHERE window_start = '2026-01-01 23:00Z'");
    let text = String::from_utf8(world.command(&[]).stdout).unwrap();
    assert!(text.contains("2026-01-01T23:00:00Z"), "{text}");
    assert!(text.ends_with("mismatched=1 drift=5 · silver and gold not built yet · 1 finding\n"), "{text}");
}

#[test]
fn with_postgresql_down_the_lake_is_still_checked() {
    let mut world = World::new();
    world.put(full(&[(1, 0, 3, 60)]));
    assert_eq!(world.findings(&[]), ["not_checked"], "no address");
    assert_eq!(world.findings(LAKE), NOTHING);
    world.put(full(&[(1, 0, 61, 70)]));
    assert_eq!(world.findings(&[]), ["not_checked", "missing 0#1 [[60,61]]"]);
}

#[test]
fn a_lake_without_the_table_is_not_a_clean_one() {
    let world = World::new();
    assert_eq!(world.findings(LAKE), NOTHING, "an empty table");
    std::fs::remove_dir_all(world.table()).unwrap();
    assert_eq!(world.findings(LAKE), ["not_checked"]);
    assert!(!world.table().exists(), "and the audit makes none");
}

#[test]
fn kafka_is_beside_both() {
    let kafka = MockCluster::new(1).unwrap();
    kafka.create_topic(TOPIC, 2, 1).unwrap();
    let producer: BaseProducer =
        rdkafka::ClientConfig::new().set("bootstrap.servers", kafka.bootstrap_servers()).create().unwrap();
    let send = |partition: i32, count: i64| {
        for n in 0..count {
            producer.send(BaseRecord::to(TOPIC).partition(partition).key("k").payload(&n.to_string())).unwrap();
        }
        producer.flush(Duration::from_secs(10)).unwrap();
    };
    send(0, 100);
    send(1, 90);
    let mut world = World::served();
    world.kafka = Some(kafka.bootstrap_servers());
    assert_eq!(world.findings(&["--drained", "--require-broker"]), NOTHING);
    send(1, 5);
    assert_eq!(world.findings(&[]), NOTHING, "lag is no mistake");
    let (_, report) = world.audit(&[]);
    let partition = &report["streams"][0]["partitions"][1];
    assert_eq!(partition["broker"], json!({"low": 0, "high": 95}));
    assert_eq!((&partition["bronze"]["lag"], &partition["serving"]["lag"]), (&json!(5), &json!(5)));
    let behind = "not_drained 1#1 [[90,95]]";
    assert_eq!(world.findings(&["--drained"]), [behind, behind]);

    world.put(full(&[(1, 1, 90, 97)]));
    assert_eq!(world.findings(&[]), ["ahead_of_broker 1#1 [[95,97]]"]);
}

#[test]
fn a_broker_that_does_not_answer_is_a_mistake_only_on_request() {
    let mut world = World::good();
    world.kafka = Some("127.0.0.1:1".into());
    assert_eq!(world.findings(LAKE), NOTHING);
    assert_eq!(world.findings(&["--bronze-only", "--require-broker"]), ["not_checked"]);
}

#[test]
fn wrong_usage_exits_with_two() {
    let world = World::good();
    for flags in [&["--stream", "other"] as &[&str], &["--wait", "soon"], &["--nonsense"]] {
        let output = world.command(flags);
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        assert!(output.stdout.is_empty());
    }
}
