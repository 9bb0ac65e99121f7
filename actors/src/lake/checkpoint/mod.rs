//! Checkpoints: a table's state at one version, in Parquet.
//!
//! Read in a projection of our own, only the columns that are wanted, and the row groups that hold any: whole tables are loaded in
//! milliseconds, where the libraries' readers keep every action in memory. Types are taken from Parquet, so it does not matter who
//! wrote the file. [`write`] writes them.

mod columns;
mod encode;
pub(super) mod write;

use std::collections::HashMap;

use bytes::Bytes;
use deltalake::DeltaTableError;
use deltalake::kernel::Metadata;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::RowGroupMetaData;
use tributary_core::table::TableFile;

use super::files::{date_of, decoded, rows_in};
use columns::visit;

/// What of a checkpoint is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Application transactions alone.
    Txns,
    /// The table: protocol, metadata, live files, transactions.
    Table,
    /// What was removed.
    Removed,
}

/// One action of a checkpoint. Paths are as they are written there.
pub(super) enum Row<'a> {
    Txn { app: &'a str, version: i64, updated_ms: Option<i64> },
    Protocol { reader: i32, writer: i32 },
    Metadata(Metadata),
    Add(AddRow<'a>),
    Remove(RemoveRow<'a>),
}

/// The texts of a map.
pub(super) type Texts<'a> = Vec<(&'a str, Option<&'a str>)>;

pub(super) struct AddRow<'a> {
    pub(super) path: &'a str,
    pub(super) partition_values: Texts<'a>,
    pub(super) size: i64,
    pub(super) modified_ms: i64,
    pub(super) data_change: bool,
    pub(super) stats: Option<&'a str>,
    /// None and empty are the same.
    pub(super) tags: Texts<'a>,
}

pub(super) struct RemoveRow<'a> {
    pub(super) path: &'a str,
    pub(super) removed_ms: Option<i64>,
    pub(super) data_change: bool,
    pub(super) partition_values: Option<Texts<'a>>,
    pub(super) size: Option<i64>,
}

/// A file that was removed and that older versions may still need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tombstone {
    /// Relative to the table's root, decoded.
    pub(super) path: String,
    /// When it was removed, milliseconds since 1970; without, long ago.
    pub(super) removed_ms: i64,
}

/// What a checkpoint says.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// Reader and writer version.
    pub(super) protocol: Option<(i32, i32)>,
    pub(super) metadata: Option<Metadata>,
    pub(super) txns: HashMap<String, i64>,
    pub(super) files: Vec<TableFile>,
    pub(super) removed: Vec<Tombstone>,
}

const TXNS: &[&str] = &["txn.appId", "txn.version", "txn.lastUpdated"];
const TABLE: &[&str] = &[
    "txn.appId",
    "txn.version",
    "txn.lastUpdated",
    "protocol.minReaderVersion",
    "protocol.minWriterVersion",
    "metaData",
    "add.path",
    "add.partitionValues",
    "add.size",
    "add.modificationTime",
    "add.dataChange",
    "add.stats",
    "add.tags",
];
const REMOVED: &[&str] =
    &["remove.path", "remove.deletionTimestamp", "remove.dataChange", "remove.partitionValues", "remove.size"];

impl Wanted {
    fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Txns => TXNS,
            Self::Table => TABLE,
            Self::Removed => REMOVED,
        }
    }

    /// The columns of which every action that is wanted has one.
    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Txns => &["txn.appId"],
            Self::Table => &["txn.appId", "protocol.minReaderVersion", "metaData.id", "add.path"],
            Self::Removed => &["remove.path"],
        }
    }

    /// Whether a row group may hold anything that is wanted.
    fn is_in(self, group: &RowGroupMetaData) -> bool {
        group.columns().iter().filter(|column| self.keys().contains(&column.column_path().string().as_str())).any(|column| {
            let nulls = column.statistics().and_then(|s| s.null_count_opt());
            nulls.is_none_or(|nulls| i128::from(nulls) < i128::from(group.num_rows()))
        })
    }
}

/// Hands over the wanted actions of one file of a checkpoint, one after the other.
pub(super) fn read(bytes: Bytes, wanted: Wanted, each: &mut dyn FnMut(Row<'_>)) -> Result<(), DeltaTableError> {
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes, options)?;
    let mask = ProjectionMask::columns(reader.parquet_schema(), wanted.columns().iter().copied());
    let groups = reader.metadata().row_groups().iter().enumerate();
    let groups = groups.filter(|(_, group)| wanted.is_in(group)).map(|(at, _)| at).collect();
    for batch in reader.with_projection(mask).with_row_groups(groups).with_batch_size(2048).build()? {
        visit(&batch?, each)?;
    }
    Ok(())
}

impl Contents {
    /// Takes an action over.
    pub(super) fn take(&mut self, row: Row<'_>) {
        match row {
            Row::Txn { app, version, .. } => _ = self.txns.insert(app.to_owned(), version),
            Row::Protocol { reader, writer } => self.protocol = Some((reader, writer)),
            Row::Metadata(metadata) => self.metadata = Some(metadata),
            Row::Add(add) => {
                let path = decoded(add.path);
                self.files.push(TableFile {
                    size: u64::try_from(add.size).unwrap_or(0),
                    rows: add.stats.and_then(rows_in),
                    date: date_of(add.partition_values.iter().copied(), &path),
                    stats: add.stats.map(str::to_owned),
                    tags: add.tags.iter().map(|(k, v)| ((*k).to_owned(), v.unwrap_or_default().to_owned())).collect(),
                    modified_ms: add.modified_ms,
                    path,
                });
            }
            Row::Remove(remove) => {
                self.removed.push(Tombstone { path: decoded(remove.path), removed_ms: remove.removed_ms.unwrap_or(0) });
            }
        }
    }
}
