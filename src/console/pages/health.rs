//! Health: what the doctor finds, the worst first, each with what to do about it.

use anyhow::Result;
use chrono::Utc;
use maud::{Markup, html};

use super::super::asked::Asked;
use super::super::parts::{ago, shape};
use super::super::shell::Page;
use crate::doctor::{Check, Group, State};

pub(crate) async fn page(asked: Asked) -> Result<Page> {
    let report = asked.shared.report().await?;
    let mut groups: Vec<Group> = report.checks.iter().map(|check| check.group).collect();
    groups.dedup();
    let page = Page::new("health", "Health", "/health").says("tributary doctor");
    let checked = chrono::DateTime::parse_from_rfc3339(&report.checked_at).map_or_else(|_| Utc::now(), |time| time.to_utc());
    Ok(page.live(
        "checks",
        html! {
            (summary(&report.checks))
            p.faint { "Looked " (ago(checked, Utc::now())) "; twice a minute while somebody watches." }
            p.faint { "Everything that helps somebody who helps, in one file and without secrets: " code.command data-copy { "tributary debug bundle" } }
            @for group in groups { (of_group(group, &report.checks)) }
        },
    ))
}

fn summary(checks: &[Check]) -> Markup {
    let count = |state| checks.iter().filter(|check| check.state == state).count();
    let (bad, warn) = (count(State::Bad), count(State::Warn));
    let (word, text) = match (bad, warn) {
        (0, 0) => ("ok", format!("All {} checks are fine.", checks.len())),
        (0, warn) => ("warn", format!("{warn} of {} checks could be better.", checks.len())),
        (bad, warn) => ("bad", format!("{bad} of {} checks are bad, {warn} could be better.", checks.len())),
    };
    html! { div.banner data-state=(word) role="status" { (shape(word)) p { (text) } } }
}

fn of_group(group: Group, checks: &[Check]) -> Markup {
    let mut own: Vec<&Check> = checks.iter().filter(|check| check.group == group).collect();
    if own.is_empty() {
        return html! {};
    }
    // The worst first; the order of the doctor among those that are alike.
    own.sort_by_key(|check| [State::Bad, State::Warn, State::Ok, State::Skipped].iter().position(|state| *state == check.state));
    html! {
        div.card {
            h2 { (group.to_string()) }
            div.checks {
                @for check in own {
                    @let word = match check.state { State::Ok => "ok", State::Warn => "warn", State::Bad => "bad", State::Skipped => "skipped" };
                    div.check data-state=(word) {
                        (shape(word))
                        b { (check.name) }
                        p { (check.found) }
                        @if let Some(fix) = &check.fix {
                            p.fix { "→ " (fix) @if let Some(docs) = check.docs { span.faint { " (" (docs) ")" } } }
                        }
                    }
                }
            }
        }
    }
}
