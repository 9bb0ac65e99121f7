//! The one module that builds SQL text: here for the windows, in `gold` for what models publish. Identifiers come from declarations
//! that only allow `[a-z][a-z0-9_]*`, and are quoted all the same; values are always bound.
#![allow(clippy::disallowed_types)] // this module is what the ban points to

pub(crate) mod gold;

use std::fmt::Write;

use sqlx::AssertSqlSafe;
use tributary_core::stream::{Measure, Stream, Window};

fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

fn group_columns(stream: &Stream, window: &Window) -> Vec<String> {
    window.group_by.iter().map(|f| quoted(&stream.fields[*f].column)).collect()
}

/// Counts fit a BIGINT; sums of any integers do not, so they are exact NUMERICs.
fn measure_type(measure: &Measure) -> &'static str {
    match measure {
        Measure::Count { .. } => "BIGINT",
        Measure::Sum { .. } => "NUMERIC",
    }
}

/// `CREATE TABLE IF NOT EXISTS` for every window of a stream.
pub fn window_tables(stream: &Stream) -> Vec<AssertSqlSafe<String>> {
    stream.windows.iter().map(|w| AssertSqlSafe(window_table(stream, w))).collect()
}

fn window_table(stream: &Stream, window: &Window) -> String {
    let groups = group_columns(stream, window);
    let mut sql = format!(
        "CREATE TABLE IF NOT EXISTS realtime.{} (window_start TIMESTAMPTZ NOT NULL, window_end TIMESTAMPTZ NOT NULL",
        quoted(&window.table)
    );
    for group in &groups {
        let _ = write!(sql, ", {group} TEXT NOT NULL");
    }
    let _ = write!(sql, ", {} {} NOT NULL", quoted(window.measure.column()), measure_type(&window.measure));
    sql.push_str(", updated_at TIMESTAMPTZ NOT NULL DEFAULT now(), PRIMARY KEY (window_start");
    for group in &groups {
        let _ = write!(sql, ", {group}");
    }
    sql.push_str("))");
    sql
}

/// The columns of a window's table as PostgreSQL lists them: name and type.
pub fn columns(stream: &Stream, window: &Window) -> Vec<String> {
    let time = "timestamp with time zone";
    let groups = window.group_by.iter().map(|f| format!("{} text", stream.fields[*f].column));
    let measure = format!("{} {}", window.measure.column(), measure_type(&window.measure).to_lowercase());
    [format!("window_start {time}"), format!("window_end {time}")]
        .into_iter()
        .chain(groups)
        .chain([measure, format!("updated_at {time}")])
        .collect()
}

/// The statement that reads how many milliseconds the newest window of a table is long.
pub fn newest_length(window: &Window) -> AssertSqlSafe<String> {
    AssertSqlSafe(format!(
        "SELECT (extract(epoch FROM window_end - window_start) * 1000)::bigint FROM realtime.{} ORDER BY window_start DESC LIMIT 1",
        quoted(&window.table)
    ))
}

/// The statement that adds a batch of deltas to one window table. Binds: starts, ends, one array per group column, amounts (text).
pub fn upsert(stream: &Stream, window: &Window) -> String {
    let groups = group_columns(stream, window);
    let table = quoted(&window.table);
    let measure = quoted(window.measure.column());
    let keys = groups.iter().fold("window_start".to_owned(), |keys, g| format!("{keys}, {g}"));
    let columns = groups.iter().fold("window_start, window_end".to_owned(), |columns, g| format!("{columns}, {g}"));
    let n = groups.len();
    let arrays = (0..n).fold("$1::timestamptz[], $2::timestamptz[]".to_owned(), |a, i| format!("{a}, ${}::text[]", i + 3));
    let kind = measure_type(&window.measure);
    format!(
        "INSERT INTO realtime.{table} AS t ({columns}, {measure}, updated_at) \
         SELECT {columns}, amount::{kind}, now() FROM unnest({arrays}, ${}::text[]) AS d({columns}, amount) ORDER BY {keys} \
         ON CONFLICT ({keys}) DO UPDATE SET {measure} = t.{measure} + excluded.{measure}, updated_at = now()",
        n + 3
    )
}

/// The statement that reads a part of a window table: start, end, the group's texts, the number as text. Binds: from, to.
pub fn rows(stream: &Stream, window: &Window) -> AssertSqlSafe<String> {
    let groups = group_columns(stream, window).iter().fold(String::new(), |all, g| format!("{all}{g}, "));
    AssertSqlSafe(format!(
        "SELECT window_start, window_end, {groups}{}::text FROM realtime.{} WHERE window_start >= $1 AND window_start < $2",
        quoted(window.measure.column()),
        quoted(&window.table)
    ))
}

/// The days since 1970 that a window table has rows of.
pub fn days(window: &Window) -> AssertSqlSafe<String> {
    AssertSqlSafe(format!(
        "SELECT DISTINCT floor(extract(epoch FROM window_start) / 86400)::int FROM realtime.{}",
        quoted(&window.table)
    ))
}

/// The statements that put rows right: those with another number, those that are missing, those that should not be. Each changes a row only
/// if it still is as it was found. Binds: starts, ends, one array per group column, numbers before (text), numbers after (text).
pub fn corrections(stream: &Stream, window: &Window) -> [AssertSqlSafe<String>; 3] {
    let groups = group_columns(stream, window);
    let (table, measure, kind) = (quoted(&window.table), quoted(window.measure.column()), measure_type(&window.measure));
    let columns = groups.iter().fold("window_start, window_end".to_owned(), |columns, g| format!("{columns}, {g}"));
    let n = groups.len();
    let arrays = (0..n).fold("$1::timestamptz[], $2::timestamptz[]".to_owned(), |a, i| format!("{a}, ${}::text[]", i + 3));
    let given = format!("unnest({arrays}, ${}::text[], ${}::text[]) AS d({columns}, before, after)", n + 3, n + 4);
    let same = groups.iter().fold("t.window_start = d.window_start".to_owned(), |same, g| format!("{same} AND t.{g} = d.{g}"));
    let unchanged = format!("{same} AND t.{measure} = d.before::{kind}");
    [
        AssertSqlSafe(format!(
            "UPDATE realtime.{table} AS t SET {measure} = d.after::{kind}, window_end = d.window_end, updated_at = now() \
             FROM {given} WHERE {unchanged}"
        )),
        AssertSqlSafe(format!(
            "INSERT INTO realtime.{table} ({columns}, {measure}, updated_at) SELECT {columns}, after::{kind}, now() FROM {given} \
             ON CONFLICT DO NOTHING"
        )),
        AssertSqlSafe(format!("DELETE FROM realtime.{table} AS t USING {given} WHERE {unchanged}")),
    ]
}

/// Marks a statement of [`upsert`] as built here.
pub fn safe(statement: &str) -> AssertSqlSafe<String> {
    AssertSqlSafe(statement.to_owned())
}

/// The statement that deletes some of a window table's oldest rows. Binds: before when they began, how many.
pub fn delete_old(window: &Window) -> AssertSqlSafe<String> {
    AssertSqlSafe(format!(
        "DELETE FROM realtime.{0} WHERE ctid = ANY(ARRAY(SELECT ctid FROM realtime.{0} WHERE window_start < $1 ORDER BY window_start LIMIT $2))",
        quoted(&window.table)
    ))
}
