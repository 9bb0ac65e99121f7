//! A bronze table at one version, and its rows, file by file, a batch of bounded weight at a time.

use std::collections::HashMap;

use deltalake::DeltaTableError;
use deltalake::logstore::LogStoreRef;
use object_store::ObjectStoreExt;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use tributary_core::table::TableFile;

use crate::lake::files::object_path;
use crate::lake::snapshot::Snapshot;
use crate::lake::{LakeError, delta_error};

/// What a batch of rows may weigh, payloads included, on the average.
const BATCH_BYTES: u64 = 32 << 20;
/// Rows of a batch, at most.
pub(super) const BATCH_ROWS: usize = 32_768;

/// The table at one version.
#[derive(Debug, Clone, Default)]
pub struct Bronze {
    /// The table's own id.
    pub id: String,
    /// When it was made, milliseconds since 1970.
    pub created_ms: Option<i64>,
    /// The version.
    pub version: u64,
    /// Last version of each application id.
    pub txns: HashMap<String, i64>,
    /// The live files, by path.
    pub files: Vec<TableFile>,
}

impl Bronze {
    /// The newest version; none where there is no table.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn open(store: &LogStoreRef) -> Result<Option<Self>, LakeError> {
        Ok(Snapshot::find(store).await?.map(|snapshot| Self {
            id: snapshot.id().to_owned(),
            created_ms: snapshot.metadata().created_time(),
            version: snapshot.version(),
            txns: snapshot.txns().clone(),
            files: snapshot.files().values().cloned().collect(),
        }))
    }

    /// What the log says for an application id.
    pub fn txn(&self, app: &str) -> Option<i64> {
        self.txns.get(app).copied()
    }
}

/// What the statistics of a file know of its rows. Where they know nothing, everything may be there.
pub(super) struct Known(serde_json::Value);

impl Known {
    pub(super) fn of(file: &TableFile) -> Self {
        Self(file.stats.as_deref().and_then(|stats| serde_json::from_str(stats).ok()).unwrap_or_default())
    }

    /// Whether there may be a row that is not valid.
    pub(super) fn may_hold_bad(&self) -> bool {
        let ok = |bound: &str| self.0[bound]["status"] == "ok";
        !(ok("minValues") && ok("maxValues"))
    }

    /// The first and the last time in `column`, in milliseconds since 1970. The last may be up to a millisecond later: some writers cut
    /// off what is below.
    fn times(&self, column: &str) -> (Option<i64>, Option<i64>) {
        let bound = |bound: &str| {
            let text = self.0[bound][column].as_str()?;
            Some(chrono::DateTime::parse_from_rfc3339(text).ok()?.timestamp_millis())
        };
        (bound("minValues"), bound("maxValues"))
    }

    /// Whether there may be a row whose `column` is one of these times, `[from, to)` in milliseconds since 1970.
    pub(super) fn may_hold_time(&self, column: &str, (from, to): (i64, i64)) -> bool {
        let (low, high) = self.times(column);
        low.is_none_or(|low| low < to) && high.is_none_or(|high| high >= from)
    }

    /// In microseconds since 1970, a time that is after all in `column`.
    pub(super) fn all_before_us(&self, column: &str) -> Option<i64> {
        self.times(column).1.map(|high| (high + 1).saturating_mul(1_000))
    }
}

/// The rows of a file in batches of a bounded weight, these columns alone (those that it has), or all.
///
/// # Errors
/// When the file cannot be read.
pub(super) async fn rows(
    store: &LogStoreRef,
    file: &TableFile,
    columns: Option<&[&str]>,
) -> Result<ParquetRecordBatchReader, LakeError> {
    few_rows(store, file, columns, BATCH_ROWS).await
}

/// The same with at most so many rows in a batch.
pub(super) async fn few_rows(
    store: &LogStoreRef,
    file: &TableFile,
    columns: Option<&[&str]>,
    most: usize,
) -> Result<ParquetRecordBatchReader, LakeError> {
    let read = async {
        let bytes = store.object_store(None).get(&object_path(&file.path)).await?.bytes().await?;
        let mut reader = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
        if let Some(columns) = columns {
            let mask = ProjectionMask::columns(reader.parquet_schema(), columns.iter().copied());
            reader = reader.with_projection(mask);
        }
        let groups = reader.metadata().row_groups();
        let heaviest = groups.iter().map(|g| g.total_byte_size().unsigned_abs() / g.num_rows().unsigned_abs().max(1)).max();
        let fit = usize::try_from(BATCH_BYTES / heaviest.unwrap_or(0).max(1)).unwrap_or(usize::MAX);
        Ok::<_, DeltaTableError>(reader.with_batch_size(fit.max(16).min(most)).build()?)
    };
    read.await.map_err(|e| delta_error(store.root_url(), e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_left_out_only_when_its_statistics_say_so() {
        let known = |stats: Option<&str>| {
            Known::of(&TableFile {
                path: "a.parquet".to_owned(),
                size: 1,
                rows: None,
                date: None,
                stats: stats.map(str::to_owned),
                tags: Default::default(),
                modified_ms: 0,
            })
        };
        let range = r#"{"minValues":{"paid_at":"1970-01-01T00:00:10.000Z"},"maxValues":{"paid_at":"1970-01-01T00:00:20.000Z"}}"#;
        for (from, to, may) in [(0, 10_000, false), (0, 10_001, true), (20_000, 30_000, true), (20_001, 30_000, false)] {
            assert_eq!(known(Some(range)).may_hold_time("paid_at", (from, to)), may, "{from} to {to}");
        }
        let unknown = [None, Some("{}"), Some("no JSON")].map(known);
        assert!(unknown.iter().all(|known| known.may_hold_bad() && known.may_hold_time("paid_at", (0, 1))));
        assert!(known(Some(range)).may_hold_time("other", (0, 1)), "another column says nothing");
        let end = |stats: Option<&str>| known(stats).all_before_us("paid_at");
        assert_eq!([end(Some(range)), end(None)], [Some(20_001_000), None]);
    }
}
