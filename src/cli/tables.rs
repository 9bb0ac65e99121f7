//! `tributary tables`: what is in the lake, by what its logs say.

mod describe;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use chrono::{DateTime, Utc};
use serde_json::json;
use tributary_actors::lake::history::{Event, history};

use super::query::{Shown, ask};
use super::rows::Format;
use super::session::Session;
use super::{desk, output};
use crate::inspect::catalog::Catalog;
use crate::inspect::files::{DataFile, newest as newest_files};
use crate::inspect::query::{newest, stored};
use crate::inspect::tables::{Listed, Version, front_matter};
use crate::words;

/// Delta tables: rows, files, versions, columns, history
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tributary tables list
  tributary tables list --json | jq '.[] | {table, rows, last_commit}'
  tributary tables describe gold.kpi_dau
  tributary tables history silver.user_events --limit 5
  tributary tables files bronze.user_events --limit 5
  tributary tables preview kpi_dau --version 12      as it was

The layer may be left out where only one has a table of that name.")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// All tables
    List {
        /// Also those that only serve other models
        #[arg(long)]
        all: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// One table: where it is, what it is made from, its columns
    Describe {
        /// bronze.STREAM, silver.STREAM or gold.MODEL
        #[arg(value_name = "TABLE")]
        table: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Its newest versions: what was done, when, to how much
    History(Newest),
    /// Its data files, the newest first
    Files(Newest),
    /// Some of its rows, of its newest days
    Preview {
        /// bronze.STREAM, silver.STREAM or gold.MODEL
        #[arg(value_name = "TABLE")]
        table: String,
        /// As it was at this version
        #[arg(long, value_name = "N")]
        version: Option<u64>,
        /// At most so many rows
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: usize,
        /// How rows are written
        #[arg(short, long, value_enum, default_value_t = Format::Table)]
        output: Format,
    },
}

/// So many of what a table has, the newest first.
#[derive(Debug, clap::Args)]
struct Newest {
    /// bronze.STREAM, silver.STREAM or gold.MODEL
    #[arg(value_name = "TABLE")]
    table: String,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, session: &Session) -> Result<ExitCode> {
    let catalog = Catalog::of(&session.reachable())?;
    let runtime = desk::runtime()?;
    match &args.action {
        Action::List { all, json } => runtime.block_on(list(session, &catalog, *all, *json))?,
        Action::Describe { table, json } => runtime.block_on(describe::describe(session, &catalog, table, *json))?,
        Action::History(asked) => runtime.block_on(show_history(&catalog, asked))?,
        Action::Files(asked) => runtime.block_on(files(&catalog, asked))?,
        Action::Preview { table, version, limit, output } => {
            let engine = desk::engine(session, None)?;
            return runtime.block_on(async {
                let name = catalog.resolve(table).await?;
                let snapshot = catalog.open(&name, *version).await?;
                let (sql, newest) = newest(&stored(&name, &snapshot), *limit);
                ask(&engine, &sql, vec![newest], &Shown { output: *output, out: None::<&Path>, limit: Some(*limit) }).await
            });
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(session: &Session, catalog: &Catalog, all: bool, json: bool) -> Result<()> {
    let models = front_matter(session.settings());
    let hidden = |name: &str| models.iter().any(|model| model.hidden && model.table() == name);
    let mut listed: Vec<Listed> =
        catalog.all().await?.iter().map(|(name, table)| Listed::new(name, table, hidden(name))).collect();
    if json {
        return output::print_json(&listed);
    }
    let before = listed.len();
    listed.retain(|table| all || !table.hidden);
    let left_out = before - listed.len();
    if before == 0 {
        eprintln!("the lake {} is empty; `tributary up` fills it", session.settings().lake.url);
        return Ok(());
    }
    let now = Utc::now();
    let header = ["TABLE", "ROWS", "FILES", "SIZE", "VERSION", "LAST COMMIT", "DAYS"];
    output::print(&output::table(&header, listed.iter().map(|table| row(table, now)).collect()))?;
    if left_out > 0 {
        eprintln!("{left_out} that only serve other models are left out; --all shows them");
    }
    Ok(())
}

fn row(table: &Listed, now: DateTime<Utc>) -> Vec<String> {
    vec![
        table.table.clone(),
        words::count(table.rows),
        words::count(table.files as u64),
        words::bytes(table.bytes),
        table.version.to_string(),
        words::ago_or(table.committed(), now, "?"),
        table.span(),
    ]
}

async fn show_history(catalog: &Catalog, asked: &Newest) -> Result<()> {
    let name = catalog.resolve(&asked.table).await?;
    let events = history(&catalog.store(&name)?, asked.limit).await?;
    if asked.json {
        return output::print_json(&json!(events.into_iter().map(Version::from).collect::<Vec<_>>()));
    }
    let now = Utc::now();
    let header = ["VERSION", "WHEN", "OPERATION", "ROWS", "FILES", "BYTES", "BY"];
    output::print(&output::table(&header, events.iter().map(|event| event_row(event, now)).collect()))?;
    if events.last().is_some_and(|event| event.version > 0) && events.len() < asked.limit {
        eprintln!("older versions are no longer in the log");
    }
    Ok(())
}

fn event_row(event: &Event, now: DateTime<Utc>) -> Vec<String> {
    let rows = match (event.rows_added, event.changed_rows) {
        (0, _) => words::NOTHING.into(),
        (rows, true) => format!("+{}", words::count(rows)),
        // The same rows in other files.
        (rows, false) => format!("={}", words::count(rows)),
    };
    let signed = |plus: u64, minus: u64, show: fn(u64) -> String| match (plus, minus) {
        (0, 0) => words::NOTHING.into(),
        (plus, 0) => format!("+{}", show(plus)),
        (plus, minus) => format!("+{} -{}", show(plus), show(minus)),
    };
    let operation = event.operation.clone().unwrap_or_else(|| if event.redefined { "columns".into() } else { "?".into() });
    vec![
        event.version.to_string(),
        words::ago_or(words::from_millis(event.committed_ms), now, "?"),
        operation,
        rows,
        signed(event.files_added, event.files_removed, words::count),
        signed(event.bytes_added, event.bytes_removed, words::bytes),
        event.engine.clone().unwrap_or_else(|| words::NOTHING.into()),
    ]
}

async fn files(catalog: &Catalog, asked: &Newest) -> Result<()> {
    let snapshot = catalog.open(&catalog.resolve(&asked.table).await?, None).await?;
    let files = newest_files(&snapshot, asked.limit);
    if asked.json {
        return output::print_json(&files);
    }
    let (now, nothing) = (Utc::now(), || words::NOTHING.to_owned());
    let row = |file: &DataFile| {
        vec![
            file.day.clone().unwrap_or_else(nothing),
            file.rows.map_or_else(|| "?".to_owned(), words::count),
            words::bytes(file.bytes),
            words::ago_or(file.written(), now, "?"),
            file.path.clone(),
        ]
    };
    output::print(&output::table(&["DAY", "ROWS", "SIZE", "WRITTEN", "FILE"], files.iter().map(row).collect()))?;
    let total = snapshot.files().len();
    if total > files.len() {
        eprintln!("the newest {} of {}; --limit shows more", files.len(), words::count(total as u64));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rewrite_of_the_same_rows_does_not_look_like_new_ones() {
        let mut event =
            Event { version: 7, files_added: 1, bytes_added: 2_048, rows_added: 90, files_removed: 4, ..Event::default() };
        let row = event_row(&event, Utc::now());
        assert_eq!(row[3..6], ["=90", "+1 -4", "+2.0 KiB"]);
        event.changed_rows = true;
        assert_eq!(event_row(&event, Utc::now())[3], "+90");
    }
}
