//! Whether the process runs, answers, and lets records flow.

use std::time::Duration;

use futures::join;
use serde_json::Value;

use super::{Check, Finding, Group, Patient, check, json_page, page};
use crate::embedded::run_file::RunFile;

const LIMIT: Duration = Duration::from_secs(4);

pub(super) async fn checks(patient: &Patient) -> Vec<Check> {
    let (running, answers, ready) = join!(
        check(Group::Up, "process", LIMIT, async { running(patient) }),
        check(Group::Up, "answers", LIMIT, answers(patient)),
        check(Group::Up, "ready", LIMIT, ready(patient)),
    );
    vec![running, answers, ready]
}

fn running(patient: &Patient) -> Finding {
    match (&patient.running, RunFile::left_behind(&patient.data_dir)) {
        (Some(up), _) => Finding::ok(format!("`tributary up` runs as process {}", up.pid)),
        (None, Some(pid)) => Finding::warn(
            format!(
                "the last `tributary up` with {}, process {pid}, ended without stopping in order",
                patient.data_dir.display()
            ),
            "start it again: tributary up. Nothing is lost: every store goes on where it was",
        ),
        (None, None) => {
            Finding::skipped(format!("no `tributary up` runs with {}; start it: tributary up", patient.data_dir.display()))
        }
    }
}

async fn answers(patient: &Patient) -> Finding {
    let Some(up) = &patient.running else { return Finding::skipped("nothing runs") };
    let docs = "docs/TROUBLESHOOTING.md#is-it-well";
    let fix = format!("look at its log; if it hangs, restart it: kill {}, then tributary up. Nothing is lost", up.pid);
    match page(&up.http, "/healthz").await {
        Ok((200, _)) => Finding::ok(format!("http://{}/healthz says ok", up.http)),
        Ok((status, _)) => Finding::bad(format!("http://{}/healthz says {status}", up.http), fix).docs(docs),
        Err(error) => Finding::bad(format!("{error:#}"), fix).docs(docs),
    }
}

async fn ready(patient: &Patient) -> Finding {
    let Some(up) = &patient.running else { return Finding::skipped("nothing runs") };
    match json_page(&up.http, "/readyz").await {
        Ok((200, _)) => Finding::ok("records flow into every store"),
        Ok((_, answer)) => not_ready(&answer),
        Err(error) => Finding::bad(format!("{error:#}"), "see the check above"),
    }
}

/// What the streams wait for. One that only catches up or starts needs nothing but time.
fn not_ready(answer: &Value) -> Finding {
    let docs = "docs/TROUBLESHOOTING.md#is-it-well";
    let (mut words, mut only_late, mut any_blocked) = (Vec::new(), true, false);
    for stream in answer["not_ready"].as_array().into_iter().flatten() {
        let name = stream["stream"].as_str().unwrap_or("?");
        let late = stream["catching_up"].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>();
        let blocked = stream["blocked"].as_object().into_iter().flatten();
        let blocked: Vec<String> =
            blocked.map(|(partition, why)| format!("partition {partition}: {}", why.as_str().unwrap_or("?"))).collect();
        any_blocked |= !blocked.is_empty();
        only_late &= blocked.is_empty() && !stream["problem"].is_string();
        words.push(match (stream["problem"].as_str(), blocked.is_empty(), late.is_empty()) {
            (Some(problem), ..) => format!("{name}: {problem}"),
            (None, false, _) => format!("{name} waits for your word: {}", blocked.join(", ")),
            (None, true, false) => format!("{name} catches up: {}", late.join(", ")),
            (None, true, true) => format!("{name} is starting"),
        });
    }
    let found = words.join("; ");
    match (words.is_empty(), only_late, any_blocked) {
        (true, ..) => Finding::bad("not ready, and it does not say why", "tributary status").docs(docs),
        (_, true, _) => Finding::warn(found, "wait; `tributary status` shows how the lag shrinks").docs(docs),
        (_, _, true) => {
            let fix = "once you know why: tributary topic adopt STREAM, or tributary topic skip STREAM";
            Finding::bad(found, fix).docs("docs/TROUBLESHOOTING.md#tributarypartitionblocked")
        }
        _ => Finding::bad(found, "see the checks of that store below; it goes on by itself when the store is back").docs(docs),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::State;
    use super::*;

    #[test]
    fn a_stream_that_catches_up_is_a_warning_and_one_that_is_blocked_is_bad() {
        let of = |stream: Value| not_ready(&json!({ "not_ready": [stream] }));
        let late = of(json!({"stream": "a", "problem": null, "catching_up": ["bronze"], "blocked": {}}));
        assert_eq!((late.state, late.found.as_str()), (State::Warn, "a catches up: bronze"));
        let problem = of(json!({"stream": "a", "problem": "no PostgreSQL", "catching_up": [], "blocked": {}}));
        assert_eq!((problem.state, problem.found.as_str()), (State::Bad, "a: no PostgreSQL"));
        let blocked = of(json!({"stream": "a", "problem": null, "catching_up": [], "blocked": {"3": "the topic was recreated"}}));
        assert_eq!(blocked.found, "a waits for your word: partition 3: the topic was recreated");
        assert!(blocked.state == State::Bad && blocked.fix.unwrap().contains("topic adopt"));
        assert_eq!(not_ready(&Value::Null).state, State::Bad);
    }
}
