//! Closed days that shrink are refused: what is published may be right, and what comes after it a mistake (a lake that was lost, a
//! condition too many in a model). A person who means it says `--force`.
//!
//! Closed is a day before today, UTC, on PostgreSQL's clock. It shrinks when it has fewer rows, or was computed from fewer, than the
//! part allows; a day that is gone has shrunk to nothing.

use chrono::NaiveDate;
use sqlx::PgConnection;

use super::stage::{Staged, date};
use super::{PublishError, Terms};
use crate::serving::ServingError;

/// The closed days that shrank.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.words())]
pub struct Shrunk {
    /// The table of schema `gold`.
    pub table: String,
    /// Each with what there was and what there would be.
    pub days: Vec<ShrunkDay>,
}

/// A closed day that shrank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShrunkDay {
    /// The day.
    pub day: NaiveDate,
    /// `rows` of the table, or `source rows` that it was computed from.
    pub what: &'static str,
    /// As published.
    pub before: i64,
    /// As it would be.
    pub after: i64,
}

impl Shrunk {
    fn words(&self) -> String {
        let day = |d: &ShrunkDay| format!("{} from {} to {} {}", d.day, d.before, d.after, d.what);
        let some: Vec<String> = self.days.iter().take(5).map(day).collect();
        let more = self.days.len().saturating_sub(some.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!(
            "gold.{}: closed days would shrink: {}{more}. It stays as it was; `tributary run JOB --task publish --force` publishes it all the same",
            self.table,
            some.join(", ")
        )
    }
}

/// Refuses what shrinks, unless it is forced.
pub(super) async fn check(transaction: &mut PgConnection, staged: &Staged, terms: Terms) -> Result<(), PublishError> {
    if terms.force {
        return Ok(());
    }
    let published: Vec<(NaiveDate, i64, Option<i64>)> = sqlx::query_as(
        "SELECT event_date, rows, CASE WHEN $2 THEN source_rows END FROM ops.published_days \
         WHERE table_name = $1 AND event_date < (now() AT TIME ZONE 'UTC')::date ORDER BY event_date",
    )
    .bind(&staged.table.name)
    // Another model has other sources, whose rows say nothing about these.
    .bind(staged.is_of_same_model())
    .fetch_all(transaction)
    .await
    .map_err(ServingError::new("comparing closed days"))?;
    let counts = staged.day_counts(published.iter().map(|(day, ..)| days_since_1970(*day)));
    let mut days = Vec::new();
    for (day, rows, source_rows) in published {
        let Some((rows_now, source_now)) = counts.get(&days_since_1970(day)) else { continue };
        let shrinks = |before: i64, after: i64| (after as f64) < before as f64 * (1.0 - terms.max_shrink);
        if let (Some(before), Some(after)) = (source_rows, *source_now)
            && shrinks(before, after)
        {
            days.push(ShrunkDay { day, what: "source rows", before, after });
        } else if shrinks(rows, *rows_now) {
            days.push(ShrunkDay { day, what: "rows", before: rows, after: *rows_now });
        }
    }
    if days.is_empty() { Ok(()) } else { Err(PublishError::Shrunk(Shrunk { table: staged.table.name.clone(), days })) }
}

fn days_since_1970(day: NaiveDate) -> i32 {
    i32::try_from((day - date(0)).num_days()).unwrap_or(i32::MAX)
}
