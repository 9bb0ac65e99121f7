//! Up to which version each gold table has passed its tests, so that a test reads what is new and a table that failed is tried again.

use sqlx::PgConnection;

use super::ServingError;
use super::lease::{LeaderError, Lease};

/// What passed.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Tested {
    /// Which model.
    pub model: String,
    /// Of which lake table.
    pub lake_id: String,
    /// By which tests.
    pub tests_hash: String,
    /// Up to which version.
    pub version: i64,
}

/// All that passed.
///
/// # Errors
/// When PostgreSQL cannot be read.
pub async fn all(connection: &mut PgConnection) -> Result<Vec<Tested>, ServingError> {
    sqlx::query_as("SELECT model, lake_id, tests_hash, version FROM ops.tested_models ORDER BY model")
        .fetch_all(connection)
        .await
        .map_err(ServingError::new("reading ops.tested_models"))
}

/// This one passed.
///
/// # Errors
/// [`LeaderError`].
pub async fn passed(connection: &mut PgConnection, lease: &Lease, tested: &Tested) -> Result<(), LeaderError> {
    let doing = || ServingError::new("writing ops.tested_models");
    let mut transaction = lease.begin(connection).await?;
    sqlx::query(
        "INSERT INTO ops.tested_models (model, lake_id, tests_hash, version) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (model) DO UPDATE SET lake_id = excluded.lake_id, tests_hash = excluded.tests_hash, \
         version = excluded.version, tested_at = now()",
    )
    .bind(&tested.model)
    .bind(&tested.lake_id)
    .bind(&tested.tests_hash)
    .bind(tested.version)
    .execute(&mut *transaction)
    .await
    .map_err(doing())?;
    transaction.commit().await.map_err(doing())?;
    Ok(())
}
