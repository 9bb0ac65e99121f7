//! Consumer groups: [`group`] is the state machine of one, [`join`] and [`sync`] are its two halves, [`offsets`] is what
//! they commit, and the [`Coordinator`] here finds a group by name and keeps its clock.
//!
//! May assume: members are ordinary clients of the classic protocol. Promises: a group's members live in memory (after a
//! restart they join again by themselves), its offsets on disk; a timer runs only for groups that have members.

pub(crate) mod group;
pub(crate) mod join;
pub(crate) mod offsets;
pub(crate) mod sync;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use group::{Group, Phase};

/// A group and the bell of its timer.
#[derive(Debug)]
struct Entry {
    group: Mutex<Group>,
    changed: Notify,
}

impl Entry {
    fn lock(&self) -> MutexGuard<'_, Group> {
        self.group.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All groups that have or had members since the start.
#[derive(Debug, Default)]
pub(crate) struct Coordinator {
    groups: Mutex<BTreeMap<String, Arc<Entry>>>,
}

impl Coordinator {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Entry>>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works on a group, if it is known.
    pub(crate) fn with<T>(&self, id: &str, work: impl FnOnce(&mut Group, Instant) -> T) -> Option<T> {
        let entry = self.lock().get(id).cloned()?;
        let mut group = entry.lock();
        if group.phase == Phase::Dead {
            return None;
        }
        let done = work(&mut group, Instant::now());
        drop(group);
        entry.changed.notify_one();
        Some(done)
    }

    /// Works on a group, which is made if it is not known. Must be called on the runtime: the group's timer lives there.
    pub(crate) fn with_new<T>(&self, id: &str, work: impl FnOnce(&mut Group, Instant) -> T) -> T {
        let mut groups = self.lock();
        let entry = groups.entry(id.to_owned()).or_insert_with(|| {
            let group = Mutex::new(Group::new(id.to_owned()));
            let entry = Arc::new(Entry { group, changed: Notify::new() });
            tokio::spawn(keep_time(entry.clone()));
            entry
        });
        let entry = entry.clone();
        // The group is locked while the map still is, so that nobody can remove it in between.
        let mut group = entry.lock();
        drop(groups);
        let done = work(&mut group, Instant::now());
        drop(group);
        entry.changed.notify_one();
        done
    }

    /// Looks at every group.
    pub(crate) fn each(&self, mut look: impl FnMut(&Group)) {
        for entry in self.lock().values() {
            look(&entry.lock());
        }
    }

    /// Removes a group that has no members; false when it has some. An unknown group counts as removed.
    pub(crate) fn remove_empty(&self, id: &str) -> bool {
        let mut groups = self.lock();
        let Some(entry) = groups.get(id).cloned() else { return true };
        let mut group = entry.lock();
        if !group.members.is_empty() || !group.pending.is_empty() {
            return false;
        }
        group.phase = Phase::Dead;
        groups.remove(id);
        entry.changed.notify_one();
        true
    }
}

/// A group's timer: sleeps until the next deadline or until somebody has touched the group.
async fn keep_time(entry: Arc<Entry>) {
    loop {
        let next = {
            let mut group = entry.lock();
            if group.phase == Phase::Dead {
                return;
            }
            group.tick(Instant::now())
        };
        match next {
            Some(deadline) => {
                tokio::select! {
                    () = tokio::time::sleep_until(deadline) => {}
                    () = entry.changed.notified() => {}
                }
            }
            None => entry.changed.notified().await,
        }
    }
}
