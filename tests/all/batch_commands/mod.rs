//! The commands over batch work as a person meets them: jobs, runs, tables, models, queries, and the way of a number.
//!
//! Over a real PostgreSQL and real Delta tables, without the process that runs jobs: where one is needed, the test leads by itself.

mod lake;

mod activity;
mod history;
mod models;
mod tables;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// What a command said.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {} {}", self.out, self.err))
    }

    /// That it went well, with this in what it said.
    #[track_caller]
    fn says(self, words: &[&str]) -> Self {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        for words in words {
            assert!(self.out.contains(words), "`{words}` is not in:\n{}\n{}", self.out, self.err);
        }
        self
    }

    /// That it was refused with this status and these words.
    #[track_caller]
    fn refuses(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        for words in words {
            assert!(self.err.contains(words), "`{words}` is not in:\n{}", self.err);
        }
        self
    }
}

/// `tributary` in that folder with an environment of its own; `url` is a PostgreSQL, or nothing.
fn command(folder: &Path, url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
    command.args(arguments).current_dir(folder).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command.env("USER", "ana").env("TRIBUTARY_INSTANCE", "anvil").stdin(Stdio::null());
    if !url.is_empty() {
        command.env("DATABASE_URL", url);
    }
    command
}

fn tributary(folder: &Path, url: &str, arguments: &[&str]) -> Said {
    Said::of(command(folder, url, arguments).output().unwrap())
}

#[test]
fn without_postgresql_what_is_in_files_is_shown_and_the_rest_says_how_to_get_one() {
    let folder = tempfile::tempdir().unwrap();
    let said = tributary(folder.path(), "", &["jobs", "list"]).says(&["lakehouse_bronze_to_gold", "every 5 min", "?"]);
    assert!(said.err.contains("DATABASE_URL"), "{}", said.err);
    tributary(folder.path(), "", &["jobs", "show", "lakehouse_batch_pipeline"]).says(&[
        "lakehouse_bronze_to_gold (also: lakehouse_batch_pipeline)",
        "check_bronze",
        "gold.kpi_dau by day",
        "[[task]]",
    ]);
    tributary(folder.path(), "", &["runs", "list"]).refuses(1, &["tributary up", "DATABASE_URL"]);
    tributary(folder.path(), "", &["run", "lakehouse_bronze_to_gold"]).refuses(1, &["tributary up"]);
    assert!(!folder.path().join("data").exists(), "asking made a data folder");
}

#[test]
fn a_wrong_name_is_answered_with_the_right_ones() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, words) in [
        (&["run", "nonsense"][..], "no job nonsense; there are: lakehouse_bronze_to_gold, lakehouse_maintenance"),
        (&["run", "lakehouse_bronze_to_gold", "--task", "x"], "check_bronze, silver"),
        (&["jobs", "pause", "x"], "there are: lakehouse_bronze_to_gold"),
        (&["runs", "list", "--state", "broken"], "queued, running, succeeded"),
        (&["models", "show", "kpi_dua"], "kpi_dau"),
        (&["tables", "describe", "gold.kpi_dau"], "the lake is empty"),
        (&["why", "gold.daily_active_user"], "did you mean `gold.daily_active_users`?"),
        (&["backfill", "lakehouse_maintenance", "--from", "today", "--to", "today"], "builds no gold table"),
        (&["backfill", "lakehouse_bronze_to_gold", "--from", "today", "--to", "yesterday"], "is after"),
        (&["query", "SELECT 1", "--at", "gold.kpi_dau=1"], "which the query does not"),
    ] {
        let said = tributary(folder.path(), "", arguments).refuses(2, &[words]);
        assert_eq!(said.out, "", "{arguments:?}");
    }
}
