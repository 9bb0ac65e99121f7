//! What can be wrong with the windows, recounted from bronze.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use super::NOTHING;
use super::world::{Draft, Row, TOPIC, World, draft};

#[test]
fn a_window_that_is_off_by_one_is_named() {
    let world = World::served();
    world.sql("UPDATE realtime.per_minute SET events = events + 1 WHERE window_start = '2026-01-01 23:56Z' AND event_kind = 'buy' AND source = 'web'");
    let (_, report) = world.audit(&[]);
    assert_eq!(world.findings(&[]), ["window per_minute"]);
    let serving = &report["streams"][0]["serving"];
    assert_eq!((&serving["mismatched"], &serving["drift"]), (&json!(1), &json!(1)));
    let difference = &serving["tables"][0]["differences"][0];
    assert_eq!(difference["key"], json!({"event_kind": "buy", "source": "web"}));
    assert_eq!((&difference["problem"], &difference["window_start"]), (&json!("value"), &json!("2026-01-01T23:56:00Z")));
    assert_eq!(difference["stored"].as_i64().unwrap(), difference["recount"].as_i64().unwrap() + 1);
}

#[test]
fn a_missing_an_extra_and_a_double_row_are_named() {
    let world = World::served();
    let first = |world: &World| world.audit(&[]).1["streams"][0]["serving"]["tables"][1]["differences"][0].clone();
    world.sql("INSERT INTO realtime.revenue VALUES ('2026-03-01 00:00Z', '2026-03-01 01:00Z', 7, now())");
    assert_eq!(world.findings(&[]), ["window revenue"]);
    assert_eq!((&first(&world)["problem"], &first(&world)["recount"]), (&json!("extra_row"), &Value::Null));
    world.sql("DELETE FROM realtime.revenue WHERE window_start = '2026-03-01 00:00Z'");
    assert_eq!(world.findings(&[]), NOTHING);

    world.sql("INSERT INTO realtime.revenue VALUES ('2026-01-02 00:00Z', '2026-01-02 01:00Z', 0, now())");
    assert_eq!(first(&world)["problem"], "row_twice");
    world.sql("DELETE FROM realtime.revenue WHERE window_start = '2026-01-02 00:00Z'");
    assert_eq!((&first(&world)["problem"], &first(&world)["stored"]), (&json!("missing_row"), &Value::Null));
    assert_eq!(world.findings(&[]), ["window revenue"]);
    world.sql("DROP TABLE realtime.revenue");
    assert_eq!(world.findings(&[]), ["window revenue"]);
}

#[test]
fn a_sum_may_be_wider_than_its_integers() {
    let mut world = World::new();
    let row = |offset| Row { kind: "buy", amount: i64::MAX, ..Row::of((1, 0), offset) };
    world.put(draft(&[(1, 0, 0, 3)], (0..3).map(row).collect()));
    world.serve(&[(1, 0, 3)]);
    assert_eq!(world.findings(&[]), NOTHING);
    world.sql("UPDATE realtime.revenue SET cents = cents - 1");
    assert_eq!(world.findings(&[]), ["window revenue"]);
}

#[test]
fn a_window_that_ends_elsewhere_is_named() {
    let world = World::served();
    world.sql("UPDATE realtime.revenue SET window_end = window_end + interval '1 s' WHERE window_start = '2026-01-02 00:00Z'");
    assert_eq!(world.findings(&[]), ["window revenue"]);
}

#[test]
fn only_what_the_windows_counted_is_recounted() {
    let mut world = World::good();
    world.serve(&[(1, 0, 73), (1, 1, 0)]);
    assert_eq!(world.findings(&[]), NOTHING, "bronze is ahead");
    world.sql("UPDATE ops.stream_offsets SET next_offset = 74 WHERE kafka_partition = 0");
    assert_ne!(world.findings(&[]), NOTHING, "one event more should be in the windows");
}

#[test]
fn what_the_serving_leg_was_told_to_skip_is_not_expected_in_the_windows() {
    let mut world = World::good();
    world.serve(&[(1, 0, 60), (1, 1, 90)]);
    world.sql("UPDATE ops.stream_offsets SET next_offset = 100 WHERE kafka_partition = 0");
    assert_eq!(world.findings(&[]).len(), 2, "both tables lack [60, 100)");
    world.sql("INSERT INTO ops.lost_ranges VALUES ('clicks', 1, 0, 60, 100, 'serving', 'by hand', now())");
    assert_eq!(world.findings(&[]), NOTHING);
}

#[test]
fn postgresql_ahead_of_bronze_proves_nothing() {
    let world = World::served();
    world.sql("UPDATE ops.stream_offsets SET next_offset = 120 WHERE kafka_partition = 0");
    assert_eq!(world.findings(&[]), ["bronze_behind 0#1 [[100,120]]"]);
    let (_, report) = world.audit(&[]);
    assert_eq!(report["streams"][0]["serving"]["state"], "not_provable");
}

#[test]
fn bronze_is_waited_for() {
    let mut world = World::served();
    world.sql("UPDATE ops.stream_offsets SET next_offset = 101 WHERE kafka_partition = 0");
    // One more event, in a kind of its own, so that its windows are easily written.
    world.sql("INSERT INTO realtime.per_minute VALUES ('2026-01-03 00:00Z', '2026-01-03 00:01Z', 'late', 'web', 1, now())");
    let commit = draft(
        &[(1, 0, 100, 101)],
        vec![Row { kind: "late", source: "web", event: Some(20456 * 86_400_000_000), ..Row::of((1, 0), 100) }],
    );
    let mut command = world.command_line(&["--json", "--wait", "20s"]);
    let waiting = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(700));
    world.put(commit);
    let output = waiting.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn stores_that_disagree_about_incarnations_are_named() {
    let mut world = World::served();
    world.put(Draft { txns: vec![(format!("topic/{TOPIC}#abc"), 1)], ..Draft::default() });
    world.sql("INSERT INTO ops.topic_incarnations VALUES ('clicks', 'abc', 2, now())");
    assert_eq!(world.findings(&[]), ["incarnation"]);
}

#[test]
fn windows_that_were_deleted_for_their_age_are_not_missed_and_the_others_are() {
    let world = World::served();
    world.sql("CREATE TABLE ops.retention (table_name TEXT, deleted_before TIMESTAMPTZ)");
    world.sql("INSERT INTO ops.retention VALUES ('per_minute', '2026-01-02 00:00Z')");
    world.sql("DELETE FROM realtime.per_minute WHERE window_start < '2026-01-02 00:00Z'");
    assert_eq!(world.findings(&[]), NOTHING);
    world.sql("UPDATE ops.retention SET deleted_before = '2026-01-01 00:00Z'");
    assert_eq!(world.findings(&[]), ["window per_minute"]);
}
