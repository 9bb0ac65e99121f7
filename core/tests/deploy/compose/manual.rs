//! What docs/RUN.md and the heads of the compose files tell of the containers is what the files say.

use super::model::{MAIN, SECRETS, Service, default_services, service, services};
use crate::files;

const MANUAL: &str = "docs/RUN.md";

/// The manual's row about a service: its cells.
fn row(name: &str) -> Vec<String> {
    let text = files::text(MANUAL);
    let row = text.lines().find(|line| line.starts_with(&format!("| `{name}` | ")) && line.ends_with(" MiB |"));
    let row = row.unwrap_or_else(|| panic!("{MANUAL} does not say what {name} may take"));
    row.split('|').map(|cell| cell.trim().to_owned()).collect()
}

#[test]
fn every_service_may_take_what_the_manual_says() {
    for service in services(MAIN) {
        assert_eq!(row(&service.name)[3], format!("{} MiB", service.memory() >> 20), "{}", service.name);
    }
    let sum = |services: Vec<Service>| services.iter().map(Service::memory).sum::<u64>();
    let more = (sum(services(MAIN)) - sum(default_services())) >> 20;
    let head = files::text(MAIN);
    assert!(head.contains(&format!("with Alertmanager: {more} MiB more")), "{MAIN}: its head does not say {more} MiB");
}

#[test]
fn the_program_has_the_roles_that_the_manual_says() {
    for name in ["tributary", "producer"] {
        let (told, roles) = (row(name)[2].clone(), service(name).env()["TRIBUTARY_ROLES"].clone());
        let words: Vec<&str> = told.split('`').skip(1).step_by(2).collect();
        assert_eq!(words, roles.split(',').collect::<Vec<_>>(), "{name}: {told}");
    }
}

#[test]
fn the_secrets_that_one_is_told_to_make_are_those_that_are_needed() {
    let declared = files::yaml(SECRETS)["secrets"].clone();
    let mut needed: Vec<&str> = declared.as_object().unwrap().keys().map(String::as_str).collect();
    needed.sort_unstable();
    for file in [SECRETS, MANUAL] {
        let text = files::text(file);
        let (_, after) = text.split_once("for name in postgres ").unwrap_or_else(|| panic!("{file} makes no secrets"));
        let mut made: Vec<&str> = after.split(';').next().unwrap().split(' ').collect();
        made.push("postgres");
        made.sort_unstable();
        assert_eq!(made, needed, "{file}");
    }
}
