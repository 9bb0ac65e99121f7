//! Creating a bronze table, and refusing one that is not what the stream declares.
//!
//! Tables are reader 1 / writer 2 without features, so that every engine reads them. Opening one is retried: a listing beside a
//! busy writer is not atomic.

use std::collections::HashMap;
use std::time::Duration;

use deltalake::kernel::{DataType, PrimitiveType, Snapshot, StructField};
use deltalake::logstore::LogStoreRef;
use deltalake::operations::create::CreateBuilder;
use deltalake::protocol::SaveMode;
use tributary_core::stream::{Kind, Stream};

use super::{LakeError, delta_error};

/// How often a table is opened before its error counts.
const OPEN_ATTEMPTS: u32 = 5;
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

/// Creates the table unless it exists, then checks it.
///
/// # Errors
/// [`LakeError::Refused`] when the table that exists cannot hold the stream; [`LakeError::Delta`] when it cannot be read or made.
pub async fn ensure(store: &LogStoreRef, stream: &Stream) -> Result<(), LakeError> {
    let url = store.root_url();
    if !store.is_delta_table_location().await.map_err(|e| delta_error(url, e))? {
        let created = CreateBuilder::new()
            .with_log_store(store.clone())
            .with_table_name(&stream.name)
            .with_comment(&stream.description)
            .with_columns(columns(stream))
            .with_partition_columns(["event_date"])
            .with_configuration(HashMap::from([
                // Checkpoints and cleanup are ours; a day of log is enough for time travel over an append-only table.
                ("delta.logRetentionDuration".to_owned(), Some("interval 1 days".to_owned())),
                ("delta.checkpointInterval".to_owned(), Some("100".to_owned())),
            ]))
            .with_save_mode(SaveMode::Ignore)
            .await;
        match created {
            Ok(_) => tracing::info!(table = %url, "created"),
            // Another instance was first.
            Err(error) if store.is_delta_table_location().await.is_ok_and(|exists| exists) => {
                tracing::debug!(table = %url, %error, "somebody else created it");
            }
            Err(error) => return Err(delta_error(url, error)),
        }
    }
    check(store, stream).await
}

async fn check(store: &LogStoreRef, stream: &Stream) -> Result<(), LakeError> {
    let url = store.root_url();
    let snapshot = open(store).await?;
    let refuse = |problem: String| LakeError::Refused { url: url.to_string(), problem };
    let (reader, writer) = (snapshot.protocol().min_reader_version(), snapshot.protocol().min_writer_version());
    if reader > 1 || writer > 2 {
        return Err(refuse(format!(
            "it has reader version {reader} and writer version {writer}; at most 1 and 2 are written here: move it away or use another lake"
        )));
    }
    if snapshot.metadata().configuration().contains_key(FORBIDDEN_PROPERTY) {
        return Err(refuse(format!("it sets {FORBIDDEN_PROPERTY}, which makes offsets expire: unset it")));
    }
    if snapshot.metadata().partition_columns() != ["event_date"] {
        return Err(refuse(format!("it is partitioned by {:?}, not by event_date", snapshot.metadata().partition_columns())));
    }
    let schema = snapshot.schema();
    for column in columns(stream) {
        match schema.field(&column.name) {
            None => {
                return Err(refuse(format!(
                    "it lacks the column {} ({}) that {} declares: add it with ALTER TABLE … ADD COLUMNS, or use another stream name",
                    column.name, column.data_type, stream.name
                )));
            }
            Some(found) if found.data_type != column.data_type => {
                return Err(refuse(format!(
                    "its column {} is {}, but {} declares {}: give the field another `column`, or use another stream name",
                    column.name, found.data_type, stream.name, column.data_type
                )));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Reads protocol, schema and configuration (no files), trying again when the listing was torn.
async fn open(store: &LogStoreRef) -> Result<Snapshot, LakeError> {
    let mut attempt = 1;
    loop {
        match Snapshot::try_new(store.as_ref(), None).await {
            Ok(snapshot) => return Ok(snapshot),
            Err(error) if attempt >= OPEN_ATTEMPTS => return Err(delta_error(store.root_url(), error)),
            Err(error) => {
                tracing::debug!(%error, attempt, "opening the table again");
                tokio::time::sleep(Duration::from_millis(30 << attempt)).await;
                attempt += 1;
            }
        }
    }
}
