//! The models' tests: over what is new in each table since it last passed, so that their cost follows the new data.
//!
//! A table that fails stays in the lake as it is and is not published; the task fails and says which tests, with some of the rows.

use std::sync::Arc;

use tributary_core::model::{Materialize, Planned, Severity};

use super::engine::{Stored, TestOutcome};
use super::tables::Head;
use super::task::{Context, Report, TaskError};
use crate::serving;
use crate::serving::history::{self, NewTest};
use crate::serving::tested::{self, Tested};

/// Tests every model whose table is another one than it was when it passed.
pub(super) async fn run(context: &Context<'_>) -> Result<Report, TaskError> {
    let tables = &context.world.tables;
    let mut connection = serving::connect(&context.world.database_url).await?;
    let passed = tested::all(&mut connection).await?;
    let mut report = Report::default();
    let mut all: Vec<Head> = Vec::new();
    for name in context.models.planned.iter().flat_map(|p| p.sources.iter().cloned().chain([format!("gold.{}", p.model.name)])) {
        if !all.iter().any(|h| h.pinned.name == name)
            && let Some(head) = tables.head(&name).await?
        {
            all.push(head);
        }
    }
    let mut failures = Vec::new();
    for planned in context.models.planned.iter().filter(|p| !context.bad_models.contains(&p.model.name)) {
        let name = format!("gold.{}", planned.model.name);
        let Some(gold) = all.iter().find(|h| h.pinned.name == name) else { continue };
        report.versions_in.insert(name.clone(), gold.version());
        let now = Tested {
            model: planned.model.name.clone(),
            lake_id: gold.pinned.id.clone(),
            tests_hash: planned.model.tests_hash(),
            version: i64::try_from(gold.version()).unwrap_or(i64::MAX),
        };
        let before = passed.iter().find(|t| t.model == now.model && t.lake_id == now.lake_id && t.tests_hash == now.tests_hash);
        if before == Some(&now) {
            continue;
        }
        let own = new_rows(context, planned, gold, before).await?;
        let given: Vec<Stored> = all.iter().map(|h| if h.pinned.name == name { own.clone() } else { h.stored() }).collect();
        report.rows_in += own.table.rows();
        let outcomes = context.world.engine.check(planned, given).await?;
        let rows: Vec<NewTest> = outcomes.iter().map(|o| new_test(planned, o)).collect();
        history::record_tests(&mut connection, context.lease, context.run, &rows).await?;
        let mut good = true;
        for outcome in outcomes.iter().filter(|o| !o.passed()) {
            let words = say(planned, outcome);
            if outcome.test.severity == Severity::Fail {
                good = false;
                context.log.error(&words);
                failures.push(words);
            } else {
                context.log.warn(&words);
            }
        }
        if good {
            tested::passed(&mut connection, context.lease, &now).await?;
            context.log.info(format!("{name} version {}: {} tests passed", now.version, outcomes.len()));
        }
    }
    if failures.is_empty() { Ok(report) } else { Err(TaskError::Refused(failures.join("\n"))) }
}

/// The part of a table that is new since it passed.
async fn new_rows(context: &Context<'_>, planned: &Planned, gold: &Head, before: Option<&Tested>) -> Result<Stored, TaskError> {
    let since = before.and_then(|t| u64::try_from(t.version).ok()).filter(|v| *v <= gold.version());
    if planned.model.materialize == Materialize::ByDay
        && let Some(since) = since
        && let Some(changes) = context.world.tables.changed_days(gold, since).await?
    {
        let days: Vec<i32> = changes.days.into_iter().collect();
        return Ok(Stored { table: Arc::new(gold.pinned.only_days(&days)), ..gold.stored() });
    }
    Ok(gold.stored())
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
