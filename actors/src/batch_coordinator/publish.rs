//! Gold to PostgreSQL: every model that asks for it and has passed its tests, in one transaction.
//!
//! What is published of a table is compared with what its lake table holds now; only days that changed since are moved. A model that is
//! broken, failed or did not pass its tests, and whatever is built from it, stays as it was published.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt;
use tributary_core::model::{Materialize, Planned};

use super::engine::Stored;
use super::tables::Head;
use super::task::{Context, Report, TaskError, chain};
use crate::serving;
use crate::serving::publish::{self, Publication, PublishError, Scope, Table, Terms, Version};
use crate::serving::tested::{self, Tested};

/// Publishes what changed.
pub(super) async fn run(context: &Context<'_>) -> Result<Report, TaskError> {
    let mut connection = serving::connect(&context.world.database_url).await?;
    let passed = tested::all(&mut connection).await?;
    let mut report = Report::default();
    let mut publications = Vec::new();
    let mut held_back: BTreeSet<String> = context.bad_models.clone();
    for planned in &context.models.planned {
        let model = &planned.model;
        let name = format!("gold.{}", model.name);
        let behind = planned.sources.iter().filter_map(|s| s.strip_prefix("gold.")).find(|s| held_back.contains(*s));
        let Some(gold) = context.world.tables.head(&name).await? else { continue };
        if held_back.contains(&model.name) || behind.is_some() || !has_passed(planned, &gold, &passed) {
            held_back.insert(model.name.clone());
            if let Some(table) = &model.publish {
                let why = behind.map_or("its own table has not passed its tests".to_owned(), |b| format!("gold.{b} is not good"));
                context.log.warn(format!("gold.{table} stays as it is: {why}"));
            }
            continue;
        }
        let Some(table) = &model.publish else { continue };
        let table =
            Table { name: table.clone(), model: model.name.clone(), key: model.key.clone(), schema: Arc::clone(&planned.schema) };
        if let Some(publication) = publication(context, &mut connection, planned, table, &gold).await? {
            report.versions_in.insert(name, gold.version());
            publications.push(publication);
        }
    }
    drop(connection);
    if publications.is_empty() {
        context.log.info("PostgreSQL has everything that is good in gold");
        return Ok(report);
    }
    let terms =
        Terms { max_shrink: context.world.settings.batch.max_shrink, force: context.params.force, run: Some(context.run) };
    let published = publish::publish(&context.world.database_url, context.lease, publications, terms).await?;
    for table in published {
        context.log.info(format!(
            "gold.{}: {} rows read, {} new, {} changed, {} gone",
            table.table, table.rows, table.inserted, table.updated, table.deleted
        ));
        report.rows_in += u64::try_from(table.rows).unwrap_or(0);
        report.rows_out += u64::try_from(table.inserted + table.updated + table.deleted).unwrap_or(0);
    }
    Ok(report)
}

fn has_passed(planned: &Planned, gold: &Head, passed: &[Tested]) -> bool {
    passed.iter().any(|t| {
        t.model == planned.model.name
            && t.lake_id == gold.pinned.id
            && t.tests_hash == planned.model.tests_hash()
            && u64::try_from(t.version) == Ok(gold.version())
    })
}

/// What is to be published of a table; none when all of it is.
async fn publication(
    context: &Context<'_>,
    connection: &mut sqlx::PgConnection,
    planned: &Planned,
    table: Table,
    gold: &Head,
) -> Result<Option<Publication>, TaskError> {
    let standing = publish::standing(connection, &table).await?;
    let version = Version {
        lake_id: gold.pinned.id.clone(),
        model_hash: planned.model.hash.clone(),
        version: i64::try_from(gold.version()).unwrap_or(i64::MAX),
    };
    if standing.version.as_ref() == Some(&version) && standing.needs_all.is_none() && !context.params.force {
        return Ok(None);
    }
    let mut days = None;
    if planned.model.materialize == Materialize::ByDay
        && standing.needs_all.is_none()
        && !context.params.force
        && let Some(before) =
            standing.version.as_ref().filter(|v| v.lake_id == version.lake_id && v.model_hash == version.model_hash)
        && let Ok(since) = u64::try_from(before.version)
        && since <= gold.version()
        && let Some(changes) = context.world.tables.changed_days(gold, since).await?.filter(|c| !c.undated && !c.redefined)
    {
        days = Some(changes.days.into_iter().collect::<Vec<i32>>());
    }
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
