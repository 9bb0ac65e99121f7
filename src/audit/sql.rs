//! The one place of the audit where SQL is put together from names.
//!
//! Names come from a stream's declaration or a model, which promise that they are safe to quote; they are quoted here all the same,
//! and doubled quotes leave no way out of the quotes.

// Tables and columns are named by the stream's declaration, so the text cannot be static; every name goes through `quoted`.
#![allow(clippy::disallowed_types)]

use arrow_schema::{DataType, Schema};
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};
use tributary_core::stream::{Stream, Window};

use super::batch::canon::Form;
use super::recount::MAX_GROUP;

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The table of a window, quoted, as `to_regclass` wants it.
pub(crate) fn table(window: &Window) -> String {
    format!("realtime.{}", quoted(&window.table))
}

/// All rows of a window's table: start and end in microseconds since 1970, three texts of the group (null where it is shorter), the
/// number as text: a sum may be wider than any integer of PostgreSQL.
pub(crate) fn rows(stream: &Stream, window: &Window) -> SqlStr {
    let mut groups = vec!["NULL::text".to_string(); MAX_GROUP];
    for (group, field) in groups.iter_mut().zip(&window.group_by) {
        *group = format!("{}::text", quoted(&stream.fields[*field].column));
    }
    let sql = format!(
        "SELECT (extract(epoch FROM window_start) * 1000000)::bigint, (extract(epoch FROM window_end) * 1000000)::bigint, \
         {}, {}::text FROM {}",
        groups.join(", "),
        quoted(window.measure.column()),
        table(window)
    );
    AssertSqlSafe(sql).into_sql_str()
}

/// All rows of a published table: whole numbers as `bigint`, everything else as text, as [`Form`] has it.
pub(crate) fn published(table: &str, schema: &Schema) -> SqlStr {
    let shown = schema.fields().iter().map(|field| {
        let column = quoted(field.name());
        match (field.data_type(), Form::of(field.data_type())) {
            (DataType::Date32 | DataType::Date64, _) => format!("({column} - DATE '1970-01-01')::bigint"),
            (DataType::Timestamp(..), _) => format!("(extract(epoch FROM {column}) * 1000000)::bigint"),
            (DataType::Boolean, _) => format!("{column}::int::bigint"),
            (_, Some(Form::Whole)) => format!("{column}::bigint"),
            (_, Some(Form::Decimal)) => format!("{column}::numeric::text"),
            (_, Some(Form::Float)) => format!("{column}::float8::text"),
            _ => format!("{column}::text"),
        }
    });
    AssertSqlSafe(format!("SELECT {} FROM gold.{}", shown.collect::<Vec<_>>().join(", "), quoted(table))).into_sql_str()
}

/// Start of the newest window of a table, in microseconds since 1970.
pub(crate) fn newest(window: &Window) -> SqlStr {
    AssertSqlSafe(format!("SELECT (extract(epoch FROM max(window_start)) * 1000000)::bigint FROM {}", table(window)))
        .into_sql_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_quotes() {
        assert_eq!(quoted("a\"; DROP TABLE b; --"), "\"a\"\"; DROP TABLE b; --\"");
    }
}
