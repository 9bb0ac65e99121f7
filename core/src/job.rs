//! A job: what is done, when, and how often it is tried. Data, not code.
//!
//! Assumes nothing about where the text came from. Promises that a [`Job`] in hand is coherent: its tasks come in an order in which they
//! can be done, each comes after tasks that exist, its cron pattern and time zone are understood and happen sometimes.

use std::ops::Range;
use std::time::Duration;

use crate::declare::Source;

mod declaration;
mod order;
mod schedule;
mod tasks;

pub use crate::declare::DeclarationError;
pub use tasks::{ModelSources, TaskError};

/// Files and texts of the jobs that are compiled in.
pub const BUILTIN: [(&str, &str); 2] = [
    ("jobs/lakehouse_bronze_to_gold.toml", include_str!("../../jobs/lakehouse_bronze_to_gold.toml")),
    ("jobs/lakehouse_maintenance.toml", include_str!("../../jobs/lakehouse_maintenance.toml")),
];

/// When a job begins by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schedule {
    /// Again and again, this long after the last beginning.
    Every {
        /// How long.
        interval: Duration,
        /// Only when bronze has rows that the job has not seen.
        only_new_data: bool,
    },
    /// By the clock.
    Cron {
        /// Five fields: minute, hour, day, month, weekday.
        pattern: String,
        /// `Europe/Berlin`; the pattern's hours are of that place.
        timezone: String,
    },
    /// Only when somebody says so.
    Manual,
}

/// What one task does. In a job's file these are `check_bronze`, `silver`, `models` and so on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Whether there is anything in bronze; nothing else runs when there is not.
    CheckBronze,
    /// Bronze to silver.
    Silver,
    /// These gold models; where a job's file names none, all of them. [`Job::tasks_with`] makes one task of each.
    Models(Vec<String>),
    /// The models' tests.
    Checks,
    /// Gold to PostgreSQL, in one transaction.
    Publish,
    /// Checkpoints of every table's log.
    Checkpoint,
    /// Old log entries.
    CleanLog,
    /// Small files into large ones.
    Compact,
    /// Files that no version needs any more.
    Vacuum,
    /// Old windows in `realtime`.
    RetainRealtime,
    /// Old runs and their log lines.
    RetainOps,
}

/// One task of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Unique within the job.
    pub name: String,
    /// What it does.
    pub work: Work,
    /// Tasks that must have succeeded before.
    pub after: Vec<String>,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Name.
    pub name: String,
    /// Other names that people know it by.
    pub aliases: Vec<String>,
    /// The file, as errors call it.
    pub file: String,
    /// One line for people.
    pub description: String,
    /// Who answers for it.
    pub owner: String,
    /// For finding it.
    pub tags: Vec<String>,
    /// When it begins by itself.
    pub schedule: Schedule,
    /// Whether runs that were due while nothing ran, or during a pause, are made up for, one each; else there is one for all of them.
    pub catch_up: bool,
    /// Whether it begins by itself from the first day on.
    pub enabled: bool,
    /// Further attempts of a failed task.
    pub retries: u32,
    /// Between two attempts.
    pub retry_delay: Duration,
    /// A run that takes longer is cancelled.
    pub timeout: Duration,
    /// What is done, in an order in which it can be done.
    pub tasks: Vec<Task>,
}

impl Job {
    /// Reads a declaration (`jobs/*.toml`). `file` is only what errors call it.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line and what to write instead.
    pub fn parse(text: &str, file: &str) -> Result<Self, DeclarationError> {
        declaration::parse(Source { file, text }).map(|(job, _)| job)
    }

    /// The jobs that are compiled in: [`BUILTIN`].
    pub fn builtin() -> Vec<Self> {
        match parse_all(&BUILTIN) {
            Ok(jobs) => jobs,
            // A test reads them, so that a broken file never leaves the house.
            Err(e) => panic!("{e}"),
        }
    }

    /// Whether people call it that.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aliases.iter().any(|alias| alias == name)
    }
}

/// Reads several declarations, given as `(file, text)`, and checks that no two jobs share a name or an alias.
///
/// # Errors
/// The first thing that is wrong. Of two jobs that clash, the later one is pointed at and the earlier one is named.
pub fn parse_all<N: AsRef<str>, T: AsRef<str>>(files: &[(N, T)]) -> Result<Vec<Job>, DeclarationError> {
    let (jobs, broken) = parse_each(files);
    broken.into_iter().next().map_or(Ok(jobs), Err)
}

/// The same, file by file: the jobs that can be run, and what is wrong with the other files.
pub fn parse_each<N: AsRef<str>, T: AsRef<str>>(files: &[(N, T)]) -> (Vec<Job>, Vec<DeclarationError>) {
    let (mut jobs, mut broken) = (Vec::<Job>::with_capacity(files.len()), Vec::new());
    for (file, text) in files {
        let source = Source { file: file.as_ref(), text: text.as_ref() };
        match declaration::parse(source) {
            Ok((job, names)) => match taken(source, &names, &jobs) {
                Some(error) => broken.push(error),
                None => jobs.push(job),
            },
            Err(error) => broken.push(error),
        }
    }
    (jobs, broken)
}

/// What is wrong with names that an earlier job has.
fn taken(source: Source<'_>, names: &[(String, Range<usize>)], jobs: &[Job]) -> Option<DeclarationError> {
    names.iter().enumerate().find_map(|(n, (name, span))| {
        let earlier = jobs.iter().find(|earlier| earlier.is_called(name))?;
        let problem = format!("`{name}` is already taken by {}", earlier.file);
        let place = if n == 0 { "name" } else { "aliases" };
        Some(source.error(span.clone(), place, problem, "choose another one here, or remove one of the two files"))
    })
}
