//! What comes of the forms of a job.

use std::collections::BTreeSet;

use anyhow::Result;
use chrono::NaiveDate;
use maud::{Markup, html};
use tributary_actors::serving::history::Params;
use tributary_core::job::Job;

use super::super::super::asked::Asked;
use super::super::super::doing::{self, only_shows};
use super::super::super::failure::Failure;
use super::super::super::parts::{facts, table, text};
use super::super::super::routes::{Done, Said};
use super::super::super::shell::{Page, said_by};
use crate::acts::Via;
use crate::console::shell_word;
use crate::inspect::estimate::Estimate;
use crate::inspect::forecast::Step;
use crate::inspect::runs::params as said_params;
use crate::words;

/// A run, or what it would do.
pub(crate) async fn run(asked: Asked, said: Said) -> Result<Done> {
    let job = asked.shared.job(asked.name("job"))?;
    let params = params(&said)?;
    if !is_on(&said, "dry_run") {
        let queued = doing::run(&asked, Via::Console, job, params).await?;
        return Ok(Done::See(format!("/runs/{}", queued.run)));
    }
    let steps = doing::dry_run(&asked, &job, &params).await?;
    let page = under(&job).says(format!("{} --dry-run", command(&job, &params)));
    Ok(Done::Read(Box::new(page.fixed("forecast", forecast(&job, &params, &steps, !only_shows(&asked.shared))))))
}

pub(crate) async fn pause(asked: Asked, said: Said) -> Result<Done> {
    set_paused(asked, &said, true).await
}

pub(crate) async fn resume(asked: Asked, said: Said) -> Result<Done> {
    set_paused(asked, &said, false).await
}

async fn set_paused(asked: Asked, said: &Said, paused: bool) -> Result<Done> {
    let job = asked.shared.job(asked.name("job"))?;
    let back = match word(said, "back") {
        Some("/jobs") => "/jobs".to_owned(),
        _ => format!("/jobs/{}", job.name),
    };
    doing::set_paused(&asked, Via::Console, job, paused).await?;
    Ok(Done::See(back))
}

/// Days of the past; without a confirmation, how much that is.
pub(crate) async fn backfill(asked: Asked, said: Said) -> Result<Done> {
    let job = asked.shared.job(asked.name("job"))?;
    let day = |name: &str| word(&said, name).ok_or_else(|| Failure::wrong(format!("the day `{name}` is missing"))).and_then(day);
    let (from, to, force) = (day("from")?, day("to")?, is_on(&said, "force"));
    if word(&said, "confirm") == Some("yes") {
        let queued = doing::backfill(&asked, Via::Console, job, (from, to), force).await?;
        return Ok(Done::See(format!("/runs/{}", queued.run)));
    }
    let estimate = doing::preview(&asked, &job, from, to).await?;
    let page = under(&job).says(format!("tributary backfill {} --from {from} --to {to} --dry-run", job.name));
    Ok(Done::Read(Box::new(page.fixed("preview", preview(&job, &estimate, (from, to), force, !only_shows(&asked.shared))))))
}

fn under(job: &Job) -> Page {
    Page::new("job", &job.name, "/jobs").below("Jobs", "/jobs").below(&job.name, format!("/jobs/{}", job.name))
}

fn forecast(job: &Job, params: &Params, steps: &[Step], may_act: bool) -> Markup {
    let rows: Vec<Vec<Markup>> = steps
        .iter()
        .map(|step| vec![html! { b { (step.task) } }, html! { @for line in &step.would { div.would { (line) } } }])
        .collect();
    let only = said_params(params);
    html! {
        h2 { "What a run would do now" }
        @if !only.is_empty() { p { "Only: " (only) } }
        (table("What each task would do", &["Task", "Would do"], &[], &rows))
        p.note { "Nothing was done." }
        div.toolbar {
            @if may_act {
                form.inline method="post" action={ "/jobs/" (job.name) "/run" } {
                    @if let Some(task) = &params.task { input type="hidden" name="task" value=(task); }
                    @if let Some(task) = &params.from_task { input type="hidden" name="from_task" value=(task); }
                    @if !params.days.is_empty() { input type="hidden" name="days" value=(joined(&params.days)); }
                    @if params.force { input type="hidden" name="force" value="on"; }
                    button.button.primary type="submit" { "Run now" }
                }
                (said_by(&command(job, params)))
            }
            a.button href={ "/jobs/" (job.name) } { "Back to the job" }
        }
    }
}

fn preview(job: &Job, estimate: &Estimate, (from, to): (NaiveDate, NaiveDate), force: bool, may_act: bool) -> Markup {
    let total = estimate.total();
    let row = |name: Markup, days: usize, rows: u64, bytes: u64| {
        vec![name, text(days.to_string()), text(words::count(rows)), text(words::bytes(bytes))]
    };
    let tasks = estimate.tasks.iter().map(|(task, v)| row(html! { b { (task) } }, v.days, v.rows, v.bytes));
    let rows: Vec<Vec<Markup>> = tasks.chain([row(html! { "together" }, total.days, total.rows, total.bytes)]).collect();
    html! {
        h2 { "Backfill " (from) " to " (to) }
        (facts(&[
            ("Days", text(format!("{}, {} of them with rows", words::plural(estimate.days_asked as u64, "day"), total.days))),
            ("Rows read", text(words::count(total.rows))),
            ("Bytes read", text(words::bytes(total.bytes))),
            ("Expected time", text(estimate.time_words())),
        ]))
        (table("What each task reads", &["Task", "Days", "Rows read", "Bytes"], &[1, 2, 3], &rows))
        p.faint { "These days of silver are made anew from bronze, then these days of every gold table; what passes its tests is published." }
        div.toolbar {
            @if may_act {
                form.inline method="post" action={ "/jobs/" (job.name) "/backfill" } {
                    input type="hidden" name="from" value=(from);
                    input type="hidden" name="to" value=(to);
                    @if force { input type="hidden" name="force" value="on"; }
                    input type="hidden" name="confirm" value="yes";
                    button.button.primary type="submit" { "Queue this backfill" }
                }
                (said_by(&format!("tributary backfill {} --from {from} --to {to}{}", job.name, if force { " --force" } else { "" })))
            }
            a.button href={ "/jobs/" (job.name) } { "Back to the job" }
        }
    }
}

/// The command that does the same run.
fn command(job: &Job, params: &Params) -> String {
    let mut command = format!("tributary run {}", job.name);
    let mut more = |flag: &str, value: &str| command += &format!(" --{flag} {}", shell_word(value));
    params.task.iter().for_each(|task| more("task", task));
    params.from_task.iter().for_each(|task| more("from-task", task));
    params.days.iter().for_each(|day| more("day", &day.to_string()));
    if params.force {
        command += " --force";
    }
    command
}

fn params(said: &Said) -> Result<Params, Failure> {
    let days = word(said, "days").unwrap_or_default().split([' ', ',', '\t', '\n', '\r']).filter(|day| !day.is_empty());
    Ok(Params {
        task: word(said, "task").map(str::to_owned),
        from_task: word(said, "from_task").map(str::to_owned),
        days: days.map(day).collect::<Result<BTreeSet<_>, _>>()?.into_iter().collect(),
        force: is_on(said, "force"),
        ..Params::default()
    })
}

fn joined(days: &[NaiveDate]) -> String {
    days.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn day(text: &str) -> Result<NaiveDate, Failure> {
    words::day(text).map_err(|help| Failure::wrong(format!("`{text}` is no day: {help}")))
}

/// A word that somebody wrote; nothing written is no word.
pub(in crate::console::pages) fn word<'s>(said: &'s Said, name: &str) -> Option<&'s str> {
    said.get(name).map(|word| word.trim()).filter(|word| !word.is_empty())
}

fn is_on(said: &Said, name: &str) -> bool {
    matches!(word(said, name), Some("on" | "true" | "yes" | "1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(words: &[(&str, &str)]) -> Said {
        words.iter().map(|(name, word)| ((*name).to_owned(), (*word).to_owned())).collect()
    }

    #[test]
    fn days_are_read_as_people_write_them() {
        let read = params(&said(&[("days", " 2026-11-25, 2026-11-24 2026-11-24"), ("task", ""), ("force", "on")])).unwrap();
        assert_eq!((joined(&read.days).as_str(), read.task, read.force), ("2026-11-24 2026-11-25", None, true));
        let refused = params(&said(&[("days", "24.11.2026")])).unwrap_err();
        assert!(refused.status == 400 && refused.words.contains("2026-11-25"), "{refused}");
    }

    #[test]
    fn a_dry_run_is_followed_by_the_same_run() {
        let job = Job::builtin().remove(0);
        let params = params(&said(&[("days", "2026-11-24"), ("from_task", "silver"), ("force", "on")])).unwrap();
        assert_eq!(command(&job, &params), "tributary run lakehouse_bronze_to_gold --from-task silver --day 2026-11-24 --force");
        let steps = [Step { task: "silver".into(), would: vec!["7 rows".into(), "  partition 0".into()] }];
        let html = forecast(&job, &params, &steps, true).into_string();
        for words in [
            "name=\"from_task\" value=\"silver\"",
            "name=\"days\" value=\"2026-11-24\"",
            "name=\"force\"",
            ">Run now<",
            "7 rows",
            ">tributary run ",
        ] {
            assert!(html.contains(words), "{words} is not in {html}");
        }
        assert!(!forecast(&job, &params, &steps, false).into_string().contains("<form"));
    }
}
