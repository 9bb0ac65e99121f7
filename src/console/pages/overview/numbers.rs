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

use super::super::super::parts::chart::{Chart, Line, Span, live, number, spark};
use super::super::super::parts::empty;
use super::super::super::shared::Shared;

/// Days that a small line shows.
const DAYS: i32 = 30;
/// Rows of a list.
const LIST: usize = 5;
/// The last half hour is shown, or as many windows.
const MINUTES: i64 = 30;
const MINUTE_MS: i64 = 60_000;
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
            let shown = Shown::at(now.timestamp_millis(), window.every_ms);
            let since = now - TimeDelta::milliseconds(now.timestamp_millis() - shown.first_ms);
            let of = std::sync::Arc::clone(stream);
            let asked = shared.ask(move |connection| {
                Box::pin(async move {
                    let Some(window) = of.windows.get(at) else { return Ok(Numbers::new()) };
                    Ok(shown::windows(connection, &of, window, since, now).await?)
                })
            });
            let numbers = asked.await?;
            charts.push((window, (!numbers.is_empty()).then(|| live(&over_time(window, &numbers, shown), shown.span()))));
        }
    }
    Ok(match charts.iter().all(|(_, chart)| chart.is_none()) {
        true => empty(
            "Nothing was counted in the last half hour",
            "Every window table becomes a chart here, a second or two after the first record is in Kafka.",
            Some("tributary up --roles generator --rate 50"),
        ),
        false => html! {
            h2 { "Live" }
            div.charts {
                @for (window, chart) in &charts {
                    div.card {
                        h3 { (window.table.replace('_', " ")) }
                        @if let Some(chart) = chart { (chart) } @else { p.faint { "Nothing was counted lately." } }
                    }
                }
            }
        },
    })
}

/// The windows of a table that are shown.
#[derive(Clone, Copy)]
struct Shown {
    first_ms: i64,
    /// The one that goes on: half a minute looks like a fall, so it is drawn as what it is so far.
    open_ms: i64,
    every_ms: i64,
}

impl Shown {
    fn at(now_ms: i64, every_ms: i64) -> Self {
        let every_ms = every_ms.max(1);
        let open_ms = now_ms - now_ms.rem_euclid(every_ms);
        // Windows of an hour are no line in half an hour.
        let back = (MINUTES * MINUTE_MS / every_ms).max(MINUTES);
        Self { first_ms: open_ms - back * every_ms, open_ms, every_ms }
    }

    fn span(self) -> Span {
        let open = match self.every_ms {
            MINUTE_MS => "this minute so far",
            3_600_000 => "this hour so far",
            _ => "so far",
        };
        Span { from: self.first_ms / 1000, to: self.open_ms / 1000, open: Some(open) }
    }

    /// Their starts, from the first that has anything to the one that goes on.
    fn times(self, first_known: i64) -> Vec<i64> {
        let first = first_known.max(self.first_ms);
        (0..=(self.open_ms - first) / self.every_ms).rev().map(|n| self.open_ms - n * self.every_ms).collect()
    }
}

/// Lines by group, with zeros where nothing was counted: a minute without a purchase has none, and neither has one after the last event.
/// They are in the order of their names, so that a line keeps its place and its colour when another one grows beyond it.
fn over_time(window: &Window, numbers: &Numbers, shown: Shown) -> Chart {
    let times = shown.times(numbers.keys().next().map_or(shown.open_ms, |(start, _)| *start));
    let mut groups: BTreeMap<&[String], f64> = BTreeMap::new();
    for ((_, group), number) in numbers {
        *groups.entry(group).or_default() += *number as f64;
    }
    let mut order: Vec<(&[String], f64)> = groups.into_iter().collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
    let rest = order.split_off(LINES.min(order.len()));
    order.sort_by_key(|(group, _)| *group);
    let of = |group: &[String]| {
        let at = |time: &i64| numbers.get(&(*time, group.to_vec())).map_or(0.0, |number| *number as f64);
        times.iter().map(at).collect::<Vec<f64>>()
    };
    let column = match &window.measure {
        Measure::Count { column } | Measure::Sum { column, .. } => column.clone(),
    };
    let name = |group: &[String]| if group.is_empty() { column.replace('_', " ") } else { group.join(" · ") };
    let line = |name: String, values: Vec<f64>| Line { name, values: values.into_iter().map(Some).collect() };
    let mut lines: Vec<Line> = order.iter().map(|(group, _)| line(name(group), of(group))).collect();
    if !rest.is_empty() {
        let mut sums = vec![0.0; times.len()];
        for (group, _) in &rest {
            sums.iter_mut().zip(of(group)).for_each(|(sum, value)| *sum += value);
        }
        lines.push(line(format!("{} others", rest.len()), sums));
    }
    Chart {
        name: format!("{}, the newest windows", window.table.replace('_', " ")),
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

    fn row(minute: i64, group: &str, number: i128) -> ((i64, Vec<String>), i128) {
        ((minute * MINUTE_MS, vec![group.to_owned()]), number)
    }

    fn drawn(numbers: &Numbers, now_minute: i64) -> Chart {
        over_time(&Stream::builtin().windows[0], numbers, Shown::at(now_minute * MINUTE_MS + 20_000, MINUTE_MS))
    }

    #[test]
    fn a_chart_goes_on_to_now_with_zeros_after_the_last_event() {
        let chart = drawn(&[row(100, "click", 3), row(102, "click", 9)].into(), 105);
        assert_eq!(chart.times, [6_000, 6_060, 6_120, 6_180, 6_240, 6_300]);
        assert_eq!(chart.lines[0].values, [3.0, 0.0, 9.0, 0.0, 0.0, 0.0].map(Some));
    }

    #[test]
    fn lines_keep_their_places_when_another_one_grows_beyond_them() {
        let names = |numbers: &Numbers| drawn(numbers, 100).lines.into_iter().map(|line| line.name).collect::<Vec<_>>();
        let before = names(&[row(99, "login", 9), row(99, "logout", 1)].into());
        assert_eq!(before, names(&[row(99, "login", 9), row(99, "logout", 300)].into()));
        let many: Numbers = (0..9).map(|n| row(99, &format!("g{n}"), 10 + n)).collect();
        assert_eq!(names(&many), ["g3", "g4", "g5", "g6", "g7", "g8", "3 others"], "the largest, in the order of their names");
    }

    #[test]
    fn half_an_hour_is_shown_or_as_many_windows() {
        let shown = Shown::at(100 * MINUTE_MS + 20_000, MINUTE_MS);
        assert_eq!((shown.first_ms, shown.open_ms), (70 * MINUTE_MS, 100 * MINUTE_MS));
        assert_eq!(shown.span().open, Some("this minute so far"));
        let of_hours = Shown::at(100 * MINUTE_MS, 60 * MINUTE_MS);
        assert_eq!((of_hours.first_ms, of_hours.open_ms), (-29 * 60 * MINUTE_MS, 60 * MINUTE_MS));
        assert_eq!(of_hours.span().open, Some("this hour so far"));
        assert_eq!(Shown::at(0, 10_000).first_ms, -30 * MINUTE_MS, "windows of ten seconds");
    }

    #[test]
    fn a_rate_is_said_in_hundredths() {
        assert_eq!((shown_as("conversion_rate", 0.153), shown_as("dau_count", 1_204.0)), ("15.3 %".into(), "1,204".into()));
    }
}
