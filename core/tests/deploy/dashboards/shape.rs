//! A dashboard as a whole: who it is, what it refreshes, where its panels stand, where its links lead.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Board, boards, files, list, nothing_wrong, number, text, when};

/// Per dashboard: uid, title, refresh, beginning of its time range.
const BOARDS: [[&str; 4]; 3] = [
    ["lakehouse-overview", "Business – live", "10s", "now-30m"],
    ["tributary-history", "Business – history", "5m", "now-30d"],
    ["tributary-health", "Pipeline health", "10s", "now-1h"],
];
const COLUMNS: i64 = 24;
/// The version of dashboards that Grafana 13 writes: none is migrated while it is loaded.
const SCHEMA: i64 = 42;
const CONSOLE: &str = "http://localhost:8082";

fn each(wrong: impl Fn(&Board) -> Vec<String>) {
    let boards = boards();
    nothing_wrong(boards.iter().flat_map(|board| wrong(board).into_iter().map(|what| format!("{}: {what}", board.path))));
}

#[test]
fn each_dashboard_has_its_uid_title_refresh_and_time_range() {
    let found: BTreeSet<Vec<String>> = boards()
        .iter()
        .map(|b| {
            [&b.json["uid"], &b.json["title"], &b.json["refresh"], &b.json["time"]["from"]].map(|v| text(v).to_owned()).to_vec()
        })
        .collect();
    let wanted = BOARDS.iter().map(|board| board.map(str::to_owned).to_vec()).collect();
    assert_eq!(found, wanted);
    each(|board| when(board.json["time"]["to"] != "now", "its time range does not end now"));
}

#[test]
fn no_dashboard_is_edited_in_the_browser_and_all_share_the_crosshair_and_the_browsers_timezone() {
    each(|board| {
        let wanted = json!({"editable": false, "graphTooltip": 1, "timezone": "browser", "schemaVersion": SCHEMA});
        let wanted = wanted.as_object().into_iter().flatten();
        wanted.filter(|(key, value)| board.json[key] != **value).map(|(key, value)| format!("{key} is not {value}")).collect()
    });
}

#[test]
fn a_dashboard_is_smaller_than_a_megabyte_and_written_with_two_spaces() {
    each(|board| {
        let written = files::text(&board.path);
        let pretty = serde_json::to_string_pretty(&board.json).unwrap() + "\n";
        let lines = |text: &str| text.lines().map(|l| l.len() - l.trim_start().len()).collect::<BTreeSet<_>>();
        let mut found = when(written.len() >= 1 << 20, "too large");
        found.extend(when(
            written.lines().count() != pretty.lines().count() || lines(&written) != lines(&pretty),
            "not pretty-printed",
        ));
        found
    });
}

#[test]
fn ids_are_unique_inside_a_dashboard_and_so_are_titles() {
    each(|board| {
        let mut seen = BTreeSet::new();
        let keys = board.with_rows().into_iter().flat_map(|panel| [panel["id"].to_string(), panel["title"].to_string()]);
        keys.filter(|key| !seen.insert(key.clone())).map(|key| format!("{key} twice")).collect()
    });
}

/// The cells that a panel covers.
fn cells(panel: &Value) -> Vec<(i64, i64)> {
    let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| number(&panel["gridPos"][key]));
    (x..x + w).flat_map(|column| (y..y + h).map(move |line| (column, line))).collect()
}

#[test]
fn panels_stand_inside_24_columns_and_never_over_each_other() {
    each(|board| {
        let mut taken = BTreeSet::new();
        let wrong = |panel: &&Value| {
            let cells = cells(panel);
            cells.is_empty()
                || cells.iter().any(|(column, _)| !(0..COLUMNS).contains(column))
                || !cells.into_iter().all(|c| taken.insert(c))
        };
        board
            .with_rows()
            .into_iter()
            .filter(wrong)
            .map(|panel| format!("{} stands outside or over another", panel["title"]))
            .collect()
    });
}

#[test]
fn a_collapsed_row_has_its_panels_inside_and_an_open_one_has_none() {
    each(|board| {
        let rows = list(&board.json["panels"]).iter().filter(|panel| panel["type"] == "row");
        rows.filter(|row| (row["collapsed"] == true) == list(&row["panels"]).is_empty())
            .map(|row| format!("row {}", row["title"]))
            .collect()
    });
}

#[test]
fn rows_of_pipeline_health_follow_the_data() {
    let boards = boards();
    let health = boards.iter().find(|board| board.uid() == "tributary-health").unwrap();
    let rows = list(&health.json["panels"]).iter().filter(|panel| panel["type"] == "row");
    let words: Vec<&str> = rows.map(|row| text(&row["title"]).split([':', ' ']).next().unwrap_or_default()).collect();
    assert_eq!(words, ["Now", "Ingest", "Process", "Lakehouse", "Serving", "Batch", "Process"]);
}

#[test]
fn every_dashboard_links_to_the_others_and_to_the_console() {
    each(|board| {
        let links = list(&board.json["links"]);
        let others = links.iter().any(|link| link["type"] == "dashboards" && list(&link["tags"]) == [json!("tributary")]);
        let mut found = when(!others, "no link to the other dashboards");
        found.extend(when(!list(&board.json["tags"]).contains(&json!("tributary")), "without the tag that the links go by"));
        found.extend(when(!links.iter().any(|link| link["url"] == CONSOLE), "no link to the console"));
        found
    });
}

/// Every `url` anywhere in a dashboard.
fn urls(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(all) => all.iter().flat_map(urls).collect(),
        Value::Object(all) => all
            .iter()
            .flat_map(|(key, inner)| if key == "url" { inner.as_str().into_iter().collect() } else { urls(inner) })
            .collect(),
        _ => Vec::new(),
    }
}

#[test]
fn links_lead_to_the_console_or_to_a_dashboard_that_exists() {
    let known: Vec<String> = BOARDS.iter().map(|board| format!("/d/{}", board[0])).collect();
    let exists = |url: &str| url == CONSOLE || known.iter().any(|known| url.split('?').next() == Some(known));
    each(|board| urls(&board.json).into_iter().filter(|url| !exists(url)).map(|url| format!("{url} leads nowhere")).collect());
}

#[test]
fn restarts_and_batch_runs_are_marked_on_every_dashboard() {
    each(|board| {
        let restarts = board.annotations().iter().any(|one| text(&one["expr"]).contains("process_start_time_seconds"));
        let runs = board.annotations().iter().any(|one| text(&one["target"]["rawSql"]).contains("ops.runs"));
        let mut found = when(!restarts, "restarts are not marked");
        found.extend(when(!runs, "runs are not marked"));
        found
    });
}
