//! An engine that can rewrite files and nothing else, and rows that land in bronze.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tributary_actors::engine::{Engine, EngineError, Models, SilverInput, Stored};
use tributary_actors::lake::delta_log::{Commit, CommitError, DeltaLog, Kind, Move};
use tributary_actors::lake::encoder::Encoder;
use tributary_actors::lake::files;
use tributary_actors::lake::offsets::ingest_app;
use tributary_core::model::{Planned, Test};
use tributary_core::stream::Stream;
use tributary_core::table::NewFile;
use tributary_core::work::{Built, SilverOutput, TestOutcome};

use super::payments::{TOPIC, batch};
use super::probe::span;

/// Rewrites files with Parquet's own reader and writer.
#[derive(Default)]
pub struct Rewriter {
    /// Rows that it forgets.
    pub forgets: usize,
    /// Files put so far.
    pub put: AtomicU64,
}

#[async_trait]
impl Engine for Rewriter {
    async fn compact(&self, table: Stored, _: u64) -> Result<Vec<NewFile>, EngineError> {
        let failed = |e: &dyn std::fmt::Display| EngineError::Failed(e.to_string());
        let mut batches: Vec<RecordBatch> = Vec::new();
        for file in &table.table.files {
            let path = Path::parse(&file.path).map_err(|e| failed(&e))?;
            let got = table.store.get(&path).await.map_err(|e| failed(&e))?;
            let bytes = got.bytes().await.map_err(|e| failed(&e))?;
            let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).and_then(|b| b.build()).map_err(|e| failed(&e))?;
            batches.extend(reader.map(Result::unwrap));
        }
        let mut writer = ArrowWriter::try_new(Vec::new(), batches[0].schema(), None).map_err(|e| failed(&e))?;
        let mut rows = 0;
        for batch in &batches {
            let kept = batch.slice(0, batch.num_rows().saturating_sub(self.forgets));
            rows += kept.num_rows() as u64;
            writer.write(&kept).map_err(|e| failed(&e))?;
        }
        let bytes: Bytes = writer.into_inner().map_err(|e| failed(&e))?.into();
        let date = table.table.files[0].date;
        let path = files::new_path(date.unwrap());
        table.store.put(&Path::from(path.as_str()), bytes.clone().into()).await.map_err(|e| failed(&e))?;
        self.put.fetch_add(1, Ordering::Relaxed);
        let stats = format!(r#"{{"numRecords":{rows},"minValues":{{}},"maxValues":{{}},"nullCount":{{}}}}"#);
        Ok(vec![NewFile { path, size: bytes.len() as u64, rows, date, stats, tags: Default::default() }])
    }

    async fn models(&self, _: PathBuf, _: &[Arc<Stream>]) -> Result<Models, EngineError> {
        unreachable!()
    }

    fn silver_schemas(&self, _: &Stream) -> (SchemaRef, SchemaRef) {
        unreachable!()
    }

    async fn silver(&self, _: SilverInput) -> Result<SilverOutput, EngineError> {
        unreachable!()
    }

    async fn build(&self, _: &Planned, _: Vec<Stored>, _: Arc<dyn ObjectStore>) -> Result<Built, EngineError> {
        unreachable!()
    }

    async fn check(&self, _: &Planned, _: &[Test], _: Vec<Stored>) -> Result<Vec<TestOutcome>, EngineError> {
        unreachable!()
    }

    async fn read(&self, _: Stored) -> Result<BoxStream<'static, Result<RecordBatch, EngineError>>, EngineError> {
        unreachable!()
    }
}

/// Encodes these records and commits them: partition → offsets, which must be the next ones.
pub async fn land(log: &mut DeltaLog, stream: &Arc<Stream>, ranges: &[(i32, Range<i64>)]) -> Result<u64, CommitError> {
    let mut encoder = Encoder::new(Arc::clone(stream));
    encoder.write(&batch(stream, ranges).rows).unwrap();
    let cut = encoder.finish().unwrap();
    let paths: Vec<String> = cut.iter().map(|file| files::new_path(file.date)).collect();
    files::put(log.store(), cut.iter().zip(&paths)).await?;
    let spans: Vec<_> = ranges.iter().map(|(partition, range)| span(*partition, range.start, range.end, 0)).collect();
    let moves = ranges.iter().map(|(partition, range)| {
        let app = ingest_app(TOPIC, 1, *partition);
        Move { expected: log.txn(&app).map(|_| range.start), app, next: range.end }
    });
    let moves = moves.collect();
    let adds = cut.iter().zip(&paths).map(|(file, path)| files::add(file, path, 1, &spans)).collect();
    log.commit(&Commit { adds, moves, ..Commit::new("STREAMING UPDATE", Kind::Append) }).await
}
