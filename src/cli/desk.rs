//! What the commands over batch work begin with: PostgreSQL with the history of runs, the models and the engine that reads them, and a
//! runtime to wait on.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use sqlx::{Connection, PgConnection};
use tributary_actors::serving::lease::{self, Held};
use tributary_actors::serving::{self, ServingError};
use tributary_batch::models::Models;
use tributary_batch::{Limits, Local};
use tributary_core::job::Job;

use super::output::Usage;
use super::session::Session;
use crate::engine::limits;
use crate::inspect::leader;
use crate::inspect::plan::Plan;

/// How long a PostgreSQL that went away may take to come back while somebody follows a run: a restart of the embedded one.
const RECONNECT: Duration = Duration::from_secs(30);
/// Between two attempts to reach it.
const PAUSE: Duration = Duration::from_millis(250);

/// A runtime for one command.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().context("cannot start a runtime")
}

/// The history of runs in PostgreSQL, over a connection that is made again when it breaks.
pub(crate) struct History {
    url: String,
    connection: PgConnection,
}

impl History {
    /// Connects, and makes sure that there is a history.
    pub(crate) async fn open(session: &Session) -> Result<Self> {
        let url = session.postgres()?;
        let mut connection = serving::connect(&url).await?;
        let there: bool = sqlx::query_scalar("SELECT to_regclass('ops.runs') IS NOT NULL").fetch_one(&mut connection).await?;
        if !there {
            bail!("this database has no history of runs yet; `tributary up` makes its tables");
        }
        Ok(Self { url, connection })
    }

    /// The connection, for a command that asks once.
    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// Asks, and asks again over a new connection when the old one broke. Only for questions that may be asked twice.
    pub(crate) async fn ask<T>(
        &mut self,
        mut question: impl AsyncFnMut(&mut PgConnection) -> Result<T, ServingError>,
    ) -> Result<T> {
        let mut broken_since = None;
        loop {
            let error = match question(&mut self.connection).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let since = *broken_since.get_or_insert_with(std::time::Instant::now);
            if error.is_permanent() || since.elapsed() > RECONNECT {
                return Err(error.into());
            }
            tokio::time::sleep(PAUSE).await;
            if let Ok(connection) = serving::connect(&self.url).await {
                self.connection = connection;
            }
        }
    }

    /// Ends in order.
    pub(crate) async fn close(self) {
        // The server notices a client that leaves without a word, too.
        let _ = self.connection.close().await;
    }
}

/// Does one thing with the history.
pub(crate) fn with_history<T>(session: &Session, work: impl AsyncFnOnce(&mut History) -> Result<T>) -> Result<T> {
    runtime()?.block_on(async {
        let mut history = History::open(session).await?;
        let done = work(&mut history).await;
        history.close().await;
        done
    })
}

/// Why nobody takes queued runs, and what to do; none: somebody does.
pub(crate) async fn nobody_leads(history: &mut History) -> Result<Option<String>> {
    let held: Option<Held> = history.ask(async |connection| lease::held(connection, lease::BATCH).await).await?;
    Ok(leader::nobody(held.as_ref(), chrono::Utc::now()))
}

/// An engine of this process, within the limits of the settings, or with another one for its memory.
pub(crate) fn engine(session: &Session, memory: Option<u64>) -> Result<Local> {
    let batch = &session.settings().batch;
    // Where nothing is embedded there is no data folder, and asking a question is no reason to make one.
    let spill_dir = match session.data_dir()?.is_dir() || !session.loaded.is_default("batch.spill_dir") {
        true => (&batch.spill_dir).into(),
        false => std::env::temp_dir(),
    };
    let mut limits = Limits { spill_dir, ..limits(batch) };
    if let Some(memory) = memory {
        limits.memory = usize::try_from(memory).unwrap_or(usize::MAX);
    }
    Ok(Local::new(limits)?)
}

/// The models of `batch.models_dir`, read and planned.
pub(crate) async fn models(session: &Session, engine: &Local) -> Result<Models> {
    let streams: Vec<_> = session.streams()?.into_iter().map(std::sync::Arc::new).collect();
    Ok(engine.models(session.settings().batch.models_dir.as_ref(), &streams).await?)
}

/// What a run of this job would do.
pub(crate) async fn plan(session: &Session, job: &Job) -> Result<Plan> {
    let models = models(session, &self::engine(session, None)?).await?;
    Ok(Plan::new(job, models.into()).map_err(|error| Usage(error.to_string()))?)
}
