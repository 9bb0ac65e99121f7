//! The command line as a person meets it: what it prints where, how it ends, and what it says when it is called wrongly.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {} {}", self.out, self.err))
    }
}

/// Runs `tributary` in that folder with an environment of its own.
fn tributary_in(folder: &Path, arguments: &[&str], env: &[(&str, &str)]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
    command.args(arguments).current_dir(folder).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    let output = command.envs(env.iter().copied()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

fn tributary(arguments: &[&str], env: &[(&str, &str)]) -> Said {
    tributary_in(tempfile::tempdir().unwrap().path(), arguments, env)
}

fn origin(said: &Said, name: &str) -> (String, String) {
    let row = said.json().as_array().unwrap().iter().find(|row| row["name"] == name).unwrap().clone();
    let text = |key: &str| row[key].as_str().unwrap_or("-").to_owned();
    (text("value"), text("origin"))
}

#[test]
fn help_names_every_subcommand_with_examples_and_ends_well() {
    let help = tributary(&["--help"], &[]);
    assert_eq!(help.code, 0);
    const COMMANDS: [&str; 19] = [
        "up", "status", "health", "jobs", "run", "runs", "backfill", "tables", "models", "query", "why", "audit", "generate",
        "topic", "config", "broker", "version", "doctor", "debug",
    ];
    for word in COMMANDS.into_iter().chain(["Examples:", "Exit status:"]) {
        assert!(help.out.contains(word), "{word}");
    }
    for command in COMMANDS {
        let help = tributary(&[command, "--help"], &[]);
        assert_eq!((help.code, help.err.as_str()), (0, ""), "{command}");
        assert!(help.out.contains("Examples:"), "{command}");
    }
}

#[test]
fn being_called_wrongly_is_exit_status_2_with_nothing_on_stdout() {
    for arguments in [&[][..], &["nonsense"], &["up", "--rate"], &["up", "--rate", "9", "--no-generator"], &["config"]] {
        let said = tributary(arguments, &[]);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{arguments:?}");
        assert!(said.err.contains("--help"), "{arguments:?}: {}", said.err);
    }
    assert!(tributary(&["stats"], &[]).err.contains("'status'"), "a slip is answered with what was meant");
}

#[test]
fn config_show_tells_each_value_and_who_said_so() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tributary.toml"), "[pipeline]\nbronze_flush = '2s'\nwindow_merge = '1s'\n").unwrap();
    let said = tributary_in(
        folder.path(),
        &["config", "show", "--json", "--set", "pipeline.window_merge=3s", "--data", "/srv/t"],
        &[("EVENTS_PER_SECOND", "50")],
    );
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    let both = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());
    assert_eq!(origin(&said, "pipeline.bronze_flush"), both("2s", "file tributary.toml:2"));
    assert_eq!(origin(&said, "pipeline.window_merge"), both("3s", "flag --set"));
    assert_eq!(origin(&said, "generator.events_per_second"), both("50", "environment EVENTS_PER_SECOND"));
    assert_eq!(origin(&said, "data_dir"), both("/srv/t", "flag --data"));
    assert_eq!(origin(&said, "lake.url"), both("/srv/t/lakehouse", "default"));
    assert_eq!(origin(&said, "kafka.partitions"), both("6", "default"));

    let table = tributary_in(folder.path(), &["config", "show", "--changed"], &[]);
    let lines: Vec<Vec<&str>> = table.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        lines,
        [
            vec!["SETTING", "VALUE", "ORIGIN"],
            vec!["pipeline.bronze_flush", "2s", "file", "tributary.toml:2"],
            vec!["pipeline.window_merge", "1s", "file", "tributary.toml:3"],
        ]
    );
}

#[test]
fn config_show_masks_secrets_wherever_they_come_from() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pw"), "hush-1\n").unwrap();
    let env = [
        ("POSTGRES_PASSWORD_FILE", "pw"),
        ("DATABASE_URL", "postgres://me:hush-2@db/serving"),
        ("KAFKA_BOOTSTRAP_SERVERS", "kafka:9093"),
        ("KAFKA_SASL_PASSWORD", "hush-3"),
    ];
    for arguments in [&["config", "show"][..], &["config", "show", "--json"]] {
        let said = tributary_in(folder.path(), arguments, &env);
        assert_eq!(said.code, 0, "{}", said.err);
        assert!(!said.out.contains("hush") && said.out.contains("postgres://me:***@db/serving"), "{}", said.out);
    }
}

#[test]
fn a_settings_file_with_mistakes_is_refused_line_by_line() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("my.toml"), "[kafka]\npartition = 6\n[pipeline]\nbronze_flush = 5\n").unwrap();
    let said = tributary_in(folder.path(), &["config", "show", "--config", "my.toml"], &[]);
    assert_eq!((said.code, said.out.as_str()), (2, ""));
    let lines: Vec<_> = said.err.lines().collect();
    assert_eq!(lines[0], "error: my.toml:2: unknown setting `kafka.partition`; did you mean `kafka.partitions`?");
    assert!(lines[1].starts_with("error: my.toml:4: pipeline.bronze_flush: `5` has no unit"), "{}", said.err);
    assert_eq!(lines.len(), 2);

    let missing = tributary_in(folder.path(), &["config", "show"], &[("TRIBUTARY_CONFIG", "other.toml")]);
    assert_eq!(missing.code, 2);
    assert!(missing.err.contains("cannot read the settings file other.toml"), "{}", missing.err);
}

#[test]
fn the_demo_password_beyond_loopback_is_refused_with_what_to_do() {
    let said = tributary(&["up"], &[("TRIBUTARY_SERVING_LISTEN", "0.0.0.0")]);
    assert_eq!(said.code, 2);
    assert!(
        said.err.contains("environment TRIBUTARY_SERVING_LISTEN") && said.err.contains("set POSTGRES_PASSWORD"),
        "{}",
        said.err
    );
}

#[test]
fn a_stream_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("streams")).unwrap();
    fs::write(folder.path().join("streams/orders.toml"), "name = 'orders'\n").unwrap();
    let said = tributary_in(folder.path(), &["status"], &[]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("streams/orders.toml"), "{}", said.err);
    let nowhere = tributary_in(folder.path(), &["status", "--streams", "nowhere"], &[]);
    assert!(nowhere.code == 1 && nowhere.err.contains("nowhere"), "{}", nowhere.err);
}

#[test]
fn only_the_streams_that_are_asked_for_are_there() {
    let orders = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let names = |only: &str| -> Vec<String> {
        let only = format!("streams_only={only}");
        let said = tributary(&["status", "--json", "--streams", orders, "--set", &only], &[]);
        assert_eq!(said.code, 0, "{}", said.err);
        said.json()["streams"].as_array().unwrap().iter().map(|s| s["stream"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("orders"), ["orders"]);
    assert_eq!(names("orders, user_events"), ["user_events", "orders"]);
    let unknown = tributary(&["status", "--streams", orders, "--set", "streams_only=order"], &[]);
    assert_eq!((unknown.code, unknown.out.as_str()), (2, ""));
    assert!(unknown.err.contains("no stream order; there are: user_events, orders"), "{}", unknown.err);
}

#[test]
fn without_kafka_a_command_that_needs_it_says_how_to_get_one() {
    let said = tributary(&["generate", "--count", "1"], &[]);
    assert_eq!((said.code, said.out.as_str()), (1, ""));
    assert!(said.err.contains("tributary up") && said.err.contains("KAFKA_BOOTSTRAP_SERVERS"), "{}", said.err);
}

#[test]
fn no_colour_reaches_a_pipe() {
    for arguments in [&["config", "show"][..], &["nonsense"], &["status"]] {
        let said = tributary(arguments, &[]);
        assert!(!said.out.contains('\u{1b}') && !said.err.contains('\u{1b}'), "{arguments:?}");
    }
}

#[test]
fn version_is_for_people_and_machines() {
    assert!(tributary(&["version"], &[]).out.starts_with("tributary 0."));
    assert_eq!(tributary(&["version", "--json"], &[]).json()["version"], env!("CARGO_PKG_VERSION"));
}

/// A server that gives one answer, to one request, and says which page that was for.
fn answers(text: &'static str) -> (String, std::thread::JoinHandle<String>) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap().to_string();
    let page = std::thread::spawn(move || {
        let (mut stream, _) = server.accept().unwrap();
        let mut request = [0; 1024];
        let length = stream.read(&mut request).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        String::from_utf8_lossy(&request[..length]).split_whitespace().nth(1).unwrap().to_owned()
    });
    (address, page)
}

#[test]
fn health_is_what_the_process_says_of_itself() {
    let (address, page) = answers("HTTP/1.1 200 OK\r\n\r\nok\n");
    let everywhere = address.replace("127.0.0.1", "0.0.0.0");
    let env = [("TRIBUTARY_HTTP_LISTEN", everywhere.as_str()), ("POSTGRES_HOST", "postgres")];
    let said = tributary(&["health"], &env);
    assert_eq!((said.code, said.out, said.err.as_str()), (0, format!("healthy: http://{address}/healthz\n"), ""));
    assert_eq!(page.join().unwrap(), "/healthz");

    let (address, page) = answers("HTTP/1.1 503 Service Unavailable\r\n\r\n{\"ready\":false,\"not_ready\":[\"why\"]}");
    let said = tributary(&["health", "--ready"], &[("TRIBUTARY_HTTP_LISTEN", address.as_str())]);
    assert_eq!((said.code, said.out.as_str()), (1, ""));
    assert!(said.err.contains("not ready") && said.err.contains(r#"["why"]"#), "{}", said.err);
    assert_eq!(page.join().unwrap(), "/readyz");
}

#[test]
fn nobody_who_answers_is_not_healthy() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let said = tributary(&["health"], &[("TRIBUTARY_HTTP_LISTEN", free.as_str())]);
    assert_eq!((said.code, said.out.as_str()), (1, ""));
    assert!(said.err.contains(&format!("http://{free}/healthz does not answer")), "{}", said.err);
}

/// Nothing of ours and nothing of a neighbour's on this machine is looked for.
const ALONE: [(&str, &str); 5] = [
    ("TRIBUTARY_HTTP_LISTEN", "127.0.0.1:0"),
    ("TRIBUTARY_KAFKA_EMBEDDED_PORT", "0"),
    ("POSTGRES_PORT", "0"),
    ("PROMETHEUS_PORT", "0"),
    ("GRAFANA_URL", "https://nobody.invalid"),
];

fn state(report: &Value, group: &str, name: &str) -> String {
    let checks = report["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["group"] == group && check["name"] == name);
    found.unwrap_or_else(|| panic!("no check {group}/{name}: {report:#}"))["state"].as_str().unwrap().to_owned()
}

#[test]
fn a_doctor_where_nothing_runs_finds_nothing_wrong_but_the_demo_password_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let said = tributary_in(folder.path(), &["doctor", "--json"], &ALONE);
    let report = said.json();
    assert_eq!((said.code, report["state"].as_str()), (1, Some("warn")), "{report:#}");
    assert_eq!(state(&report, "machine", "passwords"), "warn");
    for (group, name) in [("up", "process"), ("kafka", "answers"), ("postgresql", "schema"), ("prometheus", "answers")] {
        assert_eq!(state(&report, group, name), "skipped", "{group}/{name}");
    }
    let text = tributary_in(folder.path(), &["doctor"], &ALONE);
    for words in ["Configuration\n✓ settings", "! passwords", "→ set POSTGRES_PASSWORD", "- answers"] {
        assert!(text.out.contains(words), "{words}: {}", text.out);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "looking made something");

    let own = [&ALONE[..], &[("POSTGRES_PASSWORD", "nobody knows it")]].concat();
    let said = tributary_in(folder.path(), &["doctor"], &own);
    assert_eq!(said.code, 0, "{}", said.out);
}

#[test]
fn a_doctor_names_who_holds_a_port() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port().to_string();
    let env: Vec<_> =
        ALONE.into_iter().map(|(name, value)| (name, if name == "POSTGRES_PORT" { port.as_str() } else { value })).collect();
    let said = tributary(&["doctor", "--json"], &env);
    let report = said.json();
    assert_eq!((said.code, state(&report, "ports", "postgresql").as_str()), (2, "bad"), "{report:#}");
    assert!(said.out.contains(&format!("(process {})", std::process::id())), "{report:#}");
}

#[test]
fn a_doctor_of_settings_that_cannot_be_read_says_what_is_wrong_with_them() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tributary.toml"), "[kafka]\npartition = 6\n").unwrap();
    let said = tributary_in(folder.path(), &["doctor", "--json"], &ALONE);
    assert_eq!(said.code, 2);
    let found = said.json()["checks"][0]["found"].as_str().unwrap().to_owned();
    assert!(found.contains("tributary.toml:2") && found.contains("did you mean `kafka.partitions`?"), "{found}");
}
