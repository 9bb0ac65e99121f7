//! What holds for every container: pinned, small, without rights, watched, reachable from this machine alone.

use std::collections::BTreeSet;

use tributary_core::settings::table::TABLE;
use tributary_core::settings::validate::is_loopback;

use super::model::{EXTERNAL, MAIN, SECRETS, default_services, service, services};
use crate::files;

#[test]
fn the_services_are_those_that_users_know() {
    let names: BTreeSet<String> = default_services().into_iter().map(|service| service.name).collect();
    let known = ["grafana", "kafka", "postgres", "producer", "prometheus", "tributary"];
    assert_eq!(names.iter().map(String::as_str).collect::<Vec<_>>(), known);
    assert_eq!(files::yaml(MAIN)["name"], "tributary");
}

#[test]
fn every_image_is_pinned_to_a_version() {
    for service in services(MAIN) {
        let image = service.text("image");
        let (name, version) = image.split_once(':').unwrap_or_else(|| panic!("{image} has no version"));
        let digits = version.split(['.', '-']).filter(|part| part.trim_start_matches('v').parse::<u32>().is_ok()).count();
        assert!(digits >= 2, "{image}: `{version}` is a moving target");
        if name == "tributary" {
            assert_eq!(version, env!("CARGO_PKG_VERSION"));
        }
    }
}

#[test]
fn no_two_services_build_one_image() {
    // Compose builds all of them at once, and the second export of a tag that is new fails: `image … already exists`.
    let all: Vec<_> = [MAIN, EXTERNAL, SECRETS].into_iter().flat_map(services).collect();
    let image = |name: &str| service(name).text("image");
    let builders: BTreeSet<&str> =
        all.iter().filter(|service| !service.raw["build"].is_null()).map(|service| service.name.as_str()).collect();
    let built: BTreeSet<String> = builders.iter().map(|name| image(name)).collect();
    assert_eq!(built.len(), builders.len(), "{builders:?} build {built:?}");
    assert!(built.contains(&image("tributary")), "{built:?}");
    // Before anything is built, Compose asks a registry for what is not here.
    let others = services(MAIN).into_iter().filter(|service| !builders.contains(service.name.as_str()));
    for user in others.filter(|service| built.contains(&service.text("image"))) {
        assert_eq!(user.raw["pull_policy"], "never", "{} uses what another service builds", user.name);
    }
}

#[test]
fn the_default_services_together_stay_below_what_was_promised() {
    let sum: u64 = default_services().iter().map(|service| service.memory()).sum();
    assert!(sum <= 1_600_000_000, "{sum} bytes");
    services(MAIN).iter().for_each(|service| assert!(service.memory() > 0, "{}", service.name));
}

#[test]
fn no_container_has_rights_that_it_does_not_need() {
    for service in services(MAIN) {
        let name = &service.name;
        assert_eq!(service.raw["read_only"], true, "{name}");
        assert_eq!(service.list("cap_drop"), ["ALL"], "{name}");
        assert_eq!(service.list("security_opt"), ["no-new-privileges:true"], "{name}");
        assert!(service.raw["pids_limit"].as_u64().is_some_and(|limit| limit <= 512), "{name}");
        let user = service.text("user");
        assert!(!["", "0", "root"].contains(&user.split(':').next().unwrap()), "{name} runs as `{user}`");
        for forbidden in ["privileged", "cap_add", "network_mode", "pid", "container_name", "env_file"] {
            assert!(service.raw[forbidden].is_null(), "{name}: {forbidden}");
        }
    }
}

#[test]
fn every_container_comes_back_and_its_log_is_bounded() {
    for service in services(MAIN) {
        assert_eq!(service.text("restart"), "unless-stopped", "{}", service.name);
        let logging = &service.raw["logging"];
        assert_eq!(logging["driver"], "json-file", "{}", service.name);
        assert!(logging["options"]["max-size"].is_string() && logging["options"]["max-file"].is_string(), "{}", service.name);
    }
}

#[test]
fn nobody_waits_for_a_service_that_does_not_say_when_it_is_well() {
    for service in services(MAIN) {
        assert!(!service.health().is_empty());
        for (needed, how) in service.raw["depends_on"].as_object().into_iter().flatten() {
            assert_eq!(how["condition"], "service_healthy", "{} needs {needed}", service.name);
            assert!(services(MAIN).iter().any(|other| other.name == *needed), "{} needs {needed}", service.name);
        }
    }
}

#[test]
fn the_program_is_asked_by_itself() {
    assert_eq!(service("tributary").health(), ["tributary", "health", "--ready"]);
    assert_eq!(service("producer").health(), ["tributary", "health"]);
}

#[test]
fn every_port_is_on_loopback_and_can_be_moved() {
    let settings: Vec<String> = TABLE.iter().flat_map(|row| row.env_names()).collect();
    let (mut published, mut variables) = (BTreeSet::new(), BTreeSet::new());
    for service in services(MAIN) {
        for port in service.ports() {
            assert!(is_loopback(&port.address), "{}: {port:?}", service.name);
            assert!(published.insert(port.published), "{} is taken twice", port.published);
            // `make up` reads the same .env: what moves a port there must not move something else here.
            let same = (service.name.as_str(), port.variable.as_str()) == ("prometheus", "PROMETHEUS_PORT");
            assert!(same || !settings.contains(&port.variable), "{} is a setting, too", port.variable);
            variables.insert(port.variable);
        }
    }
    assert_eq!(published.into_iter().collect::<Vec<_>>(), [3000, 5432, 8082, 9090, 9093, 29092]);
    assert_eq!(variables.len(), 6, "one variable for each: {variables:?}");
}

#[test]
fn what_is_mounted_exists_and_what_is_ours_is_mounted_read_only() {
    let parsed = files::yaml(MAIN);
    let declared: BTreeSet<&String> = parsed["volumes"].as_object().unwrap().keys().collect();
    let all: Vec<_> = [MAIN, EXTERNAL, SECRETS].into_iter().flat_map(services).collect();
    let mounts: Vec<_> = all.iter().flat_map(|service| service.mounts()).collect();
    for mount in &mounts {
        match mount.source.strip_prefix("./") {
            Some(path) => {
                assert!(files::root().join(path).exists(), "{path} is mounted and does not exist");
                assert!(mount.read_only, "{path} could be written from a container");
            }
            None => assert!(declared.contains(&mount.source), "volume {} is not declared", mount.source),
        }
    }
    for volume in declared {
        assert!(mounts.iter().any(|mount| mount.source == *volume), "nobody uses volume {volume}");
    }
}

#[test]
fn whoever_needs_a_scratch_folder_on_a_read_only_root_has_a_bounded_one() {
    for service in default_services() {
        let scratch = service.list("tmpfs");
        assert!(scratch.iter().any(|folder| folder.starts_with("/tmp:")), "{}", service.name);
        // Owned by root unless it says that all may write.
        assert!(scratch.iter().all(|folder| folder.contains("mode=1777") && folder.contains("size=")), "{scratch:?}");
    }
}

#[test]
fn kafka_can_write_the_configuration_that_its_image_makes_at_every_start() {
    let scratch = service("kafka").list("tmpfs");
    assert!(scratch.iter().any(|folder| folder.starts_with("/opt/kafka/config:")), "{scratch:?}");
}

#[test]
fn the_second_files_change_services_that_exist_and_start_what_they_should() {
    for file in [EXTERNAL, SECRETS] {
        for above in services(file) {
            let _ = service(&above.name);
        }
    }
    let external = services(EXTERNAL);
    let off: Vec<&str> = external.iter().filter(|s| !s.raw["profiles"].is_null()).map(|s| s.name.as_str()).collect();
    assert_eq!(off, ["kafka", "postgres", "producer"]);
    for above in &external {
        let (needs, waived) = (service(&above.name).raw["depends_on"].clone(), &above.raw["depends_on"]);
        for needed in needs.as_object().into_iter().flatten().map(|(needed, _)| needed).filter(|n| off.contains(&n.as_str())) {
            assert_eq!(waived[needed]["required"], false, "{} would wait for {needed}", above.name);
        }
    }
}

/// Whether a variable holds a secret: the program's settings say it of theirs, and the images have only passwords.
fn holds_a_secret(name: &str) -> bool {
    name.ends_with("PASSWORD") || TABLE.iter().any(|row| row.secret && row.env_names().iter().any(|known| known == name))
}

#[test]
fn each_secret_can_come_from_a_file_that_git_ignores() {
    let declared = files::yaml(SECRETS)["secrets"].clone();
    for (name, secret) in declared.as_object().unwrap() {
        assert_eq!(secret["file"], format!("./secrets/{name}"));
    }
    assert!(files::text(".gitignore").lines().any(|line| line == "/secrets"));
    for above in services(SECRETS) {
        let given = above.list("secrets");
        let used = above.raw.to_string();
        for name in &given {
            assert!(declared[name].is_object() && used.contains(&format!("/run/secrets/{name}")), "{}: {name}", above.name);
        }
    }
    for file in [MAIN, EXTERNAL] {
        for below in services(file) {
            let above = services(SECRETS).into_iter().find(|above| above.name == below.name);
            let hidden = above.map(|above| above.env()).unwrap_or_default();
            for secret in below.env().keys().filter(|name| holds_a_secret(name)) {
                assert_eq!(hidden.get(secret).map(String::as_str), Some(""), "{file}: {}: {secret} stays in sight", below.name);
            }
        }
    }
}
