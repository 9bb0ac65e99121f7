//! A SELECT as text: whether it is one, which tables it names, and where in it something is.
//!
//! Lines and columns count from 1; 0 means the SELECT as a whole.

use std::ops::ControlFlow;

use datafusion::common::{Column, SchemaError, TableReference};
use datafusion::error::DataFusionError;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast::{self, Expr, Ident, ObjectName, SetExpr, visit_expressions, visit_relations};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Span, Token, Tokenizer};
use tributary_core::stream::did_you_mean;

/// How deep expressions may nest.
const MAX_DEPTH: usize = 50;
/// How many words and signs a person's statement may have.
const MAX_WORDS: usize = 4_000;

/// Line, column, width.
pub(crate) type At = (usize, usize, usize);

/// What is wrong with a SELECT, where, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) at: At,
    pub(crate) problem: String,
    pub(crate) help: String,
}

impl Trouble {
    pub(crate) fn new(at: At, problem: impl Into<String>, help: impl Into<String>) -> Self {
        Self { at, problem: problem.into(), help: help.into() }
    }
}

/// One parsed statement.
#[derive(Debug, Clone)]
pub(crate) struct Select {
    pub(crate) statement: Statement,
    /// The tables that it names, as `layer.table` or as they are written; sorted, each once.
    pub(crate) tables: Vec<(String, At)>,
}

/// Parses one SELECT.
pub(crate) fn parse(sql: &str) -> Result<Select, Trouble> {
    one(sql, reads)
}

/// Parses one SELECT, or what may be asked of one: its plan, the names of tables and columns.
pub(crate) fn parse_any(sql: &str) -> Result<Select, Trouble> {
    short(sql)?;
    one(sql, |statement| match statement {
        Statement::Explain(explain) => reads(&explain.statement),
        Statement::Statement(inner) => match &**inner {
            ast::Statement::ShowTables { .. } | ast::Statement::ShowColumns { .. } | ast::Statement::ExplainTable { .. } => true,
            _ => reads(statement),
        },
        _ => false,
    })
}

/// Refuses what is longer than anybody writes: `1+1+1+…` is as deep as it is long, and whatever walks through it needs a stack as deep.
fn short(sql: &str) -> Result<(), Trouble> {
    // What cannot be cut into words is said by the parser, with its place.
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize().unwrap_or_default();
    let words = tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))).count();
    match words > MAX_WORDS {
        false => Ok(()),
        true => {
            let problem = format!("the statement has {words} words and signs; at most {MAX_WORDS} are read");
            Err(Trouble::new((0, 0, 1), problem, "join with a table instead of listing so many values"))
        }
    }
}

fn one(sql: &str, allowed: impl Fn(&Statement) -> bool) -> Result<Select, Trouble> {
    let parser = DFParserBuilder::new(sql).with_recursion_limit(MAX_DEPTH).build();
    let mut statements = parser.and_then(|mut p| p.parse_statements()).map_err(|e| trouble(&e, None))?;
    let Some(statement) = statements.pop_front() else {
        return Err(Trouble::new((0, 0, 1), "there is no statement", "write one SELECT"));
    };
    if !statements.is_empty() {
        return Err(Trouble::new((0, 0, 1), format!("{} statements", statements.len() + 1), "write one SELECT"));
    }
    if !allowed(&statement) {
        let what = statement.to_string();
        let what: Vec<&str> = what.split_whitespace().take(2).collect();
        return Err(Trouble::new(
            (0, 0, 1),
            format!("{} … is not a SELECT", what.join(" ")),
            "write one SELECT (WITH … is fine)",
        ));
    }
    let tables = tables(&statement)?;
    Ok(Select { statement, tables })
}

/// Whether the statement is a SELECT, all the way down.
fn reads(statement: &Statement) -> bool {
    match statement {
        Statement::Statement(statement) => matches!(&**statement, ast::Statement::Query(query) if reads_query(query)),
        _ => false,
    }
}

fn reads_query(query: &ast::Query) -> bool {
    let with = query.with.iter().flat_map(|w| &w.cte_tables).all(|cte| reads_query(&cte.query));
    with && query.locks.is_empty() && reads_body(&query.body)
}

fn reads_body(body: &SetExpr) -> bool {
    match body {
        SetExpr::Select(select) => select.into.is_none(),
        SetExpr::Query(query) => reads_query(query),
        SetExpr::SetOperation { left, right, .. } => reads_body(left) && reads_body(right),
        SetExpr::Values(_) | SetExpr::Table(_) => true,
        _ => false,
    }
}

fn tables(statement: &Statement) -> Result<Vec<(String, At)>, Trouble> {
    let (references, _) = resolve_table_references(statement, true).map_err(|e| trouble(&e, Some(statement)))?;
    let name = |reference: &TableReference| match reference.schema() {
        Some(schema) => format!("{schema}.{}", reference.table()),
        None => reference.table().to_owned(),
    };
    let mut tables: Vec<(String, At)> = references.iter().map(|r| (name(r), (0, 0, 1))).collect();
    each_relation(statement, &mut |written| {
        let parts: Vec<String> = written.0.iter().filter_map(|p| p.as_ident()).map(normal).collect();
        let last_two = parts.get(parts.len().saturating_sub(2)..).unwrap_or_default().join(".");
        for (name, at) in &mut tables {
            if *name == last_two && at.0 == 0 {
                *at = idents(written.0.iter().filter_map(|p| p.as_ident()));
            }
        }
    });
    tables.sort();
    tables.dedup_by(|a, b| a.0 == b.0);
    Ok(tables)
}

fn each_relation(statement: &Statement, see: &mut impl FnMut(&ObjectName)) {
    match statement {
        Statement::Statement(inner) => {
            let _ = visit_relations(&**inner, |name| {
                see(name);
                ControlFlow::<()>::Continue(())
            });
        }
        Statement::Explain(explain) => each_relation(&explain.statement, see),
        _ => {}
    }
}

/// As it is meant: what is not in quotes is lower case.
fn normal(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

fn at(span: Span) -> At {
    let number = |n: u64| usize::try_from(n).unwrap_or_default();
    let (line, column) = (number(span.start.line), number(span.start.column));
    let width = if span.end.line == span.start.line { number(span.end.column).saturating_sub(column) } else { 1 };
    (line, column, width.max(1))
}

fn idents<'a>(idents: impl Iterator<Item = &'a Ident>) -> At {
    at(Span::union_iter(idents.map(|i| i.span)))
}

/// Where the first expression is for which `wanted` gives identifiers.
fn find(statement: Option<&Statement>, wanted: impl Fn(&Expr) -> Option<At>) -> At {
    let Some(Statement::Statement(inner)) = statement else { return (0, 0, 1) };
    let found = visit_expressions(&**inner, |e| match wanted(e) {
        Some(at) => ControlFlow::Break(at),
        None => ControlFlow::Continue(()),
    });
    match found {
        ControlFlow::Break(at) => at,
        ControlFlow::Continue(()) => (0, 0, 1),
    }
}

/// Where a function is called, by any of its names.
pub(crate) fn find_function(statement: &Statement, names: &[String]) -> At {
    find(Some(statement), |e| match e {
        Expr::Function(f) => {
            let last = f.name.0.last()?.as_ident()?;
            names.iter().any(|n| last.value.eq_ignore_ascii_case(n)).then(|| at(last.span))
        }
        _ => None,
    })
}

fn find_column(statement: Option<&Statement>, column: &Column) -> At {
    find(statement, |e| match e {
        Expr::Identifier(ident) => (normal(ident) == column.name).then(|| at(ident.span)),
        Expr::CompoundIdentifier(parts) => (normal(parts.last()?) == column.name).then(|| idents(parts.iter())),
        _ => None,
    })
}

/// What the parser or the planner says, for the person who wrote the statement.
pub(crate) fn trouble(error: &DataFusionError, statement: Option<&Statement>) -> Trouble {
    let span = error.diagnostic().and_then(|d| d.span);
    let number = |n: u64| usize::try_from(n).unwrap_or_default();
    let marked = span.map(|s| {
        let width = if s.end.line == s.start.line { s.end.column.saturating_sub(s.start.column) } else { 1 };
        (number(s.start.line), number(s.start.column), number(width).max(1))
    });
    match root(error) {
        DataFusionError::SQL(parser, _) => {
            let text = match &**parser {
                ParserError::ParserError(text) | ParserError::TokenizerError(text) => text.clone(),
                ParserError::RecursionLimitExceeded => "is nested too deeply".to_owned(),
            };
            let (text, at) = position(&text);
            Trouble::new(at, text, "write one SELECT in the SQL of DataFusion: https://datafusion.apache.org/user-guide/sql")
        }
        DataFusionError::SchemaError(schema, _) => match &**schema {
            SchemaError::FieldNotFound { field, valid_fields } => {
                let at = marked.unwrap_or_else(|| find_column(statement, field));
                let mut names: Vec<&str> = valid_fields.iter().map(|c| c.name.as_str()).collect();
                names.dedup();
                let meant = did_you_mean(&field.name, names.iter().copied());
                let help = if names.is_empty() {
                    "name a column of one of the tables".to_owned()
                } else {
                    format!("{meant}the columns here are {}", names.join(", "))
                };
                let column = field.relation.as_ref().map_or_else(|| field.name.clone(), |r| format!("{r}.{}", field.name));
                Trouble::new(at, format!("there is no column `{column}`"), help)
            }
            SchemaError::AmbiguousReference { field } => {
                let at = marked.unwrap_or_else(|| find_column(statement, field));
                Trouble::new(
                    at,
                    format!("`{}` may be a column of several tables", field.name),
                    "write the table before it: e.user_id",
                )
            }
            other => Trouble::new(marked.unwrap_or((0, 0, 1)), other.to_string(), "give each column another name with AS"),
        },
        root => {
            let text = match root {
                DataFusionError::Plan(text) | DataFusionError::NotImplemented(text) => text.clone(),
                other => other.strip_backtrace(),
            };
            let text = text.lines().next().unwrap_or_default().trim();
            let helps = error
                .diagnostic()
                .into_iter()
                .flat_map(|d| d.helps.iter().map(|h| h.message.as_str()).chain(d.notes.iter().map(|n| n.message.as_str())));
            let helps: Vec<&str> = helps.collect();
            let help = if helps.is_empty() { "change the statement".to_owned() } else { helps.join("; ") };
            Trouble::new(marked.unwrap_or((0, 0, 1)), text, help)
        }
    }
}

/// The first of several, without context.
fn root(error: &DataFusionError) -> &DataFusionError {
    match error {
        DataFusionError::Collection(all) => all.first().map_or(error, root),
        DataFusionError::Diagnostic(_, inner) | DataFusionError::Context(_, inner) => root(inner),
        other => other,
    }
}

/// Takes ` at Line: 3, Column: 5` off a parser's message.
fn position(text: &str) -> (String, At) {
    let found = text.rsplit_once(" at Line: ").and_then(|(before, after)| {
        let (line, column) = after.split_once(", Column: ")?;
        Some((before, line.trim().parse().ok()?, column.trim().parse().ok()?))
    });
    match found {
        Some((before, line, column)) => (before.to_owned(), (line, column, 1)),
        None => (text.to_owned(), (0, 0, 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_found_with_their_places_and_without_ctes() {
        let select = parse("WITH a AS (SELECT * FROM silver.x)\nSELECT * FROM a JOIN Gold.Y ON true, silver.x").unwrap();
        assert_eq!(select.tables, [("gold.y".to_owned(), (2, 22, 6)), ("silver.x".to_owned(), (1, 26, 8))]);
    }

    #[test]
    fn only_one_select_is_one() {
        for sql in [
            "DELETE FROM silver.x",
            "CREATE TABLE a AS SELECT 1",
            "SELECT 1; SELECT 2",
            "",
            "COPY silver.x TO '/tmp/x'",
            "WITH a AS (DELETE FROM x) SELECT 1",
            "SELECT 1 INTO b",
            "SELECT * FROM silver.x FOR UPDATE",
            "EXPLAIN SELECT 1",
            "SET a = 1",
        ] {
            assert!(parse(sql).is_err(), "{sql}");
        }
        for sql in ["SELECT 1", "(SELECT 1) UNION ALL VALUES (2)", "WITH a AS (SELECT 1) SELECT * FROM a;"] {
            assert!(parse(sql).is_ok(), "{sql}");
        }
    }

    #[test]
    fn the_parser_says_where() {
        let trouble = parse("SELECT a\nFRM silver.x WHERE").unwrap_err();
        assert_eq!(trouble.at.0, 2, "{trouble:?}");
        assert!(!trouble.problem.contains("Line"), "{trouble:?}");
    }
}
