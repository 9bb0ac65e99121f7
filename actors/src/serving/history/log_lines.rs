//! Lines of runs: written in batches by the leader, read by anybody, also while they are written.
//!
//! Promises that a reader who asks for what comes after the last line it has seen misses none: lines of one run get their numbers
//! under the run's row lock, so they become visible in that order.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::rows::LogLine;
use crate::serving::ServingError;
use crate::serving::lease::{LeaderError, Lease};

/// A longer one is cut: the history is no place for data.
const MAX_LINE: usize = 16 << 10;

/// A line to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLine {
    /// Of which task; none: of the run as a whole.
    pub task: Option<String>,
    /// Of which attempt.
    pub attempt: Option<i32>,
    /// When it was said.
    pub at: DateTime<Utc>,
    /// How grave it is.
    pub level: Level,
    /// What was said.
    pub message: String,
}

/// How grave a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Somebody must do something.
    Error,
    /// Somebody should know.
    Warn,
    /// What is done.
    Info,
    /// How it is done.
    Debug,
}

impl Level {
    /// The word in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// Writes lines of one run.
///
/// # Errors
/// [`LeaderError`].
pub async fn log(connection: &mut PgConnection, lease: &Lease, run: i64, lines: &[NewLine]) -> Result<(), LeaderError> {
    if lines.is_empty() {
        return Ok(());
    }
    let doing = || ServingError::new("writing log lines");
    let mut transaction = lease.begin(connection).await?;
    // Numbers are given at once and seen at the commit: the lock makes the one order the other.
    sqlx::query("SELECT FROM ops.runs WHERE id = $1 FOR NO KEY UPDATE")
        .bind(run)
        .execute(&mut *transaction)
        .await
        .map_err(doing())?;
    let tasks: Vec<Option<&str>> = lines.iter().map(|l| l.task.as_deref()).collect();
    let attempts: Vec<Option<i32>> = lines.iter().map(|l| l.attempt).collect();
    let at: Vec<DateTime<Utc>> = lines.iter().map(|l| l.at).collect();
    let levels: Vec<&str> = lines.iter().map(|l| l.level.as_str()).collect();
    let messages: Vec<String> = lines.iter().map(|l| fit(&l.message)).collect();
    sqlx::query(
        "INSERT INTO ops.logs (run_id, task, attempt, at, level, message) \
         SELECT $1, l.task, l.attempt, l.at, l.level, l.message \
         FROM unnest($2::text[], $3::int[], $4::timestamptz[], $5::text[], $6::text[]) \
         WITH ORDINALITY AS l(task, attempt, at, level, message, n) ORDER BY l.n",
    )
    .bind(run)
    .bind(tasks)
    .bind(attempts)
    .bind(at)
    .bind(levels)
    .bind(messages)
    .execute(&mut *transaction)
    .await
    .map_err(doing())?;
    transaction.commit().await.map_err(doing())?;
    Ok(())
}

/// Which lines to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines {
    /// Of this task alone.
    pub task: Option<String>,
    /// Of this attempt alone.
    pub attempt: Option<i32>,
    /// After the line of this number; 0: from the beginning.
    pub after: i64,
    /// At most so many.
    pub limit: u32,
}

/// Lines of a run, in their order.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn log_lines(connection: &mut PgConnection, run: i64, lines: &Lines) -> Result<Vec<LogLine>, ServingError> {
    sqlx::query_as(
        "SELECT id, run_id, task, attempt, at, level, message FROM ops.logs WHERE run_id = $1 AND id > $2 \
         AND ($3::text IS NULL OR task = $3) AND ($4::int IS NULL OR attempt = $4) ORDER BY id LIMIT $5",
    )
    .bind(run)
    .bind(lines.after)
    .bind(&lines.task)
    .bind(lines.attempt)
    .bind(i64::from(lines.limit))
    .fetch_all(connection)
    .await
    .map_err(ServingError::new("reading ops.logs"))
}

/// PostgreSQL takes no NUL in a text.
pub(in crate::serving) fn fit(message: &str) -> String {
    let end = message.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= MAX_LINE).last().unwrap_or(0);
    let mut fit = message[..end].replace('\0', "\u{fffd}");
    if end < message.len() {
        fit.push('…');
    }
    fit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_between_characters_and_holds_no_nul() {
        assert_eq!(fit("a\0b"), "a\u{fffd}b");
        let long = "é".repeat(MAX_LINE);
        let cut = fit(&long);
        assert!(cut.len() <= MAX_LINE + '…'.len_utf8() && cut.ends_with("é…"));
        assert_eq!(fit(""), "");
    }
}
