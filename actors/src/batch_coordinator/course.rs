//! The course of one run: which task comes next, what waits for another attempt, what cannot run any more. No clock, no I/O.
//!
//! Assumes tasks in an order in which they can be done. A failed task takes everything with it that comes after it, but for those
//! that work on whatever is good ([`Work::Checks`], [`Work::Publish`]): a broken model must not hold up the others.

use std::time::Duration;

use tributary_core::job::{Task, Work};

/// Where a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its turn has not come.
    Waiting,
    /// It failed and is tried again at this time.
    Retrying(Duration),
    /// It is being done.
    Running,
    /// Done.
    Succeeded,
    /// There was nothing to do, and nothing for what follows.
    Skipped,
    /// No attempt is left.
    Failed,
    /// Something before it failed.
    UpstreamFailed,
}

impl State {
    fn is_final(self) -> bool {
        !matches!(self, Self::Waiting | Self::Retrying(_) | Self::Running)
    }
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// This task.
    Run(usize),
    /// Nothing before that time.
    Wait(Duration),
    /// Everything has ended.
    Ended,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done,
    /// There is nothing to do for the whole run.
    Nothing,
    /// It failed; another attempt may help.
    Failed,
    /// It failed; no attempt helps.
    Refused,
}

/// One run's tasks, in the hands of one leader: what an earlier one tried does not count against the retries.
#[derive(Debug)]
pub struct Course {
    tasks: Vec<Task>,
    states: Vec<State>,
    attempts: Vec<u32>,
    retries: u32,
    delay: Duration,
}

impl Course {
    /// Of these tasks, each tried `retries` times more, `delay` after it failed.
    pub fn new(tasks: Vec<Task>, retries: u32, delay: Duration) -> Self {
        let n = tasks.len();
        Self { tasks, states: vec![State::Waiting; n], attempts: vec![0; n], retries, delay }
    }

    /// The tasks.
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// Where each task is.
    pub fn states(&self) -> &[State] {
        &self.states
    }

    /// What to do at `now` (time since any fixed start). A task that is returned is running until [`Course::ended`].
    pub fn next(&mut self, now: Duration) -> Next {
        let mut earliest: Option<Duration> = None;
        for at in 0..self.tasks.len() {
            match self.states[at] {
                State::Waiting => match self.verdict(at) {
                    Some(State::Running) => return self.begin(at),
                    Some(state) => self.states[at] = state,
                    None => {}
                },
                State::Retrying(when) if when <= now => return self.begin(at),
                State::Retrying(when) => earliest = Some(earliest.map_or(when, |e| e.min(when))),
                _ => {}
            }
        }
        earliest.map_or(Next::Ended, Next::Wait)
    }

    fn begin(&mut self, at: usize) -> Next {
        self.states[at] = State::Running;
        self.attempts[at] += 1;
        Next::Run(at)
    }

    /// What becomes of a waiting task; none while something before it is under way.
    fn verdict(&self, at: usize) -> Option<State> {
        let task = &self.tasks[at];
        let before = task.after.iter().filter_map(|name| self.tasks.iter().position(|t| t.name == *name)).map(|i| self.states[i]);
        let before: Vec<State> = before.collect();
        if !before.iter().all(|s| s.is_final()) {
            return None;
        }
        if before.contains(&State::Skipped) {
            return Some(State::Skipped);
        }
        let good = before.iter().all(|s| *s == State::Succeeded);
        if good || matches!(task.work, Work::Checks | Work::Publish) { Some(State::Running) } else { Some(State::UpstreamFailed) }
    }

    /// The attempt that was running has ended; its next state.
    pub fn ended(&mut self, at: usize, outcome: Outcome, now: Duration) -> State {
        let state = match outcome {
            Outcome::Done => State::Succeeded,
            Outcome::Nothing => State::Skipped,
            Outcome::Failed if self.attempts[at] <= self.retries => State::Retrying(now + self.delay),
            Outcome::Failed | Outcome::Refused => State::Failed,
        };
        self.states[at] = state;
        state
    }

    /// The tasks that failed.
    pub fn failed(&self) -> Vec<&str> {
        self.tasks.iter().zip(&self.states).filter(|(_, s)| **s == State::Failed).map(|(t, _)| t.name.as_str()).collect()
    }
}

/// The tasks of a run: all, one alone, or those of the plan from one on. None: there is no such task.
pub fn choose(tasks: &[Task], only: Option<&str>, from: Option<&str>) -> Option<Vec<Task>> {
    let place = |name: &str| tasks.iter().position(|t| t.name == name);
    let range = match (only, from) {
        (Some(name), _) => place(name).map(|at| at..at + 1)?,
        (None, Some(name)) => place(name).map(|at| at..tasks.len())?,
        (None, None) => 0..tasks.len(),
    };
    let chosen = &tasks[range];
    let is_chosen = |name: &String| chosen.iter().any(|t| t.name == *name);
    Some(chosen.iter().map(|t| Task { after: t.after.iter().filter(|a| is_chosen(a)).cloned().collect(), ..t.clone() }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn task(name: &str, work: Work, after: &[&str]) -> Task {
        Task { name: name.into(), work, after: after.iter().map(|a| (*a).to_owned()).collect() }
    }

    fn dag() -> Vec<Task> {
        let model = |name: &str| Work::Models(vec![name.to_owned()]);
        vec![
            task("check_bronze", Work::CheckBronze, &[]),
            task("silver", Work::Silver, &["check_bronze"]),
            task("user_days", model("user_days"), &["silver"]),
            task("kpi_dau", model("kpi_dau"), &["silver"]),
            task("dim_users", model("dim_users"), &["user_days"]),
            task("checks", Work::Checks, &["kpi_dau", "dim_users"]),
            task("publish", Work::Publish, &["checks"]),
        ]
    }

    /// Runs to the end; these tasks fail with this outcome. Names in the order in which they were run.
    fn run(course: &mut Course, failing: &[(&str, Outcome)]) -> Vec<String> {
        let (mut order, mut now) = (Vec::new(), S(0));
        loop {
            match course.next(now) {
                Next::Run(at) => {
                    let name = course.tasks()[at].name.clone();
                    let outcome = failing.iter().find(|(f, _)| *f == name).map_or(Outcome::Done, |(_, o)| *o);
                    course.ended(at, outcome, now);
                    order.push(name);
                }
                Next::Wait(until) => now = until,
                Next::Ended => return order,
            }
        }
    }

    #[test]
    fn tasks_run_in_their_order() {
        let order = run(&mut Course::new(dag(), 2, S(120)), &[]);
        assert_eq!(order, ["check_bronze", "silver", "user_days", "kpi_dau", "dim_users", "checks", "publish"]);
    }

    #[test]
    fn a_broken_model_takes_what_depends_on_it_and_nothing_else() {
        let mut course = Course::new(dag(), 2, S(120));
        let order = run(&mut course, &[("user_days", Outcome::Refused)]);
        assert_eq!(order, ["check_bronze", "silver", "user_days", "kpi_dau", "checks", "publish"]);
        assert_eq!(course.states()[4], State::UpstreamFailed);
        assert_eq!(course.failed(), ["user_days"]);
    }

    #[test]
    fn a_failing_task_is_tried_again_and_then_given_up() {
        let mut course = Course::new(dag(), 2, S(120));
        let order = run(&mut course, &[("silver", Outcome::Failed)]);
        assert_eq!(order.iter().filter(|n| *n == "silver").count(), 3);
        assert_eq!(course.states()[2], State::UpstreamFailed);
    }

    #[test]
    fn others_go_on_while_a_task_waits_for_its_next_attempt() {
        let mut course = Course::new(dag(), 2, S(120));
        let order = run(&mut course, &[("user_days", Outcome::Failed)]);
        let first = order.iter().position(|n| n == "kpi_dau");
        assert!(first < order.iter().rposition(|n| n == "user_days"), "{order:?}");
    }

    #[test]
    fn nothing_to_do_skips_the_rest() {
        let mut course = Course::new(dag(), 2, S(120));
        assert_eq!(run(&mut course, &[("check_bronze", Outcome::Nothing)]), ["check_bronze"]);
        assert!(course.states().iter().all(|s| *s == State::Skipped));
    }

    #[test]
    fn one_task_alone_or_everything_from_it_on() {
        let names = |tasks: Vec<Task>| tasks.into_iter().map(|t| t.name).collect::<Vec<_>>();
        assert_eq!(choose(&dag(), Some("kpi_dau"), None).map(names), Some(vec!["kpi_dau".into()]));
        let from = choose(&dag(), None, Some("user_days")).map(names);
        assert_eq!(from, Some(["user_days", "kpi_dau", "dim_users", "checks", "publish"].map(String::from).to_vec()));
        assert_eq!(choose(&dag(), Some("nope"), None), None);
    }
}
