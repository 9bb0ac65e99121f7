//! Settings, and the files that declare streams, jobs and models: whether each can be read, and what somebody changed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tributary_batch::{Limits, Local};
use tributary_core::settings::layers::{Loaded, Origin};
use tributary_core::stream::Stream;

use super::{Check, Finding, Group, Patient, check, check_blocking};
use crate::cli::declared;
use crate::engine::limits;
use crate::words;

const LIMIT: Duration = Duration::from_secs(2);
/// How long it may take to plan all models.
const PLANNING: Duration = Duration::from_secs(10);

pub(super) async fn checks(patient: &Patient) -> Vec<Check> {
    type Look = (&'static str, fn(&Patient) -> Finding);
    let all: [Look; 4] = [("settings", settings), ("notes", notes), ("streams", streams), ("jobs", jobs)];
    let mut checks = Vec::new();
    for (name, look) in all {
        let patient = patient.clone();
        checks.push(check_blocking(Group::Config, name, LIMIT, move || look(&patient)).await);
    }
    checks.push(check(Group::Config, "models", PLANNING, models(patient)).await);
    checks
}

fn settings(patient: &Patient) -> Finding {
    let changed = changed(&patient.loaded);
    match changed.len() {
        0 => Finding::ok("every setting has its default"),
        n => Finding::ok(format!("{} changed: {}", words::plural(n as u64, "setting"), changed.join(", "))),
    }
}

/// What somebody set, masked, and where.
fn changed(loaded: &Loaded) -> Vec<String> {
    let shown = loaded.shown().into_iter().filter(|row| row.origin != Origin::Default);
    shown.map(|row| format!("{} = {} ({})", row.name, row.value.as_deref().unwrap_or("-"), row.origin)).collect()
}

fn notes(patient: &Patient) -> Finding {
    match patient.loaded.notes.is_empty() {
        true => Finding::ok("nothing that was set is unused"),
        false => {
            let fix = "take away what is unused, or correct its name; `tributary config names` lists every setting";
            Finding::warn(patient.loaded.notes.join("; "), fix).docs("docs/RUN.md#settings")
        }
    }
}

fn streams(patient: &Patient) -> Finding {
    let folder = Path::new(&patient.settings.streams_dir);
    let docs = "docs/STREAMS.md#the-file";
    let fix = "correct what is named; the running `up` keeps what it has read until it is started again";
    let files = match declared::files(folder, "streams", patient.loaded.is_default("streams_dir")) {
        Ok(files) => files.unwrap_or_default(),
        Err(error) => return Finding::bad(format!("{error:#}"), "mind streams_dir, or make the folder").docs(docs),
    };
    let broken: Vec<String> =
        files.iter().filter_map(|(file, text)| Stream::parse(text, file).err().map(|error| brief(&error.to_string()))).collect();
    if !broken.is_empty() {
        return Finding::bad(broken.join("; "), fix).docs(docs);
    }
    if let Some(problem) = &patient.streams_problem {
        return Finding::bad(brief(problem), fix).docs(docs);
    }
    let names: Vec<&str> = patient.streams.iter().map(|stream| stream.name.as_str()).collect();
    Finding::ok(format!("{}: {}", words::plural(names.len() as u64, "stream"), names.join(", ")))
}

fn jobs(patient: &Patient) -> Finding {
    let folder = Path::new(&patient.settings.batch.jobs_dir);
    let docs = "docs/JOBS.md#a-jobs-file";
    match declared::each_job(folder, patient.loaded.is_default("batch.jobs_dir")) {
        Err(error) => Finding::bad(format!("{error:#}"), "mind batch.jobs_dir, or make the folder").docs(docs),
        Ok(read) if !read.broken.is_empty() => Finding::bad(
            read.broken.iter().map(|problem| brief(problem)).collect::<Vec<_>>().join("; "),
            "correct what is named; the other jobs go on meanwhile",
        )
        .docs(docs),
        Ok(read) if read.jobs.is_empty() => {
            let found = format!("{} declares no job: nothing is computed by itself", folder.display());
            Finding::warn(found, "put one there, or take the folder away: then those that are compiled in are used").docs(docs)
        }
        Ok(read) => {
            let names: Vec<&str> = read.jobs.iter().map(|job| job.name.as_str()).collect();
            Finding::ok(format!("{}: {}", words::plural(names.len() as u64, "job"), names.join(", ")))
        }
    }
}

/// Plans every model as a run would. Nothing is computed and no table is read.
async fn models(patient: &Patient) -> Finding {
    let docs = "docs/MODELS.md#the-comments";
    if patient.streams_problem.is_some() {
        return Finding::skipped("they select from streams that cannot be read");
    }
    let streams: Vec<_> = patient.streams.iter().cloned().map(Arc::new).collect();
    let planned = async {
        let batch = &patient.settings.batch;
        let engine = Local::new(Limits { spill_dir: std::env::temp_dir(), ..limits(batch) })?;
        engine.models(batch.models_dir.as_ref(), &streams).await
    };
    match planned.await {
        Err(error) => Finding::bad(error.to_string(), "mind batch.models_dir, or make the folder").docs(docs),
        Ok(models) if models.broken.is_empty() => {
            Finding::ok(format!("{} can be built", words::plural(models.planned.len() as u64, "model")))
        }
        Ok(models) => {
            let broken: Vec<String> = models.broken.values().map(|error| brief(error)).collect();
            let fix = "correct what is named, then: tributary models check; models that do not depend on it are built meanwhile";
            Finding::bad(broken.join("; "), fix).docs(docs)
        }
    }
}

/// What is wrong and what to write instead, without the drawing of the line between them.
fn brief(error: &str) -> String {
    let mut lines = error.lines();
    let problem = lines.next().unwrap_or_default().to_owned();
    match lines.next_back().and_then(|last| last.trim_start().strip_prefix("= ")) {
        Some(help) => format!("{problem}; {help}"),
        None => problem,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::State;
    use super::super::machine::tests::patient;
    use super::*;

    #[test]
    fn what_was_set_is_said_with_its_origin_and_no_secret() {
        let patient = patient(&[
            ("KAFKA_SASL_PASSWORD", "hush"),
            ("KAFKA_BOOTSTRAP_SERVERS", "k:9092"),
            ("TRIBUTARY_KAFKA_PARTITIONS", "3"),
        ]);
        let found = settings(&patient);
        assert_eq!(found.state, State::Ok);
        assert!(found.found.starts_with("3 settings changed: "), "{found:?}");
        assert!(found.found.contains("kafka.partitions = 3 (environment TRIBUTARY_KAFKA_PARTITIONS)"), "{found:?}");
        assert!(!found.found.contains("hush"), "{found:?}");
    }

    #[tokio::test]
    async fn every_broken_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut patient = patient(&[]);
        for kind in ["streams", "jobs", "models"] {
            fs::create_dir(folder.path().join(kind)).unwrap();
        }
        let place = |kind: &str| folder.path().join(kind).display().to_string();
        (patient.settings.streams_dir, patient.settings.batch.jobs_dir) = (place("streams"), place("jobs"));
        patient.settings.batch.models_dir = place("models");
        for (kind, extension) in [("streams", "toml"), ("jobs", "toml"), ("models", "sql")] {
            for name in ["one", "two"] {
                fs::write(folder.path().join(kind).join(format!("{name}.{extension}")), "nonsense").unwrap();
            }
        }
        for found in [streams(&patient), jobs(&patient), models(&patient).await] {
            assert_eq!(found.state, State::Bad);
            assert!(found.found.contains("one.") && found.found.contains("two."), "{found:?}");
        }
    }

    #[tokio::test]
    async fn a_model_that_can_be_read_and_not_built_is_named_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let mut patient = patient(&[]);
        patient.settings.batch.models_dir = folder.path().display().to_string();
        patient.streams = vec![Stream::builtin()];
        let model = |select: &str| format!("-- materialize: by_day\n-- key: event_date\n{select}\nFROM silver.user_events");
        fs::write(folder.path().join("days.sql"), model("SELECT DISTINCT event_date, user_id")).unwrap();
        assert_eq!(models(&patient).await.found, "1 model can be built");
        fs::write(folder.path().join("days.sql"), model("SELECT DISTINCT event_date, clicks")).unwrap();
        let found = models(&patient).await;
        assert!(found.state == State::Bad && found.found.contains("days.sql, line 3"), "{found:?}");
    }

    #[test]
    fn an_error_of_several_lines_is_said_in_one() {
        let error = "a.toml, line 3: name: is missing\n  |\n3 | x\n  | ^\n  = write name = 'a'";
        assert_eq!(brief(error), "a.toml, line 3: name: is missing; write name = 'a'");
        assert_eq!(brief("one line"), "one line");
    }

    #[test]
    fn a_variable_that_is_no_setting_is_a_warning() {
        let found = notes(&patient(&[("TRIBUTARY_KAFKA_PARTITION", "3")]));
        assert!(found.state == State::Warn && found.found.contains("TRIBUTARY_KAFKA_PARTITION"), "{found:?}");
    }
}
