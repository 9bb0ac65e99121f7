//! Which days a table's rows changed in, between two versions.
//!
//! Only what its commits call a change of data counts: a rewrite of the same rows into other files is none.

use std::collections::BTreeSet;

use deltalake::kernel::Action;
use deltalake::logstore::LogStoreRef;
use futures::TryStreamExt;

use super::LakeError;
use super::files::date_of;
use super::snapshot::{attempts, entries};

/// What changed in some versions of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Days of files with other rows than before, added or removed.
    pub days: BTreeSet<i32>,
    /// Files without a day did, too: any day may have changed.
    pub undated: bool,
    /// The table's columns or partitioning may have changed.
    pub redefined: bool,
    /// Versions that changed rows.
    pub commits: u64,
    /// Rows in the files that came, as far as their statistics say.
    pub rows_added: u64,
}

impl Changes {
    /// Whether nothing changed that a reader of rows could see.
    pub fn is_empty(&self) -> bool {
        self.commits == 0 && !self.redefined
    }
}

/// What changed in the versions above `after`, up to and including `until`; none when the log no longer has all of them, or has never
/// had them.
///
/// # Errors
/// When the log cannot be read.
pub async fn changes(store: &LogStoreRef, after: u64, until: u64) -> Result<Option<Changes>, LakeError> {
    if after > until {
        return Ok(None);
    }
    attempts(|| read(store, after, until)).await
}

async fn read(store: &LogStoreRef, after: u64, until: u64) -> Result<Option<Changes>, LakeError> {
    let mut changes = Changes::default();
    if after == until {
        return Ok(Some(changes));
    }
    let mut entries = entries(store, after + 1..=until);
    while let Some((_, actions)) = entries.try_next().await? {
        let Some(actions) = actions else { return Ok(None) };
        let mut changed = false;
        for action in actions {
            let day = match action {
                Action::Add(add) if add.data_change => {
                    changes.rows_added += add.stats.as_deref().and_then(super::files::rows_in).unwrap_or(0);
                    date_of(texts(&add.partition_values), &add.path)
                }
                Action::Remove(remove) if remove.data_change => {
                    date_of(remove.partition_values.as_ref().map(texts).into_iter().flatten(), &remove.path)
                }
                Action::Metadata(_) | Action::Protocol(_) => {
                    changes.redefined = true;
                    continue;
                }
                _ => continue,
            };
            changed = true;
            match day {
                Some(day) => _ = changes.days.insert(day),
                None => changes.undated = true,
            }
        }
        changes.commits += u64::from(changed);
    }
    Ok(Some(changes))
}

fn texts(values: &std::collections::HashMap<String, Option<String>>) -> impl Iterator<Item = (&str, Option<&str>)> {
    values.iter().map(|(key, value)| (key.as_str(), value.as_deref()))
}
