//! What is old goes, and it is said from where on there is everything.

use std::time::Duration;

use tributary_actors::serving::prepare;
use tributary_actors::serving::retention::{runs, windows};

use super::lease::{lead, migrated, run_out};
use crate::common::payments::stream;

const DAYS: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn windows_of_whole_days_go_in_steps_and_the_rest_stays() {
    let Some((database, mut connection)) = migrated().await else { return };
    prepare(&database.url, &stream()).await.unwrap();
    let table = &stream().windows[0].table;
    let groups: Vec<String> = stream().windows[0].group_by.iter().map(|g| stream().fields[*g].column.clone()).collect();
    let (columns, values) = (groups.join(", "), vec!["'x'"; groups.len()].join(", "));
    let measure = stream().windows[0].measure.column().to_owned();
    // Every minute of 20 days until now: more rows than one step takes.
    database
        .run(&format!(
            "INSERT INTO realtime.{table} (window_start, window_end, {columns}, {measure}) SELECT m, m + interval '1 minute', {values}, 1 \
             FROM generate_series(date_trunc('minute', now()) - interval '20 days', now(), interval '1 minute') AS m"
        ))
        .await;
    let lease = lead(&mut connection, "box-1").await;
    let retained = windows(&mut connection, &lease, &stream().windows, 10 * DAYS).await.unwrap();
    assert_eq!(retained.len(), stream().windows.len());
    assert!(retained[0].deleted > 10_000 && retained[1].deleted == 0, "{retained:?}");
    let rest = format!(
        "SELECT (min(window_start) = date_trunc('day', now(), 'UTC') - interval '10 days')::text || ' ' || \
         (min(window_start) = (SELECT deleted_before FROM ops.retention WHERE table_name = '{table}'))::text FROM realtime.{table}"
    );
    assert_eq!(database.texts(&rest).await, ["true true"]);
    assert_eq!(windows(&mut connection, &lease, &stream().windows, 10 * DAYS).await.unwrap()[0].deleted, 0);
    windows(&mut connection, &lease, &stream().windows, 15 * DAYS).await.unwrap();
    assert_eq!(database.texts(&rest).await, ["true true"], "keeping more brings nothing back");

    run_out(&database).await;
    lead(&mut connection, "box-2").await;
    assert!(windows(&mut connection, &lease, &stream().windows, DAYS).await.unwrap_err().is_lost());
}

#[tokio::test]
async fn old_runs_go_with_all_that_hangs_on_them_but_the_newest_of_a_job() {
    let Some((database, mut connection)) = migrated().await else { return };
    database
        .run(
            "INSERT INTO ops.runs (job, state, trigger, requested_by, started_at, ended_at, epoch) \
             SELECT 'etl', 'succeeded', 'schedule', 'box-1', now() - n * interval '6 hours', now() - n * interval '6 hours', 1 \
             FROM generate_series(480, 1, -1) AS n; \
             INSERT INTO ops.runs (job, state, trigger, requested_by, ended_at) VALUES \
             ('rare', 'failed', 'manual', 'anna', now() - interval '400 days'), ('rare', 'failed', 'manual', 'anna', now() - interval '300 days'); \
             INSERT INTO ops.runs (job, trigger, requested_by, queued_at) VALUES ('etl', 'manual', 'anna', now() - interval '99 days'); \
             INSERT INTO ops.tasks (run_id, task, place, attempt, state, ended_at) SELECT id, 'silver', 0, 1, 'skipped', now() FROM ops.runs; \
             INSERT INTO ops.logs (run_id, at, level, message) SELECT id, now(), 'info', 'x' FROM ops.runs; \
             INSERT INTO ops.model_tests (run_id, model, test, severity, passed, failing_rows) SELECT id, 'm', 't', 'fail', true, 0 FROM ops.runs",
        )
        .await;
    let lease = lead(&mut connection, "box-1").await;
    let deleted = runs(&mut connection, &lease, 30 * DAYS).await.unwrap();
    assert!((360..=362).contains(&deleted), "three quarters of 480, and one of the rare job: {deleted}");
    let left = "SELECT job || ' ' || count(*) || ' ' || count(*) FILTER (WHERE state = 'queued') FROM ops.runs GROUP BY job ORDER BY job";
    let left = database.texts(left).await;
    assert!(left[1] == "rare 1 0" && left[0].ends_with(" 1"), "{left:?}");
    for table in ["tasks", "logs", "model_tests"] {
        let same = format!("SELECT (count(*) = (SELECT count(*) FROM ops.runs))::text FROM ops.{table}");
        assert_eq!(database.texts(&same).await, ["true"], "{table}");
    }
    assert_eq!(runs(&mut connection, &lease, 30 * DAYS).await.unwrap(), 0);
}
