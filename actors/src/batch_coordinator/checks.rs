//! The models' tests, over what is new in each table since it last passed where that decides, so that their cost follows the new data.
//!
//! A table that fails stays in the lake as it is and is not published; the task fails and says which tests, with some of the rows.

use std::sync::Arc;

use sqlx::PgConnection;
use tributary_core::model::{Materialize, Planned, Severity, Test};

use super::lag::{self, Lag};
use super::tables::Head;
use super::task::{Context, Report, TaskError};
use crate::engine::Stored;
use crate::serving;
use crate::serving::history::{self, NewTest};
use crate::serving::tested::{self, Tested};
use crate::telemetry;
use tributary_core::work::TestOutcome;

/// Tests every model whose table is another one than it was when it passed.
pub(super) async fn run(context: &Context<'_>) -> Result<Report, TaskError> {
    let mut connection = serving::connect(&context.world.database_url).await?;
    let passed = tested::all(&mut connection).await?;
    let mut report = Report::default();
    let mut failures = Vec::new();
    for planned in context.models.planned.iter().filter(|p| !context.bad_models.contains(&p.model.name)) {
        let name = planned.model.table();
        let Some(gold) = context.world.tables.head(&name).await? else { continue };
        report.versions_in.insert(name, gold.version());
        failures.extend(examine(context, &mut connection, planned, &gold, &passed, &mut report).await?);
    }
    if failures.is_empty() { Ok(report) } else { Err(TaskError::Refused(failures.join("\n"))) }
}

/// Tests a table, unless its rows have passed these tests before (`passed`). What failed and counts, in words; nothing: it is good.
pub(super) async fn examine(
    context: &Context<'_>,
    connection: &mut PgConnection,
    planned: &Planned,
    gold: &Head,
    passed: &[Tested],
    report: &mut Report,
) -> Result<Vec<String>, TaskError> {
    let model = &planned.model;
    let now = Tested {
        model: model.name.clone(),
        lake_id: gold.pinned.id.clone(),
        tests_hash: model.tests_hash(),
        version: i64::try_from(gold.version()).unwrap_or(i64::MAX),
    };
    let before = passed.iter().find(|t| t.model == now.model && t.lake_id == now.lake_id && t.tests_hash == now.tests_hash);
    let lag = match before {
        Some(before) if *before == now => return Ok(Vec::new()),
        Some(before) => lag::of_changes(&model.table(), gold.snapshot(), before.version).await?,
        None => Lag::Everything("for the first time".into()),
    };
    let (mut failures, mut outcomes) = (Vec::new(), Vec::new());
    if lag != Lag::Nothing {
        outcomes = test(context, planned, gold, lag, report).await?;
        let rows: Vec<NewTest> = outcomes.iter().map(|o| new_test(planned, o)).collect();
        history::record_tests(connection, context.lease, context.run, &rows).await?;
    }
    for outcome in &outcomes {
        let ended = if outcome.passed() {
            "passed"
        } else if outcome.error.is_some() {
            "error"
        } else {
            "failed"
        };
        telemetry::tested(&model.name, if outcome.test.severity == Severity::Fail { "fail" } else { "warn" }, ended);
    }
    for outcome in outcomes.iter().filter(|o| !o.passed()) {
        let words = say(planned, outcome);
        if outcome.test.severity == Severity::Fail {
            context.log.error(&words);
            failures.push(words);
        } else {
            context.log.warn(&words);
        }
    }
    if failures.is_empty() {
        tested::passed(connection, context.lease, &now).await?;
        context.log.info(format!("{} version {}: {} tests passed", model.table(), now.version, outcomes.len()));
    }
    Ok(failures)
}

/// Runs the tests: on the days that changed those for which these decide, on the whole table the others.
async fn test(
    context: &Context<'_>,
    planned: &Planned,
    gold: &Head,
    lag: Lag,
    report: &mut Report,
) -> Result<Vec<TestOutcome>, TaskError> {
    let mut others = Vec::new();
    for table in &planned.tested_with {
        if let Some(head) = context.world.tables.head(table).await? {
            others.push(head.stored());
        }
    }
    let with = |own: Stored| [vec![own], others.clone()].concat();
    let is_of_days = |test: &Test| planned.model.materialize == Materialize::ByDay && test.check.is_of_days();
    let (of_days, of_all): (Vec<Test>, Vec<Test>) = planned.model.tests.iter().cloned().partition(is_of_days);
    let changed = match lag {
        Lag::Days(days) => {
            let days: Vec<i32> = days.into_iter().collect();
            Stored { table: Arc::new(gold.pinned.only_days(&days)), ..gold.stored() }
        }
        _ => gold.stored(),
    };
    report.rows_in += changed.table.rows();
    let engine = &context.world.engine;
    let mut outcomes = engine.check(planned, &of_days, with(changed)).await?;
    outcomes.extend(engine.check(planned, &of_all, with(gold.stored())).await?);
    outcomes.sort_by_key(|outcome| outcome.test.line);
    Ok(outcomes)
}

fn new_test(planned: &Planned, outcome: &TestOutcome) -> NewTest {
    NewTest {
        model: planned.model.name.clone(),
        test: outcome.test.text.clone(),
        fails: outcome.test.severity == Severity::Fail,
        passed: outcome.passed(),
        failing_rows: i64::try_from(outcome.failing_rows).unwrap_or(i64::MAX),
        sample: outcome.sample.clone(),
        error: outcome.error.clone(),
    }
}

fn say(planned: &Planned, outcome: &TestOutcome) -> String {
    let model = &planned.model;
    let what = match &outcome.error {
        Some(error) => format!("could not be run: {error}"),
        None => format!("{} rows break it: {}", outcome.failing_rows, outcome.sample.join(" | ")),
    };
    format!("{}, line {}: test {} of {}: {what}", model.file, outcome.test.line, outcome.test.text, model.name)
}
