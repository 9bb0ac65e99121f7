//! A person's statement can read the lake's tables, and do nothing else.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use futures::StreamExt;
use tributary_batch::query::tables;
use tributary_batch::{Error, Stored};

use crate::common::{DAY, Event, Lake};

async fn silver(lake: &Lake) -> Stored {
    let events: [Event<'_>; 2] = [(1, "click", Some("/home"), 0, "web"), (2, "purchase", None, DAY, "mobile")];
    lake.silver(&[&events]).await
}

#[tokio::test]
async fn nothing_but_reading_is_done() {
    let lake = Lake::new();
    let table = silver(&lake).await;
    let out = lake.dir.path().join("out.csv");
    let out = out.display();
    for sql in [
        format!("COPY silver.user_events TO '{out}'"),
        format!("COPY (SELECT 1) TO '{out}' STORED AS CSV"),
        "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'".to_owned(),
        format!("CREATE EXTERNAL TABLE x STORED AS PARQUET LOCATION 'file://{out}'"),
        "CREATE TABLE x AS SELECT 1".to_owned(),
        "CREATE VIEW x AS SELECT 1".to_owned(),
        "CREATE FUNCTION f() RETURNS INT RETURN 1".to_owned(),
        "DROP TABLE silver.user_events".to_owned(),
        "INSERT INTO silver.user_events SELECT * FROM silver.user_events".to_owned(),
        "DELETE FROM silver.user_events".to_owned(),
        "UPDATE silver.user_events SET user_id = 1".to_owned(),
        "SET datafusion.execution.batch_size = 1".to_owned(),
        "RESET datafusion.execution.batch_size".to_owned(),
        "PREPARE p AS SELECT 1".to_owned(),
        "SELECT 1; SELECT 2".to_owned(),
        "SELECT 1; DROP TABLE silver.user_events".to_owned(),
        "SELECT 1 INTO x".to_owned(),
        format!("EXPLAIN COPY silver.user_events TO '{out}'"),
        format!("EXPLAIN ANALYZE COPY silver.user_events TO '{out}'"),
        "EXPLAIN ANALYZE INSERT INTO silver.user_events SELECT * FROM silver.user_events".to_owned(),
        format!("WITH a AS (INSERT INTO x SELECT 1) SELECT * FROM a, '{out}'"),
    ] {
        let error = lake.rows(&sql, &[table.clone()]).await.unwrap_err();
        assert!(matches!(error, Error::Refused(_)), "{sql}: {error}");
    }
    assert!(!lake.dir.path().join("out.csv").exists());
    assert_eq!(lake.rows("SELECT COUNT(*) AS n FROM silver.user_events", &[table]).await.unwrap(), ["n=2"]);
}

#[tokio::test]
async fn no_file_is_a_table() {
    let lake = Lake::new();
    let table = silver(&lake).await;
    let parquet = lake.path("silver.user_events").join(&table.table.files[0].path);
    for from in [
        "'/etc/passwd'".to_owned(),
        "\"/etc/passwd\"".to_owned(),
        "'file:///etc/passwd'".to_owned(),
        format!("'{}'", parquet.display()),
        "'https://example.com/x.parquet'".to_owned(),
        "read_csv('/etc/passwd')".to_owned(),
        "read_parquet('/etc/passwd')".to_owned(),
        "\"table://t0/\"".to_owned(),
    ] {
        let error = lake.rows(&format!("SELECT * FROM {from}"), &[table.clone()]).await.unwrap_err();
        assert!(matches!(error, Error::Refused(_)), "{from}: {error}");
    }
}

#[tokio::test]
async fn names_that_are_paths_lead_nowhere() {
    let lake = Lake::new();
    let table = silver(&lake).await;
    for from in
        ["silver.\"../silver/user_events\"", "\"..\".\"user_events\"", "silver.\"user_events\0\"", "lake.silver.\"%2e%2e\""]
    {
        let error = lake.rows(&format!("SELECT * FROM {from}"), &[table.clone()]).await.unwrap_err();
        assert!(matches!(error, Error::Refused(_)), "{from}: {error}");
    }
}

#[tokio::test]
async fn a_value_that_is_larger_than_memory_is_not_made() {
    let lake = Lake::new();
    let table = silver(&lake).await;
    for value in [
        "repeat('x', 2000000000)",
        "lpad('x', 2000000000)",
        "rpad('x', 2000000000, 'y')",
        "repeat('x', user_id * 2000000000)",
        "range(1, 10000000000)",
        "generate_series(1, 10000000000)",
        "array_repeat(1, 10000000000)",
        "list_repeat(1, 10000000000)",
        "array_resize([1], 10000000000, 0)",
    ] {
        let error = lake.rows(&format!("SELECT length({value}) FROM silver.user_events"), &[table.clone()]).await.unwrap_err();
        assert!(matches!(error, Error::Refused(_)), "{value}: {error}");
    }
    let small = "SELECT repeat('x', 3) AS a, lpad('7', 3, '0') AS b, rpad('7', 2) AS c";
    assert_eq!(lake.rows(small, &[table.clone()]).await.unwrap(), ["a=xxx, b=007, c=7 "]);
    let small = "SELECT COUNT(*) AS n FROM generate_series(1, 10)";
    assert_eq!(lake.rows(small, &[table]).await.unwrap(), ["n=10"]);
}

#[test]
fn a_statement_that_is_as_deep_as_it_is_long_is_refused() {
    for sql in [format!("SELECT 1{}", "+1".repeat(30_000)), format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(3_000))] {
        assert!(matches!(tables(&sql), Err(Error::Refused(_))));
    }
    assert!(tables(&format!("SELECT 1{}", "+1".repeat(1_500))).is_ok());
}

#[tokio::test]
async fn rows_without_end_are_stopped_by_whoever_does_not_wait() {
    let lake = Lake::new();
    let table = numbers(&lake, 1_000).await;
    for sql in [
        "SELECT SUM(value) AS s FROM generate_series(1, 10000000000000)",
        "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT MAX(n) AS m FROM t",
    ] {
        let mut answer = lake.engine.query(sql, vec![table.clone()]).await.unwrap();
        let first = tokio::time::timeout(Duration::from_secs(2), answer.rows.next()).await;
        assert!(first.is_err(), "{sql} must have something to do");
        drop(answer);
        let tables = [table.clone()];
        let free = lake.rows("SELECT MAX(n) AS n FROM numbers", &tables);
        let rows = tokio::time::timeout(Duration::from_secs(20), free).await;
        assert_eq!(rows.expect("the threads are not free").unwrap(), ["n=999"], "{sql}");
    }
}

#[tokio::test]
async fn plans_and_names_can_be_asked_for() {
    let lake = Lake::new();
    let table = silver(&lake).await;
    for sql in ["EXPLAIN SELECT * FROM silver.user_events", "EXPLAIN ANALYZE SELECT * FROM silver.user_events"] {
        let plan = lake.rows(sql, &[table.clone()]).await.unwrap().join("\n");
        assert!(plan.contains("DataSourceExec"), "{plan}");
    }
    let shown = lake.rows("SHOW TABLES", &[table.clone()]).await.unwrap().join("\n");
    assert!(shown.contains("table_schema=silver, table_name=user_events"), "{shown}");
    let columns = lake.rows("DESCRIBE silver.user_events", &[table]).await.unwrap().join("\n");
    assert!(columns.contains("event_timestamp"), "{columns}");
}

#[tokio::test]
async fn a_wrong_name_is_shown_in_its_line() {
    let lake = Lake::new();
    let table = silver(&lake).await;
    let error = lake.rows("SELECT user_id,\n  pagee\nFROM silver.user_events", &[table.clone()]).await.unwrap_err().to_string();
    assert!(error.starts_with("there is no column `pagee`\n|   pagee\n|   ^^^^^\n= did you mean `page`?"), "{error}");
    let error = lake.rows("SELECT * FROM silver.user_event", &[table.clone()]).await.unwrap_err().to_string();
    assert!(error.contains("user_event"), "{error}");
    let error = lake.rows("SELECT 1 +", &[table]).await.unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error}");
}

#[test]
fn the_tables_of_a_statement_are_known_before_they_are_opened() {
    let sql = "EXPLAIN SELECT * FROM silver.user_events JOIN kpi_dau USING (event_date), information_schema.tables";
    assert_eq!(tables(sql).unwrap(), ["gold.kpi_dau", "silver.user_events"]);
    assert!(tables("DROP TABLE x").is_err());
}

/// Many rows in little space.
async fn numbers(lake: &Lake, rows: i64) -> Stored {
    let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(Int64Array::from_iter_values(0..rows)) as ArrayRef]);
    lake.table("gold.numbers", &schema, false, &[batch.unwrap()]).await
}

#[tokio::test]
async fn work_beyond_the_memory_is_spilled() {
    // A merge of sorted runs holds 10 MB per thread that it cannot spill.
    let lake = Lake::with_memory(48 << 20);
    let table = numbers(&lake, 3_000_000).await;
    let sql =
        "SELECT COUNT(*) AS groups, SUM(c) AS rows FROM (SELECT CAST(n AS VARCHAR) AS k, COUNT(*) AS c FROM numbers GROUP BY 1)";
    assert_eq!(lake.rows(sql, &[table.clone()]).await.unwrap(), ["groups=3000000, rows=3000000"]);
    let sql = "SELECT n FROM (SELECT n, row_number() OVER (ORDER BY CAST(n AS VARCHAR)) AS r FROM numbers) WHERE r = 3000000";
    assert_eq!(lake.rows(sql, &[table]).await.unwrap(), ["n=999999"]);
}

#[tokio::test]
async fn whoever_stops_taking_stops_the_work() {
    let lake = Lake::new();
    let table = numbers(&lake, 2_000_000).await;
    // The join has 4 * 10^12 rows: it would not end.
    let sql = "SELECT a.n + b.n AS s FROM numbers a CROSS JOIN numbers b";
    let mut answer = lake.engine.query(sql, vec![table.clone()]).await.unwrap();
    assert!(answer.rows.next().await.unwrap().unwrap().num_rows() > 0);
    drop(answer);
    // Both threads are free again: a query that needs them comes to its end.
    let free = "SELECT MAX(n) AS n FROM numbers WHERE n % 7 = 3";
    assert_eq!(lake.rows(free, &[table.clone()]).await.unwrap(), ["n=1999994"]);
    // An aggregate that takes what a join makes has nothing to hand over for hours.
    let sql = "SELECT a.n % 3 AS g, MAX(a.n * b.n) AS m FROM numbers a JOIN numbers b ON a.n % 5 = b.n % 5 GROUP BY 1";
    let mut answer = lake.engine.query(sql, vec![table.clone()]).await.unwrap();
    let first = tokio::time::timeout(Duration::from_secs(3), answer.rows.next()).await;
    assert!(first.is_err(), "the join must have something to do");
    drop(answer);
    let rows = tokio::time::timeout(Duration::from_secs(20), lake.rows(free, &[table])).await;
    assert_eq!(rows.expect("the threads are not free").unwrap(), ["n=1999994"]);
}

#[tokio::test]
async fn division_by_zero_is_a_persons_mistake() {
    let lake = Lake::new();
    let table = numbers(&lake, 3).await;
    let error = lake.rows("SELECT 1 / n AS x FROM numbers", &[table]).await.unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error:?}");
}
