//! Dead letters: records that are not valid, what is wrong with them, and what a corrected declaration makes of them.

use anyhow::Result;
use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::super::asked::Asked;
use super::super::failure::Failure;
use super::super::letters::{Filter, replay};
use super::super::parts::said::{call_for, call_with, command};
use super::super::parts::{ago_or, cards, empty, table};
use super::super::routes::{Done, Said};
use super::super::rows::{Counts, counts, samples};
use super::super::shell::{Page, said_by};
use crate::acts::Replay;
use crate::console::encoded;
use crate::inspect::letters::{Counted, Letter, clip, printable, statuses};
use crate::words;

/// Records of each stream that are shown, and characters of each.
const SAMPLES: usize = 20;
const PAYLOAD: usize = 2_000;

pub(crate) async fn page(asked: Asked) -> Result<Page> {
    let filter = Filter::of(asked.word("stream"), asked.word("status"), asked.word("reason"))?;
    let shared = &asked.shared;
    let counted = counts(shared, filter.stream.as_deref(), filter.which()).await?;
    let names: Vec<&str> = shared.made.streams.iter().map(|stream| stream.name.as_str()).collect();
    let page = Page::new("deadletters", "Dead letters", "/deadletters");
    let page = page.fixed("filter", form(&filter, &names)).live("counts", counts_html(&counted, &filter, Utc::now()));
    if asked.is_live || counted.as_ref().as_ref().is_ok_and(Vec::is_empty) {
        return Ok(page);
    }
    let found = samples(shared, filter.stream.as_deref(), filter.which(), SAMPLES).await;
    Ok(page.fixed("sample", sample(found, &filter)).fixed("replay", replay_form(&filter)))
}

/// Says what a replay would do, or does it.
pub(crate) async fn act(asked: Asked, words: Said) -> Result<Done> {
    let word = |name: &str| words.get(name).map(String::as_str).filter(|word| !word.is_empty());
    let filter = Filter::of(word("stream"), word("status"), word("reason"))?;
    let confirmed = word("confirm") == Some("yes");
    if confirmed {
        asked.may_act()?;
    }
    let replayed = replay(&asked, &filter, !confirmed, crate::acts::Via::Console).await?;
    match confirmed {
        true => Ok(Done::See("/activity".to_owned())),
        false => Ok(Done::Read(Box::new(preview(&filter, &replayed)))),
    }
}

fn form(filter: &Filter, streams: &[&str]) -> Markup {
    let status = filter.statuses.join(",");
    let option = |value: &str, is: bool| html! { option value=(value) selected[is] { (value) } };
    html! {
        p.lead { "Records that are no valid events are kept in bronze as they came. After the declaration of the stream is corrected, those that it accepts now can be replayed." }
        form.filter method="get" action="/deadletters" {
            label { "Stream " select name="stream" data-flag="--stream" data-key="stream" { option value="" { "all" } @for name in streams { (option(name, filter.stream.as_deref() == Some(name))) } } }
            label { "Status " select name="status" data-flag="--status" data-key="status" { option value="" { "all" } @for one in statuses() { (option(one, status == one)) } @if filter.statuses.len() > 1 { (option(&status, true)) } } }
            label { "Reason " input type="text" name="reason" value=(filter.reasons.join(",")) placeholder="not_allowed" autocomplete="off" data-flag="--reason" data-key="reason"; }
            button.button type="submit" { "Show" }
            @if !filter.is_all() { " " a href="/deadletters" { "All" } }
            p.toolbar {
                (command("tributary deadletters list", &filter.flags(), ""))
                (call_for("/api/v1/deadletters", &filter.query()))
            }
        }
    }
}

fn counts_html(counted: &Counts, filter: &Filter, now: DateTime<Utc>) -> Markup {
    let counted = match counted {
        Ok(counted) => counted,
        Err(problem) => {
            return html! { div.card.problem { p { (problem) ". Choose a stream, or count on the command line:" } (said_by(&format!("tributary deadletters list{}", filter.flags()))) } };
        }
    };
    if counted.is_empty() {
        return match filter.is_all() {
            true => empty(
                "Every record is valid",
                "Here you see what cannot be read as an event, and why. To see how that looks, send some that are broken:",
                Some("tributary generate --count 10k --malformed 5%"),
            ),
            false => empty("No such records", "Nothing in bronze is like that.", Some("tributary deadletters list")),
        };
    }
    let total: u64 = counted.iter().map(|one| one.records).sum();
    let time = |text: &Option<String>| {
        let time = text.as_deref().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
        ago_or(time.map(|time| time.to_utc()), now, words::NOTHING)
    };
    let row = |one: &Counted| {
        let address = format!(
            "/deadletters?stream={}&status={}&reason={}",
            encoded(&one.stream),
            encoded(&one.status),
            encoded(&one.reason)
        );
        vec![
            html! { a href={ "/streams/" (encoded(&one.stream)) } { (one.stream) } },
            html! { (one.status) },
            html! { a href=(address) { @if one.reason.is_empty() { (words::NOTHING) } @else { (printable(&one.reason)) } } },
            html! { (words::count(one.records)) },
            time(&one.oldest),
            time(&one.newest.at),
            html! { span.faint { (one.newest.partition) ":" (one.newest.offset) } " " (clip(one.newest.error.as_deref().unwrap_or_default(), 100)) },
        ]
    };
    let header = ["Stream", "Status", "Reason", "Records", "Oldest", "Newest", "Newest one"];
    html! {
        div.card {
            h2 { (words::plural(total, "record")) }
            (cards("Dead letters", &header, &[3], &counted.iter().map(row).collect::<Vec<_>>()))
        }
    }
}

fn sample(found: Result<Vec<Letter>>, filter: &Filter) -> Markup {
    let letter = |letter: &Letter| {
        html! {
            li.letter {
                p {
                    strong { (letter.stream) } " partition " (letter.partition) " offset " (letter.offset) " "
                    span.faint { (letter.at.as_deref().unwrap_or(words::NOTHING)) }
                }
                p { code { (letter.status) } " " (printable(letter.error.as_deref().unwrap_or_default())) }
                @match letter.text() {
                    Some(text) => pre.code tabindex="0" { code { (clip(&text, PAYLOAD)) } },
                    None => p.faint { "bronze has no payload of it" },
                }
            }
        }
    };
    html! {
        div.card {
            h2 { "The newest" }
            @match found {
                Ok(letters) => ol.letters { @for one in &letters { (letter(one)) } },
                Err(error) => p.problem { (Failure::of(error).words) },
            }
            (said_by(&format!("tributary deadletters show{} -n {SAMPLES}", filter.flags())))
        }
    }
}

fn hidden(filter: &Filter) -> Markup {
    html! {
        @for (name, value) in filter.words() { input type="hidden" name=(name) value=(value); }
    }
}

fn replay_form(filter: &Filter) -> Markup {
    html! {
        form.card method="post" action="/deadletters/replay" {
            h2 { "Replay" }
            p {
                "Decodes " @if filter.is_all() { "all of them" } @else { "those that are shown" }
                " again under the declaration as it is now. A preview says how many would be valid and changes nothing."
            }
            (hidden(filter))
            p.toolbar {
                button.button type="submit" { "Preview replay" }
                (said_by(&format!("tributary deadletters replay{} --dry-run", filter.flags())))
                (call_with("/api/v1/deadletters/replay", &filter.body(true), ""))
            }
        }
    }
}

fn preview(filter: &Filter, replayed: &[Replay]) -> Page {
    let revived: u64 = replayed.iter().map(|one| one.revived).sum();
    let row = |one: &Replay| {
        let still: u64 = one.still.iter().map(|still| still.records).sum();
        vec![
            html! { (one.stream) },
            html! { (words::count(one.records)) },
            html! { (words::count(one.revived)) },
            html! { (words::count(still)) },
            html! { (words::count(one.without_payload)) },
            html! { (words::count(one.beyond_the_windows)) },
        ]
    };
    let rows: Vec<_> = replayed.iter().map(row).collect();
    let header = ["Stream", "Records", "Would be valid", "Still not", "No payload", "Later"];
    let still = replayed.iter().flat_map(|one| one.still.iter().map(move |still| (one, still)));
    let back = filter.address();
    let result = html! {
        div.card data-revived=(revived) {
            h2 { (words::plural(revived, "record")) " would be valid" }
            (table("Preview", &header, &[1, 2, 3, 4, 5], &rows))
            ul.still {
                @for (one, still) in still { li { (one.stream) ": " (words::count(still.records)) " are still " (still.status) ": " (printable(&still.reason)) } }
            }
            @if revived == 0 {
                p.note { "Nothing would become valid. Correct the declaration in the folder of streams and start Tributary again; then replay." }
            } @else {
                p { "Each becomes a valid row of bronze and counts once in the windows; silver and gold take it with their next run." }
                form.toolbar method="post" action="/deadletters/replay" {
                    (hidden(filter))
                    input type="hidden" name="confirm" value="yes";
                    button.button.primary type="submit" { "Replay these records" }
                    a.button.quiet href=(back) { "Leave them" }
                }
                (said_by(&format!("tributary deadletters replay{}", filter.flags())))
                (call_with("/api/v1/deadletters/replay", &filter.body(false), ""))
            }
            @if revived == 0 { p { a.button href=(back) { "Back" } } }
        }
    };
    Page::new("deadletters", "Preview of a replay", "/deadletters").below("Dead letters", "/deadletters").fixed("replay", result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acts::Still;

    fn replayed(revived: u64) -> Replay {
        Replay {
            stream: "orders".into(),
            dry_run: true,
            records: 10,
            revived,
            still: vec![Still { status: "invalid".into(), reason: "<img>".into(), records: 3 }],
            without_payload: 0,
            beyond_the_windows: 0,
            commits: 0,
            files: 0,
            added_to_windows: 0,
        }
    }

    #[test]
    fn a_preview_has_the_button_only_where_something_would_come_of_it() {
        let filter = Filter::of(Some("orders"), Some("invalid"), None).unwrap();
        let text = |revived| preview(&filter, &[replayed(revived)]).parts[0].html.0.clone();
        let some = text(7);
        assert!(some.contains("Replay these records") && some.contains("name=\"confirm\" value=\"yes\""), "{some}");
        assert!(some.contains("name=\"stream\" value=\"orders\"") && some.contains("&lt;img&gt;"), "{some}");
        assert!(!text(0).contains("Replay these records"));
    }

    #[test]
    fn no_records_at_all_is_good_news_and_none_of_a_kind_is_not() {
        let all = Filter::of(None, None, None).unwrap();
        let one = Filter::of(None, Some("invalid"), None).unwrap();
        let text = |filter: &Filter| counts_html(&Ok(Vec::new()), filter, Utc::now()).0;
        assert!(text(&all).contains("Every record is valid") && text(&one).contains("No such records"));
    }
}
