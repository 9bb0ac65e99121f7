//! PostgreSQL as we use it: connections that give up by themselves, tables made from declarations, offsets moved with the rows.
//!
//! - [`sql`]: the one module that builds SQL text.
//! - [`offsets`]: where the windows are, per partition.
//! - [`merge`]: the transaction that adds deltas and moves offsets.

pub mod merge;
pub mod offsets;
pub mod refill;
pub mod sql;

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor, PgConnection};
use tributary_core::stream::Stream;

/// What can go wrong with PostgreSQL.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {source}")]
pub struct ServingError {
    doing: &'static str,
    #[source]
    source: sqlx::Error,
}

impl ServingError {
    pub(crate) fn new(doing: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self { doing, source }
    }

    /// Whether no retry mends it: the login, the schema, or the statement itself is wrong.
    pub fn is_permanent(&self) -> bool {
        let sqlx::Error::Database(error) = &self.source else { return matches!(self.source, sqlx::Error::Configuration(_)) };
        // 28: authorization, 3D: no such database, 42: syntax, access rule, unknown table or column.
        error.code().is_some_and(|code| ["28", "3D", "42"].iter().any(|class| code.starts_with(class)))
    }
}

/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Held while window tables are created.
const TABLES_LOCK: i64 = 0x7472_6962_7574_6172;

/// A connection of its own, not of a pool: a cancelled `begin` would leave a pooled session inside a transaction.
///
/// Every limit is the server's, so that a dead client frees its locks: nobody waits for them longer than seconds.
///
/// # Errors
/// When the URL is wrong or nobody answers in time.
pub async fn connect(url: &str) -> Result<PgConnection, ServingError> {
    let options = PgConnectOptions::from_str(url)
        .map_err(ServingError::new("reading the database URL"))?
        .application_name("tributary")
        .options([
            ("statement_timeout", "20s"),
            ("lock_timeout", "5s"),
            ("idle_in_transaction_session_timeout", "10s"),
            ("tcp_user_timeout", "10s"),
            ("timezone", "UTC"),
        ])
        .disable_statement_logging();
    match tokio::time::timeout(CONNECT, options.connect()).await {
        Ok(connected) => connected.map_err(ServingError::new("connecting to PostgreSQL")),
        Err(_) => Err(ServingError { doing: "connecting to PostgreSQL", source: sqlx::Error::PoolTimedOut }),
    }
}

/// Brings the database up to what this stream needs: migrations (one instance at a time), then its window tables.
///
/// # Errors
/// When the database cannot be reached or refuses.
pub async fn prepare(url: &str, stream: &Stream) -> Result<(), ServingError> {
    let mut connection = connect(url).await?;
    sqlx::migrate!("../sql/migrations")
        .run(&mut connection)
        .await
        .map_err(|e| ServingError { doing: "migrating the database", source: e.into() })?;
    // Two sessions may both find a table missing: IF NOT EXISTS is no lock. This one is let go of with the session.
    sqlx::query("SELECT pg_advisory_lock($1)")
        .bind(TABLES_LOCK)
        .execute(&mut connection)
        .await
        .map_err(ServingError::new("waiting to create the window tables"))?;
    for statement in sql::window_tables(stream) {
        connection.execute(statement).await.map_err(ServingError::new("creating the window tables"))?;
    }
    let _ = connection.close().await;
    Ok(())
}
