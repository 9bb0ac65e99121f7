//! What is wrong, in plain words, the worst first, each with the command that helps or the page that says more.

use chrono::Utc;
use maud::{Markup, html};
use tributary_actors::board::{Board, StreamState};
use tributary_actors::serving::history::{self, Run, RunState};
use tributary_actors::serving::lease;

use super::super::super::failure::Failure;
use super::super::super::parts::shape;
use super::super::super::shared::Shared;
use crate::inspect::leader;
use crate::words;

/// Something that is wrong.
pub(super) struct Trouble {
    /// Whether data stands still for it.
    stops: bool,
    what: String,
    command: Option<String>,
    link: Option<(String, String)>,
}

impl Trouble {
    fn stopping(what: impl Into<String>) -> Self {
        Self { stops: true, what: what.into(), command: None, link: None }
    }

    fn slowing(what: impl Into<String>) -> Self {
        Self { stops: false, ..Self::stopping(what) }
    }

    fn helps(mut self, command: impl Into<String>) -> Self {
        self.command = Some(command.into());
        self
    }

    fn more(mut self, words: impl Into<String>, address: impl Into<String>) -> Self {
        self.link = Some((words.into(), address.into()));
        self
    }
}

/// Looks for it.
pub(super) async fn find(shared: &Shared) -> Vec<Trouble> {
    let mut all: Vec<Trouble> = shared.made.boards.iter().map(Board::read).flat_map(|state| of_stream(&state)).collect();
    let asked = shared.ask(|connection| {
        Box::pin(async move {
            let held = lease::held(connection, lease::BATCH).await?;
            let runs = history::runs(connection, &history::Which { limit: 50, ..history::Which::default() }).await?;
            Ok((held, runs))
        })
    });
    match asked.await {
        Ok((held, runs)) => {
            if let Some(nobody) = leader::nobody(held.as_ref(), Utc::now()) {
                all.push(Trouble::slowing(nobody).helps("tributary up --roles batch"));
            }
            all.extend(of_runs(&runs));
        }
        Err(error) => all.push(
            Trouble::stopping(format!(
                "{}. Bronze goes on meanwhile; the windows catch up by themselves",
                Failure::of(error).words
            ))
            .helps("tributary doctor"),
        ),
    }
    if let Ok(jobs) = shared.jobs() {
        all.extend(jobs.broken.iter().map(|problem| {
            Trouble::slowing(format!("a job's file cannot be read: {}", words::first_line(problem, 160))).more("Jobs", "/jobs")
        }));
    }
    if let Ok(models) = shared.models().await {
        all.extend(models.broken.iter().map(|(name, problem)| {
            Trouble::slowing(format!("the model {name} is broken: {}", words::first_line(problem, 160)))
                .helps("tributary models check")
        }));
    }
    all.sort_by_key(|trouble| !trouble.stops);
    all
}

fn of_stream(state: &StreamState) -> Vec<Trouble> {
    let page = || ("Its partitions".to_owned(), format!("/streams/{}", state.stream));
    let mut all = Vec::new();
    if let Some(problem) = &state.problem {
        let (words, address) = page();
        all.push(Trouble::stopping(format!("{}: {problem}", state.stream)).more(words, address));
    }
    for (partition, why) in &state.blocked {
        let (words, address) = page();
        all.push(
            Trouble::stopping(format!("{}, partition {partition} waits for a person: {why}", state.stream))
                .helps("tributary topic --help")
                .more(words, address),
        );
    }
    if !state.catching_up.is_empty() {
        let legs = state.catching_up.join(" and ");
        let (words, address) = page();
        all.push(Trouble::slowing(format!("{}: {legs} was away and catches up by itself", state.stream)).more(words, address));
    }
    all
}

/// The newest run of each job that failed and was not followed by a better one.
fn of_runs(runs: &[Run]) -> Vec<Trouble> {
    let mut seen = Vec::new();
    let mut all = Vec::new();
    for run in runs.iter().filter(|run| run.state.is_over() && run.state != RunState::Skipped) {
        if seen.contains(&run.job.as_str()) {
            continue;
        }
        seen.push(&run.job);
        if run.state == RunState::Failed {
            let why = run.message.as_deref().map_or_else(String::new, |message| format!(": {}", words::first_line(message, 160)));
            all.push(
                Trouble::slowing(format!("the last run of {} failed{why}", run.job))
                    .helps(format!("tributary runs retry {}", run.id))
                    .more(format!("Run {}", run.id), format!("/runs/{}", run.id)),
            );
        }
    }
    all
}

/// All of it, or that all is well.
pub(super) fn banner(troubles: &[Trouble]) -> Markup {
    if troubles.is_empty() {
        return html! { div.banner data-state="ok" role="status" { (shape("ok")) p { "All is well: records flow into every store, and nothing waits for a person." } } };
    }
    html! {
        @for trouble in troubles {
            div.banner data-state=(if trouble.stops { "bad" } else { "warn" }) role="status" {
                (shape(if trouble.stops { "bad" } else { "warn" }))
                div {
                    p { (trouble.what) }
                    @if trouble.command.is_some() || trouble.link.is_some() {
                        p.do {
                            @if let Some(command) = &trouble.command { "What helps: " code.command data-copy { (command) } " " }
                            @if let Some((words, address)) = &trouble.link { a href=(address) { (words) } }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_a_person_says_which_partition_and_what_to_do() {
        let state = StreamState {
            stream: "orders".into(),
            blocked: [(3, "offsets 10 to 20 are lost".to_owned())].into(),
            ..StreamState::default()
        };
        let said = banner(&of_stream(&state)).into_string();
        assert!(said.contains("orders, partition 3") && said.contains("offsets 10 to 20 are lost"), "{said}");
        assert!(said.contains("tributary topic") && said.contains("/streams/orders"), "{said}");
        assert!(banner(&[]).into_string().contains("All is well"));
    }
}
