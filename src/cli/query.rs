//! `tributary query`: SQL over every Delta table, read-only.
//!
//! All tables of a query are pinned before it begins, those that are made from others first: what it sees does not change while it runs,
//! and no table has what its source has not. Memory is bounded; what does not fit is spilled.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use futures::StreamExt;
use tributary_batch::query::{Answer, tables};
use tributary_batch::{Error, Local, Stored};
use tributary_core::settings::unit::{Bytes, Kind, Time};

use super::desk;
use super::output::Usage;
use super::rows::{Format, Writer, is_gone};
use super::session::Session;
use crate::inspect::catalog::Catalog;
use crate::inspect::query::{not_named, pin};
use crate::words;

/// Rows of a table on the screen: more of them are not read.
const SCREEN: usize = 40;

/// SQL over every Delta table, read-only
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tributary query \"SELECT * FROM gold.kpi_dau ORDER BY event_date DESC\"
  tributary query \"SELECT source, count(*) FROM silver.user_events GROUP BY source\" -o csv
  tributary query \"SELECT * FROM gold.fact_events\" -o parquet --out facts.parquet
  tributary query \"SELECT * FROM gold.kpi_dau\" --at gold.kpi_dau=12       as it was
  tributary query \"SHOW TABLES\"

Tables are bronze.STREAM, silver.STREAM and gold.MODEL. Rows go to stdout, their number, the time and the versions to stderr.")]
pub(crate) struct Args {
    /// One SELECT (or EXPLAIN, SHOW TABLES, DESCRIBE)
    #[arg(value_name = "SQL")]
    sql: String,
    /// How rows are written
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
    /// Into this file instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// At most so many rows [default: 40 for a table, else all]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Memory for the query; beyond it is spilled to disk [default: batch.memory]
    #[arg(long, value_name = "SIZE", value_parser = <Bytes as Kind<u64>>::parse)]
    memory: Option<u64>,
    /// How long it may take
    #[arg(long, value_name = "TIME", default_value = "10 min", value_parser = <Time as Kind<Duration>>::parse)]
    timeout: Duration,
    /// A table at an older version; may be repeated
    #[arg(long, value_name = "TABLE=VERSION", value_parser = at)]
    at: Vec<(String, u64)>,
}

fn at(text: &str) -> Result<(String, u64), String> {
    let wrong = || "write a table and its version: gold.kpi_dau=12".to_owned();
    let (table, version) = text.split_once('=').ok_or_else(wrong)?;
    Ok((table.trim().to_owned(), version.trim().parse().map_err(|_| wrong())?))
}

pub(crate) fn run(args: &Args, session: &Session) -> Result<ExitCode> {
    if args.output == Format::Parquet && args.out.is_none() && std::io::stdout().is_terminal() {
        return Err(Usage("a Parquet file is not for a screen: say --out FILE, or pipe it".into()).into());
    }
    let catalog = Catalog::of(&session.reachable())?;
    let engine = desk::engine(session, args.memory)?;
    desk::runtime()?.block_on(async {
        let named = tables(&args.sql).map_err(usage)?;
        if let Some(table) = not_named(&named, &args.at) {
            return Err(Usage(format!("--at names {table}, which the query does not")).into());
        }
        let pinned = pin(&catalog, &named, &args.at).await?;
        let shown = Shown { output: args.output, out: args.out.as_deref(), limit: args.limit };
        let answered = tokio::time::timeout(args.timeout, ask(&engine, &args.sql, pinned, &shown)).await;
        answered.unwrap_or_else(|_| {
            bail!(
                "the query did not end within {}; --timeout gives it more time, --memory more memory",
                words::duration(args.timeout)
            )
        })
    })
}

/// How an answer is shown.
pub(super) struct Shown<'a> {
    pub(super) output: Format,
    pub(super) out: Option<&'a std::path::Path>,
    pub(super) limit: Option<usize>,
}

/// Asks, and writes the rows.
pub(super) async fn ask(engine: &Local, sql: &str, pinned: Vec<Stored>, shown: &Shown<'_>) -> Result<ExitCode> {
    let begin = Instant::now();
    let versions: Vec<String> = pinned.iter().map(|stored| format!("{} {}", stored.table.name, stored.table.version)).collect();
    let answer = engine.query(sql, pinned).await.map_err(usage)?;
    match write(answer, shown).await {
        Ok((rows, more)) => {
            let more = if more { "; there are more: --limit N, or -o csv" } else { "" };
            let versions = if versions.is_empty() { String::new() } else { format!(" (versions: {})", versions.join(", ")) };
            eprintln!("{} in {}{more}{versions}", words::plural(rows as u64, "row"), words::duration(begin.elapsed()));
            Ok(ExitCode::SUCCESS)
        }
        // `| head` has what it wanted.
        Err(error) if is_gone(&error) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(error),
    }
}

/// Writes the rows as they come; says how many, and whether there were more.
async fn write(answer: Answer, shown: &Shown<'_>) -> Result<(usize, bool)> {
    let most = shown.limit.unwrap_or(if shown.output == Format::Table { SCREEN } else { usize::MAX });
    let mut writer = Writer::new(shown.output, shown.out, &answer.schema)?;
    let mut rows = answer.rows;
    let (mut written, mut more) = (0, false);
    while let Some(batch) = rows.next().await {
        let batch = batch.map_err(usage)?;
        let fits = batch.num_rows().min(most - written);
        more = fits < batch.num_rows();
        writer.write(&batch.slice(0, fits))?;
        written += fits;
        if more {
            break;
        }
    }
    writer.finish()?;
    Ok((written, more))
}

/// What a person must change is called wrongly; what a store did is not.
fn usage(error: Error) -> anyhow::Error {
    match error {
        Error::Refused(words) => Usage(words).into(),
        Error::Failed(_) => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_written_behind_its_table() {
        assert_eq!(at("gold.kpi_dau=12"), Ok(("gold.kpi_dau".to_owned(), 12)));
        assert!(at("gold.kpi_dau").is_err() && at("gold.kpi_dau=new").is_err());
    }
}
