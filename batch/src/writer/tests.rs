use std::sync::Arc;

use arrow_array::builder::StringDictionaryBuilder;
use arrow_array::types::Int32Type;
use arrow_array::{Date32Array, Int64Array, RecordBatch, StringArray, StringViewArray, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use tributary_core::batch::timestamp_type;

use super::*;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Utf8, true),
        Field::new("at", timestamp_type(), true),
        Field::new(DATE_COLUMN, DataType::Date32, true),
        Field::new("amount", DataType::Int64, true),
    ]))
}

fn rows(days: &[i32], first: i64) -> RecordBatch {
    let numbers: Vec<i64> = (first..first + days.len() as i64).collect();
    let ids = StringArray::from_iter_values(numbers.iter().map(|n| format!("id-{n}")));
    let times = TimestampMicrosecondArray::from_iter_values(numbers.iter().map(|n| n * 1001)).with_timezone("UTC");
    let dates = Date32Array::from(days.to_vec());
    let columns: Vec<ArrayRef> = vec![Arc::new(ids), Arc::new(times), Arc::new(dates), Arc::new(Int64Array::from(numbers))];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn read(folder: &tempfile::TempDir, path: &str) -> RecordBatch {
    let file = std::fs::File::open(folder.path().join(path)).unwrap();
    let batches: Vec<_> = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap().map(Result::unwrap).collect();
    arrow_select::concat::concat_batches(&batches[0].schema(), &batches).unwrap()
}

fn folder() -> (tempfile::TempDir, Arc<dyn ObjectStore>) {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
    (folder, Arc::new(store))
}

fn amounts(rows: &RecordBatch) -> Vec<i64> {
    let column = rows.column_by_name("amount").unwrap();
    column.as_primitive::<arrow_array::types::Int64Type>().values().to_vec()
}

#[tokio::test]
async fn rows_of_several_days_go_into_a_folder_each_in_their_order_and_without_the_date() {
    let (folder, store) = folder();
    let mut writer = TableWriter::new(store, schema(), true, WriterOptions::default());
    writer.write(&rows(&[1, 2, 1, 1], 0)).await.unwrap();
    writer.write(&rows(&[2, 2, 2], 4)).await.unwrap();
    let files = writer.finish().await.unwrap();
    let found: Vec<_> = files.iter().map(|f| (f.date, f.rows, amounts(&read(&folder, &f.path)))).collect();
    assert_eq!(found, [(Some(1), 3, vec![0, 2, 3]), (Some(2), 4, vec![1, 4, 5, 6])]);
    for file in &files {
        assert!(file.path.starts_with(&format!("event_date={}/part-", date_text(file.date.unwrap()))), "{}", file.path);
        assert!(file.path.ends_with(".zstd.parquet"));
        assert_eq!(file.size, std::fs::metadata(folder.path().join(&file.path)).unwrap().len());
        assert!(read(&folder, &file.path).column_by_name(DATE_COLUMN).is_none());
    }
}

#[tokio::test]
async fn a_table_without_partitions_keeps_the_date() {
    let (folder, store) = folder();
    let mut writer = TableWriter::new(store, schema(), false, WriterOptions::default());
    writer.write(&rows(&[3, 1], 0)).await.unwrap();
    let files = writer.finish().await.unwrap();
    assert_eq!(files.len(), 1);
    assert!(files[0].path.starts_with("part-") && files[0].date.is_none());
    assert!(read(&folder, &files[0].path).column_by_name(DATE_COLUMN).is_some());
    let stats: Value = serde_json::from_str(&files[0].stats).unwrap();
    assert_eq!(
        (stats["minValues"][DATE_COLUMN].as_str(), stats["maxValues"][DATE_COLUMN].as_str()),
        (Some("1970-01-02"), Some("1970-01-04"))
    );
}

#[tokio::test]
async fn statistics_hold_over_several_row_groups_and_round_outwards() {
    let (_folder, store) = folder();
    let options = WriterOptions { row_group_rows: 2, ..WriterOptions::default() };
    let mut writer = TableWriter::new(store, schema(), true, options);
    writer.write(&rows(&[1; 5], 1)).await.unwrap();
    let files = writer.finish().await.unwrap();
    let stats: Value = serde_json::from_str(&files[0].stats).unwrap();
    assert_eq!(stats["numRecords"], 5);
    assert_eq!((&stats["minValues"]["amount"], &stats["maxValues"]["amount"]), (&1.into(), &5.into()));
    // 1,001 to 5,005 microseconds.
    assert_eq!(stats["minValues"]["at"], "1970-01-01T00:00:00.001Z");
    assert_eq!(stats["maxValues"]["at"], "1970-01-01T00:00:00.006Z");
    assert_eq!(stats["nullCount"]["id"], 0);
}

#[tokio::test]
async fn a_file_ends_at_its_target_size_and_no_row_is_lost_between_files() {
    let (folder, store) = folder();
    let options = WriterOptions { target_file_bytes: 20_000, row_group_rows: 1_000, ..WriterOptions::default() };
    let mut writer = TableWriter::new(store, schema(), false, options);
    for n in 0..40 {
        writer.write(&rows(&[1; 500], n * 500)).await.unwrap();
    }
    let files = writer.finish().await.unwrap();
    assert!(files.len() > 1, "{}", files.len());
    let all: Vec<i64> = files.iter().flat_map(|f| amounts(&read(&folder, &f.path))).collect();
    assert_eq!(all, (0..20_000).collect::<Vec<_>>());
    assert_eq!(files.iter().map(|f| f.rows).sum::<u64>(), 20_000);
}

#[tokio::test]
async fn many_open_days_are_bounded_by_closing_the_largest() {
    let (folder, store) = folder();
    let options = WriterOptions { memory_bytes: 8 << 20, ..WriterOptions::default() };
    let mut writer = TableWriter::new(store, schema(), true, options);
    for n in 0..100_i64 {
        let days: Vec<i32> = (0..1_000).map(|i| i % 20).collect();
        writer.write(&rows(&days, n * 1_000)).await.unwrap();
        let held: usize = writer.open.values().map(Output::memory).sum();
        assert!(held <= 8 << 20, "{held}");
    }
    let files = writer.finish().await.unwrap();
    assert!(files.len() > 20);
    let mut all: Vec<i64> = files.iter().flat_map(|f| amounts(&read(&folder, &f.path))).collect();
    all.sort_unstable();
    assert_eq!(all, (0..100_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn dictionaries_views_and_other_units_of_time_are_written_as_the_table_says() {
    let (folder, store) = folder();
    let schema = Arc::new(Schema::new(vec![
        Field::new("a", DataType::Utf8, true),
        Field::new("b", DataType::Utf8, true),
        Field::new("at", timestamp_type(), true),
    ]));
    let mut dictionary = StringDictionaryBuilder::<Int32Type>::new();
    dictionary.extend([Some("web"), None, Some("web")]);
    let times = arrow_array::TimestampMillisecondArray::from(vec![1, 2, 3]);
    let given = RecordBatch::try_from_iter([
        ("at", Arc::new(times) as ArrayRef),
        ("b", Arc::new(StringViewArray::from(vec![Some("a string that is no inline view"), Some("x"), None]))),
        ("a", Arc::new(dictionary.finish())),
    ])
    .unwrap();
    let mut writer = TableWriter::new(store, schema, false, WriterOptions::default());
    writer.write(&given).await.unwrap();
    let files = writer.finish().await.unwrap();
    let back = read(&folder, &files[0].path);
    assert_eq!(back.schema().field(0).data_type(), &DataType::Utf8);
    assert_eq!(back.column(0).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("web"), None, Some("web")]);
    assert_eq!(back.column(1).as_string::<i32>().value(0), "a string that is no inline view");
    assert_eq!(back.schema().field(2).data_type(), &timestamp_type());
    assert_eq!(back.column(2).as_primitive::<arrow_array::types::TimestampMicrosecondType>().value(2), 3_000);
}

#[tokio::test]
async fn rows_of_another_table_are_refused_by_name() {
    let mut writer = TableWriter::new(Arc::new(InMemory::new()), schema(), true, WriterOptions::default());
    let given = rows(&[1], 0).project(&[0, 2, 3]).unwrap();
    let error = writer.write(&given).await.unwrap_err().to_string();
    assert!(error.contains("no column at"), "{error}");
}

#[tokio::test]
async fn no_rows_make_no_file() {
    let mut writer = TableWriter::new(Arc::new(InMemory::new()), schema(), true, WriterOptions::default());
    writer.write(&rows(&[], 0)).await.unwrap();
    assert_eq!(writer.finish().await.unwrap(), []);
}

#[tokio::test]
async fn a_large_file_goes_in_parts_and_reads_back_whole() {
    let (folder, store) = folder();
    let schema = Arc::new(Schema::new(vec![Field::new("amount", DataType::Int64, true)]));
    let mut writer = TableWriter::new(store, schema, false, WriterOptions { growing: vec![], ..WriterOptions::default() });
    // Numbers that do not compress.
    let number = |n: i64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64.cast_signed());
    for n in 0..100 {
        let numbers = Int64Array::from_iter_values((n * 32_768..(n + 1) * 32_768).map(number));
        let batch = RecordBatch::try_from_iter([("amount", Arc::new(numbers) as ArrayRef)]).unwrap();
        writer.write(&batch).await.unwrap();
    }
    let files = writer.finish().await.unwrap();
    assert_eq!(files.len(), 1);
    assert!(files[0].size > 16 << 20, "{}", files[0].size);
    assert_eq!(amounts(&read(&folder, &files[0].path)), (0..3_276_800).map(number).collect::<Vec<_>>());
}
