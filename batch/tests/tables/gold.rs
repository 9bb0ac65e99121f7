//! Models over real files give the numbers that a person would count by hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::DataType;
use tributary_batch::models::{BUILTIN, Models};
use tributary_batch::{Error, Stored};
use tributary_core::model::{Materialize, Planned};

use crate::common::{DAY, Event, Lake, plan, silver_schema, with_files};

const HOUR: i64 = DAY / 24;

/// Three days. User 1 comes from web and mobile, on different days; user 3 comes once.
fn events() -> [Vec<Event<'static>>; 3] {
    [
        vec![
            (1, "login", Some("/home"), 1, "web"),
            (1, "purchase", Some("/checkout"), HOUR, "web"),
            (2, "click", Some("/home"), 2 * HOUR, "mobile"),
        ],
        vec![(1, "click", None, DAY + HOUR, "mobile"), (1, "purchase", None, DAY + 2 * HOUR, "mobile")],
        vec![
            (3, "purchase", Some("/checkout"), 2 * DAY, "web"),
            (2, "logout", Some("/home"), 3 * DAY - 1, "mobile"),
            (2, "click", Some("/home"), 3 * DAY - 2, "mobile"),
        ],
    ]
}

async fn silver(lake: &Lake) -> Stored {
    let events = events();
    let slices: Vec<&[Event<'_>]> = events.iter().map(Vec::as_slice).collect();
    lake.silver(&slices).await
}

/// Silver and all gold tables, by name.
async fn all(lake: &Lake, models: &Models, silver: Stored) -> BTreeMap<String, Stored> {
    let mut tables = BTreeMap::from([(silver.table.name.clone(), silver)]);
    for model in &models.planned {
        let sources: Vec<Stored> = tables.values().cloned().collect();
        let built = lake.build(model, &sources).await.unwrap();
        tables.insert(built.table.name.clone(), built);
    }
    tables
}

#[tokio::test]
async fn gold_is_what_silver_says() {
    let lake = Lake::new();
    let models = plan(&lake.engine, BUILTIN).await;
    let tables: Vec<Stored> = all(&lake, &models, silver(&lake).await).await.into_values().collect();
    for (sql, expected) in [
        (
            "SELECT * FROM dim_users ORDER BY user_id",
            vec![
                "user_id=1, total_events=4, source_count=2, first_seen=1970-01-01T00:00:00.000001Z, last_seen=1970-01-02T02:00:00Z",
                "user_id=2, total_events=3, source_count=1, first_seen=1970-01-01T02:00:00Z, last_seen=1970-01-03T23:59:59.999999Z",
                "user_id=3, total_events=1, source_count=1, first_seen=1970-01-03T00:00:00Z, last_seen=1970-01-03T00:00:00Z",
            ],
        ),
        (
            "SELECT * FROM dim_pages ORDER BY page",
            vec!["page=(none), total_events=2", "page=/checkout, total_events=2", "page=/home, total_events=4"],
        ),
        (
            "SELECT * FROM kpi_dau ORDER BY event_date",
            vec![
                "event_date=1970-01-01, dau_count=2",
                "event_date=1970-01-02, dau_count=1",
                "event_date=1970-01-03, dau_count=2",
            ],
        ),
        (
            "SELECT * FROM kpi_events_per_source ORDER BY event_date, source",
            vec![
                "event_date=1970-01-01, source=mobile, event_count=1",
                "event_date=1970-01-01, source=web, event_count=2",
                "event_date=1970-01-02, source=mobile, event_count=2",
                "event_date=1970-01-03, source=mobile, event_count=2",
                "event_date=1970-01-03, source=web, event_count=1",
            ],
        ),
        (
            "SELECT * FROM kpi_purchases_per_page ORDER BY event_date",
            vec![
                "event_date=1970-01-01, page=/checkout, purchase_count=1",
                "event_date=1970-01-02, page=(none), purchase_count=1",
                "event_date=1970-01-03, page=/checkout, purchase_count=1",
            ],
        ),
        (
            "SELECT * FROM kpi_conversion_rate ORDER BY event_date",
            vec![
                "event_date=1970-01-01, total_events=3, total_purchases=1, dau_count=2, conversion_rate=0.333333",
                "event_date=1970-01-02, total_events=2, total_purchases=1, dau_count=1, conversion_rate=0.500000",
                "event_date=1970-01-03, total_events=3, total_purchases=1, dau_count=2, conversion_rate=0.333333",
            ],
        ),
        (
            "SELECT COUNT(*) AS n, COUNT(DISTINCT event_id) AS ids, COUNT(page) AS pages, MIN(event_timestamp) AS t FROM fact_events",
            vec!["n=8, ids=8, pages=6, t=1970-01-01T00:00:00.000001Z"],
        ),
        ("SELECT COUNT(*) AS n FROM fact_events f JOIN silver.user_events s USING (event_id, event_date, page)", vec!["n=6"]),
    ] {
        assert_eq!(lake.rows(sql, &tables).await.unwrap(), expected, "{sql}");
    }
}

#[tokio::test]
async fn a_rate_is_rounded_as_a_person_rounds() {
    let lake = Lake::new();
    let mut day: Vec<Event<'_>> = (0..4).map(|n| (n + 1, "purchase", None, n, "web")).collect();
    day.extend((4..6).map(|n| (n + 1, "click", None, n, "web")));
    let models = plan(&lake.engine, BUILTIN).await;
    let tables = all(&lake, &models, lake.silver(&[&day]).await).await;
    let rate =
        lake.rows("SELECT conversion_rate AS r FROM kpi_conversion_rate", &[tables["gold.kpi_conversion_rate"].clone()]).await;
    assert_eq!(rate.unwrap(), ["r=0.666667"]);
}

#[tokio::test]
async fn tables_are_laid_out_for_every_reader() {
    let lake = Lake::new();
    let models = plan(&lake.engine, BUILTIN).await;
    let tables = all(&lake, &models, silver(&lake).await).await;
    for planned in &models.planned {
        let table = &tables[&planned.model.table()].table;
        let days = table.days();
        match planned.model.materialize {
            Materialize::ByDay => {
                assert_eq!(days, [0, 1, 2], "{}", table.name);
                assert_eq!(table.files.len(), 3, "{}: one file for each day", table.name);
                assert!(table.files.iter().all(|f| f.path.starts_with("event_date=1970-01-0")));
            }
            Materialize::Rollup => assert_eq!((days.len(), table.files.len()), (0, 1), "{}", table.name),
        }
        for file in &table.files {
            let bytes = std::fs::File::open(lake.path(&table.name).join(&file.path)).unwrap();
            let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
            for field in reader.schema().fields() {
                assert_eq!(field.data_type(), planned.schema.field_with_name(field.name()).unwrap().data_type());
            }
        }
    }
}

#[tokio::test]
async fn all_tests_of_the_compiled_in_models_hold() {
    let lake = Lake::new();
    let models = plan(&lake.engine, BUILTIN).await;
    let all = all(&lake, &models, silver(&lake).await).await;
    for model in &models.planned {
        let own = model.model.table();
        let mentioned = std::iter::once(&own).chain(&model.tested_with).map(|name| all[name].clone()).collect();
        for outcome in lake.engine.check(model, &model.model.tests, mentioned).await.unwrap() {
            assert!(outcome.failing_rows == 0 && outcome.error.is_none(), "{}: {outcome:?}", model.model.name);
        }
    }
}

async fn planned(lake: &Lake, front: &str, sql: &str) -> Arc<Planned> {
    let models = plan(&lake.engine, &[("gold/m.sql", &format!("{front}{sql}"))]).await;
    assert!(models.broken.is_empty(), "{}", models.broken["m"]);
    Arc::clone(&models.planned[0])
}

#[tokio::test]
async fn a_day_follows_from_its_own_rows_whichever_days_are_built_together() {
    let lake = Lake::new();
    let silver = silver(&lake).await;
    let sql = "SELECT a.event_date, COUNT(*) AS pairs, MIN(r) AS first FROM silver.user_events a JOIN \
               (SELECT *, row_number() OVER (PARTITION BY event_date, user_id ORDER BY event_timestamp) AS r FROM silver.user_events) b \
               ON a.user_id = b.user_id AND a.event_date = b.event_date GROUP BY a.event_date";
    let model = planned(&lake, "-- materialize: by_day\n", sql).await;
    let expected = [
        "event_date=1970-01-01, pairs=5, first=1",
        "event_date=1970-01-02, pairs=4, first=1",
        "event_date=1970-01-03, pairs=5, first=1",
    ];
    let together = lake.build(&model, &[silver.clone()]).await.unwrap();
    assert_eq!(lake.rows("SELECT * FROM m ORDER BY 1", &[together]).await.unwrap(), expected);
    for (day, expected) in (0..).zip(expected) {
        let of_day = Stored { table: Arc::new(silver.table.only_days(&[day])), store: Arc::clone(&silver.store) };
        let alone = lake.build(&model, &[of_day]).await.unwrap();
        assert_eq!(lake.rows("SELECT * FROM m", &[alone]).await.unwrap(), [expected]);
    }
}

#[tokio::test]
async fn a_row_of_another_day_is_refused() {
    let lake = Lake::new();
    let silver = silver(&lake).await;
    let sql = "SELECT event_date + INTERVAL '1' DAY AS event_date, user_id FROM silver.user_events";
    let model = planned(
        &lake,
        "-- materialize: by_day\n",
        &format!("SELECT CAST(event_date AS DATE) AS event_date, user_id FROM ({sql})"),
    )
    .await;
    let error = lake.build(&model, &[silver.clone()]).await.unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error:?}");
    assert!(error.to_string().contains("gold.m: gave a row of 1970-01-0"), "{error}");
    let sql = "SELECT CAST(NULL AS DATE) AS event_date, user_id FROM silver.user_events";
    let model = planned(&lake, "-- materialize: by_day\n", sql).await;
    let error = lake.build(&model, &[silver]).await.unwrap_err();
    assert!(error.to_string().contains("without event_date"), "{error}");
}

#[tokio::test]
async fn types_of_sql_become_types_of_tables() {
    let lake = Lake::new();
    let silver = silver(&lake).await;
    let sql = "SELECT event_date, arrow_cast(user_id, 'UInt64') AS u, arrow_cast(page, 'Utf8View') AS v, \
               arrow_cast(source, 'Dictionary(Int32, Utf8)') AS d, arrow_cast(event_timestamp, 'Timestamp(Nanosecond, None)') AS t, \
               arrow_cast(user_id, 'Float32') AS f, CAST(user_id AS DECIMAL(10, 2)) AS c, user_id > 1 AS b FROM silver.user_events";
    let model = planned(&lake, "-- materialize: by_day\n", sql).await;
    let types: Vec<String> = model.schema.fields().iter().map(|f| f.data_type().to_string()).collect();
    let time = "Timestamp(µs, \"UTC\")";
    assert_eq!(types, ["Date32", "Int64", "Utf8", "Utf8", time, "Float64", "Decimal128(10, 2)", "Boolean"]);
    let built = lake.build(&model, &[silver]).await.unwrap();
    assert_eq!(
        lake.rows("SELECT * FROM m WHERE u = 3", &[built]).await.unwrap(),
        ["event_date=1970-01-03, u=3, v=/checkout, d=web, t=1970-01-03T00:00:00Z, f=3.0, c=3.00, b=true"]
    );
}

#[tokio::test]
async fn a_number_that_does_not_fit_its_column_is_an_error() {
    let lake = Lake::new();
    let silver = silver(&lake).await;
    let sql = "SELECT event_date, arrow_cast(18446744073709551615, 'UInt64') AS u FROM silver.user_events";
    let model = planned(&lake, "-- materialize: by_day\n", sql).await;
    let error = lake.build(&model, &[silver]).await.unwrap_err();
    assert!(matches!(&error, Error::Refused(text) if text.contains("gold.m") && text.contains("column u")), "{error:?}");
}

#[tokio::test]
async fn no_rows_are_no_files() {
    let lake = Lake::new();
    let empty = lake.empty("silver.user_events", &silver_schema(), true);
    let model = planned(&lake, "-- materialize: by_day\n", "SELECT event_date, user_id FROM silver.user_events").await;
    assert!(lake.build(&model, &[empty]).await.unwrap().table.files.is_empty());
    let model =
        planned(&lake, "-- materialize: by_day\n", "SELECT event_date, user_id FROM silver.user_events WHERE user_id > 2").await;
    let built = lake.build(&model, &[silver(&lake).await]).await.unwrap();
    assert_eq!(built.table.days(), [2]);
}

#[tokio::test]
async fn a_lost_file_may_come_back_and_a_wrong_row_will_not() {
    let lake = Lake::new();
    let silver = silver(&lake).await;
    let model =
        planned(&lake, "-- materialize: by_day\n", "SELECT event_date, 1 / (user_id - 3) AS x FROM silver.user_events").await;
    assert!(matches!(lake.build(&model, &[silver.clone()]).await.unwrap_err(), Error::Refused(_)));
    lake.lose(&silver, |f| f.date == Some(2));
    let model = planned(&lake, "-- materialize: by_day\n", "SELECT event_date, user_id FROM silver.user_events").await;
    assert!(matches!(lake.build(&model, &[silver]).await.unwrap_err(), Error::Failed(_)));
}

#[tokio::test]
async fn a_failing_test_says_how_often_and_shows_some_rows() {
    let lake = Lake::new();
    let silver = silver(&lake).await;
    let front = "-- materialize: by_day
-- test: not_null(page)
-- test: unique(event_date, user_id)
-- test: accepted_values(source, web)
-- test: accepted_values(user_id, 1, '2', 3)
-- test warn: row_count(min=9)
-- test: row_count(min=8, max=8)
-- test: relationships(page, silver.user_events.page)
-- test: relationships(event_type, silver.user_events.source)
-- test: SELECT * FROM gold.m WHERE user_id = 3
";
    let model = planned(&lake, front, "SELECT event_date, user_id, event_type, page, source FROM silver.user_events").await;
    assert_eq!(model.tested_with, ["silver.user_events"]);
    let built = lake.build(&model, &[silver.clone()]).await.unwrap();
    let outcomes = lake.engine.check(&model, &model.model.tests, vec![built.clone(), silver.clone()]).await.unwrap();
    let failing: Vec<(usize, u64, usize)> = outcomes.iter().map(|o| (o.test.line, o.failing_rows, o.sample.len())).collect();
    let expected = [(2, 2, 2), (3, 3, 3), (4, 5, 5), (5, 0, 0), (6, 1, 1), (7, 0, 0), (8, 0, 0), (9, 8, 5), (10, 1, 1)];
    assert_eq!(failing, expected, "{outcomes:#?}");
    assert!(outcomes.iter().all(|o| o.error.is_none()), "{outcomes:#?}");
    assert_eq!(outcomes[4].sample, ["rows=8"]);
    assert_eq!(outcomes[8].sample, ["event_date=1970-01-03, user_id=3, event_type=purchase, page=/checkout, source=web"]);
    // A table that is not given is an outcome, and the other tests are run.
    let outcomes = lake.engine.check(&model, &model.model.tests, vec![built]).await.unwrap();
    assert!(outcomes[6].error.is_some() && outcomes[5].error.is_none(), "{outcomes:#?}");
}

#[tokio::test]
async fn a_test_for_nulls_reads_no_file_where_the_log_says_that_there_are_none() {
    let lake = Lake::new();
    let silver = silver(&lake).await;
    let model = planned(
        &lake,
        "-- materialize: by_day\n-- test: not_null(event_date, user_id)\n",
        "SELECT event_date, user_id FROM silver.user_events",
    )
    .await;
    let built = lake.build(&model, &[silver]).await.unwrap();
    lake.lose(&built, |_| true);
    let outcomes = lake.engine.check(&model, &model.model.tests, vec![built.clone()]).await.unwrap();
    assert!(outcomes[0].error.is_none() && outcomes[0].failing_rows == 0, "{outcomes:?}");
    let unknown = with_files(&built, |f| f.stats = None);
    assert!(lake.engine.check(&model, &model.model.tests, vec![unknown]).await.unwrap()[0].error.is_some());
}

#[tokio::test]
async fn many_groups_are_built_in_little_memory() {
    let lake = Lake::with_memory(24 << 20);
    let day: Vec<Event<'_>> = (0..400_000).map(|n| (n + 1, "click", Some("/home"), n, "web")).collect();
    let silver = lake.silver(&[&day]).await;
    let sql = "SELECT event_date, event_id, user_id, COUNT(*) AS n FROM silver.user_events GROUP BY 1, 2, 3";
    let model = planned(&lake, "-- materialize: by_day\n", sql).await;
    assert_eq!(model.schema.field(1).data_type(), &DataType::Utf8);
    let built = lake.build(&model, &[silver]).await.unwrap();
    assert_eq!(lake.rows("SELECT COUNT(*) AS n, MAX(n) AS m FROM m", &[built]).await.unwrap(), ["n=400000, m=1"]);
}
