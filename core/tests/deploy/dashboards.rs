//! Dashboards and data sources: what Grafana would show badly, or not at all, without saying so.
//!
//! Assumes classic dashboards, one per file. What the queries answer is asked in tests/e2e, on real stores; here is what can be known
//! from the files alone. The rules of grafana/dashboard-linter are among these, for what we read from Prometheus.

mod linter;
mod panels;
mod promql;
mod provisioning;
mod queries;
mod registry;
mod shape;
mod users;

use serde_json::Value;

use super::files;

/// Where the dashboards are.
const FOLDER: &str = "grafana/dashboards";

/// One dashboard.
struct Board {
    path: String,
    json: Value,
}

/// All of them.
fn boards() -> Vec<Board> {
    let found = files::listed(FOLDER, ".json");
    assert!(!found.is_empty(), "no dashboard in {FOLDER}");
    found.into_iter().map(|path| Board { json: files::json(&path), path }).collect()
}

impl Board {
    fn uid(&self) -> &str {
        text(&self.json["uid"])
    }

    /// Every panel that shows something: those of collapsed rows too, rows themselves not.
    fn panels(&self) -> Vec<&Value> {
        self.with_rows().into_iter().filter(|panel| panel["type"] != "row").collect()
    }

    /// Every panel, rows and what is in them.
    fn with_rows(&self) -> Vec<&Value> {
        list(&self.json["panels"]).iter().flat_map(|panel| std::iter::once(panel).chain(list(&panel["panels"]))).collect()
    }

    fn variables(&self) -> &[Value] {
        list(&self.json["templating"]["list"])
    }

    fn variable(&self, name: &str) -> &Value {
        self.variables().iter().find(|variable| variable["name"] == name).unwrap_or(&Value::Null)
    }

    fn annotations(&self) -> &[Value] {
        list(&self.json["annotations"]["list"])
    }

    /// Every PromQL expression with where it is.
    fn expressions(&self) -> Vec<(String, &str)> {
        let of_panels = self.panels().into_iter().flat_map(|panel| {
            list(&panel["targets"]).iter().filter_map(move |target| target["expr"].as_str().map(|expr| (self.at(panel), expr)))
        });
        let of_annotations = self
            .annotations()
            .iter()
            .filter_map(|one| one["expr"].as_str().map(|expr| (format!("{}: {}", self.path, one["name"]), expr)));
        of_panels.chain(of_annotations).collect()
    }

    /// Every SQL target with where it is.
    fn statements(&self) -> Vec<(String, &Value)> {
        let of_panels =
            self.panels().into_iter().flat_map(|panel| list(&panel["targets"]).iter().map(move |t| (self.at(panel), t)));
        let of_annotations = self.annotations().iter().map(|one| (format!("{}: {}", self.path, one["name"]), &one["target"]));
        of_panels.chain(of_annotations).filter(|(_, target)| !target["rawSql"].is_null()).collect()
    }

    /// How a message names a panel.
    fn at(&self, panel: &Value) -> String {
        format!("{}: panel {} {}", self.path, panel["id"], panel["title"])
    }
}

/// A list, or an empty one where there is none.
fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A text, or an empty one where there is none.
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A whole number, or 0 where there is none.
fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default()
}

/// All that is wrong at once, not only the first.
fn nothing_wrong(found: impl IntoIterator<Item = String>) {
    let found: Vec<String> = found.into_iter().collect();
    assert!(found.is_empty(), "{} wrong:\n{}", found.len(), found.join("\n"));
}

/// What is wrong with every panel of every dashboard.
fn each_panel(wrong: impl Fn(&Board, &Value) -> Vec<String>) {
    let boards = boards();
    nothing_wrong(boards.iter().flat_map(|board| {
        let panels = board.panels().into_iter();
        panels
            .flat_map(|panel| wrong(board, panel).into_iter().map(|what| format!("{}: {what}", board.at(panel))))
            .collect::<Vec<_>>()
    }));
}

/// A complaint when something is so.
fn when(is_so: bool, what: impl Into<String>) -> Vec<String> {
    if is_so { vec![what.into()] } else { Vec::new() }
}
