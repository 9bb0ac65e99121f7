//! The language of `jobs/*.toml`: what it accepts, and what it says when it does not.

use std::time::Duration;

use tributary_core::job::{BUILTIN, Job, Schedule, Work, parse_all, parse_each};

const NIGHTLY: &str = r#"name = "nightly"
aliases = ["night_shift"]
description = "What is done at night"
owner = "ops"
tags = ["night"]
retries = 5
retry_delay = "90 s"
timeout = "3 h"
catch_up = true
enabled = false

[schedule]
cron = "0 3 * * *"
timezone = "Europe/Berlin"

[[task]]
name = "tidy"
run = "compact"
after = ["refresh"]

[[task]]
name = "refresh"
run = "silver"
"#;

#[test]
fn the_built_in_jobs_are_those_that_users_know() {
    let [etl, maintenance] = Job::builtin().try_into().unwrap();
    assert!(etl.is_called("lakehouse_bronze_to_gold") && etl.is_called("lakehouse_batch_pipeline"));
    assert!(etl.enabled && !etl.catch_up);
    assert_eq!((etl.retries, etl.retry_delay), (2, Duration::from_secs(120)));
    assert_eq!(etl.schedule, Schedule::Every { interval: Duration::from_secs(300), only_new_data: true });
    let tasks: Vec<_> = etl.tasks.iter().map(|t| (t.name.as_str(), t.after.join(","))).collect();
    let order =
        [("check_bronze", ""), ("silver", "check_bronze"), ("models", "silver"), ("checks", "models"), ("publish", "checks")];
    assert_eq!(tasks, order.map(|(name, after)| (name, after.to_owned())));
    assert_eq!(etl.tasks[2].work, Work::Models(Vec::new()), "all of them");
    assert!(!etl.owner.is_empty() && !etl.tags.is_empty() && !etl.description.is_empty());

    let work: Vec<_> = maintenance.tasks.iter().map(|t| t.work.clone()).collect();
    for needed in [Work::Checkpoint, Work::CleanLog, Work::Compact, Work::Vacuum, Work::RetainRealtime, Work::RetainOps] {
        assert!(work.contains(&needed), "{needed:?}");
    }
}

#[test]
fn everything_that_can_be_said_is_heard() {
    let job = Job::parse(NIGHTLY, "jobs/nightly.toml").unwrap();
    assert_eq!((job.name.as_str(), job.file.as_str()), ("nightly", "jobs/nightly.toml"));
    assert_eq!(job.aliases, ["night_shift"]);
    assert_eq!((job.owner.as_str(), job.description.as_str()), ("ops", "What is done at night"));
    assert_eq!((job.retries, job.retry_delay, job.timeout), (5, Duration::from_secs(90), Duration::from_secs(3 * 3600)));
    assert!(job.catch_up && !job.enabled);
    assert_eq!(job.schedule, Schedule::Cron { pattern: "0 3 * * *".into(), timezone: "Europe/Berlin".into() });
    let tasks: Vec<_> = job.tasks.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(tasks, ["refresh", "tidy"], "in an order in which they can be done");
}

#[test]
fn a_job_of_three_lines_has_sensible_defaults() {
    let job = Job::parse("name = \"small\"\n[[task]]\nrun = \"vacuum\"\n", "small.toml").unwrap();
    assert_eq!((job.schedule, job.enabled, job.catch_up, job.retries), (Schedule::Manual, true, false, 2));
    assert_eq!((job.tasks[0].name.as_str(), job.tasks[0].work.clone()), ("vacuum", Work::Vacuum));
}

/// What is written in place of what, where the error points, and what it says.
#[test]
fn a_mistake_is_answered_with_its_line_and_what_to_write() {
    let cases: [(&str, &str, usize, &str); 24] = [
        ("name = \"nightly\"", "name = \"Nightly run\"", 1, "\"nightly_run\""),
        ("name = \"nightly\"", "nam = \"nightly\"", 1, "did you mean `name`?"),
        ("aliases = [\"night_shift\"]", "aliases = [\"nightly\"]", 2, "named twice"),
        ("retries = 5", "retries = -1", 6, "from 0 to 100"),
        ("retries = 5", "retries = \"5\"", 6, "write retries = 2"),
        ("retry_delay = \"90 s\"", "retry_delay = \"90\"", 7, "a number and ms, s, min, h or days"),
        ("timeout = \"3 h\"", "timeout = \"0 s\"", 8, "from 1 s to 366 days"),
        ("enabled = false", "enabled = \"no\"", 10, "true or false without quotes"),
        ("enabled = false", "enable = false", 10, "did you mean `enabled`?"),
        ("cron = \"0 3 * * *\"", "cron = \"0 3 * *\"", 13, "has not five fields"),
        ("cron = \"0 3 * * *\"", "cron = \"0 30 3 * * *\"", 13, "has not five fields"),
        ("cron = \"0 3 * * *\"", "cron = \"0 25 * * *\"", 13, "minute, hour, day, month, weekday"),
        ("cron = \"0 3 * * *\"", "cron = \"0 3 31 2 *\"", 13, "never happens"),
        ("cron = \"0 3 * * *\"", "every = \"5 min\"", 14, "the same everywhere"),
        ("cron = \"0 3 * * *\"", "cron = \"0 3 * * *\"\nevery = \"5 min\"", 13, "one schedule"),
        ("cron = \"0 3 * * *\"", "cron = \"0 3 * * *\"\nonly_new_data = true", 14, "by the clock"),
        ("cron = \"0 3 * * *\"\n", "", 12, "the schedule says nothing"),
        ("timezone = \"Europe/Berlin\"", "timezone = \"Europe/Berln\"", 14, "did you mean `Europe/Berlin`?"),
        (
            "timezone = \"Europe/Berlin\"",
            "zone = \"Europe/Berlin\"",
            14,
            "the keys here are every, only_new_data, cron, timezone",
        ),
        ("run = \"compact\"", "run = \"compakt\"", 18, "did you mean `compact`?"),
        ("run = \"compact\"", "run = \"compact\"\nretries = 3", 19, "belongs above the first line in brackets"),
        ("after = [\"refresh\"]", "after = [\"refrsh\"]", 19, "did you mean `refresh`?"),
        ("name = \"refresh\"", "name = \"tidy\"", 22, "two tasks `tidy`"),
        ("run = \"silver\"\n", "run = \"silver\"\nafter = \"tidy\"\n", 19, "tidy → refresh → tidy"),
    ];
    for (right, wrong, line, says) in cases {
        let text = NIGHTLY.replacen(right, wrong, 1);
        assert_ne!(text, NIGHTLY, "{right}");
        let error = Job::parse(&text, "jobs/nightly.toml").expect_err(wrong);
        let said = error.to_string();
        assert_eq!(error.line(), line, "{wrong}: {said}");
        assert!(said.starts_with(&format!("jobs/nightly.toml, line {line}: ")) && said.contains(says), "{wrong}: {said}");
    }
}

#[test]
fn a_circle_of_tasks_is_named() {
    let text = "name = \"round\"\n[[task]]\nname = \"a\"\nrun = \"silver\"\nafter = \"c\"\n[[task]]\nname = \"b\"\nrun = \"models\"\nafter = \"a\"\n\
                [[task]]\nname = \"c\"\nrun = \"publish\"\nafter = \"b\"\n";
    let error = Job::parse(text, "round.toml").unwrap_err();
    assert!(error.problem().contains("a → b → c → a"), "{error}");
    let alone = Job::parse("name = \"x\"\n[[task]]\nrun = \"silver\"\nafter = \"silver\"\n", "x.toml").unwrap_err();
    assert_eq!((alone.line(), alone.problem()), (4, "the tasks go round in a circle: silver → silver"));
}

#[test]
fn a_job_without_tasks_and_a_model_without_models_are_refused() {
    let empty = Job::parse("name = \"x\"\n", "x.toml").unwrap_err();
    assert!(empty.help().contains("[[task]]"), "{empty}");
    let odd = Job::parse("name = \"x\"\n[[task]]\nrun = \"silver\"\nmodels = [\"kpi_dau\"]\n", "x.toml").unwrap_err();
    assert_eq!(odd.line(), 4);
    let none = Job::parse("name = \"x\"\n[[task]]\nrun = \"models\"\nmodels = []\n", "x.toml").unwrap_err();
    assert!(none.help().contains("remove it to run all"), "{none}");
}

#[test]
fn two_files_may_not_share_a_name_or_an_alias() {
    let other = |head: &str| format!("{head}\n[[task]]\nrun = \"vacuum\"\n");
    for (head, line) in [
        ("name = \"nightly\"", 1),
        ("name = \"night_shift\"", 1),
        ("name = \"x\"\naliases = [\"y\", \"nightly\"]", 2),
        ("name = \"x\"\naliases = [\"night_shift\"]", 2),
    ] {
        let error = parse_all(&[("a.toml", NIGHTLY), ("b.toml", &other(head))]).unwrap_err();
        assert_eq!((error.file(), error.line()), ("b.toml", line), "{error}");
        assert!(error.problem().contains("already taken by a.toml"), "{error}");
    }
    let third = other("name = \"third\"");
    let mut files: Vec<(&str, &str)> = BUILTIN.to_vec();
    files.push(("third.toml", &third));
    assert_eq!(parse_all(&files).unwrap().len(), 3);
}

#[test]
fn a_broken_file_is_told_and_the_others_are_read() {
    let twice = "name = \"nightly\"\n[[task]]\nrun = \"vacuum\"\n";
    let (jobs, broken) = parse_each(&[("a.toml", "name ="), ("b.toml", NIGHTLY), ("c.toml", twice)]);
    assert_eq!(jobs.iter().map(|job| job.name.as_str()).collect::<Vec<_>>(), ["nightly"]);
    assert_eq!(broken.iter().map(|error| error.file()).collect::<Vec<_>>(), ["a.toml", "c.toml"]);
}
