//! How the models' tests went last, and which tables are not published for it.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;
use tributary_actors::serving::history::ModelTest;
use tributary_core::model::{Model, Planned};

use crate::words;

/// The results of these models' tests, each as of the newest run that tested the model.
pub(crate) async fn last(connection: &mut PgConnection, models: &[String]) -> sqlx::Result<Vec<ModelTest>> {
    sqlx::query_as(
        "SELECT t.run_id, t.model, t.test, t.severity, t.passed, t.failing_rows, t.sample::text AS sample, t.error, t.checked_at \
         FROM unnest($1::text[]) AS asked(model) \
         CROSS JOIN LATERAL (SELECT run_id FROM ops.model_tests l WHERE l.model = asked.model ORDER BY id DESC LIMIT 1) AS newest \
         JOIN ops.model_tests t ON t.run_id = newest.run_id AND t.model = asked.model ORDER BY t.id",
    )
    .bind(models)
    .fetch_all(connection)
    .await
}

/// The names of models, to ask by.
pub(crate) fn names<'m>(models: impl IntoIterator<Item = &'m Model>) -> Vec<String> {
    models.into_iter().map(|model| model.name.clone()).collect()
}

/// The tests for which a table is not published. One that its model has not any more says nothing of it.
pub(crate) fn broken<'t, 'm: 't>(
    tests: &'t [ModelTest],
    models: impl IntoIterator<Item = &'m Model>,
) -> impl Iterator<Item = &'t ModelTest> {
    let still: BTreeMap<&str, BTreeSet<&str>> = models
        .into_iter()
        .map(|model| (model.name.as_str(), model.tests.iter().map(|test| test.text.as_str()).collect()))
        .collect();
    let is_still = move |test: &ModelTest| still.get(test.model.as_str()).is_some_and(|tests| tests.contains(test.test.as_str()));
    tests.iter().filter(move |test| test.is_broken() && is_still(test))
}

/// What it means that a test did not hold.
pub(crate) fn consequence(test: &ModelTest) -> String {
    format!("gold.{} is not published: its test {} {}", test.model, test.test, how(test))
}

/// How a test that did not hold went.
pub(crate) fn how(test: &ModelTest) -> String {
    match &test.error {
        Some(error) => format!("could not be run: {}", words::first_line(error, 160)),
        None => format!("is broken by {}", words::plural(u64::try_from(test.failing_rows).unwrap_or(0), "row")),
    }
}

/// Tables of PostgreSQL that are not published either, because they are made from this model's table, directly or not.
pub(crate) fn held_with<'p>(model: &str, planned: impl IntoIterator<Item = &'p Planned>) -> Vec<String> {
    let (mut held, mut published) = (BTreeSet::from([format!("gold.{model}")]), Vec::new());
    // Sources come before what selects from them.
    for planned in planned {
        if planned.sources.iter().any(|source| held.contains(source)) {
            held.insert(planned.model.table());
            published.extend(planned.model.publish.as_ref().map(|table| format!("gold.{table}")));
        }
    }
    published
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use super::*;

    pub(crate) fn test(model: &str, text: &str, failing_rows: i64) -> ModelTest {
        ModelTest {
            run_id: 8,
            model: model.into(),
            test: text.into(),
            severity: "fail".into(),
            passed: failing_rows == 0,
            failing_rows,
            sample: Vec::new(),
            error: None,
            checked_at: chrono::Utc::now(),
        }
    }

    fn model(name: &str, publish: bool) -> Model {
        let published = if publish { format!("-- publish: gold.{name}_daily\n") } else { String::new() };
        let text = format!(
            "-- materialize: by_day\n-- key: event_date\n{published}-- test: not_null(event_date)\nSELECT event_date FROM silver.user_events"
        );
        Model::parse(&text, &format!("{name}.sql")).unwrap()
    }

    #[test]
    fn a_test_that_did_not_hold_counts_while_its_model_has_it() {
        let models = [model("kpi_dau", true)];
        let results = [
            test("kpi_dau", "not_null(event_date)", 7),
            test("kpi_dau", "unique(x)", 7),
            test("gone", "not_null(event_date)", 1),
        ];
        let found: Vec<String> = broken(&results, &models).map(consequence).collect();
        assert_eq!(found, ["gold.kpi_dau is not published: its test not_null(event_date) is broken by 7 rows"]);
        assert_eq!(broken(&[test("kpi_dau", "not_null(event_date)", 0)], &models).count(), 0);
        let stuck = ModelTest { error: Some("no memory\nmore".into()), ..test("kpi_dau", "unique(x)", 1) };
        assert_eq!(how(&stuck), "could not be run: no memory…");
    }

    #[test]
    fn what_is_made_from_a_table_that_is_held_back_is_held_back_too() {
        let planned = |name: &str, sources: &[&str], publish| Planned {
            model: model(name, publish),
            sources: sources.iter().map(|source| (*source).to_owned()).collect(),
            tested_with: Vec::new(),
            schema: Arc::new(deltalake::arrow::datatypes::Schema::empty()),
        };
        let all = [
            planned("user_days", &["silver.user_events"], false),
            planned("weeks", &["gold.user_days"], false),
            planned("kpi_dau", &["gold.weeks"], true),
            planned("other", &["silver.user_events"], true),
        ];
        assert_eq!(held_with("user_days", &all), ["gold.kpi_dau_daily"]);
        let shared: Vec<Arc<Planned>> = all.into_iter().map(Arc::new).collect();
        assert!(held_with("kpi_dau", shared.iter().map(AsRef::as_ref)).is_empty());
    }
}
