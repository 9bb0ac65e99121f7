//! `tributary run --dry-run`: what a run would do, task by task.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use chrono::NaiveDate;
use tributary_core::job::Task;

use super::super::desk::{self, with_history};
use super::super::output;
use super::super::session::Session;
use crate::inspect::behind;
use crate::inspect::catalog::Catalog;
use crate::inspect::forecast::{Forecast, forecast, said};
use crate::inspect::plan::{Plan, day_numbers};

pub(super) fn run(session: &Session, plan: &Plan, tasks: &[Task], days: &BTreeSet<NaiveDate>, force: bool) -> Result<ExitCode> {
    let published = with_history(session, async |history| Ok(behind::published(history.connection()).await?));
    let published = published.map_err(|error| eprintln!("what is published is not known: {error:#}")).ok();
    let streams: Vec<_> = session.streams()?.into_iter().map(Arc::new).collect();
    let what = Forecast {
        catalog: &Catalog::of(&session.reachable())?,
        streams: &streams,
        models: &plan.models,
        published: published.as_deref(),
        days: day_numbers(days),
        force,
    };
    let steps = desk::runtime()?.block_on(forecast(&what, tasks))?;
    let mut text = String::new();
    for (task, would) in steps {
        for (n, would) in would.iter().enumerate() {
            let name = if n == 0 { task.as_str() } else { "" };
            for (n, line) in said(would).into_iter().enumerate() {
                let name = if n == 0 { name } else { "" };
                let _ = writeln!(text, "{name:<24} {line}");
            }
        }
    }
    output::print(&text)?;
    eprintln!("nothing was done: without --dry-run it is");
    Ok(ExitCode::SUCCESS)
}
