//! When a job begins by itself, and whether it has anything to do then.
//!
//! A young lake is built more often: the time to the next run is what has passed since the first one, at least ten seconds and at most
//! the interval. So a newcomer sees every table fill within a minute, and an old lake costs what its file says.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use tributary_core::job::{Job, Schedule};

use super::{World, silver};
use crate::serving::ServingError;
use crate::serving::history::{self, RunState, ScheduleRow, Which};

const YOUNGEST: Duration = Duration::from_secs(10);

/// What a leader knows of a job.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Whether its history was read.
    pub(super) is_known: bool,
    /// Whether a run of it has begun since this leader leads: the first one finishes what others left.
    pub(super) started: bool,
    /// A run of it panicked and is to be taken over.
    pub(super) panicked: bool,
    /// The first run that had something to do.
    first: Option<DateTime<Utc>>,
    /// The last one.
    last: Option<DateTime<Utc>>,
    last_failed: bool,
    /// The models of the last run.
    models: Option<u64>,
}

/// States of runs that had something to do.
pub(super) const WORKED: [RunState; 3] = [RunState::Succeeded, RunState::Failed, RunState::Cancelled];

impl Seen {
    /// What the history says.
    pub(super) async fn of(connection: &mut PgConnection, job: &str) -> Result<Self, ServingError> {
        let which = Which { job: Some(job.to_owned()), states: WORKED.to_vec(), limit: 1, ..Which::default() };
        let newest = history::runs(connection, &which).await?;
        let first = history::first_started(connection, job).await?;
        Ok(Self {
            is_known: true,
            first,
            last: newest.first().and_then(|run| run.started_at),
            last_failed: newest.first().is_some_and(|run| run.state == RunState::Failed),
            ..Self::default()
        })
    }

    /// A run has ended like this: look at the history again, keep what it does not have.
    pub(super) fn ended(&mut self, state: RunState) {
        self.is_known = false;
        self.last_failed = state == RunState::Failed;
    }

    /// The same, read anew.
    pub(super) async fn again(&self, connection: &mut PgConnection, job: &str) -> Result<Self, ServingError> {
        Ok(Self { started: self.started, panicked: self.panicked, models: self.models, ..Self::of(connection, job).await? })
    }

    /// When the job is due; in the past: now.
    pub(super) fn next_due(&self, job: &Job, row: Option<&ScheduleRow>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let declared = || job.next_due(row.and_then(|row| row.last_due_at), row.map_or(now, |row| row.first_seen_at), now);
        match &job.schedule {
            Schedule::Manual => None,
            Schedule::Every { interval, only_new_data } => match (self.first, self.last) {
                (Some(first), Some(last)) if *only_new_data => {
                    let age = (last - first).to_std().unwrap_or_default();
                    Some(last + age.clamp(YOUNGEST.min(*interval), *interval))
                }
                (_, Some(last)) if *only_new_data => Some(last + *interval),
                // Nothing has come in yet: it is looked for all the time.
                _ if *only_new_data => Some(row.map_or(now, |row| row.first_seen_at)),
                _ => declared(),
            },
            Schedule::Cron { .. } => declared(),
        }
    }

    /// Whether a job that is due has anything to do.
    pub(super) async fn is_wanted(&mut self, job: &Job, world: &World) -> bool {
        let Schedule::Every { only_new_data: true, .. } = job.schedule else { return true };
        let models = fingerprint(&world.models_dir);
        let edited = self.models.replace(models).is_some_and(|before| before != models);
        // What cannot be looked at is run, so that its failure is seen.
        edited || !self.started || self.last_failed || silver::is_behind(world).await.unwrap_or(true)
    }
}

/// Changes when a file of a model does.
fn fingerprint(folder: &Path) -> u64 {
    let mut files: Vec<_> = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in files {
        if let Ok(text) = std::fs::read(&file) {
            (file, text).hash(&mut hasher);
        }
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    fn job(seconds: u64) -> Job {
        let schedule = Schedule::Every { interval: Duration::from_secs(seconds), only_new_data: true };
        Job {
            name: "j".into(),
            aliases: Vec::new(),
            file: "j.toml".into(),
            description: String::new(),
            owner: String::new(),
            tags: Vec::new(),
            schedule,
            catch_up: false,
            enabled: true,
            retries: 0,
            retry_delay: Duration::ZERO,
            timeout: Duration::from_secs(60),
            tasks: Vec::new(),
        }
    }

    #[test]
    fn a_young_lake_is_built_more_often_and_an_old_one_as_its_file_says() {
        let start = DateTime::<Utc>::UNIX_EPOCH;
        let (mut at, mut waits) = (start, Vec::new());
        for _ in 0..8 {
            let seen = Seen { first: Some(start), last: Some(at), ..Seen::default() };
            let next = seen.next_due(&job(300), None, at).unwrap();
            waits.push((next - at).num_seconds());
            at = next;
        }
        assert_eq!(waits, [10, 10, 20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn a_job_that_never_ran_is_due_at_once() {
        let now = DateTime::<Utc>::UNIX_EPOCH + TimeDelta::days(1);
        assert_eq!(Seen::default().next_due(&job(300), None, now), Some(now));
        // Also when a run of it found an empty bronze.
        let first_seen_at = now - TimeDelta::seconds(1);
        let row = ScheduleRow {
            job: "j".into(),
            first_seen_at,
            paused: false,
            paused_at: None,
            paused_by: None,
            last_due_at: Some(first_seen_at),
            next_due_at: None,
        };
        assert_eq!(Seen::default().next_due(&job(300), Some(&row), now), Some(first_seen_at));
    }
}
