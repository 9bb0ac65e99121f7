//! `tributary audit` against lakes that are right and lakes that are wrong in exactly one way.
//!
//! Each test names the findings that the report must hold, all of them: a check that is removed turns a test red, and so does a check
//! that cries wolf.

// The helpers of a test are tests as well, and clippy does not know.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "audit/postgres.rs"]
mod postgres;
#[path = "audit/world.rs"]
mod world;

use std::process::Stdio;
use std::time::Duration;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::{Value, json};
use world::{Draft, Part, Row, TOPIC, World, draft, full, tag};

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
    let last = "audit: bronze 2 partitions, 190 rows, missing=0 twice=0 · windows 2 tables, mismatched=0 drift=0 · ok";
    assert_eq!(text.lines().last(), Some(last), "{text}");

    world.sql("UPDATE realtime.revenue SET cents = cents + 5 WHERE window_start = '2026-01-01 23:00Z'");
    let text = String::from_utf8(world.command(&[]).stdout).unwrap();
    assert!(text.contains("2026-01-01T23:00:00Z"), "{text}");
    assert!(text.ends_with("windows 2 tables, mismatched=1 drift=5 · 1 finding\n"), "{text}");
}

#[test]
fn a_missing_range_is_named() {
    let mut world = World::new();
    world.put(full(&[(1, 0, 0, 60)]));
    world.put(full(&[(1, 0, 70, 100)]));
    assert_eq!(world.findings(LAKE), ["missing 0#1 [[60,70]]"]);
}

#[test]
fn a_range_missing_at_the_end_is_what_the_log_promises_and_no_file_has() {
    let mut world = World::good();
    world.put(Draft { txns: vec![(format!("ingest/{TOPIC}#1/0"), 104)], ..Draft::default() });
    assert_eq!(world.findings(LAKE), ["missing 0#1 [[100,104]]"]);
}

#[test]
fn a_range_missing_at_the_begin_shows_when_the_log_stores_the_first_offset() {
    let mut world = World::new();
    let mut commit = full(&[(1, 0, 40, 60)]);
    commit.txns.push((format!("first/{TOPIC}#1/0"), 30));
    world.put(commit);
    assert_eq!(world.findings(LAKE), ["missing 0#1 [[30,40]]"]);
}

#[test]
fn a_partition_whose_files_are_all_gone_is_missing() {
    let mut world = World::good();
    world.put(Draft { txns: vec![(format!("ingest/{TOPIC}#1/2"), 10)], ..Draft::default() });
    assert_eq!(world.findings(LAKE), ["missing 2#1"]);
}

#[test]
fn two_commits_that_claim_the_same_offsets_overlap() {
    let mut world = World::new();
    world.put(draft(&[(1, 0, 0, 60)], (0..50).map(|offset| Row::of((1, 0), offset)).collect()));
    world.put(full(&[(1, 0, 50, 100)]));
    assert_eq!(world.findings(LAKE), ["overlap 0#1 [[50,60]]"]);
}

#[test]
fn an_offset_with_two_rows_came_twice() {
    let mut world = World::good();
    let again = vec![Row::of((1, 0), 17), Row::of((1, 0), 18)];
    // A foreign writer: no tag, so that only the rows can tell.
    let part = Part { day: 20454, tag: None, rows: again, data_change: true };
    world.put(Draft { parts: vec![part], ..Draft::default() });
    let (_, report) = world.audit(LAKE);
    assert_eq!(world.findings(LAKE), ["twice 0#1 [[17,19]]"]);
    assert_eq!((&report["streams"][0]["bronze"]["files_without_tags"], &bronze(&report, 0)["twice"]), (&json!(1), &json!(2)));
}

#[test]
fn the_same_commit_twice_came_twice() {
    let mut world = World::new();
    world.put(full(&[(1, 0, 0, 30)]));
    world.put(full(&[(1, 0, 0, 30)]));
    assert_eq!(world.findings(LAKE), ["twice 0#1 [[0,30]]"]);
}

#[test]
fn a_row_beyond_the_stored_offset_is_beyond() {
    let mut world = World::good();
    let mut commit = full(&[(1, 0, 100, 103)]);
    commit.txns = vec![(format!("ingest/{TOPIC}#1/0"), 101)];
    world.put(commit);
    assert_eq!(world.findings(LAKE), ["beyond 0#1 [[101,103]]"]);
    let (_, report) = world.audit(LAKE);
    assert_eq!(bronze(&report, 0)["beyond_ranges"], json!([[101, 103]]));
}

#[test]
fn rows_of_a_partition_that_the_log_does_not_know_are_beyond() {
    let mut world = World::good();
    let mut commit = full(&[(1, 5, 0, 3)]);
    commit.txns.clear();
    world.put(commit);
    assert_eq!(world.findings(LAKE), ["beyond 5#1 [[0,3]]"]);
}

#[test]
fn a_file_with_other_rows_than_its_tag_says_is_named() {
    let mut world = World::good();
    let mut commit = full(&[(1, 0, 100, 110)]);
    commit.parts[0].rows.pop();
    world.put(commit);
    let (_, report) = world.audit(LAKE);
    assert_eq!(world.findings(LAKE), ["rows_differ 0#1"]);
    assert_eq!(report["streams"][0]["findings"][0]["detail"], "9 rows in the file, 10 in its tag");
    assert_eq!(bronze(&report, 0)["hole_ranges"], json!([[109, 110]]));
}

#[test]
fn rows_outside_of_their_tag_are_named() {
    let mut world = World::new();
    world.put(full(&[(1, 0, 0, 20)]));
    let mut commit = full(&[(1, 0, 20, 40)]);
    commit.parts[0].tag = Some("0:22-40:20".into());
    world.put(commit);
    assert_eq!(world.findings(LAKE), ["outside_tag 0#1 [[20,22]]"]);
}

#[test]
fn a_tag_that_cannot_be_read_is_no_tag() {
    let mut world = World::new();
    let mut commit = full(&[(1, 0, 0, 20)]);
    commit.parts[0].tag = Some("0:20".into());
    world.put(commit);
    assert_eq!(world.findings(LAKE), ["unreadable"]);
}

#[test]
fn a_row_in_the_folder_of_another_day_is_named() {
    let mut world = World::new();
    let mut commit = full(&[(1, 0, 0, 20)]);
    commit.parts[0].day += 1;
    world.put(commit);
    assert_eq!(world.findings(LAKE), ["event_date 0#1 [[0,1]]"]);
}

#[test]
fn a_file_that_is_gone_or_torn_is_named() {
    let world = World::good();
    let path = world.files.keys().next().unwrap();
    std::fs::write(world.table().join(path), b"PAR1 torn").unwrap();
    let findings = world.findings(LAKE);
    assert_eq!(findings, ["unreadable"], "its offsets are covered by its tag");
    std::fs::remove_file(world.table().join(path)).unwrap();
    assert_eq!(world.findings(LAKE), ["unreadable"]);
}

#[test]
fn rejected_rows_are_rows_and_in_no_window() {
    let mut world = World::new();
    let row = |offset| match offset {
        3 => Row::of((1, 0), 3).rejected("malformed"),
        5 => Row::of((1, 0), 5).rejected("tombstone"),
        7 => Row { event: Some(0), status: "ancient", error: Some("ancient: 1970".into()), ..Row::of((1, 0), 7) },
        _ => Row::of((1, 0), offset),
    };
    let mut commit = draft(&[(1, 0, 0, 20)], (0..20).map(row).collect());
    // An ancient event belongs to Kafka's day, where the others are.
    let ancient = commit.parts.remove(0);
    commit.parts[0].rows.extend(ancient.rows);
    commit.parts[0].tag = Some("0:0-20:20".into());
    world.put(commit);
    world.serve(&[(1, 0, 20)]);
    assert_eq!(world.findings(&[]), NOTHING);
    let (_, report) = world.audit(&[]);
    let statuses = json!({"ok": 17, "malformed": 1, "tombstone": 1, "ancient": 1});
    assert_eq!(report["streams"][0]["bronze"]["statuses"], statuses);
}

#[test]
fn a_status_that_nobody_declares_is_named() {
    let mut world = World::new();
    world.put(draft(&[(1, 0, 0, 2)], vec![Row::of((1, 0), 0), Row { status: "fine", ..Row::of((1, 0), 1) }]));
    assert_eq!(world.findings(LAKE), ["unreadable 0#1 [[1,2]]"]);
}

#[test]
fn a_valid_row_without_an_event_time_cannot_be_counted() {
    let mut world = World::new();
    world.put(draft(&[(1, 0, 0, 2)], vec![Row::of((1, 0), 0), Row { event: None, ..Row::of((1, 0), 1) }]));
    world.serve(&[(1, 0, 2)]);
    assert_eq!(world.findings(&[]), ["event_date 0#1 [[1,2]]", "unkeyed"]);
}

#[test]
fn a_valid_row_without_a_group_cannot_be_counted() {
    let mut world = World::new();
    world.put(draft(&[(1, 0, 0, 2)], vec![Row::of((1, 0), 0), Row { kind: "", ..Row::of((1, 0), 1) }]));
    world.serve(&[(1, 0, 2)]);
    assert_eq!(world.findings(&[]), ["unkeyed"]);
}

#[test]
fn holes_are_told_and_judged_on_request() {
    let mut world = World::new();
    let rows = (0..20).filter(|offset| offset % 10 != 9).map(|offset| Row::of((1, 0), offset));
    world.put(draft(&[(1, 0, 0, 20)], rows.collect()));
    assert_eq!(world.findings(LAKE), NOTHING);
    let (_, report) = world.audit(LAKE);
    assert_eq!((&bronze(&report, 0)["holes"], &bronze(&report, 0)["hole_ranges"]), (&json!(2), &json!([[9, 10], [19, 20]])));
    assert_eq!(world.findings(&["--bronze-only", "--no-holes"]), ["missing 0#1 [[9,10],[19,20]]"]);
}

#[test]
fn a_lost_range_is_told_and_nothing_is_missing() {
    let mut world = World::new();
    world.put(full(&[(1, 0, 0, 10)]));
    let lost = Row { status: "lost", error: Some("lost: [10, 25)".into()), event: None, ..Row::of((1, 0), 10) };
    world.put(draft(&[(1, 0, 10, 25)], vec![lost.clone()]));
    world.put(full(&[(1, 0, 25, 40)]));
    world.serve(&[(1, 0, 40)]);
    assert_eq!(world.findings(&[]), NOTHING);
    let (_, report) = world.audit(&[]);
    assert_eq!((&bronze(&report, 0)["lost"], &bronze(&report, 0)["lost_ranges"]), (&json!(15), &json!([[10, 25]])));
    assert_eq!((&bronze(&report, 0)["holes"], &bronze(&report, 0)["rows"]), (&json!(0), &json!(26)));

    world.put(draft(&[(1, 0, 40, 41)], vec![Row { offset: 40, error: Some("lost".into()), ..lost }]));
    assert_eq!(world.findings(LAKE), ["unreadable 0#1 [[40,41]]"]);
}

#[test]
fn a_recreated_topic_is_another_chain() {
    let mut world = World::good();
    world.put(full(&[(2, 0, 5, 30)]));
    world.serve(&[(1, 0, 100), (1, 1, 90), (2, 0, 30)]);
    assert_eq!(world.findings(&[]), NOTHING);
    let (_, report) = world.audit(&[]);
    let place = |n: usize| (&report["streams"][0]["partitions"][n]["incarnation"], &bronze(&report, n)["rows"]);
    assert_eq!([place(0), place(2)], [(&json!(1), &json!(100)), (&json!(2), &json!(25))]);

    world.put(full(&[(2, 0, 31, 33)]));
    assert_eq!(world.findings(LAKE), ["missing 0#2 [[30,31]]"]);
}

#[test]
fn compaction_merges_spans_and_files() {
    let mut world = World::good();
    // All files of the first day become one, those of the second stay: the merged span covers theirs as well.
    let first: Vec<String> = world.files.keys().filter(|path| path.contains("2026-01-01")).cloned().collect();
    let rows: Vec<Row> = first.iter().flat_map(|path| world.files[path].clone()).collect();
    let spans = [(1, 0, 0, 100), (1, 1, 0, 90)];
    let part = Part { day: 20454, tag: Some(tag(&spans, &rows)), rows, data_change: false };
    assert!(first.len() > 1 && world.files.len() > first.len());
    world.put(Draft { parts: vec![part], txns: vec![("rewriter/clicks".into(), 1)], removes: first });
    world.serve(&[(1, 0, 100), (1, 1, 90)]);
    assert_eq!(world.findings(&[]), NOTHING);
    world.checkpoint();
    assert_eq!(world.findings(&[]), NOTHING, "out of a checkpoint too");
}

#[test]
fn a_checkpoint_holds_offsets_and_tags() {
    let mut world = World::good();
    world.checkpoint();
    assert_eq!(world.findings(LAKE), NOTHING);
    world.put(full(&[(1, 0, 105, 110)]));
    assert_eq!(world.findings(LAKE), ["missing 0#1 [[100,105]]"]);
}

#[test]
fn without_tags_the_rows_decide() {
    let mut world = World::new();
    let mut commit = full(&[(1, 0, 0, 30)]);
    commit.parts[0].tag = None;
    world.put(commit.clone());
    assert_eq!(world.findings(LAKE), NOTHING);
    let (_, report) = world.audit(LAKE);
    assert_eq!(report["streams"][0]["bronze"]["files_without_tags"], 1);

    let mut world = World::new();
    commit.parts[0].rows.remove(12);
    world.put(commit);
    assert_eq!(world.findings(LAKE), ["missing 0#1 [[12,13]]"]);
}

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
