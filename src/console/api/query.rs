//! The call that asks: one statement that only reads.

use std::collections::BTreeMap;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Deserialize;

use super::super::asked::Asked;
use super::super::rows::{MOST_ROWS, ROWS, query};
use super::operation::{Operation, post, within};
use crate::inspect::query::Answered;

pub(super) fn operations() -> Vec<Operation> {
    vec![post(
        (
            "/query",
            "query",
            "One SELECT, EXPLAIN, SHOW TABLES or DESCRIBE over the lake; within 20 s, and at most 1 MiB of cells",
            "tributary query SQL --at TABLE=VERSION -o json",
        ),
        ask,
    )]
}

/// A statement.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Statement {
    /// It reads, and does nothing else.
    sql: String,
    /// At most so many rows.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u32>,
    /// Tables that are read at an older version.
    #[serde(default)]
    at: BTreeMap<String, u64>,
}

async fn ask(asked: Asked, statement: Statement) -> Result<Answered> {
    let rows = within(statement.limit, ROWS as u32, MOST_ROWS as u32)?;
    let at = statement.at.into_iter().collect();
    Ok(query(&asked.shared, statement.sql, at, rows as usize).await?.into())
}
