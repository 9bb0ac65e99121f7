//! Activity: who did what, on which way, and what came of it.

use anyhow::Result;
use chrono::Utc;
use maud::{Markup, html};
use tributary_actors::serving::actions::{self, Action, Outcome, Which};

use super::super::asked::Asked;
use super::super::parts::{ago, cards, empty, state};
use super::super::shell::Page;
use crate::inspect::actions::with;

/// Rows of a page.
const ROWS: u32 = 50;

pub(crate) async fn page(asked: Asked) -> Result<Page> {
    let before = asked.parsed::<i64>("before")?;
    let which = Which { before, limit: ROWS };
    let all = asked.shared.ask(move |connection| Box::pin(async move { Ok(actions::list(connection, which).await?) })).await?;
    let page = Page::new("activity", "Activity", "/activity").says("tributary activity");
    Ok(page.live("actions", shown(&all)))
}

fn shown(all: &[Action]) -> Markup {
    let now = Utc::now();
    if all.is_empty() {
        let what = "Every run, pause, retry, cancellation, backfill and replay that a person asks for leaves a row here, whether it was \
                    asked for on the command line, in this console or over the API.";
        return empty("Nobody has done anything yet", what, Some("tributary run lakehouse_bronze_to_gold"));
    }
    let rows: Vec<Vec<Markup>> = all
        .iter()
        .map(|action| {
            vec![
                ago(action.at, now),
                html! { (action.person) span.faint { " · " (action.via) } },
                html! { b { (action.action) } " " (subject(&action.subject)) },
                html! { span.faint { (with(&action.params, 80)) } },
                state(match action.outcome {
                    Outcome::Begun => "running",
                    Outcome::Done => "succeeded",
                    Outcome::Refused => "skipped",
                    Outcome::Failed => "failed",
                }),
                html! { (action.message.as_deref().unwrap_or_default()) },
            ]
        })
        .collect();
    html! {
        (cards("What people did", &["When", "Who", "What", "How", "Outcome", "What came of it"], &[], &rows))
        @if all.len() >= ROWS as usize {
            @if let Some(last) = all.last() { p { a href={ "/activity?before=" (last.id) } { "Older" } } }
        }
    }
}

/// A run and a job have a page.
fn subject(subject: &str) -> Markup {
    match subject.strip_prefix("run ").and_then(|number| number.parse::<i64>().ok()) {
        Some(number) => html! { a href={ "/runs/" (number) } { (subject) } },
        None => html! { (subject) },
    }
}
