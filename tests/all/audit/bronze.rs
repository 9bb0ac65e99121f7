//! What can be wrong with bronze: its log, its files, its rows.

use serde_json::json;

use super::world::{Draft, Part, Row, TOPIC, World, draft, full, tag};
use super::{LAKE, NOTHING, bronze};

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
    let part = Part { day: 20454, tag: None, replay: None, rows: again, data_change: true };
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
fn a_valid_row_that_is_older_than_the_field_of_a_group_is_in_no_window_of_it() {
    let mut world = World::new();
    world.put(draft(&[(1, 0, 0, 2)], vec![Row::of((1, 0), 0), Row { kind: "", ..Row::of((1, 0), 1) }]));
    world.serve(&[(1, 0, 2)]);
    assert_eq!(world.findings(&[]), NOTHING);
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
    let part = Part { day: 20454, tag: Some(tag(&spans, &rows)), replay: None, rows, data_change: false };
    assert!(first.len() > 1 && world.files.len() > first.len());
    world.put(Draft { parts: vec![part], txns: vec![("rewriter/clicks".into(), 1)], removes: first });
    world.serve(&[(1, 0, 100), (1, 1, 90)]);
    assert_eq!(world.findings(&[]), NOTHING);
    world.checkpoint();
    assert_eq!(world.findings(&[]), NOTHING, "out of a checkpoint too");
}

/// A late row for a closed day comes with a commit of today: the closed day's one file has spans with gaps, which today's files cover.
#[test]
fn a_compacted_day_has_several_spans_and_the_other_days_the_same_ones() {
    let mut world = World::new();
    let late = |offset: i64| Row { event: Row::of((1, 0), 3).event, ..Row::of((1, 0), offset) };
    for n in 0..6 {
        let (from, to) = (n * 10 + 60, n * 10 + 70);
        let mut rows: Vec<Row> = (from..to).map(|offset| Row::of((1, 0), offset)).collect();
        if n % 2 == 0 {
            rows[4] = late(from + 4);
        }
        world.put(draft(&[(1, 0, from, to)], rows));
    }
    let first: Vec<String> = world.files.keys().filter(|path| path.contains("2026-01-01")).cloned().collect();
    assert_eq!(first.len(), 3);
    let rows: Vec<Row> = first.iter().flat_map(|path| world.files[path].clone()).collect();
    let spans = [(1, 0, 60, 70), (1, 0, 80, 90), (1, 0, 100, 110)];
    let part = Part { day: 20454, tag: Some(tag(&spans, &rows)), rows, replay: None, data_change: false };
    world.put(Draft { parts: vec![part.clone()], txns: vec![("rewriter/bronze.clicks".into(), 1)], removes: first });
    assert_eq!(world.findings(LAKE), NOTHING);
    world.checkpoint();
    assert_eq!(world.findings(LAKE), NOTHING, "out of a checkpoint too");
    // A compaction that forgot a row of the second span.
    let path = world.files.iter().find(|(_, rows)| rows.len() == 3).map(|(path, _)| path.clone()).unwrap();
    let mut part = part;
    part.rows.remove(1);
    world.put(Draft { parts: vec![part], txns: vec![("rewriter/bronze.clicks".into(), 2)], removes: vec![path] });
    assert_eq!(world.findings(LAKE), ["rows_differ 0#1"]);
}

#[test]
fn two_commits_that_claim_the_same_offsets_overlap_also_beside_a_compaction() {
    let mut world = World::good();
    let first: Vec<String> = world.files.keys().filter(|path| path.contains("2026-01-01")).cloned().collect();
    let rows: Vec<Row> = first.iter().flat_map(|path| world.files[path].clone()).collect();
    let part =
        Part { day: 20454, tag: Some(tag(&[(1, 0, 0, 100), (1, 1, 0, 90)], &rows)), rows, replay: None, data_change: false };
    world.put(Draft { parts: vec![part], txns: vec![("rewriter/bronze.clicks".into(), 1)], removes: first });
    world.put(draft(&[(1, 0, 100, 160)], (100..150).map(|offset| Row::of((1, 0), offset)).collect()));
    world.put(full(&[(1, 0, 150, 200)]));
    world.checkpoint();
    assert_eq!(world.findings(LAKE), ["overlap 0#1 [[150,160]]"]);
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
