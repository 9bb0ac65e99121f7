//! Records that became valid after they were committed.

use super::NOTHING;
use super::world::{Draft, Part, Row, World, draft, tag};

const SPANS: [(i32, i32, i64, i64); 1] = [(1, 0, 0, 100)];

/// Offset 13, a purchase of 30 cents, was refused; the windows have the others.
fn refused() -> World {
    let mut world = World::new();
    let row = |offset| match offset {
        13 => Row::of((1, 0), offset).rejected("invalid"),
        _ => Row::of((1, 0), offset),
    };
    world.put(draft(&SPANS, (0..100).map(row).collect()));
    world.serve(&[(1, 0, 100)]);
    world.sql("CREATE TABLE ops.replays (stream text, table_id text, next bigint, updated_at timestamptz)");
    assert_eq!(world.findings(&[]), NOTHING);
    world
}

/// The same file with the row as it is now.
fn replay(world: &mut World) {
    let refused = |row: &Row| row.offset == 13;
    let (path, mut rows) =
        world.files.iter().find(|(_, rows)| rows.iter().any(refused)).map(|(p, r)| (p.clone(), r.clone())).unwrap();
    for row in rows.iter_mut().filter(|row| refused(row)) {
        *row = Row::of((1, 0), 13);
    }
    let day = rows[0].event.unwrap() / 86_400_000_000;
    let part = Part { day, tag: Some(tag(&SPANS, &rows)), replay: Some("0=0:13".into()), rows, data_change: true };
    let txns = vec![("rewriter/bronze.clicks".into(), 1), ("replay/clicks".into(), 1)];
    world.put(Draft { parts: vec![part], txns, removes: vec![path] });
}

fn take(world: &World) {
    world.sql(&format!("INSERT INTO ops.replays VALUES ('clicks', '{}', 1, now())", world.id()));
}

#[test]
fn a_record_that_became_valid_is_expected_in_the_windows_once_they_have_taken_it() {
    let mut world = refused();
    replay(&mut world);
    assert_eq!(world.findings(&[]), NOTHING, "it is on its way");
    assert_eq!(world.audit(&[]).1["streams"][0]["serving"]["replays_behind"], 1);
    assert!(world.findings(&["--drained"]).contains(&"not_drained".to_owned()), "and may not be, when nothing may");

    take(&world);
    assert_eq!(world.findings(&[]), ["window per_minute", "window revenue"], "they say that they have it");
    world.sql("UPDATE realtime.revenue SET cents = cents + 30 WHERE window_start = '2026-01-01 23:00Z'");
    world.sql("INSERT INTO realtime.per_minute VALUES ('2026-01-01 23:56Z', '2026-01-01 23:57Z', 'buy', 'mobile', 1, now())");
    assert_eq!(world.findings(&[]), NOTHING);
    world.checkpoint();
    assert_eq!(world.findings(&[]), NOTHING, "out of a checkpoint too");
}

#[test]
fn the_number_of_another_lake_says_nothing() {
    let mut world = refused();
    replay(&mut world);
    world.sql("INSERT INTO ops.replays VALUES ('clicks', 'another', 1, now())");
    assert_eq!(world.findings(&[]), NOTHING);
    assert_eq!(world.audit(&[]).1["streams"][0]["serving"]["replays_behind"], 1);
}

#[test]
fn a_file_written_anew_may_name_ranges_that_others_name_too() {
    let mut world = World::new();
    world.put(draft(&[(1, 0, 0, 60)], (0..60).map(|offset| Row::of((1, 0), offset)).collect()));
    // The files of a day were merged, which their commit's other days were not; then a row of the merged file is replayed.
    let first: Vec<String> = world.files.keys().filter(|path| path.contains("01-01")).cloned().collect();
    world.put(draft(&[(1, 0, 60, 100)], (60..100).map(|offset| Row::of((1, 0), offset)).collect()));
    let rows: Vec<Row> = first.iter().flat_map(|path| world.files[path].clone()).collect();
    let merged = Part { day: 20454, tag: Some(tag(&SPANS, &rows)), replay: None, rows: rows.clone(), data_change: false };
    world.put(Draft { parts: vec![merged], txns: vec![("rewriter/bronze.clicks".into(), 1)], removes: first });
    let merged = world.files.iter().find(|(_, r)| r.len() == rows.len()).map(|(path, _)| path.clone()).unwrap();
    let again = Part { day: 20454, tag: Some(tag(&SPANS, &rows)), replay: Some("0=0:3".into()), rows, data_change: true };
    world.put(Draft { parts: vec![again], txns: vec![("rewriter/bronze.clicks".into(), 2)], removes: vec![merged] });
    assert_eq!(world.findings(super::LAKE), NOTHING);
}

#[test]
fn a_tag_that_cannot_be_read_is_named() {
    let mut world = World::new();
    let rows: Vec<Row> = (0..3).map(|offset| Row::of((1, 0), offset)).collect();
    let spans = [(1, 0, 0, 3)];
    let part = Part { day: 20454, tag: Some(tag(&spans, &rows)), replay: Some("some".into()), rows, data_change: true };
    world.put(Draft { parts: vec![part], txns: vec![("ingest/clicks#1/0".into(), 3)], removes: Vec::new() });
    assert_eq!(world.findings(super::LAKE), ["unreadable"]);
}
