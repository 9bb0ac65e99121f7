//! The pipeline as it flows: stores as boxes, and between them how fast records go, how many wait and since when.

use anyhow::Result;
use chrono::{DateTime, Utc};
use maud::{Markup, html};
use tributary_actors::board::{Board, PartitionState, StreamState};
use tributary_actors::lake::snapshot::Snapshot;
use tributary_core::stream::Stream;

use super::super::super::lake_view::Seen;
use super::super::super::parts::chart::{number, spark};
use super::super::super::parts::{ago_or, shape};
use super::super::super::shared::Shared;
use crate::inspect::behind::{self, Lag, Published};
use crate::words;

/// So many records on their way are no backlog while records flow.
const ON_THE_WAY: f64 = 5.0;

/// A way from one store to the next.
struct Edge {
    state: &'static str,
    lines: Vec<Markup>,
}

/// A store.
struct Node {
    name: &'static str,
    what: String,
    address: Option<String>,
    lines: Vec<Markup>,
}

/// All streams, and gold.
pub(super) async fn draw(shared: &Shared) -> Result<Markup> {
    let tables = shared.tables().await?.seen;
    let published = shared.ask(|connection| Box::pin(async move { Ok(behind::published(connection).await?) })).await.ok();
    let now = Utc::now();
    let table = |name: &str| tables.iter().find(|seen| seen.name == name).map(|seen| &*seen.snapshot);
    let mut streams = Vec::new();
    for stream in &shared.made.streams {
        let board = shared.made.boards.iter().map(Board::read).find(|state| state.stream == stream.name);
        let (bronze, silver) = (table(&stream.bronze_table()), table(&stream.silver_table()));
        streams.push(of_stream(shared, stream, board.as_ref(), bronze, silver, now));
    }
    let gold = of_gold(shared, &tables, published.as_deref(), now).await?;
    Ok(html! { div.flows { div.streams { @for stream in &streams { (stream) } } (gold) } })
}

fn of_stream(
    shared: &Shared,
    stream: &Stream,
    board: Option<&StreamState>,
    bronze: Option<&Snapshot>,
    silver: Option<&Snapshot>,
    now: DateTime<Utc>,
) -> Markup {
    let rates = shared.flow.now(&stream.name);
    let course: Vec<f64> = shared.flow.of(&stream.name).iter().map(|rates| rates.kafka).collect();
    let rate = |of: Option<f64>| of.map_or_else(|| "?".to_owned(), |rate| format!("{}/s", number(rate)));
    let kafka = Node {
        name: "Kafka",
        what: stream.topic.clone(),
        address: Some(format!("/streams/{}", stream.name)),
        lines: vec![
            html! { b { (rate(rates.map(|r| r.kafka))) } " written" },
            spark("Records per second, the last ten minutes", &course),
        ],
    };
    let to = |leg: &'static str, of: fn(&PartitionState) -> Option<i64>, rate_of: Option<f64>| {
        let behind = board.map(|state| lag(state, of));
        let detached = board.is_some_and(|state| state.catching_up.contains(&leg) || !state.legs.contains(&leg));
        let stands = board.is_some_and(|state| state.generation == 0 || !state.blocked.is_empty());
        let rests = rates.is_some_and(|r| r.kafka == 0.0) && rate_of == Some(0.0);
        let waits = behind.flatten().is_some_and(|lag| lag as f64 > ON_THE_WAY * rates.map_or(0.0, |r| r.kafka).max(100.0));
        let state = match board {
            None => "elsewhere",
            Some(_) if stands => "stopped",
            // Where it is nobody can say while its store is away.
            Some(_) if detached && behind.flatten().is_none() => "stopped",
            Some(_) if detached || waits => "behind",
            Some(_) if rests => "idle",
            Some(_) => "flowing",
        };
        let lag = behind.flatten().map_or_else(|| "?".to_owned(), |lag| words::count(u64::try_from(lag).unwrap_or(0)));
        Edge { state, lines: vec![html! { b { (rate(rate_of)) } }, html! { (lag) " waiting" }] }
    };
    let refused = shared.refused(&stream.name);
    let to_bronze = to("bronze", |p| p.bronze, rates.map(|r| r.bronze));
    let to_windows = to("serving", |p| p.serving, rates.map(|r| r.serving));
    let rows = |table: &Snapshot| table.files().values().filter_map(|file| file.rows).sum::<u64>();
    let layer = |name: &'static str, what: &'static str, table: Option<&Snapshot>| Node {
        name,
        what: what.to_owned(),
        address: table.map(|_| format!("/tables/{}.{}", name.to_lowercase(), stream.name)),
        lines: vec![
            html! { b { (table.map_or_else(|| words::NOTHING.to_owned(), |table| words::count(rows(table)))) } " rows" },
            html! { "committed " (ago_or(words::from_millis(table.and_then(Snapshot::committed_ms)), now, "never")) },
        ],
    };
    let mut of_bronze = layer("Bronze", "Delta, every record", bronze);
    if refused > 0 {
        let letters = format!("/deadletters?stream={}", stream.name);
        of_bronze.lines.push(html! { a href=(letters) { b { (words::count(refused)) } " not valid" } " since the start" });
    }
    let silver_lag = bronze.map(|bronze| behind::silver(stream, bronze, silver));
    let to_silver = match &silver_lag {
        Some(lag) if lag.is_nothing() => Edge { state: "ok", lines: vec![html! { "has everything" }] },
        Some(lag) => {
            Edge { state: "waiting", lines: vec![html! { b { (words::count(lag.rows())) } " rows wait for the next run" }] }
        }
        None => Edge { state: "idle", lines: vec![html! { "bronze is empty" }] },
    };
    let windows = Node {
        name: "Windows",
        what: format!("PostgreSQL realtime, {}", words::plural(stream.windows.len() as u64, "table")),
        address: None,
        lines: stream.windows.iter().take(3).map(|window| html! { code { (window.table) } }).collect(),
    };
    html! {
        div.card.flow {
            h2 { a href={ "/streams/" (stream.name) } { (stream.name) } }
            div.lanes {
                (node(&kafka))
                div.branches {
                    div.lane { (edge(&to_bronze)) (node(&of_bronze)) (edge(&to_silver)) (node(&layer("Silver", "Delta, valid, once", silver))) }
                    div.lane { (edge(&to_windows)) (node(&windows)) }
                }
            }
        }
    }
}

/// Records between a leg and the end of Kafka; none: not known.
fn lag(state: &StreamState, of: fn(&PartitionState) -> Option<i64>) -> Option<i64> {
    let each = state.partitions.values().map(|partition| Some((partition.high? - of(partition)?).max(0)));
    (!state.partitions.is_empty()).then(|| each.sum::<Option<i64>>()).flatten()
}

async fn of_gold(shared: &Shared, tables: &[Seen], published: Option<&[Published]>, now: DateTime<Utc>) -> Result<Markup> {
    let models = shared.models().await?;
    let table = |name: &str| tables.iter().find(|seen| seen.name == name).map(|seen| (*seen.snapshot).clone());
    let (mut built, mut behind_gold, mut behind_published, mut shown) = (None, 0_u64, 0_u64, 0_u64);
    for planned in &models.planned {
        let own = table(&planned.model.table());
        built = built.max(own.as_ref().and_then(Snapshot::committed_ms));
        let sources: Vec<(String, Option<Snapshot>)> = planned.sources.iter().map(|name| (name.clone(), table(name))).collect();
        let (planned, published) = (planned.clone(), published.map(<[_]>::to_vec));
        let (lag, publication, is_there) = shared
            .away(async move {
                let lag = behind::gold(&planned, &sources, own.as_ref()).await?;
                let (Some(name), Some(published)) = (&planned.model.publish, &published) else { return Ok((lag, None, false)) };
                let there = published.iter().find(|published| published.is(name));
                let publication = behind::publication(&planned, own.as_ref(), there).await?;
                Ok((lag, Some(publication), there.is_some()))
            })
            .await?;
        behind_gold += u64::from(!matches!(lag, Lag::Nothing));
        shown += u64::from(is_there);
        behind_published += u64::from(publication.is_some_and(|lag| !matches!(lag, Lag::Nothing)));
    }
    let to = |behind: u64, broken: usize, known: bool| match (behind, broken) {
        _ if !known => Edge { state: "stopped", lines: vec![html! { "not known" }] },
        (_, 1..) => Edge { state: "behind", lines: vec![html! { (words::plural(broken as u64, "broken model")) }] },
        (0, 0) => Edge { state: "ok", lines: vec![html! { "has everything" }] },
        (behind, 0) => {
            let verb = if behind == 1 { " waits" } else { " wait" };
            Edge { state: "waiting", lines: vec![html! { b { (words::plural(behind, "table")) } (verb) " for the next run" }] }
        }
    };
    let gold = Node {
        name: "Gold",
        what: "Delta, what is asked for".into(),
        address: Some("/tables".into()),
        lines: vec![
            html! { b { (words::plural(models.planned.len() as u64, "table")) } },
            html! { "committed " (ago_or(words::from_millis(built), now, "never")) },
        ],
    };
    let newest = published.iter().flat_map(|all| all.iter()).map(|published| published.published_at).max();
    let serving = Node {
        name: "PostgreSQL",
        what: "schema gold, for dashboards".into(),
        address: None,
        lines: match published {
            Some(_) => {
                vec![html! { b { (words::plural(shown, "table")) } }, html! { "published " (ago_or(newest, now, "never")) }]
            }
            None => vec![html! { "does not answer" }],
        },
    };
    Ok(html! {
        div.card.flow {
            h2 { a href="/jobs" { "Batch" } }
            div.lanes { div.branches { div.lane {
                (edge(&to(behind_gold, models.broken.len(), true))) (node(&gold))
                (edge(&to(behind_published, 0, published.is_some()))) (node(&serving))
            } } }
        }
    })
}

fn node(node: &Node) -> Markup {
    html! {
        div.node {
            p.name { @if let Some(address) = &node.address { a href=(address) { (node.name) } } @else { (node.name) } }
            p.faint { (node.what) }
            @for line in &node.lines { p { (line) } }
        }
    }
}

fn edge(edge: &Edge) -> Markup {
    html! {
        div.edge data-state=(edge.state) {
            span.arrow aria-hidden="true" {}
            span.word { (shape(edge.state)) (edge.state) }
            @for line in &edge.lines { span { (line) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lag_is_known_only_when_every_partition_is() {
        let at = |high, bronze| PartitionState { high, bronze, ..PartitionState::default() };
        let state = |all: Vec<PartitionState>| StreamState { partitions: (0..).zip(all).collect(), ..StreamState::default() };
        assert_eq!(lag(&state(vec![at(Some(10), Some(4)), at(Some(3), Some(3))]), |p| p.bronze), Some(6));
        assert_eq!(lag(&state(vec![at(Some(10), Some(4)), at(Some(3), None)]), |p| p.bronze), None);
        assert_eq!(lag(&state(Vec::new()), |p| p.bronze), None);
    }
}
