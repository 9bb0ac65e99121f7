//! What a table has not taken over yet of what it is made from, in rows and days, for people: the coordinator's own rules
//! ([`lag`]) over what is in the lake and in PostgreSQL.

use std::collections::BTreeSet;

use anyhow::Result;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, PgConnection};
use tributary_actors::batch_coordinator::lag;
pub(crate) use tributary_actors::batch_coordinator::lag::Lag;
use tributary_actors::lake::offsets::{SPANS_TAG, parse_spans, silver_app};
use tributary_actors::lake::snapshot::Snapshot;
use tributary_actors::serving::publish::Version;
use tributary_core::model::Planned;
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
    let mut behind = SilverLag::default();
    let missing = lag::of_silver(bronze, silver, &stream.topic).into_iter();
    behind.ranges =
        missing.map(|r| Range { incarnation: r.incarnation, partition: r.partition, from: r.from, to: r.to, rows: 0 }).collect();
    for file in bronze.files().values() {
        let Some(tag) = file.tags.get(SPANS_TAG) else { continue };
        for range in &mut behind.ranges {
            for span in parse_spans(tag, range.incarnation).iter().filter(|span| span.partition == range.partition) {
                let overlap = span.to.min(range.to) - span.from.max(range.from);
                if overlap > 0 && span.rows > 0 {
                    range.rows += share(span.rows, overlap, span.to - span.from);
                    behind.days.extend(file.date);
                }
            }
        }
    }
    revived(stream, bronze, silver, &mut behind);
    behind
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

/// What a gold table lacks of its sources; `None` for a source that is not there.
pub(crate) async fn gold(planned: &Planned, sources: &[(String, Option<Snapshot>)], table: Option<&Snapshot>) -> Result<Lag> {
    let Some(table) = table else { return Ok(Lag::Everything("it is not there yet".into())) };
    let mut there = Vec::new();
    for (name, source) in sources {
        let Some(source) = source else { return Ok(Lag::Everything(format!("{name} is not there yet"))) };
        there.push((name.as_str(), source));
    }
    Ok(lag::of_model(planned, &there, table).await?)
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
    // What is not there cannot be published: that it must be built first is said of the table itself.
    let Some(table) = table else { return Ok(Lag::Nothing) };
    let Published { lake_id, model_hash, version, .. } = published.clone();
    Ok(lag::of_publication(planned, table, Some(&Version { lake_id, model_hash, version })).await?)
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
}
