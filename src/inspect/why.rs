//! From a number back to Kafka: each hop on the way, how fresh it is, and what the number waits for.
//!
//! Begins at a table of PostgreSQL's schema `gold`, at a model, or at a table of the lake, and follows what each is made from. Every
//! hop is asked by itself: one that cannot be reached is said to be so, and the others still answer.

mod hops;
mod known;
mod waits;

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Result;
use chrono::{DateTime, Utc};
use serde::Serialize;
use tributary_actors::serving::history::{ModelTest, Run, ScheduleRow};
use tributary_actors::serving::lease::Held;
use tributary_batch::models::Models;
use tributary_core::job::Job;
use tributary_core::model::Model;
use tributary_core::stream::{Stream, did_you_mean};

use super::behind::{Lag, Published};
use super::catalog::Catalog;
use crate::audit::Stores;

pub(crate) use waits::Wait;

/// What is asked, of whom.
pub(crate) struct Question<'a> {
    /// The lake.
    pub(crate) catalog: &'a Catalog,
    /// Kafka and PostgreSQL.
    pub(crate) stores: &'a Stores,
    /// The streams.
    pub(crate) streams: &'a [Arc<Stream>],
    /// The models.
    pub(crate) models: &'a Models,
    /// The front matter of all models that can be read, broken ones too.
    pub(crate) written: &'a [Model],
    /// The jobs.
    pub(crate) jobs: &'a [Job],
    /// What PostgreSQL says of runs; none: it cannot be asked.
    pub(crate) history: Option<&'a Known>,
}

/// What PostgreSQL says.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// What is in `gold`.
    pub(crate) published: Vec<Published>,
    /// What is known of the jobs.
    pub(crate) schedules: Vec<ScheduleRow>,
    /// Who leads.
    pub(crate) lease: Option<Held>,
    /// The newest runs of all jobs, newest first.
    pub(crate) runs: Vec<Run>,
    /// How the tests of each model went last.
    pub(crate) tests: Vec<ModelTest>,
    /// Tables and rows of `gold` as PostgreSQL has them.
    pub(crate) tables: Vec<Counted>,
    /// Gold tables' versions and the runs that made them.
    pub(crate) makers: Vec<Maker>,
}

/// A table of PostgreSQL.
#[derive(Debug, Clone)]
pub(crate) struct Counted {
    /// Without its schema.
    pub(crate) name: String,
    /// Rows.
    pub(crate) rows: i64,
    /// The newest `event_date`.
    pub(crate) newest_day: Option<String>,
}

/// Which run made a version of a table.
#[derive(Debug, Clone)]
pub(crate) struct Maker {
    /// `gold.kpi_dau`.
    pub(crate) table: String,
    /// The version.
    pub(crate) version: u64,
    /// The run.
    pub(crate) run: i64,
}

/// One hop.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Hop {
    /// Where it is: `postgresql`, `gold`, `silver`, `bronze` or `kafka`.
    pub(crate) store: &'static str,
    /// What it is called there.
    pub(crate) name: String,
    /// What it is made from, by their names.
    pub(crate) from: Vec<String>,
    /// Its version in the lake; of PostgreSQL: the version that is in it.
    pub(crate) version: Option<u64>,
    /// When that came about.
    pub(crate) at: Option<DateTime<Utc>>,
    /// The run that made it.
    pub(crate) run: Option<i64>,
    /// Rows.
    pub(crate) rows: Option<u64>,
    /// Its newest day.
    pub(crate) newest_day: Option<String>,
    /// When its newest record was written to Kafka.
    pub(crate) newest_record_at: Option<DateTime<Utc>>,
    /// What it lacks of what it is made from.
    pub(crate) behind: Behind,
    /// Why it could not be asked, or what is wrong with it.
    pub(crate) problem: Option<String>,
}

/// What a hop lacks of the one before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Behind {
    /// It is the first.
    Source,
    /// Not known.
    Unknown,
    /// Days, or everything.
    Table(Lag),
    /// Rows.
    Rows(u64),
}

impl Behind {
    /// Whether it is known to have everything.
    pub(crate) fn is_nothing(&self) -> bool {
        matches!(self, Self::Source | Self::Table(Lag::Nothing) | Self::Rows(0))
    }
}

/// The answer.
#[derive(Debug, Serialize)]
pub(crate) struct Why {
    /// What was asked about, by its full name.
    pub(crate) asked: String,
    /// From there back to Kafka; what is nearer comes first.
    pub(crate) hops: Vec<Hop>,
    /// What it waits for, the first obstacle first.
    pub(crate) waits_for: Vec<Wait>,
}

/// There is nothing of that name.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NothingOfThatName(String);

/// Where to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Begin {
    /// A table of PostgreSQL, and the model that is published there.
    Published(String, String),
    /// A table of the lake.
    Table(String),
}

impl Begin {
    /// What a person means by a name: a table of PostgreSQL first, since that is where numbers are seen.
    fn of(question: &Question<'_>, written: &str) -> Result<Self, NothingOfThatName> {
        let bare = written.strip_prefix("gold.").unwrap_or(written);
        let models = || question.written.iter();
        if let Some(model) = models().find(|model| model.publish.as_deref() == Some(bare)) {
            return Ok(Self::Published(bare.to_owned(), model.name.clone()));
        }
        if let Some(model) = models().find(|model| model.name == bare) {
            return Ok(Self::Table(model.table()));
        }
        if question.models.broken.contains_key(bare) {
            return Ok(Self::Table(format!("gold.{bare}")));
        }
        for stream in question.streams {
            for layer in ["silver", "bronze"] {
                if written == format!("{layer}.{}", stream.name) || (layer == "silver" && written == stream.name) {
                    return Ok(Self::Table(format!("{layer}.{}", stream.name)));
                }
            }
            if let Some(window) = stream.windows.iter().find(|window| written.strip_prefix("realtime.") == Some(&window.table)) {
                let words = "comes straight from Kafka, not through the lake: `tributary status` says how far it is";
                return Err(NothingOfThatName(format!("realtime.{} {words}", window.table)));
            }
        }
        if let Some(left) = question.history.and_then(|known| known.published.iter().find(|published| published.is(bare))) {
            let Published { table_name, model, .. } = left;
            let words = format!(
                "gold.{table_name} was published by the model {model}, and no model says any more that it is: no run touches it. \
                 Bring the model back, or drop it: DROP TABLE gold.{table_name}; DELETE FROM ops.published WHERE table_name = '{table_name}'"
            );
            return Err(NothingOfThatName(words));
        }
        let published = models().filter_map(|model| model.publish.as_ref().map(|table| format!("gold.{table}")));
        let streams = question.streams.iter().flat_map(|s| [s.silver_table(), s.bronze_table()]);
        let known: Vec<String> = published.chain(models().filter(|m| !m.hidden).map(Model::table)).chain(streams).collect();
        let meant = did_you_mean(written, known.iter().map(String::as_str));
        Err(NothingOfThatName(format!("nothing is called {written}; {meant}there are: {}", known.join(", "))))
    }
}

/// Follows a name back to Kafka.
pub(crate) async fn why(question: &Question<'_>, written: &str) -> Result<Why> {
    let begin = Begin::of(question, written)?;
    let mut hops = Vec::new();
    let (asked, first) = match begin {
        Begin::Published(table, model) => {
            hops.push(hops::postgres(question, &table, &model).await);
            (format!("gold.{table}"), format!("gold.{model}"))
        }
        Begin::Table(table) => (table.clone(), table),
    };
    let mut seen = BTreeSet::from([first.clone()]);
    let mut next = std::collections::VecDeque::from([first]);
    while let Some(name) = next.pop_front() {
        let hop = hops::table(question, &name).await;
        // Kafka's topics are the ends of the way.
        let sources = hop.from.iter().filter(|_| hop.store != "kafka");
        next.extend(sources.filter(|source| seen.insert((*source).clone())).cloned());
        hops.push(hop);
    }
    hops.sort_by_key(|hop| ["postgresql", "gold", "silver", "bronze", "kafka"].iter().position(|store| *store == hop.store));
    let waits_for = waits::waits(question, &hops, Utc::now());
    Ok(Why { asked, hops, waits_for })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(written: &str) -> Result<Begin, NothingOfThatName> {
        let text = "-- materialize: by_day\n-- key: event_date\n-- publish: gold.daily_active_users\nSELECT event_date FROM silver.user_events";
        let model = Model::parse(text, "kpi_dau.sql").unwrap();
        let question = Question {
            catalog: &Catalog::of(&tributary_core::settings::Settings::default()).unwrap(),
            stores: &Stores::default(),
            streams: &[Arc::new(Stream::builtin())],
            models: &Models { broken: [("bad".to_owned(), "why".to_owned())].into(), ..Models::default() },
            written: &[model],
            jobs: &[],
            history: None,
        };
        Begin::of(&question, written)
    }

    #[test]
    fn a_name_is_what_a_person_means_by_it() {
        let published = Begin::Published("daily_active_users".into(), "kpi_dau".into());
        assert_eq!(begin("gold.daily_active_users").unwrap(), published);
        assert_eq!(begin("daily_active_users").unwrap(), published);
        assert_eq!(begin("kpi_dau").unwrap(), Begin::Table("gold.kpi_dau".into()));
        assert_eq!(begin("gold.bad").unwrap(), Begin::Table("gold.bad".into()));
        assert_eq!(begin("user_events").unwrap(), Begin::Table("silver.user_events".into()));
        assert_eq!(begin("bronze.user_events").unwrap(), Begin::Table("bronze.user_events".into()));
    }

    #[test]
    fn a_wrong_name_is_answered_with_the_right_ones() {
        let said = begin("gold.daily_active_user").unwrap_err().to_string();
        assert!(said.contains("did you mean `gold.daily_active_users`?") && said.contains("silver.user_events"), "{said}");
        let said = begin("realtime.events_per_minute").unwrap_err().to_string();
        assert!(said.contains("tributary status"), "{said}");
    }
}
