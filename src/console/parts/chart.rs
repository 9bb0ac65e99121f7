//! Time series: drawn here as SVG, so that a page without scripts has them, and again by uPlot where scripts run.
//!
//! Colours are names of the style sheet (`--series-1` …), so that light and dark have their own.

use std::fmt::Write;

use maud::{Markup, PreEscaped, html};
use serde_json::json;

/// One line of a chart.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    /// What the legend says.
    pub(crate) name: String,
    /// A value for each time of the chart; none: a gap.
    pub(crate) values: Vec<Option<f64>>,
}

/// A chart over time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Chart {
    /// What it shows, for those who do not see it.
    pub(crate) name: String,
    /// Seconds since 1970, ascending.
    pub(crate) times: Vec<i64>,
    /// The lines.
    pub(crate) lines: Vec<Line>,
    /// What a value is counted in.
    pub(crate) unit: &'static str,
    /// Whether the values are put on top of each other.
    pub(crate) stacked: bool,
}

/// What of time a chart shows, whatever there is of values: one that has begun just now is as wide as any other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Span {
    /// Seconds since 1970 at the left edge.
    pub(crate) from: i64,
    /// At the right edge.
    pub(crate) to: i64,
    /// What the last time is called if it still goes on: its values are those so far, and are drawn as such.
    pub(crate) open: Option<&'static str>,
}

/// Width and height of the drawing, before it is scaled.
const WIDE: f64 = 600.0;
const HIGH: f64 = 160.0;

/// Fewer values than this are no line that anybody would see.
const FEW: usize = 3;

/// The chart, to be drawn again by the browser.
pub(crate) fn chart(chart: &Chart) -> Markup {
    figure(chart, None)
}

/// The same, of a span of time that goes on.
pub(crate) fn live(chart: &Chart, span: Span) -> Markup {
    figure(chart, Some(span))
}

fn figure(chart: &Chart, span: Option<Span>) -> Markup {
    let open = span.and_then(|span| span.open);
    let data = json!({
        "x": chart.times,
        "series": chart.lines.iter().map(|line| json!({ "name": line.name, "values": line.values })).collect::<Vec<_>>(),
        "unit": chart.unit,
        "stacked": chart.stacked,
        "from": span.map(|span| span.from),
        "to": span.map(|span| span.to),
        "open": open.is_some(),
    });
    html! {
        figure.chart data-chart=(data.to_string()) {
            svg viewBox={ "0 0 " (WIDE) " " (HIGH) } preserveAspectRatio="none" role="img" aria-label=(chart.name) {
                (PreEscaped(drawn(chart, span)))
            }
            figcaption {
                @for (at, line) in chart.lines.iter().enumerate() {
                    span.key { span.swatch data-series=(at % 8 + 1) {} (line.name) " " b { (number(newest(line, over(chart, span)))) } }
                }
                @if let Some(open) = open {
                    span.key.faint {
                        svg.open viewBox="0 0 30 12" width="30" height="12" aria-hidden="true" { path d="M1 6h19" {} circle cx="24" cy="6" r="3.5" {} }
                        (open)
                    }
                }
            }
        }
    }
}

/// How many of the times are over.
fn over(chart: &Chart, span: Option<Span>) -> usize {
    chart.times.len().saturating_sub(usize::from(span.is_some_and(|span| span.open.is_some())))
}

/// What a legend says: the newest value of what is over. Where nothing is, the one so far.
fn newest(line: &Line, over: usize) -> f64 {
    let (done, open) = line.values.split_at(over.min(line.values.len()));
    done.iter().rev().chain(open).flatten().next().copied().unwrap_or_default()
}

fn drawn(chart: &Chart, span: Option<Span>) -> String {
    let (Some(first), Some(last)) = (chart.times.first(), chart.times.last()) else { return String::new() };
    let (from, to) = span.map_or((*first, *last), |span| (span.from, span.to));
    let mut base = vec![0.0; chart.times.len()];
    let mut tops: Vec<Vec<Option<f64>>> = Vec::new();
    for line in &chart.lines {
        let top = line.values.iter().zip(&mut base).map(|(value, base)| {
            let value = (*value)?;
            if chart.stacked {
                *base += value;
            }
            Some(if chart.stacked { *base } else { value })
        });
        tops.push(top.collect());
    }
    let most = tops.iter().flatten().flatten().fold(1e-9_f64, |most, value| most.max(*value));
    let wide = (to - from).max(1) as f64;
    let place = |time: i64, value: f64| ((time - from) as f64 / wide * WIDE, HIGH - 4.0 - value / most * (HIGH - 12.0));
    let mut svg = String::new();
    for (at, top) in tops.iter().enumerate() {
        let points: Vec<Option<(f64, f64)>> =
            chart.times.iter().zip(top).map(|(time, value)| Some(place(*time, (*value)?))).collect();
        let (done, open) = points.split_at(over(chart, span).min(points.len()));
        let mut draw = |class: &str, path: String| {
            if !path.is_empty() {
                // Writing to a String cannot fail.
                let _ = write!(svg, "<path class=\"{class}\" data-series=\"{}\" d=\"{path}\"/>", at % 8 + 1);
            }
        };
        draw("line", path(done));
        if done.iter().flatten().count() < FEW {
            draw("dot", dots(done));
        }
        if !open.is_empty() {
            // From the last that is over to what there is so far.
            draw("line sofar", path(points.get(done.len().saturating_sub(1)..).unwrap_or_default()));
            draw("dot", dots(open));
            draw("dot hole", dots(open));
        }
    }
    svg
}

/// A line through the points, with gaps where there is none.
fn path(points: &[Option<(f64, f64)>]) -> String {
    let mut path = String::new();
    let mut is_begun = false;
    for point in points {
        if let Some((x, y)) = point {
            let _ = write!(path, "{}{x:.1} {y:.1}", if is_begun { "L" } else { "M" });
        }
        is_begun = point.is_some();
    }
    path
}

/// Each point by itself: a line of no length with round ends.
fn dots(points: &[Option<(f64, f64)>]) -> String {
    points.iter().flatten().map(|(x, y)| format!("M{x:.1} {y:.1}h0")).collect()
}

/// A small line without axes.
pub(crate) fn spark(name: &str, values: &[f64]) -> Markup {
    if values.len() < 2 {
        return html! {};
    }
    let (wide, high) = (120.0, 32.0);
    let most = values.iter().copied().fold(1e-9_f64, f64::max);
    let mut points = String::new();
    for (at, value) in values.iter().enumerate() {
        let (x, y) = (at as f64 / (values.len() - 1) as f64 * wide, high - 2.0 - value / most * (high - 4.0));
        let _ = write!(points, "{x:.1},{y:.1} ");
    }
    html! {
        svg.spark viewBox="0 0 120 32" width="120" height="32" preserveAspectRatio="none" role="img" aria-label=(name) {
            polyline points=(points.trim_end()) {}
        }
    }
}

/// `1,234`, `12.3 k`, `4.5 M`; below ten with a digit behind the point.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    match () {
        () if size >= 1e9 => format!("{:.1} G", value / 1e9),
        () if size >= 1e6 => format!("{:.1} M", value / 1e6),
        () if size >= 1e4 => format!("{:.1} k", value / 1e3),
        () if size >= 10.0 || value.fract() == 0.0 => {
            let sign = if value < 0.0 { "-" } else { "" };
            format!("{sign}{}", crate::words::count(size.round() as u64))
        }
        () => format!("{value:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_matter() {
        for (value, words) in
            [(0.0, "0"), (0.52, "0.5"), (7.0, "7"), (12.6, "13"), (9_999.0, "9,999"), (12_345.0, "12.3 k"), (4.5e6, "4.5 M")]
        {
            assert_eq!(number(value), words);
        }
    }

    fn line(values: &[Option<f64>]) -> Line {
        Line { name: "a".into(), values: values.to_vec() }
    }

    fn of(lines: Vec<Line>) -> Chart {
        Chart { name: "x".into(), times: vec![0, 60, 120], lines, unit: "", stacked: false }
    }

    #[test]
    fn a_gap_is_a_gap_and_what_is_stacked_is_on_top() {
        let mut all = of(vec![line(&[Some(1.0), None, Some(1.0)]), line(&[Some(1.0), Some(1.0), Some(1.0)])]);
        let svg = drawn(&all, None);
        assert_eq!(svg.matches('M').count(), 3 + 2, "three beginnings, and two points that are too few for a line: {svg}");
        assert!(svg.contains("M0.0 8.0"), "both reach the top: {svg}");
        all.stacked = true;
        let svg = drawn(&all, None);
        assert!(svg.contains("M0.0 82.0") && svg.contains("M0.0 8.0"), "{svg}");
    }

    #[test]
    fn what_goes_on_is_dashed_and_hollow_and_not_in_the_line() {
        let all = of(vec![line(&[Some(4.0), Some(4.0), Some(1.0)])]);
        let html = live(&all, Span { from: -120, to: 120, open: Some("this minute so far") }).into_string();
        assert!(
            html.contains("class=\"line\" data-series=\"1\" d=\"M300.0 8.0L450.0 8.0\""),
            "half of the span has no value: {html}"
        );
        assert!(html.contains("class=\"line sofar\" data-series=\"1\" d=\"M450.0 8.0L600.0 119.0\""), "{html}");
        assert!(html.contains("class=\"dot hole\"") && html.contains("this minute so far"), "{html}");
        assert!(html.contains("<b>4</b>"), "the legend says what is over: {html}");
    }

    #[test]
    fn a_chart_that_has_just_begun_shows_a_point() {
        let all = Chart { times: vec![120], ..of(vec![line(&[Some(3.0)])]) };
        let html = live(&all, Span { from: 0, to: 120, open: Some("so far") }).into_string();
        assert!(html.contains("class=\"dot\" data-series=\"1\" d=\"M600.0 8.0h0\"") && html.contains("<b>3</b>"), "{html}");
        assert!(chart(&all).into_string().contains("M0.0 8.0h0"));
    }
}
