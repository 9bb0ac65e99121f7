//! `tributary tables`: what is in the lake, by what its logs say.

mod describe;

pub(super) use describe::kind;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use chrono::{DateTime, Utc};
use serde::Serialize;
use tributary_actors::lake::history::{Event, history};
use tributary_actors::lake::snapshot::Snapshot;
use tributary_batch::Stored;
use tributary_batch::models::read_folder;
use tributary_core::model::Model;
use tributary_core::table::{Pinned, date_text};

use super::query::{Shown, ask, stored};
use super::rows::Format;
use super::session::Session;
use super::{desk, output};
use crate::inspect::catalog::Catalog;
use crate::words;

/// Delta tables: rows, files, versions, columns, history
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tributary tables list
  tributary tables list --json | jq '.[] | {table, rows, last_commit}'
  tributary tables describe gold.kpi_dau
  tributary tables history silver.user_events --limit 5
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
    },
    /// Its newest versions: what was done, when, to how much
    History {
        /// bronze.STREAM, silver.STREAM or gold.MODEL
        #[arg(value_name = "TABLE")]
        table: String,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: usize,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
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

/// A table, as its newest version has it.
#[derive(Debug, Serialize)]
struct Listed {
    table: String,
    version: u64,
    last_commit: Option<String>,
    rows: u64,
    files: usize,
    bytes: u64,
    first_day: Option<String>,
    last_day: Option<String>,
    days: usize,
    hidden: bool,
}

pub(crate) fn run(args: &Args, session: &Session) -> Result<ExitCode> {
    let catalog = Catalog::of(&session.reachable())?;
    let runtime = desk::runtime()?;
    match &args.action {
        Action::List { all, json } => runtime.block_on(list(session, &catalog, *all, *json))?,
        Action::Describe { table } => runtime.block_on(describe::describe(session, &catalog, table))?,
        Action::History { table, limit, json } => runtime.block_on(show_history(&catalog, table, *limit, *json))?,
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

/// The models as their files say, as far as they can be read: for lists, where planning would be too much.
fn front_matter(session: &Session) -> Vec<Model> {
    let files = read_folder(session.settings().batch.models_dir.as_ref()).unwrap_or_default();
    files.iter().filter_map(|(file, text)| Model::parse(text, file).ok()).collect()
}

async fn list(session: &Session, catalog: &Catalog, all: bool, json: bool) -> Result<()> {
    let models = front_matter(session);
    let hidden = |name: &str| models.iter().any(|model| model.hidden && model.table() == name);
    let mut listed: Vec<Listed> = catalog.all().await?.iter().map(|(name, table)| listed(name, table, hidden(name))).collect();
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

fn listed(name: &str, table: &Snapshot, hidden: bool) -> Listed {
    let files = || table.files().values();
    let mut days: Vec<i32> = files().filter_map(|file| file.date).collect();
    days.sort_unstable();
    days.dedup();
    Listed {
        table: name.to_owned(),
        version: table.version(),
        last_commit: words::from_millis(table.committed_ms()).map(words::rfc3339),
        rows: files().filter_map(|file| file.rows).sum(),
        files: table.files().len(),
        bytes: files().map(|file| file.size).sum(),
        first_day: days.first().map(|day| date_text(*day)),
        last_day: days.last().map(|day| date_text(*day)),
        days: days.len(),
        hidden,
    }
}

fn row(table: &Listed, now: DateTime<Utc>) -> Vec<String> {
    let committed = table.last_commit.as_deref().and_then(|time| DateTime::parse_from_rfc3339(time).ok());
    vec![
        table.table.clone(),
        words::count(table.rows),
        words::count(table.files as u64),
        words::bytes(table.bytes),
        table.version.to_string(),
        words::ago_or(committed.map(|time| time.to_utc()), now, "?"),
        span(table),
    ]
}

/// `2026-11-01 to 2026-11-25 (25)`.
fn span(table: &Listed) -> String {
    match (&table.first_day, &table.last_day) {
        (Some(first), Some(last)) if first == last => first.clone(),
        (Some(first), Some(last)) => format!("{first} to {last} ({})", table.days),
        _ => words::NOTHING.into(),
    }
}

async fn show_history(catalog: &Catalog, table: &str, limit: usize, json: bool) -> Result<()> {
    let name = catalog.resolve(table).await?;
    let events = history(&catalog.store(&name)?, limit).await?;
    if json {
        return output::print_json(&events.iter().map(event_json).collect::<Vec<_>>());
    }
    let now = Utc::now();
    let header = ["VERSION", "WHEN", "OPERATION", "ROWS", "FILES", "BYTES", "BY"];
    output::print(&output::table(&header, events.iter().map(|event| event_row(event, now)).collect()))?;
    if events.last().is_some_and(|event| event.version > 0) && events.len() < limit {
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

fn event_json(event: &Event) -> serde_json::Value {
    serde_json::json!({
        "version": event.version,
        "committed_at": words::from_millis(event.committed_ms).map(words::rfc3339),
        "operation": event.operation,
        "parameters": event.parameters,
        "engine": event.engine,
        "rows_added": event.rows_added,
        "files_added": event.files_added,
        "bytes_added": event.bytes_added,
        "files_removed": event.files_removed,
        "bytes_removed": event.bytes_removed,
        "changed_rows": event.changed_rows,
        "redefined": event.redefined,
        "txns": event.txns,
    })
}

/// The newest rows of a table, and of its files no more than hold so many: a look at a big table is as quick as at a small one.
fn newest(table: &Stored, limit: usize) -> (String, Stored) {
    let name = &table.table.name;
    if !table.table.by_date {
        return (format!("SELECT * FROM {name} LIMIT {limit}"), table.clone());
    }
    let mut days = table.table.days();
    let rows_of = |days: &[i32]| table.table.only_days(days).rows();
    let mut from = days.len().saturating_sub(1);
    while from > 0 && rows_of(days.get(from..).unwrap_or_default()) < limit as u64 {
        from -= 1;
    }
    days.drain(..from);
    let pinned: Pinned = table.table.only_days(&days);
    (format!("SELECT * FROM {name} ORDER BY event_date DESC LIMIT {limit}"), Stored { table: Arc::new(pinned), ..table.clone() })
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
