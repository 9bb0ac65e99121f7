//! What is wrong here, and what to do about it: one check for each thing that has to be as it is assumed to be.
//!
//! For `tributary doctor` and the console, which both show what [`examine`] returns. Assumes nothing about what runs: whatever a check
//! meets is a finding. Promises that a check changes nothing (no folder, no topic, no table), that each ends within its own time limit,
//! and that one that is stuck holds up no other.
//!
//! - [`up`], [`declarations`], [`machine`], [`ports`] (with [`sockets`]): this machine and this installation.
//! - [`kafka`], [`postgres`], [`lake`]: the stores. [`results`]: what jobs came to. [`prometheus`], [`grafana`]: who watches.
//! - [`bundle`], [`secrets`]: the same and more in one file, for whoever is asked for help.

pub(crate) mod bundle;
mod declarations;
mod grafana;
mod kafka;
mod lake;
mod machine;
mod ports;
mod postgres;
mod prometheus;
mod results;
mod secrets;
mod sockets;
mod up;

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::FutureExt;
use futures::future::join_all;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use tributary_core::settings::Settings;
use tributary_core::settings::layers::Loaded;
use tributary_core::stream::Stream;

use crate::cli::page;
use crate::embedded::run_file::RunFile;

/// What is examined.
#[derive(Debug, Clone)]
pub(crate) struct Patient {
    /// The settings, with the addresses of a running `up` filled in.
    pub(crate) settings: Settings,
    /// The settings as they were given, and by whom.
    pub(crate) loaded: Loaded,
    /// The streams; none when they cannot be read.
    pub(crate) streams: Vec<Stream>,
    /// Why they cannot.
    pub(crate) streams_problem: Option<String>,
    /// The data folder, from the root.
    pub(crate) data_dir: PathBuf,
    /// What the `up` with that folder says of itself, if one runs.
    pub(crate) running: Option<RunFile>,
    /// `GRAFANA_URL`; none: looked for where compose puts it.
    pub(crate) grafana: Option<String>,
}

/// How something is. The order is that of gravity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// It does not apply here, or cannot be known.
    Skipped,
    /// As it should be.
    Ok,
    /// It works, and somebody should know.
    Warn,
    /// It does not work, or will not.
    Bad,
}

/// What a check is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Group {
    /// The running process.
    Up,
    /// Settings, streams, jobs, models.
    Config,
    /// Who listens where we want to.
    Ports,
    /// Kafka and its topics.
    Kafka,
    /// PostgreSQL.
    Postgresql,
    /// The Delta tables.
    Lake,
    /// Prometheus.
    Prometheus,
    /// Grafana.
    Grafana,
    /// Memory and passwords.
    Machine,
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "Up",
            Self::Config => "Configuration",
            Self::Ports => "Ports",
            Self::Kafka => "Kafka",
            Self::Postgresql => "PostgreSQL",
            Self::Lake => "Lake",
            Self::Prometheus => "Prometheus",
            Self::Grafana => "Grafana",
            Self::Machine => "Memory and passwords",
        })
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Check {
    /// What was looked at.
    pub(crate) name: &'static str,
    /// What it is about.
    pub(crate) group: Group,
    /// How it is.
    pub(crate) state: State,
    /// What was found, in plain words.
    pub(crate) found: String,
    /// What to do about it, in one line.
    pub(crate) fix: Option<String>,
    /// Where there is more to read: a file of this repository and a heading.
    pub(crate) docs: Option<&'static str>,
    /// How long the look took, in milliseconds.
    pub(crate) took_ms: u64,
}

/// All that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Report {
    /// The gravest state of all.
    pub(crate) state: State,
    /// When it was looked.
    pub(crate) checked_at: String,
    /// Of this program.
    pub(crate) version: &'static str,
    /// Group by group.
    pub(crate) checks: Vec<Check>,
}

impl Report {
    /// What these checks add up to.
    pub(crate) fn of(checks: Vec<Check>) -> Self {
        // Nothing that applies is nothing that is wrong.
        let state = checks.iter().map(|check| check.state).max().unwrap_or(State::Ok).max(State::Ok);
        Self { state, checked_at: crate::words::rfc3339(chrono::Utc::now()), version: env!("CARGO_PKG_VERSION"), checks }
    }
}

/// Looks at everything, group beside group. Takes as long as the slowest of them: a quarter of a minute at most.
pub(crate) async fn examine(patient: &Patient) -> Vec<Check> {
    let groups = join_all([
        up::checks(patient).boxed_local(),
        declarations::checks(patient).boxed_local(),
        ports::checks(patient).boxed_local(),
        kafka::checks(patient).boxed_local(),
        postgres::checks(patient).boxed_local(),
        results::checks(patient).boxed_local(),
        lake::checks(patient).boxed_local(),
        prometheus::checks(patient).boxed_local(),
        grafana::checks(patient).boxed_local(),
        machine::checks(patient).boxed_local(),
    ]);
    groups.await.into_iter().flatten().collect()
}

/// That the settings could not be read, so that nothing else could be looked at.
pub(crate) fn unreadable(mistakes: &str) -> Check {
    let found = format!("the settings cannot be read, so nothing else was looked at: {mistakes}");
    let finding = Finding::bad(found, "correct what is named; `tributary config names` lists every setting");
    finding.docs("docs/RUN.md#settings").into_check(Group::Config, "settings", Duration::ZERO)
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    state: State,
    found: String,
    fix: Option<String>,
    docs: Option<&'static str>,
}

impl Finding {
    fn ok(found: impl Into<String>) -> Self {
        Self { state: State::Ok, found: found.into(), fix: None, docs: None }
    }

    fn skipped(why: impl Into<String>) -> Self {
        Self { state: State::Skipped, found: why.into(), fix: None, docs: None }
    }

    fn warn(found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { state: State::Warn, found: found.into(), fix: Some(fix.into()), docs: None }
    }

    fn bad(found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { state: State::Bad, ..Self::warn(found, fix) }
    }

    /// Where there is more to read, unless all is well.
    fn docs(mut self, place: &'static str) -> Self {
        self.docs = (self.state > State::Ok).then_some(place);
        self
    }

    fn into_check(self, group: Group, name: &'static str, took: Duration) -> Check {
        let Self { state, found, fix, docs } = self;
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        Check { name, group, state, found: one_line(&found), fix: fix.as_deref().map(one_line), docs, took_ms }
    }
}

/// Whatever other programs say, a finding is one line.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Does the look within its time.
async fn check(group: Group, name: &'static str, limit: Duration, look: impl Future<Output = Finding>) -> Check {
    let began = Instant::now();
    let finding = match tokio::time::timeout(limit, AssertUnwindSafe(look).catch_unwind()).await {
        Ok(Ok(finding)) => finding,
        // What it broke is dropped with it. The panic itself is on stderr.
        Ok(Err(_)) => defect("it panicked"),
        Err(_) => {
            let found = format!("no answer within {}", crate::words::duration(limit));
            Finding::bad(found, "see whether it is overloaded or cannot be reached from here, then ask again")
        }
    };
    finding.into_check(group, name, began.elapsed())
}

fn defect(error: impl fmt::Display) -> Finding {
    Finding::bad(format!("the check itself failed: {error}"), "please report this, with `tributary debug bundle`")
}

/// The same for a look that blocks its thread. A thread that is still busy when the time is over is left behind.
async fn check_blocking(
    group: Group,
    name: &'static str,
    limit: Duration,
    look: impl FnOnce() -> Finding + Send + 'static,
) -> Check {
    let looking = tokio::task::spawn_blocking(look);
    check(group, name, limit, async { looking.await.unwrap_or_else(defect) }).await
}

/// Asks a page, without holding up the thread.
async fn page(listens: &str, path: &str) -> Result<(u16, String)> {
    let (listens, path) = (listens.to_owned(), path.to_owned());
    tokio::task::spawn_blocking(move || page::get(&listens, &path)).await.context("the question was cut off")?
}

/// The same for a page of JSON.
async fn json_page(listens: &str, path: &str) -> Result<(u16, Value)> {
    let (status, body) = page(listens, path).await?;
    Ok((status, serde_json::from_str(&body).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_look_that_is_stuck_is_bad_after_its_time_and_one_that_panics_is_said_to_be_a_defect() {
        let stuck = check(Group::Lake, "x", Duration::from_millis(10), std::future::pending()).await;
        assert_eq!((stuck.state, stuck.found.as_str()), (State::Bad, "no answer within 10 ms"));
        let broken = [
            check_blocking(Group::Lake, "x", Duration::from_secs(5), || panic!("ouch")).await,
            check(Group::Lake, "x", Duration::from_secs(5), async { panic!("ouch") }).await,
        ];
        for check in broken {
            assert!(check.state == State::Bad && check.found.contains("the check itself failed"), "{check:?}");
        }
    }

    #[test]
    fn a_report_is_as_grave_as_its_gravest_check_and_skips_are_fine() {
        let of = |findings: &[Finding]| {
            Report::of(findings.iter().map(|f| f.clone().into_check(Group::Up, "x", Duration::ZERO)).collect()).state
        };
        assert_eq!(of(&[]), State::Ok);
        assert_eq!(of(&[Finding::skipped("no")]), State::Ok);
        assert_eq!(of(&[Finding::ok("yes"), Finding::warn("hm", "look")]), State::Warn);
        assert_eq!(of(&[Finding::bad("no", "mend it"), Finding::warn("hm", "look")]), State::Bad);
    }

    #[test]
    fn a_finding_is_one_line_and_names_documents_only_when_something_is_wrong() {
        let check = Finding::bad("a\n  b", "c\nd").docs("docs/RUN.md#settings").into_check(Group::Up, "x", Duration::ZERO);
        assert_eq!((check.found.as_str(), check.fix.as_deref(), check.docs), ("a b", Some("c d"), Some("docs/RUN.md#settings")));
        assert_eq!(Finding::ok("a").docs("docs/RUN.md#settings").docs, None);
    }
}
