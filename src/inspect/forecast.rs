//! What a run would do now, task by task, from what the logs say.
//!
//! A table that an earlier task changes is behind for the later ones, too: the days that silver gets are taken to be those of the
//! bronze files it reads, which are at least the ones it changes. So a forecast never says less than what happens, unless something
//! comes in between.

mod said;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Result;
use tributary_actors::lake::snapshot::Snapshot;
use tributary_batch::models::Models;
use tributary_core::job::{Task, Work};
use tributary_core::model::{Materialize, Planned};
use tributary_core::stream::Stream;

use super::behind::{self, Lag, Published, SilverLag};
use super::catalog::Catalog;

pub(crate) use self::said::{Step, said};

/// What a run is made of.
pub(crate) struct Forecast<'a> {
    /// The lake.
    pub(crate) catalog: &'a Catalog,
    /// The streams.
    pub(crate) streams: &'a [Arc<Stream>],
    /// The models.
    pub(crate) models: &'a Models,
    /// What PostgreSQL shows; none: it cannot be asked.
    pub(crate) published: Option<&'a [Published]>,
    /// These days anew.
    pub(crate) days: Option<BTreeSet<i32>>,
    /// Everything anew.
    pub(crate) force: bool,
}

/// What a task would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Would {
    /// Nothing, and why.
    Nothing(String),
    /// Fail, and why.
    Fail(String),
    /// What cannot be known here, and why.
    Unknown(String),
    /// Look at a table.
    Look { table: String, version: u64, rows: u64 },
    /// Take rows of bronze over.
    Take { from: String, into: String, lag: SilverLag },
    /// Build a gold table.
    Build { table: String, lag: Lag, at_most: bool },
    /// Run tests.
    Test { models: u64, tests: u64 },
    /// Bring PostgreSQL up to it.
    Publish { table: String, lag: Lag, at_most: bool },
    /// Maintenance.
    Upkeep,
}

/// What each task would do.
pub(crate) async fn forecast(what: &Forecast<'_>, tasks: &[Task]) -> Result<Vec<(String, Vec<Would>)>> {
    let mut steps = Vec::new();
    // What earlier tasks would change.
    let mut changing: BTreeMap<String, Lag> = BTreeMap::new();
    for task in tasks {
        let would = match &task.work {
            Work::CheckBronze => what.look().await?,
            Work::Silver => what.silver(&mut changing).await?,
            Work::Models(names) => {
                let mut would = Vec::new();
                for name in names {
                    would.push(what.model(name, &mut changing).await?);
                }
                would
            }
            Work::Checks => what.checks(),
            Work::Publish => what.publish(&changing).await?,
            _ => vec![Would::Upkeep],
        };
        steps.push((task.name.clone(), would));
    }
    Ok(steps)
}

impl Forecast<'_> {
    async fn look(&self) -> Result<Vec<Would>> {
        let mut would = Vec::new();
        for stream in self.streams {
            let table = stream.bronze_table();
            if let Some(bronze) = self.catalog.find(&table).await? {
                let rows = bronze.files().values().filter_map(|file| file.rows).sum();
                would.push(Would::Look { table, version: bronze.version(), rows });
            }
        }
        if would.is_empty() {
            would.push(Would::Nothing("bronze is empty, and so the whole run is skipped".into()));
        }
        Ok(would)
    }

    async fn silver(&self, changing: &mut BTreeMap<String, Lag>) -> Result<Vec<Would>> {
        let mut would = Vec::new();
        for stream in self.streams {
            let (from, into) = (stream.bronze_table(), stream.silver_table());
            let Some(bronze) = self.catalog.find(&from).await? else {
                would.push(Would::Nothing(format!("{from} is not there yet")));
                continue;
            };
            let silver = self.catalog.find(&into).await?;
            if let Some(days) = &self.days {
                // Days that are asked for are made anew, and nothing else is taken.
                would.push(Would::Build { table: into, lag: Lag::Days(days.clone()), at_most: false });
                continue;
            }
            let lag = behind::silver(stream, &bronze, silver.as_ref());
            if lag.is_nothing() {
                would.push(Would::Nothing(format!("{into} has everything that {from} has")));
                continue;
            }
            for table in [into.clone(), format!("{into}_conflicts")] {
                changing.insert(table, Lag::Days(lag.days.clone()));
            }
            would.push(Would::Take { from, into, lag });
        }
        Ok(would)
    }

    async fn model(&self, name: &str, changing: &mut BTreeMap<String, Lag>) -> Result<Would> {
        if let Some(problem) = self.models.broken.get(name) {
            return Ok(Would::Fail(problem.clone()));
        }
        let Some(planned) = self.models.planned.iter().find(|planned| planned.model.name == name) else {
            return Ok(Would::Fail(format!("there is no model {name}")));
        };
        let mut sources = Vec::new();
        for source in &planned.sources {
            sources.push((source.clone(), self.catalog.find(source).await?));
        }
        let table = planned.model.table();
        let found = self.catalog.find(&table).await?;
        let upstream = planned.sources.iter().filter_map(|source| changing.get(source).cloned()).reduce(Lag::and);
        let at_most = upstream.is_some();
        let lag = self.lag(planned, &sources, found.as_ref(), upstream.unwrap_or(Lag::Nothing)).await?;
        if lag != Lag::Nothing {
            changing.insert(table.clone(), lag.clone());
        }
        Ok(Would::Build { table, lag, at_most })
    }

    async fn lag(
        &self,
        planned: &Planned,
        sources: &[(String, Option<Snapshot>)],
        table: Option<&Snapshot>,
        upstream: Lag,
    ) -> Result<Lag> {
        let days = self.days.as_ref().filter(|_| planned.model.materialize == Materialize::ByDay);
        if self.force && self.days.is_none() {
            return Ok(Lag::Everything("asked for with --force".into()));
        }
        // A source that an earlier task makes is no reason of its own.
        let there: Vec<_> = sources.iter().filter(|(_, source)| source.is_some() || upstream == Lag::Nothing).cloned().collect();
        let own = behind::gold(planned, &there, table).await?;
        Ok(match (days, own.and(upstream)) {
            // Days alone are made anew only where the others are as they should be.
            (Some(_), Lag::Everything(why)) => Lag::Everything(why),
            (Some(days), _) => Lag::Days(days.clone()),
            (None, lag) => lag.as_made(planned.model.materialize),
        })
    }

    fn checks(&self) -> Vec<Would> {
        let models = self.models.planned.iter().filter(|planned| !planned.model.tests.is_empty());
        let (mut n, mut tests) = (0, 0);
        for planned in models {
            n += 1;
            tests += planned.model.tests.len() as u64;
        }
        vec![Would::Test { models: n, tests }]
    }

    async fn publish(&self, changing: &BTreeMap<String, Lag>) -> Result<Vec<Would>> {
        let mut would = Vec::new();
        for planned in &self.models.planned {
            let Some(table) = planned.model.publish.as_ref().map(|table| format!("gold.{table}")) else { continue };
            let Some(published) = self.published else {
                would.push(Would::Unknown(format!("{table}: PostgreSQL cannot be asked")));
                continue;
            };
            let found = self.catalog.find(&planned.model.table()).await?;
            let now = published.iter().find(|published| published.is(&table));
            let upstream = changing.get(&planned.model.table());
            let lag = behind::publication(planned, found.as_ref(), now).await?;
            let (lag, at_most) = (lag.and(upstream.cloned().unwrap_or(Lag::Nothing)), upstream.is_some());
            would.push(Would::Publish { table, lag, at_most });
        }
        if would.is_empty() {
            would.push(Would::Nothing("no model says `publish`".into()));
        }
        Ok(would)
    }
}
