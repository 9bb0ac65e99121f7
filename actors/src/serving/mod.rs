//! PostgreSQL as we use it: connections that give up by themselves, tables made from declarations, offsets moved with the rows.
//!
//! - [`sql`]: the one module that builds SQL text.
//! - [`offsets`]: where the windows are, per partition.
//! - [`merge`]: the transaction that adds deltas and moves offsets.
//! - [`refill`], [`new_windows`]: what the windows take from bronze.
//! - [`lease`]: who leads. [`history`]: runs, their tasks and what they said. [`actions`]: what people did.
//! - [`publish`]: gold, for whoever asks PostgreSQL. [`retention`]: what is old goes. [`shown`]: the newest numbers, for whoever shows them.
//! - [`schema`]: the migrations of this program, and which of them a database has.
//! - [`replays`]: which replays of bronze they have taken. `windows`: their rows, read and put right.

pub mod actions;
pub mod history;
pub mod lease;
pub mod merge;
pub mod new_windows;
pub mod offsets;
pub mod publish;
pub mod refill;
pub mod replays;
pub mod retention;
pub mod schema;
pub mod shown;
pub mod sql;
pub mod tested;
pub(crate) mod windows;

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor, PgConnection};
use tributary_core::stream::{Stream, Window};

use crate::telemetry;

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

    /// Nothing came back within that time.
    pub(crate) fn no_answer(doing: &'static str, within: Duration) -> Self {
        let words = format!("no answer within {within:?}");
        Self { doing, source: sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, words)) }
    }

    /// Whether a row that was to be written about is gone.
    pub(crate) fn is_about_nothing(&self) -> bool {
        matches!(&self.source, sqlx::Error::Database(error) if error.code().as_deref() == Some("23503"))
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
    let options = options(url)?;
    let connected = match tokio::time::timeout(CONNECT, options.connect()).await {
        Ok(connected) => connected.map_err(ServingError::new("connecting to PostgreSQL")),
        Err(_) => Err(ServingError { doing: "connecting to PostgreSQL", source: sqlx::Error::PoolTimedOut }),
    };
    telemetry::connection(&connected);
    connected
}

/// How every connection of ours is made.
///
/// # Errors
/// When the URL is wrong.
pub fn options(url: &str) -> Result<PgConnectOptions, ServingError> {
    let options = PgConnectOptions::from_str(url).map_err(ServingError::new("reading the database URL"))?;
    let limits = [
        ("statement_timeout", "20s"),
        ("lock_timeout", "5s"),
        ("idle_in_transaction_session_timeout", "10s"),
        ("tcp_user_timeout", "10s"),
        ("timezone", "UTC"),
    ];
    Ok(options.application_name("tributary").options(limits).disable_statement_logging())
}

/// Brings the tables that do not depend on declarations up to date; one instance at a time.
///
/// # Errors
/// When the database refuses, or has been migrated by a newer version.
pub async fn migrate(connection: &mut PgConnection) -> Result<(), ServingError> {
    schema::MIGRATIONS.run(connection).await.map_err(|e| ServingError { doing: "migrating the database", source: e.into() })
}

/// What time it is there.
///
/// # Errors
/// When the database does not answer.
pub async fn now(connection: &mut PgConnection) -> Result<chrono::DateTime<chrono::Utc>, ServingError> {
    sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(connection).await.map_err(ServingError::new("asking for the time"))
}

/// Brings the database up to what this stream needs: migrations (one instance at a time), then its window tables. Returns the windows
/// whose tables are left to be [added](new_windows), because the stream was counted before they were declared.
///
/// # Errors
/// When the database cannot be reached or refuses.
pub async fn prepare(url: &str, stream: &Stream) -> Result<Vec<Window>, ServingError> {
    let mut connection = connect(url).await?;
    migrate(&mut connection).await?;
    let doing = || ServingError::new("creating the window tables");
    let mut transaction = connection.begin().await.map_err(doing())?;
    lock_tables(&mut transaction).await?;
    let missing = missing_windows(&mut transaction, stream).await?;
    for window in stream.windows.iter().filter(|w| !missing.contains(w)) {
        check_window(&mut transaction, stream, window).await?;
    }
    if !missing.is_empty() && !offsets::all(&mut transaction, &stream.name).await?.is_empty() {
        return Ok(missing);
    }
    for statement in sql::window_tables(stream) {
        transaction.execute(statement).await.map_err(doing())?;
    }
    transaction.commit().await.map_err(doing())?;
    let _ = connection.close().await;
    Ok(Vec::new())
}

/// Two sessions may both find a table missing: IF NOT EXISTS is no lock. This one is let go of with the transaction.
pub(crate) async fn lock_tables(transaction: &mut PgConnection) -> Result<(), ServingError> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(TABLES_LOCK)
        .execute(transaction)
        .await
        .map_err(ServingError::new("waiting to create the window tables"))?;
    Ok(())
}

/// Refuses a table that another declaration made: what is added to it would be wrong, or would not fit.
async fn check_window(connection: &mut PgConnection, stream: &Stream, window: &Window) -> Result<(), ServingError> {
    let doing = || ServingError::new("checking the window tables");
    let found: Vec<String> = sqlx::query_scalar(
        "SELECT column_name || ' ' || data_type FROM information_schema.columns \
         WHERE table_schema = 'realtime' AND table_name = $1 ORDER BY ordinal_position",
    )
    .bind(&window.table)
    .fetch_all(&mut *connection)
    .await
    .map_err(doing())?;
    let declared = sql::columns(stream, window);
    let lengths: Option<i64> = sqlx::query_scalar(sql::newest_length(window)).fetch_optional(connection).await.map_err(doing())?;
    let other = match lengths.filter(|ms| *ms != window.every_ms) {
        _ if found != declared => format!("its columns are ({}), declared are ({})", found.join(", "), declared.join(", ")),
        Some(ms) => format!("its windows are {} s long, declared are {} s", ms / 1000, window.every_ms / 1000),
        None => return Ok(()),
    };
    let words = format!(
        "realtime.{0} was made for another declaration: {other}. Give the window another `table`, or DROP TABLE realtime.{0}: it is made \
         and counted again from bronze",
        window.table
    );
    Err(doing()(sqlx::Error::Configuration(words.into())))
}

/// Windows without a table.
pub(crate) async fn missing_windows(connection: &mut PgConnection, stream: &Stream) -> Result<Vec<Window>, ServingError> {
    let there: Vec<String> = sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = 'realtime'")
        .fetch_all(connection)
        .await
        .map_err(ServingError::new("looking for the window tables"))?;
    Ok(stream.windows.iter().filter(|w| !there.contains(&w.table)).cloned().collect())
}
