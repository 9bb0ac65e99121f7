//! The gold models: which there are, in which order they can be built, and what is wrong with the others.
//!
//! Assumes front matter by [`tributary_core::model`]. Promises that a planned model selects from tables that exist, that its columns
//! have types every reader of the lake knows, that running it twice over the same versions gives the same rows, and that everything
//! else is refused before anything runs, with file and line. A broken model takes down what selects from it, and nothing else.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use futures::FutureExt;
use futures::future::BoxFuture;
use tributary_core::model::{Model, Planned};
use tributary_core::stream::Stream;

use self::graph::Graph;
use crate::error::{Error, Result};
use crate::session::Local;

mod days;
mod graph;
mod plan;
mod rules;
pub(crate) mod sql;
pub(crate) mod types;

/// File and text of the models that are compiled in.
pub const BUILTIN: &[(&str, &str)] = &[
    ("sql/models/gold/dim_pages.sql", include_str!("../../sql/models/gold/dim_pages.sql")),
    ("sql/models/gold/dim_users.sql", include_str!("../../sql/models/gold/dim_users.sql")),
    ("sql/models/gold/fact_events.sql", include_str!("../../sql/models/gold/fact_events.sql")),
    ("sql/models/gold/kpi_conversion_rate.sql", include_str!("../../sql/models/gold/kpi_conversion_rate.sql")),
    ("sql/models/gold/kpi_dau.sql", include_str!("../../sql/models/gold/kpi_dau.sql")),
    ("sql/models/gold/kpi_events_per_source.sql", include_str!("../../sql/models/gold/kpi_events_per_source.sql")),
    ("sql/models/gold/kpi_purchases_per_page.sql", include_str!("../../sql/models/gold/kpi_purchases_per_page.sql")),
    ("sql/models/gold/page_days.sql", include_str!("../../sql/models/gold/page_days.sql")),
    ("sql/models/gold/user_days.sql", include_str!("../../sql/models/gold/user_days.sql")),
];

/// Where [`BUILTIN`] was read from: the one folder that need not exist.
pub const DEFAULT_FOLDER: &str = "sql/models/gold";

/// All models of a folder.
#[derive(Debug, Clone, Default)]
pub struct Models {
    /// Sources before what selects from them.
    pub planned: Vec<Arc<Planned>>,
    /// Model name to what is wrong with it. What depends on a broken model is in here too.
    pub broken: BTreeMap<String, String>,
}

impl Local {
    /// Reads and plans the models of a folder over these streams. A folder that exists is the truth; where [`DEFAULT_FOLDER`] does not,
    /// [`BUILTIN`] is.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub async fn models(&self, folder: &Path, streams: &[Arc<Stream>]) -> Result<Models> {
        let files = read_folder(folder)?;
        self.plan_models(&files, streams).await
    }

    /// Plans models given as file and text.
    ///
    /// # Errors
    /// Only when the engine is broken: what is wrong with a model is in [`Models::broken`].
    pub fn plan_models<'a>(&'a self, files: &'a [(String, String)], streams: &'a [Arc<Stream>]) -> BoxFuture<'a, Result<Models>> {
        async move {
            let mut graph = Graph::new(silver_tables(streams));
            let mut models: Vec<Model> = Vec::new();
            for (file, text) in files {
                match Model::parse(text, file) {
                    Ok(model) => models.push(model),
                    Err(e) => graph.unreadable(file, e.to_string()),
                }
            }
            graph.add(models);
            graph.plan(self).await
        }
        .boxed()
    }
}

/// The SQL files of a folder and of those in it, by path; or those that are compiled in. What begins with a dot is nobody's model.
///
/// # Errors
/// When a folder cannot be read, or a file cannot.
pub fn read_folder(folder: &Path) -> Result<Vec<(String, String)>> {
    let failed = |path: &Path, e: std::io::Error| Error::Failed(format!("models in {}: {e}", path.display()));
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && folder == Path::new(DEFAULT_FOLDER) => {
            return Ok(BUILTIN.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect());
        }
        Err(e) => return Err(failed(folder, e)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| failed(folder, e))?;
        let path = entry.path();
        if entry.file_name().to_str().is_none_or(|name| name.starts_with('.')) {
            continue;
        }
        // Not through links, which may lead round in circles.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            files.extend(read_folder(&path)?);
            continue;
        }
        if path.extension().is_none_or(|e| e != "sql") || !path.is_file() {
            continue;
        }
        let bytes = std::fs::read(&path).map_err(|e| failed(&path, e))?;
        files.push((path.display().to_string(), String::from_utf8_lossy(&bytes).into_owned()));
    }
    files.sort();
    Ok(files)
}

/// What models may select from before there is any gold.
fn silver_tables(streams: &[Arc<Stream>]) -> BTreeMap<String, SchemaRef> {
    let tables = streams.iter().flat_map(|stream| {
        let (silver, conflicts) = crate::silver::silver_schemas(stream);
        [(stream.silver_table(), silver), (stream.conflicts_table(), conflicts)]
    });
    tables.collect()
}
