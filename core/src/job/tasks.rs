//! The tasks of a run: a job's own, with one task per gold model in place of those that say `models`.

use super::order::order;
use super::{Job, Task, Work};

/// A model, as far as the order of tasks goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelSources<'a> {
    /// Its name, `kpi_dau`.
    pub name: &'a str,
    /// The tables it selects from: `silver.user_events`, `gold.fact_events`.
    pub sources: &'a [String],
}

/// Why a job has no tasks with these models.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    /// A job names a model that is not there.
    #[error("{file}: task {task} names the model `{model}`, and there is none; the models are {known}")]
    UnknownModel {
        /// The job's file.
        file: String,
        /// The task.
        task: String,
        /// The model.
        model: String,
        /// Those that are there.
        known: String,
    },
    /// A model is called like a task, or two tasks name one model.
    #[error(
        "{file}: there would be two tasks called `{name}`; a model's task has the model's name, so give the other one another"
    )]
    TwoOfAName {
        /// The job's file.
        file: String,
        /// The name.
        name: String,
    },
    /// Models select from each other.
    #[error("{file}: the tasks {circle} wait for each other")]
    Circle {
        /// The job's file.
        file: String,
        /// Their names.
        circle: String,
    },
}

impl Job {
    /// The tasks of a run with these models, in an order in which they can be done. A model's task has the model's name and comes
    /// after the tasks of the models that it selects from, or else after what the task `models` comes after; what comes after
    /// `models` comes after every one of its models.
    ///
    /// # Errors
    /// [`TaskError`].
    pub fn tasks_with(&self, models: &[ModelSources<'_>]) -> Result<Vec<Task>, TaskError> {
        let mut tasks: Vec<Task> = Vec::new();
        let mut groups: Vec<(&str, Vec<String>)> = Vec::new();
        for task in &self.tasks {
            let Work::Models(named) = &task.work else {
                tasks.push(task.clone());
                continue;
            };
            if let Some(unknown) = named.iter().find(|name| !models.iter().any(|m| m.name == name.as_str())) {
                let known: Vec<&str> = models.iter().map(|m| m.name).collect();
                return Err(TaskError::UnknownModel {
                    file: self.file.clone(),
                    task: task.name.clone(),
                    model: unknown.clone(),
                    known: known.join(", "),
                });
            }
            let chosen: Vec<&ModelSources<'_>> =
                models.iter().filter(|m| named.is_empty() || named.iter().any(|name| name == m.name)).collect();
            for model in &chosen {
                let upstream = |m: &&&ModelSources<'_>| model.sources.iter().any(|s| s.strip_prefix("gold.") == Some(m.name));
                let mut after: Vec<String> = chosen.iter().filter(upstream).map(|m| m.name.to_owned()).collect();
                if after.is_empty() {
                    after.clone_from(&task.after);
                }
                tasks.push(Task { name: model.name.to_owned(), work: Work::Models(vec![model.name.to_owned()]), after });
            }
            // Without any model, what comes after them comes after what they come after.
            let stand_in =
                if chosen.is_empty() { task.after.clone() } else { chosen.iter().map(|m| m.name.to_owned()).collect() };
            groups.push((&task.name, stand_in));
        }
        // In the order of the file, so that a group that comes after a group is resolved by the one before.
        let mut resolved: Vec<(&str, Vec<String>)> = Vec::new();
        for (name, stand_in) in groups {
            resolved.push((name, replace(&stand_in, &resolved)));
        }
        for task in &mut tasks {
            task.after = replace(&task.after, &resolved);
        }
        self.in_order(tasks)
    }

    fn in_order(&self, tasks: Vec<Task>) -> Result<Vec<Task>, TaskError> {
        for (n, task) in tasks.iter().enumerate() {
            if tasks.iter().take(n).any(|earlier| earlier.name == task.name) {
                return Err(TaskError::TwoOfAName { file: self.file.clone(), name: task.name.clone() });
            }
        }
        let at = |name: &String| tasks.iter().position(|t| t.name == *name);
        let after: Vec<Vec<usize>> = tasks.iter().map(|t| t.after.iter().filter_map(at).collect()).collect();
        match order(&after) {
            Ok(order) => Ok(order.into_iter().map(|n| tasks[n].clone()).collect()),
            Err(circle) => {
                let names: Vec<&str> = circle.0.iter().map(|n| tasks[*n].name.as_str()).collect();
                Err(TaskError::Circle { file: self.file.clone(), circle: names.join(", ") })
            }
        }
    }
}

/// Names, with those of groups replaced by what stands in for them; each once.
fn replace(names: &[String], groups: &[(&str, Vec<String>)]) -> Vec<String> {
    let mut replaced: Vec<String> = Vec::new();
    for name in names {
        let stand_in = groups.iter().find(|(group, _)| group == name);
        for name in stand_in.map_or(std::slice::from_ref(name), |(_, stand_in)| stand_in) {
            if !replaced.contains(name) {
                replaced.push(name.clone());
            }
        }
    }
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILVER: &str = "silver.user_events";

    fn tasks(job: &Job, models: &[(&str, &[&str])]) -> Result<Vec<String>, TaskError> {
        let sources: Vec<Vec<String>> = models.iter().map(|(_, s)| s.iter().map(|s| (*s).to_owned()).collect()).collect();
        let models: Vec<ModelSources<'_>> =
            models.iter().zip(&sources).map(|((name, _), sources)| ModelSources { name, sources }).collect();
        let tasks = job.tasks_with(&models)?;
        Ok(tasks.iter().map(|t| format!("{} < {}", t.name, t.after.join(" "))).collect())
    }

    fn etl() -> Job {
        Job::builtin().remove(0)
    }

    #[test]
    fn each_model_is_a_task_after_the_models_that_it_selects_from() {
        let models: [(&str, &[&str]); 3] = [("dim_users", &["gold.user_days"]), ("user_days", &[SILVER]), ("kpi_dau", &[SILVER])];
        assert_eq!(
            tasks(&etl(), &models).unwrap(),
            [
                "check_bronze < ",
                "silver < check_bronze",
                "user_days < silver",
                "dim_users < user_days",
                "kpi_dau < silver",
                "checks < dim_users user_days kpi_dau",
                "publish < checks",
            ]
        );
    }

    #[test]
    fn without_models_the_tasks_around_them_follow_each_other() {
        assert_eq!(
            tasks(&etl(), &[]).unwrap(),
            ["check_bronze < ", "silver < check_bronze", "checks < silver", "publish < checks"]
        );
    }

    #[test]
    fn a_job_may_name_some_models() {
        let text = "name = \"some\"\n[[task]]\nrun = \"models\"\nmodels = [\"kpi_dau\"]\n[[task]]\nrun = \"publish\"\nafter = \"models\"\n";
        let job = Job::parse(text, "jobs/some.toml").unwrap();
        let models: [(&str, &[&str]); 2] = [("kpi_dau", &["gold.user_days"]), ("user_days", &[SILVER])];
        assert_eq!(tasks(&job, &models).unwrap(), ["kpi_dau < ", "publish < kpi_dau"]);
        let unknown = tasks(&job, &[("user_days", &[SILVER])]).unwrap_err().to_string();
        assert!(unknown.contains("kpi_dau") && unknown.contains("the models are user_days"), "{unknown}");
    }

    #[test]
    fn names_that_clash_and_circles_are_refused() {
        let clash = tasks(&etl(), &[("checks", &[SILVER])]).unwrap_err();
        assert!(matches!(clash, TaskError::TwoOfAName { ref name, .. } if name == "checks"), "{clash}");
        let circle = tasks(&etl(), &[("a", &["gold.b"]), ("b", &["gold.a"])]).unwrap_err();
        assert!(matches!(circle, TaskError::Circle { .. }), "{circle}");
    }
}
