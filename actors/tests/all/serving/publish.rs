//! Publishing: all tables at once, by the leader alone, and no closed day shrinks unseen.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::{ArrayRef, Date32Array, Decimal128Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use futures::StreamExt;
use futures::stream;
use sqlx::PgConnection;
use tributary_actors::serving::connect;
use tributary_actors::serving::lease::Lease;
use tributary_actors::serving::publish::{Publication, PublishError, Published, Scope, Table, Terms, Version, publish, standing};

use super::lease::{lead, migrated, run_out};
use crate::common::Dice;
use crate::common::postgres::Database;

const TERMS: Terms = Terms { max_shrink: 0.10, force: false, run: None };
const FORCE: Terms = Terms { force: true, ..TERMS };
/// Days of the year 2020, long closed: 2020-01-01 and so on.
const DAY: i32 = 18_262;

/// A model's table `gold.visits`: visits per day and page.
fn visits() -> Table {
    let schema = Schema::new(vec![
        Field::new("event_date", DataType::Date32, false),
        Field::new("page", DataType::Utf8, true),
        Field::new("n", DataType::Int64, true),
    ]);
    Table {
        name: "visits".into(),
        model: "kpi_visits".into(),
        key: vec!["event_date".into(), "page".into()],
        schema: Arc::new(schema),
    }
}

fn version(version: i64) -> Version {
    Version { lake_id: "lake".into(), model_hash: "hash".into(), version }
}

/// Rows of [`visits`]: day, page, visits.
type Visit = (i32, &'static str, i64);

fn batch(rows: &[Visit]) -> RecordBatch {
    let columns: [ArrayRef; 3] = [
        Arc::new(Date32Array::from_iter_values(rows.iter().map(|r| r.0))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.1))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.2))),
    ];
    RecordBatch::try_new(visits().schema, columns.to_vec()).unwrap()
}

fn publication(table: Table, at: i64, before: Option<i64>, scope: Scope, batches: Vec<RecordBatch>) -> Publication {
    Publication {
        table,
        version: version(at),
        expected: before.map(version),
        scope,
        source_rows: None,
        rows: stream::iter(batches.into_iter().map(Ok)).boxed(),
    }
}

/// Publishes visits, one batch per row so that batches are not the unit of anything.
async fn visit(
    database: &Database,
    lease: &Lease,
    (at, before): (i64, Option<i64>),
    scope: Scope,
    rows: &[Visit],
    terms: Terms,
) -> Result<Published, PublishError> {
    let batches = rows.iter().map(|row| batch(&[*row])).collect();
    let published = publish(&database.url, lease, vec![publication(visits(), at, before, scope, batches)], terms).await?;
    Ok(published.into_iter().next().unwrap())
}

fn counts(published: &Published) -> (i64, i64, i64, i64) {
    (published.rows, published.inserted, published.updated, published.deleted)
}

async fn led() -> Option<(Database, PgConnection, Lease)> {
    let (database, mut connection) = migrated().await?;
    let lease = lead(&mut connection, "box-1").await;
    Some((database, connection, lease))
}

const ROWS: &str = "SELECT concat_ws(' ', event_date, page, n) FROM gold.visits ORDER BY 1";

#[tokio::test]
async fn a_table_is_made_filled_and_then_brought_up_to_date_by_days() {
    let Some((database, mut connection, lease)) = led().await else { return };
    let before = standing(&mut connection, &visits()).await.unwrap();
    assert_eq!((before.version, before.needs_all.as_deref()), (None, Some("was never published")));
    let all = [(DAY, "/", 5), (DAY, "/a", 2), (DAY + 1, "/", 7)];
    let first = visit(&database, &lease, (1, None), Scope::All, &all, TERMS).await.unwrap();
    assert_eq!(counts(&first), (3, 3, 0, 0));
    assert_eq!(database.texts(ROWS).await, ["2020-01-01 / 5", "2020-01-01 /a 2", "2020-01-02 / 7"]);
    let keys = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'gold.visits'::regclass AND contype = 'p'";
    assert_eq!(database.texts(keys).await, ["PRIMARY KEY (event_date, page)"]);

    let day = [(DAY + 1, "/", 8), (DAY + 1, "/b", 1), (DAY + 2, "/", 1)];
    let days = Scope::Days(vec![DAY + 1, DAY + 2]);
    let second = visit(&database, &lease, (4, Some(1)), days, &day, TERMS).await.unwrap();
    assert_eq!(counts(&second), (3, 2, 1, 0));
    let now = standing(&mut connection, &visits()).await.unwrap();
    assert_eq!((now.version, now.rows, now.needs_all), (Some(version(4)), 5, None));
    let per_day = "SELECT event_date || ' ' || rows FROM ops.published_days WHERE table_name = 'visits' ORDER BY 1";
    assert_eq!(database.texts(per_day).await, ["2020-01-01 2", "2020-01-02 2", "2020-01-03 1"]);

    let gone = visit(&database, &lease, (5, Some(4)), Scope::Days(vec![DAY]), &[(DAY, "/", 5)], FORCE).await.unwrap();
    assert_eq!(counts(&gone), (1, 0, 0, 1));
    assert_eq!(database.texts(ROWS).await, ["2020-01-01 / 5", "2020-01-02 / 8", "2020-01-02 /b 1", "2020-01-03 / 1"]);
}

#[tokio::test]
async fn publishing_again_touches_no_row_that_does_not_differ() {
    let Some((database, _connection, lease)) = led().await else { return };
    let rows = [(DAY, "/", 5), (DAY, "/a", 2), (DAY + 1, "/", 7)];
    visit(&database, &lease, (1, None), Scope::All, &rows, TERMS).await.unwrap();
    let when = "SELECT page || event_date || ' ' || updated_at || ' ' || xmin FROM gold.visits ORDER BY 1";
    let before = database.texts(when).await;
    let again = visit(&database, &lease, (2, Some(1)), Scope::All, &rows, TERMS).await.unwrap();
    assert_eq!(counts(&again), (3, 0, 0, 0));
    assert_eq!(database.texts(when).await, before);
    visit(&database, &lease, (3, Some(2)), Scope::Days(vec![DAY]), &[(DAY, "/", 6), (DAY, "/a", 2)], TERMS).await.unwrap();
    let after = database.texts(when).await;
    assert_eq!(after.iter().zip(&before).filter(|(a, b)| a != b).count(), 1, "{after:?}");
}

#[tokio::test]
async fn whoever_does_not_lead_any_more_publishes_nothing() {
    let Some((database, mut connection, zombie)) = led().await else { return };
    visit(&database, &zombie, (1, None), Scope::All, &[(DAY, "/", 5)], TERMS).await.unwrap();
    // It falls asleep between its first look at the lease and its transaction: while its rows are read.
    let (other, url) = (Arc::new(tokio::sync::Mutex::new(None)), database.url.clone());
    let next = Arc::clone(&other);
    let sleeping = stream::once(async move {
        let mut connection = connect(&url).await.unwrap();
        sqlx::query("UPDATE ops.leases SET expires_at = now()").execute(&mut connection).await.unwrap();
        *next.lock().await = Some(lead(&mut connection, "box-2").await);
        Ok(batch(&[(DAY, "/", 99)]))
    });
    let publication = Publication { rows: sleeping.boxed(), ..publication(visits(), 2, Some(1), Scope::All, Vec::new()) };
    let refused = publish(&database.url, &zombie, vec![publication], TERMS).await.unwrap_err();
    assert!(matches!(&refused, PublishError::Leader(e) if e.is_lost()), "{refused}");
    assert_eq!(database.texts(ROWS).await, ["2020-01-01 / 5"]);
    assert_eq!(standing(&mut connection, &visits()).await.unwrap().version, Some(version(1)));
    let leads = other.lock().await.take().unwrap();
    visit(&database, &leads, (2, Some(1)), Scope::All, &[(DAY, "/", 6)], TERMS).await.unwrap();
    run_out(&database).await;
    visit(&database, &leads, (3, Some(2)), Scope::All, &[(DAY, "/", 7)], TERMS).await.expect("late, but nobody else leads");
}

#[tokio::test]
async fn a_reader_sees_all_tables_of_one_version() {
    let Some((database, mut connection, lease)) = led().await else { return };
    let twin = || Table { name: "visits_too".into(), ..visits() };
    let round = async |n: i64| {
        let before = (n > 1).then(|| n - 1);
        // Rows come and go, and every row of every table says the same number.
        let rows: Vec<Visit> =
            [(DAY, "/"), (DAY, "/a"), (DAY + 1, "/")].iter().skip(n as usize % 2).map(|(d, p)| (*d, *p, n)).collect();
        let both = [visits(), twin()].map(|table| publication(table, n, before, Scope::All, vec![batch(&rows)]));
        publish(&database.url, &lease, both.into(), FORCE).await.unwrap();
    };
    round(1).await;
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let reading = tokio::spawn(async move {
        let mut seen = Vec::new();
        let sql = "SELECT DISTINCT n FROM gold.visits UNION SELECT n FROM gold.visits_too UNION \
                   SELECT version FROM ops.published WHERE table_name LIKE 'visits%'";
        while stopped.try_recv().is_err() {
            let all: Vec<i64> = sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap();
            assert_eq!(all.len(), 1, "a mixture of versions: {all:?}");
            seen.extend(all);
        }
        seen.dedup();
        seen
    });
    for n in 2..=40 {
        round(n).await;
    }
    stop.send(()).unwrap();
    let seen = reading.await.unwrap();
    assert!(seen.len() > 5 && seen.is_sorted(), "{seen:?}");
}

#[tokio::test]
async fn what_somebody_else_published_meanwhile_is_not_built_upon() {
    let Some((database, _connection, lease)) = led().await else { return };
    visit(&database, &lease, (1, None), Scope::All, &[(DAY, "/", 5)], TERMS).await.unwrap();
    visit(&database, &lease, (2, Some(1)), Scope::All, &[(DAY, "/", 6)], TERMS).await.unwrap();
    for (expected, scope) in [(Some(1), Scope::Days(vec![DAY])), (None, Scope::All)] {
        let foreign = visit(&database, &lease, (3, expected), scope, &[(DAY, "/", 7)], TERMS).await.unwrap_err();
        assert!(matches!(foreign, PublishError::Foreign { .. }) && !foreign.is_permanent(), "{foreign}");
    }
    assert_eq!(database.texts(ROWS).await, ["2020-01-01 / 6"]);
}

#[tokio::test]
async fn a_closed_day_that_shrinks_is_refused_whole_and_forced_when_a_person_means_it() {
    let Some((database, mut connection, lease)) = led().await else { return };
    let pages = ["/0", "/1", "/2", "/3", "/4", "/5", "/6", "/7", "/8", "/9"];
    let of = |day: i32, n: usize| pages.iter().take(n).map(move |page| (day, *page, 1)).collect::<Vec<Visit>>();
    let today = i32::try_from(chrono::Utc::now().timestamp() / 86_400).unwrap();
    let all = [of(DAY, 10), of(DAY + 1, 10), of(today, 10)].concat();
    visit(&database, &lease, (1, None), Scope::All, &all, TERMS).await.unwrap();

    let nine = visit(&database, &lease, (2, Some(1)), Scope::Days(vec![DAY]), &of(DAY, 9), TERMS).await.unwrap();
    assert_eq!(nine.deleted, 1, "a tenth may go");
    let eight = visit(&database, &lease, (3, Some(2)), Scope::Days(vec![DAY]), &of(DAY, 8), TERMS).await.unwrap_err();
    let said = eight.to_string();
    assert!(eight.is_permanent() && matches!(eight, PublishError::Shrunk(_)));
    for word in ["gold.visits", "2020-01-01", "from 9 to 8 rows", "--force"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let open = visit(&database, &lease, (3, Some(2)), Scope::Days(vec![today]), &of(today, 1), TERMS).await;
    assert_eq!(open.unwrap().deleted, 9, "today is not closed");
    // A day that is not there any more, among all days: and nothing of it is published.
    let lost =
        visit(&database, &lease, (4, Some(3)), Scope::All, &[of(DAY + 1, 10), of(today, 4)].concat(), TERMS).await.unwrap_err();
    assert!(lost.to_string().contains("2020-01-01 from 9 to 0 rows"), "{lost}");
    assert_eq!(standing(&mut connection, &visits()).await.unwrap().version, Some(version(3)));
    let rows =
        "SELECT event_date || ' ' || count(*) FROM gold.visits WHERE event_date < '2021-01-01' GROUP BY event_date ORDER BY 1";
    assert_eq!(database.texts(rows).await, ["2020-01-01 9", "2020-01-02 10"]);

    visit(&database, &lease, (4, Some(3)), Scope::All, &of(DAY + 1, 10), FORCE).await.unwrap();
    assert_eq!(database.texts(rows).await, ["2020-01-02 10"]);
    visit(&database, &lease, (5, Some(4)), Scope::All, &of(DAY + 1, 9), TERMS).await.expect("what was forced is the new measure");
}

#[tokio::test]
async fn a_closed_day_that_was_computed_from_fewer_rows_is_refused() {
    let Some((database, _connection, lease)) = led().await else { return };
    let from = async |at: i64, before: Option<i64>, days: &[(i32, i64)], source: &[(i32, i64)]| {
        let rows: Vec<Visit> = days.iter().map(|(day, n)| (*day, "/", *n)).collect();
        let source_rows = Some(source.iter().copied().collect::<BTreeMap<i32, i64>>());
        let publication = Publication { source_rows, ..publication(visits(), at, before, Scope::All, vec![batch(&rows)]) };
        publish(&database.url, &lease, vec![publication], TERMS).await
    };
    from(1, None, &[(DAY, 100), (DAY + 1, 50)], &[(DAY, 1000), (DAY + 1, 500)]).await.unwrap();
    from(2, Some(1), &[(DAY, 91), (DAY + 1, 60)], &[(DAY, 901), (DAY + 1, 600)]).await.unwrap();
    let shrunk = from(3, Some(2), &[(DAY, 91), (DAY + 1, 3)], &[(DAY, 901), (DAY + 1, 20)]).await.unwrap_err();
    assert!(shrunk.to_string().contains("2020-01-02 from 600 to 20 source rows"), "{shrunk}");
}

#[tokio::test]
async fn a_column_more_is_added_to_the_table_that_people_use() {
    let Some((database, mut connection, lease)) = led().await else { return };
    database.run("CREATE ROLE reader; CREATE TABLE gold.seen (x int)").await;
    visit(&database, &lease, (1, None), Scope::All, &[(DAY, "/", 5), (DAY, "/a", 6)], TERMS).await.unwrap();
    database.run("GRANT SELECT ON gold.visits TO reader; CREATE VIEW gold.busy AS SELECT page, n FROM gold.visits").await;
    let mut fields: Vec<Field> = visits().schema.fields().iter().map(|f| f.as_ref().clone()).collect();
    fields.push(Field::new("rate", DataType::Decimal128(10, 4), true));
    let wider = Table { schema: Arc::new(Schema::new(fields)), ..visits() };
    let rate = Decimal128Array::from(vec![5000, 1]).with_precision_and_scale(10, 4).unwrap();
    let mut columns = batch(&[(DAY, "/", 5), (DAY, "/a", 6)]).columns().to_vec();
    columns.push(Arc::new(rate));
    let rows = RecordBatch::try_new(Arc::clone(&wider.schema), columns).unwrap();

    let now = standing(&mut connection, &wider).await.unwrap();
    assert_eq!(now.needs_all.as_deref(), Some("gets other columns (rate)"));
    let days = publication(wider.clone(), 2, Some(1), Scope::Days(vec![DAY]), vec![rows.clone()]);
    let partly = publish(&database.url, &lease, vec![days], TERMS).await.unwrap_err();
    assert!(matches!(partly, PublishError::NeedsAll { .. }), "{partly}");
    let all = publication(wider.clone(), 2, Some(1), Scope::All, vec![rows]);
    assert_eq!(counts(&publish(&database.url, &lease, vec![all], TERMS).await.unwrap()[0]), (2, 0, 2, 0));
    let values = "SELECT page || ' ' || rate || ' ' || (rate * 2) FROM gold.visits ORDER BY 1";
    assert_eq!(database.texts(values).await, ["/ 0.5000 1.0000", "/a 0.0001 0.0002"]);
    assert_eq!(database.texts("SELECT page || n FROM gold.busy ORDER BY 1").await, ["/5", "/a6"]);
    let granted = "SELECT has_table_privilege('reader', 'gold.visits', 'SELECT')::text";
    assert_eq!(database.texts(granted).await, ["true"]);
    database.run("DROP OWNED BY reader; DROP ROLE reader").await;
}

#[tokio::test]
async fn another_type_or_key_rebuilds_the_table_in_its_place() {
    let Some((database, mut connection, lease)) = led().await else { return };
    visit(&database, &lease, (1, None), Scope::All, &[(DAY, "/", 5), (DAY, "/a", 6)], TERMS).await.unwrap();
    let oid = "SELECT 'gold.visits'::regclass::oid::text";
    let before = database.texts(oid).await;
    // A text for a number, and page may be null.
    let page = Field::new("page", DataType::Utf8, true);
    let schema = Schema::new(vec![Field::new("event_date", DataType::Date32, true), Field::new("n", DataType::Utf8, true), page]);
    let other = Table { key: vec!["event_date".into()], schema: Arc::new(schema), ..visits() };
    let columns: [ArrayRef; 3] = [
        Arc::new(Date32Array::from(vec![DAY])),
        Arc::new(StringArray::from(vec!["many\t\\"])),
        Arc::new(StringArray::from(vec![None::<&str>])),
    ];
    let rows = RecordBatch::try_new(Arc::clone(&other.schema), columns.to_vec()).unwrap();
    let edited = Version { model_hash: "edited".into(), ..version(2) };
    let next =
        || Publication { version: edited.clone(), ..publication(other.clone(), 2, Some(1), Scope::All, vec![rows.clone()]) };

    database.run("CREATE VIEW gold.busy AS SELECT n FROM gold.visits").await;
    let refused = publish(&database.url, &lease, vec![next()], FORCE).await.unwrap_err();
    assert!(refused.is_permanent() && refused.to_string().contains("view gold.busy"), "{refused}");
    assert_eq!(database.texts(ROWS).await, ["2020-01-01 / 5", "2020-01-01 /a 6"]);
    database.run("DROP VIEW gold.busy").await;
    publish(&database.url, &lease, vec![next()], FORCE).await.unwrap();
    assert_eq!(database.texts("SELECT concat_ws(' ', event_date, n, page) FROM gold.visits").await, ["2020-01-01 many\t\\"]);
    assert_eq!(database.texts(oid).await, before, "the same table: grants stay");
    assert_eq!(standing(&mut connection, &other).await.unwrap().version, Some(edited));
}

#[tokio::test]
async fn a_table_that_somebody_dropped_is_made_again_with_all_rows() {
    let Some((database, mut connection, lease)) = led().await else { return };
    visit(&database, &lease, (1, None), Scope::All, &[(DAY, "/", 5)], TERMS).await.unwrap();
    database.run("DROP TABLE gold.visits").await;
    let now = standing(&mut connection, &visits()).await.unwrap();
    assert_eq!((now.version, now.needs_all.as_deref()), (Some(version(1)), Some("is not there")));
    let days = visit(&database, &lease, (2, Some(1)), Scope::Days(vec![DAY]), &[(DAY, "/", 5)], TERMS).await.unwrap_err();
    assert!(matches!(days, PublishError::NeedsAll { .. }), "{days}");
    visit(&database, &lease, (2, Some(1)), Scope::All, &[(DAY, "/", 5)], TERMS).await.unwrap();
    assert_eq!(database.texts(ROWS).await, ["2020-01-01 / 5"]);
}

#[tokio::test]
async fn rows_that_make_no_table_are_refused_with_the_row() {
    let Some((database, _connection, lease)) = led().await else { return };
    let twice = visit(&database, &lease, (1, None), Scope::All, &[(DAY, "/", 5), (DAY, "/", 6)], TERMS).await.unwrap_err();
    assert!(twice.is_permanent() && twice.to_string().contains("(2020-01-01, /)"), "{twice}");
    let columns: [ArrayRef; 3] = [
        Arc::new(Date32Array::from(vec![DAY])),
        Arc::new(StringArray::from(vec![None::<&str>])),
        Arc::new(Int64Array::from(vec![1])),
    ];
    let null = RecordBatch::try_new(visits().schema, columns.to_vec()).unwrap();
    let null =
        publish(&database.url, &lease, vec![publication(visits(), 1, None, Scope::All, vec![null])], TERMS).await.unwrap_err();
    assert!(null.is_permanent() && null.to_string().contains("page"), "{null}");
    let stray = visit(&database, &lease, (1, None), Scope::Days(vec![DAY]), &[(DAY + 9, "/", 5)], TERMS).await.unwrap_err();
    assert!(stray.to_string().contains("2020-01-10"), "{stray}");
    let broken = stream::iter([Ok(batch(&[(DAY, "/", 5)])), Err("the lake is gone".into())]).boxed();
    let broken = Publication { rows: broken, ..publication(visits(), 1, None, Scope::All, Vec::new()) };
    let broken = publish(&database.url, &lease, vec![broken], TERMS).await.unwrap_err();
    assert!(!broken.is_permanent() && broken.to_string().contains("the lake is gone"), "{broken}");
    assert!(database.texts("SELECT table_name FROM ops.published").await.is_empty());
}

/// The server ends the session at any moment, also between COPY and COMMIT: after each try it is all or nothing, and [`standing`]
/// knows which.
#[tokio::test]
async fn a_session_that_is_killed_publishes_all_or_nothing() {
    let Some((database, _, lease)) = led().await else { return };
    // Neither is one of ours, which alone are killed.
    let (mut killer, mut connection) = (database.connect().await, database.connect().await);
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                WHERE datname = current_database() AND application_name = 'tributary'";
    let (mut dice, mut took) = (Dice(11), Duration::from_millis(50));
    let (mut at, mut tries, mut unheard) = (0_i64, 0, 0);
    while at < 30 {
        let rows: Vec<Visit> = (0..400).map(|n| (DAY + n, "/", at + 1)).collect();
        let begin = Instant::now();
        let trying = visit(&database, &lease, (at + 1, (at > 0).then_some(at)), Scope::All, &rows, TERMS);
        tries += 1;
        // Every third try is left alone, and tells how long one takes.
        let tried = if tries % 3 == 0 {
            let tried = trying.await;
            took = begin.elapsed();
            tried
        } else {
            let moment = took.mul_f64(dice.roll(1000) as f64 / 1000.0);
            let killing = async {
                tokio::time::sleep(moment).await;
                sqlx::query(kill).execute(&mut killer).await.unwrap();
            };
            tokio::join!(trying, killing).0
        };
        let found: Vec<i64> = match sqlx::query_scalar("SELECT DISTINCT n FROM gold.visits").fetch_all(&mut connection).await {
            Ok(found) => found,
            Err(sqlx::Error::Database(e)) if e.code().as_deref() == Some("42P01") => Vec::new(),
            Err(e) => panic!("{e}"),
        };
        let stands = standing(&mut connection, &visits()).await.unwrap().version.map_or(0, |v| v.version);
        assert_eq!(found, if stands > 0 { vec![stands] } else { Vec::new() });
        match tried {
            Ok(_) => assert_eq!(stands, at + 1),
            Err(error) => {
                assert!(!error.is_permanent(), "{error}");
                assert!(stands == at || stands == at + 1, "{stands} after {at}");
                unheard += 1;
            }
        }
        at = stands;
    }
    assert!(unheard > 5, "{unheard} of {tries} tries were cut short");
}

/// The four tables that users know are there from the first day, with the columns and types that the models give them.
#[tokio::test]
async fn the_tables_that_users_know_are_there_before_anything_is_published() {
    let Some((database, mut connection, lease)) = led().await else { return };
    let columns = "SELECT table_name || ' ' || string_agg(column_name || ' ' || data_type, ', ' ORDER BY ordinal_position) \
                   FROM information_schema.columns WHERE table_schema = 'gold' GROUP BY table_name ORDER BY 1";
    let time = "updated_at timestamp with time zone";
    assert_eq!(
        database.texts(columns).await,
        [
            format!(
                "conversion_rate_daily event_date date, total_events bigint, total_purchases bigint, dau_count bigint, conversion_rate numeric, {time}"
            ),
            format!("daily_active_users event_date date, dau_count bigint, {time}"),
            format!("events_per_source_daily event_date date, source text, event_count bigint, {time}"),
            format!("purchases_per_page_daily event_date date, page text, purchase_count bigint, {time}"),
        ]
    );
    let schema =
        Schema::new(vec![Field::new("event_date", DataType::Date32, true), Field::new("dau_count", DataType::Int64, true)]);
    let dau = Table {
        name: "daily_active_users".into(),
        model: "kpi_dau".into(),
        key: vec!["event_date".into()],
        schema: Arc::new(schema),
    };
    let oid = "SELECT relfilenode::text FROM pg_class WHERE oid = 'gold.daily_active_users'::regclass";
    let before = database.texts(oid).await;
    let columns: [ArrayRef; 2] = [Arc::new(Date32Array::from(vec![DAY])), Arc::new(Int64Array::from(vec![42]))];
    let rows = RecordBatch::try_new(Arc::clone(&dau.schema), columns.to_vec()).unwrap();
    publish(&database.url, &lease, vec![publication(dau.clone(), 1, None, Scope::All, vec![rows])], TERMS).await.unwrap();
    assert_eq!(database.texts("SELECT event_date || ' ' || dau_count FROM gold.daily_active_users").await, ["2020-01-01 42"]);
    assert_eq!(database.texts(oid).await, before);
    assert_eq!(standing(&mut connection, &dau).await.unwrap().needs_all, None);
}
