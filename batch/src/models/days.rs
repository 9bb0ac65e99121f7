//! Whether a by-day model gives a day's rows from that day's rows alone.
//!
//! A by-day model is run for the days that changed, and nobody runs it for the others then. A window, a join or a total over several days
//! would give other numbers each time, so it is refused before anything runs. Assumes an optimised plan, in which conditions are where
//! they belong.
//!
//! What is followed through the plan are the columns that hold the day of the rows behind each row.

use std::collections::BTreeSet;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, JoinType, Result};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan, Operator, utils};
use tributary_core::table::DATE_COLUMN;

use super::sql::Trouble;

/// The columns of a plan, by their places, that hold the day.
type Days = BTreeSet<usize>;

/// What is wrong, and what to write instead.
type Wrong = (&'static str, &'static str);

/// Refuses what takes rows of several days together.
pub(super) fn each_by_itself(plan: &LogicalPlan) -> std::result::Result<(), Trouble> {
    days(plan).map(|_| ()).map_err(|(problem, help)| {
        let help = format!("{help}; or write materialize: rollup, over a by_day model");
        Trouble::new((0, 0, 1), problem, help)
    })
}

fn days(plan: &LogicalPlan) -> std::result::Result<Days, Wrong> {
    if has_subquery(plan) {
        return Err(("a subquery looks at the rows of all days", "join it, by event_date"));
    }
    match plan {
        LogicalPlan::TableScan(scan) if scan.fetch.is_some() => Err(LIMITED),
        LogicalPlan::TableScan(scan) => Ok(places(&scan.projected_schema, |name| name == DATE_COLUMN)),
        LogicalPlan::Projection(projection) => {
            let inside = days(&projection.input)?;
            let is_day = |e: &Expr| is_day(e, projection.input.schema(), &inside);
            Ok(projection.expr.iter().enumerate().filter(|(_, e)| is_day(e)).map(|(at, _)| at).collect())
        }
        LogicalPlan::Aggregate(aggregate) => {
            let inside = days(&aggregate.input)?;
            let is_day = |e: &Expr| is_day(e, aggregate.input.schema(), &inside);
            let found: Days = aggregate.group_expr.iter().enumerate().filter(|(_, e)| is_day(e)).map(|(at, _)| at).collect();
            if found.is_empty() && !is_constant(&aggregate.input) {
                return Err(("it takes rows of several days together", "GROUP BY event_date, the column of its sources"));
            }
            Ok(found)
        }
        LogicalPlan::Window(window) => {
            let inside = days(&window.input)?;
            let is_within = |e: &Expr| match strip(e) {
                Expr::WindowFunction(function) => {
                    let WindowFunction { params, .. } = &**function;
                    params.partition_by.iter().any(|by| is_day(by, window.input.schema(), &inside))
                }
                _ => true,
            };
            match window.window_expr.iter().all(is_within) {
                true => Ok(inside),
                false => Err(("a window goes over several days", "write OVER (PARTITION BY event_date …)")),
            }
        }
        LogicalPlan::Join(join) => {
            let (left, right) = (days(&join.left)?, days(&join.right)?);
            let (of_left, of_right) = (join.left.schema(), join.right.schema());
            let same_day = |a: &Expr, b: &Expr| is_day(a, of_left, &left) && is_day(b, of_right, &right);
            let conditions = join.filter.iter().flat_map(utils::split_conjunction);
            let in_filter = conditions.into_iter().any(|condition| match condition {
                Expr::BinaryExpr(e) if e.op == Operator::Eq => same_day(&e.left, &e.right) || same_day(&e.right, &e.left),
                _ => false,
            });
            let by_day = in_filter || join.on.iter().any(|(a, b)| same_day(a, b));
            if !by_day && !is_constant(&join.left) && !is_constant(&join.right) {
                return Err(("a join brings rows of different days together", "add the equality of event_date to its condition"));
            }
            let shifted = right.iter().map(|at| at + of_left.fields().len());
            Ok(match join.join_type {
                JoinType::Inner | JoinType::Full => left.iter().copied().chain(shifted).collect(),
                JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => left,
                JoinType::Right => shifted.collect(),
                JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => right,
            })
        }
        LogicalPlan::Union(union) => {
            let each = union.inputs.iter().map(|input| days(input)).collect::<std::result::Result<Vec<_>, _>>()?;
            Ok(each.into_iter().reduce(|a, b| a.intersection(&b).copied().collect()).unwrap_or_default())
        }
        LogicalPlan::Distinct(Distinct::All(input)) => match days(input)? {
            found if found.is_empty() => Err(("DISTINCT takes rows of several days together", "select event_date, too")),
            found => Ok(found),
        },
        LogicalPlan::Limit(_) | LogicalPlan::RecursiveQuery(_) | LogicalPlan::Distinct(Distinct::On(_)) => Err(LIMITED),
        LogicalPlan::Sort(sort) if sort.fetch.is_some() => Err(LIMITED),
        LogicalPlan::Sort(_) | LogicalPlan::Filter(_) | LogicalPlan::Repartition(_) | LogicalPlan::SubqueryAlias(_) => {
            plan.inputs().first().map_or(Ok(Days::new()), |input| days(input))
        }
        // Their columns are not where they were, but have the names they had.
        LogicalPlan::Unnest(unnest) => {
            let inside = days(&unnest.input)?;
            let names: Vec<&String> = inside.iter().map(|at| unnest.input.schema().field(*at).name()).collect();
            Ok(places(&unnest.schema, |name| names.iter().any(|known| *known == name)))
        }
        _ => Ok(Days::new()),
    }
}

const LIMITED: Wrong = ("it takes some rows of all days", "number them: ROW_NUMBER() OVER (PARTITION BY event_date ORDER BY …)");

fn places(schema: &DFSchema, is_wanted: impl Fn(&str) -> bool) -> Days {
    schema.fields().iter().enumerate().filter(|(_, field)| is_wanted(field.name())).map(|(at, _)| at).collect()
}

fn strip(e: &Expr) -> &Expr {
    match e {
        Expr::Alias(alias) => strip(&alias.expr),
        other => other,
    }
}

/// Whether an expression over these columns is the day, as it is.
fn is_day(e: &Expr, schema: &DFSchema, days: &Days) -> bool {
    match strip(e) {
        Expr::Column(column) => schema.index_of_column(column).is_ok_and(|at| days.contains(&at)),
        _ => false,
    }
}

/// Whether its rows are written in the statement.
fn is_constant(plan: &LogicalPlan) -> bool {
    !plan.exists(|node| Ok(matches!(node, LogicalPlan::TableScan(_)))).unwrap_or(true)
}

fn has_subquery(plan: &LogicalPlan) -> bool {
    let mut found = false;
    let visit = |e: &Expr| -> Result<TreeNodeRecursion> {
        e.apply(|e| {
            found |= matches!(e, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_));
            Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })
    };
    plan.apply_expressions(visit).is_err() || found
}
