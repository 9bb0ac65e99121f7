//! The actions in a batch of a checkpoint, whatever of their columns it has.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, BooleanArray, Int32Array, Int64Array, MapArray, RecordBatch, StringArray, StructArray};
use deltalake::DeltaTableError;
use deltalake::kernel::Metadata;
use serde_json::json;

use super::{AddRow, RemoveRow, Row, Texts};

/// Hands over all actions.
pub(super) fn visit(batch: &RecordBatch, each: &mut dyn FnMut(Row<'_>)) -> Result<(), DeltaTableError> {
    let action = |name: &str| batch.column_by_name(name).and_then(|c| c.as_struct_opt());
    if let Some(protocol) = action("protocol") {
        let (reader, writer) = (required(int(protocol, "minReaderVersion"))?, required(int(protocol, "minWriterVersion"))?);
        rows_of(protocol).for_each(|row| each(Row::Protocol { reader: reader.value(row), writer: writer.value(row) }));
    }
    if let Some(metadata) = action("metaData") {
        for row in rows_of(metadata) {
            each(Row::Metadata(read_metadata(metadata, row)?));
        }
    }
    if let Some(txn) = action("txn") {
        let (apps, versions) = (required(text(txn, "appId"))?, required(long(txn, "version"))?);
        let updated = long(txn, "lastUpdated");
        for row in rows_of(txn) {
            each(Row::Txn { app: apps.value(row), version: versions.value(row), updated_ms: updated.and_then(|c| at(c, row)) });
        }
    }
    if let Some(add) = action("add") {
        let (paths, sizes) = (required(text(add, "path"))?, required(long(add, "size"))?);
        let (values, tags, stats) = (map(add, "partitionValues"), map(add, "tags"), text(add, "stats"));
        let (times, change) = (long(add, "modificationTime"), boolean(add, "dataChange"));
        for row in rows_of(add) {
            each(Row::Add(AddRow {
                path: paths.value(row),
                partition_values: values.and_then(|c| texts(c, row)).unwrap_or_default(),
                size: sizes.value(row),
                modified_ms: times.and_then(|c| at(c, row)).unwrap_or(0),
                data_change: change.is_none_or(|c| c.value(row)),
                stats: stats.filter(|c| c.is_valid(row)).map(|c| c.value(row)),
                tags: tags.and_then(|c| texts(c, row)).unwrap_or_default(),
            }));
        }
    }
    if let Some(remove) = action("remove") {
        let paths = required(text(remove, "path"))?;
        let (values, change) = (map(remove, "partitionValues"), boolean(remove, "dataChange"));
        let (times, sizes) = (long(remove, "deletionTimestamp"), long(remove, "size"));
        for row in rows_of(remove) {
            each(Row::Remove(RemoveRow {
                path: paths.value(row),
                removed_ms: times.and_then(|c| at(c, row)),
                data_change: change.is_none_or(|c| c.value(row)),
                partition_values: values.and_then(|c| texts(c, row)),
                size: sizes.and_then(|c| at(c, row)),
            }));
        }
    }
    Ok(())
}

/// The rows that hold this action.
fn rows_of(action: &StructArray) -> impl Iterator<Item = usize> + '_ {
    (0..action.len()).filter(|row| action.is_valid(*row))
}

/// The library has no constructor for it, but reads it from JSON.
fn read_metadata(metadata: &StructArray, row: usize) -> Result<Metadata, DeltaTableError> {
    let word = |name: &str| text(metadata, name).filter(|c| c.is_valid(row)).map(|c| c.value(row));
    let partition_columns: Vec<String> = metadata
        .column_by_name("partitionColumns")
        .and_then(|c| c.as_list_opt::<i32>())
        .filter(|list| list.is_valid(row))
        .and_then(|list| list.value(row).as_string_opt::<i32>().map(|t| t.iter().flatten().map(str::to_owned).collect()))
        .unwrap_or_default();
    let configuration = map(metadata, "configuration").and_then(|c| texts(c, row)).unwrap_or_default();
    let configuration: BTreeMap<&str, &str> = configuration.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    let value = json!({
        "id": word("id"),
        "name": word("name"),
        "description": word("description"),
        "format": { "provider": "parquet", "options": {} },
        "schemaString": word("schemaString"),
        "partitionColumns": partition_columns,
        "configuration": configuration,
        "createdTime": long(metadata, "createdTime").and_then(|c| at(c, row)),
    });
    serde_json::from_value(value).map_err(|e| DeltaTableError::generic(format!("the checkpoint's metadata cannot be read: {e}")))
}

fn text<'a>(of: &'a StructArray, name: &str) -> Option<&'a StringArray> {
    of.column_by_name(name)?.as_string_opt()
}

fn long<'a>(of: &'a StructArray, name: &str) -> Option<&'a Int64Array> {
    of.column_by_name(name)?.as_primitive_opt::<Int64Type>()
}

fn int<'a>(of: &'a StructArray, name: &str) -> Option<&'a Int32Array> {
    of.column_by_name(name)?.as_primitive_opt::<Int32Type>()
}

fn boolean<'a>(of: &'a StructArray, name: &str) -> Option<&'a BooleanArray> {
    of.column_by_name(name)?.as_boolean_opt()
}

fn map<'a>(of: &'a StructArray, name: &str) -> Option<&'a MapArray> {
    of.column_by_name(name)?.as_map_opt()
}

fn at(column: &Int64Array, row: usize) -> Option<i64> {
    column.is_valid(row).then(|| column.value(row))
}

/// The entries of a map of texts; none where there is no map.
fn texts(map: &MapArray, row: usize) -> Option<Texts<'_>> {
    let (keys, values) = (map.keys().as_string_opt::<i32>()?, map.values().as_string_opt::<i32>()?);
    let offsets = map.value_offsets();
    let range = usize::try_from(offsets[row]).ok()?..usize::try_from(offsets[row + 1]).ok()?;
    let entry = |at| (keys.value(at), values.is_valid(at).then(|| values.value(at)));
    map.is_valid(row).then(|| range.map(entry).collect())
}

fn required<T>(column: Option<T>) -> Result<T, DeltaTableError> {
    column.ok_or_else(|| DeltaTableError::generic("the checkpoint lacks a column of the protocol"))
}
