//! The `[[window]]` tables of a declaration.
//!
//! Assumes the stream's fields. Promises windows that any store can add up without a surprise: whole seconds that divide a day (so
//! that every day begins with a window), keys that every valid event has, sums of integers only, no two columns of one name.

use std::ops::Range;

use super::declaration::position;
use super::{Field, Kind, Measure, Window};
use crate::declare::names::identifier;
use crate::declare::read::{Key, Reader, Said};
use crate::declare::{DeclarationError, did_you_mean, units};

const MAX_WINDOWS: usize = 16;
const MAX_GROUP: usize = 3;
const DAY_MS: i64 = 86_400_000;

/// All windows, and where their tables' names are written.
pub(super) fn parse(top: &Reader<'_>, fields: &[Field]) -> Result<(Vec<Window>, Vec<Range<usize>>), DeclarationError> {
    let mut windows: Vec<Window> = Vec::new();
    let mut tables = Vec::new();
    for reader in top.tables(Key("window", "[[window]] before each window"), "table")? {
        let (window, table) = window(&reader, fields)?;
        if windows.iter().any(|w| w.table == window.table) {
            return Err(reader.error("table", table, "is declared twice", "give one of the two another table"));
        }
        if windows.len() == MAX_WINDOWS {
            return Err(reader.error(
                "table",
                table,
                "is one too many",
                format!("declare at most {MAX_WINDOWS} windows per stream"),
            ));
        }
        windows.push(window);
        tables.push(table);
    }
    Ok((windows, tables))
}

fn window(r: &Reader<'_>, fields: &[Field]) -> Result<(Window, Range<usize>), DeclarationError> {
    r.only(&["table", "every", "where", "group_by", "count", "sum"])?;
    let table = r.text(Key("table", "table = \"events_per_minute\""))?;
    identifier(r, "table", &table)?;
    let every_ms = every(r)?;
    let filter = filter(r, fields)?;
    let group_by = group_by(r, fields)?;
    let (measure, at) = measure(r, fields)?;
    let key = if matches!(measure, Measure::Sum { .. }) { "sum: as" } else { "count" };

    identifier(r, key, &Said { value: measure.column(), span: at.clone() })?;
    let mut taken = vec!["window_start", "window_end", "updated_at"];
    taken.extend(group_by.iter().filter_map(|g| fields.get(*g)).map(|f| f.column.as_str()));
    if taken.contains(&measure.column()) {
        let problem = format!("`{}` is already a column of the table", measure.column());
        return Err(r.error(key, at, problem, format!("choose another name than {}", taken.join(", "))));
    }
    Ok((Window { table: table.value.to_owned(), every_ms, filter, group_by, measure }, table.span))
}

fn every(r: &Reader<'_>) -> Result<i64, DeclarationError> {
    let said = r.text(Key("every", "every = \"1 min\""))?;
    let Some(ms) = units::millis(said.value).filter(|ms| *ms > 0) else {
        let help = format!("write {}", units::DURATIONS);
        return Err(r.error("every", said.span, format!("`{}` is not a duration", said.value), help));
    };
    if ms % 1_000 != 0 || ms > DAY_MS || DAY_MS % ms != 0 {
        let help = "choose whole seconds that divide a day: 1 s, 10 s, 30 s, 1 min, 5 min, 15 min, 1 h, 6 h, 1 day";
        return Err(r.error("every", said.span, format!("windows of {} do not fill a day", said.value), help));
    }
    Ok(ms)
}

fn filter(r: &Reader<'_>, fields: &[Field]) -> Result<Vec<(usize, Vec<String>)>, DeclarationError> {
    let example = "where = { event_type = [\"purchase\"] }";
    let Some(conditions) = r.table_if_any(Key("where", example), r.place_of("where"))? else { return Ok(Vec::new()) };
    let mut filter = Vec::new();
    for name in conditions.entries() {
        let at = position(r, "where", &name, fields)?;
        let Some(field) = fields.get(at) else { continue };
        if field.kind != Kind::Text {
            let problem = format!("field `{}` is of type {}", field.name, field.kind.as_str());
            return Err(r.error("where", name.span, problem, "only text fields can be compared"));
        }
        let Some(values) = conditions.texts_at(name.value, example)? else { continue };
        if values.value.is_empty() {
            let help = format!("list the values of {} that count", field.name);
            return Err(r.error("where", values.span, "no value would match", help));
        }
        let mut wanted: Vec<String> = Vec::new();
        for value in values.value {
            if !field.allowed.is_empty() && !field.allowed.iter().any(|a| a == value.value) {
                let choices = field.allowed.iter().map(String::as_str);
                let help =
                    format!("{}field {} allows {}", did_you_mean(value.value, choices), field.name, field.allowed.join(", "));
                return Err(r.error("where", value.span, format!("`{}` never happens", value.value), help));
            }
            if !wanted.iter().any(|w| w == value.value) {
                wanted.push(value.value.to_owned());
            }
        }
        filter.push((at, wanted));
    }
    Ok(filter)
}

fn group_by(r: &Reader<'_>, fields: &[Field]) -> Result<Vec<usize>, DeclarationError> {
    let Some(names) = r.texts_if_any(Key("group_by", "group_by = [\"source\"]"))? else { return Ok(Vec::new()) };
    if names.value.len() > MAX_GROUP {
        return Err(r.error("group_by", names.span, "is too fine", format!("group by at most {MAX_GROUP} fields")));
    }
    let mut group_by = Vec::new();
    for name in &names.value {
        let at = position(r, "group_by", name, fields)?;
        let Some(field) = fields.get(at) else { continue };
        if field.kind != Kind::Text || !field.required {
            let problem = match field.kind {
                Kind::Text => format!("field `{}` may be missing", field.name),
                other => format!("field `{}` is of type {}", field.name, other.as_str()),
            };
            let help = "group by text fields with required = true: a key cannot be null";
            return Err(r.error("group_by", name.span.clone(), problem, help));
        }
        if group_by.contains(&at) {
            return Err(r.error("group_by", name.span.clone(), format!("`{}` is listed twice", name.value), "list it once"));
        }
        group_by.push(at);
    }
    Ok(group_by)
}

fn measure(r: &Reader<'_>, fields: &[Field]) -> Result<(Measure, Range<usize>), DeclarationError> {
    let count = r.text_if_any(Key("count", "count = \"event_count\""))?;
    let sum = r.table_if_any(Key("sum", "sum = { field = \"amount_cents\", as = \"revenue_cents\" }"), r.place_of("sum"))?;
    match (count, sum) {
        (Some(count), None) => Ok((Measure::Count { column: count.value.to_owned() }, count.span)),
        (None, Some(sum)) => {
            sum.only(&["field", "as"])?;
            let name = sum.text(Key("field", "field = \"amount_cents\""))?;
            let at = position(&sum, "field", &name, fields)?;
            let column = sum.text(Key("as", "as = \"revenue_cents\""))?;
            if let Some(field) = fields.get(at)
                && (field.kind != Kind::Integer || !field.required)
            {
                let problem = match field.kind {
                    Kind::Integer => format!("field `{}` may be missing", field.name),
                    other => format!("field `{}` is of type {}", field.name, other.as_str()),
                };
                let help = "sum integer fields with required = true: sums of fractions depend on the order (use cents)";
                return Err(sum.error("field", name.span, problem, help));
            }
            Ok((Measure::Sum { field: at, column: column.value.to_owned() }, column.span))
        }
        (Some(count), Some(_)) => Err(r.error(
            "count",
            count.span,
            "a window has one measure",
            "keep count or sum; declare a second window for the other",
        )),
        (None, None) => {
            let help = "add count = \"event_count\" or sum = { field = \"amount_cents\", as = \"revenue_cents\" }";
            Err(r.missing("count", "nothing is added up", help))
        }
    }
}
