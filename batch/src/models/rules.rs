//! What a model's SELECT must be, beyond being one that can be planned.
//!
//! Assumes a plan that was not simplified yet (a simplified one has a time where `now()` stood). Promises that the same rows give the
//! same rows, and a table that its front matter fits.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::{AggregateFunction, WindowFunction};
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use tributary_core::model::{Check, Materialize, Model};
use tributary_core::stream::{DeclarationError, did_you_mean};
use tributary_core::table::DATE_COLUMN;

use super::sql::{Select, Trouble, find_function};
use super::types;

/// Aggregates whose result is the order of their rows.
const ORDERED_AGGREGATES: [&str; 5] = ["first_value", "last_value", "nth_value", "array_agg", "string_agg"];
/// Window functions whose result is the order of their rows.
const ORDERED_WINDOWS: [&str; 7] = ["row_number", "ntile", "lag", "lead", "first_value", "last_value", "nth_value"];
/// What PostgreSQL's table gets beside the model's columns.
const ADDED_COLUMN: &str = "updated_at";

/// Refuses what gives other rows the next time.
pub(super) fn same_each_time(plan: &LogicalPlan, select: &Select) -> Result<(), Trouble> {
    let mut found = ControlFlow::Continue(());
    let visited = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Limit(limit) = node
            && !matches!(&*limit.input, LogicalPlan::Sort(_))
        {
            let help = "add ORDER BY before LIMIT, by columns that decide, or leave LIMIT out";
            found = ControlFlow::Break(Trouble::new((0, 0, 1), "LIMIT takes any rows", help));
            return Ok(TreeNodeRecursion::Stop);
        }
        node.apply_expressions(|e| {
            e.apply(|e| {
                Ok(match unstable(e) {
                    Some((names, help)) => {
                        let at = find_function(&select.statement, &names);
                        let function = names.first().map_or("it", String::as_str);
                        let problem = format!("{function}() gives something else the next time");
                        found = ControlFlow::Break(Trouble::new(at, problem, help));
                        TreeNodeRecursion::Stop
                    }
                    None => TreeNodeRecursion::Continue,
                })
            })
        })
    });
    match (found, visited) {
        (ControlFlow::Break(trouble), _) => Err(trouble),
        (ControlFlow::Continue(()), Err(e)) => Err(super::sql::trouble(&e, Some(&select.statement))),
        (ControlFlow::Continue(()), Ok(_)) => Ok(()),
    }
}

/// The names of a function that is not one of its arguments alone, and what to write instead.
fn unstable(e: &Expr) -> Option<(Vec<String>, &'static str)> {
    let order = "add ORDER BY inside it, by columns that decide";
    let names = |name: &str, aliases: &[String]| std::iter::once(name.to_owned()).chain(aliases.iter().cloned()).collect();
    match e {
        Expr::ScalarFunction(f) if f.func.signature().volatility != Volatility::Immutable => {
            let help = "a model is a function of its tables: use their columns, such as event_date";
            Some((names(f.func.name(), f.func.aliases()), help))
        }
        Expr::AggregateFunction(AggregateFunction { func, params }) => {
            let ordered = ORDERED_AGGREGATES.contains(&func.name()) && params.order_by.is_empty();
            ordered.then(|| (names(func.name(), func.aliases()), order))
        }
        Expr::WindowFunction(window) => {
            let WindowFunction { fun, params } = &**window;
            let ordered = ORDERED_WINDOWS.contains(&fun.name()) && params.order_by.is_empty();
            ordered.then(|| (vec![fun.name().to_owned()], order))
        }
        _ => None,
    }
}

/// The table's columns for what the SELECT gives.
pub(super) fn table_schema(model: &Model, given: &Schema) -> Result<SchemaRef, DeclarationError> {
    let wrong = |problem: String, help: String| model.error_in_sql((0, 0, 1), problem, help);
    let mut fields: Vec<Field> = Vec::with_capacity(given.fields().len());
    for field in given.fields() {
        let name = field.name();
        let fine = name.len() <= 63
            && name.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !fine {
            let help = "give it a name of a to z, 0 to 9 and _: AS event_count".to_owned();
            return Err(wrong(format!("`{name}` is not a name for a column"), help));
        }
        if fields.iter().any(|f| f.name() == name) {
            return Err(wrong(format!("two columns are named `{name}`"), "rename one of them with AS".to_owned()));
        }
        if model.publish.is_some() && name == ADDED_COLUMN {
            let help = "rename it with AS: the published table gets updated_at by itself".to_owned();
            return Err(wrong(format!("`{name}` is a column that Tributary adds itself"), help));
        }
        let Some(data_type) = types::of_table(field.data_type()) else {
            let problem = format!("column `{name}` is of type {}, which not every reader of the lake knows", field.data_type());
            return Err(wrong(problem, format!("cast it: types are {}", types::KNOWN)));
        };
        // A day's rows may lack what another day's have: no column promises to be there.
        fields.push(Field::new(name, data_type, true));
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// Whether front matter and columns fit each other.
pub(super) fn front_matter(model: &Model, schema: &Schema) -> Result<(), DeclarationError> {
    let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    let missing = |what: &str, column: &str| -> (String, String) {
        let meant = did_you_mean(column, names.iter().copied());
        (format!("{what} names `{column}`, which the SELECT does not give"), format!("{meant}it gives {}", names.join(", ")))
    };
    if model.materialize == Materialize::ByDay {
        let problem = match schema.field_with_name(DATE_COLUMN) {
            Ok(field) if *field.data_type() == DataType::Date32 => None,
            Ok(field) => Some(format!("`{DATE_COLUMN}` is of type {} and not a date", field.data_type())),
            Err(_) => Some(format!("a by_day model needs the column `{DATE_COLUMN}`")),
        };
        // The day is the folder of a file, not in it: there would be nothing to write.
        if problem.is_none() && schema.fields().len() == 1 {
            let problem = format!("gives nothing but `{DATE_COLUMN}`");
            return Err(model.error_in_sql((0, 0, 1), problem, "select at least one more column"));
        }
        if let Some(problem) = problem {
            let help = "select event_date (and group by it), or write materialize: rollup";
            return Err(model.error_in_sql((0, 0, 1), problem, help));
        }
    }
    let has = |column: &String| names.contains(&column.as_str());
    for (what, columns) in
        [("key:", model.key.clone()), ("column:", model.columns.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>())]
    {
        if let Some(column) = columns.iter().find(|c| !has(c)) {
            let (problem, help) = missing(what, column);
            return Err(model.error_in_sql((0, 0, 1), problem, help));
        }
    }
    for test in &model.tests {
        let columns: &[String] = match &test.check {
            Check::Unique(columns) | Check::NotNull(columns) => columns,
            Check::AcceptedValues { column, .. } | Check::Relationships { column, .. } => std::slice::from_ref(column),
            Check::RowCount { .. } | Check::Sql(_) => &[],
        };
        if let Some(column) = columns.iter().find(|c| !has(c)) {
            let (problem, help) = missing("the test", column);
            return Err(model.error_in_test(test, problem, help));
        }
    }
    Ok(())
}
