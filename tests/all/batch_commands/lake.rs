//! A small lake: real Delta tables with real Parquet files, put as the program puts them, row by row known to the test.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray, new_null_array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use tokio::runtime::Runtime;
use tributary_actors::lake::delta_log::{Commit, DeltaLog, Kind, Move};
use tributary_actors::lake::snapshot::Snapshot;
use tributary_actors::lake::table::{Retention, ensure, ensure_table};
use tributary_actors::lake::{self, files};
use tributary_core::stream::Stream;
use tributary_core::table::{NewFile, date_text, parse_date};

/// A lake in a data folder.
pub(crate) struct Lake {
    pub(crate) folder: tempfile::TempDir,
    runtime: Runtime,
}

impl Lake {
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Self { folder: tempfile::tempdir().unwrap(), runtime }
    }

    /// The working directory of the commands.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn path(&self) -> PathBuf {
        self.folder().join("data/lakehouse")
    }

    /// Bronze rows of partition 0 with these offsets, all of one day; returns the version.
    pub(crate) fn bronze(&self, day: &str, from: i64, to: i64) -> u64 {
        let stream = Stream::builtin();
        let lake = lake::lake_url(&self.path().display().to_string()).unwrap();
        let store = lake::table(&lake, "bronze.user_events", []).unwrap();
        let schema = self.runtime.block_on(async {
            ensure(&store, &stream).await.unwrap();
            Snapshot::open(&store).await.unwrap().schema().clone()
        });
        let rows = usize::try_from(to - from).unwrap();
        let columns = schema.fields().iter().map(|field| -> ArrayRef {
            match field.name().as_str() {
                "kafka_offset" => Arc::new(Int64Array::from_iter_values(from..to)),
                "status" => Arc::new(StringArray::from(vec!["ok"; rows])),
                _ => new_null_array(field.data_type(), rows),
            }
        });
        let batch = RecordBatch::try_new(schema.clone(), columns.collect()).unwrap();
        let tags = BTreeMap::from([("tributary.spans".to_owned(), format!("0:{from}-{to}:{rows}"))]);
        let moved = Move { app: "ingest/user-events#1/0".into(), expected: (from > 0).then_some(from), next: to };
        self.put("bronze.user_events", Some(day), &batch, tags, vec![moved])
    }

    /// `gold.kpi_dau` with one row per day and user count; returns the version.
    pub(crate) fn dau(&self, rows: &[(&str, i64)]) -> u64 {
        let mut version = 0;
        for (day, users) in rows {
            let schema: SchemaRef = Schema::new(vec![
                Field::new("event_date", DataType::Date32, true),
                Field::new("dau_count", DataType::Int64, true),
            ])
            .into();
            let columns: Vec<ArrayRef> =
                vec![Arc::new(Date32Array::from(vec![parse_date(day).unwrap()])), Arc::new(Int64Array::from(vec![*users]))];
            let batch = RecordBatch::try_new(schema, columns).unwrap();
            version = self.put("gold.kpi_dau", Some(day), &batch, BTreeMap::new(), Vec::new());
        }
        version
    }

    /// Puts one file and its commit; makes the table first.
    pub(crate) fn put(
        &self,
        table: &str,
        day: Option<&str>,
        rows: &RecordBatch,
        tags: BTreeMap<String, String>,
        moves: Vec<Move>,
    ) -> u64 {
        let lake = lake::lake_url(&self.path().display().to_string()).unwrap();
        let store = lake::table(&lake, table, []).unwrap();
        let place = self.path().join(table.replace('.', "/"));
        self.runtime.block_on(async {
            let short = table.split_once('.').unwrap().1;
            let properties = Retention::BRONZE.properties();
            ensure_table(&store, short, "Made by a test", &rows.schema(), day.is_some(), properties).await.unwrap();
            let folder = day.map_or_else(String::new, |day| format!("event_date={day}/"));
            let path = format!("{folder}part-{}.parquet", uuid::Uuid::new_v4());
            fs::create_dir_all(place.join(&folder)).unwrap();
            let size = write(&place.join(&path), rows, day.is_some());
            let file = NewFile {
                path,
                size,
                rows: rows.num_rows() as u64,
                date: day.and_then(parse_date),
                stats: format!("{{\"numRecords\":{}}}", rows.num_rows()),
                tags,
            };
            let adds = vec![files::add_new(&file, true)];
            let mut log = DeltaLog::open(store).await.unwrap();
            log.commit(&Commit { adds, moves, ..Commit::new("TEST", Kind::Append) }).await.unwrap()
        })
    }
}

/// Without the column that is in the path.
fn write(path: &Path, rows: &RecordBatch, by_date: bool) -> u64 {
    let schema = rows.schema();
    let kept: Vec<usize> = (0..rows.num_columns()).filter(|n| !by_date || schema.field(*n).name() != "event_date").collect();
    let rows = rows.project(&kept).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    fs::metadata(path).unwrap().len()
}

/// Days before today, as the commands write them.
pub(crate) fn day(ago: i32) -> String {
    let today = chrono::Utc::now().timestamp() / 86_400;
    date_text(i32::try_from(today).unwrap() - ago)
}
