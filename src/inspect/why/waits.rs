//! What a number waits for now, and the command that helps.
//!
//! Obstacles first (a broken model, a failed run, nobody who runs jobs), then what is only a matter of time. Nothing of it is a guess:
//! each is read off a hop or off the history.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use tributary_actors::serving::history::{Run, RunState};
use tributary_core::job::{Job, Schedule, Work};
use tributary_core::model::Model;

use super::{Behind, Hop, Known, Question};
use crate::inspect::{leader, tested};
use crate::words;

/// A record that came to Kafka so short a time ago is on its way to bronze.
const ON_ITS_WAY: TimeDelta = TimeDelta::seconds(10);

/// Something that is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Wait {
    /// What it is.
    pub(crate) what: String,
    /// What a person may do; none: it happens by itself.
    pub(crate) command: Option<String>,
}

impl Wait {
    fn for_command(what: impl Into<String>, command: impl Into<String>) -> Self {
        Self { what: what.into(), command: Some(command.into()) }
    }
}

/// What the hops wait for.
pub(super) fn waits(question: &Question<'_>, hops: &[Hop], now: DateTime<Utc>) -> Vec<Wait> {
    let mut waits = Vec::new();
    for hop in hops.iter().filter(|hop| hop.store != "postgresql") {
        if let Some(problem) = &hop.problem {
            let command = match hop.store {
                "gold" => "tributary models check",
                _ => "tributary status",
            };
            waits.push(Wait::for_command(format!("{}: {}", hop.name, problem.lines().next().unwrap_or_default()), command));
        }
    }
    let behind = |hop: &&Hop| !hop.behind.is_nothing();
    if hops.iter().any(|hop| hop.store == "bronze" && is_late(hop, hops)) {
        let what = "bronze has yet to take records from Kafka; `up` does so within a second or two";
        waits.push(Wait::for_command(what, "tributary status"));
    }
    let Some(known) = question.history else {
        waits.push(Wait::for_command("PostgreSQL cannot be asked: what runs and what failed is not known", "tributary up"));
        return waits;
    };
    failed_tests(known, question.written, hops, &mut waits);
    let is_behind = hops.iter().filter(|hop| matches!(hop.store, "postgresql" | "gold" | "silver")).any(|hop| behind(&hop));
    // Bronze alone is not a matter of jobs.
    if hops.iter().all(|hop| matches!(hop.store, "bronze" | "kafka")) {
        return waits;
    }
    let Some(job) =
        question.jobs.iter().find(|job| job.tasks.iter().any(|task| matches!(task.work, Work::Silver | Work::Models(_))))
    else {
        waits.push(Wait { what: "no job makes gold tables".into(), command: None });
        return waits;
    };
    runs(known, job, hops, is_behind, &mut waits);
    if is_behind || known.lease.as_ref().is_none_or(|held| !held.alive) {
        to_come(known, job, now, &mut waits);
    }
    waits
}

/// Whether bronze lacks more than what is on its way all the time while events flow.
fn is_late(bronze: &Hop, hops: &[Hop]) -> bool {
    let topic = hops.iter().find(|hop| hop.store == "kafka" && bronze.from.contains(&hop.name));
    let newest = (topic.and_then(|topic| topic.newest_record_at), bronze.newest_record_at);
    let on_its_way = matches!(newest, (Some(kafka), Some(bronze)) if kafka - bronze < ON_ITS_WAY);
    matches!(bronze.behind, Behind::Rows(1..)) && !on_its_way
}

fn failed_tests(known: &Known, models: &[Model], hops: &[Hop], waits: &mut Vec<Wait>) {
    for test in tested::broken(&known.tests, models) {
        let table = format!("gold.{}", test.model);
        if hops.iter().any(|hop| hop.name == table) {
            waits.push(Wait::for_command(tested::consequence(test), format!("tributary runs show {}", test.run_id)));
        }
    }
}

/// What runs now, and what failed last.
fn runs(known: &Known, job: &Job, hops: &[Hop], is_behind: bool, waits: &mut Vec<Wait>) {
    let of_job = || known.runs.iter().filter(|run| job.is_called(&run.job));
    for run in of_job().filter(|run| !run.state.is_over()) {
        waits.push(Wait::for_command(
            format!("run {} ({}) is {}", run.id, run.trigger, run.state),
            format!("tributary runs logs {} -f", run.id),
        ));
    }
    // A task that went well alone says nothing of the others.
    let is_telling = |run: &&Run| run.state == RunState::Failed || run.params.task.is_none();
    let last: Option<&Run> = of_job().filter(is_telling).find(|run| run.state.is_over() && run.state != RunState::Skipped);
    if let Some(run) = last.filter(|run| run.state == RunState::Failed || (is_behind && run.state == RunState::Cancelled)) {
        let said = run.message.as_deref().map_or("", |words| about(words, hops));
        waits.push(Wait::for_command(
            format!("the last run of {}, run {}, {}: {said}", job.name, run.id, run.state),
            format!("tributary runs show {0}, and once it is mended tributary runs retry {0}", run.id),
        ));
    }
}

/// The line of what a run said that is about one of these tables, else its first one.
fn about<'w>(words: &'w str, hops: &[Hop]) -> &'w str {
    // Lines that begin with a space are drawings and hints below an error, which name whatever there is.
    let names = |line: &&str| !line.starts_with(' ') && hops.iter().any(|hop| line.contains(&hop.name));
    words.lines().find(names).or_else(|| words.lines().next()).unwrap_or_default()
}

/// When it goes on by itself, and why it may not.
fn to_come(known: &Known, job: &Job, now: DateTime<Utc>, waits: &mut Vec<Wait>) {
    let active = known.runs.iter().any(|run| job.is_called(&run.job) && !run.state.is_over());
    let row = known.schedules.iter().find(|row| row.job == job.name);
    if let Some(words) = leader::nobody(known.lease.as_ref(), now) {
        waits.push(Wait::for_command(words, "tributary up"));
    }
    if row.map_or(!job.enabled, |row| row.paused) {
        let by = row.and_then(|row| row.paused_by.as_ref()).map_or_else(String::new, |by| format!(" by {by}"));
        waits.push(Wait::for_command(format!("{} is paused{by}", job.name), format!("tributary jobs resume {}", job.name)));
    } else if job.schedule == Schedule::Manual {
        let what = format!("{} runs only when somebody says so", job.name);
        waits.push(Wait::for_command(what, format!("tributary run {}", job.name)));
    } else if let Some(due) = row.and_then(|row| row.next_due_at).filter(|_| !active) {
        let command = format!("tributary run {} --wait", job.name);
        waits.push(Wait::for_command(
            format!("the next run of {} is due {}; to run it at once", job.name, words::until(due, now)),
            command,
        ));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tributary_actors::serving::history::{ModelTest, Params, ScheduleRow};
    use tributary_actors::serving::lease::Held;
    use tributary_batch::models::Models;
    use tributary_core::settings::Settings;
    use tributary_core::stream::Stream;

    use super::*;
    use crate::audit::Stores;
    use crate::inspect::behind::Lag;
    use crate::inspect::catalog::Catalog;
    use crate::inspect::runs;

    fn hop(store: &'static str, name: &str, behind: Behind) -> Hop {
        Hop {
            store,
            name: name.into(),
            from: Vec::new(),
            version: None,
            at: None,
            run: None,
            rows: None,
            newest_day: None,
            newest_record_at: None,
            behind,
            problem: None,
        }
    }

    fn run(id: i64, state: RunState) -> Run {
        let message = Some("kpi_dau: sql/models/gold/kpi_dau.sql, line 3\nmore".into());
        Run { job: "lakehouse_bronze_to_gold".into(), message, ..runs::tests::run(id, state) }
    }

    fn model() -> Model {
        let text =
            "-- materialize: by_day\n-- key: event_date\n-- test: unique(event_date)\nSELECT event_date FROM silver.user_events";
        Model::parse(text, "kpi_dau.sql").unwrap()
    }

    fn asked(known: &Known, hops: &[Hop]) -> Vec<Wait> {
        let question = Question {
            catalog: &Catalog::of(&Settings::default()).unwrap(),
            stores: &Stores::default(),
            streams: &[Arc::new(Stream::builtin())],
            models: &Models::default(),
            written: &[model()],
            jobs: &Job::builtin(),
            history: Some(known),
        };
        waits(&question, hops, Utc::now())
    }

    fn led() -> Known {
        let now = Utc::now();
        let held = Held {
            name: "batch".into(),
            holder: "anvil".into(),
            epoch: 1,
            acquired_at: now,
            expires_at: now + TimeDelta::seconds(9),
            alive: true,
        };
        Known { lease: Some(held), ..Known::default() }
    }

    fn scheduled(paused: bool) -> ScheduleRow {
        ScheduleRow {
            job: "lakehouse_bronze_to_gold".into(),
            first_seen_at: Utc::now(),
            paused,
            paused_at: None,
            paused_by: paused.then(|| "ana".into()),
            last_due_at: None,
            next_due_at: Some(Utc::now() + TimeDelta::seconds(100)),
        }
    }

    fn days() -> Behind {
        Behind::Table(Lag::Days([1].into()))
    }

    #[test]
    fn of_what_a_run_said_the_line_about_this_table_counts() {
        let hops = [Hop::new("gold", "gold.kpi_dau")];
        let words =
            "other: bad.sql, line 3: gold.other: no\n  |\n  = there is gold.kpi_dau\npublish: gold.kpi_dau stays as it is";
        assert_eq!(about(words, &hops), "publish: gold.kpi_dau stays as it is");
        assert_eq!(about("first\nsecond", &hops), "first");
    }

    #[test]
    fn what_has_everything_waits_for_nothing() {
        let hops =
            [hop("postgresql", "gold.a", Behind::Table(Lag::Nothing)), hop("silver", "silver.user_events", Behind::Rows(0))];
        assert_eq!(asked(&Known { schedules: vec![scheduled(false)], ..led() }, &hops), []);
    }

    #[test]
    fn what_is_behind_waits_for_the_next_run_or_for_a_person() {
        let hops = [hop("postgresql", "gold.a", days())];
        let waits = asked(&Known { schedules: vec![scheduled(false)], ..led() }, &hops);
        assert!(waits.len() == 1 && waits[0].what.contains("is due in"), "{waits:?}");
        let waits = asked(&Known { schedules: vec![scheduled(true)], ..led() }, &hops);
        assert_eq!(waits[0].command.as_deref(), Some("tributary jobs resume lakehouse_bronze_to_gold"));
        let waits = asked(&Known::default(), &hops);
        assert!(waits[0].what.contains("no process runs jobs now"), "{waits:?}");
    }

    #[test]
    fn failures_are_named_with_what_to_look_at() {
        let test = ModelTest { run_id: 7, ..tested::tests::test("kpi_dau", "unique(event_date)", 2) };
        let hops = [hop("postgresql", "gold.a", days()), hop("gold", "gold.kpi_dau", Behind::Table(Lag::Nothing))];
        let alone = Params { task: Some("silver".into()), ..Params::default() };
        let runs = vec![
            run(9, RunState::Running),
            run(8, RunState::Skipped),
            Run { params: alone, ..run(10, RunState::Succeeded) },
            run(7, RunState::Failed),
            run(6, RunState::Succeeded),
        ];
        let known = Known { tests: vec![test], runs, ..led() };
        let commands: Vec<String> = asked(&known, &hops).into_iter().filter_map(|wait| wait.command).collect();
        assert_eq!(
            commands,
            [
                "tributary runs show 7",
                "tributary runs logs 9 -f",
                "tributary runs show 7, and once it is mended tributary runs retry 7"
            ]
        );
    }

    #[test]
    fn records_of_the_last_seconds_are_on_their_way_and_older_ones_are_late() {
        let now = Utc::now();
        let late = |seconds| {
            let mut bronze = hop("bronze", "bronze.user_events", Behind::Rows(70));
            bronze.from = vec!["user-events".into()];
            bronze.newest_record_at = Some(now - TimeDelta::seconds(seconds));
            let kafka = Hop { newest_record_at: Some(now), ..hop("kafka", "user-events", Behind::Source) };
            asked(&led(), &[bronze, kafka])
        };
        assert_eq!(late(2), []);
        assert!(late(60)[0].what.contains("bronze has yet to take"), "{:?}", late(60));
    }

    #[test]
    fn a_broken_model_comes_first() {
        let mut gold = hop("gold", "gold.kpi_dau", Behind::Unknown);
        gold.problem = Some("sql/models/gold/kpi_dau.sql, line 3: there is no table\nmore".into());
        let waits = asked(&Known { schedules: vec![scheduled(false)], ..led() }, &[gold]);
        assert_eq!(waits[0].what, "gold.kpi_dau: sql/models/gold/kpi_dau.sql, line 3: there is no table");
        assert_eq!(waits[0].command.as_deref(), Some("tributary models check"));
    }
}
