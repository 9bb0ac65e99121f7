//! Tables: made once, whoever comes first, as users know them.

use tributary_actors::serving::offsets::{Skip, incarnation, newest_incarnation, read, record_incarnation, skip};
use tributary_actors::serving::{connect, prepare};
use tributary_core::stream::{Measure, Stream};

use crate::common::payments::stream;
use crate::common::postgres::database;

#[tokio::test]
async fn preparing_is_repeatable_and_may_be_done_by_several_at_once() {
    for _ in 0..5 {
        let Some(database) = database().await else { return };
        let stream = stream();
        let all = futures::future::join_all((0..6).map(|_| prepare(&database.url, &stream))).await;
        for prepared in all {
            prepared.unwrap();
        }
        prepare(&database.url, &stream).await.unwrap();
        let tables = "SELECT table_schema || '.' || table_name FROM information_schema.tables \
                      WHERE table_schema IN ('gold', 'ops', 'realtime') ORDER BY 1";
        assert_eq!(
            database.texts(tables).await,
            [
                "gold.conversion_rate_daily",
                "gold.daily_active_users",
                "gold.events_per_source_daily",
                "gold.purchases_per_page_daily",
                "ops.actions",
                "ops.leases",
                "ops.logs",
                "ops.lost_ranges",
                "ops.model_tests",
                "ops.published",
                "ops.published_days",
                "ops.replays",
                "ops.retention",
                "ops.runs",
                "ops.schedules",
                "ops.stream_offsets",
                "ops.tasks",
                "ops.tested_models",
                "ops.topic_incarnations",
                "realtime.payments_per_minute",
                "realtime.turnover_per_hour"
            ]
        );
    }
}

#[tokio::test]
async fn the_tables_of_the_builtin_stream_are_those_that_users_know() {
    let Some(database) = database().await else { return };
    prepare(&database.url, &Stream::builtin()).await.unwrap();
    let columns = "SELECT table_name || ' ' || string_agg(column_name || ' ' || data_type, ', ' ORDER BY ordinal_position) \
                   FROM information_schema.columns WHERE table_schema = 'realtime' GROUP BY table_name ORDER BY table_name";
    let time = "timestamp with time zone";
    assert_eq!(
        database.texts(columns).await,
        [
            format!(
                "events_per_minute window_start {time}, window_end {time}, event_type text, event_count bigint, updated_at {time}"
            ),
            format!(
                "logins_per_source window_start {time}, window_end {time}, source text, login_count bigint, updated_at {time}"
            ),
            format!("purchases_per_minute window_start {time}, window_end {time}, purchase_count bigint, updated_at {time}"),
        ]
    );
    let keys = "SELECT conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint \
                WHERE contype = 'p' AND connamespace = 'realtime'::regnamespace ORDER BY 1";
    assert_eq!(
        database.texts(keys).await,
        [
            "realtime.events_per_minute PRIMARY KEY (window_start, event_type)",
            "realtime.logins_per_source PRIMARY KEY (window_start, source)",
            "realtime.purchases_per_minute PRIMARY KEY (window_start)",
        ]
    );
}

#[tokio::test]
async fn sums_are_exact_numbers() {
    let Some(database) = database().await else { return };
    prepare(&database.url, &stream()).await.unwrap();
    let kind =
        "SELECT data_type FROM information_schema.columns WHERE table_name = 'turnover_per_hour' AND column_name = 'cents'";
    assert_eq!(database.texts(kind).await, ["numeric"]);
}

#[tokio::test]
async fn a_skip_moves_the_offset_it_has_seen_and_leaves_a_row() {
    let Some(database) = database().await else { return };
    prepare(&database.url, &stream()).await.unwrap();
    let mut connection = connect(&database.url).await.unwrap();
    let step = |from, to| Skip { partition: 2, from, to };
    assert!(
        skip(&mut connection, "payments", 1, step(10, 50), "gone").await.unwrap(),
        "a partition that the windows never began"
    );
    assert!(!skip(&mut connection, "payments", 1, step(10, 60), "gone").await.unwrap(), "somebody was faster");
    assert!(skip(&mut connection, "payments", 1, step(50, 60), "gone again").await.unwrap());
    assert_eq!(read(&mut connection, "payments", 1).await.unwrap(), [(2, 60)].into());
    assert!(read(&mut connection, "payments", 2).await.unwrap().is_empty(), "another incarnation");
    let rows = "SELECT concat_ws(' ', stream, incarnation, kafka_partition, from_offset, to_offset, leg, reason) FROM ops.lost_ranges ORDER BY 1";
    assert_eq!(database.texts(rows).await, ["payments 1 2 10 50 serving gone", "payments 1 2 50 60 serving gone again"]);
}

#[tokio::test]
async fn a_topic_is_remembered_by_its_id() {
    let Some(database) = database().await else { return };
    prepare(&database.url, &stream()).await.unwrap();
    let mut connection = connect(&database.url).await.unwrap();
    assert_eq!(newest_incarnation(&mut connection, "payments").await.unwrap(), None);
    record_incarnation(&mut connection, "payments", "a", 1).await.unwrap();
    record_incarnation(&mut connection, "payments", "b", 2).await.unwrap();
    record_incarnation(&mut connection, "payments", "a", 1).await.unwrap();
    assert_eq!(incarnation(&mut connection, "payments", "b").await.unwrap(), Some(2));
    assert_eq!(incarnation(&mut connection, "payments", "c").await.unwrap(), None);
    assert_eq!(newest_incarnation(&mut connection, "payments").await.unwrap(), Some(2));
}

#[tokio::test]
async fn a_table_of_another_declaration_is_refused_with_what_to_do() {
    let Some((database, target)) = super::prepared().await else { return };
    let mut connection = connect(&database.url).await.unwrap();
    target.merge(&mut connection, &super::deltas(&[(0, 0..50)])).await.unwrap();
    let changes: [fn(&mut Stream); 3] = [
        |stream| stream.windows[0].every_ms *= 5,
        |stream| stream.windows[0].group_by.truncate(0),
        |stream| stream.windows[0].measure = Measure::Count { column: "other".to_owned() },
    ];
    for change in changes {
        let mut changed = (*stream()).clone();
        change(&mut changed);
        let error = prepare(&database.url, &changed).await.unwrap_err();
        let table = &changed.windows[0].table;
        assert!(error.is_permanent() && error.to_string().contains(&format!("DROP TABLE realtime.{table}")), "{error}");
    }
    prepare(&database.url, &stream()).await.unwrap();
}
