//! Overview: what is wrong and what to do about it, the pipeline as it flows, the newest days and the last half hour.
//!
//! Each part asks its own store, and says so where it does not answer: a PostgreSQL that is away hides nothing of the lake.

mod flow;
mod numbers;
mod quiet;
mod trouble;

use anyhow::Result;
use maud::html;

use super::super::asked::Asked;
use super::super::parts::empty;
use super::super::shell::Page;

pub(crate) async fn page(asked: Asked) -> Result<Page> {
    let shared = &asked.shared;
    let (troubles, flows) = tokio::join!(trouble::find(shared), flow::draw(shared));
    let (tiles, charts) = tokio::join!(numbers::tiles(shared), numbers::charts(shared));
    let mut page = Page::new("overview", "Overview", "/").says("tributary status");
    page.charts = true;
    let silent = |error: anyhow::Error| html! { div.card.problem { p { (format!("{error:#}")) } } };
    Ok(page
        .live("banner", trouble::banner(&troubles, &quiet::find(shared)))
        .live("flow", flows.unwrap_or_else(silent))
        .live("kpis", tiles.unwrap_or_else(|_| empty("No newest day", "PostgreSQL does not answer.", Some("tributary doctor"))))
        .live("charts", charts.unwrap_or_else(|_| empty("No minutes", "PostgreSQL does not answer.", Some("tributary doctor")))))
}
