//! What can be wrong with silver, gold and what is published, beside a bronze that is right.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::world::{Row, World, draft};
use super::{LAKE, NOTHING};

const ALL: &[(i32, i32, i64)] = &[(1, 0, 100), (1, 1, 90)];

/// The rows of [`World::good`].
fn rows() -> Vec<Row> {
    let of = |partition, until| (0..until).map(move |offset| Row::of((1, partition), offset));
    of(0, 100).chain(of(1, 90)).collect()
}

/// Bronze with silver of these rows.
fn silver(rows: Vec<Row>) -> World {
    let mut world = World::good();
    world.put_silver(rows, ALL);
    world
}

fn number<'a>(report: &'a Value, name: &str) -> &'a Value {
    &report["batch"]["silver"][0][name]
}

#[test]
fn silver_that_was_never_built_is_no_finding() {
    let (status, report) = World::good().audit(LAKE);
    assert_eq!((status, &report["batch"]["state"]), (0, &json!("absent")));
    let (_, report) = silver(rows()).audit(&["--bronze-only", "--no-batch"]);
    assert_eq!(report["batch"], Value::Null);
}

#[test]
fn silver_that_is_right_is_right() {
    let world = silver(rows());
    assert_eq!(world.findings(&["--bronze-only", "--current"]), NOTHING);
    let (_, report) = world.audit(LAKE);
    assert_eq!(
        (number(&report, "rows"), number(&report, "recounted"), number(&report, "ahead")),
        (&json!(190), &json!(190), &json!(0))
    );
    let text = String::from_utf8(world.command(LAKE).stdout).unwrap();
    assert!(text.contains("✓ silver.clicks: 190 rows, 190 recounted"), "{text}");
}

#[test]
fn an_event_that_is_not_in_silver_is_missing() {
    let mut rows = rows();
    rows.retain(|row| !(row.place == (1, 0) && (30..33).contains(&row.offset)));
    assert_eq!(silver(rows).findings(LAKE), ["silver_missing 0#1 [[30,33]] silver.clicks"]);
}

#[test]
fn an_event_that_is_twice_in_silver_is_one_too_many() {
    let twice = rows().into_iter().chain([Row::of((1, 1), 5)]).collect();
    assert_eq!(silver(twice).findings(LAKE), ["silver_twice 1#1 [[5,6]] silver.clicks"]);
}

#[test]
fn a_value_that_bronze_does_not_have_is_not_bronzes() {
    let mut rows = rows();
    rows[40].amount += 1;
    assert_eq!(
        silver(rows).findings(LAKE),
        ["silver_missing 0#1 [[40,41]] silver.clicks", "silver_extra 0#1 [[40,41]] silver.clicks"]
    );
}

#[test]
fn a_row_beyond_silvers_own_offsets_is_not_to_be_there_yet() {
    let mut world = World::good();
    world.put_silver(rows(), &[(1, 0, 98), (1, 1, 90)]);
    assert_eq!(world.findings(LAKE), ["silver_extra 0#1 [[98,100]] silver.clicks"]);
}

#[test]
fn what_a_run_has_yet_to_take_is_late_only_on_request() {
    let mut world = World::good();
    world.put_silver(rows().into_iter().filter(|row| row.offset < 50).collect(), &[(1, 0, 50), (1, 1, 50)]);
    assert_eq!(world.findings(LAKE), NOTHING);
    assert_eq!(number(&world.audit(LAKE).1, "ahead"), 90);
    assert_eq!(world.findings(&["--bronze-only", "--current"]), ["stale silver.clicks"]);
}

#[test]
fn offsets_that_bronze_never_had_are_beyond() {
    let mut world = World::good();
    world.put_silver(rows(), &[(1, 0, 100), (1, 1, 95)]);
    assert_eq!(world.findings(LAKE), ["beyond 1#1 [[90,95]] silver.clicks"]);
}

#[test]
fn one_of_two_copies_is_enough_and_rejected_rows_are_not_wanted() {
    let mut world = World::good();
    // The same event under another offset, and a record that is none.
    let copy = Row { id: Some((1, 0, 3)), ..Row { offset: 100, ..Row::of((1, 0), 3) } };
    world.put(draft(&[(1, 0, 100, 102)], vec![copy.clone(), Row::of((1, 0), 101).rejected("malformed")]));
    world.put_silver(rows(), &[(1, 0, 102), (1, 1, 90)]);
    assert_eq!(world.findings(LAKE), NOTHING);
    assert_eq!(number(&world.audit(LAKE).1, "duplicates"), 1);
    world.put_silver(vec![copy], &[]);
    let (_, report) = world.audit(LAKE);
    assert_eq!(number(&report, "twice"), 1, "both copies are one too many, whichever is read first");
}

const MODEL: &str = "\
-- description: Events and cents per day
-- materialize: by_day
-- key: event_date
-- publish: gold.daily
SELECT event_date, COUNT(*) AS events, SUM(amount) AS cents
FROM silver.clicks
GROUP BY event_date
";

/// What [`MODEL`] makes of [`rows`].
fn days() -> Vec<(i64, i64, i64)> {
    let mut days = BTreeMap::<i64, (i64, i64)>::new();
    for row in rows() {
        let day = days.entry(row.day()).or_default();
        *day = (day.0 + 1, day.1 + row.amount);
    }
    days.into_iter().map(|(day, (events, cents))| (day, events, cents)).collect()
}

/// Silver as it should be, made in one commit: version 1; and a gold table with these days.
fn gold(days: &[(i64, i64, i64)]) -> World {
    let mut world = World::served();
    world.put_silver(rows(), ALL);
    world.put_gold(MODEL, days, 1);
    world
}

#[test]
fn gold_that_is_right_is_right_and_so_is_what_is_published_of_it() {
    let world = gold(&days());
    assert_eq!(days().len(), 2, "two days, or the test shows little");
    assert_eq!(world.findings(&["--current"]), NOTHING, "not published yet");
    world.publish(&days());
    assert_eq!(world.findings(&["--current"]), NOTHING);
    let (_, report) = world.audit(&[]);
    assert_eq!(report["batch"]["gold"][0]["sources"], json!({"silver.clicks": 1}));
    assert_eq!((&report["batch"]["gold"][0]["rows"], &report["batch"]["published"][0]["rows"]), (&json!(2), &json!(2)));
    let text = String::from_utf8(world.command(&[]).stdout).unwrap();
    let last = "silver missing=0 extra=0 · gold 1 tables, mismatched=0 · published 1 tables, mismatched=0 · ok\n";
    assert!(text.ends_with(last), "{text}");
}

#[test]
fn a_day_of_gold_that_is_wrong_is_named() {
    let mut wrong = days();
    wrong[1].2 += 5;
    let world = gold(&wrong);
    assert_eq!(world.findings(&[]), ["gold_mismatch gold.daily"]);
    let (_, report) = world.audit(&[]);
    let table = &report["batch"]["gold"][0];
    assert_eq!((&table["missing"], &table["extra"], &table["days"]), (&json!(1), &json!(1), &json!(["2026-01-02"])));
    assert_eq!(table["differences"][0]["row"]["cents"], json!(wrong[1].2.to_string()));
}

#[test]
fn a_day_that_gold_does_not_have_is_missing() {
    assert_eq!(gold(&days()[..1]).findings(&[]), ["gold_mismatch gold.daily"]);
}

#[test]
fn gold_is_judged_by_the_version_that_it_names() {
    let mut world = World::served();
    world.put_silver(rows().into_iter().filter(|row| row.offset < 50).collect(), &[(1, 0, 50), (1, 1, 50)]);
    world.put_silver(rows().into_iter().filter(|row| row.offset >= 50).collect(), ALL);
    world.put_gold(MODEL, &days(), 1);
    assert_eq!(world.findings(&[]), ["gold_mismatch gold.daily"], "it has rows that version 1 of silver did not have");

    let mut world = World::served();
    world.put_silver(rows(), ALL);
    world.put_silver(Vec::new(), &[]);
    world.put_gold(MODEL, &days(), 1);
    assert_eq!(world.findings(&["--current"]), NOTHING, "version 2 changed nothing");
}

#[test]
fn an_edited_model_is_late_and_not_wrong() {
    let world = gold(&days());
    world.edit_model(&MODEL.replace("COUNT(*)", "COUNT(*) + 1"));
    assert_eq!(world.findings(&[]), NOTHING);
    assert_eq!(world.findings(&["--current"]), ["stale gold.daily"]);
    world.edit_model(&MODEL.replace("amount", "amuont"));
    assert_eq!(world.findings(&[]), ["not_checked gold.daily"], "a broken one cannot be checked");
}

#[test]
fn a_published_row_that_gold_does_not_have_is_found() {
    let world = gold(&days());
    world.publish(&days());
    world.sql("UPDATE gold.daily SET cents = cents + 1 WHERE event_date = '2026-01-01'");
    assert_eq!(world.findings(&[]), ["published_mismatch gold.daily"]);
    let (_, report) = world.audit(&[]);
    let table = &report["batch"]["published"][0];
    assert_eq!((&table["missing"], &table["extra"]), (&json!(1), &json!(1)));
    world.sql("DELETE FROM gold.daily");
    assert_eq!(world.audit(&[]).1["batch"]["published"][0]["missing"], json!(2));
}

#[test]
fn published_from_another_lake_is_found() {
    let world = gold(&days());
    world.publish(&days());
    world.sql("UPDATE ops.published SET version = 7");
    assert_eq!(world.findings(&[]), ["published_mismatch gold.daily"]);
    world.sql("UPDATE ops.published SET version = 1, lake_id = 'another'");
    assert_eq!(world.findings(&[]), ["published_mismatch gold.daily"]);
}
