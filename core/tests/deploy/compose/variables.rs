//! What a person may write into .env: every variable of the compose files is there, with the default that holds.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{EXTERNAL, MAIN, SECRETS, Variable, interpolate, variables_in};
use crate::files;

/// Every variable of the three files; comments do not count.
fn variables() -> BTreeSet<Variable> {
    let without_comments = |file: &str| {
        let lines = files::text(file).lines().filter(|line| !line.trim_start().starts_with('#')).collect::<Vec<_>>().join("\n");
        variables_in(&lines)
    };
    [MAIN, EXTERNAL, SECRETS].into_iter().flat_map(without_comments).collect()
}

/// Name and value in a line of .env.example, commented out or not.
fn pair(line: &str) -> Option<(String, String)> {
    let (name, value) = line.strip_prefix('#').unwrap_or(line).split_once('=')?;
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || "_0123456789".contains(c));
    is_name.then(|| (name.to_owned(), value.to_owned()))
}

/// Every variable of .env.example.
fn example() -> BTreeMap<String, String> {
    files::text(".env.example").lines().filter_map(pair).collect()
}

/// The variables of .env.example that are said to be for `make up` alone: those below such a comment, up to the next one.
fn only_for_make_up() -> BTreeSet<String> {
    let (mut found, mut is_said) = (BTreeSet::new(), false);
    for line in files::text(".env.example").lines() {
        match pair(line) {
            Some((name, _)) if is_said => _ = found.insert(name),
            Some(_) => {}
            None => is_said = line.contains("Only `make up`"),
        }
    }
    found
}

#[test]
fn compose_starts_without_any_env_file() {
    for variable in variables() {
        assert!(variable.default.is_some() || variable.must_be_set, "{variable:?} has neither a default nor a reason");
    }
    let in_main: BTreeSet<Variable> = variables_in(&files::text(MAIN));
    assert!(in_main.iter().all(|variable| !variable.must_be_set), "{MAIN} alone asks for nothing");
}

#[test]
fn every_variable_is_in_the_example_with_the_default_that_holds() {
    let example = example();
    for variable in variables() {
        let said = example.get(&variable.name).unwrap_or_else(|| panic!("{} is not in .env.example", variable.name));
        let default = variable.default.unwrap_or_default();
        // A default that is another variable, and one that differs between a container and this machine, are said in words.
        if !default.contains("${") && variable.name != "POSTGRES_SSLMODE" {
            assert_eq!(*said, interpolate(&default, &BTreeMap::new()), "{}", variable.name);
        }
    }
}

#[test]
fn every_variable_in_the_example_is_used_by_compose_or_said_not_to_be() {
    let used: BTreeSet<String> = variables().into_iter().map(|variable| variable.name).collect();
    let elsewhere = only_for_make_up();
    // Compose itself reads what begins with its own name.
    for name in example().into_keys().filter(|name| !name.starts_with("COMPOSE_")) {
        match elsewhere.contains(&name) {
            true => assert!(!used.contains(&name), "{name} is said to be for `make up` alone, and a compose file uses it"),
            false => assert!(used.contains(&name), "no compose file uses {name}, and .env.example does not say so"),
        }
    }
    assert!(elsewhere.contains("DATABASE_URL") && elsewhere.contains("LAKEHOUSE_PATH"), "{elsewhere:?}");
}

#[test]
fn the_credentials_of_the_demo_are_those_that_users_know() {
    let example = example();
    let told: Vec<&str> = ["POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB", "GRAFANA_ADMIN_USER", "GRAFANA_ADMIN_PASSWORD"]
        .iter()
        .map(|name| example[*name].as_str())
        .collect();
    assert_eq!(told, ["platform", "platform123", "serving", "admin", "admin"]);
}
