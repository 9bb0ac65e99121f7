//! One stream: how fast it flows, how far each store is in every partition, what waits for a person, and what is declared.

use anyhow::Result;
use maud::{Markup, html};
use tributary_actors::board::{Board, StreamState};
use tributary_core::stream::{Measure, Stream};

use super::super::asked::Asked;
use super::super::failure::Failure;
use super::super::flow::Rates;
use super::super::parts::chart::{Chart, Line, Span, live};
use super::super::parts::{cards, empty, facts, state, table, text};
use super::super::shell::Page;
use crate::words;

pub(crate) async fn page(asked: Asked) -> Result<Page> {
    let shared = &asked.shared;
    let name = asked.name("stream");
    let known = || shared.made.streams.iter().map(|stream| stream.name.clone()).collect::<Vec<_>>().join(", ");
    let stream = shared.made.streams.iter().find(|stream| stream.name == name);
    let stream = stream.ok_or_else(|| Failure::not_found(format!("there is no stream {name}; there are: {}", known())))?;
    let board = shared.made.boards.iter().map(Board::read).find(|state| state.stream == stream.name);
    let mut page = Page::new("stream", stream.name.clone(), "/").below("Overview", "/").says("tributary status");
    page.charts = true;
    let tables = shared.tables().await.unwrap_or_default().seen;
    let names: Vec<String> = tables.iter().map(|seen| seen.name.clone()).collect();
    let leads = leads(stream, &names, shared.refused(&stream.name));
    let course = shared.flow.of(&stream.name);
    let moving = match shared.flow.now(&stream.name) {
        Some(rates) if [rates.kafka, rates.bronze, rates.serving].iter().all(|rate| *rate == 0.0) => "idle",
        _ => "flowing",
    };
    let (how, partitions) = match &board {
        Some(board) => (now(board, moving), partitions(board, moving)),
        None => {
            let what =
                "Another process reads this stream, or none does: this one was started without the roles bronze and serving.";
            (html! {}, empty("Not read here", what, Some("tributary status")))
        }
    };
    Ok(page
        .live("state", how)
        .live("leads", leads)
        .live("rates", rates(&course))
        .live("partitions", partitions)
        .fixed("declared", declared(stream)))
}

/// Where its records are, and those that are not valid.
fn leads(stream: &Stream, tables: &[String], refused: u64) -> Markup {
    let own = ["bronze", "silver"].map(|layer| format!("{layer}.{}", stream.name));
    let own = own.into_iter().filter(|name| tables.contains(name));
    html! {
        p.toolbar {
            @for name in own { a.button href={ "/tables/" (name) } { (name) } }
            a.button href={ "/deadletters?stream=" (stream.name) } { "Dead letters" }
            @if refused > 0 { span.faint { (words::plural(refused, "record")) " since the start of this process " @if refused == 1 { "was" } @else { "were" } " not valid" } }
        }
    }
}

fn now(board: &StreamState, moving: &'static str) -> Markup {
    let word = match board.is_ready() {
        true => moving,
        false if board.generation == 0 || !board.blocked.is_empty() => "stopped",
        false => "behind",
    };
    let legs = |all: &[&'static str]| if all.is_empty() { words::NOTHING.to_owned() } else { all.join(", ") };
    html! {
        div.card {
            (facts(&[
                ("State", state(word)),
                ("Stores fed", text(legs(&board.legs))),
                ("Catching up alone", text(legs(&board.catching_up))),
                ("Rebuilt since the start", text(board.restarts.to_string())),
            ]))
            @if let Some(problem) = &board.problem { p.problem { (problem) } }
        }
    }
}

/// As long as looks are kept.
const KEPT_SECONDS: i64 = 600;

fn rates(course: &[Rates]) -> Markup {
    let Some(last) = course.last() else { return html! {} };
    let to = last.at.timestamp();
    let line = |name: &str, of: fn(&Rates) -> f64| Line {
        name: name.to_owned(),
        values: course.iter().map(|rates| Some((of(rates) * 10.0).round() / 10.0)).collect(),
    };
    let drawn = Chart {
        name: "Records per second of the last ten minutes".into(),
        times: course.iter().map(|rates| rates.at.timestamp()).collect(),
        lines: vec![line("Kafka", |r| r.kafka), line("bronze", |r| r.bronze), line("windows", |r| r.serving)],
        unit: "/s",
        stacked: false,
    };
    html! { div.card { h2 { "Records per second" } (live(&drawn, Span { from: to - KEPT_SECONDS, to, open: None })) } }
}

fn partitions(board: &StreamState, moving: &'static str) -> Markup {
    let known = |offset: Option<i64>| offset.map_or_else(|| "?".to_owned(), |offset| offset.to_string());
    let behind = |high: Option<i64>, next: Option<i64>| match (high, next) {
        (Some(high), Some(next)) => words::count(u64::try_from(high - next).unwrap_or(0)),
        _ => "?".to_owned(),
    };
    let rows: Vec<Vec<Markup>> = board
        .partitions
        .iter()
        .map(|(partition, at)| {
            vec![
                text(partition.to_string()),
                text(known(at.low)),
                text(known(at.high)),
                text(known(at.bronze)),
                text(behind(at.high, at.bronze)),
                text(known(at.serving)),
                text(behind(at.high, at.serving)),
                match board.blocked.get(partition) {
                    Some(why) => html! { span.problem { (why) } },
                    None => state(moving),
                },
            ]
        })
        .collect();
    if rows.is_empty() {
        return empty(
            "No partition yet",
            "This process has not been given any of the topic's partitions.",
            Some("tributary status"),
        );
    }
    let header = ["Partition", "Oldest", "Next in Kafka", "Next in bronze", "Waiting", "Next in windows", "Waiting", "State"];
    html! {
        h2 { "Partitions" }
        (cards("Partitions", &header, &[0, 1, 2, 3, 4, 5, 6], &rows))
        @for (partition, why) in &board.blocked {
            div.note {
                p { "Partition " (partition) " waits for a person: " (why) }
                p { code.command data-copy { "tributary topic skip --stream " (board.stream) " --partition " (partition) } " or " code.command data-copy { "tributary topic adopt --stream " (board.stream) } }
            }
        }
    }
}

fn declared(stream: &Stream) -> Markup {
    let rows: Vec<Vec<Markup>> = stream
        .fields
        .iter()
        .enumerate()
        .map(|(at, field)| {
            let mut rules = Vec::new();
            rules.extend((at == stream.id).then(|| "the id".to_owned()));
            rules.extend((at == stream.event_time).then(|| "the event time".to_owned()));
            rules.extend((at == stream.key).then(|| "the key in Kafka".to_owned()));
            rules.extend(field.required.then(|| "required".to_owned()));
            rules.extend((!field.allowed.is_empty()).then(|| format!("one of {}", field.allowed.join(", "))));
            rules.extend(field.minimum.map(|least| format!("{least} or more")));
            vec![
                html! { code { (field.name) } },
                html! { code { (field.column) } },
                text(format!("{:?}", field.kind).to_lowercase()),
                text(rules.join("; ")),
            ]
        })
        .collect();
    let windows: Vec<Vec<Markup>> = stream
        .windows
        .iter()
        .map(|window| {
            let groups: Vec<&str> =
                window.group_by.iter().filter_map(|field| Some(stream.fields.get(*field)?.column.as_str())).collect();
            let (Measure::Count { column } | Measure::Sum { column, .. }) = &window.measure;
            let every = std::time::Duration::from_millis(u64::try_from(window.every_ms).unwrap_or(0));
            vec![
                html! { code { "realtime." (window.table) } },
                text(words::duration(every)),
                text(groups.join(", ")),
                html! { code { (column) } },
                html! { code.command.sql data-copy title="For psql" { "SELECT * FROM realtime." (window.table) " ORDER BY window_start DESC LIMIT 20" } },
            ]
        })
        .collect();
    html! {
        h2 { "Declared" }
        p.lead { (stream.description) ". Topic " code { (stream.topic) } "; a change of its file is read at the next start." }
        (table("Fields", &["Field", "Column", "Type", "What is valid"], &[], &rows))
        @if !windows.is_empty() { (table("Windows", &["Window table", "Every", "By", "Counts", "To look at it in PostgreSQL"], &[], &windows)) }
    }
}
