//! `tributary jobs show`: a job on one screen, with a task for each model, and its file.

use std::fmt::Write;

use anyhow::Result;
use chrono::{DateTime, Utc};
use tributary_actors::serving::history::Run;
use tributary_core::job::Job;

use super::super::desk::{self, with_history};
use super::super::session::Session;
use super::super::{declared, output};
use super::strip;
use crate::inspect::jobs::{JobDetail, Past, next, past, state};
use crate::inspect::plan::TaskShown;
use crate::words;

pub(super) fn show(session: &Session, job: &Job, json: bool) -> Result<()> {
    let known = with_history(session, async |history| history.ask(async |connection| past(connection, job).await).await);
    let known = known.map_err(|error| eprintln!("how it went is not known: {error:#}")).ok();
    let plan = desk::runtime()?.block_on(desk::plan(session, job))?;
    if json {
        return output::print_json(&JobDetail::new(job, Some(&plan), known));
    }
    let mut text = head(job, known.as_ref(), Utc::now());
    text += "\n";
    text += &output::table(&["TASK", "DOES", "AFTER"], plan.shown().into_iter().map(row).collect());
    for problem in plan.models.broken.values() {
        let _ = write!(text, "\n{problem}\n");
    }
    let folder = &session.settings().batch.jobs_dir;
    let files = declared::job_files(folder.as_ref(), session.loaded.is_default("batch.jobs_dir"))?;
    if let Some((file, content)) = files.iter().find(|(file, _)| *file == job.file) {
        let _ = write!(text, "\n{file}:\n\n");
        content.lines().for_each(|line| _ = writeln!(text, "  {line}"));
    }
    output::print(&text)
}

fn head(job: &Job, known: Option<&(Past, Vec<Run>)>, now: DateTime<Utc>) -> String {
    let mut text = job.name.clone();
    if !job.aliases.is_empty() {
        let _ = write!(text, " (also: {})", job.aliases.join(", "));
    }
    text += "\n";
    let mut line = |name: &str, what: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {name:<9} {what}");
    };
    if !job.description.is_empty() {
        line("does", job.description.clone());
    }
    if !job.owner.is_empty() {
        line("owner", job.owner.clone());
    }
    if !job.tags.is_empty() {
        line("tags", job.tags.join(", "));
    }
    let catch_up = if job.catch_up { "; what was missed is made up for" } else { "" };
    line("schedule", format!("{}{catch_up}", job.schedule.words()));
    let delay = words::duration(job.retry_delay);
    let tries = match job.retries {
        0 => "none".into(),
        n => format!("{n} of each task, {delay} after it failed"),
    };
    line("retries", format!("{tries}; ends after {}", words::duration(job.timeout)));
    let Some((past, runs)) = known else { return text };
    let mut how = state(past).to_owned();
    if let (true, Some(by)) = (past.paused, &past.paused_by) {
        let _ = write!(how, " by {by} {}", words::ago_or(past.paused_at, now, ""));
    }
    line("state", format!("{}; next run {}", how.trim_end(), next(job, past, now)));
    let last = runs.first().map_or_else(String::new, |run| {
        let took = words::between(run.started_at, run.ended_at, now);
        format!("; the last is run {}: {} in {took}", run.id, run.state)
    });
    line("runs", format!("{}, last success {}{last}", strip(&past.last_runs), words::ago_or(past.last_success_at, now, "never")));
    text
}

fn row(task: TaskShown) -> Vec<String> {
    const MOST: usize = 3;
    let more = task.after.len().saturating_sub(MOST);
    let mut after = task.after.iter().take(MOST).cloned().collect::<Vec<_>>().join(", ");
    if more > 0 {
        let _ = write!(after, " +{more}");
    }
    vec![task.task, task.does, after]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_job_does_not_say_has_no_line() {
        let job = Job::builtin().remove(0);
        let said = head(&job, None, Utc::now());
        assert!(said.contains("  owner     data-platform\n") && said.contains("  tags      lakehouse"), "{said}");
        let bare = Job { owner: String::new(), tags: Vec::new(), description: String::new(), ..job };
        let said = head(&bare, None, Utc::now());
        assert!(!said.contains("owner") && !said.contains("tags") && !said.contains("does "), "{said}");
    }
}
