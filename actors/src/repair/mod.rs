//! What a person does when numbers are wrong, or when records were called bad that are not.
//!
//! - [`heal`]: windows counted again from bronze and put right, beside a running pipeline. [`recount`] counts.
//! - [`drift`]: whether they are wrong, looked at beside it.
//! - [`letters`]: the records of bronze that are not valid, looked at.
//! - [`replay`]: those of them that today's declaration calls valid (`judge`) become valid, in bronze first (`rewrite`); [`finish`] brings what
//!   bronze has to the windows, whoever was killed in between.
//! - [`bronze`]: the table at one version, as all of them see it.

pub mod bronze;
pub mod drift;
pub mod finish;
pub mod heal;
mod judge;
pub mod letters;
pub mod recount;
pub mod replay;
mod rewrite;

use std::collections::BTreeMap;
use std::sync::Arc;

use deltalake::logstore::LogStoreRef;
use tributary_core::replay::{Place, Untraceable};
use tributary_core::stream::Stream;

use crate::lake::LakeError;
use crate::lake::delta_log::CommitError;
use crate::lake::encoder::EncodeError;
use crate::serving::ServingError;

/// One stream and where it lands.
#[derive(Clone)]
pub struct Stores {
    /// Declaration.
    pub stream: Arc<Stream>,
    /// The bronze table.
    pub table: LogStoreRef,
    /// PostgreSQL, as [`crate::serving::prepare`] or [`crate::serving::migrate`] leaves it.
    pub database_url: String,
}

/// What the windows have counted: by place everything below an offset, but for what they were told to skip.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Next offsets.
    pub(crate) below: BTreeMap<Place, i64>,
    /// Incarnation, partition, from, to.
    pub(crate) skipped: Vec<(i32, i32, i64, i64)>,
}

impl Counted {
    /// Whether the windows will not come to this offset any more.
    pub(crate) fn passed(&self, place: Place, offset: i64) -> bool {
        self.below.get(&place).is_some_and(|below| offset < *below)
    }

    /// Whether the windows were told to leave it out.
    pub(crate) fn skips(&self, place: Place, offset: i64) -> bool {
        self.skipped.iter().any(|(i, p, from, to)| (*i, *p) == place && (*from..*to).contains(&offset))
    }
}

/// Why a repair could not be made. What it had committed stays; what it had not was not begun.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// The lake.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// PostgreSQL.
    #[error(transparent)]
    Serving(#[from] ServingError),
    /// The log.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// Rows of another shape than the stream's.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// Bronze holds something else than its stream declares.
    #[error("bronze cannot be read: {0}")]
    Schema(String),
    /// Replays that nobody can find any more.
    #[error(transparent)]
    Untraceable(#[from] Untraceable),
    /// Bronze is slower than the windows, and did not catch up in time.
    #[error("{0}")]
    Behind(String),
    /// It would do harm.
    #[error("{0}")]
    Unsafe(String),
    /// Others changed the same things, again and again.
    #[error("{0}")]
    Busy(String),
}

impl From<arrow_schema::ArrowError> for RepairError {
    fn from(error: arrow_schema::ArrowError) -> Self {
        Self::Schema(error.to_string())
    }
}
