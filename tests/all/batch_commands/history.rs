//! Jobs and runs: what is asked for, what is said of it, and following it while somebody leads.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use sqlx::PgConnection;
use tokio::runtime::Runtime;
use tributary_actors::serving::history::{self, NewTest, PlannedTask, Run, RunState, TaskEnd, TaskState};
use tributary_actors::serving::lease::{BATCH, Lease};
use tributary_actors::serving::{connect, migrate};

use super::lake::{Lake, day};
use super::{Said, command, tributary};
use crate::postgres::Database;

pub(crate) const JOB: &str = "lakehouse_bronze_to_gold";

/// A database with the tables of the history, and somebody who may lead.
pub(crate) struct Ops {
    database: Database,
    runtime: Runtime,
    connection: PgConnection,
}

impl Ops {
    pub(crate) fn new() -> Self {
        let database = Database::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let connection = runtime.block_on(async {
            let mut connection = connect(&database.url).await.unwrap();
            migrate(&mut connection).await.unwrap();
            connection
        });
        Self { database, runtime, connection }
    }

    pub(crate) fn url(&self) -> &str {
        &self.database.url
    }

    /// Takes the lease for as long as the test lasts.
    pub(crate) fn lead(&mut self) -> Lease {
        let taken = Lease::acquire(&mut self.connection, BATCH, "the test", Duration::from_secs(600));
        self.runtime.block_on(taken).unwrap().unwrap()
    }

    /// Takes the queued run, as a leader would.
    pub(crate) fn claim(&mut self, lease: &Lease) -> Run {
        let mut runs = self.runtime.block_on(history::claim(&mut self.connection, lease, 1)).unwrap();
        assert_eq!(runs.len(), 1, "nothing was queued");
        runs.remove(0)
    }

    /// Does a run: these tasks end like this.
    pub(crate) fn work(&mut self, lease: &Lease, run: i64, tasks: &[(&str, TaskState, Option<&str>)], end: RunState) {
        let plan: Vec<PlannedTask> =
            tasks.iter().map(|(name, ..)| PlannedTask { name: (*name).to_owned(), after: Vec::new() }).collect();
        self.runtime.block_on(async {
            let connection = &mut self.connection;
            history::lay_out(connection, lease, run, &plan).await.unwrap();
            for (place, (name, state, error)) in tasks.iter().enumerate() {
                let attempt = history::start_task(connection, lease, run, name, i32::try_from(place).unwrap()).await.unwrap();
                let mut ended = TaskEnd::new(*state);
                (ended.rows_in, ended.rows_out) = (Some(1_000), Some(990));
                ended.versions_out = Some([("silver.user_events".to_owned(), 17.into())].into());
                ended.error = error.map(str::to_owned);
                history::end_task(connection, lease, attempt.id, &ended).await.unwrap();
            }
            let message = tasks.iter().find_map(|(name, _, error)| error.map(|e| format!("{name}: {e}")));
            history::end_run(connection, lease, run, end, message.as_deref()).await.unwrap();
        });
    }

    fn say(&mut self, lease: &Lease, run: i64, task: &str, words: &str) {
        let line = history::NewLine {
            task: Some(task.to_owned()),
            attempt: Some(1),
            at: chrono::Utc::now(),
            level: history::Level::Info,
            message: words.to_owned(),
        };
        self.runtime.block_on(history::log(&mut self.connection, lease, run, &[line])).unwrap();
    }

    pub(crate) fn runs(&mut self) -> Vec<Run> {
        self.runtime.block_on(history::runs(&mut self.connection, &history::Which::default())).unwrap()
    }

    /// Statements that no command would say.
    pub(crate) fn run(&self, sql: &str) {
        self.database.run(sql);
    }

    pub(crate) fn tributary(&self, arguments: &[&str]) -> Said {
        tributary(tempfile::tempdir().unwrap().path(), self.url(), arguments)
    }
}

#[test]
fn a_run_that_nobody_takes_is_queued_and_says_why_nothing_happens() {
    let mut ops = Ops::new();
    let said = ops.tributary(&["run", "lakehouse_batch_pipeline", "--day", "2026-11-24", "--force"]);
    assert_eq!((said.code, said.out.as_str()), (0, "1\n"));
    for words in ["run 1 is queued", "tributary runs logs 1 -f", "no process runs jobs now", "--roles batch"] {
        assert!(said.err.contains(words), "`{words}` is not in: {}", said.err);
    }
    let run = ops.runs().remove(0);
    assert_eq!((run.job.as_str(), run.requested_by.as_str(), run.params.force), (JOB, "ana@anvil", true));
    assert_eq!(run.params.days.iter().map(ToString::to_string).collect::<Vec<_>>(), ["2026-11-24"]);

    ops.tributary(&["runs", "show", "1"]).says(&["run 1 of lakehouse_bronze_to_gold: queued", "days 2026-11-24, by force"]);
    ops.tributary(&["runs", "cancel", "1"]).says(&["it had not begun"]);
    ops.tributary(&["runs", "cancel", "1"]).refuses(1, &["is over: cancelled"]);
    ops.tributary(&["runs", "cancel", "77"]).refuses(2, &["there is no run 77"]);
    assert_eq!(ops.runs()[0].state, RunState::Cancelled);
}

#[test]
fn a_paused_job_says_so_and_runs_when_asked_for() {
    let mut ops = Ops::new();
    let _lease = ops.lead();
    ops.tributary(&["jobs", "pause", JOB]).says(&["is paused"]);
    ops.tributary(&["jobs", "pause", JOB]).says(&["was paused already"]);
    let said = ops.tributary(&["run", JOB]);
    assert!(said.code == 0 && said.err.contains("is paused: run 1 runs all the same"), "{}", said.err);
    assert!(!said.err.contains("no process"), "{}", said.err);
    let listed = ops.tributary(&["jobs", "list", "--json"]).json();
    assert_eq!(listed[0]["history"]["paused"], true);
    let shown = ops.tributary(&["jobs", "show", JOB, "--json"]).json();
    assert_eq!((&shown["job"], &shown["history"]["paused"], &shown["runs"][0]["id"]), (&JOB.into(), &true.into(), &1.into()));
    assert!(shown["plan"].as_array().unwrap().iter().any(|task| task["task"] == "kpi_dau"), "{shown}");
    assert_eq!(listed[0]["history"]["paused_by"], "ana@anvil");
    ops.tributary(&["jobs", "resume", JOB]).says(&["begins by itself again: every 5 min"]);
    ops.tributary(&["jobs", "resume", JOB]).says(&["was not paused"]);
}

#[test]
fn waiting_follows_the_tasks_and_ends_as_the_run_ends() {
    for (tasks, end, code, result) in [
        (
            &[("silver", TaskState::Succeeded, None)][..],
            RunState::Succeeded,
            0,
            "run 1 of lakehouse_bronze_to_gold succeeded in ",
        ),
        (&[("check_bronze", TaskState::Skipped, Some("bronze is empty"))], RunState::Skipped, 0, "skipped in "),
        (&[("silver", TaskState::Failed, Some("the disk is full"))], RunState::Failed, 1, ": silver: the disk is full"),
    ] {
        let mut ops = Ops::new();
        let lease = ops.lead();
        let folder = tempfile::tempdir().unwrap();
        let mut command = command(folder.path(), ops.url(), &["run", JOB, "--wait"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        assert!(first.contains("following run 1"), "{first}");
        let run = ops.claim(&lease).id;
        ops.work(&lease, run, tasks, end);
        let followed: Vec<String> = lines.map(Result::unwrap).collect();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{followed:?}");
        let out = String::from_utf8(output.stdout).unwrap();
        assert!(out.contains(result), "{out}");
        assert!(followed.iter().any(|line| line.contains(tasks[0].0) && line.contains(&tasks[0].1.to_string())), "{followed:?}");
    }
}

#[test]
fn a_failed_run_is_shown_in_full_and_repeated() {
    let mut ops = Ops::new();
    let lease = ops.lead();
    ops.tributary(&["run", JOB]);
    let run = ops.claim(&lease).id;
    ops.say(&lease, run, "silver", "990 rows are new");
    ops.say(&lease, run, "kpi_dau", "line 3: there is no table");
    let tasks =
        [("silver", TaskState::Succeeded, None), ("kpi_dau", TaskState::Failed, Some("first line\nsecond line of the error"))];
    let test = NewTest {
        model: "kpi_conversion_rate".into(),
        test: "unique(event_date)".into(),
        fails: true,
        passed: false,
        failing_rows: 2,
        sample: vec!["event_date=2026-11-24".into()],
        error: None,
    };
    ops.runtime.block_on(history::record_tests(&mut ops.connection, &lease, run, &[test])).unwrap();
    ops.work(&lease, run, &tasks, RunState::Failed);

    let said = ops.tributary(&["runs", "show", "1"]).says(&[
        "run 1 of lakehouse_bronze_to_gold: failed",
        "manual, by ana@anvil",
        "silver.user_events 17",
        "  first line\n  second line of the error\n",
        "gold.kpi_conversion_rate: unique(event_date) (not published): broken by 2 rows",
        "event_date=2026-11-24",
    ]);
    assert!(said.err.contains("tributary runs retry 1"), "{}", said.err);
    let json = ops.tributary(&["runs", "show", "1", "--json"]).json();
    assert_eq!((&json["run"]["state"], &json["tasks"][0]["rows_out"]), (&"failed".into(), &990.into()));

    let logs = ops.tributary(&["runs", "logs", "1"]).says(&["info  silver: 990 rows are new", "kpi_dau: line 3"]);
    assert_eq!(logs.out.lines().count(), 2);
    let logs = ops.tributary(&["runs", "logs", "1", "--task", "kpi_dau", "-f", "--json"]);
    assert_eq!(logs.json()["message"], "line 3: there is no table");
    ops.tributary(&["runs", "logs", "1", "--task", "x"]).refuses(2, &["there are: silver, kpi_dau"]);

    assert_eq!(ops.tributary(&["runs", "list", "--state", "failed", "--json"]).json()[0]["id"], 1);
    assert_eq!(ops.tributary(&["runs", "list", "--state", "queued"]).out, "");

    let said = ops.tributary(&["runs", "retry", "1"]);
    assert_eq!((said.code, said.out.as_str()), (0, "2\n"), "{}", said.err);
    let again = ops.runs().remove(0);
    assert_eq!((again.retry_of, again.params.from_task), (Some(1), None));
    ops.tributary(&["runs", "retry", "1"]).refuses(1, &["run 2 of the same job"]);
    ops.tributary(&["runs", "retry", "2"]).refuses(1, &["run 2 is not over"]);
    ops.tributary(&["runs", "cancel", "2"]);
    ops.tributary(&["runs", "retry", "1", "--from-task", "x"]).refuses(2, &["there are: silver, kpi_dau"]);
    ops.tributary(&["runs", "retry", "1", "--from-task", "silver"]).says(&["3\n"]);
}

#[test]
fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let mut ops = Ops::new();
    let lake = Lake::new();
    lake.bronze(&day(1), 0, 100);
    lake.bronze(&day(0), 100, 150);
    let said = tributary(lake.folder(), ops.url(), &["run", JOB, "--dry-run"]).says(&[
        "bronze.user_events version 2, 150 rows",
        "150 rows of bronze.user_events into silver.user_events",
        "partition 0: offsets 0 to 150 (150 rows)",
        "gold.kpi_dau: everything: it is not there yet",
        "gold.daily_active_users: everything: it was never published",
    ]);
    assert!(said.err.contains("nothing was done"), "{}", said.err);
    assert!(!lake.folder().join("data/lakehouse/silver").exists() && ops.runs().is_empty(), "something was done");
    let alone = tributary(lake.folder(), ops.url(), &["run", JOB, "--dry-run", "--task", "silver"]).says(&["150 rows"]);
    assert!(!alone.out.contains("kpi_dau"), "{}", alone.out);
    let days = ["run", JOB, "--dry-run", "--day", "2026-11-24", "--from-task", "kpi_dau"];
    tributary(lake.folder(), ops.url(), &days).says(&["gold.kpi_dau: everything: it is not there yet"]);
    let days = ["run", JOB, "--dry-run", "--day", "2026-11-24", "--task", "silver"];
    tributary(lake.folder(), ops.url(), &days).says(&["silver.user_events: 1 day (2026-11-24)"]);
}

#[test]
fn a_backfill_says_how_much_it_is_and_becomes_one_run() {
    let mut ops = Ops::new();
    let lake = Lake::new();
    lake.bronze(&day(1), 0, 100);
    let (from, to) = (day(9), day(0));
    let arguments = |more: &'static str| ["backfill", JOB, "--from", &from, "--to", &to, more].map(str::to_owned);
    let backfill = |ops: &Ops, more| {
        let arguments = arguments(more);
        tributary(lake.folder(), ops.url(), &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    backfill(&ops, "--dry-run").says(&["10 days, 1 of them with rows", "kpi_dau", "unknown: no run yet"]);
    backfill(&ops, "--wait").refuses(2, &["say --yes"]);
    assert!(ops.runs().is_empty(), "a run was queued without a yes");
    backfill(&ops, "--yes").says(&["1\n"]);
    let run = ops.runs().remove(0);
    assert_eq!((run.trigger.as_str(), run.params.from.unwrap().to_string()), ("backfill", from));
    assert_eq!((ops.runs().len(), run.params.to.unwrap().to_string()), (1, to));
}

#[test]
fn the_way_of_a_number_ends_at_kafka_and_says_what_it_waits_for() {
    let ops = Ops::new();
    let lake = Lake::new();
    lake.bronze(&day(0), 0, 50);
    lake.dau(&[(&day(0), 7)]);
    let said = tributary(lake.folder(), ops.url(), &["why", "gold.daily_active_users"]).says(&[
        "postgresql  gold.daily_active_users",
        "gold        gold.kpi_dau",
        "silver      silver.user_events",
        "50 rows",
        "kafka       user-events",
        "no process runs jobs now",
        "    tributary up",
    ]);
    let places: Vec<Option<usize>> =
        ["postgresql ", "gold  ", "silver ", "bronze ", "kafka "].iter().map(|w| said.out.find(w)).collect();
    assert!(places.is_sorted() && places.iter().all(Option::is_some), "{places:?} {}", said.out);
    let json = tributary(lake.folder(), ops.url(), &["why", "kpi_dau", "--json"]).json();
    assert_eq!((&json["asked"], &json["hops"][0]["rows"]), (&"gold.kpi_dau".into(), &1.into()));
    assert!(!json["waits_for"].as_array().unwrap().is_empty());
}
