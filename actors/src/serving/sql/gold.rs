//! SQL text over tables of schema `gold`: made, changed, filled from a staged table. Identifiers come from models and are quoted.

use sqlx::AssertSqlSafe;

use super::quoted;

/// A column: its name and PostgreSQL's name of its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: String,
}

/// A table of schema `gold` and the rows that wait for it.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) table: String,
    /// Without `updated_at`.
    pub(crate) columns: Vec<Column>,
    pub(crate) key: Vec<String>,
    /// The staged table, of this session alone.
    pub(crate) staged: String,
}

/// The day, where a table has one.
pub(crate) const DAY: &str = tributary_core::table::DATE_COLUMN;

/// The statement that reads the rows of a published table's newest days as JSON, the newest first. Binds: how many days, rows at most.
pub(crate) fn newest_days(table: &str) -> AssertSqlSafe<String> {
    AssertSqlSafe(format!(
        "SELECT to_jsonb(t)::text FROM gold.{0} t WHERE t.{DAY} > (SELECT max({DAY}) FROM gold.{0}) - $1::int \
         ORDER BY t.{DAY} DESC LIMIT $2",
        quoted(table)
    ))
}

impl Shape {
    fn table(&self) -> String {
        format!("gold.{}", quoted(&self.table))
    }

    fn staged(&self) -> String {
        format!("pg_temp.{}", quoted(&self.staged))
    }

    fn keys(&self) -> String {
        list(self.key.iter().map(String::as_str))
    }

    fn names(&self) -> String {
        list(self.columns.iter().map(|c| c.name.as_str()))
    }

    fn values(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|c| c.name.as_str()).filter(|name| !self.key.iter().any(|key| key == name))
    }

    fn definition(&self, column: &Column) -> String {
        let null = if self.key.contains(&column.name) { " NOT NULL" } else { "" };
        format!("{} {}{null}", quoted(&column.name), column.kind)
    }

    /// The table, and an index by day where the key does not serve for that.
    pub(crate) fn create(&self) -> Vec<AssertSqlSafe<String>> {
        let columns: Vec<String> = self.columns.iter().map(|c| self.definition(c)).collect();
        let mut statements = vec![format!(
            "CREATE TABLE {} ({}, updated_at TIMESTAMPTZ NOT NULL DEFAULT now(), PRIMARY KEY ({}))",
            self.table(),
            columns.join(", "),
            self.keys()
        )];
        if self.columns.iter().any(|c| c.name == DAY) && self.key.first().is_none_or(|first| first != DAY) {
            statements.push(format!("CREATE INDEX ON {} ({})", self.table(), quoted(DAY)));
        }
        statements.into_iter().map(AssertSqlSafe).collect()
    }

    /// Columns that the table does not have yet; its rows stay.
    pub(crate) fn add(&self, columns: &[&Column]) -> Vec<AssertSqlSafe<String>> {
        let add = |c: &&Column| AssertSqlSafe(format!("ALTER TABLE {} ADD COLUMN {}", self.table(), self.definition(c)));
        columns.iter().map(add).collect()
    }

    /// Empties the table and gives it other columns and another key in place: what was granted on it, and what it is called inside
    /// PostgreSQL, stays. `drop` and `add` may name the same column, with another type.
    pub(crate) fn rebuild(&self, drop: &[&str], add: &[&Column], constraint: Option<&str>) -> Vec<AssertSqlSafe<String>> {
        let table = self.table();
        // Not TRUNCATE: a reader with an older snapshot goes on seeing the rows.
        let mut statements = vec![format!("DELETE FROM {table}")];
        statements.extend(constraint.map(|name| format!("ALTER TABLE {table} DROP CONSTRAINT {}", quoted(name))));
        statements.extend(drop.iter().map(|name| format!("ALTER TABLE {table} DROP COLUMN {}", quoted(name))));
        statements.extend(add.iter().map(|c| format!("ALTER TABLE {table} ADD COLUMN {}", self.definition(c))));
        // One that was in the key and is in it no more.
        statements.extend(self.values().map(|v| format!("ALTER TABLE {table} ALTER COLUMN {} DROP NOT NULL", quoted(v))));
        statements.push(format!("ALTER TABLE {table} ADD PRIMARY KEY ({})", self.keys()));
        statements.into_iter().map(AssertSqlSafe).collect()
    }

    /// `updated_at`, for a table that somebody made without it.
    pub(crate) fn add_updated_at(&self) -> AssertSqlSafe<String> {
        AssertSqlSafe(format!("ALTER TABLE {} ADD COLUMN updated_at TIMESTAMPTZ NOT NULL DEFAULT now()", self.table()))
    }

    /// The staged table.
    pub(crate) fn create_staged(&self) -> AssertSqlSafe<String> {
        let columns: Vec<String> = self.columns.iter().map(|c| format!("{} {}", quoted(&c.name), c.kind)).collect();
        AssertSqlSafe(format!("CREATE TEMPORARY TABLE {} ({})", quoted(&self.staged), columns.join(", ")))
    }

    /// COPY into it.
    pub(crate) fn copy_staged(&self) -> String {
        format!("COPY {} ({}) FROM STDIN", self.staged(), self.names())
    }

    /// Proves the key of what is staged.
    pub(crate) fn key_staged(&self) -> [AssertSqlSafe<String>; 2] {
        let staged = self.staged();
        let key = format!("ALTER TABLE {staged} ADD PRIMARY KEY ({})", self.keys());
        [key, format!("ANALYZE {staged}")].map(AssertSqlSafe)
    }

    /// Deletes what is not staged; of days alone (bind: dates) or of the whole table.
    pub(crate) fn delete_gone(&self, of_days: bool) -> AssertSqlSafe<String> {
        let days = if of_days { format!("t.{} = ANY($1::date[]) AND ", quoted(DAY)) } else { String::new() };
        let same: Vec<String> = self.key.iter().map(|k| format!("s.{0} = t.{0}", quoted(k))).collect();
        AssertSqlSafe(format!(
            "DELETE FROM {} AS t WHERE {days}NOT EXISTS (SELECT FROM {} AS s WHERE {})",
            self.table(),
            self.staged(),
            same.join(" AND ")
        ))
    }

    /// Inserts and updates what differs; gives the numbers of both. What does not differ is not touched.
    pub(crate) fn upsert(&self) -> AssertSqlSafe<String> {
        let values: Vec<String> = self.values().map(quoted).collect();
        let action = if values.is_empty() {
            "NOTHING".to_owned()
        } else {
            let set: Vec<String> = values.iter().map(|v| format!("{v} = excluded.{v}")).collect();
            let differ: Vec<String> = values.iter().map(|v| format!("t.{v} IS DISTINCT FROM excluded.{v}")).collect();
            format!("UPDATE SET {}, updated_at = now() WHERE {}", set.join(", "), differ.join(" OR "))
        };
        // A row that was updated carries the transaction that locked it.
        AssertSqlSafe(format!(
            "WITH written AS (INSERT INTO {} AS t ({names}) SELECT {names} FROM {} ON CONFLICT ({}) DO {action} RETURNING xmax = 0 AS new) \
             SELECT count(*) FILTER (WHERE new), count(*) FILTER (WHERE NOT new) FROM written",
            self.table(),
            self.staged(),
            self.keys(),
            names = self.names(),
        ))
    }
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(quoted).collect::<Vec<_>>().join(", ")
}
