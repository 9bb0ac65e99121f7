//! What a run said: the newest lines, filtered, going on while it runs; older ones behind a link, and all of them as text.

use std::convert::Infallible;

use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use anyhow::Result;
use futures::stream;
use maud::{Markup, html};
use tributary_actors::serving::history::{self, LogLine, Run};
use url::form_urlencoded::Serializer;

use super::super::asked::Asked;
use super::super::failure::{Failure, without_nul};
use super::super::guard::said;
use super::super::parts::{call, empty, state};
use super::super::shared::Shared;
use super::super::shell::Page;
use super::run::no_run;
use crate::inspect::lines::{self, Level, Wanted};

/// Lines on a page.
const LIMIT: u32 = 500;
/// Lines that are read at once for a download, and at most.
const CHUNK: u32 = 2_000;
const MOST: usize = 100_000;

pub(crate) async fn page(asked: Asked) -> Result<Page> {
    let id = asked.number("run")?;
    let wanted = wanted(&asked)?;
    let before: Option<i64> = asked.parsed("before")?;
    let which = wanted.clone();
    let found = asked.shared.ask(move |connection| {
        Box::pin(async move {
            let Some(run) = history::run(connection, id).await? else { return Ok(None) };
            Ok(Some((run, lines::newest(connection, id, &which, before, LIMIT).await?)))
        })
    });
    let (run, found) = found.await?.ok_or_else(|| no_run(id))?;
    let page = Page::new("logs", format!("Logs of run {id}"), "/jobs");
    let page = page
        .below("Jobs", "/jobs")
        .below(&run.job, format!("/jobs/{}", run.job))
        .below(format!("Run {id}"), format!("/runs/{id}"));
    let address = format!("/api/v1/runs/{id}/logs?{}", query(&wanted, None));
    Ok(page
        .says(command(id, &wanted))
        .fixed("filter", filter(&run, &wanted))
        .live("lines", shown(&run, &wanted, before, &found))
        .fixed("more", html! { p { (call("GET", address.trim_end_matches('?'))) } }))
}

fn wanted(asked: &Asked) -> Result<Wanted, Failure> {
    without_nul(asked.word("task"))?;
    without_nul(asked.word("q"))?;
    Ok(Wanted {
        task: asked.word("task").map(str::to_owned),
        attempt: asked.parsed("attempt")?,
        level: asked.parsed("level")?,
        words: asked.word("q").map(str::to_owned),
    })
}

fn command(id: i64, wanted: &Wanted) -> String {
    let task = wanted.task.as_ref().map_or_else(String::new, |task| format!(" --task {task}"));
    let attempt = wanted.attempt.map_or_else(String::new, |attempt| format!(" --attempt {attempt}"));
    format!("tributary runs logs {id}{task}{attempt} -f")
}

/// The filter as the query of an address.
fn query(wanted: &Wanted, before: Option<i64>) -> String {
    let mut query = Serializer::new(String::new());
    query.extend_pairs(wanted.task.as_ref().map(|task| ("task", task)));
    query.extend_pairs(wanted.attempt.map(|attempt| ("attempt", attempt.to_string())));
    query.extend_pairs(wanted.level.map(|level| ("level", level.as_str())));
    query.extend_pairs(wanted.words.as_ref().map(|words| ("q", words)));
    query.extend_pairs(before.map(|before| ("before", before.to_string())));
    query.finish()
}

fn filter(run: &Run, wanted: &Wanted) -> Markup {
    let mut tasks: Vec<&str> = run.plan.iter().map(|task| task.name.as_str()).collect();
    tasks.extend(wanted.task.as_deref().filter(|task| !run.plan.iter().any(|known| known.name == *task)));
    html! {
        form.filter method="get" action={ "/runs/" (run.id) "/logs" } {
            label { "Task "
                select name="task" {
                    option value="" { "all" }
                    @for task in tasks { option value=(task) selected[wanted.task.as_deref() == Some(task)] { (task) } }
                }
            }
            label { "Attempt " input type="number" name="attempt" min="1" value=[wanted.attempt]; }
            label { "Level "
                select name="level" {
                    option value="" { "all" }
                    @for level in Level::ALL.into_iter().skip(1) {
                        option value=(level.as_str()) selected[wanted.level == Some(level)] { (level.as_str()) @if level != Level::Error { " and graver" } }
                    }
                }
            }
            label { "With the words " input type="search" name="q" value=[wanted.words.as_ref()] autocomplete="off"; }
            button.button type="submit" { "Show" }
            a.button.quiet href={ "/runs/" (run.id) "/logs.txt?" (query(wanted, None)) } { "Download" }
        }
    }
}

fn shown(run: &Run, wanted: &Wanted, before: Option<i64>, found: &[LogLine]) -> Markup {
    let address = |before| format!("/runs/{}/logs?{}", run.id, query(wanted, before));
    let is_filtered = *wanted != Wanted::default();
    html! {
        p.faint {
            "Run " (run.id) " of " (run.job) " is " (state(run.state.as_str()))
            @if before.is_none() && !run.state.is_over() { " Its new lines appear here." }
        }
        div.toolbar {
            @if found.len() >= LIMIT as usize { a.button href=(address(found.first().map(|line| line.id))) { "Older lines" } }
            @if before.is_some() { a.button href=(address(None)) { "Newest lines" } }
        }
        @if !found.is_empty() { (lines(found)) }
        @else if is_filtered { (empty("No such line", "Nothing that it said is like that: take something out of the filter.", None)) }
        @else { (empty("It has said nothing yet", "A run speaks as soon as a process that runs jobs takes it.", None)) }
    }
}

/// Lines as they are shown on every page, the newest at the end.
pub(super) fn lines(lines: &[LogLine]) -> Markup {
    html! {
        div.log data-tail tabindex="0" role="region" aria-label="Lines of the log" {
            @for line in lines {
                div.line data-level=(line.level) {
                    span.at title={ (line.at.format("%Y-%m-%d %H:%M:%S%.3f")) " UTC" } { (line.at.format("%H:%M:%S%.3f")) } " "
                    span.level { (line.level) } " "
                    @if let Some(task) = &line.task {
                        span.task { (task) @if let Some(attempt) = line.attempt.filter(|attempt| *attempt > 1) { "#" (attempt) } } " "
                    }
                    span.message { (line.message) }
                }
            }
        }
    }
}

/// All lines of the filter as text, read piece by piece.
pub(crate) async fn download(request: HttpRequest, shared: Data<Shared>) -> HttpResponse {
    match text(&request, &shared).await {
        Ok(answer) => answer,
        Err(error) => said(request.path(), &Failure::of(error)),
    }
}

async fn text(request: &HttpRequest, shared: &Data<Shared>) -> Result<HttpResponse> {
    let asked = Asked::of(request, shared)?;
    let id = asked.number("run")?;
    let wanted = wanted(&asked)?;
    let run = asked.shared.ask(move |connection| Box::pin(async move { Ok(history::run(connection, id).await?) })).await?;
    run.ok_or_else(|| no_run(id))?;
    let pieces = stream::unfold(Some((0, 0)), move |place| {
        let (asked, wanted) = (asked.clone(), wanted.clone());
        async move {
            let (after, count) = place?;
            let read = asked
                .shared
                .ask(move |connection| Box::pin(async move { Ok(lines::after(connection, id, &wanted, after, CHUNK).await?) }));
            let (text, next) = piece(read.await, count);
            Some((Ok::<_, Infallible>(Bytes::from(text)), next))
        }
    });
    Ok(HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .insert_header(("Content-Disposition", format!("attachment; filename=\"run-{id}.log.txt\"")))
        .streaming(pieces))
}

/// The text of some lines, and where the next piece begins: after which line, and how many there were before.
fn piece(read: Result<Vec<LogLine>>, count: usize) -> (String, Option<(i64, usize)>) {
    let lines = match read {
        Ok(lines) => lines,
        // What has been sent cannot be taken back: it must not look whole.
        Err(error) => return (format!("... the lines that follow could not be read: {error:#}\n"), None),
    };
    let mut text: String = lines.iter().map(|line| lines::text(line) + "\n").collect();
    let count = count + lines.len();
    match lines.last() {
        Some(_) if count >= MOST => {
            text += &format!("... cut after {MOST} lines: take a task or a level, or `tributary runs logs`\n");
            (text, None)
        }
        Some(last) if lines.len() >= CHUNK as usize => (text, Some((last.id, count))),
        _ => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use tributary_actors::serving::history::RunState;

    use super::super::super::parts::grid::tests::run;
    use super::*;

    fn line(id: i64) -> LogLine {
        let at = chrono::DateTime::parse_from_rfc3339("2026-01-05T10:00:00.25Z").unwrap().to_utc();
        LogLine {
            id,
            run_id: 17,
            task: Some("silver".into()),
            attempt: Some(2),
            at,
            level: "warn".into(),
            message: format!("<line {id}>"),
        }
    }

    #[test]
    fn a_line_shows_what_matters_and_is_escaped() {
        let html = lines(&[line(1)]).into_string();
        for words in ["data-level=\"warn\"", "10:00:00.250", "silver#2", "&lt;line 1&gt;", "data-tail"] {
            assert!(html.contains(words), "{words} is not in {html}");
        }
        assert!(!html.contains("<time"), "the browser would make an age of it");
    }

    #[test]
    fn older_lines_are_asked_for_with_the_same_filter() {
        let found: Vec<LogLine> = (100..600).map(line).collect();
        let wanted = Wanted { task: Some("silver".into()), level: Some(Level::Warn), words: Some("a&b".into()), attempt: None };
        let html = shown(&run(17, RunState::Running, 0, chrono::Utc::now()), &wanted, None, &found).into_string();
        assert!(html.contains("/runs/17/logs?task=silver&amp;level=warn&amp;q=a%26b&amp;before=100"), "{html}");
        assert!(
            shown(&run(17, RunState::Running, 0, chrono::Utc::now()), &wanted, None, &[]).into_string().contains("No such line")
        );
        assert_eq!(command(17, &wanted), "tributary runs logs 17 --task silver -f");
    }

    #[test]
    fn a_download_ends_where_lines_end_and_says_when_it_is_cut() {
        let some = |n: i64| Ok((1..=n).map(line).collect::<Vec<_>>());
        assert_eq!(piece(some(3), 0).1, None);
        assert_eq!(piece(some(i64::from(CHUNK)), 0).1, Some((i64::from(CHUNK), CHUNK as usize)));
        let (text, next) = piece(some(i64::from(CHUNK)), MOST - CHUNK as usize);
        assert!(text.ends_with("or `tributary runs logs`\n") && next.is_none());
        let (text, next) = piece(Err(anyhow::anyhow!("gone")), 5);
        assert!(text.contains("could not be read: gone") && next.is_none());
    }
}
