//! What the containers tell the program is what the program understands, and what the other services do.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tributary_core::settings::layers::{Layers, Loaded, from_layers};
use tributary_core::settings::table::{OTHER_ENV, TABLE};
use tributary_core::settings::validate::is_loopback;
use tributary_core::settings::{Role, Settings};

use super::model::{EXTERNAL, MAIN, SECRETS, Service, service, services};
use crate::files;

const OURS: [&str; 2] = ["tributary", "producer"];

/// Every name that the program understands in its environment.
fn understood() -> Vec<String> {
    let names = TABLE.iter().flat_map(|row| row.env_names().into_iter().map(|name| (name, row.secret)));
    let with_files = names.flat_map(|(name, secret)| {
        let twin = secret.then(|| format!("{name}_FILE"));
        std::iter::once(name).chain(twin)
    });
    with_files.chain(OTHER_ENV.map(str::to_owned)).collect()
}

/// The settings that every command has in that container: `up`, and the health check.
fn loaded(service: &Service, env: BTreeMap<String, String>) -> Loaded {
    from_layers(Layers {
        defaults: Settings::default(),
        file: None,
        env: env.into_iter().collect(),
        flags: Vec::new(),
        read_secret: &|path| match path.strip_prefix("/run/secrets/") {
            // The console takes no blanks.
            Some("console_token") => Ok("a-secret-token".into()),
            Some(_) => Ok("a secret".into()),
            None => Err(format!("no container has {path}")),
        },
    })
    .unwrap_or_else(|refused| panic!("{}: {refused}", service.name))
}

fn settings(name: &str) -> Settings {
    let service = service(name);
    loaded(&service, service.env()).settings
}

/// What a service's environment is when a second file is laid over the main one.
fn over(file: &str, name: &str, set: &[(&str, &str)]) -> BTreeMap<String, String> {
    let set = set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let mut env = service(name).env_with(&set);
    let above = services(file).into_iter().find(|service| service.name == name).unwrap();
    env.extend(above.env_with(&set));
    env
}

#[test]
fn every_variable_given_to_the_program_is_a_setting() {
    let understood = understood();
    for file in [MAIN, EXTERNAL, SECRETS] {
        for service in services(file).into_iter().filter(|service| OURS.contains(&service.name.as_str())) {
            for name in service.env().keys() {
                assert!(understood.contains(name), "{file}: {}: {name} means nothing to the program", service.name);
            }
        }
    }
}

#[test]
fn the_program_starts_with_what_its_containers_tell_it() {
    for name in OURS {
        let service = service(name);
        let loaded = loaded(&service, service.env());
        assert_eq!(loaded.notes, Vec::<String>::new(), "{name}");
        assert_eq!(loaded.settings.instance, name, "the label in metrics and logs is the service's name");
        assert_eq!(service.list("command"), ["up"], "what it does is in the environment, for the health check, too");
    }
    assert_eq!(settings("producer").roles, BTreeSet::from([Role::Generator]));
    assert_eq!(settings("tributary").roles, BTreeSet::from([Role::Bronze, Role::Serving, Role::Batch, Role::Console]));
}

#[test]
fn the_console_in_a_container_asks_for_a_token() {
    let settings = settings("tributary");
    assert!(!is_loopback(&settings.http.listen), "it is published from within a container");
    assert_eq!(settings.console.token.as_deref(), Some("platform123"), "the demo's");
    assert!(!settings.console.read_only);
}

#[test]
fn your_own_kafka_and_postgres_reach_the_program() {
    let yours = [
        ("KAFKA_BOOTSTRAP_SERVERS", "kafka.example:9093"),
        ("KAFKA_SECURITY_PROTOCOL", "SASL_SSL"),
        ("KAFKA_SASL_PASSWORD", "hush"),
        ("KAFKA_SSL_CA_LOCATION", "/certs/kafka.pem"),
        ("POSTGRES_HOST", "db.example"),
        ("POSTGRES_PORT", "6432"),
        ("POSTGRES_PASSWORD", "hush"),
        ("POSTGRES_SSLROOTCERT", "/certs/postgres.pem"),
    ];
    let loaded = loaded(&service("tributary"), over(EXTERNAL, "tributary", &yours)).settings;
    assert_eq!(loaded.kafka.bootstrap_servers.as_deref(), Some("kafka.example:9093"));
    assert_eq!(loaded.kafka.properties["security.protocol"], "SASL_SSL");
    assert_eq!(loaded.kafka.properties["ssl.ca.location"], "/certs/kafka.pem");
    assert_eq!(loaded.serving.ssl_root_cert.as_deref(), Some("/certs/postgres.pem"));
    let url = "postgres://platform:hush@db.example:6432/serving?sslrootcert=%2Fcerts%2Fpostgres.pem";
    assert_eq!(loaded.serving.database_url.as_deref(), Some(url));
    let grafana = over(EXTERNAL, "grafana", &yours);
    assert_eq!((grafana["GRAFANA_DB_URL"].as_str(), grafana["GRAFANA_DB_PASSWORD"].as_str()), ("db.example:6432", "hush"));
}

#[test]
fn files_of_your_own_kafka_and_postgres_are_where_the_example_says() {
    let mounted = |name: &str| services(EXTERNAL).into_iter().find(|service| service.name == name).unwrap().mounts();
    for name in OURS {
        let certs = mounted(name).pop().unwrap_or_else(|| panic!("{name} has no certificates"));
        assert_eq!((certs.target.as_str(), certs.read_only), ("/certs", true), "{name}");
        // What lies there is a person's own.
        assert!(files::text(&format!("{}/.gitignore", certs.source)).lines().any(|line| line == "*"), "{certs:?}");
    }
    assert!(files::text(".env.example").contains("with compose in /certs,"));
}

#[test]
fn a_secret_from_a_file_reaches_the_program() {
    let loaded = loaded(&service("tributary"), over(SECRETS, "tributary", &[])).settings;
    assert_eq!(loaded.serving.database_url.as_deref(), Some("postgres://platform:a%20secret@postgres:5432/serving"));
    assert_eq!(loaded.console.token.as_deref(), Some("a-secret-token"));
    assert_eq!(loaded.kafka.properties["sasl.password"], "a secret");
}

#[test]
fn the_console_can_be_made_to_show_only() {
    let tributary = service("tributary");
    let env = tributary.env_with(&BTreeMap::from([("TRIBUTARY_CONSOLE_READ_ONLY".to_owned(), "true".to_owned())]));
    assert!(loaded(&tributary, env).settings.console.read_only);
}

#[test]
fn a_container_is_stopped_more_patiently_than_the_program_stops() {
    // Beside the pipeline's deadline: the generator's last acknowledgements and the batch layer.
    let more = Duration::from_secs(5);
    for name in OURS {
        let grace = service(name).duration("stop_grace_period");
        assert!(grace > settings(name).pipeline.shutdown_deadline + more, "{name}: {grace:?}");
    }
}

/// `NAME://host:port,…` by name.
fn listeners(text: &str) -> BTreeMap<String, String> {
    text.split(',').map(|one| one.split_once("://").unwrap()).map(|(name, at)| (name.to_owned(), at.to_owned())).collect()
}

#[test]
fn kafka_tells_every_client_an_address_that_it_can_reach() {
    let kafka = service("kafka");
    let env = kafka.env();
    let (listen, advertised) = (listeners(&env["KAFKA_LISTENERS"]), listeners(&env["KAFKA_ADVERTISED_LISTENERS"]));
    let inside = advertised.iter().find(|(_, at)| at.starts_with("kafka:")).unwrap();
    for name in OURS {
        assert_eq!(settings(name).kafka.bootstrap_servers.as_ref(), Some(inside.1), "{name}");
    }
    assert_eq!(inside.1.strip_prefix("kafka"), Some(listen[inside.0].as_str()), "it listens where containers are sent");

    let port = kafka.ports().pop().unwrap();
    let outside = advertised.iter().find(|(_, at)| **at == format!("127.0.0.1:{}", port.published));
    let outside = outside.expect("this machine's programs are sent to the published port").0;
    assert_eq!(listen[outside], format!(":{}", port.target), "and that port leads to the listener that sent them there");
    let moved = BTreeMap::from([(port.variable, "39092".to_owned())]);
    assert_eq!(listeners(&kafka.env_with(&moved)["KAFKA_ADVERTISED_LISTENERS"])[outside], "127.0.0.1:39092");
    assert!(kafka.health().concat().contains(&listen[inside.0].replace(':', "/dev/tcp/localhost/")), "health asks that listener");
}

#[test]
fn kafka_keeps_as_much_as_the_embedded_broker() {
    let (env, kafka) = (service("kafka").env(), Settings::default().kafka);
    assert_eq!(env["KAFKA_LOG_RETENTION_HOURS"], (kafka.retention.as_secs() / 3600).to_string());
    assert_eq!(env["KAFKA_LOG_RETENTION_BYTES"], kafka.retention_bytes.to_string());
    assert_eq!(env["KAFKA_AUTO_CREATE_TOPICS_ENABLE"], "false");
}

#[test]
fn the_database_is_the_one_that_the_first_start_makes() {
    let (program, postgres) = (service("tributary").env(), service("postgres"));
    assert_eq!(program["POSTGRES_HOST"], postgres.name);
    assert_eq!(program["POSTGRES_PORT"], postgres.ports()[0].target.to_string());
    assert_eq!(program["POSTGRES_PASSWORD"], postgres.env()["POSTGRES_PASSWORD"]);
    let first_start = postgres.mounts().into_iter().find(|mount| mount.target.starts_with("/docker-entrypoint-initdb.d/"));
    let script = files::text(&first_start.unwrap().source);
    assert!(script.contains(&format!("CREATE ROLE {} LOGIN", program["POSTGRES_USER"])));
    assert!(script.contains(&format!("CREATE DATABASE {} OWNER {}", program["POSTGRES_DB"], program["POSTGRES_USER"])));
    let health = postgres.health();
    for part in ["--username=grafana".to_owned(), format!("--dbname={}", program["POSTGRES_DB"])] {
        assert!(health.contains(&part), "{health:?}");
    }
}

#[test]
fn the_lake_lies_in_the_volume_and_your_files_where_the_program_looks() {
    let tributary = service("tributary");
    let (env, mounts) = (tributary.env(), tributary.mounts());
    let data = &env["TRIBUTARY_DATA"];
    assert!(mounts.iter().any(|mount| mount.target == *data && mount.source == "lake" && !mount.read_only));
    assert_eq!(env["LAKEHOUSE_PATH"], format!("{data}/lakehouse"));

    let defaults = Settings::default();
    for folder in [defaults.streams_dir, defaults.batch.jobs_dir, defaults.batch.models_dir] {
        let looked_for = format!("/app/{folder}");
        let mount = mounts.iter().find(|mount| looked_for.starts_with(&mount.target)).unwrap_or_else(|| panic!("{folder}"));
        assert_eq!(mount.target, format!("/app/{}", mount.source.trim_start_matches("./")), "same place here and there");
    }
}
