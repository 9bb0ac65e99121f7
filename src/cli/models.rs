//! `tributary models`: the SQL that gold is made of, checked and shown without running it.

mod docs;
mod graph;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use tributary_batch::models::Models;
use tributary_core::model::{Materialize, Planned, Severity, Test};

use super::session::Session;
use super::{desk, output};
use crate::inspect::columns::kind;

/// Gold models: check, show and document the SQL that makes them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tributary models check                     every mistake with file and line; exit status 1 when there is one
  tributary models graph                     what is made from what
  tributary models graph --format mermaid    the same for a page of Markdown
  tributary models show kpi_dau              columns, tests, SQL
  tributary models docs --out docs/models    a page for each of them

A model is a file sql/models/gold/NAME.sql (batch.models_dir): a SELECT, and comments that say the rest.")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Plan every model; exit status 1 when one is broken
    Check,
    /// What is made from what
    Graph {
        /// As text, or for Mermaid
        #[arg(long, value_enum, default_value_t = graph::Format::Text)]
        format: graph::Format,
    },
    /// One model: columns, tests, SQL
    Show {
        /// Name of the model
        #[arg(value_name = "MODEL")]
        model: String,
    },
    /// Markdown of all models: columns, tests, what they are made from
    Docs {
        /// A folder for one page each, instead of all on stdout
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
}

pub(crate) fn run(args: &Args, session: &Session) -> Result<ExitCode> {
    let engine = desk::engine(session, None)?;
    let models = desk::runtime()?.block_on(desk::models(session, &engine))?;
    match &args.action {
        Action::Check => return check(&models),
        Action::Graph { format } => output::print(&graph::graph(&models, *format))?,
        Action::Show { model } => return show(&models, model),
        Action::Docs { out } => docs::docs(&models, out.as_deref())?,
    }
    for (name, problem) in &models.broken {
        eprintln!("left out: {name} is broken\n{problem}");
    }
    Ok(ExitCode::SUCCESS)
}

fn check(models: &Models) -> Result<ExitCode> {
    for problem in models.broken.values() {
        output::print(&format!("{problem}\n\n"))?;
    }
    let tests: usize = models.planned.iter().map(|planned| planned.model.tests.len()).sum();
    eprintln!("{} models are good ({tests} tests), {} broken", models.planned.len(), models.broken.len());
    Ok(if models.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn show(models: &Models, written: &str) -> Result<ExitCode> {
    let name = written.strip_prefix("gold.").unwrap_or(written);
    if let Some(problem) = models.broken.get(name) {
        output::print(&format!("{problem}\n"))?;
        return Ok(ExitCode::FAILURE);
    }
    match models.planned.iter().find(|planned| planned.model.name == name) {
        Some(planned) => output::print(&text(models, planned))?,
        None => {
            let planned = models.planned.iter().map(|planned| planned.model.name.as_str());
            return Err(output::unknown("model", written, planned.chain(models.broken.keys().map(String::as_str))).into());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn text(models: &Models, planned: &Planned) -> String {
    let model = &planned.model;
    let mut text = format!("{}\n", model.table());
    let mut line = |name: &str, what: &str| text += &format!("  {name:<10} {what}\n");
    line("is", &model.description);
    line("in", &model.file);
    line("made", how(planned));
    line("from", &planned.sources.join(", "));
    let readers = readers(models, planned);
    if !readers.is_empty() {
        line("feeds", &readers.join(", "));
    }
    if !model.key.is_empty() {
        line("key", &model.key.join(", "));
    }
    if let Some(table) = &model.publish {
        line("published", &format!("PostgreSQL: gold.{table}"));
    }
    if model.hidden {
        line("hidden", "serves other models only");
    }
    text += "\n";
    text += &output::table(&["COLUMN", "TYPE", "MEANING"], columns(planned).into_iter().map(Vec::from).collect());
    if !model.tests.is_empty() {
        text += "\n";
        let rows = model.tests.iter().map(|test| vec![severity(test).to_owned(), test.text.clone(), test.line.to_string()]);
        text += &output::table(&["IF IT FAILS", "TEST", "LINE"], rows.collect());
    }
    text + &format!("\n{}\n", model.sql.trim())
}

/// How a model is kept up to date.
fn how(planned: &Planned) -> &'static str {
    match planned.model.materialize {
        Materialize::ByDay => "by day: the days that changed are made anew",
        Materialize::Rollup => "whole, when a source changed",
    }
}

/// The models that select from it.
fn readers(models: &Models, planned: &Planned) -> Vec<String> {
    let table = planned.model.table();
    models.planned.iter().filter(|other| other.sources.contains(&table)).map(|other| other.model.table()).collect()
}

/// Name, type and meaning.
fn columns(planned: &Planned) -> Vec<[String; 3]> {
    let meaning = |column: &str| planned.model.columns.iter().find(|(name, _)| name == column).map(|(_, words)| words.clone());
    let fields = planned.schema.fields().iter();
    fields.map(|field| [field.name().clone(), kind(field.data_type()), meaning(field.name()).unwrap_or_default()]).collect()
}

fn severity(test: &Test) -> &'static str {
    match test.severity {
        Severity::Fail => "not published",
        Severity::Warn => "a warning",
    }
}
