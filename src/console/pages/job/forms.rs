//! What may be done to a job: a run with all its choices, a dry run, days of the past.

use chrono::{NaiveDate, Utc};
use maud::{Markup, html};
use tributary_core::job::{Job, Task};

use super::super::super::parts::said::{call_with, command};
use crate::acts::can_backfill;

/// All forms. Where the console only shows, those that only ask.
pub(super) fn all(job: &Job, tasks: &[Task], may_act: bool) -> Markup {
    let today = Utc::now().date_naive();
    html! {
        @if !may_act { p.note { "This console is read-only (console.read_only): it says what would be done, and does nothing." } }
        div.columns {
            (run(job, tasks, may_act))
            @if can_backfill(job, today, today).is_ok() { (backfill(job, today)) }
        }
    }
}

fn run(job: &Job, tasks: &[Task], may_act: bool) -> Markup {
    let name = &job.name;
    html! {
        div.card {
            h2 { "Run" }
            form.run method="post" action={ "/jobs/" (name) "/run" } {
                div.toolbar {
                    @if may_act { button.button.primary type="submit" data-key-run { "Run now" } }
                    button.button type="submit" name="dry_run" value="on" { "Dry run" }
                }
                details {
                    summary { "Tasks, days, force" }
                    div.fields {
                        label { "One task alone" (choice("task", "all tasks", tasks)) }
                        label { "Or from a task on" (choice("from_task", "from the first", tasks)) }
                        label { "Days anew" input type="text" name="days" placeholder="2026-11-24 yesterday" autocomplete="off" data-flag="--day" data-key="days" data-list; }
                        label.check { input type="checkbox" name="force" value="on" data-flag="--force" data-key="force"; " Everything anew, and publish days that shrank" }
                    }
                    p.faint { (if may_act { "Run now is" } else { "A run is" }) " the same as this; a dry run has " code { "--dry-run" } " or " code { "\"dry_run\": true" } " beside." }
                    p { (command(&format!("tributary run {name}"), "", "")) }
                    p { (call_with(&format!("/api/v1/jobs/{name}/run"), "{}", "{}")) }
                }
            }
        }
    }
}

fn choice(name: &str, none: &str, tasks: &[Task]) -> Markup {
    html! {
        select name=(name) data-flag={ "--" (name.replace('_', "-")) } data-key=(name) {
            option value="" { (none) }
            @for task in tasks { option value=(task.name) { (task.name) } }
        }
    }
}

fn backfill(job: &Job, today: NaiveDate) -> Markup {
    let name = &job.name;
    // A day that is over, so that the form means something as it comes.
    let day = today.pred_opt().unwrap_or(today);
    let body = format!("{{\"from\":\"{day}\",\"to\":\"{day}\",\"dry_run\":true}}");
    html! {
        div.card {
            h2 { "Backfill" }
            form.backfill method="post" action={ "/jobs/" (name) "/backfill" } {
                div.fields {
                    label { "From" input type="date" name="from" value=(day) required data-flag="--from" data-key="from"; }
                    label { "To, included" input type="date" name="to" value=(day) required data-flag="--to" data-key="to"; }
                    label.check { input type="checkbox" name="force" value="on" data-flag="--force" data-key="force"; " Publish days that shrank, too" }
                }
                div.toolbar { button.button type="submit" { "Preview backfill" } }
                details {
                    summary { "The same as a command" }
                    p { (command(&format!("tributary backfill {name}"), &format!(" --from {day} --to {day}"), " --dry-run")) }
                    p { (call_with(&format!("/api/v1/jobs/{name}/backfill"), &body, "{\"dry_run\":true}")) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_has_the_forms_that_make_sense() {
        let jobs = Job::builtin();
        let html = all(&jobs[0], &jobs[0].tasks, true).into_string();
        for words in [
            "/jobs/lakehouse_bronze_to_gold/run",
            "/backfill",
            ">Run now<",
            ">Dry run<",
            ">Preview backfill<",
            "value=\"silver\"",
            "tributary run lakehouse_bronze_to_gold<span data-flags></span></code>",
            "<span data-body=\"{}\">{}</span>",
            "name=\"from_task\" data-flag=\"--from-task\" data-key=\"from_task\"",
        ] {
            assert!(html.contains(words), "{words} is not in {html}");
        }
        let html = all(&jobs[1], &jobs[1].tasks, false).into_string();
        assert!(!html.contains("Run now") && !html.contains("/backfill\"") && html.contains("Dry run"), "{html}");
    }
}
