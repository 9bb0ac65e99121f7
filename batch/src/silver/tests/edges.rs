//! Columns, types and files that are not as usual; and what happens when something breaks.

use futures::StreamExt;
use object_store::{ObjectStoreExt, path::Path};

use super::*;

fn with_integer_ids() -> Stream {
    let text = r#"
        name = "orders"
        topic = "orders"
        description = "Orders"
        id = "order"
        event_time = "at"
        key = "order"

        [[field]]
        name = "order"
        type = "integer"
        required = true

        [[field]]
        name = "at"
        type = "timestamp"
        required = true
    "#;
    Stream::parse(text, "streams/orders.toml").unwrap()
}

#[tokio::test]
async fn whole_numbers_are_ids_too() {
    let mut lake = Lake::of(with_integer_ids());
    lake.ingest(&[row("7", 1, 0, 0), row("-7", 1, 0, 1), row("7", 1, 0, 2), row("7", 2, 0, 3)]).await;
    let made = lake.run(&[range(0, 0, 4)]).await;
    assert_eq!((made.rows_kept, made.duplicates, made.rows_in_conflict), (3, 1, 1));
    let again = lake.run(&[range(0, 0, 4)]).await;
    assert_eq!((again.rows_kept, again.duplicates), (0, 4));
}

#[tokio::test]
async fn a_value_that_is_missing_stays_missing_and_the_others_keep_theirs() {
    let mut lake = Lake::new();
    let without = |id: &str, offset: i64| Row { page: None, ..row(id, offset, 0, offset) };
    lake.ingest(&[row("a", 0, 0, 0), without("b", 1), row("a", 0, 0, 2), without("c", 3), row("d", 4, 0, 4)]).await;
    lake.run(&[range(0, 0, 5)]).await;
    let batch = &read(&lake.silver).await[0];
    let home = Some("/home".to_owned());
    assert_eq!(texts(batch, "event_id"), ["a", "b", "c", "d"].map(|id| Some(id.to_owned())));
    assert_eq!(texts(batch, "page"), [home.clone(), None, None, home]);
    assert_eq!(texts(batch, "user_id"), ["0", "1", "3", "4"].map(|n| Some(n.to_owned())));
    assert_eq!(texts(batch, "source"), vec![Some("web".to_owned()); 4]);
    assert_eq!(texts(batch, "extra"), vec![None; 4]);
}

#[tokio::test]
async fn a_file_from_before_a_fields_time_has_nulls() {
    let mut lake = Lake::new();
    let whole = Arc::clone(&lake.bronze.table.schema);
    let older: Vec<_> = whole.fields().iter().filter(|f| !["page", "extra"].contains(&f.name().as_str())).cloned().collect();
    lake.ingest_with(&[row("a", 1, 0, 0)], &Arc::new(Schema::new(older))).await;
    lake.ingest(&[row("b", 2, 0, 1)]).await;
    lake.run(&[range(0, 0, 2)]).await;
    let pages: Vec<_> = read(&lake.silver).await.iter().flat_map(|b| texts(b, "page")).collect();
    assert_eq!(pages, [None, Some("/home".to_owned())]);
}

#[tokio::test]
async fn the_columns_of_silver_are_those_of_bronze_without_what_is_about_bad_rows() {
    let (silver, conflicts) = silver_schemas(&Stream::builtin());
    let names: Vec<_> = silver.fields().iter().map(|f| f.name().as_str()).collect();
    let declared = ["event_id", "user_id", "event_type", "page", "event_timestamp", "source"];
    let own = ["ingestion_timestamp", "event_date", "kafka_partition", "kafka_offset", "topic_incarnation", "extra"];
    assert_eq!(names, [declared, own].concat());
    assert!(silver.fields().iter().all(|f| f.is_nullable() && !matches!(f.data_type(), DataType::Dictionary(..))));
    assert_eq!(conflicts.fields().len(), names.len() + 1);
}

#[tokio::test]
async fn files_of_silver_whose_times_no_new_row_meets_are_not_read() {
    let mut lake = Lake::new();
    lake.ingest(&[row("a", 1_000, 0, 0), row("b", 1_010, 0, 1)]).await;
    lake.run(&[range(0, 0, 2)]).await;
    let before = lake.silver.table.files[0].clone();
    lake.ingest(&[row("c", 2_000, 0, 2), row("d", 500, 0, 3)]).await;
    // Who opened it would fail.
    lake.silver.store.delete(&Path::from(before.path.as_str())).await.unwrap();
    let made = lake.run(&[range(0, 2, 4)]).await;
    assert_eq!(made.rows_kept, 2);
    lake.ingest(&[row("e", 1_005, 0, 4)]).await;
    let error = silver(lake.input(&[range(0, 4, 5)]), lake.options).await.unwrap_err();
    assert!(matches!(error, SilverError::Read(_)), "{error}");
}

#[tokio::test]
async fn row_groups_of_silver_whose_times_no_new_row_meets_are_not_decoded() {
    let mut lake = Lake::new();
    lake.ingest(&(0..10).map(|n| row(&n.to_string(), n * 1_000, 0, n)).collect::<Vec<_>>()).await;
    lake.run(&[range(0, 0, 10)]).await;
    let mut rows = read(&lake.silver).await;
    let rows = rows.remove(0);
    let options = WriterOptions { row_group_rows: 5, ..WriterOptions::of_stream(&lake.stream) };
    let mut writer = TableWriter::new(Arc::clone(&lake.silver.store), Arc::clone(&lake.silver.table.schema), true, options);
    writer.write_day(TODAY as i32, &rows).await.unwrap();
    Arc::make_mut(&mut lake.silver.table).files.clear();
    add(&mut lake.silver, writer.finish().await.unwrap(), 9);
    // The first row group, of seconds 0 to 4,000, is spoilt.
    let path = Path::from(lake.silver.table.files[0].path.as_str());
    let mut bytes = lake.silver.store.get(&path).await.unwrap().bytes().await.unwrap().to_vec();
    let source = SourceFile::open(&lake.silver.store, &lake.silver.table.files[0], &BTreeSet::new()).await.unwrap();
    let end = source.row_groups()[1].columns()[0].byte_range().0 as usize;
    bytes[4..end].fill(7);
    lake.silver.store.put(&path, bytes.into()).await.unwrap();

    lake.ingest(&[row("7", 7_000, 1, 0), row("new", 4_500, 1, 1)]).await;
    let made = silver(lake.input(&[range(1, 0, 2)]), lake.options).await.unwrap();
    assert_eq!((made.rows_kept, made.duplicates), (1, 1));
    lake.ingest(&[row("new", 3_500, 1, 2)]).await;
    let error = silver(lake.input(&[range(1, 2, 3)]), lake.options).await.unwrap_err();
    assert!(matches!(error, SilverError::Read(_)), "{error}");
}

#[tokio::test]
async fn a_file_without_statistics_is_read() {
    let mut lake = Lake::new();
    lake.ingest(&[row("a", 1_000, 0, 0)]).await;
    lake.run(&[range(0, 0, 1)]).await;
    for table in [&mut lake.silver, &mut lake.bronze] {
        for file in &mut Arc::make_mut(&mut table.table).files {
            (file.stats, file.rows) = (None, None);
        }
    }
    let again = lake.run(&[range(0, 0, 1)]).await;
    assert_eq!((again.rows_kept, again.duplicates), (0, 1));
}

#[tokio::test]
async fn more_rows_than_may_wait_give_the_same_answer() {
    let mut lake = Lake::new();
    let second = |n: i64| n % 86_000;
    let rows: Vec<_> = (0..300_000).map(|n| row(&format!("id-{}", n % 290_000), second(n % 290_000), 0, n)).collect();
    lake.ingest(&rows[..1_000]).await;
    assert_eq!(lake.run(&[range(0, 0, 1_000)]).await.rows_kept, 1_000);
    lake.ingest(&rows[1_000..]).await;
    let made = lake.run(&[range(0, 0, 300_000)]).await;
    assert_eq!((made.rows_read, made.rows_kept, made.duplicates), (300_000, 289_000, 11_000));
    assert_eq!(lake.silver_rows().await.len(), 290_000);
    let again = lake.run(&[range(0, 0, 300_000)]).await;
    assert_eq!((again.rows_kept, again.duplicates), (0, 300_000));
}

#[tokio::test]
async fn a_valid_row_without_an_id_or_with_a_time_of_another_day_stops_the_run_and_says_so() {
    let mut lake = Lake::new();
    lake.ingest(&[row("a", 1, 0, 0)]).await;
    Arc::make_mut(&mut lake.bronze.table).files[0].date = Some(TODAY as i32 - 1);
    let error = silver(lake.input(&[range(0, 0, 1)]), lake.options).await.unwrap_err();
    assert!(matches!(&error, SilverError::Refused(e) if e.contains("event_timestamp is of another day")), "{error}");
}

#[tokio::test]
async fn a_file_of_bronze_that_is_gone_is_an_error_that_names_it_and_no_file_is_returned() {
    let mut lake = Lake::new();
    lake.ingest(&[row("a", 1, 0, 0), row("b", 1 + 86_400, 0, 1)]).await;
    let gone = lake.bronze.table.files[0].path.clone();
    lake.bronze.store.delete(&Path::from(gone.as_str())).await.unwrap();
    let error = silver(lake.input(&[range(0, 0, 2)]), lake.options).await.unwrap_err();
    assert!(error.to_string().contains(&gone), "{error}");
}

#[tokio::test]
async fn a_file_that_is_no_parquet_is_an_error() {
    let mut lake = Lake::new();
    lake.ingest(&[row("a", 1, 0, 0)]).await;
    let file = lake.bronze.table.files[0].clone();
    lake.bronze.store.put(&Path::from(file.path.as_str()), vec![7; file.size as usize].into()).await.unwrap();
    let error = silver(lake.input(&[range(0, 0, 1)]), lake.options).await.unwrap_err();
    assert!(error.to_string().contains(&file.path), "{error}");
}

#[tokio::test]
async fn nothing_new_leaves_no_file_behind() {
    let mut lake = Lake::new();
    lake.ingest(&[Row { status: Status::Malformed, ..row("a", 1, 0, 0) }]).await;
    let made = lake.run(&[range(0, 0, 1)]).await;
    assert_eq!((made.rejected, made.files.len()), (1, 0));
    assert_eq!(lake.silver.store.list(None).count().await, 0);
}
