//! What a table has not taken over yet of what it is made from, by what its own log says.
//!
//! Silver's log holds the next offset of bronze per partition, a gold table's the version of each source, and `ops.published` the
//! version that PostgreSQL shows. The coordinator acts on this, and whoever only wants to know asks the same functions.

use std::collections::BTreeSet;

use serde::Serialize;
use tributary_core::model::{Materialize, Planned};

use crate::lake::LakeError;
use crate::lake::changes::changes;
use crate::lake::offsets::{first_app, ingested, silver_app};
use crate::lake::snapshot::Snapshot;
use crate::serving::publish::Version;
use tributary_core::work::OffsetRange;

/// What is to be made anew of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Lag {
    /// Nothing: it has everything.
    Nothing,
    /// These days, as days since 1970.
    Days(BTreeSet<i32>),
    /// All of it, and why.
    Everything(String),
}

impl Lag {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Everything(why), _) | (_, Self::Everything(why)) => Self::Everything(why),
            (Self::Days(mut days), Self::Days(more)) => {
                days.extend(more);
                Self::Days(days)
            }
            (Self::Nothing, lag) | (lag, Self::Nothing) => lag,
        }
    }

    /// For a table that is made of all days together, some days are everything.
    #[must_use]
    pub fn as_made(self, how: Materialize) -> Self {
        match (how, self) {
            (Materialize::Rollup, Self::Days(days)) => {
                let s = if days.len() == 1 { "" } else { "s" };
                Self::Everything(format!("its sources changed in {} day{s}", days.len()))
            }
            (_, lag) => lag,
        }
    }
}

/// Application id in a gold table's log: which version of that source is in it.
pub fn gold_app(model: &Planned, source_id: &str) -> String {
    format!("gold/{}@{source_id}@{}", model.model.name, model.model.hash.get(..8).unwrap_or_default())
}

/// What silver has yet to take of bronze, in the order of incarnations and partitions; `silver` is none before its first commit.
pub fn of_silver(bronze: &Snapshot, silver: Option<&Snapshot>, topic: &str) -> Vec<OffsetRange> {
    let range = |((incarnation, partition), to)| {
        let taken = silver.and_then(|silver| silver.txn(&silver_app(topic, incarnation, partition)));
        let from = taken.or_else(|| bronze.txn(&first_app(topic, incarnation, partition))).unwrap_or(0);
        (from < to).then_some(OffsetRange { incarnation, partition, from, to })
    };
    ingested(bronze.txns(), topic).into_iter().filter_map(range).collect()
}

/// What a gold table lacks of its sources.
///
/// # Errors
/// When a log cannot be read.
pub async fn of_model(planned: &Planned, sources: &[(&str, &Snapshot)], table: &Snapshot) -> Result<Lag, LakeError> {
    let mut lag = Lag::Nothing;
    for (name, source) in sources {
        let since = table.txn(&gold_app(planned, source.id())).filter(|version| *version >= 0);
        let Some(since) = since else {
            let first = table.txns().keys().all(|app| !app.starts_with("gold/"));
            let why = if first { "the first time" } else { "the model was edited, or a source was replaced" };
            return Ok(Lag::Everything(why.into()));
        };
        lag = lag.and(of_changes(name, source, since).await?);
    }
    Ok(lag.as_made(planned.model.materialize))
}

/// What PostgreSQL lacks of a gold table; `standing` is what it has.
///
/// # Errors
/// When the log cannot be read.
pub async fn of_publication(planned: &Planned, gold: &Snapshot, standing: Option<&Version>) -> Result<Lag, LakeError> {
    let everything = |why: &str| Ok(Lag::Everything(why.to_owned()));
    let Some(standing) = standing else { return everything("it was never published") };
    if standing.lake_id != gold.id() {
        return everything("the table in the lake is another one");
    }
    if standing.model_hash != planned.model.hash {
        return everything("the model was edited");
    }
    Ok(of_changes(&planned.model.table(), gold, standing.version).await?.as_made(planned.model.materialize))
}

/// What changed in a table above a version that somebody wrote down.
pub(super) async fn of_changes(name: &str, table: &Snapshot, since: i64) -> Result<Lag, LakeError> {
    let Ok(since) = u64::try_from(since) else { return Ok(Lag::Everything(format!("{since} is no version of {name}"))) };
    if since > table.version() {
        return Ok(Lag::Everything(format!("{name} is older than what was taken of it")));
    }
    if since == table.version() {
        return Ok(Lag::Nothing);
    }
    Ok(match changes(table.store(), since, table.version()).await? {
        None => Lag::Everything(format!("the log of {name} no longer goes back to version {since}")),
        Some(changes) if changes.redefined => Lag::Everything(format!("the columns of {name} changed")),
        Some(changes) if changes.undated => Lag::Everything(format!("{name} changed")),
        Some(changes) if changes.days.is_empty() => Lag::Nothing,
        Some(changes) => Lag::Days(changes.days),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_more_than_days_and_days_add_up() {
        let days = |of: &[i32]| Lag::Days(of.iter().copied().collect());
        assert_eq!(days(&[1]).and(days(&[2])), days(&[1, 2]));
        assert_eq!(Lag::Nothing.and(days(&[1])), days(&[1]));
        assert_eq!(days(&[1]).and(Lag::Everything("why".into())), Lag::Everything("why".into()));
        assert_eq!(Lag::Nothing.and(Lag::Nothing), Lag::Nothing);
    }

    #[test]
    fn some_days_are_everything_for_a_table_of_all_days_together() {
        let one = Lag::Days([1].into());
        assert_eq!(one.clone().as_made(Materialize::ByDay), one);
        assert_eq!(one.as_made(Materialize::Rollup), Lag::Everything("its sources changed in 1 day".into()));
        assert_eq!(Lag::Nothing.as_made(Materialize::Rollup), Lag::Nothing);
    }
}
