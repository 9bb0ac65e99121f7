//! What pages are made of: times, states, tables, buttons; drawings in [`chart`], [`grid`], [`graph`] and [`gantt`]; the same as a command in [`said`].
//!
//! Pieces of HTML that say the same thing the same way on every page. They know nothing of stores.

pub(crate) mod chart;
pub(crate) mod gantt;
pub(crate) mod graph;
pub(crate) mod grid;
pub(crate) mod said;

use chrono::{DateTime, Utc};
use maud::{Markup, html};

pub(crate) use self::said::call;
use crate::words;

/// `3 min ago`, with the moment itself on hover. The browser keeps it true.
pub(crate) fn ago(time: DateTime<Utc>, now: DateTime<Utc>) -> Markup {
    let text = if time > now { words::until(time, now) } else { words::ago(time, now) };
    html! { time datetime=(words::rfc3339(time)) title={ (words::moment(time)) " UTC" } { (text) } }
}

/// The same for what may be missing.
pub(crate) fn ago_or(time: Option<DateTime<Utc>>, now: DateTime<Utc>, otherwise: &str) -> Markup {
    time.map_or_else(|| html! { span.faint { (otherwise) } }, |time| ago(time, now))
}

/// When something begins: `in 3 min`, and `now` from then on, in the browser as well.
pub(crate) fn due(time: DateTime<Utc>, now: DateTime<Utc>) -> Markup {
    html! { time data-due datetime=(words::rfc3339(time)) title={ (words::moment(time)) " UTC" } { (words::until(time, now)) } }
}

/// How something is, by its word, its shape and its colour.
pub(crate) fn state(word: &str) -> Markup {
    html! { span.state data-state=(word) { (shape(word)) (word.replace('_', " ")) } }
}

/// The shape alone, for small squares; it has a name for those who do not see it.
pub(crate) fn shape(word: &str) -> Markup {
    let path = match word {
        "succeeded" | "ok" | "flowing" | "on" => "M3 8.5l3.2 3.2L13 4.8",
        "failed" | "bad" | "stopped" => "M4 4l8 8M12 4l-8 8",
        "running" => "M5 3.5l7.5 4.5L5 12.5z",
        "queued" => "M8 4v4.2l2.8 1.8",
        "retrying" | "interrupted" => "M12.5 8a4.5 4.5 0 1 1-1.4-3.2M12.6 2.6v2.8H9.8",
        "cancelled" | "paused" => "M6 4.5v7M10 4.5v7",
        "warn" | "behind" | "waiting" => "M8 3.5v5.2M8 11.6v.6",
        "upstream_failed" => "M8 12.5V4M4.5 7.5L8 4l3.5 3.5",
        _ => "M4 8h8",
    };
    html! {
        svg.shape viewBox="0 0 16 16" width="14" height="14" aria-hidden="true" {
            @if word == "queued" { circle cx="8" cy="8" r="6" {} }
            path d=(path) {}
        }
    }
}

/// A table that scrolls by itself where it is wider than the screen. `numbers` are the columns that are aligned to the right.
pub(crate) fn table(name: &str, header: &[&str], numbers: &[usize], rows: &[Vec<Markup>]) -> Markup {
    laid_out(name, header, numbers, rows, false)
}

/// The same for what people look for on a telephone: there each row is a card, and nothing is beyond the edge.
pub(crate) fn cards(name: &str, header: &[&str], numbers: &[usize], rows: &[Vec<Markup>]) -> Markup {
    laid_out(name, header, numbers, rows, true)
}

fn laid_out(name: &str, header: &[&str], numbers: &[usize], rows: &[Vec<Markup>], cards: bool) -> Markup {
    let class = |at: usize| numbers.contains(&at).then_some("number");
    // What is laid out as a card is a table only to those who are told so.
    let role = |role: &'static str| cards.then_some(role);
    let label = |at: usize| header.get(at).filter(|_| cards);
    html! {
        div.scroll role="region" aria-label=(name) tabindex="0" {
            table class=[cards.then_some("cards")] role=[role("table")] {
                thead role=[role("rowgroup")] {
                    tr role=[role("row")] {
                        @for (at, words) in header.iter().enumerate() {
                            th scope="col" role=[role("columnheader")] class=[class(at)] { (words) }
                        }
                    }
                }
                tbody role=[role("rowgroup")] {
                    @for row in rows {
                        tr role=[role("row")] {
                            @for (at, cell) in row.iter().enumerate() {
                                td role=[role("cell")] class=[class(at)] data-label=[label(at)] { (cell) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Text in a cell.
pub(crate) fn text(words: impl AsRef<str>) -> Markup {
    html! { (words.as_ref()) }
}

/// A place where there is nothing yet, and what would make something appear.
pub(crate) fn empty(title: &str, what: &str, command: Option<&str>) -> Markup {
    html! {
        div.empty {
            p.title { (title) }
            p { (what) }
            @if let Some(command) = command { code.command data-copy { (command) } }
        }
    }
}

/// A name and a value, one below the other.
pub(crate) fn facts(facts: &[(&str, Markup)]) -> Markup {
    html! { dl.facts { @for (name, value) in facts { div { dt { (name) } dd { (value) } } } } }
}

/// A button that posts to an address; `words` are sent along.
pub(crate) fn button(label: &str, address: &str, class: &str, words: &[(&str, &str)]) -> Markup {
    html! {
        form.inline method="post" action=(address) {
            @for (name, value) in words { input type="hidden" name=(name) value=(value); }
            button.button.(class) type="submit" { (label) }
        }
    }
}

/// Code as it is.
pub(crate) fn code(name: &str, source: &str) -> Markup {
    html! { pre.code tabindex="0" role="region" aria-label=(name) { code { (source.trim_end()) } } }
}

/// Text with line breaks kept.
pub(crate) fn lines(words: &str) -> Markup {
    html! { pre.words { (words.trim_end()) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_says_what_its_values_are_and_stays_a_table_to_those_who_hear_it() {
        let rows = [vec![text("7"), text("failed")]];
        let html = cards("Runs", &["Run", "State"], &[0], &rows).into_string();
        assert!(html.contains("<table class=\"cards\" role=\"table\">"), "{html}");
        assert!(html.contains("<td role=\"cell\" data-label=\"State\">failed</td>"), "{html}");
        let html = table("Runs", &["Run", "State"], &[0], &rows).into_string();
        assert!(html.contains("<table><thead><tr>") && html.contains("<td class=\"number\">7</td>"), "{html}");
    }
}
