//! Gold to PostgreSQL: several tables in one transaction under the leader's lease. Readers see all of the old or all of the new.
//!
//! The rows are first copied into tables of this session, a batch at a time; the transaction that follows only compares and moves them,
//! so that nobody waits for the lake. It deletes what is gone, inserts what is new and updates what differs: a row that does
//! not change keeps its `updated_at`, and publishing the same version twice changes nothing.
//!
//! - `fit`: the table as it is, and what a model's columns ask of it. It is changed in place: grants stay.
//! - `guard`: closed days that shrink are refused.
//! - `copy`: Arrow's values as PostgreSQL reads them.
//!
//! Promises: what `ops.published` says is in the tables, since one transaction writes both, and that transaction finds
//! `ops.published` as it was when the days to publish were worked out, or fails.

mod copy;
mod fit;
mod guard;
mod stage;

use std::collections::BTreeMap;
use std::error::Error;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use chrono::{DateTime, Utc};
use futures::stream::BoxStream;
use serde::Serialize;
use sqlx::PgConnection;

use self::fit::Fit;
use self::stage::Staged;
use super::lease::{LeaderError, Lease};
use super::{ServingError, connect};

pub use guard::{Shrunk, ShrunkDay};

/// Rows of a table, a batch at a time.
pub type Rows = BoxStream<'static, Result<RecordBatch, Box<dyn Error + Send + Sync>>>;

/// Which version of which lake table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Version {
    /// The lake table's own id.
    pub lake_id: String,
    /// Hash of the model that made it.
    pub model_hash: String,
    /// The version.
    pub version: i64,
}

/// A table of schema `gold` as a model wants it.
#[derive(Debug, Clone)]
pub struct Table {
    /// Without the schema.
    pub name: String,
    /// The model.
    pub model: String,
    /// The columns that make a row unique.
    pub key: Vec<String>,
    /// All columns but `updated_at`.
    pub schema: SchemaRef,
}

/// Which rows are published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All that there are: what is not among them goes.
    All,
    /// All of these days, days since 1970; other days stay as they are.
    Days(Vec<i32>),
}

/// What is published of one table.
pub struct Publication {
    /// The table.
    pub table: Table,
    /// What the rows are of.
    pub version: Version,
    /// What was published when the scope was worked out, by [`standing`].
    pub expected: Option<Version>,
    /// Which rows these are.
    pub scope: Scope,
    /// Per day, rows of the source that the day was computed from; a day of the scope that is missing here has none. None: not known.
    pub source_rows: Option<BTreeMap<i32, i64>>,
    /// The rows.
    pub rows: Rows,
}

/// How to publish.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// The part of a closed day that may go, 0.1 for a tenth.
    pub max_shrink: f64,
    /// Closed days may shrink as they like.
    pub force: bool,
    /// The run that publishes.
    pub run: Option<i64>,
}

/// What became of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Published {
    /// The table.
    pub table: String,
    /// Rows that were published, whether or not they changed anything.
    pub rows: i64,
    /// Rows that are new.
    pub inserted: i64,
    /// Rows that differed.
    pub updated: i64,
    /// Rows that are gone.
    pub deleted: i64,
}

/// Why nothing was published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Closed days shrank.
    #[error(transparent)]
    Shrunk(Shrunk),
    /// Somebody published meanwhile; work out the scope anew.
    #[error("gold.{table} was published by somebody else meanwhile")]
    Foreign {
        /// The table.
        table: String,
    },
    /// The table is new, is gone or gets other columns: days alone are not enough.
    #[error("gold.{table} {why}: all its rows are needed, not some days")]
    NeedsAll {
        /// The table.
        table: String,
        /// What is the matter.
        why: String,
    },
    /// The model's rows, or the table as somebody changed it, do not allow it: a person must change something.
    #[error("gold.{table}: {why}")]
    Refused {
        /// The table.
        table: String,
        /// What to do.
        why: String,
    },
    /// The rows could not be read.
    #[error("reading the rows of gold.{table}: {source}")]
    Rows {
        /// The table.
        table: String,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// PostgreSQL failed, or somebody else leads. After a failure [`standing`] tells whether it was committed.
    #[error(transparent)]
    Leader(#[from] LeaderError),
}

impl From<ServingError> for PublishError {
    fn from(error: ServingError) -> Self {
        Self::Leader(error.into())
    }
}

impl PublishError {
    /// Whether trying again changes nothing until a person does something.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Shrunk(_) | Self::Refused { .. } => true,
            Self::Foreign { .. } | Self::NeedsAll { .. } | Self::Rows { .. } => false,
            Self::Leader(LeaderError::Serving(error)) => error.is_permanent(),
            Self::Leader(LeaderError::Lost { .. }) => false,
        }
    }
}

/// What is published of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// What is in the table; none: nothing, or nothing that can be built on.
    pub version: Option<Version>,
    /// Its rows.
    pub rows: i64,
    /// Since when.
    pub published_at: Option<DateTime<Utc>>,
    /// By which run.
    pub run: Option<i64>,
    /// Why all rows must be published, whatever days changed; none: days are enough.
    pub needs_all: Option<String>,
}

/// What is published of a table, and whether the days that changed since then are enough to bring it up to date.
///
/// # Errors
/// When PostgreSQL fails, or the table cannot be one of this model.
pub async fn standing(connection: &mut PgConnection, table: &Table) -> Result<Standing, PublishError> {
    let fit = Fit::of(connection, table).await?;
    type Row = (String, String, i64, i64, DateTime<Utc>, Option<i64>);
    let row: Option<Row> = sqlx::query_as(
        "SELECT lake_id, model_hash, version, rows, published_at, run_id FROM ops.published WHERE table_name = $1",
    )
    .bind(&table.name)
    .fetch_optional(connection)
    .await
    .map_err(ServingError::new("reading ops.published"))?;
    let Some((lake_id, model_hash, version, rows, published_at, run)) = row else {
        let needs_all = Some("was never published".to_owned());
        return Ok(Standing { version: None, rows: 0, published_at: None, run: None, needs_all });
    };
    let version = Some(Version { lake_id, model_hash, version });
    Ok(Standing { version, rows, published_at: Some(published_at), run, needs_all: fit.needs_all() })
}

/// When each table of schema gold was last published, by its name without the schema.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn times(connection: &mut PgConnection) -> Result<Vec<(String, DateTime<Utc>)>, ServingError> {
    sqlx::query_as("SELECT table_name, published_at FROM ops.published")
        .fetch_all(connection)
        .await
        .map_err(ServingError::new("reading ops.published"))
}

/// Publishes all of these tables, or none.
///
/// # Errors
/// [`PublishError`]. After one of PostgreSQL's own errors it may have been committed all the same: [`standing`] tells.
pub async fn publish(
    database_url: &str,
    lease: &Lease,
    publications: Vec<Publication>,
    terms: Terms,
) -> Result<Vec<Published>, PublishError> {
    let doing = || ServingError::new("publishing");
    // A session of its own: it ends with its staged tables, whatever happens.
    let mut connection = connect(database_url).await?;
    // A table of millions of rows is one statement here.
    sqlx::query("SET statement_timeout = '10min'").execute(&mut connection).await.map_err(doing())?;
    lease.check(&mut connection).await?;
    let mut staged = Vec::with_capacity(publications.len());
    for (n, publication) in publications.into_iter().enumerate() {
        staged.push(Staged::fill(&mut connection, n, publication).await?);
    }
    let mut transaction = lease.begin(&mut connection).await?;
    let mut published = Vec::with_capacity(staged.len());
    // In one order, whatever order the models have.
    staged.sort_by(|a, b| a.table.name.cmp(&b.table.name));
    for staged in &staged {
        staged.compare_and_set(&mut transaction, lease, terms).await?;
        guard::check(&mut transaction, staged, terms).await?;
        let fit = Fit::of(&mut transaction, &staged.table).await?;
        fit.apply(&mut transaction, staged).await?;
        published.push(staged.move_rows(&mut transaction).await?);
        staged.count_days(&mut transaction).await?;
    }
    transaction.commit().await.map_err(doing())?;
    let _ = sqlx::Connection::close(connection).await;
    Ok(published)
}
