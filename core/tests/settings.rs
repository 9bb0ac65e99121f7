//! The layers of settings, as a person meets them: what wins, where it says it came from, what it refuses and how.

#![allow(clippy::unwrap_used, reason = "helpers of tests; a panic is a red test")]

use std::time::Duration;

use tributary_core::settings::layers::{Flag, Layers, Loaded, Origin, Refused, from_layers};
use tributary_core::settings::{Settings, table};

/// `said().file("…").env("A", "b").flag("--rate", "generator.events_per_second", "9").load()`
#[derive(Default)]
struct Said {
    file: Option<String>,
    env: Vec<(String, String)>,
    flags: Vec<Flag>,
}

fn said() -> Said {
    Said::default()
}

impl Said {
    fn file(mut self, text: &str) -> Self {
        self.file = Some(text.into());
        self
    }
    fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }
    fn flag(mut self, flag: &str, name: &str, value: &str) -> Self {
        self.flags.push(Flag { flag: flag.into(), name: name.into(), value: value.into() });
        self
    }
    fn try_load(self) -> Result<Loaded, Refused> {
        from_layers(Layers {
            defaults: Settings::default(),
            file: self.file.as_deref().map(|text| ("tributary.toml", text)),
            env: self.env,
            flags: self.flags,
            read_secret: &|path| if path == "/run/secret" { Ok("from-a-file\n".into()) } else { Err("no such file".into()) },
        })
    }
    fn load(self) -> Loaded {
        self.try_load().unwrap()
    }
    fn refusals(self) -> String {
        self.try_load().unwrap_err().to_string()
    }
}

#[test]
fn silence_gives_the_defaults_and_they_are_valid() {
    let loaded = said().load();
    assert_eq!(loaded.settings, Settings::default());
    assert!(loaded.shown().iter().all(|shown| shown.origin == Origin::Default));
    assert_eq!((loaded.settings.kafka.partitions, loaded.settings.kafka.embedded_port), (6, 29092));
    assert_eq!(loaded.settings.serving.embedded_port, 5432);
    assert_eq!(loaded.settings.http.listen, "127.0.0.1:8082");
    assert_eq!(loaded.settings.lake.url, "./data/lakehouse");
}

#[test]
fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
    let file = "[generator]\nevents_per_second = 2\nnum_users = 20\nuser_growth_rate = 3.5\n";
    let loaded = said()
        .file(file)
        .env("EVENTS_PER_SECOND", "30")
        .env("NUM_USERS", "300")
        .flag("--rate", "generator.events_per_second", "4000")
        .load();
    let generator = &loaded.settings.generator;
    assert_eq!((generator.events_per_second, generator.num_users, generator.user_growth_rate), (4000.0, 300, 3.5));
    assert_eq!(loaded.origin("generator.events_per_second").to_string(), "flag --rate");
    assert_eq!(loaded.origin("generator.num_users").to_string(), "environment NUM_USERS");
    assert_eq!(loaded.origin("generator.user_growth_rate").to_string(), "file tributary.toml:4");
    assert_eq!(loaded.origin("kafka.group_id").to_string(), "default");
}

#[test]
fn every_environment_name_of_the_old_platform_works() {
    let loaded = said()
        .env("KAFKA_BOOTSTRAP_SERVERS", "kafka:9092")
        .env("KAFKA_TOPIC", "user-events-2")
        .env("EVENTS_PER_SECOND", "7")
        .env("NUM_USERS", "8")
        .env("USER_GROWTH_RATE", "9")
        .env("LAKEHOUSE_PATH", "/data/lakehouse")
        .env("POSTGRES_HOST", "postgres")
        .env("POSTGRES_PORT", "5433")
        .env("POSTGRES_DB", "serving2")
        .env("POSTGRES_USER", "me")
        .env("POSTGRES_PASSWORD", "s3cret")
        .env("CHECKPOINT_PATH", "/data/checkpoints")
        .load();
    let settings = &loaded.settings;
    assert_eq!(settings.kafka.bootstrap_servers.as_deref(), Some("kafka:9092"));
    assert_eq!(settings.kafka.topic.as_deref(), Some("user-events-2"));
    assert_eq!(settings.lake.url, "/data/lakehouse");
    assert_eq!(settings.serving.database_url.as_deref(), Some("postgres://me:s3cret@postgres:5433/serving2"));
    assert_eq!(loaded.origin("serving.database_url").to_string(), "environment POSTGRES_HOST");
    assert_eq!(loaded.notes.len(), 1);
    assert!(loaded.notes[0].starts_with("CHECKPOINT_PATH is accepted and unused"), "{:?}", loaded.notes);
}

#[test]
fn the_lake_follows_the_data_folder_until_it_has_a_path_of_its_own() {
    assert_eq!(said().env("TRIBUTARY_DATA", "/srv/t/").load().settings.lake.url, "/srv/t/lakehouse");
    let loaded = said().env("TRIBUTARY_DATA", "/srv/t").file("[lake]\nurl = 's3://bucket/lake'").load();
    assert_eq!(loaded.settings.lake.url, "s3://bucket/lake");
}

#[test]
fn the_stronger_of_url_and_host_says_where_postgres_is() {
    let file = "[serving]\ndatabase_url = 'postgres://file@a/b'\n";
    let host_wins = said().file(file).env("POSTGRES_HOST", "db").load();
    assert_eq!(host_wins.settings.serving.database_url.as_deref(), Some("postgres://platform:platform123@db:5432/serving"));
    let url_wins =
        said().env("DATABASE_URL", "postgres://u@a/b").env("POSTGRES_HOST", "db").env("POSTGRES_SSLMODE", "require").load();
    assert_eq!(url_wins.settings.serving.database_url.as_deref(), Some("postgres://u@a/b?sslmode=require"));
    assert!(url_wins.notes[0].contains("serving.host (environment POSTGRES_HOST) is unused"), "{:?}", url_wins.notes);
}

#[test]
fn kafka_security_comes_from_the_environment_and_any_property_from_the_file() {
    let loaded = said()
        .file("[kafka]\nbootstrap_servers = ['a:9093', 'b:9093']\n[kafka.properties]\n'socket.keepalive.enable' = true\n")
        .env("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
        .env("KAFKA_SASL_MECHANISM", "SCRAM-SHA-512")
        .env("KAFKA_SASL_USERNAME", "me")
        .env("KAFKA_SASL_PASSWORD_FILE", "/run/secret")
        .env("KAFKA_SSL_CA_LOCATION", "/ca.pem")
        .load();
    let properties: Vec<_> = loaded.settings.kafka.properties.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let expected = [
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl.password", "from-a-file"),
        ("sasl.username", "me"),
        ("security.protocol", "SASL_SSL"),
        ("socket.keepalive.enable", "true"),
        ("ssl.ca.location", "/ca.pem"),
    ];
    assert_eq!(properties, expected);
    assert_eq!(loaded.settings.kafka.bootstrap_servers.as_deref(), Some("a:9093,b:9093"));
    assert_eq!(loaded.origin("kafka.properties.sasl.password").to_string(), "environment KAFKA_SASL_PASSWORD_FILE");
}

#[test]
fn a_misspelled_name_is_refused_with_its_line_and_the_nearest_one() {
    let refusals = said().file("[kafka]\n\nbootstrap_server = 'a:1'\n[pipelin]\ngate_rows = 9\n").refusals();
    assert_eq!(
        refusals,
        "tributary.toml:3: unknown setting `kafka.bootstrap_server`; did you mean `kafka.bootstrap_servers`?\n\
         tributary.toml:5: unknown setting `pipelin.gate_rows`; did you mean `pipeline.gate_rows`?"
    );
}

#[test]
fn every_mistake_of_every_layer_is_reported_at_once() {
    let refusals = said()
        .file("[pipeline]\nbronze_flush = 1\n")
        .env("EVENTS_PER_SECOND", "many")
        .flag("--set", "pipeline.gate_bytes", "huge")
        .refusals();
    let lines: Vec<_> = refusals.lines().collect();
    assert!(lines[0].starts_with("tributary.toml:2: pipeline.bronze_flush: `1` has no unit; write a time"), "{refusals}");
    assert!(
        lines[1].starts_with("environment EVENTS_PER_SECOND: generator.events_per_second: `many` is not a number"),
        "{refusals}"
    );
    assert!(lines[2].starts_with("flag --set: pipeline.gate_bytes: `huge` is not a size"), "{refusals}");
    assert_eq!(lines.len(), 3);
}

#[test]
fn what_does_not_fit_together_is_refused_where_it_was_said() {
    let refusals = said().file("[pipeline]\nbatch_rows = 100\ngate_rows = 150\n").refusals();
    assert_eq!(refusals, "tributary.toml:3: pipeline.gate_rows: 150 must hold two batches: write 200 or more");
    let refusals = said().file("[kafka.properties]\n'enable.auto.commit' = true\n").refusals();
    assert!(refusals.contains("`enable.auto.commit` is not yours to set"), "{refusals}");
    let refusals = said().env("KAFKA_SECURITY_PROTOCOL", "SSL").refusals();
    assert!(refusals.contains("the embedded broker speaks PLAINTEXT"), "{refusals}");
}

#[test]
fn the_demo_password_stays_on_loopback() {
    for (name, value) in [("TRIBUTARY_SERVING_LISTEN", "0.0.0.0"), ("TRIBUTARY_HTTP_LISTEN", "0.0.0.0:8082")] {
        let refusals = said().env(name, value).refusals();
        assert!(
            refusals.starts_with(&format!("environment {name}: ")) && refusals.contains("set POSTGRES_PASSWORD"),
            "{refusals}"
        );
        said().env(name, value).env("POSTGRES_PASSWORD", "another").load();
    }
    // Somebody else's PostgreSQL is not ours to judge.
    said().env("TRIBUTARY_HTTP_LISTEN", "0.0.0.0:8082").env("POSTGRES_HOST", "postgres").load();
    // And who only makes events has none.
    said().env("TRIBUTARY_HTTP_LISTEN", "0.0.0.0:8082").env("TRIBUTARY_ROLES", "generator").load();
    said().env("TRIBUTARY_HTTP_LISTEN", "0.0.0.0:8082").env("TRIBUTARY_ROLES", "generator,serving").refusals();
}

#[test]
fn no_view_of_the_settings_shows_a_secret() {
    let loaded = said()
        .file(
            "[kafka.properties]\n'sasl.oauthbearer.client.secret' = 'hush-1'\n[lake.options]\naws_secret_access_key = 'hush-2'\n",
        )
        .env("KAFKA_BOOTSTRAP_SERVERS", "a:1")
        .env("KAFKA_SASL_PASSWORD", "hush-3")
        .env("POSTGRES_PASSWORD", "hush-4")
        .env("DATABASE_URL", "postgres://u:hush-5@h/d")
        .load();
    let seen = format!("{:?} {:?}", loaded.settings, loaded.shown());
    assert!(!seen.contains("hush"), "{seen}");
    assert!(seen.contains("postgres://u:***@h/d"), "{seen}");
    // A secret that cannot be used is not repeated in the error either.
    assert!(!said().env("DATABASE_URL", "hush-6").refusals().contains("hush"));
}

#[test]
fn an_empty_variable_says_nothing_and_two_names_may_not_differ() {
    assert!(said().env("KAFKA_TOPIC", "").load().is_default("kafka.topic"));
    let refusals = said().env("KAFKA_TOPIC", "a").env("TRIBUTARY_KAFKA_TOPIC", "b").refusals();
    assert_eq!(refusals, "environment KAFKA_TOPIC and TRIBUTARY_KAFKA_TOPIC both set kafka.topic and differ; keep one of them");
    assert_eq!(
        said().env("KAFKA_TOPIC", "a").env("TRIBUTARY_KAFKA_TOPIC", "a").load().settings.kafka.topic.as_deref(),
        Some("a")
    );
}

#[test]
fn an_unknown_variable_of_ours_is_noted_and_a_lost_secret_file_refused() {
    let notes = said().env("TRIBUTARY_KAFKA_GROUP", "x").load().notes;
    assert_eq!(notes, ["TRIBUTARY_KAFKA_GROUP in the environment is no setting; did you mean `TRIBUTARY_KAFKA_GROUP_ID`?"]);
    let refusals = said().env("POSTGRES_PASSWORD_FILE", "/nowhere").refusals();
    assert_eq!(refusals, "environment POSTGRES_PASSWORD_FILE: cannot read /nowhere: no such file");
}

#[test]
fn what_is_shown_can_be_read_again() {
    let shown = said().load().shown();
    let mut again = said();
    for row in shown.iter().filter(|row| row.value.as_deref().is_some_and(|value| value != "***")) {
        again = again.flag("--set", &row.name, row.value.as_deref().unwrap());
    }
    assert_eq!(again.load().settings, Settings::default());
}

#[test]
fn the_table_names_every_setting_and_every_variable_once() {
    let mut names: Vec<_> = table::TABLE.iter().map(|row| row.name).collect();
    let mut variables: Vec<_> = table::TABLE.iter().flat_map(|row| row.env_names()).collect();
    let count = (names.len(), variables.len());
    names.sort_unstable();
    names.dedup();
    variables.sort();
    variables.dedup();
    assert_eq!((names.len(), variables.len()), count);
    assert!(table::TABLE.iter().all(|row| !row.help.is_empty()));
}

#[test]
fn durations_of_the_file_reach_the_pipeline() {
    let loaded = said().file("pipeline.bronze_flush = '250 ms'\n").load();
    assert_eq!(loaded.settings.pipeline.bronze_flush, Duration::from_millis(250));
}

#[test]
fn the_batch_layer_has_settings_of_its_own() {
    let batch = said().load().settings.batch;
    assert_eq!((batch.jobs_dir.as_str(), batch.models_dir.as_str()), ("jobs", "sql/models/gold"));
    assert_eq!((batch.memory, batch.target_file_bytes, batch.threads), (512 << 20, 128 << 20, 0));
    assert_eq!(batch.keep_versions, Duration::from_secs(30 * 86_400));

    let file = "[batch]\nmemory = \"1 GiB\"\nmax_shrink = 0.5\nkeep_realtime = \"90d\"\n";
    let loaded = said().file(file).env("TRIBUTARY_JOBS", "/etc/jobs").env("TRIBUTARY_DATA", "/srv/t").load();
    let batch = &loaded.settings.batch;
    assert_eq!((batch.memory, batch.max_shrink, batch.jobs_dir.as_str()), (1 << 30, 0.5, "/etc/jobs"));
    assert_eq!(batch.keep_realtime, Duration::from_secs(90 * 86_400));
    assert_eq!(batch.spill_dir, "/srv/t/spill", "beside everything else");
    assert!(loaded.is_default("batch.models_dir") && !loaded.is_default("batch.jobs_dir"));
}

#[test]
fn a_batch_setting_that_would_lose_data_or_do_nothing_is_refused() {
    for (line, word) in [
        ("max_shrink = 10", "write 0.1 for a tenth"),
        ("keep_versions = \"1h\"", "write 1d or more"),
        ("keep_runs = \"0\"", "write 1h or more"),
        ("memory = \"1 MiB\"", "write 64 MiB or more"),
        ("jobs_dir = \"\"", "write a path"),
    ] {
        let refusals = said().file(&format!("[batch]\n{line}\n")).refusals();
        assert!(refusals.contains("tributary.toml:2: batch.") && refusals.contains(word), "{line}: {refusals}");
    }
}
