//! Whether the windows say what bronze says, looked at while both go on: the last minutes that are over, at the same offsets.
//!
//! One snapshot of PostgreSQL gives the rows and the offsets that they have counted; bronze is counted up to just these, once it is as
//! far. Nothing is locked and nothing is changed: what differs is for a person and [`super::heal`]. Promises a number that is 0 unless
//! something is wrong; a duplicate, a late record or a leg that lags is nothing wrong.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sqlx::Connection;
use tributary_core::window::{Cells, Key};

use super::finish::counted;
use super::heal::reach;
use super::recount::{DAY_MS, Part, count};
use super::{RepairError, Stores};
use crate::serving::windows::read;
use crate::serving::{ServingError, connect, missing_windows};

/// What a comparison found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drift {
    /// Rows of windows that were compared.
    pub rows: u64,
    /// Sum of the differences.
    pub events: u64,
}

/// Compares the windows that start in `[from, to)`, milliseconds since 1970 and on one day, with bronze.
///
/// # Errors
/// When a store cannot be read, or bronze is not as far as the windows within `wait`.
pub async fn drift(at: &Stores, (from, to): (i64, i64), wait: Duration) -> Result<Drift, RepairError> {
    let part = Part { day: i32::try_from(from.div_euclid(DAY_MS)).unwrap_or(0), from_ms: from, to_ms: to };
    let doing = || ServingError::new("comparing the windows with bronze");
    let mut connection = connect(&at.database_url).await?;
    let mut transaction = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await.map_err(doing())?;
    let counted = counted(&mut transaction, &at.stream.name).await?;
    let missing = missing_windows(&mut transaction, &at.stream).await?;
    let mut stored: Vec<(usize, BTreeMap<_, _>)> = Vec::new();
    for (index, window) in at.stream.windows.iter().enumerate() {
        // A window that ends later than the part would have counted more than is compared.
        let fits = (to - from) % window.every_ms == 0 && from % window.every_ms == 0;
        if fits && !missing.contains(window) {
            stored.push((index, read(&mut transaction, &at.stream, window, (from, to)).await?));
        }
    }
    transaction.rollback().await.map_err(doing())?;
    let table = reach(at, &counted, Instant::now() + wait).await?;
    let spans = counted.below.iter().map(|(place, to)| (*place, (i64::MIN, *to))).collect();
    let mut cells = Cells::default();
    count(&at.table, &at.stream, &table, &spans, &counted, part, &mut cells).await?;
    let mut drift = Drift::default();
    for (index, rows) in stored {
        let mut difference: BTreeMap<(i64, Vec<String>), i128> = rows.into_iter().map(|(key, row)| (key, row.number)).collect();
        drift.rows += difference.len() as u64;
        for (key, amount) in cells.iter().filter(|(key, _)| usize::from(key.window) == index) {
            let Key { start_ms, group, .. } = key;
            *difference.entry((*start_ms, group.iter().map(|text| text.to_string()).collect())).or_default() -= amount;
        }
        drift.events += difference.values().map(|d| u64::try_from(d.unsigned_abs()).unwrap_or(u64::MAX)).sum::<u64>();
    }
    Ok(drift)
}
