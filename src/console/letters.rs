//! Which dead letters somebody means, as a form, an address, a command and a call say it; and replaying them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Map, json};
use tributary_actors::repair::letters::Which;
use tributary_actors::repair::replay::{Request, Slices};

use super::asked::Asked;
use super::failure::Failure;
use super::shared::Shared;
use super::{encoded, rows, shell_word};
use crate::acts::{self, Replay, Via, Who};
use crate::inspect::letters::statuses;
use crate::words;

/// How long somebody waits for a replay. It goes on without them.
const PATIENCE: Duration = Duration::from_secs(45);
/// How long a preview may read.
const PREVIEW: Duration = Duration::from_secs(40);

/// Which records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// None: all streams.
    pub(crate) stream: Option<String>,
    /// None: all.
    pub(crate) statuses: Vec<String>,
    /// None: all.
    pub(crate) reasons: Vec<String>,
}

impl Filter {
    /// As people write it: several with commas between them.
    pub(crate) fn of(stream: Option<&str>, status: Option<&str>, reason: Option<&str>) -> Result<Self, Failure> {
        let list = |words: Option<&str>| {
            let words = words.into_iter().flat_map(|words| words.split(',')).map(str::trim);
            words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
        };
        Self { stream: stream.map(str::to_owned), statuses: list(status), reasons: list(reason) }.checked()
    }

    /// Refuses a status that no such record has.
    pub(crate) fn checked(self) -> Result<Self, Failure> {
        match self.statuses.iter().find(|status| !statuses().any(|one| one == *status)) {
            Some(status) => Err(Failure::wrong(words::unknown("status", status, statuses()))),
            None => Ok(self),
        }
    }

    pub(crate) fn which(&self) -> Which {
        Which { statuses: self.statuses.clone(), reasons: self.reasons.clone(), ..Which::default() }
    }

    /// Whether all records are meant.
    pub(crate) fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// As a form has it.
    pub(crate) fn words(&self) -> Vec<(&'static str, String)> {
        let all = [
            ("stream", self.stream.clone().unwrap_or_default()),
            ("status", self.statuses.join(",")),
            ("reason", self.reasons.join(",")),
        ];
        all.into_iter().filter(|(_, word)| !word.is_empty()).collect()
    }

    /// Of the page that shows these.
    pub(crate) fn address(&self) -> String {
        format!("/deadletters{}", self.query())
    }

    /// Behind an address, with its mark.
    pub(crate) fn query(&self) -> String {
        let words: Vec<String> = self.words().into_iter().map(|(name, word)| format!("{name}={}", encoded(&word))).collect();
        let mark = if words.is_empty() { "" } else { "?" };
        format!("{mark}{}", words.join("&"))
    }

    /// As the command line has it, with a space before.
    pub(crate) fn flags(&self) -> String {
        self.words().into_iter().map(|(name, word)| format!(" --{name} {}", shell_word(&word))).collect()
    }

    /// As the API has it.
    pub(crate) fn body(&self, dry_run: bool) -> String {
        let mut body = Map::new();
        if let Some(stream) = &self.stream {
            body.insert("stream".into(), json!(stream));
        }
        for (name, words) in [("status", &self.statuses), ("reason", &self.reasons)] {
            if !words.is_empty() {
                body.insert(name.into(), json!(words));
            }
        }
        body.insert("dry_run".into(), json!(dry_run));
        serde_json::Value::Object(body).to_string()
    }
}

/// Replays them, stream by stream; dry, it only says what would come of it. A real one goes to its end even when nobody waits any more,
/// and leaves a row for each stream.
pub(crate) async fn replay(asked: &Asked, filter: &Filter, dry: bool, via: Via) -> Result<Vec<Replay>> {
    let shared: &Arc<Shared> = &asked.shared;
    let stores = rows::stores(shared, filter.stream.as_deref())?;
    let who = Who { person: asked.person.clone(), via };
    let request = Request { which: filter.which(), dry, slices: Slices::default() };
    let here = Arc::clone(shared);
    let work = shared.ask(move |connection| {
        Box::pin(async move {
            let _turn = here.turn().await?;
            let all = async {
                let mut done = Vec::with_capacity(stores.len());
                for at in &stores {
                    done.push(acts::replay(connection, &who, at, &request, &|_| {}).await?);
                }
                anyhow::Ok(done)
            };
            let done = match dry {
                true => tokio::time::timeout(PREVIEW, all).await.unwrap_or_else(|_| {
                    let words = format!(
                        "the preview did not end within {}; choose a stream, a status or a reason",
                        words::duration(PREVIEW)
                    );
                    Err(Failure::late(words).into())
                }),
                false => all.await,
            };
            if !dry {
                here.letters.forget();
            }
            done
        })
    });
    let waited = tokio::time::timeout(PATIENCE, work).await;
    waited.unwrap_or_else(|_| Err(Failure::late("the replay is still under way and goes on; /activity shows how it ends").into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_said_the_same_everywhere() {
        let filter = Filter::of(Some("orders"), Some("invalid, malformed"), Some("it's")).unwrap();
        assert_eq!(filter.flags(), " --stream orders --status 'invalid,malformed' --reason 'it'\\''s'");
        assert_eq!(filter.address(), "/deadletters?stream=orders&status=invalid%2Cmalformed&reason=it%27s");
        let body = filter.body(true);
        let read: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(read, json!({"stream": "orders", "status": ["invalid", "malformed"], "reason": ["it's"], "dry_run": true}));
        assert!(Filter::of(None, None, None).unwrap().is_all());
    }

    #[test]
    fn a_status_that_no_such_record_has_is_refused_with_those_that_there_are() {
        let failure = Filter::of(None, Some("ok"), None).unwrap_err();
        assert!(failure.status == 400 && failure.words.contains("malformed"), "{failure}");
    }
}
