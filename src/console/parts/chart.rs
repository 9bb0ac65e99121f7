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

/// Width and height of the drawing, before it is scaled.
const WIDE: f64 = 600.0;
const HIGH: f64 = 160.0;

/// The chart, to be drawn again by the browser.
pub(crate) fn chart(chart: &Chart) -> Markup {
    let data = json!({
        "x": chart.times,
        "series": chart.lines.iter().map(|line| json!({ "name": line.name, "values": line.values })).collect::<Vec<_>>(),
        "unit": chart.unit,
        "stacked": chart.stacked,
    });
    let newest = |line: &Line| line.values.iter().rev().flatten().next().copied().unwrap_or_default();
    html! {
        figure.chart data-chart=(data.to_string()) {
            svg viewBox={ "0 0 " (WIDE) " " (HIGH) } preserveAspectRatio="none" role="img" aria-label=(chart.name) {
                (PreEscaped(drawn(chart)))
            }
            figcaption {
                @for (at, line) in chart.lines.iter().enumerate() {
                    span.key { span.swatch data-series=(at % 8 + 1) {} (line.name) " " b { (number(newest(line))) } }
                }
            }
        }
    }
}

fn drawn(chart: &Chart) -> String {
    let (Some(first), Some(last)) = (chart.times.first(), chart.times.last()) else { return String::new() };
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
    let span = (last - first).max(1) as f64;
    let mut svg = String::new();
    for (at, top) in tops.iter().enumerate() {
        let mut path = String::new();
        let mut is_begun = false;
        for (time, value) in chart.times.iter().zip(top) {
            let Some(value) = value else {
                is_begun = false;
                continue;
            };
            let (x, y) = ((time - first) as f64 / span * WIDE, HIGH - 4.0 - value / most * (HIGH - 12.0));
            // Writing to a String cannot fail.
            let _ = write!(path, "{}{x:.1} {y:.1}", if is_begun { "L" } else { "M" });
            is_begun = true;
        }
        let _ = write!(svg, "<path class=\"line\" data-series=\"{}\" d=\"{path}\"/>", at % 8 + 1);
    }
    svg
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

    #[test]
    fn a_gap_is_a_gap_and_what_is_stacked_is_on_top() {
        let line = |values: &[Option<f64>]| Line { name: "a".into(), values: values.to_vec() };
        let mut all = Chart {
            name: "x".into(),
            times: vec![0, 60, 120],
            lines: vec![line(&[Some(1.0), None, Some(1.0)]), line(&[Some(1.0), Some(1.0), Some(1.0)])],
            unit: "",
            stacked: false,
        };
        assert_eq!(drawn(&all).matches('M').count(), 3, "{}", drawn(&all));
        assert!(drawn(&all).contains("M0.0 8.0"), "both reach the top: {}", drawn(&all));
        all.stacked = true;
        assert!(drawn(&all).contains("M0.0 82.0") && drawn(&all).contains("M0.0 8.0"), "{}", drawn(&all));
    }
}
