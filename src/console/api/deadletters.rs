//! Calls about records that are not valid: how many, what was in them, and making valid what a corrected declaration accepts.

use anyhow::Result;
use schemars::JsonSchema;
use serde::Deserialize;

use super::super::asked::Asked;
use super::super::failure::Failure;
use super::super::letters::{Filter, replay};
use super::super::rows;
use super::operation::{Operation, get, post, within};
use crate::acts::{Replay, Via};
use crate::inspect::letters::{Counted, Letter};

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get(
            (
                "/deadletters",
                "deadLetters",
                "How many records are not valid, by stream, status and reason, with the newest of each; some seconds old at most",
                "tributary deadletters list --json",
            ),
            counts,
        ),
        get(
            (
                "/deadletters/sample",
                "deadLettersSample",
                "The newest records that are not valid, of each stream, with their payload",
                "tributary deadletters show -n N --json",
            ),
            sample,
        ),
        post(
            (
                "/deadletters/replay",
                "replayDeadLetters",
                "Makes those records valid that today's declaration calls valid; dry, it says how many that would be",
                "tributary deadletters replay --dry-run --json",
            ),
            again,
        ),
    ]
}

/// Which records: those that are in all of these.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Which {
    /// Of this stream alone.
    stream: Option<String>,
    /// Of these statuses, with commas between them.
    status: Option<String>,
    /// With these reasons, with commas between them.
    reason: Option<String>,
}

async fn counts(asked: Asked, which: Which) -> Result<Vec<Counted>> {
    let filter = Filter::of(which.stream.as_deref(), which.status.as_deref(), which.reason.as_deref())?;
    let counted = rows::counts(&asked.shared, filter.stream.as_deref(), filter.which()).await?;
    match counted.as_ref() {
        Ok(counted) => Ok(counted.clone()),
        Err(problem) => Err(Failure::late(problem.clone()).into()),
    }
}

/// Which records, and how many.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Sample {
    /// Of this stream alone.
    stream: Option<String>,
    /// Of these statuses, with commas between them.
    status: Option<String>,
    /// With these reasons, with commas between them.
    reason: Option<String>,
    /// At most so many of each stream.
    #[schemars(range(min = 1, max = 100))]
    limit: Option<u32>,
}

async fn sample(asked: Asked, which: Sample) -> Result<Vec<Letter>> {
    let filter = Filter::of(which.stream.as_deref(), which.status.as_deref(), which.reason.as_deref())?;
    let limit = within(which.limit, 10, 100)?;
    rows::samples(&asked.shared, filter.stream.as_deref(), filter.which(), limit as usize).await
}

/// Which records are made valid.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Again {
    /// Of this stream alone.
    stream: Option<String>,
    /// Of these statuses; empty: all.
    #[serde(default)]
    status: Vec<String>,
    /// With these reasons; empty: all.
    #[serde(default)]
    reason: Vec<String>,
    /// Change nothing.
    #[serde(default)]
    dry_run: bool,
}

async fn again(asked: Asked, again: Again) -> Result<Vec<Replay>> {
    if !again.dry_run {
        asked.may_act()?;
    }
    let filter = Filter { stream: again.stream, statuses: again.status, reasons: again.reason }.checked()?;
    replay(&asked, &filter, again.dry_run, Via::Api).await
}
