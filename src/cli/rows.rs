//! Rows for people and for programs: a table, CSV, JSON or Parquet.
//!
//! Written batch by batch as they come, so that a large result does not wait in memory; a table is the exception, and is bounded.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::output;
use crate::inspect::cells::{is_bare, texts};

/// A cell of a table at most, where all columns fit; and where they do not.
const CELL: [usize; 2] = [60, 24];

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns, for eyes
    Table,
    /// Comma-separated, with a header; null is empty
    Csv,
    /// An array of objects, a row a line
    Json,
    /// A Parquet file
    Parquet,
}

/// Takes batches of rows and writes them.
pub(crate) enum Writer {
    Table { schema: SchemaRef, rows: Vec<Vec<String>>, to: Box<dyn Write>, width: Option<usize> },
    Csv { to: Box<dyn Write> },
    Json { to: Box<dyn Write>, any: bool },
    Parquet(Box<ArrowWriter<Box<dyn Write + Send>>>),
}

impl Writer {
    /// To a file, or to stdout.
    pub(crate) fn new(format: Format, out: Option<&Path>, schema: &SchemaRef) -> Result<Self> {
        let to: Box<dyn Write + Send> = match out {
            Some(path) => {
                Box::new(BufWriter::new(File::create(path).with_context(|| format!("cannot write {}", path.display()))?))
            }
            None => Box::new(BufWriter::new(std::io::stdout())),
        };
        Ok(match format {
            Format::Table => {
                let width = out.is_none().then(|| comfy_table::Table::new().width().map(usize::from)).flatten();
                Self::Table { schema: schema.clone(), rows: Vec::new(), to, width }
            }
            Format::Csv => {
                let mut to = to;
                let header: Vec<String> = schema.fields().iter().map(|field| csv(Some(field.name()))).collect();
                writeln!(to, "{}", header.join(","))?;
                Self::Csv { to }
            }
            Format::Json => Self::Json { to, any: false },
            Format::Parquet => {
                let compression = Compression::ZSTD(ZstdLevel::try_new(1)?);
                let properties = WriterProperties::builder().set_compression(compression).build();
                Self::Parquet(Box::new(ArrowWriter::try_new(to, schema.clone(), Some(properties))?))
            }
        })
    }

    /// Takes a batch.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        match self {
            Self::Table { rows, .. } => {
                for row in texts(batch)? {
                    rows.push(row.into_iter().map(|cell| cell.unwrap_or_else(|| "null".into())).collect());
                }
            }
            Self::Csv { to } => {
                for row in texts(batch)? {
                    let cells: Vec<String> = row.iter().map(|cell| csv(cell.as_deref())).collect();
                    writeln!(to, "{}", cells.join(","))?;
                }
            }
            Self::Json { to, any } => {
                for row in json_rows(batch)? {
                    write!(to, "{}{row}", if *any { ",\n" } else { "[\n" })?;
                    *any = true;
                }
            }
            Self::Parquet(writer) => writer.write(batch)?,
        }
        Ok(())
    }

    /// Ends the output.
    pub(crate) fn finish(self) -> Result<()> {
        match self {
            Self::Table { schema, rows, mut to, width } => {
                let header: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
                let (text, left_out) = fitted(&header, rows, width);
                to.write_all(text.as_bytes())?;
                to.flush()?;
                if left_out > 0 {
                    eprintln!("{left_out} more columns do not fit: select the ones you want, or -o csv");
                }
            }
            Self::Csv { mut to } => to.flush()?,
            Self::Json { mut to, any } => {
                to.write_all(if any { b"\n]\n" } else { b"[]\n" })?;
                to.flush()?;
            }
            Self::Parquet(writer) => writer.into_inner()?.flush()?,
        }
        Ok(())
    }
}

/// Whether whoever reads has stopped reading: `| head` has what it wanted.
pub(crate) fn is_gone(error: &anyhow::Error) -> bool {
    let io = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.into_iter().any(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn csv(cell: Option<&str>) -> String {
    match cell {
        None => String::new(),
        Some(text) if text.is_empty() || text.contains(['"', ',', '\n', '\r']) => format!("\"{}\"", text.replace('"', "\"\"")),
        Some(text) => text.to_owned(),
    }
}

/// Rows as JSON objects: numbers and truths as such, everything else as text.
fn json_rows(batch: &RecordBatch) -> Result<Vec<String>> {
    let schema = batch.schema();
    let names = schema.fields().iter().map(|field| serde_json::to_string(field.name())).collect::<Result<Vec<_>, _>>()?;
    let mut rows = Vec::with_capacity(batch.num_rows());
    for cells in texts(batch)? {
        let mut row = String::from("{");
        for ((name, cell), column) in names.iter().zip(cells).zip(batch.columns()) {
            if row.len() > 1 {
                row.push(',');
            }
            row += name;
            row.push(':');
            row += &match cell {
                None => "null".into(),
                Some(text) if is_bare(column.data_type(), &text) => text,
                Some(text) => serde_json::to_string(&text)?,
            };
        }
        rows.push(row + "}");
    }
    Ok(rows)
}

/// A table that fits the width, if there is one: cells are cut, then columns are left out from the end. Says how many were.
fn fitted(header: &[&str], mut rows: Vec<Vec<String>>, width: Option<usize>) -> (String, usize) {
    let total = |rows: &[Vec<String>], columns: usize| -> usize {
        let of = |column: usize| rows.iter().map(|r| r[column].chars().count()).chain([header[column].chars().count()]).max();
        (0..columns).map(|column| of(column).unwrap_or(0) + 2).sum()
    };
    let fits = |rows: &[Vec<String>], columns: usize| width.is_none_or(|width| total(rows, columns) <= width + 2);
    for most in CELL {
        for cell in rows.iter_mut().flatten() {
            *cell = one_line(cell, most);
        }
        if fits(&rows, header.len()) {
            return (output::table(header, rows), 0);
        }
    }
    let mut columns = header.len();
    while columns > 1 && !fits(&rows, columns) {
        columns -= 1;
    }
    rows.iter_mut().for_each(|row| row.truncate(columns));
    (output::table(&header[..columns], rows), header.len() - columns)
}

/// Without line ends, and not longer than so many characters.
fn one_line(text: &str, most: usize) -> String {
    let text = text.replace(['\n', '\r', '\t'], " ");
    match text.chars().count() > most {
        true => text.chars().take(most - 1).collect::<String>() + "…",
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{
        ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
    };

    use super::*;

    fn batch() -> RecordBatch {
        let decimal = Decimal128Array::from(vec![Some(25), None]).with_precision_and_scale(10, 2).unwrap();
        let time = TimestampMicrosecondArray::from(vec![Some(0), None]).with_timezone("UTC");
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("n", Arc::new(Int64Array::from(vec![Some(-7), None]))),
            ("x", Arc::new(Float64Array::from(vec![Some(f64::NAN), Some(1.5)]))),
            ("yes", Arc::new(BooleanArray::from(vec![true, false]))),
            ("rate", Arc::new(decimal)),
            ("at", Arc::new(time)),
            ("text", Arc::new(StringArray::from(vec![Some("a \"b\", c"), Some("")]))),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
    }

    fn written(format: Format) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows");
        let mut writer = Writer::new(format, Some(&path), &batch().schema()).unwrap();
        writer.write(&batch()).unwrap();
        writer.finish().unwrap();
        std::fs::read(path).unwrap()
    }

    #[test]
    fn csv_tells_nothing_from_null_and_quotes_what_it_must() {
        let text = String::from_utf8(written(Format::Csv)).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "n,x,yes,rate,at,text");
        assert_eq!(lines[1], "-7,NaN,true,0.25,1970-01-01T00:00:00Z,\"a \"\"b\"\", c\"");
        assert_eq!(lines[2], ",1.5,false,,,\"\"");
    }

    #[test]
    fn json_is_read_back_by_any_parser() {
        let rows: serde_json::Value = serde_json::from_slice(&written(Format::Json)).unwrap();
        assert_eq!(
            rows[0],
            serde_json::json!({"n": -7, "x": "NaN", "yes": true, "rate": 0.25, "at": "1970-01-01T00:00:00Z", "text": "a \"b\", c"})
        );
        assert_eq!(rows[1]["n"], serde_json::Value::Null);
        assert_eq!(rows.as_array().unwrap().len(), 2);
    }

    #[test]
    fn parquet_reads_back_as_it_was() {
        let bytes = bytes_of(written(Format::Parquet));
        let mut reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
        // NaN is not equal to itself: compared as text.
        assert_eq!(texts(&reader.next().unwrap().unwrap()).unwrap(), texts(&batch()).unwrap());
    }

    fn bytes_of(bytes: Vec<u8>) -> impl parquet::file::reader::ChunkReader + 'static {
        let file = tempfile::tempfile().unwrap();
        (&file).write_all(&bytes).unwrap();
        file
    }

    #[test]
    fn a_table_fits_the_screen() {
        let rows = vec![vec!["1".to_owned(), "x".repeat(100), "end".to_owned()]];
        let (text, left_out) = fitted(&["id", "long", "last"], rows.clone(), Some(200));
        assert_eq!((left_out, text.contains(&("x".repeat(59) + "…"))), (0, true));
        let (text, left_out) = fitted(&["id", "long", "last"], rows.clone(), Some(40));
        assert!(left_out == 0 && text.lines().all(|line| line.chars().count() <= 40), "{text}");
        let (text, left_out) = fitted(&["id", "long", "last"], rows, Some(12));
        assert!(left_out == 2 && text.starts_with("id"), "{text}");
    }
}
