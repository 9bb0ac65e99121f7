//! One table: where it is and how much is in it, what its columns mean, what happened to it, some of its rows, and the SQL that makes it.
//!
//! Everything but the rows is said by logs and models. Rows are waited for a moment only: a table that is slow to read has a page at
//! once, and a link to its rows.

mod trouble;

use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, Utc};
use maud::{Markup, html};
use tokio::time::timeout;
use tributary_actors::serving::history::ModelTest;
use tributary_core::model::{Model, Severity};

use super::super::asked::Asked;
use super::super::failure::Failure;
use super::super::lake_view::Seen;
use super::super::parts::{ago, ago_or, call, code, empty, facts, state, table};
use super::super::rows::preview;
use super::super::shell::{Page, said_by};
use super::files;
use super::query::results;
use super::tables::{address, links};
use crate::console::encoded;
use crate::inspect::columns::Column;
use crate::inspect::entries::{feeds, made_from};
use crate::inspect::tables::{About, Described, Version, front_matter};
use crate::inspect::tested;
use crate::words;

/// Versions and rows that are shown.
const VERSIONS: usize = 50;
const ROWS: usize = 20;
/// How long a page waits for rows before it comes without them.
const MOMENT: Duration = Duration::from_millis(300);

pub(crate) async fn page(asked: Asked) -> Result<Page> {
    let seen = asked.shared.table(asked.name("table")).await?;
    let version = asked.parsed::<u64>("version")?;
    let described = described(&asked, &seen);
    let models = asked.shared.models().await.ok();
    let past = asked.shared.past(&seen, VERSIONS).await?;
    let (name, now) = (seen.name.as_str(), Utc::now());
    let streams = &asked.shared.made.streams;
    let (from, into) = (made_from(name, models.as_deref(), streams), feeds(name, models.as_deref(), streams));
    // Of a broken model there is its file, as far as that can be read.
    let written = front_matter(&asked.shared.made.settings).into_iter().find(|model| model.table() == name);
    let known = trouble::Known::of(&asked.shared, name).await;
    let tests = known.as_ref().map(|known| known.tests.as_slice()).unwrap_or_default();
    let banner = trouble::banner(&asked.shared, &seen, models.as_deref(), written.as_ref(), &known);
    let page = Page::new("table", name, "/tables").below("Tables", "/tables").says(format!("tributary tables describe {name}"));
    let page = page
        .live("trouble", banner)
        .live("head", head(&described, &from, &into, now))
        .fixed("columns", columns(&described.columns));
    let page = page.live("versions", versions(name, &past, now)).live("files", files::html(name, &seen.snapshot, now));
    let page = if asked.is_live { page } else { page.fixed("preview", rows(&asked, &seen, version).await) };
    Ok(match &written {
        Some(written) => page.live("model", model(written, tests, now)),
        None => page,
    })
}

/// What is known of it.
pub(crate) fn described(asked: &Asked, seen: &Seen) -> Described {
    let made = &asked.shared.made;
    let about = About {
        models: &front_matter(&made.settings),
        streams: &made.streams,
        target_file_bytes: made.settings.batch.target_file_bytes,
    };
    Described::new(&seen.name, asked.shared.lake.catalog().place(&seen.name), &seen.snapshot, &about)
}

fn head(of: &Described, from: &[String], into: &[String], now: DateTime<Utc>) -> Markup {
    let listed = &of.listed;
    let nothing = || html! { span.faint { (words::NOTHING) } };
    let or = |there: bool, what: Markup| if there { what } else { nothing() };
    let partitioned = of.partitioned_by.join(", ");
    let published = of.model.as_ref().and_then(|model| model.published.as_deref());
    let facts = facts(&[
        ("Rows", html! { (words::count(listed.rows)) }),
        ("Files", html! { (words::count(listed.files as u64)) ", " (words::bytes(listed.bytes)) }),
        ("Version", html! { (listed.version) ", " (ago_or(listed.committed(), now, "?")) }),
        ("Days", html! { (listed.span()) @if !partitioned.is_empty() { " " span.faint { "by " (partitioned) } } }),
        ("Made from", or(!from.is_empty(), links(from))),
        ("Feeds", or(!into.is_empty(), links(into))),
        ("Kept up", or(of.model.is_some(), html! { @if let Some(model) = &of.model { (model.how) } })),
        ("Published to", or(published.is_some(), html! { @if let Some(table) = published { "PostgreSQL: " code { (table) } } })),
        ("Where", html! { code.value { (of.place) } }),
        ("Id", html! { code.value { (of.id) } }),
    ]);
    html! {
        div.card {
            @if let Some(words) = &of.description { p.lead { (words) } }
            (facts)
            @if let Some(small) = &of.small_files { p.note data-state="warn" { (small.words()) } }
            p.toolbar {
                a.button href={ "/query?sql=" (encoded(&format!("SELECT * FROM {} LIMIT 100", listed.table))) } { "Query it" }
                @if of.model.is_some() || of.stream.is_some() { (said_by(&format!("tributary why {}", listed.table))) }
            }
        }
    }
}

fn columns(columns: &[Column]) -> Markup {
    let row = |column: &Column| {
        vec![html! { code { (column.name) } }, html! { (column.kind) }, html! { span.faint { (column.meaning) } }]
    };
    let rows: Vec<_> = columns.iter().map(row).collect();
    html! { div.card { h2 { "Columns" } (table("Columns", &["Column", "Type", "Meaning"], &[], &rows)) } }
}

fn versions(name: &str, past: &[Version], now: DateTime<Utc>) -> Markup {
    let signed = |plus: u64, minus: u64, show: fn(u64) -> String| match (plus, minus) {
        (0, 0) => words::NOTHING.to_owned(),
        (plus, 0) => format!("+{}", show(plus)),
        (plus, minus) => format!("+{} -{}", show(plus), show(minus)),
    };
    let row = |version: &Version| {
        let rows = match (version.rows_added, version.changed_rows) {
            (0, _) => words::NOTHING.to_owned(),
            (rows, true) => format!("+{}", words::count(rows)),
            // The same rows in other files.
            (rows, false) => format!("={}", words::count(rows)),
        };
        let committed = version.committed_at.as_deref().and_then(|time| DateTime::parse_from_rfc3339(time).ok());
        let operation = version.operation.as_deref().unwrap_or(if version.redefined { "columns" } else { "?" });
        vec![
            html! { a href={ (address(name)) "?version=" (version.version) "#preview" } title="Its rows as they were" { (version.version) } },
            ago_or(committed.map(|time| time.to_utc()), now, "?"),
            html! { (operation) },
            html! { (rows) },
            html! { (signed(version.files_added, version.files_removed, words::count)) },
            html! { (signed(version.bytes_added, version.bytes_removed, words::bytes)) },
            html! { span.faint { (version.engine.as_deref().unwrap_or(words::NOTHING)) } },
        ]
    };
    let header = ["Version", "When", "Operation", "Rows", "Files", "Bytes", "By"];
    let rows: Vec<_> = past.iter().map(row).collect();
    let more = past.last().is_some_and(|last| last.version > 0);
    html! {
        div.card {
            h2 { "Versions" }
            (table("Versions", &header, &[3, 4, 5], &rows))
            @if more {
                p.faint { "The newest " (past.len()) ". " code { "=" } " is a rewrite of the same rows." }
            }
            (said_by(&format!("tributary tables history {name}")))
        }
    }
}

/// Some of its rows, or where they are to be had.
async fn rows(asked: &Asked, seen: &Seen, version: Option<u64>) -> Markup {
    let look = preview(&asked.shared, seen, version, ROWS);
    let found = match asked.word("rows") {
        // Somebody asked for them and waits.
        Some(_) => Some(look.await),
        None => timeout(MOMENT, look).await.ok(),
    };
    let at = version.map_or_else(String::new, |version| format!(" --version {version}"));
    let query = version.map_or_else(String::new, |version| format!("?version={version}"));
    let more =
        format!("{}?{}rows=on#preview", address(&seen.name), version.map_or_else(String::new, |v| format!("version={v}&")));
    html! {
        div.card id="preview" {
            h2 { "Rows" @if let Some(version) = version { " of version " (version) } }
            @if version.is_some() { p { a href={ (address(&seen.name)) "#preview" } { "As they are now" } } }
            @match found {
                Some(Ok(rows)) if rows.rows.is_empty() => (empty("There is no row", "This version has none.", None)),
                Some(Ok(rows)) => (results(&rows, None)),
                Some(Err(error)) => p.problem { (Failure::of(error).words) },
                None => p.note { "Reading them takes longer than a moment. " a.button href=(more) { "Show rows" } },
            }
            p.toolbar {
                (said_by(&format!("tributary tables preview {}{at}", seen.name)))
                (call("GET", &format!("/api/v1{}/preview{query}", address(&seen.name))))
            }
        }
    }
}

fn model(model: &Model, results: &[ModelTest], now: DateTime<Utc>) -> Markup {
    let tests = model.tests.iter().map(|test| {
        let severity = match test.severity {
            Severity::Fail => "not published",
            Severity::Warn => "a warning",
        };
        let last = results.iter().find(|result| result.test == test.text);
        vec![html! { code { (test.text) } }, html! { (severity) }, html! { (test.line) }, result(last, now)]
    });
    let tests: Vec<_> = tests.collect();
    html! {
        div.card {
            h2 { "Model" }
            p.faint { (model.file) }
            (code("SQL of the model", &model.sql))
            @if !tests.is_empty() {
                h3 { "Tests" }
                (table("Tests", &["Test", "If it fails", "Line", "Last result"], &[2], &tests))
            }
            (said_by(&format!("tributary models show {}", model.name)))
        }
    }
}

/// How a test went when it was run last; it is run when there is something new in the table.
fn result(last: Option<&ModelTest>, now: DateTime<Utc>) -> Markup {
    let Some(test) = last else { return html! { span.faint { "not run yet" } } };
    let word = match (test.passed, test.is_broken()) {
        (true, _) => "ok",
        (false, true) => "failed",
        (false, false) => "warn",
    };
    html! {
        (state(word)) " "
        @if !test.passed { (tested::how(test)) ", " }
        a href={ "/runs/" (test.run_id) } { "run " (test.run_id) } ", " (ago(test.checked_at, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_leads_to_its_rows_and_a_rewrite_is_no_growth() {
        let mut version: Version =
            tributary_actors::lake::history::Event { version: 7, rows_added: 90, ..Default::default() }.into();
        let text = versions("gold.a", &[version.clone()], Utc::now()).0;
        assert!(text.contains("/tables/gold.a?version=7#preview") && text.contains("=90"), "{text}");
        version.changed_rows = true;
        version.operation = Some("<b>".into());
        let text = versions("gold.a", &[version], Utc::now()).0;
        assert!(text.contains("+90") && text.contains("&lt;b&gt;") && !text.contains("<b>"), "{text}");
    }
    #[test]
    fn a_test_says_how_it_went_last() {
        let now = Utc::now();
        let of = |rows| result(Some(&tested::tests::test("kpi_dau", "unique(event_date)", rows)), now).into_string();
        assert!(of(0).contains("data-state=\"ok\"") && of(0).contains("/runs/8"), "{}", of(0));
        assert!(of(7).contains("data-state=\"failed\"") && of(7).contains("is broken by 7 rows"), "{}", of(7));
        assert!(result(None, now).into_string().contains("not run yet"));
    }
}
