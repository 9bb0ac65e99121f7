//! A report for people: a table per stream, what is wrong with it, and one line that says it all.
//!
//! Promises that each finding's ranges and keys are printed, the first `limit` of each list; what is left out is counted and is in
//! `--json`.

use std::fmt::{self, Write};

use comfy_table::{CellAlignment, Table, presets};

use super::batch;
use super::finding::Finding;
use super::report::{Difference, PartitionReport, Problem, Report, State, StreamReport};

/// The report as text, with a line feed at its end.
pub(crate) fn render(report: &Report, limit: usize) -> String {
    let mut text = String::new();
    for stream in &report.streams {
        // Writing to a String does not fail.
        let _ = render_stream(&mut text, stream, limit);
    }
    if let Some(batch) = &report.batch {
        let _ = batch::text::render(&mut text, batch, limit);
        let _ = findings(&mut text, &batch.findings, limit);
    }
    let _ = writeln!(text, "{}", verdict(report));
    text
}

fn render_stream(text: &mut String, stream: &StreamReport, limit: usize) -> fmt::Result {
    let bronze = &stream.bronze;
    write!(text, "{} · topic {}", stream.stream, stream.topic)?;
    if bronze.state == State::Checked {
        let (files, bytes) = (grouped(bronze.files as u64), grouped(bronze.bytes));
        write!(text, " · bronze version {}, {files} files, {bytes} bytes", bronze.version)?;
    }
    writeln!(text)?;
    if bronze.files_without_tags > 0 {
        writeln!(text, "tags missing in {} files: there, the rows decide", bronze.files_without_tags)?;
    }
    if let (State::Unreachable, Some(reason)) = (stream.broker.state, &stream.broker.reason) {
        writeln!(text, "broker not asked: {reason}")?;
    }
    writeln!(text, "{}", table(&stream.partitions))?;
    windows(text, stream, limit)?;
    findings(text, &stream.findings, limit)
}

fn findings(text: &mut String, findings: &[Finding], limit: usize) -> fmt::Result {
    for finding in findings.iter().take(limit) {
        write!(text, "✗ {}", kind(finding.kind))?;
        if let (Some(partition), Some(incarnation)) = (finding.partition, finding.incarnation) {
            write!(text, " · partition {partition}{}", if incarnation == 1 { String::new() } else { format!("#{incarnation}") })?;
        }
        for place in finding.table.iter().filter(|table| table.contains('.')).chain(&finding.file) {
            write!(text, " · {place}")?;
        }
        writeln!(text, " · {}", shortened(&finding.detail))?;
    }
    left_out(text, findings.len(), limit)
}

fn windows(text: &mut String, stream: &StreamReport, limit: usize) -> fmt::Result {
    let serving = &stream.serving;
    match serving.state {
        State::Skipped => writeln!(text, "windows: not checked, as asked")?,
        State::Checked => {}
        _ => writeln!(text, "windows: not checked: {}", serving.reason.as_deref().unwrap_or("nothing was read"))?,
    }
    for table in &serving.tables {
        let (rows, recounted) = (grouped(table.rows), grouped(table.recounted));
        let mark = if table.mismatched == 0 { "✓" } else { "✗" };
        let name = &table.table;
        writeln!(
            text,
            "{mark} realtime.{name}: {rows} rows, {recounted} recounted, mismatched={} drift={}",
            table.mismatched, table.drift
        )?;
        for difference in table.differences.iter().take(limit) {
            writeln!(text, "    {}", describe(difference))?;
        }
        left_out(text, table.differences.len(), limit)?;
    }
    Ok(())
}

fn describe(difference: &Difference) -> String {
    let number = |n: Option<i128>| n.map_or_else(|| "no row".to_string(), |n| n.to_string());
    let key: Vec<String> =
        difference.key.iter().map(|(column, value)| format!("{column}={}", value.as_deref().unwrap_or("null"))).collect();
    let what = match difference.problem {
        Problem::MissingRow => "the row is missing",
        Problem::ExtraRow => "no event is behind it",
        Problem::Value => "another number",
        Problem::RowTwice => "more than one row",
        Problem::WindowEnd => "window_end is wrong",
    };
    let (start, key) = (&difference.window_start, key.join(" "));
    format!("{start} {key}: stored {}, recounted {}: {what}", number(difference.stored), number(difference.recount))
}

fn table(partitions: &[PartitionReport]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    let header =
        ["partition", "broker", "bronze next", "rows", "holes", "lost", "missing", "twice", "serving next", "lag bronze/serving"];
    table.set_header(header);
    for report in partitions {
        let unknown = || "?".to_string();
        let bronze = report.bronze.as_ref();
        let number = |value: Option<u64>| value.map_or_else(unknown, grouped);
        let offset = |value: Option<i64>| value.map_or_else(unknown, |offset| offset.to_string());
        let lag = [bronze.and_then(|b| b.lag), report.serving.as_ref().and_then(|s| s.lag)].map(offset);
        table.add_row([
            if report.incarnation == 1 {
                report.partition.to_string()
            } else {
                format!("{}#{}", report.partition, report.incarnation)
            },
            report.broker.map_or_else(unknown, |marks| format!("{}..{}", marks.low, marks.high)),
            offset(bronze.and_then(|b| b.next)),
            number(bronze.map(|b| b.rows)),
            number(bronze.map(|b| b.holes)),
            number(bronze.map(|b| b.lost)),
            number(bronze.map(|b| b.missing)),
            number(bronze.map(|b| b.twice)),
            offset(report.serving.as_ref().map(|s| s.next)),
            lag.join("/"),
        ]);
    }
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// The last line: `audit: bronze 6 partitions, 5,000,000 rows, missing=0 twice=0 · windows 3 tables, mismatched=0 drift=0 · ok`.
pub(crate) fn verdict(report: &Report) -> String {
    let streams = &report.streams;
    let sum = |of: &dyn Fn(&StreamReport) -> u64| streams.iter().map(of).sum::<u64>();
    let partitions = sum(&|s| s.partitions.iter().filter(|p| p.bronze.is_some()).count() as u64);
    let mut line = format!("audit: bronze {partitions} partitions, {} rows, ", grouped(sum(&|s| s.bronze.rows)));
    let _ = write!(line, "missing={} twice={}", sum(&|s| s.bronze.missing), sum(&|s| s.bronze.twice));
    for (name, of) in [("holes", sum(&|s| s.bronze.holes)), ("lost", sum(&|s| s.bronze.lost))] {
        if of > 0 {
            let _ = write!(line, " {name}={of}");
        }
    }
    if streams.iter().all(|s| s.serving.state == State::Checked) {
        let tables = sum(&|s| s.serving.tables.len() as u64);
        let (mismatched, drift) = (sum(&|s| s.serving.mismatched), streams.iter().map(|s| s.serving.drift).sum::<u128>());
        let _ = write!(line, " · windows {tables} tables, mismatched={mismatched} drift={drift}");
    } else {
        line.push_str(" · windows not checked");
    }
    if let Some(batch) = &report.batch {
        line.push_str(&batch::text::verdict(batch));
    }
    let of_batch = report.batch.as_ref().map_or(0, |batch| batch.findings.len() as u64);
    match sum(&|s| s.findings.len() as u64) + of_batch {
        0 => line.push_str(" · ok"),
        1 => line.push_str(" · 1 finding"),
        n => _ = write!(line, " · {n} findings"),
    }
    line
}

pub(super) fn left_out(text: &mut String, all: usize, limit: usize) -> fmt::Result {
    match all.saturating_sub(limit) {
        0 => Ok(()),
        more => writeln!(text, "    … and {more} more: tributary audit --json has all"),
    }
}

/// A detail may name a million ranges.
fn shortened(detail: &str) -> String {
    const MOST: usize = 400;
    match detail.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}… (tributary audit --json has all)", &detail[..at]),
        None => detail.to_string(),
    }
}

fn kind(kind: super::finding::Kind) -> String {
    // The same words as in the document.
    serde_json::to_value(kind).ok().and_then(|value| Some(value.as_str()?.to_string())).unwrap_or_default()
}

pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (5_000_000, "5,000,000")] {
            assert_eq!(grouped(number), text);
        }
    }
}
