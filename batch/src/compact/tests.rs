use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float64Type, Int64Type};
use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use object_store::local::LocalFileSystem;
use tributary_core::batch::timestamp_type;
use tributary_core::table::TableFile;

use super::*;

struct Table {
    _folder: tempfile::TempDir,
    store: Arc<dyn ObjectStore>,
    pinned: Pinned,
}

impl Table {
    fn new(schema: SchemaRef, by_date: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap());
        let pinned = Pinned { name: "gold.t".to_owned(), id: "t".to_owned(), version: 1, schema, by_date, files: vec![] };
        Self { _folder: folder, store, pinned }
    }

    async fn add(&mut self, rows: &RecordBatch, options: WriterOptions) {
        let schema = rows.schema();
        let mut writer = TableWriter::new(Arc::clone(&self.store), schema, self.pinned.by_date, options);
        writer.write(rows).await.unwrap();
        let files = writer.finish().await.unwrap();
        self.set(files, false);
    }

    fn set(&mut self, files: Vec<NewFile>, anew: bool) {
        if anew {
            self.pinned.files.clear();
        }
        self.pinned.files.extend(files.into_iter().map(|f| TableFile {
            path: f.path,
            size: f.size,
            rows: Some(f.rows),
            date: f.date,
            stats: Some(f.stats),
            tags: BTreeMap::new(),
            modified_ms: 0,
        }));
    }

    async fn compact(&mut self, target: u64) -> Vec<NewFile> {
        let table = Arc::new(self.pinned.clone());
        let files = compact(table, Arc::clone(&self.store), target, WriterOptions::default()).await.unwrap();
        self.set(files.clone(), true);
        files
    }

    async fn rows(&self) -> RecordBatch {
        let mut batches = Vec::new();
        for file in &self.pinned.files {
            let source = SourceFile::open(&self.store, file, &BTreeSet::new()).await.unwrap();
            let columns: Vec<&str> = self.pinned.schema.fields().iter().map(|f| f.name().as_str()).collect();
            for group in 0..source.row_groups().len() {
                batches.extend(source.fetch(group, &columns).await.unwrap().batches().unwrap().map(Result::unwrap));
            }
        }
        arrow_select::concat::concat_batches(&batches[0].schema(), &batches).unwrap()
    }
}

fn numbers(from: i64, to: i64) -> RecordBatch {
    let texts = StringArray::from_iter((from..to).map(|n| (n % 3 > 0).then(|| format!("text {n}"))));
    RecordBatch::try_from_iter_with_nullable([
        ("n", Arc::new(Int64Array::from_iter_values(from..to)) as ArrayRef, true),
        ("text", Arc::new(texts), true),
    ])
    .unwrap()
}

#[tokio::test]
async fn many_files_become_one_with_the_same_rows_in_the_same_order() {
    let mut table = Table::new(numbers(0, 0).schema(), false);
    for n in 0..20 {
        table.add(&numbers(n * 100, (n + 1) * 100), WriterOptions { row_group_rows: 40, ..Default::default() }).await;
    }
    let files = table.compact(1 << 30).await;
    assert_eq!((files.len(), files[0].rows), (1, 2_000));
    let (before, after) = (numbers(0, 2_000), table.rows().await);
    assert_eq!(before.columns(), after.columns());
    assert!(files[0].tags.is_empty());
    let stats: serde_json::Value = serde_json::from_str(&files[0].stats).unwrap();
    assert_eq!(
        (&stats["minValues"]["n"], &stats["maxValues"]["n"], &stats["nullCount"]["text"]),
        (&0.into(), &1_999.into(), &667.into())
    );
}

#[tokio::test]
async fn a_target_that_is_smaller_than_all_makes_several_files() {
    let mut table = Table::new(numbers(0, 0).schema(), false);
    for n in 0..10 {
        table.add(&numbers(n * 10_000, (n + 1) * 10_000), WriterOptions::default()).await;
    }
    let files = table.compact(300_000).await;
    assert!((2..10).contains(&files.len()), "{}", files.len());
    assert!(files.iter().all(|f| f.size < 600_000), "{files:?}");
    assert_eq!(table.rows().await.columns(), numbers(0, 100_000).columns());
}

#[tokio::test]
async fn a_column_that_older_files_lack_is_null_there() {
    let mut table = Table::new(numbers(0, 0).schema(), false);
    table.add(&numbers(0, 2).project(&[0]).unwrap(), WriterOptions::default()).await;
    table.add(&numbers(2, 4), WriterOptions::default()).await;
    table.compact(1 << 30).await;
    let rows = table.rows().await;
    assert_eq!(rows.column(0).as_primitive::<Int64Type>().values(), &[0, 1, 2, 3]);
    assert_eq!(rows.column(1).as_string::<i32>().iter().collect::<Vec<_>>(), [None, None, Some("text 2"), None]);
}

#[tokio::test]
async fn each_day_is_rewritten_for_itself() {
    let schema =
        Arc::new(Schema::new(vec![Field::new("event_date", DataType::Date32, true), Field::new("n", DataType::Int64, true)]));
    let mut table = Table::new(Arc::clone(&schema), true);
    for n in 0..3 {
        let columns: Vec<ArrayRef> = vec![Arc::new(Date32Array::from(vec![5, 6])), Arc::new(Int64Array::from(vec![n, n + 10]))];
        table.add(&RecordBatch::try_new(Arc::clone(&schema), columns).unwrap(), WriterOptions::default()).await;
    }
    let files = table.compact(1 << 30).await;
    assert_eq!(files.iter().map(|f| (f.date, f.rows)).collect::<Vec<_>>(), [(Some(5), 3), (Some(6), 3)]);
    assert_eq!(table.rows().await.column(0).as_primitive::<Int64Type>().values(), &[0, 1, 2, 10, 11, 12]);
}

#[tokio::test]
async fn every_bit_of_every_type_survives() {
    let odd = [f64::from_bits(0x7FF8_0000_0000_0001), -0.0, 0.0, f64::NEG_INFINITY, f64::MIN_POSITIVE / 2.0];
    let wide =
        Decimal128Array::from(vec![Some(i128::MAX / 10), None, Some(-1), Some(0), Some(7)]).with_precision_and_scale(38, 5);
    let columns: [(&str, ArrayRef); 5] = [
        ("float", Arc::new(Float64Array::from(odd.to_vec()))),
        ("decimal", Arc::new(wide.unwrap())),
        ("truth", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), None, Some(true)]))),
        ("at", Arc::new(TimestampMicrosecondArray::from(vec![i64::MIN, -1, 0, 1, i64::MAX]).with_timezone("UTC"))),
        ("date", Arc::new(Date32Array::from(vec![i32::MIN, -1, 0, 1, i32::MAX]))),
    ];
    let given = RecordBatch::try_from_iter_with_nullable(columns.map(|(n, c)| (n, c, true))).unwrap();
    assert_eq!(given.schema().field(3).data_type(), &timestamp_type());
    let mut table = Table::new(given.schema(), false);
    table.add(&given, WriterOptions::default()).await;
    table.compact(1 << 30).await;
    table.compact(1 << 30).await;
    let rows = table.rows().await;
    let bits = |f: &ArrayRef| f.as_primitive::<Float64Type>().values().iter().map(|f| f.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(rows.column(0)), bits(given.column(0)));
    assert_eq!(rows.column(1).as_primitive::<Decimal128Type>(), given.column(1).as_primitive::<Decimal128Type>());
    assert_eq!(rows.columns()[2..], given.columns()[2..]);
}

#[tokio::test]
async fn a_file_that_is_gone_is_an_error_that_names_it() {
    let mut table = Table::new(numbers(0, 0).schema(), false);
    table.add(&numbers(0, 2), WriterOptions::default()).await;
    table.pinned.files[0].path = "gone.parquet".to_owned();
    let error = compact(Arc::new(table.pinned), table.store, 1, WriterOptions::default()).await.unwrap_err();
    assert!(error.to_string().contains("gone.parquet"), "{error}");
}
