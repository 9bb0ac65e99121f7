//! Where the stores are: asked at every assignment, from the stores themselves.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use deltalake::logstore::LogStoreRef;
use sqlx::PgConnection;
use tributary_core::replay::replay_app;
use tributary_core::span::{Leg, Legs};
use tributary_core::stream::Stream;

use crate::kafka::topic::Topic;
use crate::lake::delta_log::DeltaLog;
use crate::lake::offsets::{Known, first_app, ingest_app, known};
use crate::repair::{RepairError, Stores, finish};
use crate::serving;

/// What the stores know of one partition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Floor {
    /// Next offset of bronze.
    pub bronze: Option<i64>,
    /// First offset that bronze ever took.
    pub bronze_first: Option<i64>,
    /// Next offset of the windows.
    pub serving: Option<i64>,
}

impl Floor {
    /// Per leg, where it goes on. Bronze that has nothing begins at `low`, the oldest that Kafka has. Windows that have nothing begin
    /// where bronze began, so that they count what bronze holds.
    pub fn resolve(self, low: i64) -> [i64; 2] {
        [self.bronze.unwrap_or(low), self.serving.or(self.bronze_first).unwrap_or(low)]
    }
}

/// A store that does not say where it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Silent {
    /// Whose store, if it is one leg's alone.
    pub leg: Option<Leg>,
    /// In words.
    pub why: String,
}

/// Answers from the consumer's thread; may block for a few seconds.
pub trait Floors: Send + Sync {
    /// The floors of these partitions.
    ///
    /// # Errors
    /// When a store does not answer.
    fn read(&self, partitions: &[i32]) -> Result<BTreeMap<i32, Floor>, Silent>;
}

/// The real stores. Bronze is asked whatever the legs are: it knows where a stream began.
pub struct StoreFloors {
    /// Topic and incarnation that application ids are made of.
    pub topic: Topic,
    /// See `topic`.
    pub incarnation: i32,
    /// Declaration.
    pub stream: Arc<Stream>,
    /// Legs that need an answer.
    pub legs: Legs,
    /// Bronze.
    pub lake: LogStoreRef,
    /// PostgreSQL.
    pub database_url: String,
    /// Where to wait.
    pub runtime: tokio::runtime::Handle,
    /// The log's head as last read: asking again costs what was committed since.
    pub head: Mutex<Option<DeltaLog>>,
}

/// How long the stores may take.
const ANSWER: Duration = Duration::from_secs(6);

impl Floors for StoreFloors {
    fn read(&self, partitions: &[i32]) -> Result<BTreeMap<i32, Floor>, Silent> {
        self.runtime.block_on(async {
            match tokio::time::timeout(ANSWER, self.ask(partitions)).await {
                Ok(answer) => answer,
                Err(_) => Err(Silent { leg: None, why: format!("the stores did not say where they are within {ANSWER:?}") }),
            }
        })
    }
}

impl StoreFloors {
    async fn ask(&self, partitions: &[i32]) -> Result<BTreeMap<i32, Floor>, Silent> {
        let head = self.head.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let log = match head {
            Some(mut log) => log.refresh().await.map(|()| log),
            None => DeltaLog::open(self.lake.clone()).await,
        };
        let log = match log {
            Ok(log) => Some(log),
            Err(error) if self.legs.has(Leg::Bronze) => return Err(Silent { leg: Some(Leg::Bronze), why: error.to_string() }),
            // The windows go on without the lake; what bronze knows is only needed where they have nothing.
            Err(error) => {
                tracing::warn!(stream = self.stream.name, %error, "bronze does not answer; going by the windows' own offsets");
                None
            }
        };
        if let Some(log) = &log
            && let now @ (Known::As(_) | Known::Another(_)) = known(log, &self.topic.name, &self.topic.id)
            && now != Known::As(self.incarnation)
        {
            return Err(Silent { leg: None, why: format!("topic {} was adopted anew", self.topic.name) });
        }
        let windows = if self.legs.has(Leg::Serving) {
            if log.as_ref().is_some_and(|log| log.txn(&replay_app(&self.topic.name)).is_some()) {
                self.finish_replays().await?;
            }
            self.windows().await.map_err(|e| Silent { leg: Some(Leg::Serving), why: e.to_string() })?
        } else {
            BTreeMap::new()
        };
        let floors = partitions.iter().map(|p| {
            let txn = |app: String| log.as_ref().and_then(|log| log.txn(&app));
            let floor = Floor {
                bronze: txn(ingest_app(&self.topic.name, self.incarnation, *p)),
                bronze_first: txn(first_app(&self.topic.name, self.incarnation, *p)),
                serving: windows.get(p).copied(),
            };
            (*p, floor)
        });
        let floors = floors.collect();
        *self.head.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = log;
        Ok(floors)
    }

    /// Before the windows read on: a PostgreSQL from an older dump lacks replays, and would take their rows twice afterwards.
    async fn finish_replays(&self) -> Result<(), Silent> {
        let (stream, table, database_url) = (Arc::clone(&self.stream), self.lake.clone(), self.database_url.clone());
        match finish::finish(&Stores { stream, table, database_url }).await {
            Err(RepairError::Serving(error)) => Err(Silent { leg: Some(Leg::Serving), why: error.to_string() }),
            Err(error) => {
                tracing::warn!(stream = self.stream.name, %error, "cannot look for replayed records now");
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }

    async fn windows(&self) -> Result<BTreeMap<i32, i64>, serving::ServingError> {
        let mut connection: PgConnection = serving::connect(&self.database_url).await?;
        serving::offsets::read(&mut connection, &self.stream.name, self.incarnation).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_with_nothing_begins_where_it_will_agree_with_the_other() {
        let nothing = Floor::default();
        assert_eq!(nothing.resolve(70), [70, 70], "a new stream begins at what Kafka has");
        let lake_only = Floor { bronze: Some(900), bronze_first: Some(10), serving: None };
        assert_eq!(lake_only.resolve(500), [900, 10], "lost windows are rebuilt from bronze's beginning, not from Kafka's");
        let windows_only = Floor { serving: Some(42), ..nothing };
        assert_eq!(windows_only.resolve(7), [7, 42], "a lost lake takes back all that Kafka still has");
        let both = Floor { bronze: Some(900), bronze_first: Some(10), serving: Some(800) };
        assert_eq!(both.resolve(500), [900, 800]);
    }
}
