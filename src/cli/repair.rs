//! What `heal` and `deadletters` share: the streams that are meant, and their stores.

use std::sync::Arc;

use anyhow::{Context, Result};
use tributary_actors::repair::Stores;
use tributary_actors::serving;
use tributary_core::stream::Stream;

use super::output::Usage;
use super::session::Session;
use crate::inspect::letters::stores;

/// The stream of that name, or all.
pub(super) fn streams(session: &Session, name: Option<&str>) -> Result<Vec<Stream>> {
    let mut streams = session.streams()?;
    if let Some(name) = name {
        let known: Vec<String> = streams.iter().map(|stream| stream.name.clone()).collect();
        streams.retain(|stream| stream.name == name);
        if streams.is_empty() {
            return Err(Usage(format!("no stream `{name}` is declared; there is {}", known.join(", "))).into());
        }
    }
    Ok(streams)
}

/// The stores of these streams. PostgreSQL is left alone, and may be unknown.
pub(super) fn lakes(session: &Session, streams: Vec<Stream>) -> Result<Vec<Stores>> {
    stores(&session.reachable(), streams.into_iter().map(Arc::new))
}

/// The same with a PostgreSQL that has the tables of this program.
pub(super) async fn both(session: &Session, streams: Vec<Stream>) -> Result<Vec<Stores>> {
    let nothing = "no PostgreSQL is configured and no `tributary up` runs here; start one, or set DATABASE_URL";
    let url = session.reachable().serving.database_url.context(nothing)?;
    serving::migrate(&mut serving::connect(&url).await?).await?;
    lakes(session, streams)
}
