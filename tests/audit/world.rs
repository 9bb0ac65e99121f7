//! A small lake, made by hand: real Delta commits with real Parquet files, so that the audit meets what a writer would leave.
//!
//! Written from the documented formats alone. A [`Draft`] is a commit that is right; a test bends it before it is put.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use chrono::DateTime;
use deltalake::DeltaTable;
use deltalake::kernel::{Action, Add, CommitInfo, DataType, PrimitiveType, Remove, StructField, Transaction};
use deltalake::logstore::{CommitOrBytes, LogStoreRef, StorageConfig, logstore_for};
use deltalake::operations::create::CreateBuilder;
use parquet::arrow::ArrowWriter;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::postgres::Database;

pub(crate) const TOPIC: &str = "clicks";
const DAY: i64 = 86_400_000_000;
/// 2026-01-01T23:55:00Z: seven seconds an offset, so that a hundred offsets cross midnight.
const BEGIN: i64 = 1_767_311_700_000_000;

const DECLARATION: &str = r#"
name = "clicks"
topic = "clicks"
id = "event_id"
event_time = "timestamp"
key = "event_id"

[[field]]
name = "event_id"
type = "text"
required = true

[[field]]
name = "kind"
column = "event_kind"
type = "text"
required = true

[[field]]
name = "source"
type = "text"
required = true

[[field]]
name = "amount"
type = "integer"
required = true

[[field]]
name = "timestamp"
column = "event_timestamp"
type = "timestamp"
required = true

[[window]]
table = "per_minute"
every = "1 min"
group_by = ["kind", "source"]
count = "events"

[[window]]
table = "revenue"
every = "1 h"
where = { kind = ["buy"] }
sum = { field = "amount", as = "cents" }
"#;

/// One record's row.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) place: (i32, i32),
    pub(crate) offset: i64,
    pub(crate) status: &'static str,
    pub(crate) error: Option<String>,
    /// Empty: null.
    pub(crate) kind: &'static str,
    pub(crate) source: &'static str,
    pub(crate) amount: i64,
    pub(crate) event: Option<i64>,
    pub(crate) kafka: i64,
}

impl Row {
    /// A valid event.
    pub(crate) fn of(place: (i32, i32), offset: i64) -> Row {
        let at = offset as usize + place.1 as usize;
        let event = BEGIN + offset * 7_000_000;
        Row {
            place,
            offset,
            status: "ok",
            error: None,
            kind: ["look", "buy", "leave"][at % 3],
            source: ["web", "mobile"][at % 2],
            amount: offset * 10 - 100,
            event: Some(event),
            kafka: event + 1_000_000,
        }
    }

    /// What an event without a place in the windows looks like.
    pub(crate) fn rejected(self, status: &'static str) -> Row {
        Row { status, error: Some(format!("{status}: by hand")), event: None, ..self }
    }

    fn day(&self) -> i64 {
        self.event.unwrap_or(self.kafka).div_euclid(DAY)
    }
}

/// One data file of a commit.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) day: i64,
    pub(crate) rows: Vec<Row>,
    pub(crate) tag: Option<String>,
    pub(crate) data_change: bool,
}

/// A commit before it is put.
#[derive(Debug, Clone, Default)]
pub(crate) struct Draft {
    pub(crate) parts: Vec<Part>,
    pub(crate) txns: Vec<(String, i64)>,
    pub(crate) removes: Vec<String>,
}

/// The tag of these rows over these spans, `(incarnation, partition, from, to)`.
pub(crate) fn tag(spans: &[(i32, i32, i64, i64)], rows: &[Row]) -> String {
    let entry = |(incarnation, partition, from, to): &(i32, i32, i64, i64)| {
        let here = rows.iter().filter(|r| r.place == (*incarnation, *partition) && (*from..*to).contains(&r.offset)).count();
        let place = if *incarnation == 1 { partition.to_string() } else { format!("{partition}#{incarnation}") };
        format!("{place}:{from}-{to}:{here}")
    };
    spans.iter().map(entry).collect::<Vec<_>>().join(",")
}

/// A right commit of these spans with these rows.
pub(crate) fn draft(spans: &[(i32, i32, i64, i64)], rows: Vec<Row>) -> Draft {
    let mut days: BTreeMap<i64, Vec<Row>> = BTreeMap::new();
    rows.into_iter().for_each(|row| days.entry(row.day()).or_default().push(row));
    let part = |(day, rows): (i64, Vec<Row>)| Part { day, tag: Some(tag(spans, &rows)), rows, data_change: true };
    let txn = |(incarnation, partition, _, to): &(i32, i32, i64, i64)| (format!("ingest/{TOPIC}#{incarnation}/{partition}"), *to);
    Draft { parts: days.into_iter().map(part).collect(), txns: spans.iter().map(txn).collect(), removes: Vec::new() }
}

/// A right commit of these spans without any hole.
pub(crate) fn full(spans: &[(i32, i32, i64, i64)]) -> Draft {
    let rows = spans.iter().flat_map(|(n, p, from, to)| (*from..*to).map(|offset| Row::of((*n, *p), offset)));
    draft(spans, rows.collect())
}

/// Lake, serving tables and declaration of one test.
pub(crate) struct World {
    dir: TempDir,
    log: LogStoreRef,
    runtime: Runtime,
    version: u64,
    /// Live files and their rows.
    pub(crate) files: BTreeMap<String, Vec<Row>>,
    pub(crate) db: Option<Database>,
    pub(crate) kafka: Option<String>,
}

impl World {
    /// An empty table.
    pub(crate) fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let table = dir.path().join("lake/bronze/clicks");
        std::fs::create_dir_all(&table).unwrap();
        std::fs::create_dir(dir.path().join("streams")).unwrap();
        std::fs::write(dir.path().join("streams/clicks.toml"), DECLARATION).unwrap();
        let url = url::Url::from_directory_path(&table).unwrap();
        let log = logstore_for(&url, StorageConfig::default()).unwrap();
        let field = |name: &str, kind: PrimitiveType| StructField::new(name, DataType::Primitive(kind), true);
        let create = CreateBuilder::new().with_log_store(log.clone()).with_partition_columns(["event_date"]).with_columns([
            field("event_id", PrimitiveType::String),
            field("event_kind", PrimitiveType::String),
            field("source", PrimitiveType::String),
            field("amount", PrimitiveType::Long),
            field("event_timestamp", PrimitiveType::Timestamp),
            field("ingestion_timestamp", PrimitiveType::Timestamp),
            field("event_date", PrimitiveType::Date),
            field("kafka_partition", PrimitiveType::Integer),
            field("kafka_offset", PrimitiveType::Long),
            field("topic_incarnation", PrimitiveType::Integer),
            field("status", PrimitiveType::String),
            field("error", PrimitiveType::String),
        ]);
        runtime.block_on(async { create.await }).unwrap();
        World { dir, log, runtime, version: 0, files: BTreeMap::new(), db: None, kafka: None }
    }

    /// Two partitions, two commits, no hole: `[0, 60)` and `[60, 100)` of partition 0, `[0, 20)` and `[20, 90)` of partition 1.
    pub(crate) fn good() -> World {
        let mut world = World::new();
        world.put(full(&[(1, 0, 0, 60), (1, 1, 0, 20)]));
        world.put(full(&[(1, 0, 60, 100), (1, 1, 20, 90)]));
        world
    }

    /// The same, and PostgreSQL has counted all of it.
    pub(crate) fn served() -> World {
        let mut world = World::good();
        world.serve(&[(1, 0, 100), (1, 1, 90)]);
        world
    }

    pub(crate) fn table(&self) -> std::path::PathBuf {
        self.dir.path().join("lake/bronze/clicks")
    }

    /// Writes the files and the log entry.
    pub(crate) fn put(&mut self, draft: Draft) {
        self.version += 1;
        let mut actions =
            vec![Action::CommitInfo(CommitInfo { operation: Some("STREAMING UPDATE".into()), ..Default::default() })];
        actions.extend(draft.txns.iter().map(|(app, version)| Action::Txn(Transaction::new(app, *version))));
        for path in &draft.removes {
            self.files.remove(path);
            let remove = Remove { path: path.clone(), data_change: false, deletion_timestamp: Some(1), ..remove() };
            actions.push(Action::Remove(remove));
        }
        for (n, part) in draft.parts.into_iter().enumerate() {
            let date = DateTime::from_timestamp_micros(part.day * DAY).unwrap().format("%Y-%m-%d").to_string();
            let path = format!("event_date={date}/part-{}-{n}.parquet", self.version);
            let size = write(&self.table().join(&path), &part.rows);
            actions.push(Action::Add(Add {
                path: path.clone(),
                size: size as i64,
                data_change: part.data_change,
                partition_values: HashMap::from([("event_date".into(), Some(date))]),
                tags: part.tag.map(|tag| HashMap::from([("tributary.spans".into(), Some(tag))])),
                ..Default::default()
            }));
            self.files.insert(path, part.rows);
        }
        let mut bytes = Vec::new();
        for action in &actions {
            serde_json::to_writer(&mut bytes, action).unwrap();
            bytes.push(b'\n');
        }
        let entry = self.log.write_commit_entry(self.version, CommitOrBytes::LogBytes(bytes.into()), uuid::Uuid::new_v4());
        self.runtime.block_on(entry).unwrap();
    }

    /// Writes a checkpoint and drops the commits below it.
    pub(crate) fn checkpoint(&self) {
        self.runtime.block_on(async {
            let mut table = DeltaTable::new(self.log.clone());
            table.load().await.unwrap();
            deltalake::checkpoints::create_checkpoint(&table, None).await.unwrap();
        });
        for version in 0..self.version {
            std::fs::remove_file(self.table().join(format!("_delta_log/{version:020}.json"))).unwrap();
        }
    }

    /// Makes PostgreSQL hold exactly what the valid rows below these offsets say, `(incarnation, partition, next)`.
    pub(crate) fn serve(&mut self, offsets: &[(i32, i32, i64)]) {
        let db = self.db.get_or_insert_with(Database::new);
        db.run(
            "CREATE SCHEMA IF NOT EXISTS ops; CREATE SCHEMA IF NOT EXISTS realtime;
             CREATE TABLE ops.stream_offsets (stream text, incarnation int, kafka_partition int, next_offset bigint, updated_at timestamptz);
             CREATE TABLE ops.lost_ranges (stream text, incarnation int, kafka_partition int, from_offset bigint, to_offset bigint,
                leg text, reason text, recorded_at timestamptz);
             CREATE TABLE ops.topic_incarnations (topic text, topic_id text, incarnation int, adopted_at timestamptz);
             CREATE TABLE realtime.per_minute (window_start timestamptz, window_end timestamptz, event_kind text, source text,
                events bigint, updated_at timestamptz);
             CREATE TABLE realtime.revenue (window_start timestamptz, window_end timestamptz, cents numeric, updated_at timestamptz)",
        );
        let next = |place: (i32, i32)| offsets.iter().find(|o| (o.0, o.1) == place).map_or(i64::MIN, |o| o.2);
        let mut sql: Vec<String> = Vec::new();
        for (incarnation, partition, next) in offsets {
            sql.push(format!("INSERT INTO ops.stream_offsets VALUES ('clicks', {incarnation}, {partition}, {next}, now())"));
        }
        let (mut events, mut cents) = (BTreeMap::<_, i64>::new(), BTreeMap::<_, i128>::new());
        for row in self.files.values().flatten().filter(|row| row.status == "ok" && row.offset < next(row.place)) {
            let Some(event) = row.event.filter(|_| !row.kind.is_empty()) else { continue };
            *events.entry((event / 60_000_000 * 60, row.kind, row.source)).or_default() += 1;
            if row.kind == "buy" {
                *cents.entry(event / 3_600_000_000 * 3600).or_default() += i128::from(row.amount);
            }
        }
        for ((start, kind, source), n) in events {
            let end = start + 60;
            sql.push(format!("INSERT INTO realtime.per_minute VALUES (to_timestamp({start}), to_timestamp({end}), '{kind}', '{source}', {n}, now())"));
        }
        for (start, n) in cents {
            sql.push(format!(
                "INSERT INTO realtime.revenue VALUES (to_timestamp({start}), to_timestamp({}), {n}, now())",
                start + 3600
            ));
        }
        db.run(&sql.join(";"));
    }

    /// Runs statements in PostgreSQL.
    pub(crate) fn sql(&self, sql: &str) {
        self.db.as_ref().unwrap().run(sql);
    }

    /// Runs `tributary audit --json` and returns the exit status and the report.
    pub(crate) fn audit(&self, flags: &[&str]) -> (i32, Value) {
        let output = self.command(&[&["--json", "--wait", "100ms"], flags].concat());
        let report = serde_json::from_slice(&output.stdout);
        let report = report.unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)));
        (output.status.code().unwrap(), report)
    }

    /// Runs `tributary audit`.
    pub(crate) fn command(&self, flags: &[&str]) -> std::process::Output {
        self.command_line(flags).output().unwrap()
    }

    /// `tributary audit` over these stores and nothing from this process' environment.
    pub(crate) fn command_line(&self, flags: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tributary"));
        command.args(["audit", "--stream", "clicks"]).args(flags).current_dir(self.dir.path());
        for name in [
            "TRIBUTARY_CONFIG",
            "KAFKA_BOOTSTRAP_SERVERS",
            "KAFKA_TOPIC",
            "POSTGRES_HOST",
            "POSTGRES_PORT",
            "POSTGRES_DB",
            "POSTGRES_USER",
        ] {
            command.env_remove(name);
        }
        command.env("LAKEHOUSE_PATH", self.dir.path().join("lake")).env("TRIBUTARY_STREAMS", self.dir.path().join("streams"));
        command.env("TRIBUTARY_DATA", self.dir.path().join("data")).env_remove("DATABASE_URL").env_remove("POSTGRES_PASSWORD");
        command.envs(self.db.as_ref().map(|db| ("DATABASE_URL", &db.url)));
        command.envs(self.kafka.as_ref().map(|kafka| ("KAFKA_BOOTSTRAP_SERVERS", kafka)));
        command
    }

    /// What it finds: kind, partition and ranges of each finding.
    pub(crate) fn findings(&self, flags: &[&str]) -> Vec<String> {
        let (status, report) = self.audit(flags);
        let findings: Vec<String> = report["streams"][0]["findings"].as_array().unwrap().iter().map(summary).collect();
        assert_eq!(status, i32::from(!findings.is_empty()), "{report:#}");
        assert_eq!(report["ok"], findings.is_empty());
        findings
    }
}

fn remove() -> Remove {
    serde_json::from_str(r#"{"path":"","dataChange":false}"#).unwrap()
}

fn summary(finding: &Value) -> String {
    let mut text = finding["kind"].as_str().unwrap().to_string();
    if let Some(partition) = finding["partition"].as_i64() {
        text += &format!(" {partition}#{}", finding["incarnation"]);
    }
    if let Some(ranges) = finding.get("ranges") {
        text += &format!(" {ranges}");
    }
    if let Some(table) = finding["table"].as_str() {
        text += &format!(" {table}");
    }
    text
}

fn write(path: &Path, rows: &[Row]) -> usize {
    let text = |of: &dyn Fn(&Row) -> Option<String>| Arc::new(rows.iter().map(of).collect::<StringArray>()) as ArrayRef;
    let time = |of: &dyn Fn(&Row) -> Option<i64>| {
        Arc::new(rows.iter().map(of).collect::<TimestampMicrosecondArray>().with_timezone("UTC")) as ArrayRef
    };
    let valid = |row: &Row| row.error.is_none();
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("event_id", text(&|r| valid(r).then(|| format!("{:?}-{}", r.place, r.offset))), true),
        ("event_kind", text(&|r| (valid(r) && !r.kind.is_empty()).then(|| r.kind.to_string())), true),
        ("source", text(&|r| valid(r).then(|| r.source.to_string())), true),
        ("amount", Arc::new(rows.iter().map(|r| valid(r).then_some(r.amount)).collect::<Int64Array>()) as ArrayRef, true),
        ("event_timestamp", time(&|r| r.event), true),
        ("ingestion_timestamp", time(&|r| Some(r.kafka)), true),
        ("kafka_partition", Arc::new(rows.iter().map(|r| r.place.1).collect::<Int32Array>()), true),
        ("kafka_offset", Arc::new(rows.iter().map(|r| r.offset).collect::<Int64Array>()), true),
        ("topic_incarnation", Arc::new(rows.iter().map(|r| r.place.0).collect::<Int32Array>()), true),
        ("status", text(&|r| Some(r.status.to_string())), true),
        ("error", text(&|r| r.error.clone()), true),
    ]);
    let batch = batch.unwrap();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut writer = ArrowWriter::try_new(std::fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    std::fs::metadata(path).unwrap().len() as usize
}
