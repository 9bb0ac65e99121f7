//! Calls that show how things are as a whole: the streams, the settings, what people did.

use anyhow::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tributary_actors::board::{Board, StreamState};
use tributary_actors::serving::actions::{self, Action};

use super::super::asked::Asked;
use super::operation::{Nothing, Operation, get, within};
use crate::doctor::Report;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get(
            ("/status", "status", "The streams that this process reads, and how far each store is", "tributary status --json"),
            status,
        ),
        get(
            (
                "/settings",
                "settings",
                "Every setting, its value and who said so; secrets are masked",
                "tributary config show --json",
            ),
            settings,
        ),
        get(("/doctor", "doctor", "What the doctor finds, as of half a minute ago at most", "tributary doctor --json"), doctor),
        get(("/actions", "actions", "What people did, the newest first", "tributary activity --json"), actions),
    ]
}

/// How this process is.
#[derive(Serialize, JsonSchema)]
struct Status {
    /// Of the program.
    version: &'static str,
    /// The process's own name.
    instance: String,
    /// Whether records flow into every store.
    ready: bool,
    /// The streams that it reads.
    streams: Vec<StreamState>,
}

async fn status(asked: Asked, _: Nothing) -> Result<Status> {
    let made = &asked.shared.made;
    let streams: Vec<StreamState> = made.boards.iter().map(Board::read).collect();
    Ok(Status {
        version: env!("CARGO_PKG_VERSION"),
        instance: made.settings.instance.clone(),
        ready: streams.iter().all(StreamState::is_ready),
        streams,
    })
}

/// A setting.
#[derive(Serialize, JsonSchema)]
struct Setting {
    /// Its name in the file.
    name: String,
    /// Its value; null: not set. A secret is `***`.
    value: Option<String>,
    /// `default`, or the file and line, the variable or the flag.
    origin: String,
}

async fn settings(asked: Asked, _: Nothing) -> Result<Vec<Setting>> {
    let shown = asked.shared.made.loaded.shown();
    Ok(shown.into_iter().map(|row| Setting { name: row.name, value: row.value, origin: row.origin.to_string() }).collect())
}

async fn doctor(asked: Asked, _: Nothing) -> Result<Report> {
    Ok((*asked.shared.report().await?).clone())
}

/// Which actions.
#[derive(Deserialize, JsonSchema)]
struct Actions {
    /// Older than this one.
    before: Option<i64>,
    /// At most so many.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u32>,
}

async fn actions(asked: Asked, wanted: Actions) -> Result<Vec<Action>> {
    let which = actions::Which { before: wanted.before, limit: within(wanted.limit, 20, 1_000)? };
    asked.shared.ask(move |connection| Box::pin(async move { Ok(actions::list(connection, which).await?) })).await
}
