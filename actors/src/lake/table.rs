//! Creating tables, giving a bronze table the columns that its stream has declared since, and refusing one that cannot hold the stream.
//!
//! Tables are reader 1 / writer 2 without features, so that every engine reads them.

use std::collections::HashMap;
use std::time::Duration;

use arrow_schema::Schema;
use delta_kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake::DeltaTableError;
use deltalake::kernel::{DataType, Metadata, MetadataExt, PrimitiveType, StructField, StructType};
use deltalake::logstore::LogStoreRef;
use deltalake::operations::create::CreateBuilder;
use deltalake::protocol::SaveMode;
use tributary_core::stream::{Kind, Stream};
use tributary_core::table::DATE_COLUMN;

use super::delta_log::{self, Commit, CommitError, DeltaLog, Move};
use super::snapshot::Snapshot;
use super::{LakeError, delta_error, label};

/// How far back a table can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Log entries stay this long, once a checkpoint stands for them.
    pub log: Duration,
    /// Files that were removed stay this long.
    pub removed: Duration,
}

const DAY: Duration = Duration::from_secs(86_400);

impl Retention {
    /// Bronze has a commit per second: a day of log is enough for time travel over a table that only grows.
    pub const BRONZE: Self = Self { log: DAY, removed: DAY };

    /// Silver and gold: so many days.
    pub fn days(days: u32) -> Self {
        Self { log: DAY * days, removed: DAY * days }
    }

    /// As table properties. Checkpoints and cleanup are ours; other programs that write the table keep to it, too.
    pub fn properties(self) -> Vec<(String, String)> {
        let interval = |d: Duration| format!("interval {} hours", d.as_secs().div_ceil(3600));
        vec![
            ("delta.logRetentionDuration".to_owned(), interval(self.log)),
            ("delta.deletedFileRetentionDuration".to_owned(), interval(self.removed)),
            ("delta.checkpointInterval".to_owned(), "100".to_owned()),
        ]
    }
}

/// Expired transactions vanish from checkpoints, and with them the offsets of quiet partitions.
const FORBIDDEN_PROPERTY: &str = "delta.setTransactionRetentionDuration";

/// The columns of a bronze table, `event_date` among them.
pub fn columns(stream: &Stream) -> Vec<StructField> {
    let declared = stream.fields.iter().map(|f| {
        let kind = match f.kind {
            Kind::Text => PrimitiveType::String,
            Kind::Integer => PrimitiveType::Long,
            Kind::Number => PrimitiveType::Double,
            Kind::Boolean => PrimitiveType::Boolean,
            Kind::Timestamp => PrimitiveType::Timestamp,
        };
        (f.column.clone(), kind)
    });
    let own = [
        ("ingestion_timestamp", PrimitiveType::Timestamp),
        ("event_date", PrimitiveType::Date),
        ("kafka_partition", PrimitiveType::Integer),
        ("kafka_offset", PrimitiveType::Long),
        ("topic_incarnation", PrimitiveType::Integer),
        ("status", PrimitiveType::String),
        ("error", PrimitiveType::String),
        ("raw", PrimitiveType::Binary),
        ("extra", PrimitiveType::String),
    ];
    declared
        .chain(own.map(|(name, kind)| (name.to_owned(), kind)))
        .map(|(name, kind)| StructField::new(name, DataType::Primitive(kind), true))
        .collect()
}

/// Others may change the table between a look at it and a commit; not for ever.
const ATTEMPTS: u32 = 20;

/// Creates a bronze table unless it exists, checks it, and adds the columns that it lacks: rows that are there have null in them.
///
/// # Errors
/// [`LakeError::Refused`] when the table that exists cannot hold the stream; [`LakeError::Delta`] when it cannot be read or made.
pub async fn ensure(store: &LogStoreRef, stream: &Stream) -> Result<(), LakeError> {
    create(store, &stream.name, &stream.description, columns(stream), true, Retention::BRONZE.properties()).await?;
    for _ in 0..ATTEMPTS {
        let snapshot = Snapshot::open(store).await?;
        let missing = lacks(&snapshot, stream)?;
        if missing.is_empty() {
            return Ok(());
        }
        let names = missing.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ");
        match add_columns(&snapshot, stream, missing.clone()).await {
            Ok(version) => tracing::info!(table = label(store.root_url()), columns = names, version, "columns added"),
            Err(CommitError::Store(error)) => return Err(error),
            // Another instance was first, with these columns or with something else.
            Err(error) => tracing::debug!(table = label(store.root_url()), %error, "columns are added in another attempt"),
        }
    }
    Err(refused(store, format!("others change it all the time, so that it did not get its new columns in {ATTEMPTS} attempts")))
}

async fn add_columns(snapshot: &Snapshot, stream: &Stream, new: Vec<StructField>) -> Result<u64, CommitError> {
    let store = snapshot.store();
    let refuse = |e: &dyn std::fmt::Display| refused(store, format!("its columns cannot be added: {e}"));
    let has = snapshot.metadata().parse_schema().map_err(|e| refuse(&e))?;
    let all = StructType::try_new(has.fields().cloned().chain(new)).map_err(|e| refuse(&e))?;
    let commit = Commit {
        based_on: Some(snapshot.version()),
        moves: vec![Move::rewriter(&stream.bronze_table(), |app| snapshot.txn(app))],
        metadata: Some(snapshot.metadata().clone().with_schema(&all).map_err(|e| refuse(&e))?),
        ..Commit::new("ADD COLUMNS", delta_log::Kind::Note)
    };
    DeltaLog::open(store.clone()).await?.commit(&commit).await
}

/// Creates a table with these columns unless there is one, and returns what there is: its columns may be others.
///
/// # Errors
/// [`LakeError::Refused`] when the columns cannot be Delta's, or the table that exists is not one that may be written here.
pub async fn ensure_table(
    store: &LogStoreRef,
    name: &str,
    description: &str,
    schema: &Schema,
    by_date: bool,
    configuration: Vec<(String, String)>,
) -> Result<Snapshot, LakeError> {
    let columns = delta_schema(store, schema)?.fields().cloned().collect();
    create(store, name, description, columns, by_date, configuration).await?;
    let snapshot = Snapshot::open(store).await?;
    writable(&snapshot)?;
    Ok(snapshot)
}

/// The metadata that gives a table these columns, to be put in the commit that brings rows of them; none when it has them.
///
/// # Errors
/// When the columns cannot be Delta's.
pub fn redefine(snapshot: &Snapshot, schema: &Schema, by_date: bool) -> Result<Option<Metadata>, LakeError> {
    let store = snapshot.store();
    let wanted = delta_schema(store, schema)?;
    let refuse = |e: &dyn std::fmt::Display| refused(store, format!("its columns cannot be changed: {e}"));
    let is_same = snapshot.metadata().parse_schema().map_err(|e| refuse(&e))? == wanted && snapshot.by_date() == by_date;
    if is_same {
        return Ok(None);
    }
    let columns: Vec<&str> = by_date.then_some(DATE_COLUMN).into_iter().collect();
    let metadata = snapshot.metadata().clone().with_schema(&wanted).map_err(|e| refuse(&e))?;
    let partitioned = serde_json::to_value(&metadata).and_then(|mut value| {
        value["partitionColumns"] = columns.into();
        serde_json::from_value(value)
    });
    partitioned.map(Some).map_err(|e| refuse(&e))
}

fn delta_schema(store: &LogStoreRef, schema: &Schema) -> Result<StructType, LakeError> {
    // Every column may be null: other engines' files then fit, too. What Arrow knows beyond the type is not the table's.
    let fields = schema.fields().iter().map(|f| arrow_schema::Field::new(f.name(), f.data_type().clone(), true));
    let plain = Schema::new(fields.collect::<Vec<_>>());
    (&plain).try_into_kernel().map_err(|e| refused(store, format!("no table can have these columns: {e}")))
}

async fn create(
    store: &LogStoreRef,
    name: &str,
    description: &str,
    columns: Vec<StructField>,
    by_date: bool,
    configuration: Vec<(String, String)>,
) -> Result<(), LakeError> {
    let url = store.root_url();
    let exists = || store.is_delta_table_location();
    if exists().await.map_err(|e| delta_error(url, e))? {
        return Ok(());
    }
    let configuration: HashMap<String, Option<String>> = configuration.into_iter().map(|(k, v)| (k, Some(v))).collect();
    let created = CreateBuilder::new()
        .with_log_store(store.clone())
        .with_table_name(name)
        .with_comment(description)
        .with_columns(columns)
        .with_partition_columns(by_date.then_some(DATE_COLUMN))
        .with_configuration(configuration)
        .with_save_mode(SaveMode::Ignore)
        .await;
    match created {
        Ok(_) => tracing::info!(table = label(url), "created"),
        // Another instance was first.
        Err(error) if exists().await.is_ok_and(|exists| exists) => {
            tracing::debug!(table = label(url), %error, "somebody else created it");
        }
        Err(error) => return Err(delta_error(url, error)),
    }
    Ok(())
}

/// Whether a table may be written here at all.
fn writable(snapshot: &Snapshot) -> Result<(), LakeError> {
    let (reader, writer) = snapshot.protocol();
    if reader > 1 || writer > 2 {
        return Err(refused(
            snapshot.store(),
            format!(
                "it has reader version {reader} and writer version {writer}; at most 1 and 2 are written here: move it away or use another lake"
            ),
        ));
    }
    if snapshot.metadata().configuration().contains_key(FORBIDDEN_PROPERTY) {
        return Err(refused(snapshot.store(), format!("it sets {FORBIDDEN_PROPERTY}, which makes offsets expire: unset it")));
    }
    Ok(())
}

/// The declared columns that a bronze table lacks.
///
/// # Errors
/// [`LakeError::Refused`] when it cannot hold the stream, with the columns or without.
pub fn lacks(snapshot: &Snapshot, stream: &Stream) -> Result<Vec<StructField>, LakeError> {
    writable(snapshot)?;
    let refuse = |problem: String| refused(snapshot.store(), problem);
    if !snapshot.by_date() {
        return Err(refuse(format!("it is partitioned by {:?}, not by {DATE_COLUMN}", snapshot.partition_columns())));
    }
    let schema =
        snapshot.metadata().parse_schema().map_err(|e| delta_error(snapshot.store().root_url(), DeltaTableError::from(e)))?;
    let mut missing = Vec::new();
    for column in columns(stream) {
        match schema.field(&column.name) {
            None => missing.push(column),
            Some(found) if found.data_type != column.data_type => {
                return Err(refuse(format!(
                    "its column {} is {}, but {} declares {}: give the field another `column`, or use another stream name",
                    column.name, found.data_type, stream.name, column.data_type
                )));
            }
            Some(_) => {}
        }
    }
    Ok(missing)
}

fn refused(store: &LogStoreRef, problem: String) -> LakeError {
    LakeError::Refused { url: store.root_url().to_string(), problem }
}
