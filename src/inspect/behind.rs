//! What a table has not taken over yet of what it is made from, by what its own log says.
//!
//! Silver's log holds the next offset of bronze per partition, a gold table's the version of each source, and `ops.published` the
//! version that PostgreSQL shows. Follows the rules by which the coordinator decides, and decides nothing.

use std::collections::BTreeSet;

use crate::words;
use anyhow::Result;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, PgConnection};
use tributary_actors::batch_coordinator::gold::gold_app;
use tributary_actors::lake::changes::changes;
use tributary_actors::lake::offsets::{SPANS_TAG, first_app, next_offsets, parse_spans, silver_app};
use tributary_actors::lake::snapshot::Snapshot;
use tributary_core::model::{Materialize, Planned};
use tributary_core::replay::{replay_app, silver_replay_app, untaken};
use tributary_core::stream::Stream;

/// Offsets of one partition that silver has yet to take: `[from, to)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Range {
    /// Which topic of that name.
    pub(crate) incarnation: i32,
    /// Kafka partition.
    pub(crate) partition: i32,
    /// First offset.
    pub(crate) from: i64,
    /// Next offset.
    pub(crate) to: i64,
    /// Rows of bronze in it, valid or not.
    pub(crate) rows: u64,
}

/// What silver lacks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct SilverLag {
    /// By partition.
    pub(crate) ranges: Vec<Range>,
    /// Rows that became valid after silver had passed them.
    pub(crate) revived: u64,
    /// Days of the bronze files that hold all these: silver's new rows are of these days, or of fewer.
    pub(crate) days: BTreeSet<i32>,
}

impl SilverLag {
    /// Rows of bronze that are to be read.
    pub(crate) fn rows(&self) -> u64 {
        self.ranges.iter().map(|range| range.rows).sum::<u64>() + self.revived
    }

    /// Whether silver has everything.
    pub(crate) fn is_nothing(&self) -> bool {
        self.ranges.is_empty() && self.revived == 0
    }
}

/// What silver lacks of bronze.
pub(crate) fn silver(stream: &Stream, bronze: &Snapshot, silver: Option<&Snapshot>) -> SilverLag {
    let mut lag = SilverLag::default();
    for ((incarnation, partition), to) in next_offsets(bronze.txns(), "ingest", &stream.topic) {
        let taken = silver.and_then(|silver| silver.txn(&silver_app(&stream.topic, incarnation, partition)));
        let from = taken.or_else(|| bronze.txn(&first_app(&stream.topic, incarnation, partition))).unwrap_or(0);
        if from < to {
            lag.ranges.push(Range { incarnation, partition, from, to, rows: 0 });
        }
    }
    lag.ranges.sort_unstable_by_key(|range| (range.incarnation, range.partition));
    for file in bronze.files().values() {
        let Some(tag) = file.tags.get(SPANS_TAG) else { continue };
        for range in &mut lag.ranges {
            for span in parse_spans(tag, range.incarnation).iter().filter(|span| span.partition == range.partition) {
                let overlap = span.to.min(range.to) - span.from.max(range.from);
                if overlap > 0 && span.rows > 0 {
                    range.rows += share(span.rows, overlap, span.to - span.from);
                    lag.days.extend(file.date);
                }
            }
        }
    }
    revived(stream, bronze, silver, &mut lag);
    lag
}

/// What replays of dead letters made valid, as far as silver had passed it: the others come to it by their offsets.
fn revived(stream: &Stream, bronze: &Snapshot, silver: Option<&Snapshot>, lag: &mut SilverLag) {
    let Some(silver) = silver else { return };
    let number = |table: &Snapshot, app: String| table.txn(&app).unwrap_or(0);
    let (from, until) = (number(silver, silver_replay_app(&stream.topic)), number(bronze, replay_app(&stream.topic)));
    let files: Vec<_> = bronze.files().values().cloned().collect();
    // What cannot be traced is the coordinator's to say; here it is one row at least.
    let Ok(found) = untaken(&files, from, until) else {
        lag.revived = 1;
        return;
    };
    for file in found {
        let before = lag.revived;
        for ((incarnation, partition), offsets) in &file.rows {
            let next = silver.txn(&silver_app(&stream.topic, *incarnation, *partition)).unwrap_or(0);
            lag.revived += offsets.ranges().map(|(from, to)| u64::try_from(to.min(next) - from).unwrap_or(0)).sum::<u64>();
        }
        if lag.revived > before {
            lag.days.extend(file.date);
        }
    }
}

/// Of so many rows in `length` offsets, those in `overlap` of them: exact when it is all of them.
fn share(rows: u64, overlap: i64, length: i64) -> u64 {
    let of = i128::from(rows) * i128::from(overlap) / i128::from(length.max(1));
    u64::try_from(of).unwrap_or(0)
}

/// What is to be made anew of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Lag {
    /// Nothing: it has everything.
    Nothing,
    /// These days.
    Days(BTreeSet<i32>),
    /// All of it, and why.
    Everything(String),
}

impl Lag {
    /// Both together.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Everything(why), _) | (_, Self::Everything(why)) => Self::Everything(why),
            (Self::Days(mut days), Self::Days(more)) => {
                days.extend(more);
                Self::Days(days)
            }
            (Self::Nothing, lag) | (lag, Self::Nothing) => lag,
        }
    }
}

/// What a gold table lacks of its sources; `None` for a source that is not there.
pub(crate) async fn gold(planned: &Planned, sources: &[(String, Option<Snapshot>)], table: Option<&Snapshot>) -> Result<Lag> {
    let Some(table) = table else { return Ok(Lag::Everything("it is not there yet".into())) };
    let mut lag = Lag::Nothing;
    for (name, source) in sources {
        let Some(source) = source else { return Ok(Lag::Everything(format!("{name} is not there yet"))) };
        let since = table.txn(&gold_app(planned, source.id())).and_then(|version| u64::try_from(version).ok());
        let Some(since) = since else {
            let first = table.txns().keys().all(|app| !app.starts_with("gold/"));
            let why = if first { "the first time" } else { "the model was edited, or a source was replaced" };
            return Ok(Lag::Everything(why.into()));
        };
        lag = lag.and(between(name, source, since, source.version()).await?);
    }
    Ok(match (planned.model.materialize, lag) {
        (Materialize::Rollup, Lag::Days(days)) => {
            Lag::Everything(format!("its sources changed in {}", words::plural(days.len() as u64, "day")))
        }
        (_, lag) => lag,
    })
}

/// What changed in a table above one version, up to another.
pub(crate) async fn between(name: &str, table: &Snapshot, after: u64, until: u64) -> Result<Lag> {
    if after > until {
        return Ok(Lag::Everything(format!("{name} is older than what was taken of it")));
    }
    Ok(match changes(table.store(), after, until).await? {
        None => Lag::Everything(format!("the log of {name} no longer goes back to version {after}")),
        Some(changes) if changes.redefined => Lag::Everything(format!("the columns of {name} changed")),
        Some(changes) if changes.undated => Lag::Everything(format!("{name} changed")),
        Some(changes) if changes.days.is_empty() => Lag::Nothing,
        Some(changes) => Lag::Days(changes.days),
    })
}

/// What is in a table of PostgreSQL's schema `gold`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, FromRow)]
pub(crate) struct Published {
    /// Its name, as the coordinator wrote it.
    pub(crate) table_name: String,
    /// Of this model.
    pub(crate) model: String,
    /// Of this table of the lake, by its id.
    pub(crate) lake_id: String,
    /// The model as it was.
    pub(crate) model_hash: String,
    /// This version.
    pub(crate) version: i64,
    /// So many rows.
    pub(crate) rows: i64,
    /// By this run.
    pub(crate) run_id: Option<i64>,
    /// Since when.
    pub(crate) published_at: DateTime<Utc>,
}

impl Published {
    /// Whether this is the table of that name, with or without its schema.
    pub(crate) fn is(&self, table: &str) -> bool {
        let bare = |name: &str| name.strip_prefix("gold.").unwrap_or(name).to_owned();
        bare(&self.table_name) == bare(table)
    }
}

/// Everything that is published.
pub(crate) async fn published(connection: &mut PgConnection) -> sqlx::Result<Vec<Published>> {
    sqlx::query_as(
        "SELECT table_name, model, lake_id, model_hash, version, rows, run_id, published_at FROM ops.published ORDER BY table_name",
    )
    .fetch_all(connection)
    .await
}

/// What PostgreSQL's table lacks of the lake's.
pub(crate) async fn publication(planned: &Planned, table: Option<&Snapshot>, published: Option<&Published>) -> Result<Lag> {
    let Some(published) = published else { return Ok(Lag::Everything("it was never published".into())) };
    let Some(table) = table else { return Ok(Lag::Nothing) };
    if published.lake_id != table.id() {
        return Ok(Lag::Everything("the table in the lake is another one".into()));
    }
    let since = u64::try_from(published.version).unwrap_or(0);
    between(&planned.model.table(), table, since, table.version()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_part_of_a_span_are_its_share() {
        assert_eq!(share(47, 50, 50), 47);
        assert_eq!(share(100, 25, 50), 50);
        assert_eq!(share(0, 25, 50), 0);
    }

    #[test]
    fn everything_is_more_than_days_and_days_add_up() {
        let days = |of: &[i32]| Lag::Days(of.iter().copied().collect());
        assert_eq!(days(&[1]).and(days(&[2])), days(&[1, 2]));
        assert_eq!(Lag::Nothing.and(days(&[1])), days(&[1]));
        assert_eq!(days(&[1]).and(Lag::Everything("why".into())), Lag::Everything("why".into()));
        assert_eq!(Lag::Nothing.and(Lag::Nothing), Lag::Nothing);
    }
}
