//! Memory against what the settings promise, and passwords that everybody knows.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tributary_core::settings::{DEMO_PASSWORD, Role, Settings, validate};
use url::Url;

use super::{Check, Finding, Group, Patient, check, check_blocking, page};
use crate::words;

const LIMIT: Duration = Duration::from_secs(2);
/// The program itself, without what it reads and computes.
const PROGRAM: u64 = 100 << 20;
/// What librdkafka may hold for each stream (`queued.max.messages.kbytes` and what each message costs).
const QUEUE: u64 = 40 << 20;
/// The embedded PostgreSQL as `up` starts it.
const POSTGRES: u64 = 128 << 20;

pub(super) async fn checks(patient: &Patient) -> Vec<Check> {
    let (one, other) = (patient.clone(), patient.clone());
    vec![
        check_blocking(Group::Machine, "memory", LIMIT, move || memory(&one)).await,
        check_blocking(Group::Machine, "passwords", LIMIT, move || passwords(&other)).await,
        check(Group::Machine, "console", LIMIT, doors(patient)).await,
    ]
}

/// Who may use the console: that of the process which runs, or of one that these settings would start.
async fn doors(patient: &Patient) -> Finding {
    let other = patient.running.as_ref().filter(|up| up.pid != std::process::id());
    let Some(up) = other else { return console(&patient.settings) };
    let at = &up.http;
    match page(at, "/").await {
        Ok((200, _)) => Finding::ok(format!("open to this machine alone, at {at}")),
        Ok((401, _)) => Finding::ok(format!("asks for its token, at {at}")),
        Ok((403, _)) => {
            let fix = "start it with TRIBUTARY_CONSOLE_TOKEN, or with http.listen at an address of this machine";
            Finding::warn(format!("shows nothing: {at} is reached from beyond this machine, and has no token"), fix)
                .docs("docs/RUN.md#the-console")
        }
        Ok((404, _)) => Finding::skipped("the role console is not among those of the process that runs"),
        Ok((status, _)) => Finding::skipped(format!("{at} says {status}")),
        Err(_) => Finding::skipped(format!("{at} does not answer")),
    }
}

fn console(settings: &Settings) -> Finding {
    let listen = &settings.http.listen;
    let fix = "set TRIBUTARY_CONSOLE_TOKEN, or TRIBUTARY_CONSOLE_TOKEN_FILE; a good one: openssl rand -hex 16";
    let within = validate::is_loopback(listen);
    match settings.console.token.as_deref() {
        _ if !settings.roles.contains(&Role::Console) => Finding::skipped("the role console is not among those of this process"),
        None if within => Finding::ok(format!("open to this machine alone, at {listen}")),
        None => Finding::warn(format!("shows nothing: it listens at {listen}, beyond this machine, and has no token"), fix),
        Some(DEMO_PASSWORD) if !within => {
            Finding::warn(format!("listens at {listen} with the demo's token, which everybody knows"), fix)
        }
        Some(_) => Finding::ok(format!("asks for its token, at {listen}")),
    }
    .docs("docs/RUN.md#the-console")
}

fn memory(patient: &Patient) -> Finding {
    let pid = patient.running.as_ref().map(|up| up.pid);
    let Some((limit, whose)) = limit(pid) else { return Finding::skipped("this system does not say how much memory there is") };
    judge(needed(&patient.settings, patient.streams.len(), is_embedded(patient)), limit, whose)
}

fn is_embedded(patient: &Patient) -> bool {
    patient.loaded.settings.serving.database_url.is_none()
}

/// What the settings allow it to use, all at once.
fn needed(settings: &Settings, streams: usize, embedded: bool) -> u64 {
    let does = |role| settings.roles.contains(&role);
    let of_stream = settings.pipeline.gate_bytes as u64 + settings.pipeline.bronze_file_bytes as u64 + QUEUE;
    let pipelines = if does(Role::Bronze) || does(Role::Serving) { of_stream * streams.max(1) as u64 } else { 0 };
    let batch = if does(Role::Batch) { settings.batch.memory } else { 0 };
    let console = if does(Role::Console) { (settings.batch.memory / 4).max(32 << 20) } else { 0 };
    let postgres = if embedded && (does(Role::Batch) || pipelines > 0) { POSTGRES } else { 0 };
    PROGRAM + pipelines + batch + console + postgres
}

fn judge(needed: u64, limit: u64, whose: &str) -> Finding {
    let both = format!("{} by {whose}; the settings allow {} to be used", words::bytes(limit), words::bytes(needed));
    match needed <= limit {
        true => Finding::ok(both),
        false => {
            let fix = "lower batch.memory (TRIBUTARY_BATCH_MEMORY) to a third of the limit, or raise the limit";
            Finding::warn(format!("{both}, which is more"), fix).docs("docs/TROUBLESHOOTING.md#tributarycrashloop")
        }
    }
}

/// The smallest limit that holds for a process, and who says so.
fn limit(pid: Option<u32>) -> Option<(u64, &'static str)> {
    let who = pid.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
    let groups = fs::read_to_string(format!("/proc/{who}/cgroup")).unwrap_or_default();
    let of_group = limit_files(&groups).into_iter().filter_map(|file| parse_limit(&fs::read_to_string(file).ok()?)).min();
    let of_machine = total(&fs::read_to_string("/proc/meminfo").unwrap_or_default());
    match (of_group, of_machine) {
        (Some(group), Some(machine)) if group < machine => Some((group, "its control group")),
        (Some(group), None) => Some((group, "its control group")),
        (_, machine) => machine.map(|machine| (machine, "the machine")),
    }
}

/// Where limits may be: of the group and of those that it is in, in both versions of control groups.
fn limit_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            names if names.split(',').any(|name| name == "memory") => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        // In a container the path may be the host's, while what is mounted begins at the container's own group.
        let relative = Path::new(path.trim_start_matches('/'));
        files.extend(relative.ancestors().map(|group| Path::new(root).join(group).join(file)));
    }
    files
}

/// None: there is no limit. The first version writes a number beyond every machine for that.
fn parse_limit(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|limit| *limit < 1 << 60)
}

fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

fn passwords(patient: &Patient) -> Finding {
    let serving = &patient.settings.serving;
    let (password, host) = match serving.database_url.as_deref().map(Url::parse) {
        Some(Ok(url)) => (url.password().unwrap_or_default().to_owned(), url.host_str().unwrap_or_default().to_owned()),
        Some(Err(_)) => return Finding::skipped("DATABASE_URL is not one that can be looked into"),
        None => (serving.embedded_password.clone(), serving.listen.clone()),
    };
    // Where the embedded server listens is more than where we reach it.
    let opened = is_embedded(patient) && !is_loopback(&serving.listen);
    judge_password(&password, if opened { &serving.listen } else { &host }, in_container())
}

fn judge_password(password: &str, host: &str, in_container: bool) -> Finding {
    let docs = "docs/RUN.md#beyond-this-machine";
    if password != DEMO_PASSWORD {
        return Finding::ok("PostgreSQL has no password that everybody knows");
    }
    let fix = "set POSTGRES_PASSWORD, or POSTGRES_PASSWORD_FILE, before anybody else can reach it";
    // The network of one compose file: what is published of it is another matter, and loopback's by default.
    let is_own = is_loopback(host) || (in_container && !host.contains('.') && !host.contains(':'));
    match is_own {
        true => Finding::warn(
            format!("PostgreSQL at {host} has the demo's password: good enough for what only this machine reaches"),
            fix,
        ),
        false => Finding::bad(format!("PostgreSQL at {host} has the demo's password, which everybody knows"), fix),
    }
    .docs(docs)
}

fn in_container() -> bool {
    ["/.dockerenv", "/run/.containerenv"].iter().any(|file| Path::new(file).exists())
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_matches(['[', ']']);
    // An empty host and a folder are a socket of this machine.
    bare.is_empty()
        || bare.starts_with('/')
        || bare.starts_with("%2F")
        || bare == "localhost"
        || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
pub(super) mod tests {
    use tributary_core::settings::layers::{Layers, from_layers};
    use tributary_core::stream::Stream;

    use super::super::State;
    use super::*;

    /// Somebody with these variables in the environment, and nothing that runs.
    pub(in super::super) fn patient(env: &[(&str, &str)]) -> Patient {
        let loaded = from_layers(Layers {
            defaults: Settings::default(),
            file: None,
            env: env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            flags: Vec::new(),
            read_secret: &|_| Err("no files here".into()),
        })
        .unwrap();
        Patient {
            settings: loaded.settings.clone(),
            loaded,
            streams: vec![Stream::builtin()],
            streams_problem: None,
            data_dir: "/nowhere/data".into(),
            running: None,
            grafana: None,
        }
    }

    #[test]
    fn the_demo_fits_a_gigabyte_and_the_container_of_the_compose_file_fits_its_limit() {
        assert_eq!(judge(needed(&Settings::default(), 1, true), 1 << 30, "the machine").state, State::Ok);
        let mut compose = Settings::default();
        compose.batch.memory = 128 << 20;
        assert_eq!(judge(needed(&compose, 1, false), 432 << 20, "its control group").state, State::Ok);
        compose.batch.memory = 512 << 20;
        let found = judge(needed(&compose, 1, false), 432 << 20, "its control group");
        assert!(found.state == State::Warn && found.fix.unwrap().contains("batch.memory"));
    }

    #[test]
    fn a_console_beyond_this_machine_needs_a_token_of_its_own() {
        let mut settings = Settings::default();
        assert_eq!(console(&settings).state, State::Ok);
        settings.http.listen = "0.0.0.0:8082".into();
        assert!(console(&settings).found.contains("shows nothing"));
        settings.console.token = Some(DEMO_PASSWORD.into());
        assert_eq!(console(&settings).state, State::Warn);
        settings.console.token = Some("5f0c7a2e".into());
        assert_eq!(console(&settings).state, State::Ok);
    }

    #[test]
    fn limits_are_looked_for_in_the_group_and_in_all_that_it_is_in() {
        let files = limit_files("0::/system.slice/tributary.service\n");
        assert_eq!(files.len(), 3);
        assert_eq!(files[0], Path::new("/sys/fs/cgroup/system.slice/tributary.service/memory.max"));
        assert_eq!(limit_files("5:cpu,cpuacct:/x\n9:memory:/\n"), [Path::new("/sys/fs/cgroup/memory/memory.limit_in_bytes")]);
        assert_eq!([parse_limit("max\n"), parse_limit("9223372036854771712"), parse_limit("1024\n")], [None, None, Some(1024)]);
        assert_eq!(total("MemTotal:        2048 kB\nMemFree: 1 kB\n"), Some(2 << 20));
    }

    #[test]
    fn the_demo_password_is_a_warning_here_and_bad_beyond() {
        assert_eq!(passwords(&patient(&[])).state, State::Warn);
        assert_eq!(passwords(&patient(&[("POSTGRES_PASSWORD", "a better one")])).state, State::Ok);
        assert_eq!(judge_password(DEMO_PASSWORD, "db.example", true).state, State::Bad);
        assert_eq!(judge_password(DEMO_PASSWORD, "postgres", true).state, State::Warn);
        assert_eq!(judge_password(DEMO_PASSWORD, "postgres", false).state, State::Bad);
    }
}
