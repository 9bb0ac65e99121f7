//! Which model selects from which, and so the order in which they are built.
//!
//! Assumes nothing of the models but that each can be read. Promises an order (sources first, names decide between equals), and for every model that
//! is not in it one reason: its own, or the broken model that it selects from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_schema::SchemaRef;
use tributary_core::model::{Check, Materialize, Model, Planned};
use tributary_core::stream::did_you_mean;

use super::sql::{self, At, Select};
use super::{Models, plan};
use crate::checks;
use crate::error::Result;
use crate::session::Local;

/// A model whose SELECT can be read.
struct Node {
    model: Model,
    select: Select,
}

/// See the file.
pub(super) struct Graph {
    silver: BTreeMap<String, SchemaRef>,
    nodes: BTreeMap<String, Node>,
    broken: BTreeMap<String, String>,
}

impl Graph {
    pub(super) fn new(silver: BTreeMap<String, SchemaRef>) -> Self {
        Self { silver, nodes: BTreeMap::new(), broken: BTreeMap::new() }
    }

    /// A file whose front matter is wrong; its name is still one that others may select from.
    pub(super) fn unreadable(&mut self, file: &str, error: String) {
        let last = file.rsplit(['/', '\\']).next().unwrap_or(file);
        self.broken.insert(last.strip_suffix(".sql").unwrap_or(last).to_owned(), error);
    }

    pub(super) fn add(&mut self, models: Vec<Model>) {
        let mut claims: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for model in &models {
            names.entry(model.name.clone()).or_default().push(model.file.clone());
            if let Some(table) = &model.publish {
                claims.entry(table.clone()).or_default().push(model.file.clone());
            }
        }
        for model in models {
            let name = model.name.clone();
            if self.broken.contains_key(&name) {
                continue;
            }
            if let Some(files) = names.get(&name).filter(|files| files.len() > 1) {
                let problem = format!("gold.{name} has several files: {}", files.join(" and "));
                let help = "a model is called as its file is, whatever its folder: give all but one another name";
                self.broken.insert(name, model.error_in_sql((0, 0, 1), problem, help).to_string());
                continue;
            }
            // Neither of them: whichever was there first would lose its table to a newcomer that comes earlier in the alphabet.
            if let Some(table) = &model.publish
                && let Some(others) = claims.get(table).filter(|files| files.len() > 1)
            {
                let others: Vec<&str> = others.iter().filter(|file| **file != model.file).map(String::as_str).collect();
                let problem = format!("gold.{table} is published by {}, too", others.join(" and "));
                self.broken
                    .insert(name, model.error_in_sql((0, 0, 1), problem, "choose another table in one of them").to_string());
                continue;
            }
            match sql::parse(&model.sql) {
                Ok(select) => {
                    self.nodes.insert(name, Node { model, select });
                }
                Err(t) => {
                    self.broken.insert(name, model.error_in_sql(t.at, t.problem, t.help).to_string());
                }
            }
        }
    }

    /// Plans all of them.
    pub(super) async fn plan(mut self, engine: &Local) -> Result<Models> {
        self.refuse_unknown_tables();
        self.refuse_cycles();
        let mut planned: Vec<Arc<Planned>> = Vec::new();
        while let Some(name) = self.next(&planned) {
            let Some(node) = self.nodes.remove(&name) else { break };
            let sources: Vec<(String, SchemaRef)> =
                node.select.tables.iter().filter_map(|(t, _)| Some((t.clone(), self.schema(t, &planned)?))).collect();
            match plan::model(engine, &node.model, &node.select, &sources).await {
                Ok(schema) => {
                    let sources = sources.into_iter().map(|(name, _)| name).collect();
                    let tested_with = checks::tables(&node.model);
                    planned.push(Arc::new(Planned { model: node.model, sources, tested_with, schema }));
                }
                Err(e) => {
                    self.broken.insert(name, e.to_string());
                    self.break_dependents();
                }
            }
        }
        self.check_tests(engine, &mut planned).await;
        Ok(Models { planned, broken: self.broken })
    }

    /// A model all of whose sources are there.
    fn next(&self, planned: &[Arc<Planned>]) -> Option<String> {
        let ready = |node: &Node| node.select.tables.iter().all(|(table, _)| self.schema(table, planned).is_some());
        self.nodes.iter().find(|(_, node)| ready(node)).map(|(name, _)| name.clone())
    }

    fn schema(&self, table: &str, planned: &[Arc<Planned>]) -> Option<SchemaRef> {
        let of_model = || planned.iter().find(|p| p.model.table() == table).map(|p| Arc::clone(&p.schema));
        self.silver.get(table).cloned().or_else(of_model)
    }

    fn refuse(&mut self, name: &str, at: At, problem: String, help: String) {
        if let Some(node) = self.nodes.remove(name) {
            self.broken.insert(name.to_owned(), node.model.error_in_sql(at, problem, help).to_string());
        }
    }

    /// Refuses what selects from something that is no table, or from a kind of table that it must not.
    fn refuse_unknown_tables(&mut self) {
        let gold = self.nodes.keys().chain(self.broken.keys()).map(|n| format!("gold.{n}"));
        let known: Vec<String> = self.silver.keys().cloned().chain(gold).collect();
        let mut wrong: Vec<(String, At, String, String)> = Vec::new();
        for (name, node) in &self.nodes {
            let rollup = node.model.materialize == Materialize::Rollup;
            let mut first = |at: At, problem: String, help: String| {
                if wrong.last().is_none_or(|(last, ..)| last != name) {
                    wrong.push((name.clone(), at, problem, help));
                }
            };
            if node.select.tables.is_empty() {
                first((0, 0, 1), "selects from no table".to_owned(), format!("select FROM one of {}", known.join(", ")));
            }
            for (table, at) in &node.select.tables {
                let source = table.strip_prefix("gold.").and_then(|n| self.nodes.get(n));
                if !known.contains(table) {
                    let bare = known.iter().find(|k| k.split_once('.').is_some_and(|(_, t)| t == table));
                    let meant = match bare {
                        Some(k) => format!("did you mean `{k}`? "),
                        None => did_you_mean(table, known.iter().map(String::as_str)),
                    };
                    first(*at, format!("there is no table `{table}`"), format!("{meant}the tables are {}", known.join(", ")));
                } else if rollup && table.starts_with("silver.") {
                    let help = "select from by_day models, so that the cost follows new days, or write materialize: by_day";
                    first(*at, format!("a rollup does not select from `{table}`"), help.to_owned());
                } else if !rollup && source.is_some_and(|s| s.model.materialize == Materialize::Rollup) {
                    let help = "select from tables that have days, or write materialize: rollup";
                    first(
                        *at,
                        format!("`{table}` is a rollup: it has no days that a by_day model could follow"),
                        help.to_owned(),
                    );
                }
            }
        }
        for (name, at, problem, help) in wrong {
            self.refuse(&name, at, problem, help);
        }
        self.break_dependents();
    }

    /// Refuses models that select from themselves, however far around.
    fn refuse_cycles(&mut self) {
        let mut wrong: Vec<(String, At, String)> = Vec::new();
        for (name, node) in &self.nodes {
            if let Some(path) = self.path_back(name) {
                let next = path.get(1).map_or(name.as_str(), String::as_str);
                let at = node
                    .select
                    .tables
                    .iter()
                    .find(|(t, _)| t.strip_prefix("gold.") == Some(next))
                    .map_or((0, 0, 1), |(_, at)| *at);
                let path: Vec<String> = path.iter().map(|n| format!("gold.{n}")).collect();
                wrong.push((name.clone(), at, path.join(" selects from ")));
            }
        }
        for (name, at, path) in wrong {
            self.refuse(&name, at, format!("is a cycle: {path}"), "one of them must select from something else".to_owned());
        }
        self.break_dependents();
    }

    /// A shortest way from a model to itself.
    fn path_back(&self, name: &str) -> Option<Vec<String>> {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let mut paths: Vec<Vec<&str>> = vec![vec![name]];
        while !paths.is_empty() {
            let mut longer = Vec::new();
            for path in paths {
                let last = path.last().and_then(|n| self.nodes.get(*n));
                for table in last.into_iter().flat_map(|n| &n.select.tables).filter_map(|(t, _)| t.strip_prefix("gold.")) {
                    let next: Vec<&str> = path.iter().copied().chain([table]).collect();
                    if table == name {
                        return Some(next.into_iter().map(str::to_owned).collect());
                    }
                    if seen.insert(table) {
                        longer.push(next);
                    }
                }
            }
            paths = longer;
        }
        None
    }

    /// Takes out what selects from a broken model, and what selects from that.
    fn break_dependents(&mut self) {
        loop {
            let of_broken = |table: &str| table.strip_prefix("gold.").is_some_and(|n| self.broken.contains_key(n));
            let found = self.nodes.iter().find_map(|(name, node)| {
                let (table, at) = node.select.tables.iter().find(|(table, _)| of_broken(table))?;
                Some((name.clone(), table.clone(), *at))
            });
            let Some((name, table, at)) = found else { return };
            self.refuse(&name, at, format!("because {table} is broken"), format!("mend {table} first"));
        }
    }

    /// Tests may mention any table, so they are looked at when all are known.
    async fn check_tests(&mut self, engine: &Local, planned: &mut Vec<Arc<Planned>>) {
        let tables: BTreeMap<String, SchemaRef> = self
            .silver
            .iter()
            .map(|(name, schema)| (name.clone(), Arc::clone(schema)))
            .chain(planned.iter().map(|p| (p.model.table(), Arc::clone(&p.schema))))
            .collect();
        for model in planned.iter().map(Arc::clone).collect::<Vec<_>>() {
            let Some(error) = self.wrong_test(engine, &model.model, &tables).await else { continue };
            self.broken.insert(model.model.name.clone(), error);
        }
        // What was planned before its source turned out broken goes with it. Sources come first, so one pass is enough.
        let mut kept: Vec<Arc<Planned>> = Vec::new();
        for p in planned.drain(..) {
            let of_broken = |table: &&String| table.strip_prefix("gold.").is_some_and(|n| self.broken.contains_key(n));
            if self.broken.contains_key(&p.model.name) {
                continue;
            }
            match p.sources.iter().find(of_broken) {
                None => kept.push(p),
                Some(table) => {
                    let problem = format!("because {table} is broken");
                    let error = p.model.error_in_sql((0, 0, 1), problem, format!("mend {table} first"));
                    self.broken.insert(p.model.name.clone(), error.to_string());
                }
            }
        }
        *planned = kept;
    }

    /// What is wrong with the first wrong test of a model. A test that mentions a broken model is left for later.
    async fn wrong_test(&self, engine: &Local, model: &Model, tables: &BTreeMap<String, SchemaRef>) -> Option<String> {
        let is_broken = |table: &str| table.strip_prefix("gold.").is_some_and(|n| self.broken.contains_key(n));
        let known: Vec<&str> = tables.keys().map(String::as_str).collect();
        let unknown = |table: &str| {
            let meant = did_you_mean(table, known.iter().copied());
            (format!("there is no table `{table}`"), format!("{meant}the tables are {}", known.join(", ")))
        };
        for test in &model.tests {
            let wrong = match &test.check {
                Check::Relationships { to_table, to_column, .. } => match tables.get(to_table) {
                    None if is_broken(to_table) => None,
                    None => Some(unknown(to_table)),
                    Some(schema) if schema.field_with_name(to_column).is_err() => {
                        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
                        let meant = did_you_mean(to_column, names.iter().copied());
                        Some((format!("{to_table} has no column `{to_column}`"), format!("{meant}it has {}", names.join(", "))))
                    }
                    Some(_) => None,
                },
                Check::Sql(text) => match sql::parse(text) {
                    Err(t) => Some((t.problem, t.help)),
                    Ok(select) => match select.tables.iter().find(|(t, _)| !tables.contains_key(t)) {
                        Some((table, _)) if is_broken(table) => None,
                        Some((table, _)) => Some(unknown(table)),
                        None => {
                            let sources: Vec<(String, SchemaRef)> =
                                select.tables.iter().filter_map(|(t, _)| Some((t.clone(), Arc::clone(tables.get(t)?)))).collect();
                            plan::columns(engine, &select, &sources, None).await.err().map(|t| (t.problem, t.help))
                        }
                    },
                },
                _ => None,
            };
            if let Some((problem, help)) = wrong {
                return Some(model.error_in_test(test, problem, help).to_string());
            }
        }
        None
    }
}
