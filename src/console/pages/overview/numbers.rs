//! The newest numbers: the newest day of every published table, and the last half hour of every window table.
//!
//! Whatever a person declares is shown, not only what the demo declares: a table with one row a day becomes tiles, one with several rows a
//! day a list, a window table a chart.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use chrono::{TimeDelta, Utc};
use maud::{Markup, html};
use serde_json::{Map, Value};
use tributary_actors::serving::shown::{self, Numbers};
use tributary_core::model::Planned;
use tributary_core::stream::{Measure, Window};
use tributary_core::table::DATE_COLUMN;

use super::super::super::parts::chart::{Chart, Line, chart, number, spark};
use super::super::super::parts::empty;
use super::super::super::shared::Shared;

/// Days that a small line shows.
const DAYS: i32 = 30;
/// Rows of a list.
const LIST: usize = 5;
/// The last half hour is read.
const MINUTES: i64 = 30;
/// Lines of a chart; the others are added up.
const LINES: usize = 6;

/// The newest day of what is published.
pub(super) async fn tiles(shared: &Shared) -> Result<Markup> {
    let models = shared.models().await?;
    let by_day = |planned: &&std::sync::Arc<Planned>| planned.model.key.iter().any(|column| column == DATE_COLUMN);
    let mut published: Vec<_> = models.planned.iter().filter(|p| p.model.publish.is_some()).filter(by_day).cloned().collect();
    // A number that several tables have is shown of the one that has little else.
    published.sort_by_key(|planned| planned.schema.fields().len());
    let (mut tiles, mut lists) = (Vec::new(), Vec::new());
    let mut shown = BTreeSet::new();
    for planned in published {
        let Some(table) = planned.model.publish.clone() else { continue };
        let one_a_day = planned.model.key.len() == 1;
        let (days, most) = if one_a_day { (DAYS, i64::from(DAYS)) } else { (1, 1_000) };
        let asked =
            shared.ask(move |connection| Box::pin(async move { Ok(shown::newest_days(connection, &table, days, most).await?) }));
        // A table that no run has made yet is no failure of the page.
        let rows = match asked.await {
            Ok(rows) => rows,
            Err(error) if error.is::<super::super::super::failure::Failure>() => return Err(error),
            Err(_) => Vec::new(),
        };
        match (rows.is_empty(), one_a_day) {
            (true, _) => {}
            (false, true) => tiles.push(values(&planned, &rows, &mut shown)),
            (false, false) => lists.push(list(&planned, &rows)),
        }
    }
    Ok(match tiles.is_empty() && lists.is_empty() {
        true => empty(
            "No day yet",
            "The newest numbers of every published table appear here after the first run of the batch job, within a minute of the first event.",
            Some("tributary run lakehouse_bronze_to_gold --wait"),
        ),
        false => html! {
            h2 { "Newest day" }
            div.tiles { @for tile in &tiles { (tile) } }
            div.lists { @for list in &lists { (list) } }
        },
    })
}

fn day(row: &Map<String, Value>) -> &str {
    row.get(DATE_COLUMN).and_then(Value::as_str).unwrap_or_default()
}

/// Numbers of a row, but for keys and times.
fn numbers<'r>(planned: &Planned, row: &'r Map<String, Value>) -> Vec<(&'r str, f64)> {
    let columns = row.iter().filter(|(name, _)| !planned.model.key.contains(name));
    columns.filter_map(|(name, value)| Some((name.as_str(), value.as_f64()?))).collect()
}

/// A tile for each number; what another table has said by the same name is not said again.
fn values(planned: &Planned, newest_first: &[Map<String, Value>], shown: &mut BTreeSet<String>) -> Markup {
    let Some(newest) = newest_first.first() else { return html! {} };
    let mut own = numbers(planned, newest);
    own.retain(|(name, _)| shown.insert((*name).to_owned()));
    html! {
        @for (name, value) in own {
            @let course: Vec<f64> = newest_first.iter().rev().filter_map(|row| row.get(name)?.as_f64()).collect();
            a.tile href={ "/tables/" (planned.model.table()) } {
                span.name { b { (called(planned)) } " " (name.replace('_', " ")) }
                strong { (shown_as(name, value)) }
                span.faint { (day(newest)) }
                (spark(&format!("{name}, the newest days"), &course))
            }
        }
    }
}

/// What it is called where people read it, in words.
fn called(planned: &Planned) -> String {
    planned.model.publish.as_ref().unwrap_or(&planned.model.name).replace('_', " ")
}

/// A rate is a part of one and reads better in hundredths.
fn shown_as(name: &str, value: f64) -> String {
    match name.ends_with("_rate") || name.ends_with("_ratio") {
        true => format!("{:.1} %", value * 100.0),
        false => number(value),
    }
}

fn list(planned: &Planned, rows: &[Map<String, Value>]) -> Markup {
    let Some(newest) = rows.first() else { return html! {} };
    let keys = || planned.model.key.iter().filter(|column| *column != DATE_COLUMN);
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let name = |row: &Map<String, Value>| keys().filter_map(|key| row.get(key)).map(text).collect::<Vec<_>>().join(" · ");
    let column = numbers(planned, newest).first().map_or("", |(column, _)| *column).to_owned();
    let mut all: Vec<(String, f64)> = rows.iter().filter_map(|row| Some((name(row), row.get(&column)?.as_f64()?))).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    let most = all.first().map_or(1.0, |(_, value)| value.max(1e-9));
    html! {
        a.tile.list href={ "/tables/" (planned.model.table()) } {
            span.name { b { (called(planned)) } " " (column.replace('_', " ")) " by " (keys().cloned().collect::<Vec<_>>().join(", ")) }
            ul {
                @for (name, value) in all.iter().take(LIST) {
                    li {
                        span { (name) } b { (number(*value)) }
                        svg.bar viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true" { rect width=(value / most * 100.0) height="4" rx="2" {} }
                    }
                }
            }
            span.faint { (day(newest)) @if all.len() > LIST { ", " (all.len() - LIST) " more" } }
        }
    }
}

/// The last half hour of every window table.
pub(super) async fn charts(shared: &Shared) -> Result<Markup> {
    let now = Utc::now();
    let mut charts = Vec::new();
    for stream in &shared.made.streams {
        for (at, window) in stream.windows.iter().enumerate() {
            let every = TimeDelta::milliseconds(window.every_ms);
            // Windows of an hour are no line in half an hour.
            let back = every.checked_mul(MINUTES as i32).unwrap_or(every).max(TimeDelta::minutes(MINUTES));
            let of = std::sync::Arc::clone(stream);
            let asked = shared.ask(move |connection| {
                Box::pin(async move {
                    let Some(window) = of.windows.get(at) else { return Ok(Numbers::new()) };
                    Ok(shown::windows(connection, &of, window, now - back, now).await?)
                })
            });
            let numbers = over(asked.await?, now.timestamp_millis() - window.every_ms);
            if !numbers.is_empty() {
                charts.push((window, chart(&over_time(window, &numbers))));
            }
        }
    }
    Ok(match charts.is_empty() {
        true => empty(
            "No minute yet",
            "Every window table becomes a chart here, a second or two after the first record is in Kafka.",
            Some("tributary up --roles generator --rate 50"),
        ),
        false => html! {
            h2 { "Live" }
            div.charts { @for (window, chart) in &charts { div.card { h3 { (window.table.replace('_', " ")) } (chart) } } }
        },
    })
}

/// Without what goes on: half a minute looks like a fall. Where nothing is over yet, what there is.
fn over(numbers: Numbers, newest_ms: i64) -> Numbers {
    match numbers.keys().any(|(start, _)| *start <= newest_ms) {
        true => numbers.into_iter().filter(|((start, _), _)| *start <= newest_ms).collect(),
        false => numbers,
    }
}

/// Lines by group, with zeros where nothing was counted: a minute without a purchase has none.
fn over_time(window: &Window, numbers: &Numbers) -> Chart {
    let times: BTreeSet<i64> = numbers.keys().map(|(start, _)| *start).collect();
    let (first, last) = (times.first().copied().unwrap_or(0), times.last().copied().unwrap_or(0));
    let times: Vec<i64> = (0..=(last - first) / window.every_ms.max(1)).map(|n| first + n * window.every_ms).collect();
    let mut groups: BTreeMap<&[String], f64> = BTreeMap::new();
    for ((_, group), number) in numbers {
        *groups.entry(group).or_default() += *number as f64;
    }
    let mut order: Vec<(&[String], f64)> = groups.into_iter().collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
    let of = |group: &[String]| {
        let at = |time: &i64| numbers.get(&(*time, group.to_vec())).map_or(0.0, |number| *number as f64);
        times.iter().map(at).collect::<Vec<f64>>()
    };
    let column = match &window.measure {
        Measure::Count { column } | Measure::Sum { column, .. } => column.clone(),
    };
    let name = |group: &[String]| if group.is_empty() { column.replace('_', " ") } else { group.join(" · ") };
    let shown = order.iter().take(LINES).map(|(group, _)| (name(group), of(group)));
    let mut lines: Vec<Line> =
        shown.map(|(name, values)| Line { name, values: values.into_iter().map(Some).collect() }).collect();
    if order.len() > LINES {
        let mut rest = vec![0.0; times.len()];
        for (group, _) in order.iter().skip(LINES) {
            rest.iter_mut().zip(of(group)).for_each(|(sum, value)| *sum += value);
        }
        lines.push(Line { name: format!("{} others", order.len() - LINES), values: rest.into_iter().map(Some).collect() });
    }
    Chart {
        name: format!("{} of the last half hour", window.table.replace('_', " ")),
        times: times.iter().map(|ms| ms / 1000).collect(),
        lines,
        unit: "",
        stacked: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tributary_core::stream::Stream;

    #[test]
    fn a_minute_that_goes_on_is_no_fall() {
        let numbers: Numbers = [((0, vec![]), 600), ((60_000, vec![]), 20)].into();
        assert_eq!(over(numbers.clone(), 59_999).len(), 1);
        assert_eq!(over(numbers.clone(), 60_000).len(), 2);
        assert_eq!(over(numbers, -1).len(), 2, "the first minute");
    }

    #[test]
    fn a_minute_without_events_is_a_zero_and_the_largest_group_comes_first() {
        let stream = Stream::builtin();
        let row = |minute: i64, group: &str, number| ((minute * 60_000, vec![group.to_owned()]), number);
        let numbers: Numbers = [row(0, "login", 1), row(2, "click", 9), row(0, "click", 3)].into();
        let chart = over_time(&stream.windows[0], &numbers);
        assert_eq!(chart.times, [0, 60, 120]);
        assert_eq!(chart.lines.iter().map(|line| line.name.as_str()).collect::<Vec<_>>(), ["click", "login"]);
        assert_eq!(chart.lines[0].values, [Some(3.0), Some(0.0), Some(9.0)]);
    }

    #[test]
    fn a_rate_is_said_in_hundredths() {
        assert_eq!((shown_as("conversion_rate", 0.153), shown_as("dau_count", 1_204.0)), ("15.3 %".into(), "1,204".into()));
    }
}
