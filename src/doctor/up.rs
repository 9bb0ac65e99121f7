//! Whether the process runs, answers, and lets records flow.

use std::time::Duration;

use futures::join;
use serde_json::Value;

use super::{Check, Finding, Group, Patient, check, json_page, page};

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
    match &patient.running {
        Some(up) => Finding::ok(format!("`tributary up` runs as process {}", up.pid)),
        None => Finding::skipped(format!("no `tributary up` runs with {}; start it: tributary up", patient.data_dir.display())),
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

/// What the streams wait for. One that only catches up needs nothing but time.
fn not_ready(answer: &Value) -> Finding {
    let docs = "docs/TROUBLESHOOTING.md#is-it-well";
    let (mut words, mut only_late) = (Vec::new(), true);
    for stream in answer["not_ready"].as_array().into_iter().flatten() {
        let name = stream["stream"].as_str().unwrap_or("?");
        let blocked = stream["blocked"].as_array().filter(|blocked| !blocked.is_empty());
        let said = match (&stream["problem"], blocked) {
            (Value::String(problem), _) => problem.clone(),
            (_, Some(blocked)) => format!("waits for your word: {}", Value::Array(blocked.clone())),
            _ => {
                words.push(format!("{name} catches up"));
                continue;
            }
        };
        only_late = false;
        words.push(format!("{name}: {said}"));
    }
    match (words.is_empty(), only_late) {
        (true, _) => Finding::bad("not ready, and it does not say why", "tributary status").docs(docs),
        (false, true) => Finding::warn(words.join("; "), "wait; `tributary status` shows how the lag shrinks").docs(docs),
        (false, false) => Finding::bad(words.join("; "), "tributary status says what each partition waits for").docs(docs),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::State;
    use super::*;

    #[test]
    fn a_stream_that_catches_up_is_a_warning_and_one_that_is_blocked_is_bad() {
        let late = json!({"not_ready": [{"stream": "a", "problem": null, "catching_up": true, "blocked": []}]});
        assert_eq!((not_ready(&late).state, not_ready(&late).found.as_str()), (State::Warn, "a catches up"));
        let problem =
            json!({"not_ready": [{"stream": "a", "problem": "no PostgreSQL"}, {"stream": "b", "blocked": ["3: recreated"]}]});
        let found = not_ready(&problem);
        assert_eq!(found.state, State::Bad);
        assert!(found.found.contains("a: no PostgreSQL") && found.found.contains("b: waits for your word"), "{found:?}");
        assert_eq!(not_ready(&Value::Null).state, State::Bad);
    }
}
