//! The tables of the lake as they were a moment ago: read once, and from then on only what was committed since.
//!
//! A page asks often and a log grows at every commit, so a table is opened once and refreshed when what is kept is older than two
//! seconds. Where nobody looks, nothing is read. What a page got stays as it is: a refresh makes another one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::sync::Mutex;
use tributary_actors::lake::snapshot::Snapshot;

use crate::inspect::catalog::Catalog;

/// What is older is refreshed.
const FRESH: Duration = Duration::from_secs(2);
/// Tables come and go seldom.
const NAMES: Duration = Duration::from_secs(10);

/// A table by its name in SQL.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// `gold.kpi_dau`.
    pub(crate) name: String,
    /// What is in it.
    pub(crate) snapshot: Arc<Snapshot>,
}

#[derive(Debug, Default)]
struct Kept {
    tables: Arc<Vec<Seen>>,
    refreshed: Option<Instant>,
    named: Option<Instant>,
}

/// The tables, kept.
#[derive(Debug, Clone)]
pub(crate) struct LakeView {
    catalog: Catalog,
    kept: Arc<Mutex<Kept>>,
}

impl LakeView {
    pub(crate) fn new(catalog: Catalog) -> Self {
        Self { catalog, kept: Arc::default() }
    }

    /// Where they are.
    pub(crate) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// All tables, by layer and name. To be called away from the threads that answer.
    pub(crate) async fn tables(&self) -> Result<Arc<Vec<Seen>>> {
        let mut kept = self.kept.lock().await;
        let is_within = |since: Option<Instant>, limit: Duration| since.is_some_and(|since| since.elapsed() < limit);
        if is_within(kept.refreshed, FRESH) {
            return Ok(Arc::clone(&kept.tables));
        }
        let names = match is_within(kept.named, NAMES) {
            true => kept.tables.iter().map(|table| table.name.clone()).collect(),
            false => self.catalog.names().await?,
        };
        let mut tables = Vec::with_capacity(names.len());
        // What is made from others first, so that no table has what its source has not.
        for name in names.into_iter().rev() {
            let known = kept.tables.iter().find(|table| table.name == name).map(|table| Arc::clone(&table.snapshot));
            let snapshot = match known {
                Some(known) if known.is_newest().await? => Some(known),
                Some(known) => {
                    let mut newer = (*known).clone();
                    newer.refresh().await?;
                    Some(Arc::new(newer))
                }
                None => self.catalog.find(&name).await?.map(Arc::new),
            };
            tables.extend(snapshot.map(|snapshot| Seen { name, snapshot }));
        }
        tables.reverse();
        if !is_within(kept.named, NAMES) {
            kept.named = Some(Instant::now());
        }
        kept.tables = Arc::new(tables);
        kept.refreshed = Some(Instant::now());
        Ok(Arc::clone(&kept.tables))
    }
}
