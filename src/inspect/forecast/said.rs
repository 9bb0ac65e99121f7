//! What a run would do, in words: the same on the command line, on a page and in the API.

use schemars::JsonSchema;
use serde::Serialize;

use super::super::behind::Lag;
use super::Would;
use crate::words;

/// A task of a run that was only thought through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Step {
    /// Which task.
    pub(crate) task: String,
    /// What it would do, line by line.
    pub(crate) would: Vec<String>,
}

impl Step {
    /// All steps of a forecast, in words.
    pub(crate) fn of(forecast: &[(String, Vec<Would>)]) -> Vec<Self> {
        let step =
            |(task, would): &(String, Vec<Would>)| Self { task: task.clone(), would: would.iter().flat_map(said).collect() };
        forecast.iter().map(step).collect()
    }
}

/// The lines for one thing.
pub(crate) fn said(would: &Would) -> Vec<String> {
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
