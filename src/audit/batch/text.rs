//! The section `batch` for people.

use std::fmt::{self, Write};

use super::super::report::State;
use super::super::text::{grouped, left_out};
use super::report::{BatchReport, RowDifference, RowProblem};

/// A line per table, and below it the rows that differ.
pub(crate) fn render(text: &mut String, batch: &BatchReport, limit: usize) -> fmt::Result {
    if batch.state == State::Absent {
        return writeln!(text, "silver and gold: not built yet");
    }
    for table in batch.silver.iter().filter(|table| table.state != State::Absent) {
        let name = &table.table;
        if let Some(reason) = &table.reason {
            writeln!(text, "✗ {name}: not checked: {reason}")?;
            continue;
        }
        let mark = mark(table.missing + table.extra + table.twice);
        let (rows, recounted, version) = (grouped(table.rows), grouped(table.recounted), table.version);
        write!(text, "{mark} {name}: {rows} rows, {recounted} recounted, version {version}, ")?;
        write!(text, "missing={} extra={} twice={}", table.missing, table.extra, table.twice)?;
        writeln!(text, "{}", yet(table.ahead > 0, &format!("{} rows of bronze to come", grouped(table.ahead))))?;
    }
    for table in batch.gold.iter().filter(|table| table.state != State::Absent) {
        let name = &table.table;
        if let Some(reason) = &table.reason {
            writeln!(text, "· {name}: not checked: {reason}")?;
            continue;
        }
        let (rows, recounted) = (grouped(table.rows), grouped(table.recounted));
        let sources: Vec<String> = table.sources.iter().map(|(source, version)| format!("{source}@{version}")).collect();
        let mark = mark(table.missing + table.extra);
        write!(text, "{mark} {name}: {rows} rows, {recounted} recounted from {}, ", sources.join(" "))?;
        write!(text, "missing={} extra={}", table.missing, table.extra)?;
        writeln!(text, "{}", yet(!table.behind.is_empty(), &format!("{} changed since", table.behind.join(", "))))?;
        differences(text, &table.differences, limit)?;
    }
    for table in &batch.published {
        let (name, model) = (&table.table, &table.model);
        if let Some(reason) = &table.reason {
            writeln!(text, "✗ {name} in PostgreSQL: not checked: {reason}")?;
            continue;
        }
        let (rows, recounted) = (grouped(table.rows), grouped(table.recounted));
        let mark = mark(table.missing + table.extra);
        write!(text, "{mark} {name} in PostgreSQL: {rows} rows, {recounted} in {model} version {}, ", table.version)?;
        write!(text, "missing={} extra={}", table.missing, table.extra)?;
        let yet = match table.orphaned {
            true => yet(true, "no model is published there any more: drop it, or bring the model back"),
            false => yet(table.behind, "a newer version is to come"),
        };
        writeln!(text, "{yet}")?;
        differences(text, &table.differences, limit)?;
    }
    Ok(())
}

/// The part of the last line: ` · silver missing=0 extra=0 · gold 9 tables, mismatched=0 · published 4 tables, mismatched=0`.
pub(crate) fn verdict(batch: &BatchReport) -> String {
    if batch.state == State::Absent {
        return " · silver and gold not built yet".to_string();
    }
    let (silver, checked) = (&batch.silver, |state: State| state == State::Checked);
    let missing: u64 = silver.iter().map(|table| table.missing).sum();
    let extra: u64 = silver.iter().map(|table| table.extra + table.twice).sum();
    let gold: Vec<u64> = batch.gold.iter().filter(|t| checked(t.state)).map(|t| t.missing.max(t.extra)).collect();
    let published: Vec<u64> = batch.published.iter().filter(|t| checked(t.state)).map(|t| t.missing.max(t.extra)).collect();
    let sum = |tables: &[u64]| tables.iter().sum::<u64>();
    format!(
        " · silver missing={missing} extra={extra} · gold {} tables, mismatched={} · published {} tables, mismatched={}",
        gold.len(),
        sum(&gold),
        published.len(),
        sum(&published)
    )
}

fn mark(wrong: u64) -> char {
    if wrong == 0 { '✓' } else { '✗' }
}

fn yet(is: bool, what: &str) -> String {
    if is { format!(" ({what})") } else { String::new() }
}

fn differences(text: &mut String, all: &[RowDifference], limit: usize) -> fmt::Result {
    for difference in all.iter().take(limit) {
        let row: Vec<String> =
            difference.row.iter().map(|(column, value)| format!("{column}={}", value.as_deref().unwrap_or("null"))).collect();
        let what = match difference.problem {
            RowProblem::Missing => "is missing",
            RowProblem::Extra => "should not be there",
        };
        writeln!(text, "    {} {what}", row.join(" "))?;
    }
    left_out(text, all.len(), limit)
}
