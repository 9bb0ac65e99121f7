//! What is wrong, in plain words, the worst first, each with the command that helps or the page that says more.

use std::sync::Arc;

use chrono::Utc;
use maud::{Markup, html};
use tributary_actors::board::{Board, StreamState};
use tributary_actors::serving::history::{self, ModelTest, ScheduleRow};
use tributary_actors::serving::lease;
use tributary_batch::models::Models;
use tributary_core::stream::Stream;

use super::super::super::parts::shape;
use super::super::super::shared::Shared;
use super::quiet::{Quiet, all_is_well};
use crate::cli::declared;
use crate::console::encoded;
use crate::inspect::behind::{self, Published};
use crate::inspect::failed::{self, Unmended};
use crate::inspect::{leader, tested};
use crate::words;

/// Something that is wrong.
pub(super) struct Trouble {
    /// Whether data stands still for it.
    stops: bool,
    what: String,
    /// What is to be done before the command, and the command.
    command: Option<(&'static str, String)>,
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
        self.command = Some(("What helps:", command.into()));
        self
    }

    /// The command is of no use before a person has mended what is wrong.
    fn once_mended(mut self, command: impl Into<String>) -> Self {
        self.command = Some(("Once it is mended:", command.into()));
        self
    }

    fn more(mut self, words: impl Into<String>, address: impl Into<String>) -> Self {
        self.link = Some((words.into(), address.into()));
        self
    }
}

/// What PostgreSQL says of runs.
struct Known {
    nobody: Option<String>,
    unmended: Vec<Unmended>,
    tests: Vec<ModelTest>,
    published: Vec<Published>,
    schedules: Vec<ScheduleRow>,
}

/// Looks for it.
pub(super) async fn find(shared: &Shared) -> Vec<Trouble> {
    let mut all: Vec<Trouble> = shared.made.boards.iter().map(Board::read).flat_map(|state| of_stream(&state)).collect();
    all.extend(of_declarations(shared));
    let unreadable = shared.tables().await.map(|tables| tables.unreadable).unwrap_or_default();
    all.extend(unreadable.iter().map(|one| {
        Trouble::stopping(format!("{} cannot be read: {}", one.table, words::first_line(&one.problem, 200)))
            .helps("tributary audit")
            .more("Tables", "/tables")
    }));
    let (jobs, models) = (shared.jobs().unwrap_or_default(), shared.models().await.unwrap_or_default());
    let (declared, names) = (jobs.jobs.clone(), tested::names(models.planned.iter().map(|planned| &planned.model)));
    let asked = shared.ask(|connection| {
        Box::pin(async move {
            Ok(Known {
                nobody: leader::nobody(lease::held(connection, lease::BATCH).await?.as_ref(), Utc::now()),
                unmended: failed::unmended(connection, &declared).await?,
                tests: tested::last(connection, &names).await?,
                published: behind::published(connection).await?,
                schedules: history::schedules(connection).await?,
            })
        })
    });
    let known = asked.await;
    match &known {
        Ok(known) => {
            all.extend(known.nobody.as_ref().map(|nobody| Trouble::slowing(nobody).helps("tributary up --roles batch")));
            all.extend(known.unmended.iter().map(of_run));
            all.extend(known.schedules.iter().filter(|row| jobs.jobs.iter().any(|job| job.name == row.job)).filter_map(of_pause));
            all.extend(of_tests(&known.tests, &models));
        }
        Err(error) => all.push(
            Trouble::stopping(format!("{error:#}. Bronze goes on meanwhile; the windows catch up by themselves"))
                .helps("tributary doctor"),
        ),
    }
    all.extend(jobs.broken.iter().map(|problem| {
        Trouble::slowing(format!("a job's file cannot be read: {}", words::first_line(problem, 160))).more("Jobs", "/jobs")
    }));
    all.extend(of_models(&models, known.as_ref().map_or(&[], |known| &known.published)));
    all.sort_by_key(|trouble| !trouble.stops);
    all
}

/// A run that failed, and that no later one has mended.
fn of_run(failed: &Unmended) -> Trouble {
    let id = failed.run.id;
    let trouble = Trouble::slowing(failed.words()).more(format!("Run {id}"), format!("/runs/{id}"));
    match failed.by_person {
        true => trouble.once_mended(failed.retry()),
        false => trouble.helps(failed.retry()),
    }
}

/// A job that somebody paused.
fn of_pause(row: &ScheduleRow) -> Option<Trouble> {
    let by = row.paused_by.as_deref().map_or_else(String::new, |by| format!(" by {by}"));
    let trouble = Trouble::slowing(format!("{} is paused{by}: it does not begin by itself", row.job))
        .helps(format!("tributary jobs resume {}", row.job))
        .more(row.job.clone(), format!("/jobs/{}", encoded(&row.job)));
    row.paused.then_some(trouble)
}

/// Streams whose files say something else than when this process began, or nothing that can be read.
fn of_declarations(shared: &Shared) -> Option<Trouble> {
    let made = &shared.made;
    let now = match declared::streams(&made.loaded) {
        Ok(now) => now,
        Err(error) => {
            let why = words::first_line(&format!("{error:#}"), 200);
            let what = format!("the declared streams cannot be read, so `up` would not start again; what runs goes on: {why}");
            return Some(Trouble::slowing(what).helps("tributary doctor"));
        }
    };
    let is_as_it_was = |stream: &&Stream| made.streams.iter().any(|known| **known == **stream);
    let mut others: Vec<&str> = now.iter().filter(|stream| !is_as_it_was(stream)).map(|stream| stream.name.as_str()).collect();
    let is_gone = |known: &&Arc<Stream>| !now.iter().any(|stream| stream.name == known.name);
    others.extend(made.streams.iter().filter(is_gone).map(|stream| stream.name.as_str()));
    let what = format!(
        "{} declared otherwise than when this process started: it goes on with what it read then, until `up` is started again",
        if others.len() == 1 { format!("stream {} is", others.concat()) } else { format!("streams {} are", others.join(", ")) }
    );
    (!others.is_empty()).then(|| Trouble::slowing(what).helps("tributary doctor"))
}

/// Tables that are not published because of a test, and what is made from them.
fn of_tests(tests: &[ModelTest], models: &Models) -> Vec<Trouble> {
    let planned = || models.planned.iter().map(AsRef::as_ref);
    let broken = tested::broken(tests, models.planned.iter().map(|planned| &planned.model));
    broken
        .map(|test| {
            let others = tested::held_with(&test.model, planned());
            let nor =
                if others.is_empty() { String::new() } else { format!("; nor is what is made from it: {}", others.join(", ")) };
            let page = format!("/tables/{}", encoded(&format!("gold.{}", test.model)));
            Trouble::slowing(format!("{}{nor}", tested::consequence(test)))
                .helps(format!("tributary runs show {}", test.run_id))
                .more(format!("gold.{}", test.model), page)
        })
        .collect()
}

/// Models that cannot be built, and what stays as it was for that.
fn of_models(models: &Models, published: &[Published]) -> Vec<Trouble> {
    let trouble = |(name, problem): (&String, &String)| {
        let stays = published.iter().find(|published| published.model == *name);
        let stays = stays.map_or_else(String::new, |table| {
            format!(", so gold.{} stays as it was", table.table_name.strip_prefix("gold.").unwrap_or(&table.table_name))
        });
        Trouble::slowing(format!("the model {name} is broken{stays}: {}", words::first_line(problem, 160)))
            .helps("tributary models check")
    };
    models.broken.iter().map(trouble).collect()
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

/// All of it, or that all is well.
pub(super) fn banner(troubles: &[Trouble], quiet: &Quiet) -> Markup {
    if troubles.is_empty() {
        return all_is_well(quiet);
    }
    html! {
        @for trouble in troubles {
            div.banner data-state=(if trouble.stops { "bad" } else { "warn" }) role="status" {
                (shape(if trouble.stops { "bad" } else { "warn" }))
                div {
                    p { (trouble.what) }
                    @if trouble.command.is_some() || trouble.link.is_some() {
                        p.do {
                            @if let Some((first, command)) = &trouble.command { (first) " " code.command data-copy { (command) } " " }
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
    use tributary_actors::serving::history::RunState;

    use super::*;

    fn shown(troubles: &[Trouble]) -> String {
        banner(troubles, &Quiet::default()).into_string()
    }

    #[test]
    fn what_waits_for_a_person_says_which_partition_and_what_to_do() {
        let state = StreamState {
            stream: "orders".into(),
            blocked: [(3, "offsets 10 to 20 are lost".to_owned())].into(),
            ..StreamState::default()
        };
        let said = shown(&of_stream(&state));
        assert!(said.contains("orders, partition 3") && said.contains("offsets 10 to 20 are lost"), "{said}");
        assert!(said.contains("tributary topic") && said.contains("/streams/orders"), "{said}");
        assert!(shown(&[]).contains("All is well"));
    }
    #[test]
    fn a_retry_is_no_help_before_somebody_has_mended_what_is_wrong() {
        let run = super::super::super::super::parts::grid::tests::run(8, RunState::Failed, 1, Utc::now());
        let said = |by_person| shown(&[of_run(&Unmended { run: run.clone(), by_person })]);
        assert!(said(true).contains("Once it is mended: <code"), "{}", said(true));
        assert!(said(false).contains("What helps: <code") && said(false).contains("tributary runs retry 8"), "{}", said(false));
    }

    #[test]
    fn a_broken_model_says_which_numbers_stay_as_they_were() {
        let models =
            Models { broken: [("kpi_dau".to_owned(), "kpi_dau.sql, line 3: no\n |".to_owned())].into(), ..Models::default() };
        let said = shown(&of_models(&models, &[]));
        assert!(said.contains("the model kpi_dau is broken: kpi_dau.sql, line 3"), "{said}");
        let published = Published {
            table_name: "daily_active_users".into(),
            model: "kpi_dau".into(),
            lake_id: String::new(),
            model_hash: String::new(),
            version: 1,
            rows: 1,
            run_id: None,
            published_at: Utc::now(),
        };
        let said = shown(&of_models(&models, &[published]));
        assert!(said.contains("broken, so gold.daily_active_users stays as it was: kpi_dau.sql"), "{said}");
    }
}
