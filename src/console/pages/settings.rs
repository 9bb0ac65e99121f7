//! Settings: what is in force, and who said so.

use anyhow::Result;
use maud::{Markup, html};
use tributary_core::settings::layers::{Origin, Shown};

use super::super::asked::Asked;
use super::super::parts::{cards, empty};
use super::super::shell::Page;

pub(crate) async fn page(asked: Asked) -> Result<Page> {
    let only_changed = asked.word("changed").is_some();
    let prefix = asked.word("prefix").unwrap_or_default();
    let all = asked.shared.made.loaded.shown();
    let shown: Vec<&Shown> =
        all.iter().filter(|row| row.name.starts_with(prefix) && !(only_changed && row.origin == Origin::Default)).collect();
    let flag = if only_changed { " --changed" } else { "" };
    let page = Page::new("settings", "Settings", "/settings").says(format!("tributary config show{flag}"));
    Ok(page.fixed("filter", filter(only_changed, prefix)).fixed("settings", rows(&shown)))
}

fn filter(only_changed: bool, prefix: &str) -> Markup {
    html! {
        p.lead { "Flags are stronger than the environment, the environment than " code { "tributary.toml" } ", the file than defaults. A change is read at the next start." }
        form.filter method="get" action="/settings" {
            label { "Name begins with " input type="text" name="prefix" value=(prefix) placeholder="kafka" autocomplete="off"; }
            label.check { input type="checkbox" name="changed" value="on" checked[only_changed]; " only what somebody set" }
            button.button type="submit" { "Show" }
        }
    }
}

fn rows(shown: &[&Shown]) -> Markup {
    if shown.is_empty() {
        return empty("Nothing is set", "Every setting has its default.", None);
    }
    let rows: Vec<Vec<Markup>> = shown
        .iter()
        .map(|row| {
            let origin = row.origin.to_string();
            vec![
                html! { code { (row.name) } },
                match &row.value {
                    Some(value) => html! { code.value { (value) } },
                    None => html! { span.faint { "not set" } },
                },
                html! { span.origin data-default[row.origin == Origin::Default] { (origin) } },
                html! { span.faint { (row.help) } },
            ]
        })
        .collect();
    cards("Settings", &["Setting", "Value", "From", "What it is for"], &[], &rows)
}
