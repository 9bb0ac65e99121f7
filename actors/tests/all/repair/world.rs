//! Bronze and windows of a stream whose declaration was too narrow, and the truth about both.
//!
//! The old declaration does not know refunds: every third payment that is not malformed is `invalid`, until somebody corrects it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, Date32Array, RecordBatch, UInt32Array};
use deltalake::kernel::Add;
use tributary_actors::lake::delta_log::{Commit, DeltaLog, Kind, Move};
use tributary_actors::lake::encoder::Encoder;
use tributary_actors::lake::{files, offsets};
use tributary_actors::repair::Stores;
use tributary_actors::repair::letters::Which;
use tributary_actors::repair::replay::{Replayed, Request, Slices, replay};
use tributary_actors::serving::merge::Target;
use tributary_actors::serving::{connect, prepare};
use tributary_core::stream::Stream;
use tributary_core::table::{TableFile, parse_date};
use tributary_core::window::Folder;

use crate::common::lake::{Table, files as live};
use crate::common::payments::{batch, payment, stream};
use crate::common::postgres::{Database, database};
use crate::common::probe::span;

/// The declaration before it was corrected.
pub(crate) fn narrow() -> Arc<Stream> {
    let mut stream = (*stream()).clone();
    stream.fields[1].allowed = vec!["card".into(), "cash".into()];
    Arc::new(stream)
}

pub(crate) struct World {
    pub(crate) table: Table,
    pub(crate) database: Database,
    /// The declaration that bronze and windows were written by.
    pub(crate) old: Arc<Stream>,
    log: DeltaLog,
}

impl World {
    /// Offsets 0 to 400 of partitions 0 and 1 in bronze, in commits of 50; the windows have some of it.
    pub(crate) async fn new(old: Arc<Stream>) -> Option<World> {
        let mut world = World::empty(old).await?;
        for n in 0..8 {
            world.ingest(&[(0, n * 50..n * 50 + 50), (1, n * 50..n * 50 + 50)]).await;
        }
        Some(world)
    }

    /// Nothing yet.
    pub(crate) async fn empty(old: Arc<Stream>) -> Option<World> {
        let database = database().await?;
        prepare(&database.url, &old).await.unwrap();
        let table = Table::new(&old).await;
        let log = DeltaLog::open(table.store.clone()).await.unwrap();
        Some(World { table, database, old, log })
    }

    /// The stores as somebody with the corrected declaration sees them.
    pub(crate) fn stores(&self) -> Stores {
        Stores { stream: stream(), table: self.table.store.clone(), database_url: self.database.url.clone() }
    }

    /// A commit of bronze, by the old declaration.
    pub(crate) async fn ingest(&mut self, ranges: &[(i32, Range<i64>)]) {
        let rows = batch(&self.old, ranges).rows;
        self.ingest_rows(&rows, ranges).await;
    }

    /// A commit of bronze with these rows for these offsets.
    pub(crate) async fn ingest_rows(&mut self, rows: &RecordBatch, ranges: &[(i32, Range<i64>)]) {
        self.log.refresh().await.unwrap();
        let mut encoder = Encoder::new(Arc::clone(&self.old));
        encoder.write(rows).unwrap();
        let cut = encoder.finish().unwrap();
        let paths: Vec<String> = cut.iter().map(|f| files::new_path(f.date)).collect();
        files::put(&self.table.store, cut.iter().zip(&paths)).await.unwrap();
        let spans: Vec<_> = ranges.iter().map(|(p, range)| span(*p, range.start, range.end, 0)).collect();
        let moves = ranges.iter().map(|(p, range)| {
            let app = offsets::ingest_app("payments", 1, *p);
            Move { expected: self.log.txn(&app), app, next: range.end }
        });
        let moves = moves.collect();
        let adds = cut.iter().zip(&paths).map(|(file, path)| files::add(file, path, 1, &spans)).collect();
        let commit = Commit { adds, moves, ..Commit::new("TEST", Kind::Append) };
        self.log.commit(&commit).await.unwrap();
    }

    /// The windows count these, by the old declaration.
    pub(crate) async fn merge(&self, ranges: &[(i32, Range<i64>)]) {
        merge(&self.database.url, &self.old, ranges).await;
    }

    /// Replays everything by the corrected declaration.
    pub(crate) async fn replay(&self) -> Replayed {
        replay(&self.stores(), &Request::default(), &|_| ()).await.unwrap()
    }

    /// The same in the smallest slices.
    pub(crate) async fn replay_bit_by_bit(&self) -> Replayed {
        let slices = Slices { ranges: 5, row_bytes: 1 << 10, files: 2, file_bytes: 1 << 20, batch_rows: 20 };
        replay(&self.stores(), &Request { slices, ..Request::default() }, &|_| ()).await.unwrap()
    }

    /// What the log says of replays.
    pub(crate) async fn replays(&self) -> Option<i64> {
        DeltaLog::open(self.table.store.clone()).await.unwrap().txn("replay/payments")
    }

    /// All rows of bronze, by partition and offset. Checks that every file's tag says what is in it.
    pub(crate) async fn rows(&self) -> RecordBatch {
        let schema = plain_schema(&self.old);
        let mut all = Vec::new();
        for add in live(&self.table.store).await {
            let rows = read(self, &add, &schema);
            check_tag(&add, &rows);
            all.push(rows);
        }
        sorted(&arrow_select::concat::concat_batches(&schema, &all).unwrap())
    }

    /// The live files as core sees them.
    pub(crate) async fn table_files(&self) -> Vec<TableFile> {
        let adds = live(&self.table.store).await.into_iter();
        let file = |add: Add| TableFile {
            size: add.size.unsigned_abs(),
            rows: None,
            date: add.partition_values["event_date"].as_deref().and_then(parse_date),
            stats: add.stats,
            tags: add.tags.unwrap_or_default().into_iter().filter_map(|(k, v)| Some((k, v?))).collect(),
            modified_ms: 0,
            path: add.path,
        };
        adds.map(file).collect()
    }
}

pub(crate) async fn merge(url: &str, stream: &Arc<Stream>, ranges: &[(i32, Range<i64>)]) {
    let spans: Vec<_> = ranges.iter().map(|(p, range)| span(*p, range.start, range.end, 0)).collect();
    let deltas = Folder::new(Arc::clone(stream)).fold(&batch(stream, ranges).rows, &spans).unwrap();
    let mut connection = connect(url).await.unwrap();
    let merged = Target::new(Arc::clone(stream), 1).merge(&mut connection, &deltas).await.unwrap();
    assert!(merged.foreign.is_empty());
}

/// How many of these the old declaration refused and the corrected one takes.
pub(crate) fn refunds(ranges: &[(i32, Range<i64>)]) -> u64 {
    let events = ranges.iter().flat_map(|(p, range)| range.clone().map(|offset| payment(*p, offset)));
    events.filter(|event| event.kind == "refund" && !event.malformed).count() as u64
}

/// What bronze must hold of these ranges, decoded by a declaration, by partition and offset.
pub(crate) fn decoded(stream: &Arc<Stream>, ranges: &[(i32, Range<i64>)]) -> RecordBatch {
    let rows = batch(stream, ranges).rows;
    let plain = |column: &ArrayRef| match column.as_any_dictionary_opt() {
        Some(d) => arrow_select::take::take(d.values().as_ref(), d.keys(), None).unwrap(),
        None => Arc::clone(column),
    };
    sorted(&RecordBatch::try_new(plain_schema(stream), rows.columns().iter().map(plain).collect()).unwrap())
}

fn plain_schema(stream: &Stream) -> arrow_schema::SchemaRef {
    let schema = tributary_core::batch::schema(stream);
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        arrow_schema::DataType::Dictionary(_, values) => arrow_schema::Field::new(field.name(), (**values).clone(), true),
        other => arrow_schema::Field::new(field.name(), other.clone(), true),
    });
    Arc::new(arrow_schema::Schema::new(fields.collect::<Vec<_>>()))
}

fn read(world: &World, add: &Add, schema: &arrow_schema::SchemaRef) -> RecordBatch {
    let file = std::fs::File::open(world.table.root().join(&add.path)).unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let date = add.partition_values["event_date"].as_deref().and_then(parse_date).unwrap();
    let batches = reader.map(|batch| {
        let batch = batch.unwrap();
        let columns = schema.fields().iter().map(|field| match field.name().as_str() {
            "event_date" => Arc::new(Date32Array::from_value(date, batch.num_rows())) as ArrayRef,
            name => Arc::clone(batch.column_by_name(name).unwrap()),
        });
        RecordBatch::try_new(Arc::clone(schema), columns.collect()).unwrap()
    });
    arrow_select::concat::concat_batches(schema, &batches.collect::<Vec<_>>()).unwrap()
}

fn place(rows: &RecordBatch) -> Vec<(i32, i64)> {
    let partitions = rows.column_by_name("kafka_partition").unwrap().as_primitive::<Int32Type>();
    let offsets = rows.column_by_name("kafka_offset").unwrap().as_primitive::<Int64Type>();
    partitions.values().iter().copied().zip(offsets.values().iter().copied()).collect()
}

fn sorted(rows: &RecordBatch) -> RecordBatch {
    let places = place(rows);
    let mut order: Vec<u32> = (0..places.len() as u32).collect();
    order.sort_by_key(|row| places[*row as usize]);
    arrow_select::take::take_record_batch(rows, &UInt32Array::from(order)).unwrap()
}

/// Rows add up to the tag by partition, every row lies in a span, and what is said to be replayed is valid.
fn check_tag(add: &Add, rows: &RecordBatch) {
    let tags = add.tags.clone().unwrap();
    let spans = offsets::parse_spans(tags["tributary.spans"].as_deref().unwrap(), 1);
    let places = place(rows);
    let mut said: BTreeMap<i32, u64> = BTreeMap::new();
    for span in &spans {
        *said.entry(span.partition).or_default() += span.rows;
    }
    let mut there: BTreeMap<i32, u64> = said.keys().map(|p| (*p, 0)).collect();
    for (partition, offset) in &places {
        *there.entry(*partition).or_default() += 1;
        assert!(spans.iter().any(|s| s.partition == *partition && (s.from..s.to).contains(offset)), "{partition}:{offset}");
    }
    assert_eq!(said, there, "{}", add.path);
    let statuses = rows.column_by_name("status").unwrap().as_string::<i32>();
    let dates = rows.column_by_name("event_date").unwrap().as_primitive::<Date32Type>();
    assert!(dates.null_count() == 0);
    if let Some(Some(tag)) = tags.get("tributary.replay") {
        for ((_, (incarnation, partition)), offsets) in tributary_core::replay::parse_tag(tag).unwrap() {
            assert_eq!(incarnation, 1);
            for offset in offsets.iter() {
                let row = places.iter().position(|at| *at == (partition, offset)).expect("a replayed row is in its file");
                assert_eq!(statuses.value(row), "ok");
            }
        }
    }
}

/// Records of one reason.
pub(crate) fn because(reason: &str) -> Which {
    Which { reasons: vec![reason.into()], ..Which::default() }
}
