//! The lake: Delta tables behind one object-store factory.
//!
//! - [`fsync_store`]: local files that are on disk when a put returns.
//! - [`delta_log`]: commits of constant cost, with offsets compared on the very version they are put after.
//! - [`snapshot`]: one version of a table, in memory; [`changes`]: what changed between two; [`history`]: what happened.
//! - [`table`]: creating and checking tables.
//! - [`encoder`]: rows to Parquet files, one per event date.
//! - [`files`]: where they go, and what the log says of them.
//! - [`offsets`]: what the log says about topics and offsets.
//! - [`reader`]: bronze's rows read back, by offsets.
//! - [`upkeep`]: checkpoints and log cleanup, beside the commits.
//! - [`compaction`]: many small files become few; [`vacuum`]: files that nothing needs any more go.
//!
//! Every location is a URL; nothing here renames, walks folders or locks locally, so that an object store with conditional put
//! serves as well as a disk.

pub mod changes;
mod checkpoint;
mod commit;
pub mod compaction;
pub mod delta_log;
pub mod encoder;
pub mod files;
pub mod fsync_store;
pub mod history;
pub(crate) mod listing;
pub mod offsets;
pub mod reader;
pub mod snapshot;
pub mod table;
pub mod upkeep;
pub mod vacuum;

use std::sync::{Arc, Once};

use deltalake::DeltaResult;
use deltalake::logstore::{LogStoreRef, ObjectStoreFactory, ObjectStoreRef, StorageConfig, logstore_for, object_store_factories};
use object_store::path::Path;
use url::Url;

use self::fsync_store::FsyncStore;

/// What can go wrong with the lake.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// The store or the log could not be read or written; may pass.
    #[error("the lake at {url}: {source}")]
    Delta {
        /// Table.
        url: String,
        /// Cause.
        #[source]
        source: Box<deltalake::DeltaTableError>,
    },
    /// The table is not what the stream declares; does not pass.
    #[error("the table at {url}: {problem}")]
    Refused {
        /// Table.
        url: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The location is no URL and no path.
    #[error("{given:?} is not a location for a lake: {problem}")]
    Location {
        /// As given.
        given: String,
        /// What is wrong.
        problem: String,
    },
}

impl LakeError {
    /// Whether no retry mends it.
    pub fn is_permanent(&self) -> bool {
        !matches!(self, Self::Delta { .. })
    }
}

struct FsyncFactory;

impl ObjectStoreFactory for FsyncFactory {
    fn parse_url_opts(&self, url: &Url, _: &StorageConfig) -> DeltaResult<(ObjectStoreRef, Path)> {
        let path = Path::from_url_path(url.path()).map_err(object_store::Error::from)?;
        Ok((Arc::new(FsyncStore::new()), path))
    }
}

/// Makes `file://` mean [`FsyncStore`] for this process, for deltalake's own writes too. Idempotent.
pub fn register_fsync_store() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if let Ok(scheme) = Url::parse("file://") {
            object_store_factories().insert(scheme, Arc::new(FsyncFactory));
        }
    });
}

/// The URL of a lake given as a URL or a path; a local folder is created.
///
/// # Errors
/// When it is neither, or the folder cannot be made.
pub fn lake_url(given: &str) -> Result<Url, LakeError> {
    let refuse = |problem: String| LakeError::Location { given: given.to_owned(), problem };
    if given.contains("://") {
        let mut url = Url::parse(given).map_err(|e| refuse(e.to_string()))?;
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        return Ok(url);
    }
    std::fs::create_dir_all(given).map_err(|e| refuse(format!("cannot create the folder: {e}")))?;
    let absolute = std::fs::canonicalize(given).map_err(|e| refuse(e.to_string()))?;
    Url::from_directory_path(&absolute).map_err(|()| refuse("not an absolute path".to_owned()))
}

/// The log store of `bronze/<stream>` in the lake. Loads nothing.
///
/// # Errors
/// When the URL cannot be a table.
pub fn bronze(lake: &Url, stream: &str, options: impl IntoIterator<Item = (String, String)>) -> Result<LogStoreRef, LakeError> {
    at(lake, &format!("bronze/{stream}/"), options)
}

/// The name of the table at that place, as metrics and logs call it: `bronze.user_events`.
pub(crate) fn label(table: &Url) -> String {
    let parts: Vec<&str> = table.path().trim_end_matches('/').rsplit('/').take(2).collect();
    parts.into_iter().rev().collect::<Vec<_>>().join(".")
}

/// The log store of a table, by its name in SQL: `silver.user_events`. Loads nothing, creates nothing.
///
/// # Errors
/// When that is no table's name.
pub fn table(lake: &Url, name: &str, options: impl IntoIterator<Item = (String, String)>) -> Result<LogStoreRef, LakeError> {
    let is_plain = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    match name.split_once('.') {
        Some((layer @ ("bronze" | "silver" | "gold"), table)) if is_plain(table) => {
            at(lake, &format!("{layer}/{table}/"), options)
        }
        _ => Err(LakeError::Location {
            given: name.to_owned(),
            problem: "a table is bronze.NAME, silver.NAME or gold.NAME".to_owned(),
        }),
    }
}

/// The name `layer.table` of a table at this address.
pub(crate) fn name_of(table: &Url) -> String {
    let parts: Vec<&str> = table.path().split('/').filter(|part| !part.is_empty()).collect();
    parts[parts.len().saturating_sub(2)..].join(".")
}

fn at(lake: &Url, folder: &str, options: impl IntoIterator<Item = (String, String)>) -> Result<LogStoreRef, LakeError> {
    register_fsync_store();
    let url = lake.join(folder).map_err(|e| LakeError::Location { given: lake.to_string(), problem: e.to_string() })?;
    let config = StorageConfig::parse_options(options).map_err(|source| delta_error(&url, source))?;
    logstore_for(&url, config).map_err(|source| delta_error(&url, source))
}

pub(crate) fn delta_error(url: &Url, source: deltalake::DeltaTableError) -> LakeError {
    LakeError::Delta { url: url.to_string(), source: Box::new(source) }
}
