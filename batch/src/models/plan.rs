//! Plans one SELECT over tables that have no rows yet.

use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::datasource::empty::EmptyTable;
use tributary_core::model::{Materialize, Model};
use tributary_core::stream::DeclarationError;

use super::sql::{Select, Trouble, trouble};
use super::{days, rules};
use crate::session::Local;

/// The columns of a SELECT over these tables; `made`: a model's, and how. Everything is planned, down to operators: what cannot run is
/// found here.
pub(super) async fn columns(
    engine: &Local,
    select: &Select,
    tables: &[(String, SchemaRef)],
    made: Option<Materialize>,
) -> Result<Schema, Trouble> {
    let of = |e| trouble(&e, Some(&select.statement));
    let empty = |schema: &SchemaRef| Arc::new(EmptyTable::new(Arc::clone(schema))) as Arc<dyn TableProvider>;
    let tables = tables.iter().map(|(name, schema)| (name.clone(), empty(schema))).collect();
    let session = engine.planning(tables).map_err(|e| Trouble::new((0, 0, 1), e.to_string(), "rename the table"))?;
    let state = session.state();
    let plan = state.statement_to_plan(select.statement.clone()).await.map_err(of)?;
    if made.is_some() {
        rules::same_each_time(&plan, select)?;
    }
    let checked = state.analyzer().execute_and_check(plan.clone(), state.config_options(), |_, _| {}).map_err(of)?;
    if made == Some(Materialize::ByDay) {
        days::each_by_itself(&state.optimize(&plan).map_err(of)?)?;
    }
    state.create_physical_plan(&plan).await.map_err(of)?;
    Ok(checked.schema().as_arrow().clone())
}

/// The columns of a model's table.
pub(super) async fn model(
    engine: &Local,
    model: &Model,
    select: &Select,
    sources: &[(String, SchemaRef)],
) -> Result<SchemaRef, DeclarationError> {
    let given = columns(engine, select, sources, Some(model.materialize))
        .await
        .map_err(|t| model.error_in_sql(t.at, t.problem, t.help))?;
    let schema = rules::table_schema(model, &given)?;
    rules::front_matter(model, &schema)?;
    Ok(schema)
}
