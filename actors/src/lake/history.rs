//! What happened to a table, version by version, as its log still tells it.

use std::collections::BTreeMap;

use deltalake::kernel::Action;
use deltalake::logstore::LogStoreRef;

use super::files::rows_in;
use super::listing::Listing;
use super::snapshot::{attempts, no_table, read_entry};
use super::{LakeError, delta_error};

/// One version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// The version.
    pub version: u64,
    /// When its writer says that it was committed, milliseconds since 1970.
    pub committed_ms: Option<i64>,
    /// Name of the operation.
    pub operation: Option<String>,
    /// Its parameters.
    pub parameters: BTreeMap<String, String>,
    /// What it measured: rows, files.
    pub metrics: BTreeMap<String, String>,
    /// Which program wrote it.
    pub engine: Option<String>,
    /// Files that came.
    pub files_added: u64,
    /// Their bytes.
    pub bytes_added: u64,
    /// Their rows, as far as statistics say.
    pub rows_added: u64,
    /// Files that went.
    pub files_removed: u64,
    /// Their bytes, as far as the log says.
    pub bytes_removed: u64,
    /// Whether rows came or went: a rewrite of the same rows changes none.
    pub changed_rows: bool,
    /// Whether columns, partitioning or configuration changed.
    pub redefined: bool,
    /// The application transactions that it moved.
    pub txns: BTreeMap<String, i64>,
}

/// The newest `most` versions, newest first; fewer when the log has fewer.
///
/// # Errors
/// When there is no table or it cannot be read.
pub async fn history(store: &LogStoreRef, most: usize) -> Result<Vec<Event>, LakeError> {
    attempts(|| read(store, most)).await
}

async fn read(store: &LogStoreRef, most: usize) -> Result<Vec<Event>, LakeError> {
    let listing = Listing::of_end(store).await.map_err(|e| delta_error(store.root_url(), e))?;
    let newest = listing.newest.ok_or_else(|| no_table(store))?;
    let mut events = Vec::new();
    for version in (0..=newest).rev().take(most) {
        // Older ones were cleaned away.
        let Some(actions) = read_entry(store, version).await? else { break };
        events.push(event(version, actions));
    }
    Ok(events)
}

fn event(version: u64, actions: Vec<Action>) -> Event {
    let mut event = Event { version, ..Event::default() };
    for action in actions {
        match action {
            Action::CommitInfo(info) => {
                event.committed_ms = info.timestamp;
                event.operation = info.operation;
                event.engine = info.engine_info;
                event.parameters = info.operation_parameters.into_iter().flatten().map(|(k, v)| (k, text(v))).collect();
                let metrics = info.info.get("operationMetrics").and_then(|m| m.as_object()).cloned();
                event.metrics = metrics.into_iter().flatten().map(|(k, v)| (k, text(v))).collect();
            }
            Action::Add(add) => {
                event.files_added += 1;
                event.bytes_added += u64::try_from(add.size).unwrap_or(0);
                event.rows_added += add.stats.as_deref().and_then(rows_in).unwrap_or(0);
                event.changed_rows |= add.data_change;
            }
            Action::Remove(remove) => {
                event.files_removed += 1;
                event.bytes_removed += remove.size.and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
                event.changed_rows |= remove.data_change;
            }
            Action::Txn(txn) => _ = event.txns.insert(txn.app_id, txn.version),
            Action::Metadata(_) | Action::Protocol(_) => event.redefined = true,
            _ => {}
        }
    }
    event
}

fn text(value: serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    }
}
