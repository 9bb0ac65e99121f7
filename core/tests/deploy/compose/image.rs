//! The Dockerfile builds what the rest of the repository says, and runs as the compose file expects.

use std::collections::BTreeSet;

use super::model::service;
use crate::files;

/// Instructions of the Dockerfile per stage: word and rest, continued lines joined, comments gone.
fn stages() -> Vec<Vec<(String, String)>> {
    let text = files::text("Dockerfile");
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let mut stages: Vec<Vec<(String, String)>> = Vec::new();
    for line in lines.join("\n").replace("\\\n", " ").lines().filter(|line| !line.trim().is_empty()) {
        let (word, rest) = line.split_once(' ').unwrap();
        if word == "FROM" {
            stages.push(Vec::new());
        }
        let rest = rest.split_whitespace().collect::<Vec<_>>().join(" ");
        stages.last_mut().unwrap().push((word.to_owned(), rest));
    }
    stages
}

/// What a stage says with that word; the last one counts.
fn said(stage: &[(String, String)], word: &str) -> String {
    let found = stage.iter().rev().find(|(said, _)| said == word);
    found.unwrap_or_else(|| panic!("the Dockerfile has no {word}")).1.clone()
}

fn builder() -> Vec<(String, String)> {
    stages().remove(0)
}

fn runtime() -> Vec<(String, String)> {
    stages().pop().unwrap()
}

/// Packages that a stage installs.
fn packages(stage: &[(String, String)]) -> BTreeSet<String> {
    let runs: Vec<&str> = stage.iter().filter(|(word, _)| word == "RUN").flat_map(|(_, run)| run.split(" && ")).collect();
    let installs = runs.iter().filter_map(|run| run.strip_prefix("apt-get install "));
    installs.flat_map(str::split_whitespace).filter(|word| !word.starts_with('-')).map(str::to_owned).collect()
}

fn label(name: &str) -> String {
    let labels = said(&runtime(), "LABEL");
    let (_, rest) = labels.split_once(&format!("{name}=\"")).unwrap_or_else(|| panic!("no label {name}"));
    rest.split('"').next().unwrap().to_owned()
}

#[test]
fn both_stages_are_of_one_debian_release() {
    let (builder, runtime) = (said(&builder(), "FROM"), said(&runtime(), "FROM"));
    let release = builder.split(' ').next().unwrap().rsplit('-').next().unwrap().to_owned();
    assert!(runtime.contains(&release), "{builder} and {runtime}");
    assert!(label("org.opencontainers.image.base.name").ends_with(&runtime), "{runtime}");
}

#[test]
fn the_compiler_is_as_new_as_the_program_needs() {
    let cargo: toml::Table = files::text("Cargo.toml").parse().unwrap();
    let needed = cargo["workspace"]["package"]["rust-version"].as_str().unwrap().to_owned();
    let from = said(&builder(), "FROM");
    let has = from.strip_prefix("rust:").and_then(|tag| tag.split('-').next()).unwrap();
    let number = |version: &str| version.split('.').map(|part| part.parse::<u32>().unwrap()).collect::<Vec<_>>();
    assert!(number(has) >= number(&needed), "{has} < {needed}");
}

#[test]
fn the_builder_installs_what_the_set_up_installs_for_building() {
    let has = packages(&builder());
    let setup = files::text("scripts/setup.sh");
    let for_building = setup.split("\nif tests").next().unwrap();
    let words: Vec<&str> = for_building.split_whitespace().collect();
    let wanted: BTreeSet<&str> = words.windows(2).filter(|two| two[0] == "want").map(|two| two[1]).collect();
    assert!(wanted.len() >= 4, "{wanted:?}");
    // The container's PostgreSQL is a container of its own.
    for package in wanted.into_iter().filter(|package| *package != "postgresql") {
        assert!(has.contains(package), "the Dockerfile lacks {package}");
    }
    assert!(packages(&runtime()).contains("ca-certificates"), "brokers and object stores are spoken to with TLS");
}

#[test]
fn what_is_built_is_what_is_tested() {
    let build = builder().into_iter().find(|(word, rest)| word == "RUN" && rest.contains("cargo build")).unwrap().1;
    let profile = files::text("Makefile").lines().find_map(|line| line.strip_prefix("PROFILE := ").map(str::to_owned)).unwrap();
    assert!(build.contains(&format!("cargo build --profile {profile} --locked --bin tributary")), "{build}");
    assert!(build.contains("--mount=type=cache"), "dependencies are compiled once");
    assert_eq!(said(&runtime(), "COPY"), "--from=builder /out/tributary /usr/local/bin/tributary");
}

#[test]
fn it_runs_as_the_user_to_whom_the_data_belongs() {
    let (runtime, tributary) = (runtime(), service("tributary"));
    let user = said(&runtime, "USER");
    assert_eq!(user, tributary.text("user"));
    let set_up = said(&runtime, "RUN");
    assert!(set_up.contains(&format!("useradd --uid {} ", user.split(':').next().unwrap())), "{set_up}");
    let data = &tributary.env()["TRIBUTARY_DATA"];
    assert!(set_up.contains(&format!("install --directory --owner=tributary --group=tributary {data}")), "{set_up}");
    assert!(said(&runtime, "ENV").contains(&format!("TRIBUTARY_DATA={data} ")));
    assert_eq!(said(&runtime, "WORKDIR"), "/app");
}

#[test]
fn it_listens_and_is_asked_where_compose_expects_it() {
    let runtime = runtime();
    let port = service("tributary").ports().pop().unwrap().target.to_string();
    assert_eq!(said(&runtime, "EXPOSE"), port);
    for name in ["tributary", "producer"] {
        assert_eq!(service(name).env()["TRIBUTARY_HTTP_LISTEN"], format!("0.0.0.0:{port}"));
    }
    let health = said(&runtime, "HEALTHCHECK");
    let words: Vec<String> = serde_json::from_str(health.split_once("CMD ").unwrap().1).unwrap();
    assert_eq!(words, service("producer").health());
    assert_eq!(said(&runtime, "ENTRYPOINT"), "[\"tributary\"]");
}

#[test]
fn its_labels_say_what_cargo_says() {
    let cargo: toml::Table = files::text("Cargo.toml").parse().unwrap();
    let package = &cargo["workspace"]["package"];
    assert_eq!(label("org.opencontainers.image.version"), package["version"].as_str().unwrap());
    assert_eq!(label("org.opencontainers.image.licenses"), package["license"].as_str().unwrap());
}

#[test]
fn the_builder_gets_everything_that_is_compiled_and_nothing_secret() {
    let ignore = files::text(".dockerignore");
    let patterns: Vec<&str> = ignore.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert_eq!(patterns[0], "*", "what is not named stays out");
    let sent: BTreeSet<&str> = patterns.iter().filter_map(|pattern| pattern.strip_prefix('!')).collect();
    let cargo: toml::Table = files::text("Cargo.toml").parse().unwrap();
    let members = cargo["workspace"]["members"].as_array().unwrap().iter().map(|member| member.as_str().unwrap().to_owned());
    let always = ["Cargo.toml", "Cargo.lock", "src"].map(str::to_owned);
    let rooms: Vec<String> = members.chain(["src".to_owned()]).collect();
    let included = rooms.iter().flat_map(|room| files::listed(room, ".rs")).filter(|path| !path.contains("/tests/"));
    let included = included.flat_map(|path| folders_included(&files::text(&path)));
    for needed in always.into_iter().chain(rooms.clone()).chain(included) {
        assert!(sent.contains(needed.as_str()), "{needed} does not reach the builder");
    }
}

/// First folders, from the root, of the files that are compiled in: `include_str!("../../jobs/…")`.
fn folders_included(source: &str) -> Vec<String> {
    let arguments =
        ["include_str!(\"", "include_bytes!(\"", "migrate!(\""].into_iter().flat_map(|call| source.split(call).skip(1));
    let outside = arguments.filter_map(|rest| rest.strip_prefix("../"));
    outside.map(|path| path.trim_start_matches("../").split('/').next().unwrap().to_owned()).collect()
}
