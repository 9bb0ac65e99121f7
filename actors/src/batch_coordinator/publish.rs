//! Gold to PostgreSQL: every model that asks for it and has passed its tests, in one transaction.
//!
//! What is published of a table is compared with what its lake table holds now; only days that changed since are moved. A model that is
//! broken, failed, did not pass its tests or is refused by PostgreSQL, and whatever is built from it, stays as it was published; the
//! others do not wait for it. A table whose tests nobody has run at this version is tested here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use sqlx::PgConnection;
use tributary_core::model::{Materialize, Planned};

use super::checks::examine;
use super::lag::{self, Lag};
use super::tables::Head;
use super::task::{Context, Report, TaskError, chain};
use crate::engine::Stored;
use crate::serving;
use crate::serving::history;
use crate::serving::publish::{self, Publication, PublishError, Scope, Shrunk, Standing, Table, Terms, Version};
use crate::serving::tested;
use crate::telemetry;

/// A model and its table.
type Good = (Arc<Planned>, Head);

/// Models that are not published, and why.
#[derive(Debug, Default)]
struct HeldBack(BTreeMap<String, String>);

impl HeldBack {
    /// Why this model is not published, if it or one that it selects from is held back.
    fn why(&self, planned: &Planned) -> Option<String> {
        let source = || planned.sources.iter().find(|s| s.strip_prefix("gold.").is_some_and(|s| self.0.contains_key(s)));
        self.0.get(&planned.model.name).cloned().or_else(|| source().map(|source| format!("{source} is not published either")))
    }

    fn hold(&mut self, context: &Context<'_>, planned: &Planned, why: String) {
        if let Some(table) = &planned.model.publish {
            context.log.warn(format!("gold.{table} stays as it is: {why}"));
        }
        self.0.insert(planned.model.name.clone(), why);
    }
}

/// Publishes what changed.
pub(super) async fn run(context: &Context<'_>) -> Result<Report, TaskError> {
    let mut connection = serving::connect(&context.world.database_url).await?;
    let (mut report, mut failures) = (Report::default(), Vec::new());
    let mut held = HeldBack::default();
    let mut good = good(context, &mut connection, &mut held, &mut failures, &mut report).await?;
    while let Some(Refused { table, why }) = publish(context, &mut connection, &good, &mut report).await? {
        // Nothing was published: once more, without that one.
        context.log.error(&why);
        failures.push(why);
        let refused = good.iter().position(|(planned, _)| planned.model.publish.as_ref() == Some(&table));
        let Some(refused) = refused else { break };
        let (planned, _) = good.remove(refused);
        held.hold(context, &planned, "it was refused".into());
        good.retain(|(planned, _)| {
            let why = held.why(planned);
            if let Some(why) = &why {
                held.hold(context, planned, why.clone());
            }
            why.is_none()
        });
    }
    if failures.is_empty() { Ok(report) } else { Err(TaskError::Refused(failures.join("\n"))) }
}

/// The models whose tables may be published, sources first; what is wrong with the others is noted.
async fn good(
    context: &Context<'_>,
    connection: &mut PgConnection,
    held: &mut HeldBack,
    failures: &mut Vec<String>,
    report: &mut Report,
) -> Result<Vec<Good>, TaskError> {
    for name in context.bad_models {
        held.0.insert(name.clone(), "it could not be built".into());
    }
    let passed = tested::all(connection).await?;
    let tests = history::tests(connection, context.run).await?;
    let mut good = Vec::new();
    for planned in &context.models.planned {
        let name = &planned.model.name;
        let Some(gold) = context.world.tables.head(&planned.model.table()).await? else { continue };
        let mut why = held.why(planned);
        if why.is_none() {
            // What failed a moment ago need not be tried again.
            let mut is_bad = tests.iter().any(|test| test.model == *name && test.is_broken());
            if !is_bad {
                let words = examine(context, connection, planned, &gold, &passed, report).await?;
                is_bad = !words.is_empty();
                failures.extend(words);
            }
            why = is_bad.then(|| "it has not passed its tests".to_owned());
        }
        match why {
            Some(why) => held.hold(context, planned, why),
            None => good.push((Arc::clone(planned), gold)),
        }
    }
    Ok(good)
}

/// A table that cannot be published until a person does something.
struct Refused {
    table: String,
    why: String,
}

/// An error as it is meant: of one table, or of everything.
fn refused(error: PublishError) -> Result<Option<Refused>, TaskError> {
    let why = chain(&error);
    match error {
        PublishError::Shrunk(Shrunk { table, .. }) | PublishError::Refused { table, .. } => Ok(Some(Refused { table, why })),
        other => Err(other.into()),
    }
}

/// Publishes all of these in one transaction, or nothing and says which one cannot be.
async fn publish(
    context: &Context<'_>,
    connection: &mut PgConnection,
    good: &[Good],
    report: &mut Report,
) -> Result<Option<Refused>, TaskError> {
    let mut publications = Vec::new();
    for (planned, gold) in good {
        let Some(name) = &planned.model.publish else { continue };
        let model = &planned.model;
        let table =
            Table { name: name.clone(), model: model.name.clone(), key: model.key.clone(), schema: Arc::clone(&planned.schema) };
        let standing = match publish::standing(connection, &table).await {
            Ok(standing) => standing,
            Err(error) => return refused(error),
        };
        if let Some(publication) = publication(context, planned, table, standing, gold).await? {
            report.versions_in.insert(model.table(), gold.version());
            publications.push(publication);
        }
    }
    if publications.is_empty() {
        show(good);
        context.log.info("PostgreSQL has everything that is good in gold");
        return Ok(None);
    }
    let terms =
        Terms { max_shrink: context.world.settings.batch.max_shrink, force: context.params.force, run: Some(context.run) };
    let begun = Instant::now();
    let published = match publish::publish(&context.world.database_url, context.lease, publications, terms).await {
        Ok(published) => published,
        Err(error) => return refused(error),
    };
    telemetry::transaction("publish", begun.elapsed().as_secs_f64());
    show(good);
    for table in published {
        context.log.info(format!(
            "gold.{}: {} rows read, {} new, {} changed, {} gone",
            table.table, table.rows, table.inserted, table.updated, table.deleted
        ));
        report.rows_in += u64::try_from(table.rows).unwrap_or(0);
        report.rows_out += u64::try_from(table.inserted + table.updated + table.deleted).unwrap_or(0);
    }
    Ok(None)
}

/// PostgreSQL has what these tables of the lake have.
fn show(good: &[Good]) {
    for table in good.iter().filter_map(|(planned, _)| planned.model.publish.as_ref()) {
        telemetry::published(&format!("gold.{table}"));
    }
}

/// What is to be published of a table; none when all of it is.
async fn publication(
    context: &Context<'_>,
    planned: &Planned,
    table: Table,
    standing: Standing,
    gold: &Head,
) -> Result<Option<Publication>, TaskError> {
    let version = Version {
        lake_id: gold.pinned.id.clone(),
        model_hash: planned.model.hash.clone(),
        version: i64::try_from(gold.version()).unwrap_or(i64::MAX),
    };
    if standing.version.as_ref() == Some(&version) && standing.needs_all.is_none() && !context.params.force {
        return Ok(None);
    }
    let lag = match standing.needs_all.is_none() && !context.params.force {
        true => lag::of_publication(planned, gold.snapshot(), standing.version.as_ref()).await?,
        false => Lag::Everything("asked for".into()),
    };
    let days: Option<Vec<i32>> = match (planned.model.materialize, lag) {
        (Materialize::ByDay, Lag::Days(days)) => Some(days.into_iter().collect()),
        // The same rows in other files: that they are of this version is all that is written.
        (Materialize::ByDay, Lag::Nothing) => Some(Vec::new()),
        _ => None,
    };
    let rows = match &days {
        Some(days) => Stored { table: Arc::new(gold.pinned.only_days(days)), ..gold.stored() },
        None => gold.stored(),
    };
    let rows = context.world.engine.read(rows).await?.map(|batch| batch.map_err(Into::into)).boxed();
    Ok(Some(Publication {
        table,
        version,
        expected: standing.version,
        scope: days.map_or(Scope::All, Scope::Days),
        source_rows: source_rows(context, planned).await?,
        rows,
    }))
}

/// Rows of a by-day model's sources, by day.
async fn source_rows(context: &Context<'_>, planned: &Planned) -> Result<Option<BTreeMap<i32, i64>>, TaskError> {
    if planned.model.materialize == Materialize::Rollup {
        return Ok(None);
    }
    let mut rows: BTreeMap<i32, i64> = BTreeMap::new();
    for source in &planned.sources {
        let Some(head) = context.world.tables.head(source).await? else { return Ok(None) };
        for file in &head.pinned.files {
            let (Some(day), Some(n)) = (file.date, file.rows) else { return Ok(None) };
            *rows.entry(day).or_default() += i64::try_from(n).unwrap_or(0);
        }
    }
    Ok(Some(rows))
}

impl From<PublishError> for TaskError {
    fn from(error: PublishError) -> Self {
        if error.is_permanent() { Self::Refused(chain(&error)) } else { Self::Failed(chain(&error)) }
    }
}
