//! Tables: what is in the lake, layer by layer, what each is made from, and where compaction would help.

use std::collections::BTreeMap;

use anyhow::Result;
use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::super::asked::Asked;
use super::super::lake_view::Unreadable;
use super::super::parts::{ago_or, empty, shape, table};
use super::super::shell::{Page, said_by};
use crate::console::encoded;
use crate::inspect::catalog::LAYERS;
use crate::inspect::entries::Entry;
use crate::words;

pub(crate) async fn page(asked: Asked) -> Result<Page> {
    let entries = entries(&asked).await?;
    let unreadable = asked.shared.tables().await?.unreadable;
    Ok(Page::new("tables", "Tables", "/tables")
        .says("tributary tables list --all")
        .live("unreadable", without(&unreadable))
        .live("tables", html(&entries, Utc::now())))
}

/// Those that cannot be read, with why.
fn without(unreadable: &[Unreadable]) -> Markup {
    html! {
        @for one in unreadable {
            div.banner data-state="bad" {
                (shape("bad"))
                div {
                    p { (one.table) " cannot be read: " (one.problem) }
                    p.do { "What helps: " (said_by("tributary audit")) }
                }
            }
        }
    }
}

/// All tables, with what they are made from as far as the models say it now.
pub(crate) async fn entries(asked: &Asked) -> Result<Vec<Entry>> {
    let shared = &asked.shared;
    let tables = shared.tables().await?.seen;
    // A broken folder of models is no reason to show no tables.
    let models = shared.models().await.ok();
    let made = &shared.made;
    let target = made.settings.batch.target_file_bytes;
    let pairs = tables.iter().map(|seen| (seen.name.as_str(), seen.snapshot.as_ref()));
    Ok(Entry::all(pairs, models.as_deref(), &made.streams, target))
}

/// The address of a table's page.
pub(super) fn address(name: &str) -> String {
    // Names of the catalog are folders, and a folder may be called anything.
    format!("/tables/{}", encoded(name))
}

pub(super) fn link(name: &str) -> Markup {
    html! { a href=(address(name)) { (name) } }
}

/// Names of tables, each with its page where there is one.
pub(super) fn links(names: &[String]) -> Markup {
    html! {
        @for (at, name) in names.iter().enumerate() {
            @if at > 0 { ", " }
            @if name.contains('.') { (link(name)) } @else { span.faint { (name) } }
        }
    }
}

fn html(entries: &[Entry], now: DateTime<Utc>) -> Markup {
    if entries.is_empty() {
        return empty(
            "There is no table yet",
            "Bronze comes with the first records, silver and gold with the first run of the job that builds them.",
            Some("tributary generate --count 10k"),
        );
    }
    let mut layers: BTreeMap<usize, Vec<&Entry>> = BTreeMap::new();
    let mut hidden = Vec::new();
    for entry in entries {
        let layer = entry.listed.table.split_once('.').map_or("", |(layer, _)| layer);
        match entry.listed.hidden {
            true => hidden.push(entry),
            false => layers.entry(LAYERS.iter().position(|one| *one == layer).unwrap_or(LAYERS.len())).or_default().push(entry),
        }
    }
    html! {
        @for (layer, entries) in &layers {
            div.card.layer data-layer=(name_of(*layer)) {
                h2 { (title(*layer)) }
                p.faint { (meaning(*layer)) }
                (rows(name_of(*layer), entries, now))
            }
        }
        @if !hidden.is_empty() {
            details.card.layer data-layer="hidden" id="hidden-tables" {
                summary { (words::plural(hidden.len() as u64, "table")) " that only " (if hidden.len() == 1 { "serves" } else { "serve" }) " other models" }
                (rows("hidden", &hidden, now))
            }
        }
    }
}

fn name_of(layer: usize) -> &'static str {
    LAYERS.get(layer).copied().unwrap_or("other")
}

fn title(layer: usize) -> &'static str {
    ["Bronze", "Silver", "Gold"].get(layer).copied().unwrap_or("Others")
}

fn meaning(layer: usize) -> &'static str {
    match layer {
        0 => "Every record as Kafka had it, the invalid ones too.",
        1 => "Each valid event once.",
        _ => "What models make of it, in SQL.",
    }
}

fn rows(name: &str, entries: &[&Entry], now: DateTime<Utc>) -> Markup {
    let row = |entry: &&Entry| {
        let listed = &entry.listed;
        vec![
            html! {
                (link(&listed.table))
                @if let Some(problem) = &entry.problem {
                    div.problem title=(problem) { (problem.split(": ").next().unwrap_or(problem)) }
                }
            },
            html! { (words::count(listed.rows)) },
            html! {
                (words::count(listed.files as u64))
                @if let Some(small) = &entry.small_files {
                    " " span.state data-state="warn" title=(small.words()) { (words::count(small.files as u64)) " small" }
                }
            },
            html! { (words::bytes(listed.bytes)) },
            html! { (listed.version) },
            ago_or(listed.committed(), now, "?"),
            html! { (listed.span()) },
            links(&entry.made_from),
        ]
    };
    let header = ["Table", "Rows", "Files", "Size", "Version", "Last commit", "Days", "Made from"];
    table(name, &header, &[1, 2, 3, 4], &entries.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::tables::Listed;

    fn entry(table: &str, hidden: bool) -> Entry {
        let listed = Listed {
            table: table.to_owned(),
            version: 3,
            last_commit: None,
            rows: 1_234,
            files: 2,
            bytes: 2_048,
            first_day: Some("2026-11-25".into()),
            last_day: Some("2026-11-25".into()),
            days: 1,
            hidden,
        };
        Entry { listed, made_from: vec!["silver.a".into()], small_files: None, problem: None }
    }

    #[test]
    fn hidden_tables_are_folded_away_and_layers_come_in_their_order() {
        let text = html(&[entry("gold.k", false), entry("gold.base", true), entry("bronze.a", false)], Utc::now()).0;
        let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what}: {text}"));
        assert!(at("/tables/bronze.a") < at("/tables/gold.k") && at("/tables/gold.k") < at("<details"), "{text}");
        assert!(at("<details") < at("/tables/gold.base") && text.contains("1,234"), "{text}");
    }

    #[test]
    fn a_folder_with_a_strange_name_is_an_address_that_leads_to_it_and_nothing_else() {
        assert_eq!(address("gold.kpi_dau"), "/tables/gold.kpi_dau");
        assert_eq!(address("gold.a/b?c\"<"), "/tables/gold.a%2Fb%3Fc%22%3C");
    }

    #[test]
    fn an_empty_lake_says_what_fills_it() {
        assert!(html(&[], Utc::now()).0.contains("tributary generate"));
    }
}
