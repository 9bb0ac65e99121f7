//! All streams of one process: a supervisor each, on the actix system's own thread.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::watch;
use tributary_core::settings::Settings;
use tributary_core::span::Legs;
use tributary_core::stream::Stream;

use super::{GaveUp, Supervisor};
use crate::board::Board;
use crate::lake::{self, LakeError, upkeep};
use crate::line::Line;

/// What a process runs, with every address filled in.
#[derive(Debug, Clone)]
pub struct House {
    /// All settings.
    pub settings: Arc<Settings>,
    /// All streams.
    pub streams: Vec<Arc<Stream>>,
    /// Kafka.
    pub bootstrap: String,
    /// Whether that is our own broker.
    pub embedded_kafka: bool,
    /// PostgreSQL.
    pub database_url: String,
    /// What to feed.
    pub legs: Legs,
}

/// Why the house stands still.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A stream's supervisor gave up.
    #[error(transparent)]
    GaveUp(#[from] GaveUp),
    /// The lake's location is wrong.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// No threads.
    #[error("cannot start a runtime: {0}")]
    Runtime(#[from] std::io::Error),
}

/// Runs every stream until `stop` says so, or one of them gives up (then the others end in order too). Call inside an actix system.
///
/// # Errors
/// See [`RunError`].
pub async fn run(house: House, boards: &[Board], stop: watch::Receiver<bool>) -> Result<(), RunError> {
    let runtime = upkeep::runtime()?.handle().clone();
    let lake = lake::lake_url(&house.settings.lake.url)?;
    let (give_up, any) = watch::channel(false);
    let mut running = Vec::new();
    for (stream, board) in house.streams.iter().zip(boards) {
        let line = Line {
            stream: Arc::clone(stream),
            settings: Arc::clone(&house.settings),
            bootstrap: house.bootstrap.clone(),
            embedded_kafka: house.embedded_kafka,
            seen: AtomicBool::default(),
            database_url: house.database_url.clone(),
            table: lake::bronze(&lake, &stream.name, house.settings.lake.options.clone())?,
            runtime: runtime.clone(),
        };
        let supervisor = Supervisor::new(Arc::new(line), house.legs, board.clone());
        let (mut outside, mut inside) = (stop.clone(), any.clone());
        let (either, stopped) = watch::channel(false);
        actix::spawn(async move {
            tokio::select! {
                _ = outside.wait_for(|stop| *stop) => {}
                _ = inside.wait_for(|stop| *stop) => {}
            }
            let _ = either.send(true);
            // Kept until the supervisor has seen it.
            either.closed().await;
        });
        let give_up = give_up.clone();
        running.push(async move {
            let ended = supervisor.run(stopped).await;
            if ended.is_err() {
                let _ = give_up.send(true);
            }
            ended
        });
    }
    for ended in futures::future::join_all(running).await {
        ended?;
    }
    Ok(())
}
