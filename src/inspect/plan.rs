//! What a run of a job is made of: the models, the tasks with one for each of them, and what each does, in words.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::NaiveDate;
use schemars::JsonSchema;
use serde::Serialize;
use tributary_actors::{batch_coordinator, engine};
use tributary_batch::models::Models;
use tributary_core::job::{Job, Task, TaskError, Work};
use tributary_core::model::{Materialize, Planned};

use crate::acts::Refused;

/// The models, and a job's tasks with one for each of them.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// As they were read.
    pub(crate) models: Arc<Models>,
    /// In an order in which they can be done.
    pub(crate) tasks: Vec<Task>,
}

impl Plan {
    /// Of a job with these models.
    pub(crate) fn new(job: &Job, models: Arc<Models>) -> Result<Self, TaskError> {
        let read = engine::Models { planned: models.planned.clone(), broken: models.broken.clone() };
        Ok(Self { tasks: batch_coordinator::tasks(job, &read)?, models })
    }

    /// Refuses a task that the job does not have.
    pub(crate) fn check(&self, job: &Job, task: Option<&str>) -> Result<(), Refused> {
        match task {
            Some(name) if !self.tasks.iter().any(|task| task.name == name) => {
                let known = self.tasks.iter().map(|task| task.name.as_str());
                Err(Refused::unknown(&format!("task of {}", job.name), name, known))
            }
            _ => Ok(()),
        }
    }

    /// Each task, in words.
    pub(crate) fn shown(&self) -> Vec<TaskShown> {
        let shown =
            |task: &Task| TaskShown { task: task.name.clone(), does: does(&task.work, &self.models), after: task.after.clone() };
        self.tasks.iter().map(shown).collect()
    }

    /// The model that this task builds; none: it builds none, or a broken one.
    pub(crate) fn model(&self, task: &Task) -> Option<&Arc<Planned>> {
        match &task.work {
            Work::Models(names) => self.models.planned.iter().find(|planned| names.contains(&planned.model.name)),
            _ => None,
        }
    }
}

/// A task, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct TaskShown {
    /// Its name.
    pub(crate) task: String,
    /// In words.
    pub(crate) does: String,
    /// Tasks that must have succeeded before.
    pub(crate) after: Vec<String>,
}

/// A day as the lake has it: days since 1970.
pub(crate) fn day_number(day: NaiveDate) -> i32 {
    i32::try_from((day - NaiveDate::default()).num_days()).unwrap_or(0)
}

/// Days that were asked for; none: nobody asked for any.
pub(crate) fn day_numbers(days: &BTreeSet<NaiveDate>) -> Option<BTreeSet<i32>> {
    (!days.is_empty()).then(|| days.iter().copied().map(day_number).collect())
}

/// What a task does.
pub(crate) fn does(work: &Work, models: &Models) -> String {
    match work {
        Work::CheckBronze => "nothing else runs when bronze is empty".into(),
        Work::Silver => "bronze to silver: what is new, valid and not there yet".into(),
        Work::Models(names) => names.iter().map(|name| model(name, models)).collect::<Vec<_>>().join("; "),
        Work::Checks => "the models' tests".into(),
        Work::Publish => "tested gold tables to PostgreSQL, in one transaction".into(),
        Work::Checkpoint => "checkpoints of every table's log".into(),
        Work::CleanLog => "deletes old log entries".into(),
        Work::Compact => "small files of closed days into large ones".into(),
        Work::Vacuum => "deletes files that no version needs any more".into(),
        Work::RetainRealtime => "deletes old windows in realtime".into(),
        Work::RetainOps => "deletes old runs and their log lines".into(),
    }
}

fn model(name: &str, models: &Models) -> String {
    match models.planned.iter().find(|planned| planned.model.name == name) {
        Some(planned) => about(planned),
        None => format!("gold.{name}: broken, see below"),
    }
}

/// `gold.kpi_dau by day from gold.user_days, published as gold.daily_active_users`.
pub(crate) fn about(planned: &Planned) -> String {
    let how = match planned.model.materialize {
        Materialize::ByDay => "by day",
        Materialize::Rollup => "whole",
    };
    let published = planned.model.publish.as_ref().map_or_else(String::new, |table| format!(", published as gold.{table}"));
    format!("{} {how} from {}{published}", planned.model.table(), planned.sources.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_a_job_has_not_is_refused_with_those_it_has() {
        let job = Job::builtin().into_iter().find(|job| job.name == "lakehouse_maintenance").unwrap();
        let plan = Plan::new(&job, Arc::default()).unwrap();
        assert_eq!(plan.check(&job, None), Ok(()));
        assert_eq!(plan.check(&job, Some(&plan.tasks[0].name)), Ok(()));
        let refused = plan.check(&job, Some("silver")).unwrap_err();
        assert!(refused.words.contains(&plan.tasks[0].name), "{refused}");
    }

    #[test]
    fn days_are_counted_from_1970() {
        let day = |text: &str| crate::words::day(text).unwrap();
        assert_eq!(day_numbers(&BTreeSet::new()), None);
        assert_eq!(day_numbers(&BTreeSet::from([day("1970-01-02"), day("1970-01-01")])), Some(BTreeSet::from([0, 1])));
    }
}
