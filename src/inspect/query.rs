//! Rows of the lake: tables pinned, a statement asked, and no more of the answer kept than somebody looks at.
//!
//! All tables of a query are pinned before it begins, those that are made from others first: what it sees does not change while it runs,
//! and no table has what its source has not. A question that takes too long, or is no longer waited for, stops its work: the engine's
//! tasks end with the answer that is dropped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use arrow_schema::DataType;
use futures::StreamExt;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use tributary_actors::lake::snapshot::Snapshot;
use tributary_batch::{Local, Stored};
use tributary_core::table::{Pinned, TableFile};

use super::catalog::{Catalog, LAYERS, no_table};
use super::cells::{self, Texts};
use super::columns::kind;
use crate::words;

/// How much of an answer is kept, and how long it may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Rows at most.
    pub(crate) rows: usize,
    /// Bytes of all cells as text at most.
    pub(crate) bytes: usize,
    /// Until its last row.
    pub(crate) time: Duration,
}

/// It took too long and was stopped.
#[derive(Debug, thiserror::Error)]
#[error("this did not end within {} and was stopped; ask for fewer days or columns, or use the command line, which has more time", words::duration(*.0))]
pub(crate) struct Late(pub(crate) Duration);

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Head {
    /// Its name.
    pub(crate) name: String,
    /// Its type as SQL calls it.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(skip)]
    data_type: DataType,
}

impl Head {
    /// Whether it is read from the right.
    pub(crate) fn is_number(&self) -> bool {
        self.data_type.is_numeric()
    }
}

/// Why there is more than what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cut {
    /// There are more rows.
    Rows,
    /// There are more bytes.
    Bytes,
}

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rows {
    pub(crate) columns: Vec<Head>,
    pub(crate) rows: Vec<Texts>,
    pub(crate) cut: Option<Cut>,
    pub(crate) took: Duration,
    pub(crate) versions: BTreeMap<String, u64>,
}

/// The same for programs.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Answered {
    /// Of each row, in this order.
    columns: Vec<Head>,
    /// Numbers and truths as such, everything else as text; decimals of more than 15 digits are text.
    rows: Vec<Vec<Value>>,
    /// Null: these are all rows.
    cut: Option<Cut>,
    /// How long it took.
    took_ms: u64,
    /// The version of each table that was read.
    versions: BTreeMap<String, u64>,
}

impl From<Rows> for Answered {
    fn from(rows: Rows) -> Self {
        let value = |(head, cell): (&Head, &Option<String>)| cells::value(&head.data_type, cell.as_deref());
        Self {
            rows: rows.rows.iter().map(|row| rows.columns.iter().zip(row).map(value).collect()).collect(),
            columns: rows.columns,
            cut: rows.cut,
            took_ms: u64::try_from(rows.took.as_millis()).unwrap_or(u64::MAX),
            versions: rows.versions,
        }
    }
}

/// Asks, and keeps what the bounds allow.
pub(crate) async fn ask(engine: &Local, sql: &str, pinned: Vec<Stored>, bounds: Bounds) -> Result<Rows> {
    let begin = Instant::now();
    let versions = pinned.iter().map(|stored| (stored.table.name.clone(), stored.table.version)).collect();
    let answered = async {
        let answer = engine.query(sql, pinned).await?;
        let fields = answer.schema.fields().iter();
        let columns = fields.map(|field| Head {
            name: field.name().clone(),
            kind: kind(field.data_type()),
            data_type: field.data_type().clone(),
        });
        let mut kept = Kept { rows: Vec::new(), bytes: 0, cut: None, bounds };
        let columns = columns.collect();
        let mut batches = answer.rows;
        while kept.cut.is_none()
            && let Some(batch) = batches.next().await
        {
            cells::each(&batch?, |row| kept.take(row))?;
        }
        anyhow::Ok((columns, kept))
    };
    // What is dropped at the end of the time stops its tasks.
    let (columns, kept) = tokio::time::timeout(bounds.time, answered).await.map_err(|_| Late(bounds.time))??;
    Ok(Rows { columns, rows: kept.rows, cut: kept.cut, took: begin.elapsed(), versions })
}

struct Kept {
    rows: Vec<Texts>,
    bytes: usize,
    cut: Option<Cut>,
    bounds: Bounds,
}

impl Kept {
    /// Takes a row, or says why not; false: it has enough.
    fn take(&mut self, row: Texts) -> bool {
        let bytes = self.bytes + row.iter().flatten().map(String::len).sum::<usize>();
        self.cut = match () {
            () if self.rows.len() >= self.bounds.rows => Some(Cut::Rows),
            () if bytes > self.bounds.bytes => Some(Cut::Bytes),
            () => None,
        };
        if self.cut.is_none() {
            self.bytes = bytes;
            self.rows.push(row);
        }
        self.cut.is_none()
    }
}

/// A table that `at` has a version for and the statement does not name.
pub(crate) fn not_named<'a>(named: &[String], at: &'a [(String, u64)]) -> Option<&'a str> {
    at.iter().map(|(table, _)| table.as_str()).find(|table| !named.iter().any(|name| name == table))
}

/// The named tables, each at one version. Without a name (SHOW TABLES, DESCRIBE) all of them.
pub(crate) async fn pin(catalog: &Catalog, named: &[String], at: &[(String, u64)]) -> Result<Vec<Stored>> {
    if named.is_empty() {
        return Ok(catalog.all().await?.iter().map(|(name, snapshot)| stored(name, snapshot)).collect());
    }
    let mut pinned = Vec::new();
    // Gold before silver before bronze.
    let layer = |name: &String| LAYERS.iter().position(|layer| name.starts_with(layer));
    let mut named = named.to_vec();
    named.sort_by_key(|name| std::cmp::Reverse(layer(name)));
    // What a person writes between quotes becomes part of a path: only what the lake lists is opened.
    let names = catalog.names().await?;
    if let Some(name) = named.iter().find(|name| !names.contains(name)) {
        return Err(no_table(name, &names).into());
    }
    for name in &named {
        let version = at.iter().find(|(table, _)| table == name).map(|(_, version)| *version);
        pinned.push(stored(name, &catalog.open(name, version).await?));
    }
    Ok(pinned)
}

/// A table for the engine.
pub(crate) fn stored(name: &str, snapshot: &Snapshot) -> Stored {
    Stored { table: Arc::new(snapshot.pinned(name)), store: snapshot.store().object_store(None) }
}

/// The newest rows of a table, and of its files no more than hold so many: a look at a big table is as quick as at a small one.
pub(crate) fn newest(table: &Stored, limit: usize) -> (String, Stored) {
    let name = &table.table.name;
    if !table.table.by_date {
        return (format!("SELECT * FROM {name} LIMIT {limit}"), table.clone());
    }
    let mut files: Vec<&TableFile> = table.table.files.iter().collect();
    files.sort_by_key(|file| (file.date, file.modified_ms));
    let (mut from, mut rows) = (files.len(), 0);
    while from > 0 && rows < limit as u64 {
        from -= 1;
        rows += files.get(from).and_then(|file| file.rows).unwrap_or(0);
    }
    let files = files.into_iter().skip(from).cloned().collect();
    let pinned = Pinned { files, ..table.table.as_ref().clone() };
    (format!("SELECT * FROM {name} ORDER BY event_date DESC LIMIT {limit}"), Stored { table: Arc::new(pinned), ..table.clone() })
}

#[cfg(test)]
mod tests {
    use arrow_schema::Schema;
    use object_store::memory::InMemory;

    use super::*;

    #[test]
    fn no_more_is_kept_than_the_bounds_allow() {
        let bounds = Bounds { rows: 2, bytes: 10, time: Duration::from_secs(1) };
        let mut kept = Kept { rows: Vec::new(), bytes: 0, cut: None, bounds };
        let row = |text: &str| vec![Some(text.to_owned()), None];
        assert!(kept.take(row("12345")) && kept.take(row("12345")));
        assert!(!kept.take(row("")));
        assert_eq!((kept.rows.len(), kept.cut), (2, Some(Cut::Rows)));
        let mut kept = Kept { rows: Vec::new(), bytes: 0, cut: None, bounds };
        assert!(kept.take(row("123456")) && !kept.take(row("123456")));
        assert_eq!((kept.rows.len(), kept.cut), (1, Some(Cut::Bytes)));
    }

    #[test]
    fn a_version_is_asked_for_where_its_table_is() {
        let at = [("gold.a".to_owned(), 1), ("gold.b".to_owned(), 2)];
        assert_eq!(not_named(&["gold.a".to_owned()], &at), Some("gold.b"));
        assert_eq!(not_named(&["gold.b".to_owned(), "gold.a".to_owned()], &at), None);
    }

    #[test]
    fn a_look_at_a_big_table_opens_its_newest_files_alone() {
        let file = |path: &str, date, modified_ms| TableFile {
            path: path.to_owned(),
            size: 1,
            rows: Some(15),
            date: Some(date),
            stats: None,
            tags: BTreeMap::new(),
            modified_ms,
        };
        let files = vec![file("newest", 9, 2), file("late", 7, 9), file("old", 8, 1), file("new", 9, 1)];
        let schema = Arc::new(Schema::empty());
        let table = Pinned { name: "silver.a".into(), id: String::new(), version: 1, schema, by_date: true, files };
        let stored = Stored { table: Arc::new(table), store: Arc::new(InMemory::new()) };
        let of = |limit| newest(&stored, limit).1.table.files.iter().map(|file| file.path.clone()).collect::<Vec<_>>();
        assert_eq!(of(15), ["newest"]);
        assert_eq!(of(20), ["new", "newest"]);
        assert_eq!(of(31), ["old", "new", "newest"]);
        assert_eq!(of(1_000).len(), 4);
    }
}
