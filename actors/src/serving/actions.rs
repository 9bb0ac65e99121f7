//! What people did: a row of `ops.actions` each, begun before it is done and ended after it.
//!
//! Promises that a row is committed when [`begin`] returns: nothing is done that nobody knows of. A row that stays `begun` is the trace of
//! somebody who was gone before the end; what came of it is then in the store that was to change.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Row};

use super::ServingError;
use super::history::{fit, json, json_text, word, words};

words! {
    /// On which way somebody did something.
    Via {
        /// On the command line.
        Cli = "cli",
        /// In the console.
        Console = "console",
        /// Over the console's API.
        Api = "api",
    }
}

words! {
    /// What people do.
    Verb {
        /// Ask for a run of a job.
        Run = "run",
        /// Keep a job from beginning by itself.
        Pause = "pause",
        /// Let it begin by itself again.
        Resume = "resume",
        /// End a run.
        Cancel = "cancel",
        /// Ask for a run again.
        Retry = "retry",
        /// Ask for days of the past.
        Backfill = "backfill",
        /// Make records valid that a corrected declaration accepts.
        Replay = "replay",
    }
}

words! {
    /// What came of it.
    Outcome {
        /// It was begun, and its end is not known.
        Begun = "begun",
        /// It is done.
        Done = "done",
        /// It makes no sense, or not now.
        Refused = "refused",
        /// It was tried, and went wrong.
        Failed = "failed",
    }
}

/// Something that somebody did.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Action {
    /// Grows.
    pub id: i64,
    /// When it was begun.
    pub at: DateTime<Utc>,
    /// Who did it.
    pub person: String,
    /// On which way.
    pub via: Via,
    /// What it was.
    pub action: Verb,
    /// To what: a job, `run 17`, a stream.
    pub subject: String,
    /// How it was asked for.
    pub params: Value,
    /// What came of it.
    pub outcome: Outcome,
    /// The same in words.
    pub message: Option<String>,
}

impl FromRow<'_, PgRow> for Action {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            at: row.try_get("at")?,
            person: row.try_get("person")?,
            via: word(row, "via")?,
            action: word(row, "action")?,
            subject: row.try_get("subject")?,
            params: json(row, "params")?.unwrap_or_default(),
            outcome: word(row, "outcome")?,
            message: row.try_get("message")?,
        })
    }
}

/// Something that somebody is about to do.
#[derive(Debug, Clone, PartialEq)]
pub struct NewAction<'a> {
    /// Who.
    pub person: &'a str,
    /// On which way.
    pub via: Via,
    /// What.
    pub action: Verb,
    /// To what.
    pub subject: &'a str,
    /// How it was asked for: a JSON object.
    pub params: &'a Value,
}

/// Writes down that it is begun; returns the row's number.
///
/// # Errors
/// When PostgreSQL fails: then it must not be done.
pub async fn begin(connection: &mut PgConnection, new: &NewAction<'_>) -> Result<i64, ServingError> {
    sqlx::query_scalar(
        "INSERT INTO ops.actions (person, via, action, subject, params) VALUES ($1, $2, $3, $4, $5::jsonb) RETURNING id",
    )
    .bind(fit(new.person))
    .bind(new.via.as_str())
    .bind(new.action.as_str())
    .bind(fit(new.subject))
    .bind(json_text(&without_nul(new.params)))
    .fetch_one(connection)
    .await
    .map_err(ServingError::new("writing ops.actions"))
}

/// Writes down what came of it.
///
/// # Errors
/// When PostgreSQL fails; the row stays `begun` then.
pub async fn end(connection: &mut PgConnection, id: i64, outcome: Outcome, message: &str) -> Result<(), ServingError> {
    sqlx::query("UPDATE ops.actions SET outcome = $2, message = $3 WHERE id = $1")
        .bind(id)
        .bind(outcome.as_str())
        .bind(fit(message))
        .execute(connection)
        .await
        .map_err(ServingError::new("writing ops.actions"))?;
    Ok(())
}

/// Which actions to list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Which {
    /// Older than this one.
    pub before: Option<i64>,
    /// At most so many; 0: as many as fit a screen.
    pub limit: u32,
}

/// What people did, the newest first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn list(connection: &mut PgConnection, which: Which) -> Result<Vec<Action>, ServingError> {
    sqlx::query_as(
        "SELECT id, at, person, via, action, subject, params::text AS params, outcome, message FROM ops.actions \
         WHERE ($1::bigint IS NULL OR id < $1) ORDER BY id DESC LIMIT $2",
    )
    .bind(which.before)
    .bind(if which.limit == 0 { 20 } else { i64::from(which.limit) })
    .fetch_all(connection)
    .await
    .map_err(ServingError::new("reading ops.actions"))
}

/// PostgreSQL takes no NUL in JSON either, and what came over HTTP may hold one.
fn without_nul(value: &Value) -> Value {
    let clean = |text: &str| text.replace('\0', "\u{fffd}");
    match value {
        Value::String(text) => Value::String(clean(text)),
        Value::Array(values) => values.iter().map(without_nul).collect(),
        Value::Object(fields) => fields.iter().map(|(name, value)| (clean(name), without_nul(value))).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_nul_anywhere_in_the_parameters_is_replaced() {
        let asked = json!({"task": "a\0b", "days": ["\0", 1], "n\0": {"deep": "\0"}, "text": "\\u0000"});
        let clean = json!({"task": "a\u{fffd}b", "days": ["\u{fffd}", 1], "n\u{fffd}": {"deep": "\u{fffd}"}, "text": "\\u0000"});
        assert_eq!(without_nul(&asked), clean);
    }
}
