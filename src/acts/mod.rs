//! What a person may do: run, pause and resume jobs, cancel and repeat runs, fill days of the past, replay records.
//!
//! The command line and the console call the same functions, so both do the same and refuse the same. Assumes a PostgreSQL with the tables
//! of this version, and that the caller knows who asks. Asking only leaves a word there; the process that runs jobs takes it up.
//!
//! Promises that each act leaves exactly one row in `ops.actions`: begun before anything is done, and ended with what came of it. What
//! cannot be written down is not done. What makes no sense, or not now, is a [`Refused`]; every other error is a failure.
//!
//! - `jobs`: a run, a backfill, a pause. `runs`: an end, a repetition. `replay`: records that become valid.

pub(crate) mod jobs;
mod refused;
mod replay;
pub(crate) mod runs;

use std::fmt::Display;

use anyhow::{Context, Result};
use serde_json::Value;
use sqlx::PgConnection;
use tributary_actors::serving::actions::{self, NewAction, Outcome};

pub(crate) use jobs::{Queued, backfill, can_backfill, run, set_paused};
pub(crate) use refused::{Kind, Refused};
pub(crate) use replay::{Replay, Still, replay};
pub(crate) use runs::{cancel, retry};
pub(crate) use tributary_actors::serving::actions::{Verb, Via};

/// Who does something, and on which way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Who {
    /// `ana@anvil`.
    pub(crate) person: String,
    /// On which way.
    pub(crate) via: Via,
}

/// Does something that leaves a row. `params` is an object; what is done says in a line what came of it.
///
/// When the end cannot be written, what was done is still done: the row stays `begun` and the log says why.
pub(crate) async fn audited<T: Display>(
    connection: &mut PgConnection,
    who: &Who,
    action: Verb,
    subject: &str,
    params: Value,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T>,
) -> Result<T> {
    let new = NewAction { person: &who.person, via: who.via, action, subject, params: &params };
    let id = actions::begin(connection, &new).await.with_context(|| {
        format!("nothing was done: {action} {subject} is written down first, and that failed (where the table is missing, `tributary up` makes it)")
    })?;
    let done = work(connection).await;
    let (outcome, message) = end_of(&done);
    if let Err(error) = actions::end(connection, id, outcome, &message).await {
        tracing::warn!("action {id} ({action} {subject}) is {outcome}, but stays `begun` in ops.actions: {error}");
    }
    done
}

/// What the row says of it.
fn end_of<T: Display>(done: &Result<T>) -> (Outcome, String) {
    match done {
        Ok(done) => (Outcome::Done, done.to_string()),
        Err(error) => match error.downcast_ref::<Refused>() {
            Some(refused) => (Outcome::Refused, refused.words.clone()),
            None => (Outcome::Failed, format!("{error:#}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn a_row_ends_as_the_work_ended() {
        let end = |done: Result<&str>| end_of(&done);
        assert_eq!(end(Ok("run 1 is queued")), (Outcome::Done, "run 1 is queued".to_owned()));
        assert_eq!(end(Err(Refused::no_run(7).into())).0, Outcome::Refused);
        assert_eq!(end(Err(anyhow!(Refused::no_run(7)).context("not now"))).0, Outcome::Refused, "whoever adds words to it");
        let failed = anyhow!("the disk is full").context("queueing a run");
        assert_eq!(end(Err(failed)), (Outcome::Failed, "queueing a run: the disk is full".to_owned()));
    }
}
