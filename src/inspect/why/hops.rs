//! Asking one hop: PostgreSQL, a table of the lake, a topic.

use chrono::{DateTime, Utc};
use serde_json::Value;
use tributary_actors::lake::snapshot::Snapshot;
use tributary_core::stream::Stream;
use tributary_core::table::date_text;

use super::{Behind, Hop, Question};
use crate::audit::broker;
use crate::audit::glance::glance;
use crate::inspect::behind;

/// Newest files of bronze that are looked into for the newest record.
const NEWEST_FILES: usize = 64;

impl Hop {
    pub(super) fn new(store: &'static str, name: &str) -> Self {
        Self {
            store,
            name: name.to_owned(),
            from: Vec::new(),
            version: None,
            at: None,
            run: None,
            rows: None,
            newest_day: None,
            newest_record_at: None,
            behind: Behind::Unknown,
            problem: None,
        }
    }

    fn with_table(mut self, question: &Question<'_>, table: &Snapshot) -> Self {
        self.version = Some(table.version());
        self.at = table.committed_ms().and_then(DateTime::from_timestamp_millis);
        self.rows = Some(table.files().values().filter_map(|file| file.rows).sum());
        self.newest_day = table.files().values().filter_map(|file| file.date).max().map(date_text);
        let makers = question.history.map(|known| known.makers.as_slice()).unwrap_or_default();
        self.run =
            makers.iter().find(|maker| maker.table == self.name && maker.version == table.version()).map(|maker| maker.run);
        self
    }

    fn wrong(mut self, problem: impl std::fmt::Display) -> Self {
        self.problem = Some(problem.to_string());
        self
    }
}

/// A table of PostgreSQL's schema `gold`.
pub(super) async fn postgres(question: &Question<'_>, table: &str, model: &str) -> Hop {
    let mut hop = Hop::new("postgresql", &format!("gold.{table}"));
    hop.from = vec![format!("gold.{model}")];
    let Some(known) = question.history else { return hop.wrong("PostgreSQL cannot be asked") };
    if let Some(counted) = known.tables.iter().find(|counted| counted.name == table) {
        hop.rows = u64::try_from(counted.rows).ok();
        hop.newest_day.clone_from(&counted.newest_day);
    }
    let published = known.published.iter().find(|published| published.is(table));
    if let Some(published) = published {
        hop.version = u64::try_from(published.version).ok();
        (hop.at, hop.run) = (Some(published.published_at), published.run_id);
    }
    let Some(planned) = question.models.planned.iter().find(|planned| planned.model.name == model) else { return hop };
    let lag = async {
        let gold = question.catalog.find(&planned.model.table()).await?;
        behind::publication(planned, gold.as_ref(), published).await
    };
    match lag.await {
        Ok(lag) => hop.behind = Behind::Table(lag),
        Err(error) => return hop.wrong(format!("{error:#}")),
    }
    hop
}

/// A table of the lake, or a topic of Kafka.
pub(super) async fn table(question: &Question<'_>, name: &str) -> Hop {
    let stream_of = |bare: &str| question.streams.iter().find(|stream| stream.name == bare);
    let conflicts = |bare: &str| stream_of(bare.strip_suffix("_conflicts").unwrap_or(bare));
    match name.split_once('.') {
        Some(("gold", model)) => gold(question, name, model).await,
        Some(("silver", bare)) => match conflicts(bare) {
            Some(stream) => silver(question, name, stream).await,
            None => Hop::new("silver", name).wrong("no stream of that name is declared"),
        },
        Some(("bronze", bare)) => match stream_of(bare) {
            Some(stream) => bronze(question, name, stream).await,
            None => Hop::new("bronze", name).wrong("no stream of that name is declared"),
        },
        _ => kafka(question, name).await,
    }
}

async fn gold(question: &Question<'_>, name: &str, model: &str) -> Hop {
    let mut hop = Hop::new("gold", name);
    let table = match question.catalog.find(name).await {
        Ok(table) => table,
        Err(error) => return hop.wrong(format!("{error:#}")),
    };
    if let Some(table) = &table {
        hop = hop.with_table(question, table);
    }
    if let Some(problem) = question.models.broken.get(model) {
        return hop.wrong(problem);
    }
    let Some(planned) = question.models.planned.iter().find(|planned| planned.model.name == model) else {
        return hop.wrong("no model of that name is there any more");
    };
    hop.from.clone_from(&planned.sources);
    let lag = async {
        let mut sources = Vec::new();
        for source in &planned.sources {
            sources.push((source.clone(), question.catalog.find(source).await?));
        }
        behind::gold(planned, &sources, table.as_ref()).await
    };
    match lag.await {
        Ok(lag) => hop.behind = Behind::Table(lag),
        Err(error) => return hop.wrong(format!("{error:#}")),
    }
    hop
}

async fn silver(question: &Question<'_>, name: &str, stream: &Stream) -> Hop {
    let mut hop = Hop::new("silver", name);
    let from = stream.bronze_table();
    hop.from = vec![from.clone()];
    let found = async { anyhow::Ok((question.catalog.find(name).await?, question.catalog.find(&from).await?)) };
    let (silver, bronze) = match found.await {
        Ok(found) => found,
        Err(error) => return hop.wrong(format!("{error:#}")),
    };
    if let Some(silver) = &silver {
        hop = hop.with_table(question, silver);
    }
    // The conflicts' own log moves only when there are some: what silver has not taken, they have not.
    if let (Some(bronze), false) = (bronze, name.ends_with("_conflicts")) {
        hop.behind = Behind::Rows(behind::silver(stream, &bronze, silver.as_ref()).rows());
    }
    hop
}

async fn bronze(question: &Question<'_>, name: &str, stream: &Stream) -> Hop {
    let mut hop = Hop::new("bronze", name);
    hop.from = vec![stream.topic.clone()];
    match question.catalog.find(name).await {
        Ok(Some(table)) => {
            hop = hop.with_table(question, &table);
            hop.newest_record_at = newest_record(&table);
        }
        Ok(None) => {}
        Err(error) => return hop.wrong(format!("{error:#}")),
    }
    if let Some(lag) = glance(question.stores, stream).await.bronze_lag {
        hop.behind = Behind::Rows(u64::try_from(lag).unwrap_or(0));
    }
    hop
}

/// Kafka's time of the newest record in bronze, by the statistics of its newest files.
fn newest_record(table: &Snapshot) -> Option<DateTime<Utc>> {
    let mut files: Vec<_> = table.files().values().collect();
    files.sort_unstable_by_key(|file| std::cmp::Reverse(file.modified_ms));
    let newest = files.into_iter().take(NEWEST_FILES).filter_map(|file| {
        let stats: Value = serde_json::from_str(file.stats.as_deref()?).ok()?;
        DateTime::parse_from_rfc3339(stats.pointer("/maxValues/ingestion_timestamp")?.as_str()?).ok()
    });
    newest.map(|time| time.to_utc()).max()
}

async fn kafka(question: &Question<'_>, topic: &str) -> Hop {
    let mut hop = Hop::new("kafka", topic);
    hop.behind = Behind::Source;
    let Some(brokers) = &question.stores.brokers else { return hop.wrong("no Kafka is configured and none is embedded here") };
    // librdkafka blocks.
    let asked = tokio::task::block_in_place(|| {
        let marks = broker::watermarks(brokers, topic)?;
        let newest = broker::newest_record(brokers, topic, &marks)?;
        let rows: i64 = marks.values().map(|mark| mark.high - mark.low).sum();
        anyhow::Ok((rows, newest))
    });
    match asked {
        Ok((rows, newest)) => {
            hop.rows = u64::try_from(rows).ok();
            hop.newest_record_at = newest.and_then(DateTime::from_timestamp_millis);
            hop
        }
        Err(error) => hop.wrong(format!("{error:#}")),
    }
}
