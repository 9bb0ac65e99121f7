//! A lease with an epoch: who may lead, by PostgreSQL's clock alone.
//!
//! Time decides who may *take* a lease, never who may write: a leader that slept through its time finds out from [`Lease::check`],
//! which every transaction of a leader begins with. The check locks the row, so that nobody takes the lease before that transaction
//! has ended; a renewal does not wait for it, since it changes no key (see the table's UNIQUE).
//!
//! Promises: at most one holder passes the check at any time, and what it commits was committed while it led.

use std::time::Duration;

use sqlx::{Connection, PgConnection, Postgres, Transaction};

use super::ServingError;

/// The lease of whoever runs jobs.
pub const BATCH: &str = "batch";

/// Why a leader could not write.
#[derive(Debug, thiserror::Error)]
pub enum LeaderError {
    /// Somebody else has taken the lease: whatever this leader is doing, it must stop.
    #[error("the lease `{name}` of epoch {epoch} is lost: somebody else leads")]
    Lost {
        /// Which lease.
        name: String,
        /// The epoch that is over.
        epoch: i64,
    },
    /// PostgreSQL failed; whether it was committed is unknown.
    #[error(transparent)]
    Serving(#[from] ServingError),
}

impl LeaderError {
    /// Whether another one leads now.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Lost { .. })
    }
}

/// A lease that was ours when it was acquired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    name: String,
    holder: String,
    epoch: i64,
    token: String,
}

/// Who has a lease, for people.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, sqlx::FromRow)]
pub struct Held {
    /// Which.
    pub name: String,
    /// By whom, last.
    pub holder: String,
    /// How many have had it, this one included.
    pub epoch: i64,
    /// Since when.
    pub acquired_at: chrono::DateTime<chrono::Utc>,
    /// Until when, unless it is renewed.
    pub expires_at: chrono::DateTime<chrono::Utc>,
    /// Whether that is still to come.
    pub alive: bool,
}

impl Lease {
    /// Takes the lease if nobody has it. `holder` is for people; the lease lasts `ttl` unless renewed.
    ///
    /// # Errors
    /// When PostgreSQL fails; the lease may be ours then without our knowing, and runs out.
    pub async fn acquire(
        connection: &mut PgConnection,
        name: &str,
        holder: &str,
        ttl: Duration,
    ) -> Result<Option<Self>, ServingError> {
        let token = uuid::Uuid::new_v4().to_string();
        // Not INSERT … ON CONFLICT DO UPDATE: that locks the row before it looks whether the lease has run out, and would queue behind
        // every transaction of a healthy leader.
        let taken = sqlx::query_scalar(
            "UPDATE ops.leases SET holder = $2, token = $3, epoch = epoch + 1, acquired_at = clock_timestamp(), \
             renewed_at = clock_timestamp(), expires_at = clock_timestamp() + $4::bigint * interval '1 millisecond' \
             WHERE name = $1 AND expires_at <= clock_timestamp() RETURNING epoch",
        )
        .bind(name)
        .bind(holder)
        .bind(&token)
        .bind(millis(ttl))
        .fetch_optional(&mut *connection)
        .await;
        let mut epoch: Option<i64> = match taken {
            // The last transaction of the leader before is still under way.
            Err(sqlx::Error::Database(e)) if e.code().as_deref() == Some("55P03") => return Ok(None),
            other => other.map_err(ServingError::new("taking a lease"))?,
        };
        if epoch.is_none() {
            epoch = sqlx::query_scalar(
                "INSERT INTO ops.leases (name, holder, epoch, token, expires_at) \
                 VALUES ($1, $2, 1, $3, clock_timestamp() + $4::bigint * interval '1 millisecond') \
                 ON CONFLICT DO NOTHING RETURNING epoch",
            )
            .bind(name)
            .bind(holder)
            .bind(&token)
            .bind(millis(ttl))
            .fetch_optional(connection)
            .await
            .map_err(ServingError::new("taking a lease"))?;
        }
        Ok(epoch.map(|epoch| Self { name: name.to_owned(), holder: holder.to_owned(), epoch, token }))
    }

    /// Which acquisition this is.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Who has it, for people.
    pub fn holder(&self) -> &str {
        &self.holder
    }

    /// Makes it last `ttl` from now on. A lease that has run out and that nobody took is kept.
    ///
    /// # Errors
    /// [`LeaderError::Lost`] when somebody took it.
    pub async fn renew(&self, connection: &mut PgConnection, ttl: Duration) -> Result<(), LeaderError> {
        let renewed = sqlx::query(
            "UPDATE ops.leases SET renewed_at = clock_timestamp(), \
             expires_at = clock_timestamp() + $4::bigint * interval '1 millisecond' \
             WHERE name = $1 AND epoch = $2 AND token = $3",
        )
        .bind(&self.name)
        .bind(self.epoch)
        .bind(&self.token)
        .bind(millis(ttl))
        .execute(connection)
        .await
        .map_err(ServingError::new("renewing a lease"))?;
        if renewed.rows_affected() == 1 { Ok(()) } else { Err(self.lost()) }
    }

    /// Lets somebody else have it at once. Nothing happens when somebody has it already.
    ///
    /// # Errors
    /// When PostgreSQL fails; it runs out by itself then.
    pub async fn release(&self, connection: &mut PgConnection) -> Result<(), ServingError> {
        sqlx::query("UPDATE ops.leases SET expires_at = clock_timestamp() WHERE name = $1 AND epoch = $2 AND token = $3")
            .bind(&self.name)
            .bind(self.epoch)
            .bind(&self.token)
            .execute(connection)
            .await
            .map_err(ServingError::new("releasing a lease"))?;
        Ok(())
    }

    /// Inside a transaction: that this lease is ours, and stays ours until the transaction ends.
    ///
    /// # Errors
    /// [`LeaderError::Lost`] when it is not.
    pub async fn check(&self, transaction: &mut PgConnection) -> Result<(), LeaderError> {
        let ours: Option<i64> =
            sqlx::query_scalar("SELECT epoch FROM ops.leases WHERE name = $1 AND epoch = $2 AND token = $3 FOR KEY SHARE")
                .bind(&self.name)
                .bind(self.epoch)
                .bind(&self.token)
                .fetch_optional(transaction)
                .await
                .map_err(ServingError::new("checking the lease"))?;
        if ours.is_some() { Ok(()) } else { Err(self.lost()) }
    }

    /// A transaction that this leader may write in.
    ///
    /// # Errors
    /// [`LeaderError::Lost`] when it leads no more.
    pub async fn begin<'c>(&self, connection: &'c mut PgConnection) -> Result<Transaction<'c, Postgres>, LeaderError> {
        let mut transaction = connection.begin().await.map_err(ServingError::new("beginning a leader's transaction"))?;
        self.check(&mut transaction).await?;
        Ok(transaction)
    }

    fn lost(&self) -> LeaderError {
        LeaderError::Lost { name: self.name.clone(), epoch: self.epoch }
    }
}

/// Who has that lease, or had it last; none: nobody ever.
///
/// # Errors
/// When PostgreSQL cannot be read.
pub async fn held(connection: &mut PgConnection, name: &str) -> Result<Option<Held>, ServingError> {
    sqlx::query_as(
        "SELECT name, holder, epoch, acquired_at, expires_at, expires_at > clock_timestamp() AS alive \
         FROM ops.leases WHERE name = $1",
    )
    .bind(name)
    .fetch_optional(connection)
    .await
    .map_err(ServingError::new("reading ops.leases"))
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX >> 16)
}
