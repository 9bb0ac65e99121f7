//! SQL that panels ask: written as code, in a form that Grafana takes, with macros that it expands as we mean them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Board, boards, each_panel, list, nothing_wrong, text, when};

/// The macros that are used. All but the first two take arguments or an empty pair of brackets.
const MACROS: [&str; 4] = ["__interval_ms", "__timeFilter", "__timeFrom", "__timeTo"];

fn each_statement(wrong: impl Fn(&Value, &str) -> Vec<String>) {
    let boards = boards();
    let statements = boards.iter().flat_map(Board::statements);
    nothing_wrong(statements.flat_map(|(at, target)| {
        let found = wrong(target, text(&target["rawSql"]));
        found.into_iter().map(|what| format!("{at}: {what}")).collect::<Vec<_>>()
    }));
}

/// Every `$name` of a query, with what follows it.
fn macros(query: &str) -> Vec<(&str, &str)> {
    let names = query.split('$').skip(1);
    names.map(|rest| rest.split_at(rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len()))).collect()
}

#[test]
fn sql_is_written_as_code_and_answers_as_a_table_or_a_time_series() {
    each_statement(|target, _| {
        let mut found = when(target["rawQuery"] != true || target["editorMode"] != "code", "not written as code");
        found.extend(when(!["table", "time_series"].contains(&text(&target["format"])), format!("format {}", target["format"])));
        found.extend(when(
            target["datasource"] != json!({"type": "grafana-postgresql-datasource", "uid": "tributary-pg"}),
            "asks another",
        ));
        found
    });
}

#[test]
fn a_panel_and_its_targets_name_the_same_data_source() {
    each_panel(|_, panel| {
        let others = list(&panel["targets"]).iter().filter(|target| target["datasource"] != panel["datasource"]);
        others.map(|target| format!("target {}", target["refId"])).collect()
    });
}

#[test]
fn targets_of_a_panel_have_names_of_their_own() {
    each_panel(|_, panel| {
        let names: BTreeSet<&str> = list(&panel["targets"]).iter().map(|target| text(&target["refId"])).collect();
        when(names.len() != list(&panel["targets"]).len() || names.contains(""), "two targets of one name")
    });
}

#[test]
fn macros_are_those_that_grafana_has() {
    each_statement(|_, query| {
        macros(query).into_iter().filter(|(name, _)| !MACROS.contains(name)).map(|(name, _)| format!("${name}")).collect()
    });
}

#[test]
fn arguments_of_macros_have_no_brackets_because_grafana_ends_them_at_the_first() {
    each_statement(|_, query| {
        let arguments = macros(query).into_iter().filter_map(|(name, rest)| rest.strip_prefix('(').map(|rest| (name, rest)));
        arguments
            .filter(|(_, rest)| rest.split(')').next().is_some_and(|inside| inside.contains('(')))
            .map(|(name, _)| format!("${name}"))
            .collect()
    });
}

#[test]
fn a_time_series_has_a_column_time_and_is_in_its_order() {
    each_statement(|target, query| {
        let series = target["format"] == "time_series";
        let one_row = query.contains("$__timeTo()::timestamptz AS time");
        let ordered = query.contains("\nORDER BY 1") || query.contains("\nORDER BY time");
        let mut found = when(series && !query.contains("AS time") && !query.contains(".time"), "no column time");
        found.extend(when(series && !one_row && !ordered, "not ordered by time"));
        found
    });
}

#[test]
fn minutes_and_days_without_anything_are_drawn_as_zero() {
    each_panel(|_, panel| {
        let query = text(&panel["targets"][0]["rawSql"]);
        let counts = panel["type"] == "timeseries" && (query.contains("FROM realtime.") || query.contains("FROM gold."));
        let compares = query.contains("WITH live AS");
        when(counts && !compares && !(query.contains("generate_series") && query.contains("LEFT JOIN")), "gaps instead of zeros")
    });
}

#[test]
fn per_minute_panels_never_ask_for_less_than_a_minute() {
    each_panel(|_, panel| {
        let by_interval = text(&panel["targets"][0]["rawSql"]).contains("$__interval_ms");
        when(by_interval && panel["interval"] != "1m", "no smallest interval of a minute")
    });
}

/// A query without what is between single quotes; a quote inside of a string is written twice, and so two strings beside each other.
fn without_strings(query: &str) -> String {
    query.split('\'').step_by(2).collect::<Vec<_>>().join("''")
}

/// Whether a query begins as a question and has nothing that changes anything, nor a second statement.
fn only_reads(query: &str) -> bool {
    let bare = without_strings(query);
    let reads = bare.starts_with("SELECT") || bare.starts_with("WITH");
    let writes = ["INSERT ", "UPDATE ", "DELETE ", "DROP ", "TRUNCATE ", "ALTER ", "CREATE ", ";"];
    reads && !writes.iter().any(|word| bare.to_uppercase().contains(word))
}

#[test]
fn queries_only_read() {
    each_statement(|_, query| when(!only_reads(query), "does not only read"));
}

#[test]
fn what_is_in_a_string_neither_writes_nor_hides_what_does() {
    for good in ["SELECT '; '", "WITH a AS (SELECT 'it''s; DROP TABLE') SELECT 1"] {
        assert!(only_reads(good), "{good}");
    }
    for bad in
        ["SELECT '; '; SELECT 1", "WITH a AS (DELETE FROM b RETURNING '; ') SELECT 1", "SELECT 'a''b'; drop table c", "VACUUM"]
    {
        assert!(!only_reads(bad), "{bad}");
    }
}
