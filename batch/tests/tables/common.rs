//! A lake in a temporary folder: real Parquet files in a real file system, pinned as a log would pin them.
#![allow(unreachable_pub)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::{ArrayRef, Date32Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_schema::SchemaRef;
use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use tempfile::TempDir;
use tributary_batch::query::text::row_text;
use tributary_batch::silver::silver_schemas;
use tributary_batch::writer::{TableWriter, WriterOptions};
use tributary_batch::{Limits, Local, Result, Stored};
use tributary_core::model::Planned;
use tributary_core::stream::Stream;
use tributary_core::table::{NewFile, Pinned, TableFile};

pub const DAY: i64 = 86_400_000_000;

/// An event: user, type, page, microseconds since 1970, source.
pub type Event<'a> = (i64, &'a str, Option<&'a str>, i64, &'a str);

pub struct Lake {
    pub dir: TempDir,
    pub engine: Local,
}

impl Lake {
    pub fn new() -> Self {
        Self::with_memory(64 << 20)
    }

    pub fn with_memory(memory: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let limits = Limits { memory, spill_dir: dir.path().join("spill"), threads: 2, ..Limits::default() };
        Self { engine: Local::new(limits).unwrap(), dir }
    }

    pub fn path(&self, table: &str) -> PathBuf {
        self.dir.path().join(table.replace('.', "/"))
    }

    pub fn store(&self, table: &str) -> Arc<dyn ObjectStore> {
        std::fs::create_dir_all(self.path(table)).unwrap();
        Arc::new(LocalFileSystem::new_with_prefix(self.path(table)).unwrap())
    }

    /// A table of these rows, a file per batch and day.
    pub async fn table(&self, name: &str, schema: &SchemaRef, by_date: bool, batches: &[RecordBatch]) -> Stored {
        let store = self.store(name);
        let mut files = Vec::new();
        for batch in batches {
            let mut writer = TableWriter::new(Arc::clone(&store), Arc::clone(schema), by_date, WriterOptions::default());
            writer.write(batch).await.unwrap();
            files.extend(writer.finish().await.unwrap());
        }
        pinned(name, schema, by_date, store, files)
    }

    pub fn empty(&self, name: &str, schema: &SchemaRef, by_date: bool) -> Stored {
        pinned(name, schema, by_date, self.store(name), Vec::new())
    }

    /// `silver.user_events` with these events, a file per slice and day.
    pub async fn silver(&self, slices: &[&[Event<'_>]]) -> Stored {
        let batches: Vec<RecordBatch> = slices.iter().map(|events| silver_batch(events)).collect();
        self.table("silver.user_events", &silver_schema(), true, &batches).await
    }

    /// Builds a model and pins what it gave.
    pub async fn build(&self, model: &Planned, sources: &[Stored]) -> Result<Stored> {
        let wanted = sources.iter().filter(|s| model.sources.contains(&s.table.name)).cloned().collect();
        let name = model.model.table();
        let store = self.store(&name);
        let built = self.engine.build(model, wanted, Arc::clone(&store)).await?;
        let by_date = model.model.materialize == tributary_core::model::Materialize::ByDay;
        Ok(pinned(&name, &model.schema, by_date, store, built.files))
    }

    /// All rows of a statement as text, in order.
    pub async fn rows(&self, sql: &str, tables: &[Stored]) -> Result<Vec<String>> {
        let answer = self.engine.query(sql, tables.to_vec()).await?;
        let batches: Vec<RecordBatch> = answer.rows.try_collect().await?;
        let mut rows = Vec::new();
        for batch in &batches {
            for row in 0..batch.num_rows() {
                rows.push(row_text(batch, row)?);
            }
        }
        Ok(rows)
    }

    /// Removes the files of a table that `gone` says of, and leaves them in its list.
    pub fn lose(&self, table: &Stored, gone: impl Fn(&TableFile) -> bool) {
        for file in table.table.files.iter().filter(|f| gone(f)) {
            std::fs::remove_file(self.path(&table.table.name).join(&file.path)).unwrap();
        }
    }
}

pub fn silver_schema() -> SchemaRef {
    silver_schemas(&Stream::builtin()).0
}

pub fn pinned(name: &str, schema: &SchemaRef, by_date: bool, store: Arc<dyn ObjectStore>, files: Vec<NewFile>) -> Stored {
    let files = files.into_iter().map(|f| TableFile {
        path: f.path,
        size: f.size,
        rows: Some(f.rows),
        date: f.date,
        stats: Some(f.stats),
        tags: BTreeMap::new(),
        modified_ms: 0,
    });
    let table = Pinned {
        name: name.to_owned(),
        id: name.to_owned(),
        version: 1,
        schema: Arc::clone(schema),
        by_date,
        files: files.collect(),
    };
    Stored { table: Arc::new(table), store }
}

/// The same table with changed files.
pub fn with_files(stored: &Stored, change: impl FnMut(&mut TableFile)) -> Stored {
    let mut table = (*stored.table).clone();
    table.files.iter_mut().for_each(change);
    Stored { table: Arc::new(table), store: Arc::clone(&stored.store) }
}

pub fn silver_batch(events: &[Event<'_>]) -> RecordBatch {
    let n = events.len();
    let times = || events.iter().map(|e| e.3);
    let utc = |values: Vec<i64>| Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC")) as ArrayRef;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(events.iter().map(|e| format!("{}-{}-{}", e.0, e.3, e.1)))),
        Arc::new(Int64Array::from_iter_values(events.iter().map(|e| e.0))),
        Arc::new(StringArray::from_iter_values(events.iter().map(|e| e.1))),
        Arc::new(StringArray::from_iter(events.iter().map(|e| e.2))),
        utc(times().collect()),
        Arc::new(StringArray::from_iter_values(events.iter().map(|e| e.4))),
        utc(times().map(|t| t + 1_000).collect()),
        Arc::new(Date32Array::from_iter_values(times().map(|t| i32::try_from(t.div_euclid(DAY)).unwrap()))),
        Arc::new(Int32Array::from_iter_values((0..n).map(|_| 0))),
        Arc::new(Int64Array::from_iter_values(0..i64::try_from(n).unwrap())),
        Arc::new(Int32Array::from_iter_values((0..n).map(|_| 1))),
        Arc::new(StringArray::new_null(n)),
    ];
    RecordBatch::try_new(silver_schema(), columns).unwrap()
}

/// The models of these files over the stream that is compiled in.
pub async fn plan(engine: &Local, files: &[(&str, &str)]) -> tributary_batch::models::Models {
    let files: Vec<(String, String)> = files.iter().map(|(f, t)| ((*f).to_owned(), (*t).to_owned())).collect();
    engine.plan_models(&files, &[Arc::new(Stream::builtin())]).await.unwrap()
}
