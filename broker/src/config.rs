//! Settings: of the broker (what the owner of the process decides) and of a topic (what clients may ask for).
//!
//! Promises: a topic setting that this broker cannot honour is refused by name, never accepted and ignored.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// How a broker is started. [`Config::new`] gives the defaults.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the log lives. Created when absent; owned by one broker at a time.
    pub dir: PathBuf,
    /// Where to listen; port 0 picks a free one. Loopback unless [`Config::allow_non_loopback`].
    pub listen: SocketAddr,
    /// Allows an address that other machines can reach, without authentication or TLS.
    pub allow_non_loopback: bool,
    /// Partitions of a topic that is created without saying how many.
    pub default_partitions: i32,
    /// Creates a topic when somebody first asks for it. Off: a mistyped name should be an error.
    pub auto_create_topics: bool,
    /// How long records are kept, for topics that do not say; `None` for ever.
    pub retention_ms: Option<i64>,
    /// How many bytes a partition keeps, for topics that do not say; `None` without limit.
    pub retention_bytes: Option<u64>,
    /// How large a segment grows, for topics that do not say. Retention removes whole segments.
    pub segment_bytes: u64,
    /// How often retention looks.
    pub retention_check_interval: Duration,
    /// How long writes are gathered before one fsync confirms them all.
    pub fsync_interval: Duration,
    /// The largest record batch, for topics that do not say (Kafka's 1 MiB and overhead).
    pub max_message_bytes: usize,
    /// The largest request; a larger one closes the connection.
    pub max_request_bytes: usize,
    /// The most that one fetch returns, whatever the client allows; bounds memory per connection.
    pub max_fetch_bytes: usize,
    /// The shortest session timeout that a group member may ask for.
    pub min_session_timeout: Duration,
    /// How long the committed offsets of an empty group are kept after its last commit.
    pub offsets_retention: Duration,
    /// What to do when durability can no longer be promised.
    pub on_fatal: OnFatal,
}

/// What happens when an fsync fails: what was written may be lost although the next fsync succeeds, so nothing more may
/// be confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFatal {
    /// Log the reason and end the process with exit code 74 (`EX_IOERR`).
    ExitProcess,
    /// Log the reason, close every connection and report through [`crate::Running::failure`].
    StopServing,
}

impl Config {
    /// The defaults: loopback on a free port, 7 days of records, 64 MiB segments, 5 ms of group fsync.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            allow_non_loopback: false,
            default_partitions: 1,
            auto_create_topics: false,
            retention_ms: Some(7 * 24 * 3600 * 1000),
            retention_bytes: None,
            segment_bytes: 64 * 1024 * 1024,
            retention_check_interval: Duration::from_secs(30),
            fsync_interval: Duration::from_millis(5),
            max_message_bytes: 1_048_588,
            max_request_bytes: 100 * 1024 * 1024,
            max_fetch_bytes: 16 * 1024 * 1024,
            min_session_timeout: Duration::from_secs(6),
            offsets_retention: Duration::from_secs(7 * 24 * 3600),
            on_fatal: OnFatal::ExitProcess,
        }
    }
}

/// The settings of one topic in force: what it overrides, over the broker's defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopicConfig {
    pub(crate) overrides: BTreeMap<String, String>,
    pub(crate) retention_ms: Option<i64>,
    pub(crate) retention_bytes: Option<u64>,
    pub(crate) segment_bytes: u64,
    pub(crate) segment_ms: Option<i64>,
    pub(crate) max_message_bytes: usize,
    /// How far in the future a record's time may be.
    pub(crate) timestamp_after_max_ms: i64,
}

/// Kafka's numbers for the type of a setting, as `DescribeConfigs` reports them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text = 2,
    Int = 3,
    Long = 5,
    List = 7,
}

const WEEK_MS: i64 = 7 * 24 * 3600 * 1000;
const HOUR_MS: i64 = 3600 * 1000;

/// Every setting that a topic may have.
pub(crate) const TOPIC_SETTINGS: &[(&str, Kind)] = &[
    ("cleanup.policy", Kind::List),
    ("compression.type", Kind::Text),
    ("max.message.bytes", Kind::Int),
    ("message.timestamp.after.max.ms", Kind::Long),
    ("message.timestamp.type", Kind::Text),
    ("min.insync.replicas", Kind::Int),
    ("retention.bytes", Kind::Long),
    ("retention.ms", Kind::Long),
    ("segment.bytes", Kind::Int),
    ("segment.ms", Kind::Long),
];

impl TopicConfig {
    /// Applies a topic's own settings to the defaults, or says which one cannot be honoured.
    pub(crate) fn new(config: &Config, overrides: BTreeMap<String, String>) -> Result<Self, String> {
        let mut this = Self {
            overrides: BTreeMap::new(),
            retention_ms: config.retention_ms,
            retention_bytes: config.retention_bytes,
            segment_bytes: config.segment_bytes,
            segment_ms: Some(WEEK_MS),
            max_message_bytes: config.max_message_bytes,
            timestamp_after_max_ms: HOUR_MS,
        };
        for (name, value) in &overrides {
            this.set(name, value)?;
        }
        this.overrides = overrides;
        Ok(this)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let number = |least: i64, most: i64| match value.trim().parse::<i64>() {
            Ok(n) if (least..=most).contains(&n) => Ok(n),
            Ok(n) => Err(format!("Invalid value {n} for configuration {name}: must be from {least} to {most}")),
            Err(_) => Err(format!("Invalid value {value} for configuration {name}: not a number")),
        };
        let only = |allowed: &str, why: &str| {
            let same = value.trim() == allowed;
            same.then_some(()).ok_or_else(|| format!("Invalid value {value} for configuration {name}: {why}"))
        };
        let int = i64::from(i32::MAX);
        match name {
            "retention.ms" => self.retention_ms = Some(number(-1, i64::MAX)?).filter(|n| *n >= 0),
            "retention.bytes" => self.retention_bytes = u64::try_from(number(-1, i64::MAX)?).ok(),
            "segment.bytes" => self.segment_bytes = number(1024, int)? as u64,
            "segment.ms" => self.segment_ms = Some(number(1, i64::MAX)?),
            "max.message.bytes" => self.max_message_bytes = number(0, int)? as usize,
            "message.timestamp.after.max.ms" => self.timestamp_after_max_ms = number(0, i64::MAX)?,
            "cleanup.policy" => only("delete", "this broker deletes old segments, it does not compact")?,
            "compression.type" => only("producer", "this broker stores batches as the producer compressed them")?,
            "message.timestamp.type" => only("CreateTime", "this broker keeps the producer's timestamps")?,
            "min.insync.replicas" => only("1", "this broker is a single node")?,
            _ => return Err(format!("Unknown topic config name: {name}")),
        }
        Ok(())
    }

    /// The value in force, as text.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let unlimited = |n: Option<i64>| n.unwrap_or(-1).to_string();
        Some(match name {
            "retention.ms" => unlimited(self.retention_ms),
            "retention.bytes" => unlimited(self.retention_bytes.map(|n| n as i64)),
            "segment.bytes" => self.segment_bytes.to_string(),
            "segment.ms" => unlimited(self.segment_ms),
            "max.message.bytes" => self.max_message_bytes.to_string(),
            "message.timestamp.after.max.ms" => self.timestamp_after_max_ms.to_string(),
            "cleanup.policy" => "delete".into(),
            "compression.type" => "producer".into(),
            "message.timestamp.type" => "CreateTime".into(),
            "min.insync.replicas" => "1".into(),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str, value: &str) -> Result<TopicConfig, String> {
        TopicConfig::new(&Config::new("/nowhere"), BTreeMap::from([(name.into(), value.into())]))
    }

    #[test]
    fn every_setting_reads_back_as_it_was_set() {
        for (name, _) in TOPIC_SETTINGS {
            let value = topic("segment.bytes", "4096").unwrap().get(name).unwrap();
            let set = topic(name, &value).unwrap();
            assert_eq!(set.get(name).unwrap(), value, "{name}");
        }
        assert_eq!(topic("retention.ms", "-1").unwrap().retention_ms, None);
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_by_name() {
        for (name, value) in [
            ("cleanup.policy", "compact"),
            ("retention.ms", "soon"),
            ("segment.bytes", "1"),
            ("min.insync.replicas", "2"),
            ("no.such.setting", "1"),
        ] {
            assert!(topic(name, value).unwrap_err().contains(name), "{name}={value}");
        }
    }
}
