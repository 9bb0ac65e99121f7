//! A pinned table is read as its log says, and no more of it than a query needs.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use crate::common::{DAY, Lake, silver_schema, with_files};

#[tokio::test]
async fn columns_come_in_the_tables_order_with_the_day_among_them() {
    let lake = Lake::new();
    let silver = lake.silver(&[&[(7, "click", Some("/home"), DAY + 5, "web"), (8, "login", None, 2 * DAY, "mobile")]]).await;
    let answer = lake.engine.query("SELECT * FROM silver.user_events", vec![silver.clone()]).await.unwrap();
    assert_eq!(answer.schema.fields(), silver_schema().fields());
    let rows = lake.rows("SELECT event_date, user_id, page, event_timestamp FROM silver.user_events ORDER BY 2", &[silver]).await;
    assert_eq!(
        rows.unwrap(),
        [
            "event_date=1970-01-02, user_id=7, page=/home, event_timestamp=1970-01-02T00:00:00.000005Z",
            "event_date=1970-01-03, user_id=8, page=null, event_timestamp=1970-01-03T00:00:00Z",
        ]
    );
}

#[tokio::test]
async fn files_of_other_days_are_not_opened() {
    let lake = Lake::new();
    let silver = lake
        .silver(&[&[(1, "click", None, DAY, "web"), (2, "click", None, 2 * DAY, "web"), (3, "click", None, 3 * DAY, "web")]])
        .await;
    lake.lose(&silver, |f| f.date != Some(2));
    for wanted in [
        "event_date = DATE '1970-01-03'",
        "event_date = '1970-01-03'",
        "event_date > DATE '1970-01-02' AND event_date < DATE '1970-01-04'",
        "event_date IN (DATE '1970-01-03')",
        "event_date BETWEEN '1970-01-03' AND '1970-01-03' AND user_id > 0",
    ] {
        let rows = lake.rows(&format!("SELECT user_id FROM silver.user_events WHERE {wanted}"), &[silver.clone()]).await;
        assert_eq!(rows.unwrap(), ["user_id=2"], "{wanted}");
    }
    assert!(lake.rows("SELECT user_id FROM silver.user_events", &[silver]).await.is_err());
}

#[tokio::test]
async fn files_whose_bounds_rule_a_row_out_are_not_opened() {
    let lake = Lake::new();
    let (small, large): (&[_], &[_]) = (&[(1, "click", None, 10, "web")], &[(900, "login", None, DAY - 1, "web")]);
    let silver = lake.silver(&[small, large]).await;
    lake.lose(&silver, |f| f.stats.as_ref().is_some_and(|s| s.contains("900")));
    for wanted in ["user_id < 10", "event_timestamp < TIMESTAMP '1970-01-01T12:00:00Z'", "event_type = 'click'"] {
        let rows = lake.rows(&format!("SELECT user_id FROM silver.user_events WHERE {wanted}"), &[silver.clone()]).await;
        assert_eq!(rows.unwrap(), ["user_id=1"], "{wanted}");
    }
    assert!(lake.rows("SELECT user_id FROM silver.user_events WHERE user_id > 10", &[silver]).await.is_err());
}

#[tokio::test]
async fn rounded_bounds_do_not_hide_a_row() {
    let lake = Lake::new();
    let silver = lake.silver(&[&[(1, "click", None, 1_999, "web")]]).await;
    // As a writer does that cuts microseconds off.
    let silver = with_files(&silver, |f| {
        f.stats = f.stats.take().map(|s| s.replace("00:00:00.002Z", "00:00:00.001Z"));
        let cut = "\"event_timestamp\":\"1970-01-01T00:00:00.001Z\"";
        assert!(f.stats.as_ref().is_some_and(|s| s.matches(cut).count() == 2), "{:?}", f.stats);
    });
    let sql = "SELECT user_id FROM silver.user_events WHERE event_timestamp = TIMESTAMP '1970-01-01T00:00:00.001999Z'";
    assert_eq!(lake.rows(sql, &[silver.clone()]).await.unwrap(), ["user_id=1"]);
    let latest = lake.rows("SELECT MAX(event_timestamp) AS t FROM silver.user_events", &[silver]).await;
    assert_eq!(latest.unwrap(), ["t=1970-01-01T00:00:00.001999Z"]);
}

#[tokio::test]
async fn a_count_reads_no_file_where_the_log_says_how_many() {
    let lake = Lake::new();
    let silver =
        lake.silver(&[&[(1, "click", None, 0, "web"), (2, "click", None, DAY, "web")], &[(3, "click", None, 0, "web")]]).await;
    let unknown = with_files(&silver, |f| {
        f.rows = None;
        f.stats = None;
    });
    let sql = "SELECT COUNT(*) AS n FROM silver.user_events";
    assert_eq!(lake.rows(sql, &[unknown.clone()]).await.unwrap(), ["n=3"]);
    lake.lose(&silver, |_| true);
    assert_eq!(lake.rows(sql, &[silver.clone()]).await.unwrap(), ["n=3"]);
    assert_eq!(lake.rows(&format!("{sql} WHERE event_date = DATE '1970-01-01'"), &[silver]).await.unwrap(), ["n=2"]);
    assert!(lake.rows(sql, &[unknown]).await.is_err());
}

#[tokio::test]
async fn a_column_that_an_older_file_lacks_is_null_there() {
    let lake = Lake::new();
    let old: SchemaRef = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
    let new: SchemaRef =
        Arc::new(Schema::new(vec![Field::new("b", DataType::Utf8, true), Field::new("a", DataType::Int64, true)]));
    let a = || Arc::new(Int64Array::from(vec![1])) as ArrayRef;
    let b = || Arc::new(StringArray::from(vec!["x"])) as ArrayRef;
    let first = lake.table("gold.t", &old, false, &[RecordBatch::try_new(Arc::clone(&old), vec![a()]).unwrap()]).await;
    let second = lake.table("gold.t", &new, false, &[RecordBatch::try_new(Arc::clone(&new), vec![b(), a()]).unwrap()]).await;
    let mut both = (*second.table).clone();
    both.files.extend(first.table.files.iter().cloned());
    let both = tributary_batch::Stored { table: Arc::new(both), store: second.store };
    let rows = lake.rows("SELECT * FROM t ORDER BY b NULLS FIRST", &[both.clone()]).await.unwrap();
    assert_eq!(rows, ["b=null, a=1", "b=x, a=1"]);
    assert_eq!(lake.rows("SELECT a FROM t WHERE b IS NULL", &[both]).await.unwrap(), ["a=1"]);
}

#[tokio::test]
async fn a_table_without_files_has_columns_and_no_rows() {
    let lake = Lake::new();
    let silver = lake.empty("silver.user_events", &silver_schema(), true);
    assert!(lake.rows("SELECT * FROM silver.user_events", &[silver.clone()]).await.unwrap().is_empty());
    assert_eq!(lake.rows("SELECT COUNT(*) AS n FROM silver.user_events", &[silver]).await.unwrap(), ["n=0"]);
}
