//! A line: one stream and the stores that it lands in; what pipelines are made from.
//!
//! Getting ready asks every part once: the topic (made if missing), its identity against what bronze's log says, the table, the
//! database. Promises an error that says whose fault it is, so that one leg's trouble does not hold up the other.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use deltalake::logstore::LogStoreRef;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio::runtime::Handle;
use tributary_core::settings::{Role, Settings};
use tributary_core::span::{Leg, Legs};
use tributary_core::stream::Stream;

use crate::kafka::topic::{self, Topic};
use crate::kafka::{ASK, KafkaError};
use crate::kafka_consumer::floors::{Floors, StoreFloors};
use crate::lake::delta_log::{Commit, CommitError, DeltaLog, Kind, Move};
use crate::lake::offsets::{Known, first_app, ingested, known, other_topic, topic_app};
use crate::lake::{LakeError, table};
use crate::repair::{RepairError, Stores, finish};
use crate::serving::{self, ServingError, new_windows, refill};

/// One stream and its stores.
pub struct Line {
    /// Declaration.
    pub stream: Arc<Stream>,
    /// All settings.
    pub settings: Arc<Settings>,
    /// Kafka.
    pub bootstrap: String,
    /// We own the broker: a topic that was recreated there was recreated by a wipe of our own data.
    pub embedded_kafka: bool,
    /// The topic was identified since the process began. Its own broker is only wiped while it does not run: after that, a topic that is
    /// another one was deleted by somebody, and what was not read of it is lost.
    pub seen: AtomicBool,
    /// PostgreSQL.
    pub database_url: String,
    /// The bronze table.
    pub table: LogStoreRef,
    /// For questions that block.
    pub runtime: Handle,
}

/// What a pipeline must know about the topic.
#[derive(Debug, Clone)]
pub struct Ready {
    /// The topic.
    pub topic: Topic,
    /// Which of that name.
    pub incarnation: i32,
}

/// Why a pipeline cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    /// Kafka does not answer.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// A leg's store does not answer; the other leg may begin.
    #[error("{leg}: {why}")]
    Leg {
        /// Whose store.
        leg: Leg,
        /// In words.
        why: String,
    },
    /// A person must decide.
    #[error("{0}")]
    Person(String),
    /// No retry mends it.
    #[error("{0}")]
    Fatal(String),
}

impl Line {
    /// Asks every part that these legs need.
    ///
    /// # Errors
    /// See [`NotReady`].
    pub async fn ready(&self, legs: Legs) -> Result<Ready, NotReady> {
        let topic = topic::ensure(&self.settings.kafka, &self.bootstrap, &self.stream.topic).await?;
        let late = match legs.has(Leg::Serving) {
            true => serving::prepare(&self.database_url, &self.stream).await.map_err(not_ready_serving)?,
            false => Vec::new(),
        };
        let incarnation = if legs.has(Leg::Bronze) {
            self.ensure_table().await?;
            let incarnation = self.identify(&topic, legs).await?;
            self.seen.store(true, Ordering::Relaxed);
            incarnation
        } else {
            self.identify_from_windows(&topic).await?
        };
        if legs.has(Leg::Serving) {
            self.finish_replays().await?;
            // First the tables that are missing: what is counted afterwards goes into all of them.
            if !late.is_empty() {
                let added = new_windows::add(&self.stream, late, &self.table, &self.database_url).await;
                added.map_err(|e| NotReady::Leg { leg: Leg::Serving, why: e.to_string() })?;
            }
            self.count_closed(incarnation).await?;
            let record = async {
                let mut connection = serving::connect(&self.database_url).await?;
                serving::offsets::record_incarnation(&mut connection, &topic.name, &topic.id, incarnation).await
            };
            record.await.map_err(not_ready_serving)?;
        }
        Ok(Ready { topic, incarnation })
    }

    /// What a replay that was killed has left to bring to the windows; before they go on, or it could come to them twice.
    async fn finish_replays(&self) -> Result<(), NotReady> {
        let (stream, table, database_url) = (Arc::clone(&self.stream), self.table.clone(), self.database_url.clone());
        match finish::finish(&Stores { stream, table, database_url }).await {
            Ok(_) => Ok(()),
            Err(RepairError::Serving(error)) => Err(not_ready_serving(error)),
            Err(error) => {
                tracing::warn!(stream = self.stream.name, %error, "bronze does not answer; the windows go on without looking for replayed records");
                Ok(())
            }
        }
    }

    /// What bronze took of earlier topics of this name, and the windows did not: nothing else will bring it.
    async fn count_closed(&self, incarnation: i32) -> Result<(), NotReady> {
        let log = match DeltaLog::open(self.table.clone()).await {
            Ok(log) => log,
            Err(error) => {
                tracing::warn!(stream = self.stream.name, %error, "bronze does not answer; the windows go on without looking for older topics");
                return Ok(());
            }
        };
        let windows = async {
            let mut connection = serving::connect(&self.database_url).await?;
            serving::offsets::all(&mut connection, &self.stream.name).await
        };
        let windows = windows.await.map_err(not_ready_serving)?;
        let mut closed: BTreeMap<i32, BTreeMap<i32, (i64, i64)>> = BTreeMap::new();
        for (place, next) in ingested(log.txns(), &self.stream.topic) {
            let (older, partition) = place;
            let first = || log.txn(&first_app(&self.stream.topic, older, partition)).unwrap_or(0);
            let from = windows.get(&place).copied().unwrap_or_else(first);
            if older < incarnation && from < next {
                closed.entry(older).or_default().insert(partition, (from, next));
            }
        }
        for (older, ranges) in closed {
            let refilled = refill::refill(&self.stream, older, &self.table, &self.database_url, &ranges).await;
            refilled.map_err(|e| NotReady::Leg { leg: Leg::Serving, why: e.to_string() })?;
        }
        Ok(())
    }

    /// On the runtime for work that blocks: creating and checking a table goes through deltalake's kernel, which does.
    async fn ensure_table(&self) -> Result<(), NotReady> {
        let (table, stream) = (self.table.clone(), Arc::clone(&self.stream));
        let ensured = self.runtime.spawn(async move { table::ensure(&table, &stream).await });
        match ensured.await {
            Ok(ensured) => ensured.map_err(not_ready_bronze),
            Err(panicked) => Err(NotReady::Leg { leg: Leg::Bronze, why: panicked.to_string() }),
        }
    }

    /// Which incarnation this topic is, by bronze's log; the first one is adopted without asking.
    async fn identify(&self, topic: &Topic, legs: Legs) -> Result<i32, NotReady> {
        let mut log = DeltaLog::open(self.table.clone()).await.map_err(not_ready_bronze)?;
        match known(&log, &topic.name, &topic.id) {
            Known::As(n) => Ok(n),
            Known::Nothing => {
                if let Some(other) = other_topic(&log, &topic.name) {
                    return Err(NotReady::Fatal(format!(
                        "bronze of {} holds topic {other}, and a stream reads one topic: set its topic back to {other}, or declare \
                         another stream for {} (or give this one another lake and database)",
                        self.stream.name, topic.name
                    )));
                }
                let first = if legs.has(Leg::Serving) { self.first_incarnation(topic).await? } else { 1 };
                adopt(&mut log, topic, None, first).await
            }
            Known::Another(n) if self.embedded_kafka && !self.seen.load(Ordering::Relaxed) => {
                tracing::warn!(
                    stream = self.stream.name,
                    topic = topic.name,
                    incarnation = n + 1,
                    "the embedded broker was wiped: its topic is a new one and begins at offset 0; what the stores have stays"
                );
                adopt(&mut log, topic, None, n + 1).await
            }
            Known::Another(_) => Err(NotReady::Person(format!(
                "topic {} is not the one that bronze knows (recreated, or another cluster): its id is {} now. If that is right: \
                 tributary topic adopt {}",
                topic.name, topic.id, self.stream.name
            ))),
        }
    }

    /// A lake without this topic: the windows may know it, or another of its name, from before the lake was lost.
    async fn first_incarnation(&self, topic: &Topic) -> Result<i32, NotReady> {
        let remembered = async {
            let mut connection = serving::connect(&self.database_url).await?;
            let own = serving::offsets::incarnation(&mut connection, &topic.name, &topic.id).await?;
            let newest = serving::offsets::newest_incarnation(&mut connection, &topic.name).await?;
            Ok(own.unwrap_or_else(|| newest.map_or(1, |n| n + 1)))
        };
        remembered.await.map_err(not_ready_serving)
    }

    /// The same for a process without the bronze leg: its log if it can be read, else what PostgreSQL remembers.
    async fn identify_from_windows(&self, topic: &Topic) -> Result<i32, NotReady> {
        if let Ok(log) = DeltaLog::open(self.table.clone()).await
            && let Known::As(n) = known(&log, &topic.name, &topic.id)
        {
            return Ok(n);
        }
        let remembered = async {
            let mut connection = serving::connect(&self.database_url).await?;
            serving::offsets::incarnation(&mut connection, &topic.name, &topic.id).await
        };
        remembered.await.map_err(not_ready_serving)?.ok_or_else(|| NotReady::Leg {
            leg: Leg::Serving,
            why: format!("topic {} was not adopted yet, which bronze's leg does: run it once first", topic.name),
        })
    }

    /// The consumer's settings: a group per stream, so that one stream's rebalances leave the others alone, and of its own for those who
    /// read for one store only, so that no partition of the other store goes to somebody who does not fill it. Our name in it is fixed
    /// where nobody else can have it: the embedded broker serves one process.
    pub fn consumer_config(&self) -> ClientConfig {
        let kafka = &self.settings.kafka;
        let fills = |role| self.settings.roles.contains(&role);
        let only = match (fills(Role::Bronze), fills(Role::Serving)) {
            (true, false) => "-bronze",
            (false, true) => "-serving",
            _ => "",
        };
        let group = format!("{}-{}{only}", kafka.group_id, self.stream.name);
        let member = self.embedded_kafka.then_some(self.settings.instance.as_str());
        crate::kafka::consumer_config(kafka, &self.bootstrap, &group, member)
    }

    /// Where the stores are.
    pub fn floors(&self, ready: &Ready, legs: Legs) -> StoreFloors {
        StoreFloors {
            topic: ready.topic.clone(),
            incarnation: ready.incarnation,
            stream: Arc::clone(&self.stream),
            legs,
            lake: self.table.clone(),
            database_url: self.database_url.clone(),
            runtime: self.runtime.clone(),
            head: Mutex::new(None),
        }
    }

    /// Before the serving leg reads on its own: counts from bronze what Kafka no longer has.
    ///
    /// # Errors
    /// When a store does not answer; nothing was counted then, or all of it.
    pub async fn refill(&self, ready: &Ready, partitions: &[i32]) -> Result<(), NotReady> {
        let serving = |why: String| NotReady::Leg { leg: Leg::Serving, why };
        let (floors, wanted) = (self.floors(ready, Legs::only(Leg::Serving)), partitions.to_vec());
        let config = crate::kafka::client_config(&self.settings.kafka, &self.bootstrap);
        let topic = ready.topic.name.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let floors = floors.read(&wanted).map_err(|e| e.to_string())?;
            let client: BaseConsumer = config.create().map_err(|e| e.to_string())?;
            let mut ranges = BTreeMap::new();
            for (partition, floor) in floors {
                let (low, _) = client.fetch_watermarks(&topic, partition, ASK).map_err(|e| e.to_string())?;
                let from = floor.resolve(low)[Leg::Serving as usize];
                if let Some(to) = floor.bronze.filter(|to| from < low && from < *to) {
                    ranges.insert(partition, (from, to));
                }
            }
            Ok::<_, String>(ranges)
        });
        let ranges = asked.await.map_err(|e| serving(e.to_string()))?.map_err(serving)?;
        if ranges.is_empty() {
            return Ok(());
        }
        refill::refill(&self.stream, ready.incarnation, &self.table, &self.database_url, &ranges)
            .await
            .map_err(|e| NotReady::Leg { leg: Leg::Serving, why: e.to_string() })
    }
}

/// Writes down in bronze's log which incarnation a topic is, and that it was `before`.
///
/// # Errors
/// When the log cannot be written.
pub async fn adopt(log: &mut DeltaLog, topic: &Topic, before: Option<i32>, incarnation: i32) -> Result<i32, NotReady> {
    let app = topic_app(&topic.name, &topic.id);
    let commit = Commit {
        moves: vec![Move { app: app.clone(), expected: before.map(i64::from), next: i64::from(incarnation) }],
        ..Commit::new("ADOPT TOPIC", Kind::Note)
    };
    match log.commit(&commit).await {
        Ok(_) => Ok(incarnation),
        // Another instance was first; what it wrote holds.
        Err(CommitError::Foreign(_)) => log
            .txn(&app)
            .and_then(|n| i32::try_from(n).ok())
            .ok_or_else(|| NotReady::Leg { leg: Leg::Bronze, why: "the topic's incarnation was not written".to_owned() }),
        // The next look at the table says whether it still fits.
        Err(error @ (CommitError::TableChanged(_) | CommitError::Outdated(_))) => {
            Err(NotReady::Leg { leg: Leg::Bronze, why: error.to_string() })
        }
        Err(CommitError::Store(error)) => Err(not_ready_bronze(error)),
    }
}

fn not_ready_bronze(error: LakeError) -> NotReady {
    if error.is_permanent() {
        NotReady::Fatal(error.to_string())
    } else {
        NotReady::Leg { leg: Leg::Bronze, why: error.to_string() }
    }
}

fn not_ready_serving(error: ServingError) -> NotReady {
    if error.is_permanent() {
        NotReady::Fatal(error.to_string())
    } else {
        NotReady::Leg { leg: Leg::Serving, why: error.to_string() }
    }
}
