//! Making records valid that today's declaration calls valid, one stream at a time. A dry run changes nothing and leaves no row.

use std::fmt;

use anyhow::{Context, Result};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};
use sqlx::PgConnection;
use tributary_actors::repair::Stores;
use tributary_actors::repair::letters::Which;
use tributary_actors::repair::replay::{Replayed, Request, replay as revive};

use super::{Refused, Verb, Who, audited};
use crate::words;

/// What a replay of one stream found and did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Replay {
    /// Of which stream.
    pub(crate) stream: String,
    /// Nothing was changed.
    pub(crate) dry_run: bool,
    /// Records that were looked at.
    pub(crate) records: u64,
    /// Those that are valid now, or would be.
    pub(crate) revived: u64,
    /// Those that today's declaration does not call valid either.
    pub(crate) still: Vec<Still>,
    /// Those whose payload bronze does not have: they stay.
    pub(crate) without_payload: u64,
    /// Those that the windows have not passed yet: another time.
    pub(crate) beyond_the_windows: u64,
    /// Commits of bronze.
    pub(crate) commits: u64,
    /// Files written anew.
    pub(crate) files: u64,
    /// Records added to the windows, also by finishing what an earlier replay had left.
    pub(crate) added_to_windows: u64,
}

/// Records that are not valid either now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Still {
    /// Their status.
    pub(crate) status: String,
    /// Why.
    pub(crate) reason: String,
    /// How many.
    pub(crate) records: u64,
}

impl Replay {
    fn new(stream: &str, dry_run: bool, replayed: Replayed) -> Self {
        let still = replayed.still.into_iter().map(|((status, reason), records)| Still { status, reason, records });
        Self {
            stream: stream.to_owned(),
            dry_run,
            records: replayed.records,
            revived: replayed.revived,
            still: still.collect(),
            without_payload: replayed.without_payload,
            beyond_the_windows: replayed.beyond,
            commits: replayed.commits,
            files: replayed.files,
            added_to_windows: replayed.added,
        }
    }
}

impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} records are valid now", self.revived, self.records)
    }
}

/// Replays these records of one stream. `heard` is told after each commit of a real replay. The connection is for the row alone.
pub(crate) async fn replay(
    connection: &mut PgConnection,
    who: &Who,
    at: &Stores,
    request: &Request,
    heard: &(dyn Fn(&Replayed) + Sync),
) -> Result<Replay> {
    let name = &at.stream.name;
    let work = async || -> Result<Replay> {
        can_replay(&request.which)?;
        let replayed = revive(at, request, heard).await.with_context(|| {
            format!("stream {name}: what was committed stays; what the windows still lack comes with the next replay, heal or start of `up`")
        })?;
        Ok(Replay::new(name, request.dry, replayed))
    };
    match request.dry {
        true => work().await,
        false => audited(connection, who, Verb::Replay, name, asked(&request.which), async |_| work().await).await,
    }
}

/// Refuses records that have nothing to be decoded again.
fn can_replay(which: &Which) -> Result<(), Refused> {
    match which.statuses.iter().any(|status| status == "lost" || status == "tombstone") {
        true => Err(Refused::wrong("records that are lost or tombstones have no payload: nothing can make them valid")),
        false => Ok(()),
    }
}

/// Which records, as the row has them: only what was named.
fn asked(which: &Which) -> Value {
    let mut asked = Map::new();
    let mut named = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            asked.insert(name.to_owned(), value);
        }
    };
    let words = |words: &Vec<String>| (!words.is_empty()).then(|| json!(words));
    named("status", words(&which.statuses));
    named("reason", words(&which.reasons));
    named("partition", which.partition.map(Value::from));
    named("incarnation", which.incarnation.map(Value::from));
    named("from_offset", which.from_offset.map(Value::from));
    named("to_offset", which.to_offset.map(Value::from));
    named("from", which.from_us.map(time));
    named("to", which.to_us.map(time));
    Value::Object(asked)
}

fn time(micros: i64) -> Value {
    chrono::DateTime::from_timestamp_micros(micros).map_or(Value::Null, |time| words::rfc3339(time).into())
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;

    #[test]
    fn what_has_no_payload_is_not_replayed() {
        let of = |status: &str| Which { statuses: vec!["invalid".to_owned(), status.to_owned()], ..Which::default() };
        assert_eq!(can_replay(&of("malformed")), Ok(()));
        assert_eq!([can_replay(&of("lost")), can_replay(&of("tombstone"))].map(|r| r.unwrap_err().kind), [Kind::Wrong; 2]);
    }

    #[test]
    fn the_row_says_which_records_were_named() {
        let which = Which { reasons: vec!["not_allowed".into()], partition: Some(3), from_us: Some(0), ..Which::default() };
        assert_eq!(asked(&which), json!({"reason": ["not_allowed"], "partition": 3, "from": "1970-01-01T00:00:00.000Z"}));
        assert_eq!(asked(&Which::default()), json!({}));
    }
}
