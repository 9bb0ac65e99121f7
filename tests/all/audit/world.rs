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

use crate::postgres::Database;

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
    /// Whose event it is, where it is a copy: incarnation, partition, offset.
    pub(crate) id: Option<(i32, i32, i64)>,
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
            id: None,
        }
    }

    /// What an event without a place in the windows looks like.
    pub(crate) fn rejected(self, status: &'static str) -> Row {
        Row { status, error: Some(format!("{status}: by hand")), event: None, ..self }
    }

    pub(crate) fn day(&self) -> i64 {
        self.event.unwrap_or(self.kafka).div_euclid(DAY)
    }
}

/// One data file of a commit.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) day: i64,
    pub(crate) rows: Vec<Row>,
    pub(crate) tag: Option<String>,
    pub(crate) replay: Option<String>,
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
    let part = |(day, rows): (i64, Vec<Row>)| Part { day, tag: Some(tag(spans, &rows)), replay: None, rows, data_change: true };
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
    silver: Option<(LogStoreRef, u64)>,
    gold: Option<LogStoreRef>,
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
        let log = create(&runtime, &table, [shared(), texts(&["status", "error"])].concat());
        World { dir, log, runtime, version: 0, silver: None, gold: None, files: BTreeMap::new(), db: None, kafka: None }
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
            let Action::Add(add) =
                add_file(&self.table(), &format!("part-{}-{n}", self.version), part.day, &batch_of(&part.rows))
            else {
                continue;
            };
            let path = add.path.clone();
            let merged = (!part.data_change && part.tag.is_some()).then(|| "2".to_string());
            let named = [("tributary.spans", part.tag), ("tributary.replay", part.replay), ("tributary.merged", merged)];
            let tags: HashMap<_, _> = named.into_iter().filter_map(|(name, tag)| Some((name.to_string(), Some(tag?)))).collect();
            actions.push(Action::Add(Add { data_change: part.data_change, tags: (!tags.is_empty()).then_some(tags), ..add }));
            self.files.insert(path, part.rows);
        }
        commit(&self.runtime, &self.log, self.version, &actions);
    }

    /// A commit of silver: these rows, and that it has everything below these offsets, `(incarnation, partition, next)`.
    pub(crate) fn put_silver(&mut self, rows: Vec<Row>, offsets: &[(i32, i32, i64)]) {
        let table = self.dir.path().join("lake/silver/clicks");
        let (log, before) = self.silver.take().unwrap_or_else(|| {
            std::fs::create_dir_all(&table).unwrap();
            (create(&self.runtime, &table, shared()), 0)
        });
        let version = before + 1;
        let txn = |(incarnation, partition, next): &(i32, i32, i64)| {
            Action::Txn(Transaction::new(format!("silver/{TOPIC}#{incarnation}/{partition}"), *next))
        };
        let info = CommitInfo { operation: Some("SILVER".into()), ..Default::default() };
        let mut actions = vec![Action::CommitInfo(info)];
        actions.extend(offsets.iter().map(txn));
        let mut days: BTreeMap<i64, Vec<Row>> = BTreeMap::new();
        rows.into_iter().for_each(|row| days.entry(row.day()).or_default().push(row));
        actions.extend(days.into_iter().map(|(day, rows)| add_file(&table, &format!("part-{version}"), day, &batch_of(&rows))));
        commit(&self.runtime, &log, version, &actions);
        self.silver = Some((log, version));
    }

    /// The model of a gold table over silver: its file, and, unless it is to be a folder without tables, its first commit. `days` are days
    /// since 1970 with events and cents; `silver` is the version that it says it was made from.
    pub(crate) fn put_gold(&mut self, model: &str, days: &[(i64, i64, i64)], silver: i64) {
        let models = self.dir.path().join("sql/models/gold");
        std::fs::create_dir_all(&models).unwrap();
        std::fs::write(models.join("daily.sql"), model).unwrap();
        let table = self.dir.path().join("lake/gold/daily");
        std::fs::create_dir_all(&table).unwrap();
        let columns = vec![
            field("event_date", PrimitiveType::Date),
            field("events", PrimitiveType::Long),
            field("cents", PrimitiveType::Long),
        ];
        let log = create(&self.runtime, &table, columns);
        let hash = tributary_core::model::Model::parse(model, "sql/models/gold/daily.sql").unwrap().hash;
        let source = self.table_id(&self.silver.as_ref().unwrap().0);
        let mut actions = vec![Action::Txn(Transaction::new(format!("gold/daily@{source}@{}", &hash[..8]), silver))];
        for (day, events, cents) in days {
            let one = |value: &i64| Arc::new(Int64Array::from(vec![*value])) as ArrayRef;
            let batch =
                RecordBatch::try_from_iter_with_nullable([("events", one(events), true), ("cents", one(cents), true)]).unwrap();
            actions.push(add_file(&table, "part-1", *day, &batch));
        }
        commit(&self.runtime, &log, 1, &actions);
        self.gold = Some(log);
    }

    /// Another text of the model.
    pub(crate) fn edit_model(&self, model: &str) {
        std::fs::write(self.dir.path().join("sql/models/gold/daily.sql"), model).unwrap();
    }

    /// PostgreSQL says that it holds version 1 of the gold table, and holds these days.
    pub(crate) fn publish(&self, days: &[(i64, i64, i64)]) {
        let id = self.table_id(self.gold.as_ref().unwrap());
        self.sql("CREATE TABLE IF NOT EXISTS ops.published (table_name text, model text, lake_id text, version bigint); CREATE SCHEMA gold;
                  CREATE TABLE gold.daily (event_date date, events bigint, cents numeric, updated_at timestamptz DEFAULT now())");
        self.sql(&format!("INSERT INTO ops.published VALUES ('daily', 'daily', '{id}', 1)"));
        for (day, events, cents) in days {
            self.sql(&format!("INSERT INTO gold.daily VALUES (DATE '1970-01-01' + {day}, {events}, {cents})"));
        }
    }

    fn table_id(&self, log: &LogStoreRef) -> String {
        self.runtime.block_on(async {
            let mut table = DeltaTable::new(log.clone());
            table.load().await.unwrap();
            table.snapshot().unwrap().metadata().id().to_string()
        })
    }

    /// The table's own id.
    pub(crate) fn id(&self) -> String {
        let first = std::fs::read_to_string(self.table().join(format!("_delta_log/{:020}.json", 0))).unwrap();
        let actions: Vec<Value> = first.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        actions.iter().find_map(|action| action["metaData"]["id"].as_str()).unwrap().to_string()
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
        let of = |part: &Value| part["findings"].as_array().into_iter().flatten().map(summary).collect::<Vec<_>>();
        let findings = [of(&report["streams"][0]), of(&report["batch"])].concat();
        assert_eq!(status, i32::from(!findings.is_empty()), "{report:#}");
        assert_eq!(report["ok"], findings.is_empty());
        findings
    }
}

fn field(name: &str, kind: PrimitiveType) -> StructField {
    StructField::new(name, DataType::Primitive(kind), true)
}

fn texts(names: &[&str]) -> Vec<StructField> {
    names.iter().map(|name| field(name, PrimitiveType::String)).collect()
}

/// The columns that bronze and silver share.
fn shared() -> Vec<StructField> {
    let rest = [
        field("amount", PrimitiveType::Long),
        field("event_timestamp", PrimitiveType::Timestamp),
        field("ingestion_timestamp", PrimitiveType::Timestamp),
        field("event_date", PrimitiveType::Date),
        field("kafka_partition", PrimitiveType::Integer),
        field("kafka_offset", PrimitiveType::Long),
        field("topic_incarnation", PrimitiveType::Integer),
    ];
    [texts(&["event_id", "event_kind", "source"]), rest.to_vec()].concat()
}

/// An empty table by day.
fn create(runtime: &Runtime, table: &Path, columns: Vec<StructField>) -> LogStoreRef {
    let url = url::Url::from_directory_path(table).unwrap();
    let log = logstore_for(&url, StorageConfig::default()).unwrap();
    let create = CreateBuilder::new().with_log_store(log.clone()).with_partition_columns(["event_date"]).with_columns(columns);
    runtime.block_on(async { create.await }).unwrap();
    log
}

/// Writes a data file and says what the log says of it.
fn add_file(table: &Path, name: &str, day: i64, rows: &RecordBatch) -> Action {
    let date = DateTime::from_timestamp_micros(day * DAY).unwrap().format("%Y-%m-%d").to_string();
    let path = format!("event_date={date}/{name}.parquet");
    let size = write(&table.join(&path), rows);
    let partition_values = HashMap::from([("event_date".into(), Some(date))]);
    Action::Add(Add { path, size: size as i64, data_change: true, partition_values, ..Default::default() })
}

fn commit(runtime: &Runtime, log: &LogStoreRef, version: u64, actions: &[Action]) {
    let mut bytes = Vec::new();
    for action in actions {
        serde_json::to_writer(&mut bytes, action).unwrap();
        bytes.push(b'\n');
    }
    let entry = log.write_commit_entry(version, CommitOrBytes::LogBytes(bytes.into()), uuid::Uuid::new_v4());
    runtime.block_on(entry).unwrap();
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

fn batch_of(rows: &[Row]) -> RecordBatch {
    let text = |of: &dyn Fn(&Row) -> Option<String>| Arc::new(rows.iter().map(of).collect::<StringArray>()) as ArrayRef;
    let time = |of: &dyn Fn(&Row) -> Option<i64>| {
        Arc::new(rows.iter().map(of).collect::<TimestampMicrosecondArray>().with_timezone("UTC")) as ArrayRef
    };
    let valid = |row: &Row| row.error.is_none();
    let batch = RecordBatch::try_from_iter_with_nullable([
        (
            "event_id",
            text(&|r| {
                let (incarnation, partition, offset) = r.id.unwrap_or((r.place.0, r.place.1, r.offset));
                valid(r).then(|| format!("{incarnation}/{partition}-{offset}"))
            }),
            true,
        ),
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
    batch.unwrap()
}

fn write(path: &Path, batch: &RecordBatch) -> usize {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut writer = ArrowWriter::try_new(std::fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    std::fs::metadata(path).unwrap().len() as usize
}
