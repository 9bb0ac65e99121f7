//! What people did: rows that are there before anything is done, and go when they are old.

use std::time::Duration;

use serde_json::{Value, json};
use tributary_actors::serving::actions::{NewAction, Outcome, Verb, Via, Which, begin, end, list};
use tributary_actors::serving::retention;

use super::lease::{lead, migrated, run_out};

fn new<'a>(subject: &'a str, params: &'a Value) -> NewAction<'a> {
    NewAction { person: "ana@anvil", via: Via::Console, action: Verb::Retry, subject, params }
}

#[tokio::test]
async fn an_action_is_begun_until_its_end_is_written() {
    let Some((_database, mut connection)) = migrated().await else { return };
    let params = json!({"from_task": "sil\0ver"});
    let id = begin(&mut connection, &new("run 17", &params)).await.unwrap();
    let begun = list(&mut connection, Which::default()).await.unwrap().remove(0);
    assert_eq!((begun.id, begun.outcome, begun.message.as_deref()), (id, Outcome::Begun, None));
    assert_eq!(
        (begun.person.as_str(), begun.via, begun.action, begun.subject.as_str()),
        ("ana@anvil", Via::Console, Verb::Retry, "run 17")
    );
    assert_eq!(begun.params, json!({"from_task": "sil\u{fffd}ver"}), "PostgreSQL takes no NUL");
    end(&mut connection, id, Outcome::Refused, "run 17 is not over").await.unwrap();
    let ended = list(&mut connection, Which::default()).await.unwrap().remove(0);
    assert_eq!((ended.outcome, ended.message.as_deref()), (Outcome::Refused, Some("run 17 is not over")));
    assert_eq!(ended.at, begun.at);
}

#[tokio::test]
async fn actions_are_listed_page_by_page_the_newest_first() {
    let Some((_database, mut connection)) = migrated().await else { return };
    let nothing = json!({});
    for n in 1..=5 {
        begin(&mut connection, &new(&format!("run {n}"), &nothing)).await.unwrap();
    }
    let first = list(&mut connection, Which { before: None, limit: 2 }).await.unwrap();
    let next = list(&mut connection, Which { before: Some(first[1].id), limit: 2 }).await.unwrap();
    let subjects: Vec<&str> = first.iter().chain(&next).map(|action| action.subject.as_str()).collect();
    assert_eq!(subjects, ["run 5", "run 4", "run 3", "run 2"]);
}

#[tokio::test]
async fn old_actions_go_in_steps_and_the_others_stay() {
    let Some((database, mut connection)) = migrated().await else { return };
    database
        .run(
            "INSERT INTO ops.actions (at, person, via, action, subject) \
             SELECT now() - n * interval '1 hour', 'ana@anvil', 'cli', 'run', 'etl' FROM generate_series(2400, 1, -1) AS n",
        )
        .await;
    let lease = lead(&mut connection, "box-1").await;
    let keep = Duration::from_secs(30 * 86_400);
    let deleted = retention::actions(&mut connection, &lease, keep).await.unwrap();
    assert!((1_680..=1_681).contains(&deleted), "all but 30 of 100 days: {deleted}");
    assert_eq!(retention::actions(&mut connection, &lease, keep).await.unwrap(), 0);
    run_out(&database).await;
    lead(&mut connection, "box-2").await;
    assert!(retention::actions(&mut connection, &lease, keep).await.unwrap_err().is_lost());
}
