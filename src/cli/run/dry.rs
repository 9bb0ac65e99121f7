//! `tributary run --dry-run`: what a run would do, task by task.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use chrono::NaiveDate;
use tributary_core::job::Task;

use super::super::desk::{self, Plan, with_history};
use super::super::output;
use super::super::session::Session;
use crate::inspect::behind::{self, Lag};
use crate::inspect::catalog::Catalog;
use crate::inspect::forecast::{Forecast, Would, forecast};
use crate::words;

pub(super) fn run(session: &Session, plan: &Plan, tasks: &[Task], days: &BTreeSet<NaiveDate>, force: bool) -> Result<ExitCode> {
    let published = with_history(session, async |history| Ok(behind::published(history.connection()).await?));
    let published = published.map_err(|error| eprintln!("what is published is not known: {error:#}")).ok();
    let day = |day: &NaiveDate| i32::try_from((*day - NaiveDate::default()).num_days()).unwrap_or(0);
    let streams: Vec<_> = session.streams()?.into_iter().map(Arc::new).collect();
    let what = Forecast {
        catalog: &Catalog::of(&session.reachable())?,
        streams: &streams,
        models: &plan.models,
        published: published.as_deref(),
        days: (!days.is_empty()).then(|| days.iter().map(day).collect()),
        force,
    };
    let steps = desk::runtime()?.block_on(forecast(&what, tasks))?;
    let mut text = String::new();
    for (task, would) in steps {
        for (n, would) in would.iter().enumerate() {
            let name = if n == 0 { task.as_str() } else { "" };
            for (n, line) in said(would).into_iter().enumerate() {
                let name = if n == 0 { name } else { "" };
                let _ = writeln!(text, "{name:<24} {line}");
            }
        }
    }
    output::print(&text)?;
    eprintln!("nothing was done: without --dry-run it is");
    Ok(ExitCode::SUCCESS)
}

/// The lines for one thing.
fn said(would: &Would) -> Vec<String> {
    match would {
        Would::Unknown(why) => vec![format!("not known: {why}")],
        Would::Nothing(why) => vec![format!("nothing: {why}")],
        Would::Fail(why) => {
            why.lines().enumerate().map(|(n, line)| format!("{}{line}", if n == 0 { "fail: " } else { "  " })).collect()
        }
        Would::Look { table, version, rows } => vec![format!("{table} version {version}, {}", words::plural(*rows, "row"))],
        Would::Take { from, into, lag } => {
            let mut lines = vec![format!("{} of {from} into {into}", words::plural(lag.rows(), "row"))];
            lines.extend(lag.ranges.iter().map(|range| {
                let incarnation = if range.incarnation == 1 { String::new() } else { format!("#{}", range.incarnation) };
                let rows = words::plural(range.rows, "row");
                format!("  partition {}{incarnation}: offsets {} to {} ({rows})", range.partition, range.from, range.to)
            }));
            if lag.revived > 0 {
                lines.push(format!("  {} that became valid afterwards", words::plural(lag.revived, "row")));
            }
            lines
        }
        Would::Build { table, lag, at_most } => vec![format!("{table}: {}", lagging(lag, *at_most))],
        Would::Test { models, tests } => {
            vec![format!("{} of {}", words::plural(*tests, "test"), words::plural(*models, "model"))]
        }
        Would::Publish { table, lag, at_most } => vec![format!("{table}: {}", lagging(lag, *at_most))],
        Would::Upkeep => vec!["over every table that needs it".into()],
    }
}

fn lagging(lag: &Lag, at_most: bool) -> String {
    match lag {
        Lag::Nothing => "nothing: it has everything".into(),
        Lag::Everything(why) => format!("everything: {why}"),
        Lag::Days(days) => {
            let list: Vec<i32> = days.iter().copied().collect();
            let most = if at_most { "at most " } else { "" };
            format!("{most}{} ({})", words::plural(days.len() as u64, "day"), words::days(&list))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::behind::{Range, SilverLag};

    #[test]
    fn silver_is_said_by_partition_and_gold_by_day() {
        let range = |partition, rows| Range { incarnation: 1, partition, from: 100, to: 300, rows };
        let lag = SilverLag { ranges: vec![range(0, 1_200), range(3, 1)], ..SilverLag::default() };
        let lines = said(&Would::Take { from: "bronze.user_events".into(), into: "silver.user_events".into(), lag });
        assert_eq!(lines[0], "1,201 rows of bronze.user_events into silver.user_events");
        assert_eq!(lines[2], "  partition 3: offsets 100 to 300 (1 row)");
        let build = Would::Build { table: "gold.kpi_dau".into(), lag: Lag::Days([0, 1].into()), at_most: true };
        assert_eq!(said(&build), ["gold.kpi_dau: at most 2 days (1970-01-01 to 1970-01-02)"]);
    }
}
