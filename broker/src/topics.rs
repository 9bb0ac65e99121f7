//! The catalogue of topics: names, ids, partitions, settings, and the producer ids that were given out.
//!
//! May assume: changes come from threads that may block. Promises: a change is on disk before anyone is told of it; a
//! topic's id is random and never used again, so a topic that was deleted and created anew is recognisably another one.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use kafka_protocol::ResponseError;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::config::{Config, TopicConfig};
use crate::disk;
use crate::error::Error;
use crate::log::partition::{Partition, State};

const FILE: &str = "topics.json";
/// Producer ids are reserved on disk in blocks, so that most requests for one touch no file.
const PRODUCER_BLOCK: i64 = 1_000;
/// More partitions than this in one request is a mistake, not a plan for one machine.
const MOST_PARTITIONS: i32 = 10_000;

/// A topic as it is now; a change makes a new one.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) id: Uuid,
    pub(crate) partitions: Vec<Arc<Partition>>,
    pub(crate) config: TopicConfig,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedTopic {
    id: Uuid,
    partitions: i32,
    #[serde(default)]
    config: BTreeMap<String, String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Saved {
    topics: BTreeMap<String, SavedTopic>,
    next_producer_id: i64,
}

#[derive(Debug, Default)]
struct Directory {
    by_name: BTreeMap<String, Arc<Topic>>,
    names: HashMap<Uuid, String>,
}

/// All topics.
#[derive(Debug)]
pub(crate) struct Topics {
    dir: PathBuf,
    config: Config,
    current: RwLock<Directory>,
    /// Held for the length of a change: (next producer id to give out, end of the reserved block).
    changing: Mutex<(i64, i64)>,
    sync: fn(&File) -> io::Result<()>,
}

/// A refusal for a client: the code and the sentence beside it.
pub(crate) type Refusal = (ResponseError, String);

impl Topics {
    /// Opens every partition of every topic.
    pub(crate) fn open(config: &Config, clean: bool, sync: fn(&File) -> io::Result<()>, now_ms: i64) -> Result<Self, Error> {
        let path = config.dir.join(FILE);
        let saved: Saved = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| Error::Corrupt {
                path: path.clone(),
                position: e.column() as u64,
                reason: e.to_string(),
            })?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Saved::default(),
            Err(e) => return Err(Error::io("read", &path, e)),
        };
        let dir = config.dir.join("topics");
        disk::create_dirs(&dir).map_err(|e| Error::io("create", &dir, e))?;
        let mut current = Directory::default();
        for (name, t) in saved.topics {
            let config = TopicConfig::new(config, t.config).map_err(Error::Config)?;
            let home = topic_dir(&dir, &name, t.id);
            let partitions = (0..t.partitions)
                .map(|i| Ok(Arc::new(Partition::open(home.join(i.to_string()), clean, sync, now_ms)?)))
                .collect::<Result<_, Error>>()?;
            current.insert(Topic { name, id: t.id, partitions, config });
        }
        current.remove_strays(&dir);
        let next = saved.next_producer_id;
        let (current, changing) = (RwLock::new(current), Mutex::new((next, next)));
        Ok(Self { dir, config: config.clone(), current, changing, sync })
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Directory> {
        self.current.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> MutexGuard<'_, (i64, i64)> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<Topic>> {
        self.read().by_name.get(name).cloned()
    }

    pub(crate) fn by_id(&self, id: Uuid) -> Option<Arc<Topic>> {
        let current = self.read();
        current.names.get(&id).and_then(|name| current.by_name.get(name)).cloned()
    }

    /// All topics, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Topic>> {
        self.read().by_name.values().cloned().collect()
    }

    /// Creates a topic, or with `dry` only says whether it could be.
    pub(crate) fn create(
        &self,
        name: &str,
        partitions: i32,
        settings: BTreeMap<String, String>,
        dry: bool,
    ) -> Result<Arc<Topic>, Refusal> {
        check_name(name)?;
        let count = if partitions == -1 { self.config.default_partitions } else { partitions };
        check_count(count)?;
        let config = TopicConfig::new(&self.config, settings).map_err(|e| (ResponseError::InvalidConfig, e))?;
        let changing = self.change();
        if self.get(name).is_some() {
            return Err((ResponseError::TopicAlreadyExists, format!("Topic '{name}' already exists.")));
        }
        let id = Uuid::new_v4();
        let home = topic_dir(&self.dir, name, id);
        let partitions = self.empty_partitions(&home, 0, count);
        let topic = Arc::new(Topic { name: name.to_owned(), id, partitions, config });
        if !dry {
            self.commit(&changing, |d| d.insert_arc(topic.clone()))?;
        }
        Ok(topic)
    }

    fn empty_partitions(&self, home: &Path, from: i32, to: i32) -> Vec<Arc<Partition>> {
        let partition = |i: i32| Partition::new(home.join(i.to_string()), State::empty(), self.sync);
        (from..to).map(|i| Arc::new(partition(i))).collect()
    }

    /// Grows a topic to `count` partitions.
    pub(crate) fn grow(&self, name: &str, count: i32, dry: bool) -> Result<(), Refusal> {
        let changing = self.change();
        let old = self.get(name).ok_or_else(|| unknown(name))?;
        let have = old.partitions.len() as i32;
        if count <= have {
            let why = format!("Topic currently has {have} partitions, {count} would not be an increase.");
            return Err((ResponseError::InvalidPartitions, why));
        }
        check_count(count)?;
        let mut partitions = old.partitions.clone();
        partitions.extend(self.empty_partitions(&topic_dir(&self.dir, name, old.id), have, count));
        let topic = Topic { name: name.to_owned(), id: old.id, partitions, config: old.config.clone() };
        if dry { Ok(()) } else { self.commit(&changing, |d| d.insert(topic)) }
    }

    /// Replaces a topic's own settings by what `edit` makes of them.
    pub(crate) fn configure(
        &self,
        name: &str,
        dry: bool,
        edit: impl FnOnce(&mut BTreeMap<String, String>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let changing = self.change();
        let old = self.get(name).ok_or_else(|| unknown(name))?;
        let mut settings = old.config.overrides.clone();
        edit(&mut settings)?;
        let config = TopicConfig::new(&self.config, settings).map_err(|e| (ResponseError::InvalidConfig, e))?;
        let topic = Topic { name: name.to_owned(), id: old.id, partitions: old.partitions.clone(), config };
        if dry { Ok(()) } else { self.commit(&changing, |d| d.insert(topic)) }
    }

    /// Deletes a topic. Its files go after its name; what a crash leaves of them goes at the next start.
    pub(crate) fn delete(&self, name: &str) -> Result<Arc<Topic>, Refusal> {
        let changing = self.change();
        let topic = self.get(name).ok_or_else(|| unknown(name))?;
        self.commit(&changing, |d| d.remove(name))?;
        for partition in &topic.partitions {
            partition.mark_deleted();
        }
        let home = topic_dir(&self.dir, name, topic.id);
        if let Err(e) = fs::remove_dir_all(&home)
            && e.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(dir = %home.display(), error = %e, "the files of a deleted topic stay until the next start");
        }
        Ok(topic)
    }

    /// A producer id that was never given out before.
    pub(crate) fn new_producer_id(&self) -> Result<i64, Refusal> {
        let mut next = self.change();
        if next.0 == next.1 {
            let reserved = next.1 + PRODUCER_BLOCK;
            self.save(&self.read(), reserved)?;
            next.1 = reserved;
        }
        next.0 += 1;
        Ok(next.0 - 1)
    }

    /// Writes the directory as `edit` makes it, then shows it.
    fn commit(&self, next: &(i64, i64), edit: impl FnOnce(&mut Directory)) -> Result<(), Refusal> {
        let mut edited = {
            let current = self.read();
            Directory { by_name: current.by_name.clone(), names: current.names.clone() }
        };
        edit(&mut edited);
        self.save(&edited, next.1)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = edited;
        Ok(())
    }

    fn save(&self, directory: &Directory, next_producer_id: i64) -> Result<(), Refusal> {
        let saved =
            |t: &Arc<Topic>| SavedTopic { id: t.id, partitions: t.partitions.len() as i32, config: t.config.overrides.clone() };
        let topics = directory.by_name.iter().map(|(name, t)| (name.clone(), saved(t))).collect();
        serde_json::to_vec_pretty(&Saved { topics, next_producer_id })
            .map_err(io::Error::other)
            .and_then(|json| disk::write_atomic(&self.config.dir.join(FILE), &json))
            .map_err(|e| {
                tracing::error!(error = %e, "the catalogue of topics could not be written");
                (ResponseError::KafkaStorageError, format!("the catalogue could not be written: {e}"))
            })
    }
}

impl Directory {
    fn insert(&mut self, topic: Topic) {
        self.insert_arc(Arc::new(topic));
    }

    fn insert_arc(&mut self, topic: Arc<Topic>) {
        self.names.insert(topic.id, topic.name.clone());
        self.by_name.insert(topic.name.clone(), topic);
    }

    fn remove(&mut self, name: &str) {
        if let Some(topic) = self.by_name.remove(name) {
            self.names.remove(&topic.id);
        }
    }

    /// Removes folders of topics that were deleted while the process died.
    fn remove_strays(&self, dir: &Path) {
        let known: Vec<PathBuf> = self.by_name.values().map(|t| topic_dir(dir, &t.name, t.id)).collect();
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            if !known.contains(&entry.path()) {
                tracing::info!(dir = %entry.path().display(), "removing what a deleted topic left");
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

fn topic_dir(dir: &Path, name: &str, id: Uuid) -> PathBuf {
    dir.join(format!("{name}@{}", id.simple()))
}

fn unknown(name: &str) -> Refusal {
    (ResponseError::UnknownTopicOrPartition, format!("There is no topic '{name}'."))
}

fn check_name(name: &str) -> Result<(), Refusal> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > 249 || name == "." || name == ".." || !name.chars().all(legal) {
        let why = format!("Topic name '{name}' is illegal: 1 to 249 of ASCII letters, digits, '.', '_' and '-'.");
        return Err((ResponseError::InvalidTopicException, why));
    }
    Ok(())
}

fn check_count(count: i32) -> Result<(), Refusal> {
    if (1..=MOST_PARTITIONS).contains(&count) {
        return Ok(());
    }
    let why = format!("Number of partitions must be from 1 to {MOST_PARTITIONS}, not {count}.");
    Err((ResponseError::InvalidPartitions, why))
}
