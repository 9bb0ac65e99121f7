//! Silver over real files: a small lake whose log is a list.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{
    Array, ArrayRef, Date32Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array,
};
use arrow_schema::{Field, Schema};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use tributary_core::batch::{RESERVED_COLUMNS, Status};
use tributary_core::stream::{Kind, Stream};
use tributary_core::table::{NewFile, Pinned, TableFile};

use super::*;
use crate::source::SourceFile;
use crate::writer::TableWriter;

mod edges;
mod laws;
mod model;

pub(super) const DAY: i64 = 86_400_000_000;
/// A day of 2026.
pub(super) const TODAY: i64 = 20_780;

/// A row of bronze. Times are microseconds since 1970.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) at: i64,
    pub(super) incarnation: i32,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) status: Status,
    pub(super) page: Option<String>,
}

/// A valid row of today, that many seconds after midnight.
pub(super) fn row(id: &str, second: i64, partition: i32, offset: i64) -> Row {
    let at = TODAY * DAY + second * 1_000_000;
    Row { id: id.to_owned(), at, incarnation: 1, partition, offset, status: Status::Ok, page: Some("/home".to_owned()) }
}

pub(super) fn range(partition: i32, from: i64, to: i64) -> OffsetRange {
    OffsetRange { incarnation: 1, partition, from, to }
}

pub(super) struct Lake {
    _folder: tempfile::TempDir,
    pub(super) stream: Arc<Stream>,
    pub(super) options: SilverOptions,
    pub(super) bronze: Stored,
    pub(super) silver: Stored,
    pub(super) conflicts: Stored,
    commits: i64,
}

impl Lake {
    pub(super) fn new() -> Self {
        Self::of(Stream::builtin())
    }

    pub(super) fn of(stream: Stream) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (silver, conflicts) = silver_schemas(&stream);
        let table = |name: &str, schema: SchemaRef| {
            let root = folder.path().join(name);
            std::fs::create_dir(&root).unwrap();
            let table = Pinned { name: name.to_owned(), id: name.to_owned(), version: 0, schema, by_date: true, files: vec![] };
            Stored { table: Arc::new(table), store: Arc::new(LocalFileSystem::new_with_prefix(root).unwrap()) }
        };
        Self {
            bronze: table("bronze", bronze_file_schema(&stream)),
            silver: table("silver", silver),
            conflicts: table("conflicts", conflicts),
            stream: Arc::new(stream),
            options: SilverOptions { threads: 2, ..SilverOptions::default() },
            commits: 0,
            _folder: folder,
        }
    }

    /// Commits rows to bronze, one file per day.
    pub(super) async fn ingest(&mut self, rows: &[Row]) {
        let schema = Arc::clone(&self.bronze.table.schema);
        self.ingest_with(rows, &schema).await;
    }

    /// The same, with these columns alone: an older file.
    pub(super) async fn ingest_with(&mut self, rows: &[Row], schema: &SchemaRef) {
        let mut writer = TableWriter::new(Arc::clone(&self.bronze.store), Arc::clone(schema), true, Default::default());
        writer.write(&self.batch(rows)).await.unwrap();
        self.commits += 1;
        add(&mut self.bronze, writer.finish().await.unwrap(), self.commits);
    }

    fn batch(&self, rows: &[Row]) -> RecordBatch {
        let at = || TimestampMicrosecondArray::from_iter_values(rows.iter().map(|r| r.at)).with_timezone("UTC");
        let text = |text: fn(&Row) -> Option<&str>| Arc::new(StringArray::from_iter(rows.iter().map(text))) as ArrayRef;
        let mut columns: Vec<ArrayRef> = Vec::new();
        for (n, field) in self.stream.fields.iter().enumerate() {
            columns.push(match field.kind {
                Kind::Integer if n == self.stream.id => {
                    Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.id.parse::<i64>().unwrap())))
                }
                _ if n == self.stream.id => text(|r| Some(r.id.as_str())),
                Kind::Timestamp => Arc::new(at()),
                Kind::Text if field.name == "page" => text(|r| r.page.as_deref()),
                Kind::Text => text(|_| Some("web")),
                Kind::Integer => Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.offset))),
                kind => panic!("no column of kind {kind:?}"),
            });
        }
        columns.push(Arc::new(at()));
        columns.push(Arc::new(Date32Array::from_iter_values(rows.iter().map(|r| r.at.div_euclid(DAY) as i32))));
        columns.push(Arc::new(Int32Array::from_iter_values(rows.iter().map(|r| r.partition))));
        columns.push(Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.offset))));
        columns.push(Arc::new(Int32Array::from_iter_values(rows.iter().map(|r| r.incarnation))));
        columns.push(text(|r| Some(r.status.as_str())));
        let names = |n: usize| self.bronze.table.schema.field(n).name().clone();
        for n in columns.len()..self.bronze.table.schema.fields().len() {
            columns.push(new_null_array(self.bronze.table.schema.field(n).data_type(), rows.len()));
        }
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().enumerate().map(|(n, c)| (names(n), c, true))).unwrap()
    }

    pub(super) fn input(&self, ranges: &[OffsetRange]) -> SilverInput {
        SilverInput {
            stream: Arc::clone(&self.stream),
            bronze: self.bronze.clone(),
            ranges: ranges.to_vec(),
            silver: self.silver.clone(),
            conflicts: self.conflicts.clone(),
        }
    }

    /// Makes silver of these offsets and commits what comes out.
    pub(super) async fn run(&mut self, ranges: &[OffsetRange]) -> SilverOutput {
        let made = silver(self.input(ranges), self.options).await.unwrap();
        assert_eq!(made.rows_read, made.rows_kept + made.duplicates + made.rejected, "every row read is accounted for");
        assert_eq!(made.rows_kept, made.files.iter().map(|f| f.rows).sum::<u64>());
        self.commits += 1;
        add(&mut self.silver, made.files.clone(), self.commits);
        add(&mut self.conflicts, made.conflicts.clone(), self.commits);
        made
    }

    /// Silver's (id, time, partition, offset), sorted.
    pub(super) async fn silver_rows(&self) -> Vec<(String, i64, i32, i64)> {
        let mut rows = Vec::new();
        for batch in read(&self.silver).await {
            let (ids, times) = (texts(&batch, &id_column(&self.stream)), times(&batch, &self.time_column()));
            let partitions =
                batch.column_by_name("kafka_partition").unwrap().as_primitive::<arrow_array::types::Int32Type>().clone();
            let offsets = batch.column_by_name("kafka_offset").unwrap().as_primitive::<Int64Type>().clone();
            for (n, id) in ids.into_iter().enumerate() {
                rows.push((id.unwrap(), times[n], partitions.value(n), offsets.value(n)));
            }
        }
        rows.sort();
        rows
    }

    /// Conflicts' (id, time, other time), sorted.
    pub(super) async fn conflict_rows(&self) -> Vec<(String, i64, i64)> {
        let mut rows = Vec::new();
        for batch in read(&self.conflicts).await {
            let (ids, at) = (texts(&batch, &id_column(&self.stream)), times(&batch, &self.time_column()));
            let other = times(&batch, OTHER_TIMESTAMP);
            rows.extend(ids.into_iter().enumerate().map(|(n, id)| (id.unwrap(), at[n], other[n])));
        }
        rows.sort();
        rows
    }

    fn time_column(&self) -> String {
        self.stream.fields[self.stream.event_time].column.clone()
    }
}

fn id_column(stream: &Stream) -> String {
    stream.fields[stream.id].column.clone()
}

/// Bronze's columns as they lie in files.
pub(super) fn bronze_file_schema(stream: &Stream) -> SchemaRef {
    let (silver, _) = silver_schemas(stream);
    let mut fields = silver.fields().to_vec();
    let extra = fields.pop().unwrap();
    for name in ["status", "error"] {
        fields.push(Arc::new(Field::new(name, DataType::Utf8, true)));
    }
    fields.push(Arc::new(Field::new("raw", DataType::Binary, true)));
    fields.push(extra);
    assert_eq!(fields[stream.fields.len()..].iter().map(|f| f.name().as_str()).collect::<Vec<_>>(), RESERVED_COLUMNS);
    Arc::new(Schema::new(fields))
}

pub(super) fn add(table: &mut Stored, files: Vec<NewFile>, commit: i64) {
    let pinned = Arc::make_mut(&mut table.table);
    pinned.version += 1;
    pinned.files.extend(files.into_iter().map(|f| TableFile {
        path: f.path,
        size: f.size,
        rows: Some(f.rows),
        date: f.date,
        stats: Some(f.stats),
        tags: BTreeMap::new(),
        modified_ms: commit,
    }));
}

pub(super) async fn read(table: &Stored) -> Vec<RecordBatch> {
    let store: Arc<dyn ObjectStore> = Arc::clone(&table.store);
    let columns: Vec<&str> = table.table.schema.fields().iter().map(|f| f.name().as_str()).collect();
    let mut batches = Vec::new();
    for file in &table.table.files {
        let source = SourceFile::open(&store, file, &BTreeSet::new()).await.unwrap();
        for group in 0..source.row_groups().len() {
            batches.extend(source.fetch(group, &columns).await.unwrap().batches().unwrap().map(Result::unwrap));
        }
    }
    batches
}

/// A column as text, whole numbers too.
pub(super) fn texts(batch: &RecordBatch, column: &str) -> Vec<Option<String>> {
    let column = arrow_cast::cast(batch.column_by_name(column).unwrap(), &DataType::Utf8).unwrap();
    column.as_string::<i32>().iter().map(|t| t.map(str::to_owned)).collect()
}

fn times(batch: &RecordBatch, column: &str) -> Vec<i64> {
    let column = batch.column_by_name(column).unwrap().as_primitive::<TimestampMicrosecondType>();
    assert_eq!(column.null_count(), 0);
    column.values().to_vec()
}
