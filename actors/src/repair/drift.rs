//! Whether the windows say what bronze says, looked at while both go on: the last minutes that are over, at the same offsets.
//!
//! One snapshot of PostgreSQL gives the rows and the offsets that they have counted; bronze is counted up to just these, once it is as
//! far. Nothing is locked and nothing is changed: what differs is for a person and [`super::heal`]. Promises a number that is 0 unless
//! something is wrong; a duplicate, a late record, a replay on its way or a leg that lags is nothing wrong.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::Connection;
use tributary_core::replay::replay_app;
use tributary_core::stream::{Stream, Window};
use tributary_core::window::{Cells, Key};

use super::finish::counted;
use super::heal::reach;
use super::recount::{DAY_MS, Part, count};
use super::{RepairError, Stores};
use crate::serving::windows::read;
use crate::serving::{ServingError, connect, missing_windows, replays};

/// What a comparison found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drift {
    /// Rows of windows that were compared.
    pub rows: u64,
    /// Sum of the differences.
    pub events: u64,
}

/// The whole windows of this length within `[from, to)`, which ends where the last of them does; none where none fits in.
fn closed(window: &Window, (from, to): (i64, i64)) -> Option<(i64, i64)> {
    let every = window.every_ms;
    let (first, end) = ((from + every - 1).div_euclid(every) * every, to.div_euclid(every) * every);
    (first < end).then_some((first, end))
}

/// Compares the windows that lie in `[from, to)`, milliseconds since 1970 and on one day, with bronze. None: none is that short, or
/// something is on its way that they do not have yet.
///
/// # Errors
/// When a store cannot be read, or bronze is not as far as the windows within `wait`.
pub async fn drift(at: &Stores, (from, to): (i64, i64), wait: Duration) -> Result<Option<Drift>, RepairError> {
    let doing = || ServingError::new("comparing the windows with bronze");
    let mut connection = connect(&at.database_url).await?;
    let mut transaction = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await.map_err(doing())?;
    let counted = counted(&mut transaction, &at.stream.name).await?;
    let replayed = replays::all(&mut transaction, &at.stream.name).await?;
    let missing = missing_windows(&mut transaction, &at.stream).await?;
    let (mut windows, mut stored) = (Vec::new(), Vec::new());
    for window in at.stream.windows.iter().filter(|window| !missing.contains(window)) {
        if let Some(part) = closed(window, (from, to)) {
            stored.push((part, read(&mut transaction, &at.stream, window, part).await?));
            windows.push(window.clone());
        }
    }
    transaction.rollback().await.map_err(doing())?;
    let Some(begin) = stored.iter().map(|((from, _), _)| *from).min() else { return Ok(None) };
    let end = stored.iter().map(|((_, to), _)| *to).max().unwrap_or(begin);

    let table = reach(at, &counted, Instant::now() + wait).await?;
    if replayed.get(&table.id).copied().unwrap_or(0) < table.txn(&replay_app(&at.stream.topic)).unwrap_or(0) {
        return Ok(None);
    }
    // Only what is compared is counted: a window of a day would read the day.
    let stream = Arc::new(Stream { windows, ..at.stream.as_ref().clone() });
    let part = Part { day: i32::try_from(begin.div_euclid(DAY_MS)).unwrap_or(0), from_ms: begin, to_ms: end };
    let spans = counted.below.iter().map(|(place, to)| (*place, (i64::MIN, *to))).collect();
    let mut cells = Cells::default();
    count(&at.table, &stream, &table, &spans, &counted, part, &mut cells).await?;
    let mut drift = Drift::default();
    for (index, ((from, to), rows)) in stored.into_iter().enumerate() {
        let mut difference: BTreeMap<(i64, Vec<String>), i128> = rows.into_iter().map(|(key, row)| (key, row.number)).collect();
        drift.rows += difference.len() as u64;
        for (key, amount) in &cells {
            let Key { window, start_ms, group } = key;
            if usize::from(*window) == index && (from..to).contains(start_ms) {
                *difference.entry((*start_ms, group.iter().map(|text| text.to_string()).collect())).or_default() -= amount;
            }
        }
        drift.events += difference.values().map(|d| u64::try_from(d.unsigned_abs()).unwrap_or(u64::MAX)).sum::<u64>();
    }
    Ok(Some(drift))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_windows_that_are_over_are_compared() {
        let of = |minutes: i64| {
            let mut window = Stream::builtin().windows[0].clone();
            window.every_ms = minutes * 60_000;
            closed(&window, (7 * 60_000, 17 * 60_000)).map(|(from, to)| (from / 60_000, to / 60_000))
        };
        assert_eq!([of(1), of(2), of(5), of(10)], [Some((7, 17)), Some((8, 16)), Some((10, 15)), None]);
    }
}
