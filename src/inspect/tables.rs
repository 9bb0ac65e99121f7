//! Tables of the lake as people see them: how much is in them, what their columns mean, what happened to them.
//!
//! Everything is said by logs, models and declarations; no data file is opened.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use tributary_actors::lake::history::Event;
use tributary_actors::lake::snapshot::Snapshot;
use tributary_batch::models::read_folder;
use tributary_core::model::{Materialize, Model};
use tributary_core::settings::Settings;
use tributary_core::stream::Stream;
use tributary_core::table::{TableFile, date_text};

use super::columns::{Column, columns};
use crate::words;

/// Files far below the target: less than this part of it.
const SMALL: u64 = 4;
/// So many of them in one day are worth a word.
const MANY: usize = 8;

/// A table, as its newest version has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Listed {
    /// `gold.kpi_dau`.
    pub(crate) table: String,
    /// The newest one.
    pub(crate) version: u64,
    /// When that was, as its writer says.
    pub(crate) last_commit: Option<String>,
    /// As far as statistics say.
    pub(crate) rows: u64,
    /// Live ones.
    pub(crate) files: usize,
    /// Of the live files.
    pub(crate) bytes: u64,
    /// Null: it has no days.
    pub(crate) first_day: Option<String>,
    /// Null: it has no days.
    pub(crate) last_day: Option<String>,
    /// Days that have files.
    pub(crate) days: usize,
    /// It only serves other models.
    pub(crate) hidden: bool,
}

impl Listed {
    pub(crate) fn new(name: &str, table: &Snapshot, hidden: bool) -> Self {
        let files = || table.files().values();
        let mut days: Vec<i32> = files().filter_map(|file| file.date).collect();
        days.sort_unstable();
        days.dedup();
        Self {
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

    /// When it was last committed to.
    pub(crate) fn committed(&self) -> Option<DateTime<Utc>> {
        let time = DateTime::parse_from_rfc3339(self.last_commit.as_deref()?).ok()?;
        Some(time.to_utc())
    }

    /// `2026-11-01 to 2026-11-25 (25)`.
    pub(crate) fn span(&self) -> String {
        match (&self.first_day, &self.last_day) {
            (Some(first), Some(last)) if first == last => first.clone(),
            (Some(first), Some(last)) => format!("{first} to {last} ({})", self.days),
            _ => words::NOTHING.into(),
        }
    }
}

/// Many small files in days that nothing comes to any more: compaction would make few of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct SmallFiles {
    /// Small ones in such days.
    pub(crate) files: usize,
    /// Their bytes together.
    pub(crate) bytes: u64,
    /// Days with many of them.
    pub(crate) days: Vec<String>,
}

impl SmallFiles {
    /// Those of closed days: today's are still written to. Without days, all files of the table count as one.
    pub(crate) fn of<'a>(files: impl IntoIterator<Item = &'a TableFile>, target: u64, today: i32) -> Option<Self> {
        let mut by_day: BTreeMap<Option<i32>, (usize, u64)> = BTreeMap::new();
        for file in files.into_iter().filter(|file| file.size < target / SMALL && file.date.is_none_or(|day| day < today)) {
            let (files, bytes) = by_day.entry(file.date).or_default();
            *files += 1;
            *bytes += file.size;
        }
        by_day.retain(|_, (files, _)| *files >= MANY);
        (!by_day.is_empty()).then(|| Self {
            files: by_day.values().map(|(files, _)| files).sum(),
            bytes: by_day.values().map(|(_, bytes)| bytes).sum(),
            days: by_day.keys().filter_map(|day| day.map(date_text)).collect(),
        })
    }
}

/// Today, as tables count days.
pub(crate) fn today() -> i32 {
    i32::try_from(Utc::now().timestamp().div_euclid(86_400)).unwrap_or(i32::MAX)
}

/// The model that makes a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct MadeBy {
    /// Its file.
    pub(crate) file: String,
    /// How it is kept up to date.
    pub(crate) how: String,
    /// Columns that name a row.
    pub(crate) key: Vec<String>,
    /// The same as a table of PostgreSQL.
    pub(crate) published: Option<String>,
}

/// The stream whose records are in a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct OfStream {
    /// Its name.
    pub(crate) stream: String,
    /// Where its records come from.
    pub(crate) topic: String,
}

/// One table on one screen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Described {
    /// How much is in it.
    #[serde(flatten)]
    pub(crate) listed: Listed,
    /// What it is.
    pub(crate) description: Option<String>,
    /// Where it is.
    pub(crate) place: String,
    /// Its own id, from its log.
    pub(crate) id: String,
    /// Columns by which its files are apart.
    pub(crate) partitioned_by: Vec<String>,
    /// Null: no model makes it.
    pub(crate) model: Option<MadeBy>,
    /// Null: no stream's records are in it.
    pub(crate) stream: Option<OfStream>,
    /// As its log has them.
    pub(crate) properties: BTreeMap<String, String>,
    /// All columns in the table's order.
    pub(crate) columns: Vec<Column>,
    /// Null: there is nothing to say of its files.
    pub(crate) small_files: Option<SmallFiles>,
}

impl Described {
    /// By its log, with what the model that makes it and the declared streams say.
    pub(crate) fn new(name: &str, place: String, table: &Snapshot, about: &About<'_>) -> Self {
        let model = about.models.iter().find(|model| model.table() == name);
        let stream = about.streams.iter().find(|stream| is_of(name, &stream.name)).map(AsRef::as_ref);
        let described = model.map(|model| model.description.clone()).filter(|words| !words.is_empty());
        let properties = table.metadata().configuration().iter();
        Self {
            listed: Listed::new(name, table, model.is_some_and(|model| model.hidden)),
            description: described.or_else(|| table.metadata().description().map(str::to_owned)),
            place,
            id: table.id().to_owned(),
            partitioned_by: table.partition_columns().to_vec(),
            model: model.map(|model| MadeBy {
                file: model.file.clone(),
                how: match model.materialize {
                    Materialize::ByDay => "by day: the days that changed are made anew".to_owned(),
                    Materialize::Rollup => "whole, from other models".to_owned(),
                },
                key: model.key.clone(),
                published: model.publish.as_ref().map(|table| format!("gold.{table}")),
            }),
            stream: stream.map(|stream| OfStream { stream: stream.name.clone(), topic: stream.topic.clone() }),
            properties: properties.map(|(key, value)| (key.clone(), value.clone())).collect(),
            columns: columns(table.schema(), model, stream),
            small_files: SmallFiles::of(table.files().values(), about.target_file_bytes, today()),
        }
    }
}

/// What is known of tables beside their logs.
pub(crate) struct About<'a> {
    /// As their files say.
    pub(crate) models: &'a [Model],
    /// The declared streams.
    pub(crate) streams: &'a [std::sync::Arc<Stream>],
    /// Compaction makes files of about this size.
    pub(crate) target_file_bytes: u64,
}

/// The models as their files say, as far as they can be read: for lists, where planning would be too much.
pub(crate) fn front_matter(settings: &Settings) -> Vec<Model> {
    let files = read_folder(settings.batch.models_dir.as_ref()).unwrap_or_default();
    files.iter().filter_map(|(file, text)| Model::parse(text, file).ok()).collect()
}

/// Whether a table is one of the stream's: bronze, silver, or the conflicts.
fn is_of(table: &str, stream: &str) -> bool {
    let bare = table.split_once('.').filter(|(layer, _)| *layer != "gold").map_or("", |(_, bare)| bare);
    bare.strip_suffix("_conflicts").unwrap_or(bare) == stream
}

/// What one version did to a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Version {
    /// Its number.
    pub(crate) version: u64,
    /// When that was, as its writer says.
    pub(crate) committed_at: Option<String>,
    /// What was done.
    pub(crate) operation: Option<String>,
    /// With which parameters.
    pub(crate) parameters: BTreeMap<String, String>,
    /// Which program did it.
    pub(crate) engine: Option<String>,
    /// Rows of the files that came, as far as statistics say.
    pub(crate) rows_added: u64,
    /// Files that came.
    pub(crate) files_added: u64,
    /// Their bytes.
    pub(crate) bytes_added: u64,
    /// Files that went.
    pub(crate) files_removed: u64,
    /// Their bytes, as far as the log says.
    pub(crate) bytes_removed: u64,
    /// Whether rows came or went: a rewrite of the same rows changes none.
    pub(crate) changed_rows: bool,
    /// Whether columns, partitioning or configuration changed.
    pub(crate) redefined: bool,
    /// The application transactions that it moved.
    pub(crate) txns: BTreeMap<String, i64>,
}

impl From<Event> for Version {
    fn from(event: Event) -> Self {
        Self {
            version: event.version,
            committed_at: words::from_millis(event.committed_ms).map(words::rfc3339),
            operation: event.operation,
            parameters: event.parameters,
            engine: event.engine,
            rows_added: event.rows_added,
            files_added: event.files_added,
            bytes_added: event.bytes_added,
            files_removed: event.files_removed,
            bytes_removed: event.bytes_removed,
            changed_rows: event.changed_rows,
            redefined: event.redefined,
            txns: event.txns,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_streams_tables_are_known_by_their_names() {
        assert!(is_of("bronze.orders", "orders") && is_of("silver.orders_conflicts", "orders"));
        assert!(!is_of("gold.orders", "orders") && !is_of("bronze.orders2", "orders"));
    }

    fn files(count: usize, size: u64, date: Option<i32>) -> Vec<TableFile> {
        let file = |n| TableFile {
            path: format!("{n}.parquet"),
            size,
            rows: Some(1),
            date,
            stats: None,
            tags: BTreeMap::new(),
            modified_ms: 0,
        };
        (0..count).map(file).collect()
    }

    #[test]
    fn small_files_of_closed_days_are_worth_a_word_and_todays_are_not() {
        let of = |files: &[TableFile]| SmallFiles::of(files, 128 << 20, 20_000);
        assert_eq!(of(&files(100, 1_000, Some(20_000))), None, "today's");
        assert_eq!(of(&files(MANY - 1, 1_000, Some(19_999))), None, "few");
        assert_eq!(of(&files(100, 100 << 20, Some(19_999))), None, "large");
        let found = of(&files(100, 1_000, Some(19_999))).unwrap();
        assert_eq!((found.files, found.bytes, found.days.len()), (100, 100_000, 1));
    }
}
