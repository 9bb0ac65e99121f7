//! The frame of every page: head, navigation, the state of the live connection, and the parts of the page.
//!
//! A page is a list of parts. Those that are live are sent again when they change ([`live`](super::live)); forms are in the others, so that
//! nobody's half-typed words vanish. Everything that comes from outside is escaped where it is written.

use actix_web::http::StatusCode;
use actix_web::http::header::ContentType;
use actix_web::{HttpRequest, HttpResponse};
use maud::{DOCTYPE, Markup, html};

use super::assets;
use super::failure::Failure;
use super::squeeze;

/// A page.
pub(crate) struct Page {
    /// What tests and styles know it by.
    pub(crate) name: &'static str,
    /// Its heading.
    pub(crate) title: String,
    /// Which entry of the navigation it belongs to: its address.
    pub(crate) section: &'static str,
    /// The way to it: words and addresses.
    pub(crate) way: Vec<(String, String)>,
    /// The command that says the same.
    pub(crate) command: Option<String>,
    /// Whether it draws time series.
    pub(crate) charts: bool,
    /// What is on it, in order.
    pub(crate) parts: Vec<Part>,
    /// What HTTP calls it: a form that came back with a mistake is a page, and no success.
    pub(crate) status: StatusCode,
}

/// A part of a page.
pub(crate) struct Part {
    /// Its name, unique on the page.
    pub(crate) id: &'static str,
    /// Whether it is sent again when it changes.
    pub(crate) live: bool,
    /// What it shows.
    pub(crate) html: Markup,
}

impl Page {
    /// With nothing on it yet.
    pub(crate) fn new(name: &'static str, title: impl Into<String>, section: &'static str) -> Self {
        Self {
            name,
            title: title.into(),
            section,
            way: Vec::new(),
            command: None,
            charts: false,
            parts: Vec::new(),
            status: StatusCode::OK,
        }
    }

    /// Below another page.
    pub(crate) fn below(mut self, words: impl Into<String>, address: impl Into<String>) -> Self {
        self.way.push((words.into(), address.into()));
        self
    }

    /// Says the same as this command.
    pub(crate) fn says(mut self, command: impl Into<String>) -> Self {
        self.command = Some(command.into());
        self
    }

    /// A part that goes on showing how things are.
    pub(crate) fn live(mut self, id: &'static str, html: Markup) -> Self {
        self.parts.push(Part { id, live: true, html });
        self
    }

    /// A part that stays.
    pub(crate) fn fixed(mut self, id: &'static str, html: Markup) -> Self {
        self.parts.push(Part { id, live: false, html });
        self
    }

    /// As a browser gets it.
    pub(crate) fn answer(&self, request: &HttpRequest) -> HttpResponse {
        let page = frame(self, Some(request)).into_string().into_bytes();
        squeeze::body(request, HttpResponse::build(self.status).content_type(ContentType::html()), page, None)
    }
}

/// What is in the navigation: words, address, key.
const SECTIONS: [(&str, &str, &str); 8] = [
    ("Overview", "/", "o"),
    ("Jobs", "/jobs", "j"),
    ("Tables", "/tables", "t"),
    ("Query", "/query", "q"),
    ("Dead letters", "/deadletters", "d"),
    ("Health", "/health", "h"),
    ("Settings", "/settings", "s"),
    ("Activity", "/activity", "a"),
];

fn frame(page: &Page, request: Option<&HttpRequest>) -> Markup {
    let is_live = page.parts.iter().any(|part| part.live);
    // The stream is of the same address; a page that was answered to a form has none.
    let stream = request.filter(|request| is_live && request.method() == actix_web::http::Method::GET).map(|request| {
        let query = request.query_string();
        format!("/live{}{}{query}", request.path(), if query.is_empty() { "" } else { "?" })
    });
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (page.title) " · Tributary" }
                link rel="icon" href=(assets::address("icon.svg")) type="image/svg+xml";
                link rel="stylesheet" href=(assets::address("console.css"));
                @if page.charts {
                    link rel="stylesheet" href=(assets::address("uPlot.min.css"));
                    script src=(assets::address("uPlot.iife.min.js")) defer {}
                }
                // Before anything is shown: a page that turns dark afterwards dazzles.
                script src=(assets::address("theme.js")) {}
                script src=(assets::address("console.js")) defer {}
            }
            body data-page=(page.name) data-stream=[stream] {
                a.skip href="#main" { "To the content" }
                header.top {
                    a.brand href="/" {
                        img src=(assets::address("icon.svg")) alt="" width="26" height="26";
                        span { "Tributary" }
                    }
                    nav aria-label="Main" {
                        @for (words, address, key) in SECTIONS {
                            a href=(address) data-key=(key) aria-current=[(address == page.section).then_some("page")] { (words) }
                        }
                    }
                    div.tools {
                        // Only a script keeps it true: it shows this, too.
                        @if is_live {
                            span #live role="status" data-state="off" hidden { span.word {} }
                            noscript { span.faint { "Reload for news" } }
                        }
                        button.icon type="button" #theme hidden aria-label="Light or dark" title="Light or dark" { "◐" }
                        button.icon type="button" #keys hidden aria-label="Keyboard keys" title="Keyboard keys (?)" { "?" }
                    }
                }
                div #lost role="alert" hidden {
                    strong { "Tributary does not answer" } span.since {} span { ". Trying again; what you see is from before." }
                }
                main #main {
                    @if !page.way.is_empty() {
                        nav.way aria-label="Breadcrumb" {
                            @for (words, address) in &page.way { a href=(address) { (words) } span aria-hidden="true" { " / " } }
                        }
                    }
                    div.head {
                        h1 { (page.title) }
                        @if let Some(command) = &page.command { (said_by(command)) }
                    }
                    @for part in &page.parts {
                        section data-part=(part.id) data-live[part.live] { (part.html) }
                    }
                }
                footer { "Tributary " (env!("CARGO_PKG_VERSION")) " · times are UTC in the tooltips · " a href="/api/v1/openapi.json" { "API" }
                    // With scripts the lines have the address itself.
                    noscript { " · In the lines with curl, " code { "$CONSOLE" } " is the address of this console: what the browser shows, up to the path, as in " code { "http://localhost:8082" } "." }
                }
            }
        }
    }
}

/// A command that does the same, to be copied.
pub(crate) fn said_by(command: &str) -> Markup {
    html! { code.command data-copy title="The same on the command line" { (command) } }
}

/// Where somebody goes on whose request failed: the page itself, or the page that a form is on.
fn back(path: &str) -> &str {
    const ACTS: [&str; 7] = ["run", "pause", "resume", "backfill", "cancel", "retry", "replay"];
    match path.rsplit_once('/') {
        // `//host` is another house.
        _ if path.starts_with("//") || path.contains('\\') => "/",
        Some((page, act)) if ACTS.contains(&act) && !page.is_empty() => page,
        _ => path,
    }
}

/// The page that says why there is no page.
pub(crate) fn failure(path: &str, failure: &Failure) -> HttpResponse {
    let title = match failure.status.as_u16() {
        400 | 413 | 422 => "This cannot be meant",
        401 => "Who is there?",
        403 => "Not allowed",
        404 => "There is no such thing",
        409 => "Not as things are",
        429 => "Too fast",
        503 => "It does not answer",
        504 => "This took too long",
        _ => "That did not work",
    };
    let page = Page::new("failure", title, "").fixed(
        "failure",
        html! {
            div.card.problem {
                p { (failure.words) }
                @if failure.status.is_server_error() {
                    p { "What to look at: " a href="/health" { "Health" } ", or " code.command data-copy { "tributary doctor" } }
                }
                p { a.button href=(back(path)) { "Try again" } " " a.button href="/" { "Overview" } }
            }
        },
    );
    HttpResponse::build(failure.status).content_type(ContentType::html()).body(frame(&page, None).into_string())
}

#[cfg(test)]
mod tests {
    use super::back;

    #[test]
    fn a_failed_request_leads_back_to_a_page_of_ours() {
        for (path, page) in [
            ("/jobs/x", "/jobs/x"),
            ("/jobs/x/run", "/jobs/x"),
            ("/deadletters/replay", "/deadletters"),
            ("//evil.example/", "/"),
            ("/\\evil.example", "/"),
            ("/run", "/run"),
        ] {
            assert_eq!(back(path), page);
        }
    }
}
