//! A gold model: a plain SELECT and what its front matter says of it. Data, not code.
//!
//! Assumes only text. Promises that a [`Model`] in hand names its columns and tables by identifiers that are safe to quote; whether
//! the SELECT makes sense is for whoever can plan it.

use arrow_schema::SchemaRef;

use crate::declare::{DeclarationError, Place};
use crate::table::DATE_COLUMN;

mod check;
mod front_matter;

/// How a model's table is kept up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Materialize {
    /// The days that changed are computed anew, each from that day's rows of its sources alone.
    ByDay,
    /// The whole table is computed anew, from other models only.
    Rollup,
}

/// What a failed test means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// It is said, and the table is published.
    Warn,
    /// The table is not published.
    Fail,
}

/// What must be true of a model's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// No two rows share these columns.
    Unique(Vec<String>),
    /// None of these columns is ever null.
    NotNull(Vec<String>),
    /// The column has no other values.
    AcceptedValues {
        /// Which.
        column: String,
        /// The values, as text.
        values: Vec<String>,
    },
    /// Every value of the column is one of another table's column.
    Relationships {
        /// Which.
        column: String,
        /// `gold.dim_users`.
        to_table: String,
        /// The column there.
        to_column: String,
    },
    /// So many rows.
    RowCount {
        /// At least.
        min: Option<u64>,
        /// At most.
        max: Option<u64>,
    },
    /// A SELECT that must return no row.
    Sql(String),
}

impl Check {
    /// Whether a table whose other days have passed passes when these days do: no row of one day matters to another.
    pub fn is_of_days(&self) -> bool {
        match self {
            Self::NotNull(_) | Self::AcceptedValues { .. } => true,
            Self::Unique(columns) => columns.iter().any(|column| column == DATE_COLUMN),
            Self::Relationships { .. } | Self::RowCount { .. } | Self::Sql(_) => false,
        }
    }
}

/// A test of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    /// What must be true.
    pub check: Check,
    /// What happens when it is not.
    pub severity: Severity,
    /// Line of the file, from 1.
    pub line: usize,
    /// As it was written.
    pub text: String,
}

/// A gold model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Name of its table in `gold/`, from the file's name.
    pub name: String,
    /// The file, as errors call it.
    pub file: String,
    /// One line for people.
    pub description: String,
    /// How it is kept up to date.
    pub materialize: Materialize,
    /// The columns that make a row unique.
    pub key: Vec<String>,
    /// PostgreSQL's table in schema `gold` (without the schema), if it is published.
    pub publish: Option<String>,
    /// Serves other models only: left out of lists for people.
    pub hidden: bool,
    /// Descriptions of columns, in the order of the file.
    pub columns: Vec<(String, String)>,
    /// Tests.
    pub tests: Vec<Test>,
    /// The SELECT, without the front matter.
    pub sql: String,
    /// Line of the file on which the SELECT begins, from 1.
    pub sql_line: usize,
    /// Of everything that decides what is in the table: hexadecimal SHA-256.
    pub hash: String,
}

impl Model {
    /// Reads a model. `file` is what errors call it, and its stem is the model's name.
    ///
    /// # Errors
    /// The first thing that is wrong with the front matter, with its line and what to write instead. The SELECT is not looked into.
    pub fn parse(text: &str, file: &str) -> Result<Self, DeclarationError> {
        front_matter::parse(text, file)
    }

    /// What SQL calls the model's table.
    pub fn table(&self) -> String {
        format!("gold.{}", self.name)
    }

    /// An error at a place of the SELECT: `line` and `column` of the SELECT, both from 1; 0 for the SELECT as a whole.
    pub fn error_in_sql(
        &self,
        (line, column, width): (usize, usize, usize),
        problem: impl Into<String>,
        help: impl Into<String>,
    ) -> DeclarationError {
        let line = line.max(1);
        let source_line = self.sql.lines().nth(line - 1).unwrap_or_default().to_owned();
        let indent = source_line.chars().take_while(|c| c.is_whitespace()).count();
        let column = if column == 0 { indent } else { column - 1 };
        let place = Place { file: self.file.clone(), line: self.sql_line + line - 1, column, width, source_line };
        DeclarationError::at(place, self.table(), problem, help)
    }

    /// An error about one of the tests.
    pub fn error_in_test(&self, test: &Test, problem: impl Into<String>, help: impl Into<String>) -> DeclarationError {
        let severity = if test.severity == Severity::Warn { " warn" } else { "" };
        let lead = format!("-- test{severity}: ");
        let first = test.text.lines().next().unwrap_or_default();
        let place = Place {
            file: self.file.clone(),
            line: test.line,
            column: lead.chars().count(),
            width: first.chars().count(),
            source_line: format!("{lead}{first}"),
        };
        DeclarationError::at(place, format!("{}: test", self.table()), problem, help)
    }
}

/// A model that was planned: it reads tables that exist, and its columns are known.
#[derive(Debug, Clone)]
pub struct Planned {
    /// As it was read.
    pub model: Model,
    /// The tables it selects from, `silver.user_events` or `gold.fact_events`; sorted, each once.
    pub sources: Vec<String>,
    /// The tables that its tests read beside its own; sorted, each once.
    pub tested_with: Vec<String>,
    /// Its columns.
    pub schema: SchemaRef,
}
