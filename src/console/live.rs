//! A page that goes on: what changed of it, every two seconds, over server-sent events.
//!
//! The page is made again and only those live parts are sent that say something else than before; a comment goes out where none does,
//! so that both sides notice when the other is gone. A page that cannot be made is an event as well, and the next look tries again.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::Bytes;
use anyhow::Result;
use futures::stream;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, Interval, interval_at};

use super::asked::Asked;
use super::failure::Failure;
use super::shell::Page;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(2);
/// A stream ends after so many looks and the browser comes again: nobody holds one for ever.
const LOOKS: u32 = 1_800;

/// The stream of a page, which was looked at already.
pub(crate) fn stream<F, R>(asked: Asked, first: Result<Page, Failure>, show: F) -> Result<HttpResponse, Failure>
where
    F: Fn(Asked) -> R + 'static,
    R: Future<Output = Result<Page>> + 'static,
{
    let permit = asked.shared.watchers.clone().try_acquire_owned();
    let permit = permit.map_err(|_| Failure::busy("too many live pages are open; close some of them"))?;
    let ticks = interval_at(Instant::now() + LOOK, LOOK);
    let watch = Watch { first: Some(first), ticks, looks: 0, sent: HashMap::new(), asked, show, _permit: permit };
    let events = stream::unfold(watch, |mut watch| async move {
        if watch.looks == LOOKS {
            return None;
        }
        watch.looks += 1;
        let look = match watch.first.take() {
            Some(first) => first,
            None => {
                watch.ticks.tick().await;
                (watch.show)(watch.asked.clone()).await.map_err(Failure::of)
            }
        };
        let event = match look {
            Ok(page) => changes(&page, &mut watch.sent),
            Err(failure) => Some(event("problem", &json!({ "words": failure.words }))),
        };
        let text = event.unwrap_or_else(|| ": nothing new\n\n".to_owned());
        Some((Ok::<_, Infallible>(Bytes::from(text)), watch))
    });
    Ok(HttpResponse::Ok().content_type("text/event-stream").streaming(events))
}

struct Watch<F, P> {
    first: Option<Result<Page, Failure>>,
    ticks: Interval,
    looks: u32,
    /// What each part said.
    sent: HashMap<&'static str, String>,
    asked: Asked,
    show: F,
    /// Given back when the browser is gone.
    _permit: P,
}

fn changes(page: &Page, sent: &mut HashMap<&'static str, String>) -> Option<String> {
    let mut changed = Map::new();
    for part in page.parts.iter().filter(|part| part.live) {
        let says = without_ages(&part.html.0);
        if sent.get(part.id) != Some(&says) {
            changed.insert(part.id.to_owned(), Value::String(part.html.0.clone()));
            sent.insert(part.id, says);
        }
    }
    (!changed.is_empty()).then(|| event("parts", &Value::Object(changed)))
}

fn event(name: &str, data: &Value) -> String {
    // JSON has no line breaks of its own, which would end the data.
    format!("event: {name}\ndata: {data}\n\n")
}

/// The text without what stands in `<time>`: an age grows by itself and is no news.
fn without_ages(html: &str) -> String {
    let mut says = String::with_capacity(html.len());
    let mut rest = html;
    while let Some((before, after)) = rest.split_once("<time ") {
        says.push_str(before);
        let (attributes, content) = after.split_once('>').unwrap_or((after, ""));
        says.push_str(attributes);
        rest = content.split_once("</time>").map_or("", |(_, rest)| rest);
    }
    says.push_str(rest);
    says
}

#[cfg(test)]
mod tests {
    use maud::{PreEscaped, html};

    use super::*;

    #[test]
    fn only_what_says_something_else_is_sent() {
        let page = |age: &str, state: &str| {
            Page::new("x", "X", "/")
                .live("a", PreEscaped(format!("<time datetime=\"1\">{age}</time> {state}")))
                .live("b", html! { "always the same" })
                .fixed("c", html! { (state) })
        };
        let mut sent = HashMap::new();
        let first = changes(&page("1 s ago", "queued"), &mut sent).unwrap();
        assert!(
            first.starts_with("event: parts\ndata: {\"a\":") && first.contains("\"b\"") && !first.contains("\"c\""),
            "{first}"
        );
        assert_eq!(changes(&page("3 s ago", "queued"), &mut sent), None);
        let second = changes(&page("5 s ago", "running"), &mut sent).unwrap();
        assert!(second.contains("running") && !second.contains("\"b\""), "{second}");
    }
}
