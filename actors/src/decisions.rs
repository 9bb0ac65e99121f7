//! What a person decides when the pipeline will not: take a topic as a new one, or go on behind records that are lost.
//!
//! Both are written where the pipeline looks: bronze's log and PostgreSQL's offsets. A running pipeline sees them within seconds, a
//! stopped one at its next start. Both refuse to guess: what they would overwrite is compared first.

use std::collections::BTreeMap;
use std::sync::Arc;

use rdkafka::consumer::{BaseConsumer, Consumer};
use tributary_core::decode::lost_row;
use tributary_core::span::Span;

use crate::kafka::topic::{self, Topic};
use crate::kafka::{ASK, KafkaError, client_config};
use crate::lake::delta_log::{Commit, CommitError, DeltaLog, Kind, Move};
use crate::lake::encoder::{EncodeError, Encoder};
use crate::lake::offsets::{Known, ingest_app, known};
use crate::lake::{LakeError, files, table};
use crate::line::{Line, NotReady, adopt as write_adoption};
use crate::serving::offsets::{Skip, record_incarnation, skip as skip_windows};
use crate::serving::{self, ServingError};

/// Why a decision was not written.
#[derive(Debug, thiserror::Error)]
pub enum Undecided {
    /// Kafka.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// The lake.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// PostgreSQL.
    #[error(transparent)]
    Serving(#[from] ServingError),
    /// The log.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The row that stands for the loss.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The topic cannot be identified.
    #[error(transparent)]
    NotReady(#[from] NotReady),
    /// There is nothing to decide, or something else to do first.
    #[error("{0}")]
    Nothing(String),
}

/// What was adopted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// The topic, with its id.
    pub topic: Topic,
    /// What it counts as from now on.
    pub incarnation: i32,
    /// It is the topic that the stores have the beginning of already: what it still holds of that is there twice from now on.
    pub again: bool,
}

/// Takes the topic that is there now as the next incarnation: it begins at its oldest record, beside what the stores have. A topic that
/// the stores know is refused unless Kafka has less of it than they: everything in it would count twice.
///
/// # Errors
/// See [`Undecided`].
pub async fn adopt(line: &Line) -> Result<Adopted, Undecided> {
    let (topic, mut log) = open(line).await?;
    let (before, incarnation) = match known(&log, &topic.name, &topic.id) {
        Known::Nothing => (None, 1),
        Known::Another(n) => (None, n + 1),
        Known::As(n) if is_short(line, &topic, &log, n).await? => (Some(n), n + 1),
        Known::As(n) => {
            return Err(Undecided::Nothing(format!(
                "topic {} is the one that the stores know, incarnation {n}, and Kafka has all that they took: there is nothing to adopt",
                topic.name
            )));
        }
    };
    let incarnation = write_adoption(&mut log, &topic, before, incarnation).await?;
    let mut connection = serving::connect(&line.database_url).await?;
    record_incarnation(&mut connection, &topic.name, &topic.id, incarnation).await?;
    Ok(Adopted { topic, incarnation, again: before.is_some() })
}

/// Whether Kafka ends before what a store has of the topic: it lost data, or an older copy was put in its place.
async fn is_short(line: &Line, topic: &Topic, log: &DeltaLog, incarnation: i32) -> Result<bool, Undecided> {
    let mut connection = serving::connect(&line.database_url).await?;
    let windows = serving::offsets::read(&mut connection, &line.stream.name, incarnation).await?;
    let partitions: Vec<i32> = (0..topic.partitions).collect();
    Ok(watermarks(line, topic, &partitions).await?.into_iter().any(|(partition, (_, high))| {
        let bronze = log.txn(&ingest_app(&topic.name, incarnation, partition));
        bronze.max(windows.get(&partition).copied()).is_some_and(|next| next > high)
    }))
}

/// One partition that was moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Kafka partition.
    pub partition: i32,
    /// What bronze lost: `[from, to)`.
    pub bronze: Option<(i64, i64)>,
    /// What the windows lost: `[from, to)`.
    pub serving: Option<(i64, i64)>,
}

/// Goes on behind what Kafka no longer has, in one partition or in all that lost something. The loss becomes a row of bronze with
/// status `lost`, and a row of `ops.lost_ranges`.
///
/// # Errors
/// See [`Undecided`]; what was moved before the error stays moved.
pub async fn skip(line: &Line, only: Option<i32>) -> Result<Vec<Skipped>, Undecided> {
    let (topic, mut log) = open(line).await?;
    let Known::As(incarnation) = known(&log, &topic.name, &topic.id) else {
        let words = format!("topic {} was recreated: first say `tributary topic adopt {}`", topic.name, line.stream.name);
        return Err(Undecided::Nothing(words));
    };
    let partitions: Vec<i32> = only.map_or_else(|| (0..topic.partitions).collect(), |p| vec![p]);
    let kafka = watermarks(line, &topic, &partitions).await?;
    let mut connection = serving::connect(&line.database_url).await?;
    let windows = serving::offsets::read(&mut connection, &line.stream.name, incarnation).await?;
    let mut skipped = Vec::new();
    for (partition, (low, _)) in kafka {
        let app = ingest_app(&topic.name, incarnation, partition);
        let bronze = log.txn(&app).filter(|from| *from < low);
        if let Some(from) = bronze {
            lose(line, &mut log, incarnation, Span { partition, epoch: 0, from, to: low, floor: [0; 2] }, app).await?;
        }
        // Windows are only moved over what bronze does not have either: the rest they refill from there.
        let serving = windows.get(&partition).copied().filter(|from| *from < low && bronze.is_some_and(|b| b <= *from));
        if let Some(from) = serving {
            let step = Skip { partition, from, to: low };
            if !skip_windows(&mut connection, &line.stream.name, incarnation, step, "Kafka no longer had it").await? {
                return Err(Undecided::Nothing(format!("partition {partition}: the windows have moved meanwhile; look again")));
            }
        }
        if bronze.is_some() || serving.is_some() {
            skipped.push(Skipped { partition, bronze: bronze.map(|f| (f, low)), serving: serving.map(|f| (f, low)) });
        }
    }
    if skipped.is_empty() {
        return Err(Undecided::Nothing("nothing is lost: every partition goes on at a record that Kafka has".to_owned()));
    }
    Ok(skipped)
}

async fn open(line: &Line) -> Result<(Topic, DeltaLog), Undecided> {
    let settings = &line.settings.kafka;
    let found = topic::find(settings, &line.bootstrap, &line.stream.topic).await?;
    let topic = found.ok_or_else(|| Undecided::Nothing(format!("there is no topic {}", line.stream.topic)))?;
    let (store, stream) = (line.table.clone(), Arc::clone(&line.stream));
    let ensured = line.runtime.spawn(async move { table::ensure(&store, &stream).await });
    ensured.await.map_err(|e| Undecided::Nothing(e.to_string()))??;
    serving::prepare(&line.database_url, &line.stream).await?;
    Ok((topic, DeltaLog::open(line.table.clone()).await?))
}

async fn watermarks(line: &Line, topic: &Topic, partitions: &[i32]) -> Result<BTreeMap<i32, (i64, i64)>, Undecided> {
    let config = client_config(&line.settings.kafka, &line.bootstrap);
    let (name, partitions) = (topic.name.clone(), partitions.to_vec());
    let asked = tokio::task::spawn_blocking(move || {
        let client: BaseConsumer = config.create().map_err(|e| KafkaError::client("connecting to Kafka", e))?;
        partitions
            .into_iter()
            .map(|p| {
                let doing = || format!("asking for the watermarks of partition {p}");
                client.fetch_watermarks(&name, p, ASK).map(|marks| (p, marks)).map_err(|e| KafkaError::client(doing(), e))
            })
            .collect::<Result<BTreeMap<i32, (i64, i64)>, KafkaError>>()
    });
    Ok(asked.await.map_err(|e| Undecided::Nothing(e.to_string()))??)
}

/// One row for the range, in the commit that moves the offset over it.
async fn lose(line: &Line, log: &mut DeltaLog, incarnation: i32, span: Span, app: String) -> Result<(), Undecided> {
    let now = chrono::Utc::now().timestamp_millis();
    let row = lost_row(&line.stream, incarnation, span.partition, span.from, span.to, Some(now));
    let mut encoder = Encoder::new(Arc::clone(&line.stream));
    encoder.write(&row.rows)?;
    let files = encoder.finish()?;
    let paths: Vec<String> = files.iter().map(|f| files::new_path(f.date)).collect();
    files::put(&line.table, files.iter().zip(&paths)).await?;
    let commit = Commit {
        adds: files.iter().zip(&paths).map(|(file, path)| files::add(file, path, incarnation, &[span])).collect(),
        moves: vec![Move { app, expected: Some(span.from), next: span.to }],
        ..Commit::new("SKIP LOST OFFSETS", Kind::Append)
    };
    log.commit(&commit).await?;
    Ok(())
}
