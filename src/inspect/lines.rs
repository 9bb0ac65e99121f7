//! What a run said: the newest lines, or those after one that was seen, of one task, attempt or level, or with some words in them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use tributary_actors::serving::history::LogLine;

/// How grave a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// How it is done.
    Debug,
    /// What is done.
    Info,
    /// Somebody should know.
    Warn,
    /// Somebody must do something.
    Error,
}

impl Level {
    /// All of them, the least grave first.
    pub(crate) const ALL: [Self; 4] = [Self::Debug, Self::Info, Self::Warn, Self::Error];

    /// The word in the database.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }

    /// This one and those that are graver.
    fn and_graver(self) -> Vec<&'static str> {
        Self::ALL.into_iter().skip_while(|level| *level != self).map(Self::as_str).collect()
    }
}

impl std::str::FromStr for Level {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|level| level.as_str() == word).ok_or(())
    }
}

/// Which lines of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Of this task alone.
    pub(crate) task: Option<String>,
    /// Of this attempt alone.
    pub(crate) attempt: Option<i32>,
    /// At least this grave.
    pub(crate) level: Option<Level>,
    /// With these words in them, in capitals or not.
    pub(crate) words: Option<String>,
}

/// Lines on one side of a number, in an order.
macro_rules! lines {
    ($side:literal, $order:literal) => {
        concat!(
            "SELECT id, run_id, task, attempt, at, level, message FROM ops.logs \
             WHERE run_id = $1 AND ($2::bigint IS NULL OR id ",
            $side,
            " $2) AND ($3::text IS NULL OR task = $3) AND ($4::int IS NULL OR attempt = $4) \
             AND ($5::text[] IS NULL OR level = ANY($5)) \
             AND ($6::text IS NULL OR position(lower($6) IN lower(message)) > 0) ORDER BY id ",
            $order,
            " LIMIT $7"
        )
    };
}

/// Lines after the one of this number, in their order.
pub(crate) async fn after(
    connection: &mut PgConnection,
    run: i64,
    wanted: &Wanted,
    after: i64,
    limit: u32,
) -> sqlx::Result<Vec<LogLine>> {
    ask(connection, lines!(">", "ASC"), run, wanted, Some(after), limit).await
}

/// The newest lines, or the newest before the one of this number; in their order.
pub(crate) async fn newest(
    connection: &mut PgConnection,
    run: i64,
    wanted: &Wanted,
    before: Option<i64>,
    limit: u32,
) -> sqlx::Result<Vec<LogLine>> {
    let mut lines = ask(connection, lines!("<", "DESC"), run, wanted, before, limit).await?;
    lines.reverse();
    Ok(lines)
}

async fn ask(
    connection: &mut PgConnection,
    sql: &'static str,
    run: i64,
    wanted: &Wanted,
    line: Option<i64>,
    limit: u32,
) -> sqlx::Result<Vec<LogLine>> {
    sqlx::query_as(sql)
        .bind(run)
        .bind(line)
        .bind(&wanted.task)
        .bind(wanted.attempt)
        .bind(wanted.level.map(Level::and_graver))
        .bind(&wanted.words)
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await
}

/// `2026-01-05 10:00:00.250 info  silver: version 5`, so that what matters comes first and lines align.
pub(crate) fn text(line: &LogLine) -> String {
    let place = match (&line.task, line.attempt) {
        (Some(task), Some(attempt)) if attempt > 1 => format!("{task}#{attempt}: "),
        (Some(task), _) => format!("{task}: "),
        (None, _) => String::new(),
    };
    format!("{} {:<5} {place}{}", line.at.format("%Y-%m-%d %H:%M:%S%.3f"), line.level, line.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_when_how_grave_which_task_and_what() {
        let mut line = LogLine {
            id: 1,
            run_id: 1,
            task: Some("silver".into()),
            attempt: Some(1),
            at: chrono::DateTime::parse_from_rfc3339("2026-01-05T10:00:00.25Z").unwrap().to_utc(),
            level: "info".into(),
            message: "version 5".into(),
        };
        assert_eq!(text(&line), "2026-01-05 10:00:00.250 info  silver: version 5");
        line.attempt = Some(2);
        assert!(text(&line).contains("silver#2: "));
        line.task = None;
        assert!(text(&line).ends_with("info  version 5"));
    }

    #[test]
    fn a_level_means_what_is_graver_too() {
        assert_eq!("warn".parse().map(Level::and_graver), Ok(vec!["warn", "error"]));
        assert_eq!(Level::Debug.and_graver().len(), 4);
        assert_eq!("fatal".parse::<Level>(), Err(()));
    }
}
