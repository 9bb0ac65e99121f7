//! What silver promises, one sentence at a time.

use super::*;

#[tokio::test]
async fn a_copy_in_the_same_run_is_dropped_in_whatever_partition_it_came() {
    let mut lake = Lake::new();
    lake.ingest(&[row("a", 1, 0, 0), row("b", 2, 0, 1), row("a", 1, 0, 2)]).await;
    lake.ingest(&[row("a", 1, 1, 0), row("c", 3, 1, 1)]).await;
    let made = lake.run(&[range(0, 0, 3), range(1, 0, 2)]).await;
    assert_eq!((made.rows_read, made.rows_kept, made.duplicates, made.rows_in_conflict), (5, 3, 2, 0));
    let ids: Vec<_> = lake.silver_rows().await.into_iter().map(|(id, ..)| id).collect();
    assert_eq!(ids, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_copy_of_what_silver_has_is_dropped_and_silvers_stays() {
    let mut lake = Lake::new();
    lake.ingest(&[row("a", 10, 0, 0), row("b", 20, 0, 1)]).await;
    lake.run(&[range(0, 0, 2)]).await;
    lake.ingest(&[row("b", 20, 3, 0), row("c", 15, 3, 1)]).await;
    let made = lake.run(&[range(3, 0, 2)]).await;
    assert_eq!((made.rows_kept, made.duplicates), (1, 1));
    let second = 1_000_000;
    let at = |s: i64| TODAY * DAY + s * second;
    let expected = [("a", at(10), 0, 0), ("b", at(20), 0, 1), ("c", at(15), 3, 1)];
    assert_eq!(lake.silver_rows().await, expected.map(|(id, t, p, o)| (id.to_owned(), t, p, o)));
}

#[tokio::test]
async fn the_same_id_at_another_time_is_kept_and_recorded_with_the_first_time() {
    let mut lake = Lake::new();
    lake.ingest(&[row("a", 1, 0, 0), row("a", 2, 0, 1), row("a", 3, 0, 2), row("a", 2, 0, 3)]).await;
    let made = lake.run(&[range(0, 0, 4)]).await;
    assert_eq!((made.rows_kept, made.duplicates, made.rows_in_conflict), (3, 1, 2));
    let at = |s: i64| TODAY * DAY + s * 1_000_000;
    let expected = [("a".to_owned(), at(2), at(1)), ("a".to_owned(), at(3), at(1))];
    assert_eq!(lake.conflict_rows().await, expected);
    let columns: Vec<_> = lake.conflicts.table.schema.fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(columns.last().map(String::as_str), Some(OTHER_TIMESTAMP));
}

#[tokio::test]
async fn a_conflict_with_silver_is_recorded_too() {
    let mut lake = Lake::new();
    lake.ingest(&[row("a", 100, 0, 0), row("z", 200, 0, 1)]).await;
    lake.run(&[range(0, 0, 2)]).await;
    lake.ingest(&[row("a", 150, 0, 2), row("a", 160, 0, 3)]).await;
    let made = lake.run(&[range(0, 2, 4)]).await;
    assert_eq!((made.rows_kept, made.duplicates, made.rows_in_conflict), (2, 0, 2));
    let at = |s: i64| TODAY * DAY + s * 1_000_000;
    let expected = [("a".to_owned(), at(150), at(100)), ("a".to_owned(), at(160), at(100))];
    assert_eq!(lake.conflict_rows().await, expected);
}

#[tokio::test]
async fn the_same_id_on_another_day_is_no_conflict() {
    let mut lake = Lake::new();
    lake.ingest(&[row("a", 1, 0, 0), row("a", 1 + 86_400, 0, 1)]).await;
    let made = lake.run(&[range(0, 0, 2)]).await;
    assert_eq!((made.rows_kept, made.rows_in_conflict, made.files.len()), (2, 0, 2));
}

#[tokio::test]
async fn a_range_that_silver_has_brings_nothing_new() {
    let mut lake = Lake::new();
    lake.ingest(&[row("a", 1, 0, 0), row("b", 2, 0, 1), row("a", 3, 0, 2), row("a", 5, 0, 3)]).await;
    lake.run(&[range(0, 0, 4)]).await;
    let again = lake.run(&[range(0, 0, 4)]).await;
    assert_eq!((again.rows_kept, again.duplicates, again.rows_in_conflict), (0, 4, 0));
    assert!(again.files.is_empty() && again.conflicts.is_empty());
}

#[tokio::test]
async fn only_offsets_of_the_ranges_are_taken() {
    let mut lake = Lake::new();
    lake.ingest(&(0..10).map(|n| row(&format!("p0-{n}"), n, 0, n)).collect::<Vec<_>>()).await;
    lake.ingest(&(0..10).map(|n| row(&format!("p1-{n}"), n, 1, n)).collect::<Vec<_>>()).await;
    let made = lake.run(&[range(0, 3, 5), range(1, 0, 0), range(1, 9, 20)]).await;
    assert_eq!((made.rows_read, made.rows_kept), (3, 3));
    let ids: Vec<_> = lake.silver_rows().await.into_iter().map(|(id, ..)| id).collect();
    assert_eq!(ids, ["p0-3", "p0-4", "p1-9"]);
    let nothing = lake.run(&[]).await;
    assert_eq!((nothing.rows_read, nothing.files.len()), (0, 0));
}

#[tokio::test]
async fn a_topic_that_was_recreated_has_offsets_of_its_own() {
    let mut lake = Lake::new();
    let second = |id: &str, offset: i64| Row { incarnation: 2, ..row(id, 5, 0, offset) };
    lake.ingest(&[row("old", 1, 0, 0), second("new", 0), second("newer", 1)]).await;
    let made = lake.run(&[OffsetRange { incarnation: 2, partition: 0, from: 0, to: 1 }]).await;
    assert_eq!(made.rows_read, 1);
    assert_eq!(lake.silver_rows().await[0].0, "new");
    let made = lake.run(&[range(0, 0, 1), OffsetRange { incarnation: 2, partition: 0, from: 1, to: 2 }]).await;
    assert_eq!(made.rows_kept, 2);
}

#[tokio::test]
async fn what_is_not_valid_is_counted_and_left_in_bronze() {
    let mut lake = Lake::new();
    let rows: Vec<_> =
        Status::ALL.iter().enumerate().map(|(n, s)| Row { status: *s, ..row(&n.to_string(), 1, 0, n as i64) }).collect();
    lake.ingest(&rows).await;
    let made = lake.run(&[range(0, 0, 8)]).await;
    assert_eq!((made.rows_read, made.rows_kept, made.rejected), (8, 1, 7));
}

#[tokio::test]
async fn a_row_that_is_not_valid_does_not_hide_its_id() {
    let mut lake = Lake::new();
    lake.ingest(&[Row { status: Status::Future, ..row("a", 1, 0, 0) }]).await;
    lake.ingest(&[row("a", 1, 0, 1)]).await;
    assert_eq!(lake.run(&[range(0, 0, 2)]).await.rows_kept, 1);
}

#[tokio::test]
async fn a_late_row_joins_its_day() {
    let mut lake = Lake::new();
    lake.ingest(&[row("a", 50_000, 0, 0)]).await;
    lake.run(&[range(0, 0, 1)]).await;
    lake.ingest(&[row("late", 10 - 86_400, 0, 1), row("b", 50_001, 0, 2), row("copy of a", 50_000, 0, 3)]).await;
    let made = lake.run(&[range(0, 1, 4)]).await;
    let days: Vec<_> = made.files.iter().map(|f| f.date.unwrap()).collect();
    assert_eq!(days, [TODAY as i32 - 1, TODAY as i32]);
    assert_eq!(lake.silver_rows().await.len(), 4);
}

#[tokio::test]
async fn events_that_were_sent_again_after_a_fix_count_once() {
    let mut lake = Lake::new();
    lake.ingest(&[row("a", 1, 0, 0), Row { status: Status::Invalid, ..row("b", 2, 0, 1) }]).await;
    lake.run(&[range(0, 0, 2)]).await;
    // All of them again, under new offsets; twice, as a person in doubt would.
    lake.ingest(&[row("a", 1, 0, 2), row("b", 2, 0, 3), row("a", 1, 0, 4), row("b", 2, 0, 5)]).await;
    let made = lake.run(&[range(0, 2, 6)]).await;
    assert_eq!((made.rows_kept, made.duplicates), (1, 3));
    assert_eq!(lake.silver_rows().await.len(), 2);
}
