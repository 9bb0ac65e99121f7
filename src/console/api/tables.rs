//! Calls that show tables: how much is in them, what happened to them, some of their rows.

use anyhow::Result;
use schemars::JsonSchema;
use serde::Deserialize;

use super::super::asked::Asked;
use super::super::pages::table::described;
use super::super::pages::tables::entries;
use super::super::rows::preview;
use super::operation::{Nothing, Operation, get, within};
use crate::inspect::entries::Entry;
use crate::inspect::files::{DataFile, newest};
use crate::inspect::query::Answered;
use crate::inspect::tables::{Described, Version};

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get(
            ("/tables", "tables", "Every table of the lake, as its newest version has it", "tributary tables list --json"),
            tables,
        ),
        get(
            (
                "/tables/{table}",
                "table",
                "One table: where it is, what it is made from, its columns",
                "tributary tables describe TABLE --json",
            ),
            table,
        ),
        get(
            (
                "/tables/{table}/history",
                "tableHistory",
                "What was done to a table, the newest version first",
                "tributary tables history TABLE --json",
            ),
            history,
        ),
        get(
            ("/tables/{table}/files", "tableFiles", "A table's files, the newest first", "tributary tables files TABLE --json"),
            files,
        ),
        get(
            (
                "/tables/{table}/preview",
                "tablePreview",
                "Some of a table's newest rows, as it is or was; at most 1 MiB of cells",
                "tributary tables preview TABLE --version N -o json",
            ),
            rows,
        ),
    ]
}

async fn tables(asked: Asked, _: Nothing) -> Result<Vec<Entry>> {
    entries(&asked).await
}

async fn table(asked: Asked, _: Nothing) -> Result<Described> {
    let seen = asked.shared.table(asked.name("table")).await?;
    Ok(described(&asked, &seen))
}

/// How many.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Many {
    /// At most so many.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u32>,
}

async fn history(asked: Asked, many: Many) -> Result<Vec<Version>> {
    let limit = within(many.limit, 20, 1_000)?;
    let seen = asked.shared.table(asked.name("table")).await?;
    Ok((*asked.shared.past(&seen, limit as usize).await?).clone())
}

async fn files(asked: Asked, many: Many) -> Result<Vec<DataFile>> {
    let limit = within(many.limit, 100, 1_000)?;
    let seen = asked.shared.table(asked.name("table")).await?;
    Ok(newest(&seen.snapshot, limit as usize))
}

/// Which rows.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// As the table was at this version.
    version: Option<u64>,
    /// At most so many.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u32>,
}

async fn rows(asked: Asked, wanted: Wanted) -> Result<Answered> {
    let limit = within(wanted.limit, 20, 1_000)?;
    let seen = asked.shared.table(asked.name("table")).await?;
    let found = preview(&asked.shared, &seen, wanted.version, limit as usize).await?;
    Ok((*found).clone().into())
}
