//! `tributary up` and `tributary broker` as processes: they come up on a bare folder, tell where they are, keep others out, and go
//! down in order.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tributary::embedded::process::signal;

/// A process that is killed when the test ends, however it ends.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    /// Signals it and waits for its end.
    fn end(mut self, number: i32, patience: Duration) -> Option<i32> {
        signal(self.0.id(), number);
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        panic!("still there after {patience:?}");
    }
}

fn tributary(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
    command.args(arguments).current_dir(folder).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command.env("TRIBUTARY_KAFKA_EMBEDDED_PORT", "0").env("POSTGRES_PORT", "0").env("TRIBUTARY_HTTP_LISTEN", "127.0.0.1:0");
    // tests/e2e/fresh.py looks at that one.
    command.env("PROMETHEUS_PORT", "0");
    // A neighbour's is not ours to judge.
    command.env("GRAFANA_URL", "https://nobody.invalid");
    command
}

/// Starts `up` and reads where everything is.
fn up(folder: &Path, arguments: &[&str]) -> (Process, Value) {
    let log = fs::File::create(folder.join("up.log")).unwrap();
    let mut command = tributary(folder, &[&["up", "--json"], arguments].concat());
    let mut process = Process(command.stdout(Stdio::piped()).stderr(log).spawn().unwrap());
    let mut text = String::new();
    for line in BufReader::new(process.0.stdout.take().unwrap()).lines() {
        text += &line.unwrap();
        if let Ok(places) = serde_json::from_str(&text) {
            return (process, places);
        }
    }
    panic!("{text} {}", fs::read_to_string(folder.join("up.log")).unwrap());
}

fn output(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = tributary(folder, arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Its metrics, once all of these are among them.
fn metrics_with(places: &Value, all: &[&str]) -> String {
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let mut page = String::new();
        // It says where it will listen before it does.
        if let Ok(mut stream) = TcpStream::connect(places["http"].as_str().unwrap()) {
            stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
            stream.read_to_string(&mut page).unwrap();
        }
        if all.iter().all(|words| page.contains(words)) {
            return page;
        }
        assert!(Instant::now() < deadline, "not all of {all:?} are in {page}");
        std::thread::park_timeout(Duration::from_millis(200));
    }
}

/// The audit's verdict once everything is drained.
fn audit(folder: &Path) -> (i32, String) {
    let (code, out, err) = output(folder, &["audit", "--drained", "--wait", "60s"]);
    (code, out + &err)
}

#[test]
fn up_makes_everything_keeps_others_out_and_leaves_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let (process, places) = up(folder.path(), &["--no-generator"]);
    assert_eq!(places["pid"], process.0.id());
    assert!(places["lake"].as_str().unwrap().ends_with("/data/lakehouse"));
    let (code, _, err) = output(folder.path(), &["up"]);
    assert_eq!(code, 1);
    assert!(err.contains(&format!("process {}", process.0.id())) && err.contains("--data"), "{err}");

    // Other commands find it without being told.
    let (code, truth, err) = output(folder.path(), &["generate", "--count", "2000"]);
    assert_eq!(code, 0, "{truth}{err}");
    assert_eq!(audit(folder.path()).0, 0, "{}", audit(folder.path()).1);
    let (_, status, _) = output(folder.path(), &["status", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&status).unwrap()["up"]["pid"], process.0.id());

    assert_eq!(process.end(libc::SIGINT, Duration::from_secs(20)), Some(0));
    assert!(!folder.path().join("data/run.json").exists());
    let log = fs::read_to_string(folder.path().join("data/postgres/server.log")).unwrap();
    assert!(log.contains("database system is shut down"), "PostgreSQL was not stopped in order: {log}");
}

#[test]
fn up_after_kill_9_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (process, _) = up(folder.path(), &["--rate", "500"]);
    let (code, _, err) = output(folder.path(), &["generate", "--count", "3000"]);
    assert_eq!(code, 0, "{err}");
    drop(process); // SIGKILL
    let (process, _) = up(folder.path(), &["--no-generator"]);
    let (code, report) = audit(folder.path());
    assert_eq!(code, 0, "{report}");
    assert_eq!(process.end(libc::SIGTERM, Duration::from_secs(20)), Some(0));
}

#[test]
fn after_a_restart_metrics_tell_of_tables_that_nobody_has_touched_since() {
    const JOB: &str = "lakehouse_bronze_to_gold";
    const TOLD: [&str; 3] = [
        "tributary_published_timestamp_seconds{table=\"gold.daily_active_users\"} ",
        "tributary_delta_files{table=\"gold.kpi_dau\"} ",
        "tributary_delta_log_commits{table=\"silver.user_events\"} ",
    ];
    let folder = tempfile::tempdir().unwrap();
    let (process, places) = up(folder.path(), &["--rate", "500"]);
    metrics_with(&places, &TOLD);
    let (code, _, err) = output(folder.path(), &["jobs", "pause", JOB]);
    assert_eq!(code, 0, "{err}");
    drop(process); // SIGKILL
    let (process, places) = up(folder.path(), &["--no-generator"]);
    let page = metrics_with(&places, &TOLD);
    assert!(!page.contains(&format!("tributary_task_duration_seconds_count{{job_name=\"{JOB}\"")), "a task ran: {page}");
    assert_eq!(process.end(libc::SIGTERM, Duration::from_secs(20)), Some(0));
}

#[test]
fn a_window_that_is_declared_later_has_what_the_others_have() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("streams/user_events.toml");
    fs::create_dir(folder.path().join("streams")).unwrap();
    fs::write(&file, include_str!("../../streams/user_events.toml")).unwrap();
    let (process, _) = up(folder.path(), &["--no-generator"]);
    let (code, _, err) = output(folder.path(), &["generate", "--count", "2000"]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(audit(folder.path()).0, 0);
    assert_eq!(process.end(libc::SIGTERM, Duration::from_secs(20)), Some(0));

    let later = "[[window]]\ntable = 'events_per_hour'\nevery = '1 h'\ngroup_by = ['source']\ncount = 'events'\n";
    fs::write(&file, fs::read_to_string(&file).unwrap() + later).unwrap();
    let (process, _) = up(folder.path(), &["--no-generator"]);
    let (code, _, err) = output(folder.path(), &["generate", "--count", "1000"]);
    assert_eq!(code, 0, "{err}");
    let (code, report) = audit(folder.path());
    assert!(code == 0 && report.contains("windows 4 tables, mismatched=0 drift=0"), "{report}");
    assert_eq!(process.end(libc::SIGTERM, Duration::from_secs(20)), Some(0));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (process, places) = up(folder.path(), &["--no-generator"]);
    assert!(places["postgres"].is_array());
    // PostgreSQL cannot stop while it is stopped: the orderly end would take its ten seconds.
    let pid_file = fs::read_to_string(folder.path().join("data/postgres/cluster/postmaster.pid")).unwrap();
    let server: u32 = pid_file.lines().next().unwrap().parse().unwrap();
    signal(server, libc::SIGSTOP);
    signal(process.0.id(), libc::SIGINT);
    let log = folder.path().join("up.log");
    while !fs::read_to_string(&log).unwrap().contains("stopping in order") {
        std::thread::park_timeout(Duration::from_millis(20));
    }
    let code = process.end(libc::SIGINT, Duration::from_secs(3));
    signal(server, libc::SIGCONT);
    assert_eq!(code, Some(130));
}

#[test]
fn the_broker_alone_prints_its_address_and_has_its_folder_for_itself() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = tributary(folder.path(), &["broker", "--port", "0"]);
    let mut process = Process(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let mut address = String::new();
    BufReader::new(process.0.stdout.take().unwrap()).read_line(&mut address).unwrap();
    assert!(TcpStream::connect(address.trim()).is_ok(), "{address}");
    let (code, out, err) = output(folder.path(), &["broker", "--port", "0"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("because:"), "{err}");
    assert_eq!(process.end(libc::SIGTERM, Duration::from_secs(10)), Some(0));
}

#[test]
fn a_doctor_beside_it_finds_nothing_wrong_and_a_bundle_of_it_holds_no_secret() {
    const SECRET: [&str; 2] = ["--set", "serving.password=hush-4711"];
    let folder = tempfile::tempdir().unwrap();
    let (process, _) = up(folder.path(), &[&SECRET[..], &["--no-generator"]].concat());
    let deadline = Instant::now() + Duration::from_secs(60);
    while output(folder.path(), &["health", "--ready"]).0 != 0 {
        assert!(Instant::now() < deadline, "not ready: {}", output(folder.path(), &["health", "--ready"]).2);
        std::thread::park_timeout(Duration::from_millis(100));
    }

    let (code, text, err) = output(folder.path(), &[&["doctor", "--json"], &SECRET[..]].concat());
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{err}"));
    let checks = report["checks"].as_array().unwrap();
    // How much is free is this machine's affair.
    let is_wrong = |check: &&Value| check["state"] != "ok" && check["state"] != "skipped" && check["name"] != "space";
    let wrong: Vec<&Value> = checks.iter().filter(is_wrong).collect();
    assert!(wrong.is_empty() && code <= 1, "{wrong:#?}");
    for (group, name) in
        [("up", "ready"), ("kafka", "topics"), ("postgresql", "schema"), ("postgresql", "role grafana"), ("lake", "place")]
    {
        let found = checks.iter().find(|check| check["group"] == group && check["name"] == name).unwrap();
        assert_eq!(found["state"], "ok", "{found}");
    }

    let (code, listed, err) = output(folder.path(), &[&["debug", "bundle", "--out", "b.tar.gz"], &SECRET[..]].concat());
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("nothing was sent anywhere"), "{err}");
    let unpacked = folder.path().join("unpacked");
    fs::create_dir(&unpacked).unwrap();
    let mut tar = Command::new("tar");
    tar.args(["-xzf", "b.tar.gz", "--strip-components=1", "-C", "unpacked"]).current_dir(folder.path());
    assert!(tar.status().unwrap().success());
    for name in
        ["doctor.json", "config.json", "metrics.txt", "readyz.json", "up.json", "status.json", "runs.json", "postgres.log"]
    {
        assert!(listed.contains(name) && unpacked.join(name).exists(), "{name} is not in {listed}");
    }
    let (mut folders, mut files) = (vec![unpacked], 0);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    let text = fs::read_to_string(&path).unwrap();
                    assert!(!text.contains("hush"), "{}: {text}", path.display());
                    files += 1;
                }
            }
        }
    }
    assert!(files > 15, "jobs and models are there, too");
    assert_eq!(process.end(libc::SIGTERM, Duration::from_secs(20)), Some(0));
}
