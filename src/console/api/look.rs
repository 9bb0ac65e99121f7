//! Calls that show how things are as a whole: the streams, the settings.

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;
use tributary_actors::board::{Board, StreamState};

use super::super::asked::Asked;
use super::operation::{Nothing, Operation, get};

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
