//! The list of all tables, with what each is made from.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use tributary_actors::lake::snapshot::Snapshot;
use tributary_batch::models::Models;
use tributary_core::stream::Stream;

use super::tables::{Listed, SmallFiles, today};
use crate::words;

/// A table in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Entry {
    /// How much is in it.
    #[serde(flatten)]
    pub(crate) listed: Listed,
    /// Tables, or `topic NAME`; empty: nobody says.
    pub(crate) made_from: Vec<String>,
    /// Null: there is nothing to say of its files.
    pub(crate) small_files: Option<SmallFiles>,
    /// Why it is not kept up to date: its model is broken, or nothing makes it any more. Null: it is.
    pub(crate) problem: Option<String>,
}

impl Entry {
    pub(crate) fn all<'a>(
        tables: impl Iterator<Item = (&'a str, &'a Snapshot)>,
        models: Option<&Models>,
        streams: &[Arc<Stream>],
        target_file_bytes: u64,
    ) -> Vec<Self> {
        let today = today();
        let is_hidden = |name: &str| {
            let mut planned = models.iter().flat_map(|models| &models.planned);
            planned.any(|planned| planned.model.hidden && planned.model.table() == name)
        };
        let entry = |(name, table): (&'a str, &'a Snapshot)| Self {
            listed: Listed::new(name, table, is_hidden(name)),
            made_from: made_from(name, models, streams),
            small_files: SmallFiles::of(table.files().values(), target_file_bytes, today),
            problem: problem(name, table.version(), models, streams),
        };
        tables.map(entry).collect()
    }
}

impl SmallFiles {
    /// What it means and what to do.
    pub(crate) fn words(&self) -> String {
        let days = match self.days.len() {
            0 => String::new(),
            days => format!(" in {}", words::plural(days as u64, "closed day")),
        };
        format!(
            "{} far below batch.target_file_bytes{days}, {} together: maintenance makes few large ones of them (tributary run lakehouse_maintenance)",
            words::plural(self.files as u64, "file"),
            words::bytes(self.bytes),
        )
    }
}

/// Why a table is not kept up to date.
fn problem(table: &str, version: u64, models: Option<&Models>, streams: &[Arc<Stream>]) -> Option<String> {
    let broken = table.strip_prefix("gold.").and_then(|bare| models?.broken.get(bare));
    if let Some(broken) = broken {
        return Some(format!("its model is broken: {}", words::first_line(broken, 160)));
    }
    let who = if table.starts_with("gold.") { "no model makes" } else { "no stream declares" };
    nobody_makes(table, models, streams).then(|| format!("{who} it any more: it is as it was at version {version}"))
}

/// Whether nothing declares a table any more. Without the models nobody knows that of a gold table.
pub(crate) fn nobody_makes(table: &str, models: Option<&Models>, streams: &[Arc<Stream>]) -> bool {
    match table.split_once('.') {
        Some(("gold", bare)) => models.is_some_and(|models| {
            !models.broken.contains_key(bare) && !models.planned.iter().any(|planned| planned.model.name == bare)
        }),
        Some((_, bare)) => !streams.iter().any(|stream| stream.name == bare.strip_suffix("_conflicts").unwrap_or(bare)),
        None => false,
    }
}

/// What a table is made from.
pub(crate) fn made_from(table: &str, models: Option<&Models>, streams: &[Arc<Stream>]) -> Vec<String> {
    let stream = |bare: &str| streams.iter().find(|stream| stream.name == bare.strip_suffix("_conflicts").unwrap_or(bare));
    match table.split_once('.') {
        Some(("bronze", bare)) => stream(bare).map(|stream| format!("topic {}", stream.topic)).into_iter().collect(),
        Some(("silver", bare)) => stream(bare).map(|stream| stream.bronze_table()).into_iter().collect(),
        _ => {
            let planned = models.iter().flat_map(|models| &models.planned).find(|planned| planned.model.table() == table);
            planned.map(|planned| planned.sources.clone()).unwrap_or_default()
        }
    }
}

/// What is made from a table.
pub(crate) fn feeds(table: &str, models: Option<&Models>, streams: &[Arc<Stream>]) -> Vec<String> {
    let bare = table.strip_prefix("bronze.");
    let silver = streams.iter().filter(|stream| Some(stream.name.as_str()) == bare).map(|stream| stream.silver_table());
    let readers = models.iter().flat_map(|models| &models.planned);
    let readers = readers.filter(|planned| planned.sources.iter().any(|source| source == table));
    silver.chain(readers.map(|planned| planned.model.table())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_files_are_said_with_what_to_do() {
        let small = SmallFiles { files: 40, bytes: 40_960, days: vec!["2026-11-24".into()] };
        let words = small.words();
        assert!(
            words.starts_with("40 files far below") && words.contains("1 closed day") && words.contains("tributary run"),
            "{words}"
        );
    }

    #[test]
    fn a_table_that_nothing_makes_any_more_is_known() {
        let models = Models { broken: [("bad".to_owned(), "bad.sql, line 3: no\n |".to_owned())].into(), ..Models::default() };
        let streams = [Arc::new(Stream::builtin())];
        let of = |table| problem(table, 7, Some(&models), &streams);
        assert_eq!(of("gold.bad").as_deref(), Some("its model is broken: bad.sql, line 3: no…"));
        assert_eq!(of("gold.gone").as_deref(), Some("no model makes it any more: it is as it was at version 7"));
        assert!(of("silver.gone").is_some_and(|words| words.starts_with("no stream declares it any more")));
        assert!(of("silver.user_events_conflicts").is_none() && of("bronze.user_events").is_none());
        assert_eq!(problem("gold.gone", 7, None, &streams), None, "the models cannot be read");
    }

    #[test]
    fn a_table_that_nobody_declares_is_made_from_nothing_known() {
        assert!(made_from("bronze.x", None, &[]).is_empty() && made_from("gold.x", None, &[]).is_empty());
        assert!(feeds("bronze.x", None, &[]).is_empty());
    }
}
