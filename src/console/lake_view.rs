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

/// A table that is there and cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub(crate) struct Unreadable {
    /// Its name.
    pub(crate) table: String,
    /// Why.
    pub(crate) problem: String,
}

/// All tables, by layer and name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tables {
    /// Those that can be read.
    pub(crate) seen: Arc<Vec<Seen>>,
    /// Those that cannot: no reason to show none of the others.
    pub(crate) unreadable: Arc<Vec<Unreadable>>,
}

#[derive(Debug, Default)]
struct Kept {
    tables: Tables,
    names: Vec<String>,
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
    pub(crate) async fn tables(&self) -> Result<Tables> {
        let mut kept = self.kept.lock().await;
        let is_within = |since: Option<Instant>, limit: Duration| since.is_some_and(|since| since.elapsed() < limit);
        if is_within(kept.refreshed, FRESH) {
            return Ok(kept.tables.clone());
        }
        if !is_within(kept.named, NAMES) {
            kept.names = self.catalog.names().await?;
            kept.named = Some(Instant::now());
        }
        let (mut seen, mut unreadable) = (Vec::with_capacity(kept.names.len()), Vec::new());
        // What is made from others first, so that no table has what its source has not.
        for name in kept.names.iter().rev().cloned() {
            let known = kept.tables.seen.iter().find(|table| table.name == name).map(|table| Arc::clone(&table.snapshot));
            match self.newest(&name, known).await {
                Ok(snapshot) => seen.extend(snapshot.map(|snapshot| Seen { name, snapshot })),
                Err(error) => unreadable.push(Unreadable { table: name, problem: format!("{error:#}") }),
            }
        }
        seen.reverse();
        unreadable.reverse();
        kept.tables = Tables { seen: Arc::new(seen), unreadable: Arc::new(unreadable) };
        kept.refreshed = Some(Instant::now());
        Ok(kept.tables.clone())
    }

    /// A table as it is now; none: there is no such table any more.
    async fn newest(&self, name: &str, known: Option<Arc<Snapshot>>) -> Result<Option<Arc<Snapshot>>> {
        match known {
            Some(known) if known.is_newest().await? => Ok(Some(known)),
            Some(known) => {
                let mut newer = (*known).clone();
                newer.refresh().await?;
                Ok(Some(Arc::new(newer)))
            }
            None => Ok(self.catalog.find(name).await?.map(Arc::new)),
        }
    }
}
