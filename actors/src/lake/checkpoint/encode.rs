//! Actions to the Parquet of a checkpoint, in the types that every reader of Delta expects there.

use std::sync::Arc;

use arrow_array::builder::{BooleanBuilder, Int32Builder, Int64Builder, ListBuilder, MapBuilder, MapFieldNames, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch, StructArray, new_null_array};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use bytes::Bytes;
use deltalake::DeltaTableError;
use deltalake::kernel::Metadata;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::Compression;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::{AddRow, RemoveRow, Texts};

/// Rows between two batches.
const BATCH: usize = 2048;
/// Rows of a row group: what a reader skips or reads as a whole.
const GROUP: usize = 20_000;

/// Columns in their order.
const ACTIONS: [&str; 5] = ["txn", "add", "remove", "metaData", "protocol"];

/// A checkpoint in the making.
pub(super) struct Encoder {
    schema: SchemaRef,
    writer: ArrowWriter<Vec<u8>>,
    adds: Adds,
    removes: Removes,
    txns: Txns,
    actions: u64,
    files: u64,
    /// What is written from here on are removed files.
    removing: bool,
}

struct Adds {
    path: StringBuilder,
    values: MapBuilder<StringBuilder, StringBuilder>,
    size: Int64Builder,
    modified: Int64Builder,
    change: BooleanBuilder,
    stats: StringBuilder,
    tags: MapBuilder<StringBuilder, StringBuilder>,
    rows: usize,
}

struct Removes {
    path: StringBuilder,
    removed: Int64Builder,
    change: BooleanBuilder,
    extended: BooleanBuilder,
    values: MapBuilder<StringBuilder, StringBuilder>,
    size: Int64Builder,
    rows: usize,
}

#[derive(Default)]
struct Txns {
    app: StringBuilder,
    version: Int64Builder,
    updated: Int64Builder,
    rows: usize,
}

impl Encoder {
    pub(super) fn new() -> Result<Self, DeltaTableError> {
        let schema = schema();
        let properties = WriterProperties::builder()
            // What every engine reads; a checkpoint is not where space is to be had.
            .set_compression(Compression::SNAPPY)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .set_max_row_group_row_count(Some(GROUP))
            .set_created_by(concat!("tributary ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(&schema), options)?;
        Ok(Self {
            schema,
            writer,
            adds: Adds::new(),
            removes: Removes::new(),
            txns: Txns::default(),
            actions: 0,
            files: 0,
            removing: false,
        })
    }

    pub(super) fn add(&mut self, row: &AddRow<'_>) -> Result<(), DeltaTableError> {
        let to = &mut self.adds;
        to.path.append_value(row.path);
        put(&mut to.values, Some(&row.partition_values))?;
        to.size.append_value(row.size);
        to.modified.append_value(row.modified_ms);
        to.change.append_value(row.data_change);
        to.stats.append_option(row.stats);
        put(&mut to.tags, (!row.tags.is_empty()).then_some(&row.tags))?;
        to.rows += 1;
        self.files += 1;
        if to.rows < BATCH { Ok(()) } else { self.flush() }
    }

    pub(super) fn txn(&mut self, app: &str, version: i64, updated_ms: Option<i64>) -> Result<(), DeltaTableError> {
        self.txns.app.append_value(app);
        self.txns.version.append_value(version);
        self.txns.updated.append_option(updated_ms);
        self.txns.rows += 1;
        if self.txns.rows < BATCH { Ok(()) } else { self.flush() }
    }

    /// After all that is alive: removed files begin a row group of their own.
    pub(super) fn remove(&mut self, row: &RemoveRow<'_>) -> Result<(), DeltaTableError> {
        if !std::mem::replace(&mut self.removing, true) {
            self.flush()?;
            self.writer.flush()?;
        }
        let to = &mut self.removes;
        to.path.append_value(row.path);
        to.removed.append_option(row.removed_ms);
        to.change.append_value(row.data_change);
        to.extended.append_value(row.partition_values.is_some() && row.size.is_some());
        put(&mut to.values, row.partition_values.as_ref())?;
        to.size.append_option(row.size);
        to.rows += 1;
        if to.rows < BATCH { Ok(()) } else { self.flush() }
    }

    /// The table itself, once.
    pub(super) fn table(&mut self, metadata: &Metadata, (reader, writer): (i32, i32)) -> Result<(), DeltaTableError> {
        let protocol = fields("protocol");
        let (mut low, mut high) = (Int32Builder::new(), Int32Builder::new());
        low.append_value(reader);
        high.append_value(writer);
        let row = StructArray::try_new(protocol, vec![Arc::new(low.finish()), Arc::new(high.finish())], None)?;
        self.write("protocol", row)?;
        self.write("metaData", metadata_row(metadata)?)
    }

    pub(super) fn finish(mut self) -> Result<(Bytes, u64, u64), DeltaTableError> {
        self.flush()?;
        Ok((self.writer.into_inner()?.into(), self.actions, self.files))
    }

    fn flush(&mut self) -> Result<(), DeltaTableError> {
        if self.adds.rows > 0 {
            let rows = self.adds.finish()?;
            self.write("add", rows)?;
        }
        if self.txns.rows > 0 {
            let rows = self.txns.finish()?;
            self.write("txn", rows)?;
        }
        if self.removes.rows > 0 {
            let rows = self.removes.finish()?;
            self.write("remove", rows)?;
        }
        Ok(())
    }

    fn write(&mut self, action: &str, rows: StructArray) -> Result<(), DeltaTableError> {
        use arrow_array::Array;
        let count = rows.len();
        let rows: ArrayRef = Arc::new(rows);
        let columns = self
            .schema
            .fields()
            .iter()
            .map(|field| if field.name() == action { Arc::clone(&rows) } else { new_null_array(field.data_type(), count) });
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns.collect())?;
        self.writer.write(&batch)?;
        self.actions += count as u64;
        Ok(())
    }
}

impl Adds {
    fn new() -> Self {
        Self {
            path: StringBuilder::new(),
            values: map(),
            size: Int64Builder::new(),
            modified: Int64Builder::new(),
            change: BooleanBuilder::new(),
            stats: StringBuilder::new(),
            tags: map(),
            rows: 0,
        }
    }

    fn finish(&mut self) -> Result<StructArray, DeltaTableError> {
        self.rows = 0;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.path.finish()),
            Arc::new(self.values.finish()),
            Arc::new(self.size.finish()),
            Arc::new(self.modified.finish()),
            Arc::new(self.change.finish()),
            Arc::new(self.stats.finish()),
            Arc::new(self.tags.finish()),
        ];
        Ok(StructArray::try_new(fields("add"), columns, None)?)
    }
}

impl Removes {
    fn new() -> Self {
        Self {
            path: StringBuilder::new(),
            removed: Int64Builder::new(),
            change: BooleanBuilder::new(),
            extended: BooleanBuilder::new(),
            values: map(),
            size: Int64Builder::new(),
            rows: 0,
        }
    }

    fn finish(&mut self) -> Result<StructArray, DeltaTableError> {
        self.rows = 0;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.path.finish()),
            Arc::new(self.removed.finish()),
            Arc::new(self.change.finish()),
            Arc::new(self.extended.finish()),
            Arc::new(self.values.finish()),
            Arc::new(self.size.finish()),
        ];
        Ok(StructArray::try_new(fields("remove"), columns, None)?)
    }
}

impl Txns {
    fn finish(&mut self) -> Result<StructArray, DeltaTableError> {
        self.rows = 0;
        let columns: Vec<ArrayRef> =
            vec![Arc::new(self.app.finish()), Arc::new(self.version.finish()), Arc::new(self.updated.finish())];
        Ok(StructArray::try_new(fields("txn"), columns, None)?)
    }
}

fn metadata_row(metadata: &Metadata) -> Result<StructArray, DeltaTableError> {
    let text = |value: Option<&str>| -> ArrayRef { Arc::new(arrow_array::StringArray::from(vec![value])) };
    let mut options = map();
    put(&mut options, Some(&Vec::new()))?;
    let provider = text(Some(metadata.format_provider()));
    let format = StructArray::try_new(format_fields(), vec![provider, Arc::new(options.finish())], None)?;
    let mut partitions = ListBuilder::new(StringBuilder::new()).with_field(element());
    partitions.append_value(metadata.partition_columns().iter().map(Some));
    let mut configuration = map();
    let entries = metadata.configuration().iter().map(|(key, value)| (key.as_str(), Some(value.as_str())));
    put(&mut configuration, Some(&entries.collect()))?;
    let columns: Vec<ArrayRef> = vec![
        text(Some(metadata.id())),
        text(metadata.name()),
        text(metadata.description()),
        Arc::new(format),
        text(Some(metadata.schema_string())),
        Arc::new(partitions.finish()),
        Arc::new(configuration.finish()),
        Arc::new(arrow_array::Int64Array::from(vec![metadata.created_time()])),
    ];
    Ok(StructArray::try_new(fields("metaData"), columns, None)?)
}

fn put(map: &mut MapBuilder<StringBuilder, StringBuilder>, entries: Option<&Texts<'_>>) -> Result<(), DeltaTableError> {
    for (key, value) in entries.into_iter().flatten() {
        map.keys().append_value(key);
        map.values().append_option(*value);
    }
    Ok(map.append(entries.is_some())?)
}

fn map() -> MapBuilder<StringBuilder, StringBuilder> {
    let names = MapFieldNames { entry: "key_value".to_owned(), key: "key".to_owned(), value: "value".to_owned() };
    MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new())
}

fn map_type() -> DataType {
    let entry = Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Utf8, true)]);
    DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(entry), false)), false)
}

fn element() -> Field {
    Field::new("element", DataType::Utf8, true)
}

fn format_fields() -> Fields {
    Fields::from(vec![Field::new("provider", DataType::Utf8, true), Field::new("options", map_type(), true)])
}

fn fields(action: &str) -> Fields {
    let of = |fields: Vec<(&str, DataType)>| fields.into_iter().map(|(name, kind)| Field::new(name, kind, true)).collect();
    let (text, long, int, yes) = (DataType::Utf8, DataType::Int64, DataType::Int32, DataType::Boolean);
    match action {
        "txn" => of(vec![("appId", text), ("version", long.clone()), ("lastUpdated", long)]),
        "add" => of(vec![
            ("path", text.clone()),
            ("partitionValues", map_type()),
            ("size", long.clone()),
            ("modificationTime", long),
            ("dataChange", yes),
            ("stats", text),
            ("tags", map_type()),
        ]),
        "remove" => of(vec![
            ("path", text),
            ("deletionTimestamp", long.clone()),
            ("dataChange", yes.clone()),
            ("extendedFileMetadata", yes),
            ("partitionValues", map_type()),
            ("size", long),
        ]),
        "metaData" => of(vec![
            ("id", text.clone()),
            ("name", text.clone()),
            ("description", text.clone()),
            ("format", DataType::Struct(format_fields())),
            ("schemaString", text),
            ("partitionColumns", DataType::List(Arc::new(element()))),
            ("configuration", map_type()),
            ("createdTime", long),
        ]),
        _ => of(vec![("minReaderVersion", int.clone()), ("minWriterVersion", int)]),
    }
}

fn schema() -> SchemaRef {
    let fields = ACTIONS.map(|action| Field::new(action, DataType::Struct(fields(action)), true));
    Arc::new(Schema::new(fields.to_vec()))
}
