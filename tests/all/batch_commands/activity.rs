//! Everything that a person does leaves one row, which says what came of it.

use serde_json::{Value, json};
use tributary_actors::serving::history::{RunState, TaskState};

use super::history::{JOB, Ops};
use super::lake::{Lake, day};
use super::tributary;

/// Action, subject and outcome of every row, the oldest first.
fn rows(ops: &Ops) -> Vec<String> {
    let word = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    let actions = ops.tributary(&["activity", "--json"]).json();
    let said = |row: &Value| [word(row, "action"), word(row, "subject"), word(row, "outcome")].join(" ");
    actions.as_array().unwrap().iter().rev().map(said).collect()
}

#[test]
fn what_is_done_and_what_is_refused_leaves_one_row_each() {
    let mut ops = Ops::new();
    let lease = ops.lead();
    assert!(ops.tributary(&["activity"]).says(&[]).err.contains("nobody has done anything yet"));
    ops.tributary(&["run", JOB, "--force"]).says(&["1\n"]);
    let run = ops.claim(&lease).id;
    ops.work(&lease, run, &[("silver", TaskState::Failed, Some("the disk is full"))], RunState::Failed);
    ops.tributary(&["runs", "retry", "1", "--from-task", "x"]).refuses(2, &["there are: silver"]);
    ops.tributary(&["runs", "retry", "1", "--from-task", "silver"]).says(&["2\n"]);
    ops.tributary(&["runs", "retry", "1"]).refuses(1, &["run 2 of the same job"]);
    ops.tributary(&["runs", "retry", "77"]).refuses(2, &["there is no run 77"]);
    ops.run("UPDATE ops.runs SET job = 'a_deleted_one' WHERE id = 1");
    ops.tributary(&["runs", "retry", "1"]).refuses(1, &["no file declares the job a_deleted_one now"]);
    ops.tributary(&["runs", "cancel", "2"]).says(&["it had not begun"]);
    ops.tributary(&["runs", "cancel", "2"]).refuses(1, &["is over: cancelled"]);
    ops.tributary(&["runs", "cancel", "77"]).refuses(2, &["there is no run 77"]);
    ops.tributary(&["jobs", "pause", JOB]).says(&["is paused"]);
    ops.tributary(&["jobs", "resume", JOB]).says(&["begins by itself again"]);
    let of_job = |verb: &str| format!("{verb} {JOB} done");
    assert_eq!(
        rows(&ops),
        [
            &of_job("run"),
            "retry run 1 refused",
            "retry run 1 done",
            "retry run 1 refused",
            "retry run 77 refused",
            "retry run 1 refused",
            "cancel run 2 done",
            "cancel run 2 refused",
            "cancel run 77 refused",
            &of_job("pause"),
            &of_job("resume"),
        ]
    );
    let first = ops.tributary(&["activity", "--json"]).json()[10].clone();
    assert_eq!((&first["person"], &first["via"]), (&json!("ana@anvil"), &json!("cli")));
    assert_eq!((&first["params"], &first["message"]), (&json!({"force": true}), &json!("run 1 is queued")));
    let said = ops.tributary(&["activity", "--limit", "2"]).says(&["ana@anvil", "resume", "pause", "it begins by itself again"]);
    assert_eq!(said.out.lines().count(), 3, "{}", said.out);
}

#[test]
fn a_backfill_and_a_replay_leave_a_row_and_their_dry_runs_do_not() {
    let ops = Ops::new();
    let lake = Lake::new();
    lake.bronze(&day(1), 0, 100);
    let (from, to) = (day(9), day(0));
    let backfill = ["backfill", JOB, "--from", &from, "--to", &to];
    let replay = ["deadletters", "replay", "--stream", "user_events"];
    let say = |command: &[&str], more: &[&str]| tributary(lake.folder(), ops.url(), &[command, more].concat());
    say(&backfill, &["--dry-run"]).says(&["10 days"]);
    say(&replay, &["--dry-run"]).says(&["0 of 0 records would be valid"]);
    assert_eq!(rows(&ops), Vec::<String>::new());

    say(&backfill, &["--yes"]).says(&["1\n"]);
    say(&replay, &["--reason", "not_allowed"]).says(&["0 of 0 records are valid now"]);
    say(&replay, &["--status", "lost"]).refuses(2, &["have no payload"]);
    assert_eq!(rows(&ops), [&format!("backfill {JOB} done"), "replay user_events done", "replay user_events refused"]);
    let actions = ops.tributary(&["activity", "--json"]).json();
    assert_eq!(actions[2]["params"], json!({"from": from, "to": to}));
    assert_eq!(actions[1]["params"], json!({"reason": ["not_allowed"]}));
}

#[test]
fn what_went_wrong_is_failed_and_what_cannot_be_written_down_is_not_done() {
    let mut ops = Ops::new();
    ops.run("ALTER TABLE ops.schedules RENAME TO gone");
    ops.tributary(&["jobs", "pause", JOB]).refuses(1, &["pausing a job"]);
    ops.run("ALTER TABLE ops.gone RENAME TO schedules");
    assert_eq!(rows(&ops), [format!("pause {JOB} failed")]);

    ops.run("DROP TABLE ops.actions");
    ops.tributary(&["run", JOB]).refuses(1, &["nothing was done", "tributary up", "ops.actions"]);
    assert!(ops.runs().is_empty(), "a run was queued that nobody knows of");
}
