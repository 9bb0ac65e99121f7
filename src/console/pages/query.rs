//! Query: one statement that only reads, and its rows.
//!
//! An address fills the form and runs nothing: a link that somebody sends costs nobody a core. What was written stays in the form,
//! whatever came of it.

use anyhow::Result;
use maud::{Markup, html};
use serde_json::json;

use super::super::asked::Asked;
use super::super::failure::Failure;
use super::super::parts::said::{call_with, command};
use super::super::parts::{empty, table};
use super::super::routes::{Done, Said};
use super::super::rows::{MOST_ROWS, ROWS, query};
use super::super::shell::Page;
use crate::console::{encoded, shell_word};
use crate::inspect::query::{Cut, Rows};
use crate::words;

/// Characters of a cell that are sure to show.
const FITS: usize = 30;

/// For newcomers: what it shows, and how it is asked.
const EXAMPLES: [(&str, &str); 5] = [
    ("What tables there are", "SHOW TABLES"),
    ("Daily active users", "SELECT * FROM gold.kpi_dau ORDER BY event_date DESC LIMIT 30"),
    (
        "Events by day",
        "SELECT event_date, count(*) AS events\nFROM silver.user_events\nGROUP BY event_date\nORDER BY event_date DESC",
    ),
    (
        "Why records are not valid",
        "SELECT status, split_part(error, ':', 1) AS reason, count(*) AS records\nFROM bronze.user_events\nWHERE status <> 'ok'\nGROUP BY 1, 2\nORDER BY records DESC",
    ),
    ("Columns of a table", "DESCRIBE silver.user_events"),
];

pub(crate) async fn page(asked: Asked) -> Result<Page> {
    let sql = asked.word("sql").unwrap_or_default();
    let result = html! {
        @if sql.is_empty() {
            (empty("Nothing was asked yet", "Write a statement, or take an example. It can only read; tables are bronze.STREAM, silver.STREAM and gold.MODEL.", None))
        }
    };
    Ok(blank(sql, ROWS, result))
}

/// Runs it.
pub(crate) async fn run(asked: Asked, words: Said) -> Result<Done> {
    let word = |name: &str| words.get(name).map_or("", String::as_str);
    // A browser sends line ends of its own kind.
    let sql = word("sql").replace("\r\n", "\n");
    let limit = limit(word("limit"));
    let found = match &limit {
        Ok(limit) => query(&asked.shared, sql.clone(), Vec::new(), *limit).await,
        Err(_) if sql.trim().is_empty() => Err(Failure::wrong("there is no statement; write one SELECT").into()),
        Err(failure) => Err(Failure::wrong(failure.words.clone()).into()),
    };
    let rows = limit.unwrap_or(ROWS);
    let page = match found {
        Ok(found) => blank(&sql, rows, html! { div.card id="result" { h2 { "Result" } (results(&found, Some(rows))) } }),
        Err(error) => {
            let failure = Failure::of(error);
            let problem = html! { div.card.problem id="result" { h2 { "This does not work" } pre.words { (failure.words) } } };
            let mut page = blank(&sql, rows, problem);
            page.status = failure.status;
            page
        }
    };
    Ok(Done::Read(Box::new(page)))
}

fn limit(written: &str) -> Result<usize, Failure> {
    match written.trim().parse::<usize>() {
        _ if written.trim().is_empty() => Ok(ROWS),
        Ok(limit) if (1..=MOST_ROWS).contains(&limit) => Ok(limit),
        _ => Err(Failure::wrong(format!("`{written}` is not a number of rows from 1 to {MOST_ROWS}"))),
    }
}

fn blank(sql: &str, limit: usize, result: Markup) -> Page {
    Page::new("query", "Query", "/query").fixed("query", form(sql, limit)).fixed("result", result)
}

fn form(sql: &str, limit: usize) -> Markup {
    // As the field shows it where nothing is written.
    let said = if sql.is_empty() { EXAMPLES[0].1 } else { sql };
    html! {
        form.card method="post" action="/query" {
            label for="sql" { "One SELECT, or EXPLAIN, SHOW TABLES, DESCRIBE" }
            // The browser drops the first line end behind the tag.
            textarea.code id="sql" name="sql" rows="8" placeholder=(EXAMPLES[0].1) data-flag="" data-key="sql" spellcheck="false" autocomplete="off" autocapitalize="off" required data-submit="ctrl-enter" {
                "\n" (sql)
            }
            div.toolbar {
                label { "Rows at most " input type="number" name="limit" min="1" max=(MOST_ROWS) value=(limit) data-flag="--limit" data-key="limit" data-number; }
                button.button.primary type="submit" { "Run query" }
            }
            p.examples {
                span.faint { "Examples: " }
                @for (at, (words, sql)) in EXAMPLES.iter().enumerate() {
                    @if at > 0 { " · " }
                    a href={ "/query?sql=" (encoded(sql)) } { (words) }
                }
            }
            p.toolbar {
                (command("tributary query", &format!(" {} --limit {limit}", shell_word(said)), ""))
                (call_with("/api/v1/query", &json!({ "sql": said, "limit": limit }).to_string(), "{}"))
            }
        }
    }
}

fn cell(text: Option<&str>) -> Markup {
    match text {
        None => html! { span.faint { "null" } },
        // A plan has lines; anything else is one, and the whole of it shows when somebody points at it.
        Some(text) if text.contains('\n') => html! { div.cell.lines { (text) } },
        Some(text) => html! { span.cell title=[(text.chars().count() > FITS).then_some(text)] { (text) } },
    }
}

/// Rows, and what is to be said of them. `limit` is what somebody asked for; without one nothing is said of it.
pub(super) fn results(found: &Rows, limit: Option<usize>) -> Markup {
    let names: Vec<&str> = found.columns.iter().map(|column| column.name.as_str()).collect();
    let numbers: Vec<usize> =
        found.columns.iter().enumerate().filter(|(_, column)| column.is_number()).map(|(at, _)| at).collect();
    let rows: Vec<Vec<Markup>> = found.rows.iter().map(|row| row.iter().map(|text| cell(text.as_deref())).collect()).collect();
    let versions: Vec<String> = found.versions.iter().map(|(table, version)| format!("{table} {version}")).collect();
    html! {
        @if found.rows.is_empty() {
            (empty("No row", "The statement is fine, and nothing is like that.", None))
        } @else {
            (table("Result", &names, &numbers, &rows))
        }
        p.faint data-rows=(found.rows.len()) {
            (words::plural(found.rows.len() as u64, "row")) " in " (words::duration(found.took))
            @if !versions.is_empty() { " · versions: " (versions.join(", ")) }
        }
        @match (found.cut, limit) {
            (Some(Cut::Rows), Some(limit)) => p.note { "There are more: only the first " (limit) " are shown. Raise the limit, or aggregate; " code { "tributary query … -o csv" } " has all." },
            (Some(Cut::Bytes), _) => p.note { "There is more: a page has 1 MiB of cells at most. Select fewer columns; " code { "tributary query … -o csv" } " has all." },
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_in_the_form_and_runs_nothing() {
        let page = blank("SELECT '</textarea><script>'", 200, html! {});
        let text = page.parts.iter().map(|part| part.html.0.clone()).collect::<String>();
        assert!(text.contains("&lt;/textarea&gt;&lt;script&gt;") && !text.contains("<script>"), "{text}");
        assert!(text.contains("action=\"/query\"") && text.contains(">Run query</button>"), "{text}");
    }

    #[test]
    fn a_long_value_is_there_in_full_and_a_plan_keeps_its_lines() {
        let (text, long) = (|text: &str| cell(Some(text)).into_string(), "x".repeat(99));
        assert_eq!(text(&long), format!("<span class=\"cell\" title=\"{long}\">{long}</span>"));
        assert_eq!(text("a\nb"), "<div class=\"cell lines\">a\nb</div>");
        assert_eq!(text("7"), "<span class=\"cell\">7</span>");
    }

    #[test]
    fn a_limit_has_bounds() {
        assert_eq!([limit("").ok(), limit("7").ok(), limit("1000").ok()], [Some(200), Some(7), Some(1_000)]);
        for wrong in ["0", "1001", "-1", "many"] {
            assert!(limit(wrong).is_err(), "{wrong}");
        }
    }
}
