//! The history of runs: what was asked for is done once, whoever dies, and can be told afterwards.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use futures::future::join_all;
use tributary_actors::serving::connect;
use tributary_actors::serving::history::{
    Asked, Enqueued, Level, Lines, NewLine, NewRun, NewTest, Params, PlannedTask, Retried, RunState, TaskEnd, TaskState, Trigger,
    Which, cancel, claim, durations, end_run, end_task, enqueue, enqueue_due, forget_missed, lay_out, log, log_lines, pass_over,
    record_tests, retry, run, runs, schedules, see_job, set_paused, start_task, take_over, tasks, tests, to_cancel,
};

use super::lease::{lead, migrated, run_out};

fn new(job: &str) -> NewRun {
    NewRun {
        job: job.to_owned(),
        trigger: Trigger::Manual,
        requested_by: "anna".to_owned(),
        params: Params::default(),
        retry_of: None,
        behind_others: false,
    }
}

fn plan(names: &[&str]) -> Vec<PlannedTask> {
    let after = |n: usize| names.get(n.wrapping_sub(1)).map(|before| (*before).to_owned()).into_iter().collect();
    names.iter().enumerate().map(|(n, name)| PlannedTask { name: (*name).to_owned(), after: after(n) }).collect()
}

fn id(enqueued: Enqueued) -> i64 {
    match enqueued {
        Enqueued::Run(id) => id,
        Enqueued::Active(id) => panic!("run {id} is active"),
    }
}

#[tokio::test]
async fn of_many_who_ask_at_once_one_is_queued_and_the_others_are_told_of_it() {
    let Some((database, mut connection)) = migrated().await else { return };
    let asking = (0..8).map(|_| {
        let url = database.url.clone();
        async move { enqueue(&mut connect(&url).await.unwrap(), &new("etl")).await.unwrap() }
    });
    let answers = join_all(asking).await;
    let queued: Vec<i64> = answers.iter().filter_map(|a| if let Enqueued::Run(id) = a { Some(*id) } else { None }).collect();
    assert_eq!(queued.len(), 1);
    assert!(answers.iter().all(|a| *a == Enqueued::Run(queued[0]) || *a == Enqueued::Active(queued[0])));
    let behind = enqueue(&mut connection, &NewRun { behind_others: true, ..new("etl") }).await.unwrap();
    assert!(id(behind) > queued[0], "unless it is to wait");
    assert!(id(enqueue(&mut connection, &new("other")).await.unwrap()) > 0, "jobs do not know each other");
}

#[tokio::test]
async fn a_leader_takes_one_run_of_a_job_at_a_time_the_oldest_first() {
    let Some((_database, mut connection)) = migrated().await else { return };
    let params = Params {
        from_task: Some("silver".to_owned()),
        force: true,
        days: vec!["2026-11-01".parse().unwrap()],
        ..Params::default()
    };
    let first = id(enqueue(&mut connection, &NewRun { params: params.clone(), ..new("etl") }).await.unwrap());
    let second = id(enqueue(&mut connection, &NewRun { behind_others: true, ..new("etl") }).await.unwrap());
    let other = id(enqueue(&mut connection, &new("other")).await.unwrap());
    let lease = lead(&mut connection, "box-1").await;

    let claimed = claim(&mut connection, &lease, 10).await.unwrap();
    assert_eq!(claimed.iter().map(|r| r.id).collect::<Vec<_>>(), [first, other]);
    let run_1 = &claimed[0];
    assert_eq!((run_1.state, run_1.epoch, run_1.leader.as_deref()), (RunState::Running, Some(1), Some("box-1")));
    assert_eq!((&run_1.params, run_1.trigger, run_1.requested_by.as_str()), (&params, Trigger::Manual, "anna"));
    assert!(run_1.started_at.is_some() && run_1.ended_at.is_none());
    assert!(claim(&mut connection, &lease, 10).await.unwrap().is_empty(), "the second waits for the first");

    assert!(end_run(&mut connection, &lease, first, RunState::Succeeded, None).await.unwrap());
    assert!(!end_run(&mut connection, &lease, first, RunState::Failed, Some("twice")).await.unwrap(), "it ends once");
    assert_eq!(claim(&mut connection, &lease, 1).await.unwrap()[0].id, second);
    assert_eq!(run(&mut connection, first).await.unwrap().unwrap().state, RunState::Succeeded);
}

#[tokio::test]
async fn attempts_are_told_with_what_they_read_and_wrote_and_why_they_failed() {
    let Some((_database, mut connection)) = migrated().await else { return };
    let of = id(enqueue(&mut connection, &new("etl")).await.unwrap());
    let lease = lead(&mut connection, "box-1").await;
    claim(&mut connection, &lease, 1).await.unwrap();
    let plan = plan(&["silver", "gold", "publish", "extra"]);
    lay_out(&mut connection, &lease, of, &plan).await.unwrap();
    lay_out(&mut connection, &lease, of, &plan).await.unwrap();

    let one = start_task(&mut connection, &lease, of, "silver", 0).await.unwrap();
    assert_eq!((one.attempt, one.place, one.state), (1, 0, TaskState::Running));
    let versions = |n: i64| Some([("silver.user_events".to_owned(), serde_json::json!(n))].into());
    let failed = TaskEnd { retry_in: Some(Duration::from_secs(120)), ..TaskEnd::new(TaskState::Retrying).because("disk\0full") };
    assert!(end_task(&mut connection, &lease, one.id, &failed).await.unwrap());
    let two = start_task(&mut connection, &lease, of, "silver", 0).await.unwrap();
    assert_eq!(two.attempt, 2);
    let done = TaskEnd {
        versions_in: Some([("bronze.user_events".to_owned(), serde_json::json!({"version": 9}))].into()),
        versions_out: versions(3),
        rows_in: Some(100),
        rows_out: Some(97),
        ..TaskEnd::new(TaskState::Succeeded)
    };
    assert!(end_task(&mut connection, &lease, two.id, &done).await.unwrap());
    assert!(!end_task(&mut connection, &lease, two.id, &failed).await.unwrap(), "it ends once");
    let gold = start_task(&mut connection, &lease, of, "gold", 1).await.unwrap();
    end_task(&mut connection, &lease, gold.id, &TaskEnd::new(TaskState::Failed).because("no column x")).await.unwrap();
    let upstream = TaskEnd::new(TaskState::UpstreamFailed).because("gold failed");
    pass_over(&mut connection, &lease, of, "publish", &upstream).await.unwrap();
    end_run(&mut connection, &lease, of, RunState::Failed, Some("gold failed")).await.unwrap();

    let told = tasks(&mut connection, of).await.unwrap();
    let words: Vec<String> = told.iter().map(|t| format!("{} {} {}", t.task, t.attempt, t.state)).collect();
    assert_eq!(
        words,
        ["silver 1 retrying", "silver 2 succeeded", "gold 1 failed", "publish 1 upstream_failed", "extra 1 upstream_failed"]
    );
    assert_eq!(told[0].error.as_deref(), Some("disk\u{fffd}full"));
    let wait = told[0].retry_at.unwrap() - told[0].ended_at.unwrap();
    assert_eq!(wait, TimeDelta::seconds(120));
    assert_eq!((told[1].rows_in, told[1].rows_out, told[1].versions_out.clone()), (Some(100), Some(97), versions(3)));
    assert_eq!(told[1].versions_in.as_ref().unwrap()["bronze.user_events"]["version"], 9);
    let run = run(&mut connection, of).await.unwrap().unwrap();
    assert_eq!((run.state, run.message.as_deref(), run.plan), (RunState::Failed, Some("gold failed"), plan));
    assert!(serde_json::to_string(&run.state).unwrap() == "\"failed\"");
}

#[tokio::test]
async fn the_run_of_a_dead_leader_goes_on_under_the_next_one() {
    let Some((database, mut connection)) = migrated().await else { return };
    let of = id(enqueue(&mut connection, &new("etl")).await.unwrap());
    let dead = lead(&mut connection, "box-1").await;
    claim(&mut connection, &dead, 1).await.unwrap();
    lay_out(&mut connection, &dead, of, &plan(&["silver", "gold"])).await.unwrap();
    let open = start_task(&mut connection, &dead, of, "silver", 0).await.unwrap();
    run_out(&database).await;

    let next = lead(&mut connection, "box-2").await;
    assert!(take_over(&mut connection, &next, &[of]).await.unwrap().is_empty(), "not what is in hand");
    let taken = take_over(&mut connection, &next, &[]).await.unwrap();
    assert_eq!(taken.iter().map(|r| (r.id, r.epoch)).collect::<Vec<_>>(), [(of, Some(2))]);
    let again = start_task(&mut connection, &next, of, "silver", 0).await.unwrap();
    assert_eq!(again.attempt, 2);
    // What the dead one still says is refused.
    assert!(end_task(&mut connection, &dead, open.id, &TaskEnd::new(TaskState::Succeeded)).await.unwrap_err().is_lost());
    assert!(start_task(&mut connection, &dead, of, "gold", 1).await.unwrap_err().is_lost());
    assert!(end_run(&mut connection, &dead, of, RunState::Succeeded, None).await.unwrap_err().is_lost());
    assert!(claim(&mut connection, &dead, 1).await.unwrap_err().is_lost());
    assert!(log(&mut connection, &dead, of, &[line("silver", "I live")]).await.unwrap_err().is_lost());
    let told = tasks(&mut connection, of).await.unwrap();
    let words: Vec<String> = told.iter().map(|t| format!("{} {} {}", t.task, t.attempt, t.state)).collect();
    assert_eq!(words, ["silver 1 interrupted", "silver 2 running", "gold 1 queued"]);
    // An attempt that was begun without an answer is begun again.
    assert_eq!(start_task(&mut connection, &next, of, "silver", 0).await.unwrap().attempt, 3);
    assert_eq!(tasks(&mut connection, of).await.unwrap()[1].state, TaskState::Interrupted);
}

#[tokio::test]
async fn a_queued_run_is_cancelled_at_once_and_one_under_way_by_its_leader() {
    let Some((_database, mut connection)) = migrated().await else { return };
    let waiting = id(enqueue(&mut connection, &new("a")).await.unwrap());
    assert_eq!(cancel(&mut connection, waiting, "ben").await.unwrap(), Asked::Done);
    assert_eq!(cancel(&mut connection, waiting, "ben").await.unwrap(), Asked::Over(RunState::Cancelled));
    assert_eq!(cancel(&mut connection, 4711, "ben").await.unwrap(), Asked::Unknown);
    let message = run(&mut connection, waiting).await.unwrap().unwrap().message;
    assert_eq!(message.as_deref(), Some("cancelled by ben before it began"));

    let under_way = id(enqueue(&mut connection, &new("b")).await.unwrap());
    let lease = lead(&mut connection, "box-1").await;
    assert_eq!(claim(&mut connection, &lease, 10).await.unwrap().len(), 1, "not the cancelled one");
    lay_out(&mut connection, &lease, under_way, &plan(&["silver", "gold"])).await.unwrap();
    start_task(&mut connection, &lease, under_way, "silver", 0).await.unwrap();
    assert!(to_cancel(&mut connection).await.unwrap().is_empty());
    assert_eq!(cancel(&mut connection, under_way, "ben").await.unwrap(), Asked::Requested);
    assert_eq!(to_cancel(&mut connection).await.unwrap(), [(under_way, "ben".to_owned())]);
    end_run(&mut connection, &lease, under_way, RunState::Cancelled, Some("cancelled by ben")).await.unwrap();
    let states: Vec<TaskState> = tasks(&mut connection, under_way).await.unwrap().iter().map(|t| t.state).collect();
    assert_eq!(states, [TaskState::Cancelled, TaskState::Cancelled], "nothing stays open");
    assert!(to_cancel(&mut connection).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_failed_run_is_asked_for_again_from_where_it_failed() {
    let Some((_database, mut connection)) = migrated().await else { return };
    let params = Params { force: true, ..Params::default() };
    let of = id(enqueue(&mut connection, &NewRun { params, ..new("etl") }).await.unwrap());
    let lease = lead(&mut connection, "box-1").await;
    claim(&mut connection, &lease, 1).await.unwrap();
    assert_eq!(retry(&mut connection, of, "anna").await.unwrap(), Retried::Not(RunState::Running));
    lay_out(&mut connection, &lease, of, &plan(&["silver", "gold", "publish"])).await.unwrap();
    let silver = start_task(&mut connection, &lease, of, "silver", 0).await.unwrap();
    end_task(&mut connection, &lease, silver.id, &TaskEnd::new(TaskState::Succeeded)).await.unwrap();
    let gold = start_task(&mut connection, &lease, of, "gold", 1).await.unwrap();
    end_task(&mut connection, &lease, gold.id, &TaskEnd::new(TaskState::Failed)).await.unwrap();
    end_run(&mut connection, &lease, of, RunState::Failed, None).await.unwrap();

    let Retried::Asked(Enqueued::Run(again), from) = retry(&mut connection, of, "anna").await.unwrap() else { panic!() };
    assert_eq!(from.as_deref(), Some("gold"));
    let again = run(&mut connection, again).await.unwrap().unwrap();
    assert_eq!((again.trigger, again.retry_of, again.state), (Trigger::Retry, Some(of), RunState::Queued));
    assert_eq!((again.params.from_task.as_deref(), again.params.force), (Some("gold"), true));
    assert_eq!(retry(&mut connection, of, "anna").await.unwrap(), Retried::Asked(Enqueued::Active(again.id), from));
    assert_eq!(retry(&mut connection, 4711, "anna").await.unwrap(), Retried::Unknown);

    // An ordinary run finds done what is done: it is asked for as it was.
    let of = id(enqueue(&mut connection, &new("other")).await.unwrap());
    claim(&mut connection, &lease, 9).await.unwrap();
    lay_out(&mut connection, &lease, of, &plan(&["silver", "gold"])).await.unwrap();
    end_run(&mut connection, &lease, of, RunState::Failed, None).await.unwrap();
    let Retried::Asked(Enqueued::Run(again), None) = retry(&mut connection, of, "anna").await.unwrap() else { panic!() };
    assert_eq!(run(&mut connection, again).await.unwrap().unwrap().params, Params::default());
}

#[tokio::test]
async fn runs_are_listed_the_newest_first_by_job_and_state() {
    let Some((_database, mut connection)) = migrated().await else { return };
    let lease = lead(&mut connection, "box-1").await;
    let mut all = Vec::new();
    for n in 0..5 {
        let of = id(enqueue(&mut connection, &new(if n % 2 == 0 { "even" } else { "odd" })).await.unwrap());
        claim(&mut connection, &lease, 1).await.unwrap();
        let state = if n == 2 { RunState::Failed } else { RunState::Succeeded };
        end_run(&mut connection, &lease, of, state, None).await.unwrap();
        all.push(of);
    }
    let mut listed =
        async |which: Which| -> Vec<i64> { runs(&mut connection, &which).await.unwrap().iter().map(|r| r.id).collect() };
    assert_eq!(listed(Which::default()).await, [all[4], all[3], all[2], all[1], all[0]]);
    assert_eq!(listed(Which { job: Some("even".to_owned()), ..Which::default() }).await, [all[4], all[2], all[0]]);
    assert_eq!(listed(Which { states: vec![RunState::Failed, RunState::Running], ..Which::default() }).await, [all[2]]);
    assert_eq!(listed(Which { limit: 2, before: Some(all[3]), ..Which::default() }).await, [all[2], all[1]]);
    assert_eq!(durations(&mut connection, "even", 10).await.unwrap().len(), 2, "the successful ones");
}

fn line(task: &str, message: &str) -> NewLine {
    NewLine { task: Some(task.to_owned()), attempt: Some(1), at: Utc::now(), level: Level::Info, message: message.to_owned() }
}

/// Two tasks write at once while somebody follows: every line is seen, once, in the order of each writer.
#[tokio::test]
async fn whoever_follows_a_log_misses_no_line() {
    let Some((database, mut connection)) = migrated().await else { return };
    let of = id(enqueue(&mut connection, &new("etl")).await.unwrap());
    let lease = lead(&mut connection, "box-1").await;
    claim(&mut connection, &lease, 1).await.unwrap();
    let writer = |task: &'static str| {
        let (url, lease) = (database.url.clone(), lease.clone());
        async move {
            let mut connection = connect(&url).await.unwrap();
            for n in 0..60 {
                let lines: Vec<NewLine> = (0..3).map(|m| line(task, &format!("{task} {}", n * 3 + m))).collect();
                log(&mut connection, &lease, of, &lines).await.unwrap();
            }
        }
    };
    let (a, b) = (tokio::spawn(writer("silver")), tokio::spawn(writer("gold")));
    let mut seen = Vec::new();
    while seen.len() < 360 {
        let after = seen.last().map_or(0, |l: &tributary_actors::serving::history::LogLine| l.id);
        seen.extend(log_lines(&mut connection, of, &Lines { after, limit: 7, ..Lines::default() }).await.unwrap());
    }
    a.await.unwrap();
    b.await.unwrap();
    for task in ["silver", "gold"] {
        let said: Vec<&str> = seen.iter().filter(|l| l.task.as_deref() == Some(task)).map(|l| l.message.as_str()).collect();
        assert_eq!(said, (0..180).map(|n| format!("{task} {n}")).collect::<Vec<_>>());
    }
    let only = Lines { task: Some("gold".to_owned()), attempt: Some(1), limit: 500, ..Lines::default() };
    assert_eq!(log_lines(&mut connection, of, &only).await.unwrap().len(), 180);
    assert!(log_lines(&mut connection, of, &Lines { attempt: Some(2), ..only }).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_job_is_due_once_per_time_and_not_at_all_while_it_is_paused() {
    let Some((_database, mut connection)) = migrated().await else { return };
    let lease = lead(&mut connection, "box-1").await;
    let due = "2026-11-25T03:00:00Z".parse().unwrap();
    let seen = see_job(&mut connection, &lease, "etl", true, Some(due)).await.unwrap();
    assert_eq!((seen.paused, seen.next_due_at, seen.last_due_at), (false, Some(due), None));
    assert!(see_job(&mut connection, &lease, "off", false, None).await.unwrap().paused, "as its file says, the first time");

    let scheduled = NewRun { trigger: Trigger::Schedule, requested_by: "box-1".to_owned(), ..new("etl") };
    let first = id(enqueue_due(&mut connection, &lease, &scheduled, due).await.unwrap());
    assert_eq!(run(&mut connection, first).await.unwrap().unwrap().due_at, Some(due));
    let later = due + TimeDelta::hours(24);
    assert_eq!(enqueue_due(&mut connection, &lease, &scheduled, later).await.unwrap(), Enqueued::Active(first));
    let known = schedules(&mut connection).await.unwrap();
    assert_eq!(known[0].last_due_at, Some(due), "what was not queued is still due");

    assert!(set_paused(&mut connection, "etl", true, "anna").await.unwrap());
    assert!(!set_paused(&mut connection, "etl", true, "anna").await.unwrap(), "it is already");
    let paused = see_job(&mut connection, &lease, "etl", true, None).await.unwrap();
    assert_eq!((paused.paused, paused.paused_by.as_deref()), (true, Some("anna")), "whatever its file says");
    forget_missed(&mut connection, "etl").await.unwrap();
    assert!(schedules(&mut connection).await.unwrap()[0].last_due_at > Some(due), "what it missed in its pause");
    assert!(set_paused(&mut connection, "etl", false, "ben").await.unwrap());
    let resumed = schedules(&mut connection).await.unwrap()[0].last_due_at;
    forget_missed(&mut connection, "etl").await.unwrap();
    assert_eq!(
        schedules(&mut connection).await.unwrap()[0].last_due_at,
        resumed,
        "nothing is missed by a job that is not paused"
    );
    assert!(set_paused(&mut connection, "unseen", true, "ben").await.unwrap());
    assert!(!set_paused(&mut connection, "unknown", false, "ben").await.unwrap());
    let names: Vec<String> = schedules(&mut connection).await.unwrap().into_iter().map(|s| s.job).collect();
    assert_eq!(names, ["etl", "off", "unseen"]);
}

#[tokio::test]
async fn how_the_tests_of_models_went_is_kept_per_run() {
    let Some((_database, mut connection)) = migrated().await else { return };
    let of = id(enqueue(&mut connection, &new("etl")).await.unwrap());
    let lease = lead(&mut connection, "box-1").await;
    let test = |model: &str, failing: i64| NewTest {
        model: model.to_owned(),
        test: "unique(event_date)".to_owned(),
        fails: true,
        passed: failing == 0,
        failing_rows: failing,
        sample: (0..failing.min(2)).map(|n| format!("row\0{n}")).collect(),
        error: None,
    };
    record_tests(&mut connection, &lease, of, &[test("a", 0), test("b", 7)]).await.unwrap();
    record_tests(&mut connection, &lease, of, &[test("b", 2)]).await.unwrap();
    let told: Vec<(String, bool, i64, usize)> = tests(&mut connection, of)
        .await
        .unwrap()
        .into_iter()
        .map(|t| (t.model, t.passed, t.failing_rows, t.sample.len()))
        .collect();
    assert_eq!(told, [("a".to_owned(), true, 0, 0), ("b".to_owned(), false, 2, 2)]);
}
