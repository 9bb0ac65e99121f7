//! What is wrong with a model is said before anything runs, and takes down only what selects from it.

use std::path::Path;
use std::sync::Arc;

use tributary_batch::models::{BUILTIN, DEFAULT_FOLDER, Models};
use tributary_core::model::Materialize;
use tributary_core::stream::Stream;

use crate::common::{Lake, plan};

fn order(models: &Models) -> Vec<&str> {
    models.planned.iter().map(|p| p.model.name.as_str()).collect()
}

#[tokio::test]
async fn the_compiled_in_models_give_the_tables_that_users_know() {
    let lake = Lake::new();
    let models = plan(&lake.engine, BUILTIN).await;
    assert!(models.broken.is_empty(), "{:#?}", models.broken);
    let columns = |name: &str| {
        let planned = models.planned.iter().find(|p| p.model.name == name).unwrap();
        let columns: Vec<String> = planned.schema.fields().iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect();
        (columns.join(", "), planned.model.publish.clone().unwrap_or_default(), planned.model.key.join(", "))
    };
    let time = "Timestamp(µs, \"UTC\")";
    for (name, has, published, key) in [
        (
            "dim_users",
            format!("user_id Int64, total_events Int64, source_count Int64, first_seen {time}, last_seen {time}"),
            "",
            "user_id",
        ),
        ("dim_pages", "page Utf8, total_events Int64".to_owned(), "", "page"),
        (
            "fact_events",
            format!(
                "event_id Utf8, user_id Int64, event_type Utf8, page Utf8, event_timestamp {time}, source Utf8, event_date Date32"
            ),
            "",
            "event_id, event_timestamp",
        ),
        ("kpi_dau", "event_date Date32, dau_count Int64".to_owned(), "daily_active_users", "event_date"),
        (
            "kpi_events_per_source",
            "event_date Date32, source Utf8, event_count Int64".to_owned(),
            "events_per_source_daily",
            "event_date, source",
        ),
        (
            "kpi_purchases_per_page",
            "event_date Date32, page Utf8, purchase_count Int64".to_owned(),
            "purchases_per_page_daily",
            "event_date, page",
        ),
        (
            "kpi_conversion_rate",
            "event_date Date32, total_events Int64, total_purchases Int64, dau_count Int64, conversion_rate Decimal128(9, 6)"
                .to_owned(),
            "conversion_rate_daily",
            "event_date",
        ),
    ] {
        assert_eq!(columns(name), (has, published.to_owned(), key.to_owned()), "{name}");
    }
    let hidden: Vec<&str> = models.planned.iter().filter(|p| p.model.hidden).map(|p| p.model.name.as_str()).collect();
    assert_eq!(hidden, ["page_days", "user_days"]);
    for planned in &models.planned {
        let described: Vec<&str> = planned.model.columns.iter().map(|(name, _)| name.as_str()).collect();
        let given: Vec<&str> = planned.schema.fields().iter().map(|f| f.name().as_str()).collect();
        assert_eq!(described, given, "{}: each column is described", planned.model.name);
        assert!(!planned.model.description.is_empty() && !planned.model.tests.is_empty());
    }
}

#[tokio::test]
async fn sources_are_built_before_what_selects_from_them() {
    let lake = Lake::new();
    let models = plan(&lake.engine, BUILTIN).await;
    for (n, planned) in models.planned.iter().enumerate() {
        for source in planned.sources.iter().filter_map(|s| s.strip_prefix("gold.")) {
            assert!(order(&models).iter().take(n).any(|before| *before == source), "{} before {source}", planned.model.name);
        }
        if planned.model.materialize == Materialize::Rollup {
            assert!(planned.sources.iter().all(|s| s.starts_with("gold.")));
        }
    }
}

#[tokio::test]
async fn the_example_of_a_users_own_figure_works() {
    let lake = Lake::new();
    let models = plan(&lake.engine, &[("examples/my_kpi.sql", include_str!("../../../examples/my_kpi.sql"))]).await;
    assert!(models.broken.is_empty(), "{:#?}", models.broken);
    assert_eq!(models.planned[0].model.publish.as_deref(), Some("logins_per_hour"));
}

const BY_DAY: &str = "-- materialize: by_day\n";
const ROLLUP: &str = "-- materialize: rollup\n";

#[tokio::test]
async fn a_wrong_model_is_refused_with_its_line() {
    let lake = Lake::new();
    for (text, line, says) in [
        (
            "SELECT event_date, user_id FROM silver.user_event",
            2,
            "there is no table `silver.user_event`|did you mean `silver.user_events`?",
        ),
        ("SELECT event_date\nFROM user_events", 3, "there is no table `user_events`|did you mean `silver.user_events`?"),
        ("SELECT event_date, user_id FROM bronze.user_events", 2, "there is no table `bronze.user_events`"),
        ("SELECT event_date,\n  pagee\nFROM silver.user_events", 3, "there is no column `pagee`|did you mean `page`?"),
        ("SELECT event_date, user_id FROM silver.user_events\nWHERE e.page = 'x'", 3, "`e.page`"),
        ("SELECT event_date,\n count(x) AS n FROM silver.user_events GROUP BY 1", 3, "there is no column `x`"),
        ("SELECT event_date, user_id FROM silver.user_events\nWHERE nosuch(page) = 1", 3, "nosuch"),
        ("SELECT event_date, user_id FROM silver.user_events GROUP BY\n", 2, ""),
        ("SELECT event_date\nFRM silver.user_events WHERE", 3, ""),
        ("SELECT event_date, page FROM silver.user_events GROUP BY event_date", 2, "page"),
        (
            "SELECT event_date, COUNT(*) FROM silver.user_events GROUP BY event_date",
            2,
            "is not a name for a column|AS event_count",
        ),
        ("SELECT event_date, user_id AS \"userId\" FROM silver.user_events", 2, "`userId` is not a name"),
        ("SELECT a.event_date, b.event_date FROM silver.user_events a, silver.user_events b", 2, "event_date"),
        (
            "SELECT event_date, array_agg(page ORDER BY page) AS pages FROM silver.user_events GROUP BY 1",
            2,
            "column `pages` is of type",
        ),
        ("SELECT event_date, NULL AS nothing FROM silver.user_events", 2, "column `nothing` is of type"),
        ("SELECT user_id FROM silver.user_events", 2, "needs the column `event_date`"),
        ("SELECT DISTINCT event_date FROM silver.user_events", 2, "gives nothing but `event_date`"),
        ("SELECT event_timestamp AS event_date FROM silver.user_events", 2, "not a date"),
        ("SELECT DATE '2026-01-01' AS event_date", 2, "selects from no table"),
        ("INSERT INTO silver.user_events SELECT * FROM silver.user_events", 2, "is not a SELECT"),
        ("SELECT event_date, user_id FROM silver.user_events; SELECT 1", 2, "2 statements"),
        ("SELECT event_date,\n now() AS at FROM silver.user_events", 3, "now() gives something else the next time"),
        ("SELECT event_date,\n random() AS r FROM silver.user_events", 3, "random() gives something else"),
        (
            "SELECT event_date, user_id FROM silver.user_events\nWHERE event_date < current_date",
            3,
            "current_date() gives something else",
        ),
        ("SELECT event_date,\n current_timestamp AS r FROM silver.user_events", 3, "gives something else the next time"),
        (
            "SELECT event_date, user_id FROM silver.user_events WHERE page IN\n(SELECT uuid() FROM silver.user_events)",
            3,
            "uuid() gives",
        ),
        (
            "SELECT event_date,\n first_value(page) AS p FROM silver.user_events GROUP BY 1",
            3,
            "first_value() gives something else",
        ),
        ("SELECT event_date, row_number() OVER (PARTITION BY user_id) AS p FROM silver.user_events", 2, "row_number() gives"),
        ("SELECT event_date, user_id FROM silver.user_events LIMIT 3", 2, "LIMIT takes any rows"),
        ("SELECT event_date, user_id + page AS x FROM silver.user_events WHERE user_id = true", 2, ""),
        ("-- key: day\nSELECT event_date, user_id FROM silver.user_events", 3, "key: names `day`"),
        ("-- column day: x\nSELECT event_date, user_id FROM silver.user_events", 3, "column: names `day`"),
        ("-- test: unique(day)\nSELECT event_date, user_id FROM silver.user_events", 2, "the test names `day`"),
        (
            "-- test: relationships(event_date, gold.nosuch.x)\nSELECT event_date, user_id FROM silver.user_events",
            2,
            "there is no table `gold.nosuch`",
        ),
        (
            "-- test: relationships(event_date, silver.user_events.x)\nSELECT event_date, user_id FROM silver.user_events",
            2,
            "has no column `x`",
        ),
        (
            "-- test: SELECT * FROM gold.m WHERE x\nSELECT event_date, user_id FROM silver.user_events",
            2,
            "there is no column `x`",
        ),
        ("-- test: SELECT FROM WHERE\nSELECT event_date, user_id FROM silver.user_events", 2, ""),
    ] {
        let models = plan(&lake.engine, &[("gold/m.sql", &format!("{BY_DAY}{text}"))]).await;
        let error = models.broken.get("m").unwrap_or_else(|| panic!("not refused: {text}"));
        assert!(error.starts_with(&format!("gold/m.sql, line {line}: ")), "{text}\n{error}");
        for says in says.split('|') {
            assert!(error.contains(says), "{text}\n{error}");
        }
        assert!(models.planned.is_empty());
    }
}

#[tokio::test]
async fn what_is_certain_is_not_refused() {
    let lake = Lake::new();
    for text in [
        "SELECT event_date, first_value(page ORDER BY event_timestamp, event_id) AS p FROM silver.user_events GROUP BY 1",
        "SELECT event_date, row_number() OVER (PARTITION BY event_date ORDER BY event_id) AS p FROM silver.user_events",
        "WITH a AS (SELECT * FROM silver.user_events) SELECT event_date, user_id FROM a ORDER BY user_id",
        "SELECT event_date, date_trunc('hour', event_timestamp) AS h, to_char(event_timestamp, '%H') AS t FROM silver.user_events",
        "SELECT e.event_date, c.other_timestamp FROM silver.user_events e JOIN silver.user_events_conflicts c USING (event_id, event_date)",
        "SELECT event_date, user_id FROM silver.user_events UNION ALL SELECT event_date, user_id FROM Silver.User_Events -- the end\n;",
        "SELECT CAST(event_timestamp AS DATE) AS event_date, upper(page) AS p, user_id % 7 AS u FROM silver.user_events",
    ] {
        let models = plan(&lake.engine, &[("gold/m.sql", &format!("{BY_DAY}{text}"))]).await;
        assert!(models.broken.is_empty(), "{text}\n{}", models.broken["m"]);
    }
}

#[tokio::test]
async fn a_day_is_made_of_its_own_rows_alone() {
    let lake = Lake::new();
    let e = "silver.user_events";
    for (text, says) in [
        (format!("SELECT MIN(event_date) AS event_date, user_id FROM {e} GROUP BY user_id"), Some("GROUP BY event_date")),
        (
            format!("SELECT event_date, user_id, SUM(COUNT(*)) OVER () AS total FROM {e} GROUP BY 1, 2"),
            Some("PARTITION BY event_date"),
        ),
        (format!("SELECT event_date, COUNT(*) OVER (PARTITION BY user_id) AS n FROM {e}"), Some("PARTITION BY event_date")),
        (format!("SELECT event_date, (SELECT COUNT(*) FROM {e}) AS total FROM {e}"), Some("")),
        (format!("SELECT event_date, user_id FROM {e} WHERE user_id IN (SELECT user_id FROM {e})"), Some("")),
        (
            format!("SELECT a.event_date, b.user_id FROM {e} a JOIN {e} b ON a.user_id = b.user_id"),
            Some("equality of event_date"),
        ),
        (
            format!(
                "SELECT a.event_date, b.user_id FROM {e} a LEFT JOIN {e} b ON a.event_date = b.event_date + INTERVAL '1 day'"
            ),
            Some("equality of event_date"),
        ),
        (format!("SELECT a.event_date, b.user_id FROM {e} a, {e} b"), Some("equality of event_date")),
        (format!("SELECT event_date, event_id FROM {e} ORDER BY event_id LIMIT 3"), Some("ROW_NUMBER")),
        (format!("SELECT event_date, user_id, SUM(COUNT(*)) OVER (PARTITION BY event_date) AS day FROM {e} GROUP BY 1, 2"), None),
        (format!("SELECT event_date, COUNT(DISTINCT user_id) AS n, COUNT(DISTINCT page) AS p FROM {e} GROUP BY 1"), None),
        (format!("SELECT DISTINCT event_date, user_id FROM {e} WHERE page = '/cart'"), None),
        (
            format!(
                "SELECT a.event_date, b.user_id FROM {e} a, {e} b WHERE a.event_date = b.event_date AND a.user_id < b.user_id"
            ),
            None,
        ),
        (format!("SELECT e.event_date, n FROM {e} e CROSS JOIN (VALUES (1), (2)) AS v(n)"), None),
        (
            format!(
                "WITH a AS (SELECT event_date AS day, COUNT(*) AS n FROM {e} GROUP BY 1) \
                 SELECT a.day AS event_date, a.n, COUNT(*) AS m FROM a LEFT JOIN {e} e ON e.event_date = a.day AND e.user_id = a.n GROUP BY 1, 2"
            ),
            None,
        ),
    ] {
        let models = plan(&lake.engine, &[("gold/m.sql", &format!("{BY_DAY}{text}"))]).await;
        match (models.broken.get("m"), says) {
            (Some(error), Some(says)) => assert!(error.contains(says) && error.contains("rollup"), "{text}\n{error}"),
            (None, None) => {}
            (error, _) => panic!("{text}\n{error:?}"),
        }
    }
}

#[tokio::test]
async fn a_broken_model_takes_down_what_selects_from_it_and_nothing_else() {
    let lake = Lake::new();
    let select = |from: &str| format!("{BY_DAY}SELECT event_date, user_id\nFROM {from}");
    let (a, b, c, d) = (select("silver.nosuch"), select("gold.a"), select("gold.b"), select("silver.user_events"));
    let e = "-- materialise: by_day\nSELECT 1";
    let f = select("gold.e");
    let models =
        plan(&lake.engine, &[("a.sql", &a), ("b.sql", &b), ("c.sql", &c), ("d.sql", &d), ("e.sql", e), ("f.sql", &f)]).await;
    assert_eq!(order(&models), ["d"]);
    let broken: Vec<&str> = models.broken.keys().map(String::as_str).collect();
    assert_eq!(broken, ["a", "b", "c", "e", "f"]);
    assert!(models.broken["b"].starts_with("b.sql, line 3: gold.b: because gold.a is broken"), "{}", models.broken["b"]);
    assert!(models.broken["c"].contains("because gold.b is broken"));
    assert!(models.broken["f"].contains("because gold.e is broken"));
}

#[tokio::test]
async fn a_wrong_test_takes_down_what_selects_from_its_model() {
    let lake = Lake::new();
    let a = format!("{BY_DAY}-- test: SELECT * FROM gold.zzz\nSELECT event_date, user_id FROM silver.user_events");
    let b = format!("{ROLLUP}SELECT COUNT(*) AS n FROM gold.a");
    let c = format!(
        "{BY_DAY}-- test: relationships(event_date, gold.a.event_date)\nSELECT event_date, user_id FROM silver.user_events"
    );
    let models = plan(&lake.engine, &[("a.sql", &a), ("b.sql", &b), ("c.sql", &c)]).await;
    assert_eq!(order(&models), ["c"], "{:#?}", models.broken);
    assert!(models.broken["a"].starts_with("a.sql, line 2: "), "{}", models.broken["a"]);
    assert!(models.broken["b"].contains("because gold.a is broken"));
}

#[tokio::test]
async fn a_cycle_is_shown() {
    let lake = Lake::new();
    let select = |from: &str| format!("{ROLLUP}SELECT n\nFROM {from}");
    let (a, b, c) = (select("gold.b"), select("gold.a"), select("gold.a"));
    let own = select("gold.own");
    let models = plan(&lake.engine, &[("a.sql", &a), ("b.sql", &b), ("c.sql", &c), ("own.sql", &own)]).await;
    assert!(models.planned.is_empty());
    let says = "a.sql, line 3: gold.a: is a cycle: gold.a selects from gold.b selects from gold.a";
    assert!(models.broken["a"].starts_with(says), "{}", models.broken["a"]);
    assert!(models.broken["c"].contains("because gold.a is broken"));
    assert!(models.broken["own"].contains("gold.own selects from gold.own"));
}

#[tokio::test]
async fn layers_keep_to_what_can_be_followed() {
    let lake = Lake::new();
    let days = format!("{BY_DAY}SELECT event_date, user_id FROM silver.user_events");
    let sum = format!("{ROLLUP}SELECT user_id, MAX(event_date) AS event_date FROM gold.days GROUP BY user_id");
    let late = format!("{BY_DAY}SELECT event_date, user_id FROM gold.sum");
    let direct = format!("{ROLLUP}SELECT user_id FROM silver.user_events");
    let models =
        plan(&lake.engine, &[("days.sql", &days), ("direct.sql", &direct), ("late.sql", &late), ("sum.sql", &sum)]).await;
    assert_eq!(order(&models), ["days", "sum"]);
    assert!(models.broken["late"].contains("`gold.sum` is a rollup"), "{}", models.broken["late"]);
    assert!(models.broken["direct"].contains("a rollup does not select from `silver.user_events`"));
}

#[tokio::test]
async fn two_models_do_not_publish_one_table() {
    let lake = Lake::new();
    let text = "-- materialize: by_day\n-- key: event_date\n-- publish: gold.x\nSELECT DISTINCT event_date, source FROM silver.user_events";
    let models = plan(&lake.engine, &[("a.sql", text), ("b.sql", text)]).await;
    // Neither of them: who comes first in the alphabet may be the newcomer.
    assert_eq!(order(&models), [""; 0]);
    assert!(models.broken["a"].contains("gold.x is published by b.sql, too"), "{}", models.broken["a"]);
    assert!(models.broken["b"].contains("gold.x is published by a.sql, too"), "{}", models.broken["b"]);
}

#[tokio::test]
async fn a_folder_that_exists_is_the_truth() {
    let lake = Lake::new();
    let streams = [Arc::new(Stream::builtin())];
    let folder = lake.dir.path().join("models");
    assert!(lake.engine.models(&folder, &streams).await.is_err(), "a folder that somebody named must be there");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("one.sql"), format!("{BY_DAY}SELECT event_date, user_id FROM silver.user_events")).unwrap();
    for (other, text) in [(".hidden.sql", "x"), ("README.md", "x"), ("one.sql~", "x")] {
        std::fs::write(folder.join(other), text).unwrap();
    }
    let below = folder.join("sales").join("daily");
    std::fs::create_dir_all(&below).unwrap();
    std::fs::write(below.join("two.sql"), format!("{BY_DAY}SELECT event_date, user_id FROM silver.user_events")).unwrap();
    let models = lake.engine.models(&folder, &streams).await.unwrap();
    assert_eq!((order(&models), models.broken.len()), (vec!["one", "two"], 0));
    std::fs::copy(folder.join("one.sql"), below.join("one.sql")).unwrap();
    let models = lake.engine.models(&folder, &streams).await.unwrap();
    assert_eq!(order(&models), ["two"]);
    assert!(models.broken["one"].contains("gold.one has several files: "), "{}", models.broken["one"]);
    // Tests run in the crate's folder, which has none.
    let models = lake.engine.models(Path::new(DEFAULT_FOLDER), &streams).await.unwrap();
    assert_eq!(models.planned.len(), BUILTIN.len());
}
