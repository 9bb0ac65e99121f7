//! Everything that somebody who helps would ask for, in one `.tar.gz` without secrets.
//!
//! Promises that no part keeps another out: one that cannot be had is a line in `problems.txt`; and that every text passes [`Secrets`]
//! before it is in the file. Sends nothing anywhere.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use sqlx::PgConnection;
use tributary_actors::serving::{self, history};
use tributary_batch::models::read_folder;

use super::secrets::Secrets;
use super::{Patient, Report, page};
use crate::cli::declared;
use crate::inspect::catalog::Catalog;
use crate::words;

/// Lines of a log that are kept.
const LINES: usize = 2_000;
/// Of which so many bytes are read at most.
const TAIL: u64 = 4 << 20;
/// Runs that are kept.
const RUNS: u32 = 200;
/// Failed runs whose lines are kept, and lines of each.
const FAILED: usize = 20;
const LINES_OF_RUN: u32 = 5_000;

/// A file of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// Its name, with folders.
    pub(crate) name: String,
    /// What is in it.
    pub(crate) text: String,
}

/// What was gathered.
#[derive(Debug, Default)]
pub(crate) struct Bundle {
    /// The files.
    pub(crate) parts: Vec<Part>,
    /// What could not be had, and why.
    pub(crate) problems: Vec<String>,
}

impl Bundle {
    fn put(&mut self, name: impl Into<String>, text: impl Into<String>) {
        self.parts.push(Part { name: name.into(), text: text.into() });
    }

    /// Adds a part, or says why there is none.
    pub(crate) fn take(&mut self, name: &str, text: Result<String>) {
        match text {
            Ok(text) => self.put(name, text),
            Err(error) => self.problems.push(format!("{name}: {error:#}")),
        }
    }

    /// Gathers what a patient has, beside what the caller has taken already.
    pub(crate) async fn gather(&mut self, patient: &Patient, report: &Report) {
        self.take("doctor.json", json_text(report));
        let shown = patient.loaded.shown();
        let config: Vec<_> =
            shown.iter().map(|row| json!({ "name": row.name, "value": row.value, "origin": row.origin.to_string() })).collect();
        self.take("config.json", json_text(&config));
        self.declared(patient);
        self.pages(patient).await;
        self.take("tables.json", tables(patient).await);
        if let Err(error) = self.runs(patient).await {
            self.problems.push(format!("runs.json: {error:#}"));
        }
        for (name, file) in [("postgres.log", "postgres/server.log"), ("prometheus.log", "prometheus/prometheus.log")] {
            let path = patient.data_dir.join(file);
            self.take(name, tail(&path).with_context(|| format!("cannot read {}", path.display())));
        }
    }

    /// The files of streams, jobs and models, as they are.
    fn declared(&mut self, patient: &Patient) {
        let (settings, loaded) = (&patient.settings, &patient.loaded);
        let streams = declared::files(settings.streams_dir.as_ref(), "streams", loaded.is_default("streams_dir"));
        let jobs = declared::job_files(settings.batch.jobs_dir.as_ref(), loaded.is_default("batch.jobs_dir"));
        let models = read_folder(settings.batch.models_dir.as_ref()).map_err(anyhow::Error::from);
        for (folder, files) in [("streams", streams.map(Option::unwrap_or_default)), ("jobs", jobs), ("models", models)] {
            match files {
                Ok(files) => {
                    for (file, text) in files {
                        let name = Path::new(&file).file_name().unwrap_or_default().to_string_lossy();
                        self.put(format!("{folder}/{name}"), text);
                    }
                }
                Err(error) => self.problems.push(format!("{folder}/: {error:#}")),
            }
        }
    }

    /// What the running `up` says of itself.
    async fn pages(&mut self, patient: &Patient) {
        let Some(up) = &patient.running else {
            self.problems.push("metrics.txt, readyz.json, up.json: no `tributary up` runs with this data folder".into());
            return;
        };
        for (name, path) in [("metrics.txt", "/metrics"), ("readyz.json", "/readyz"), ("up.json", "/status")] {
            self.take(name, page(&up.http, path).await.map(|(_, body)| body));
        }
    }

    /// The newest runs, and what those said that failed.
    async fn runs(&mut self, patient: &Patient) -> Result<()> {
        let url = patient.settings.serving.database_url.as_deref();
        let mut connection: PgConnection = serving::connect(url.context("no PostgreSQL is known")?).await?;
        let which = history::Which { limit: RUNS, ..history::Which::default() };
        let runs = history::runs(&mut connection, &which).await?;
        self.take("runs.json", json_text(&runs));
        let failed = runs.iter().filter(|run| run.state == history::RunState::Failed);
        for run in failed.take(FAILED) {
            let wanted = history::Lines { limit: LINES_OF_RUN, ..history::Lines::default() };
            let lines = history::log_lines(&mut connection, run.id, &wanted).await?;
            let text = lines.iter().map(|line| {
                let task = line.task.as_deref().unwrap_or(words::NOTHING);
                format!("{} {:<5} {task}: {}\n", words::rfc3339(line.at), line.level, line.message)
            });
            self.put(format!("runs/{}.log", run.id), text.collect::<String>());
        }
        Ok(())
    }

    /// Writes it all to a file that is not there yet, and returns the files' names and sizes.
    pub(crate) fn write(self, patient: &Patient, out: &Path, now: DateTime<Utc>) -> Result<Vec<(String, usize)>> {
        let doing = || format!("cannot write {}", out.display());
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(out).with_context(doing)?;
        match self.pack(patient, file, now) {
            Ok(written) => Ok(written),
            Err(error) => {
                // Half of an archive helps nobody.
                let _ = std::fs::remove_file(out);
                Err(error).with_context(doing)
            }
        }
    }

    fn pack(mut self, patient: &Patient, into: impl Write, now: DateTime<Utc>) -> Result<Vec<(String, usize)>> {
        let secrets = Secrets::of([&patient.settings, &patient.loaded.settings]);
        let problems = self.problems.iter().map(|problem| format!("{problem}\n")).collect::<String>();
        self.put("problems.txt", problems);
        let folder = format!("tributary-debug-{}", stamp(now));
        let mut archive = tar::Builder::new(GzEncoder::new(into, Compression::default()));
        let mut written = Vec::new();
        for Part { name, text } in self.parts {
            let (name, text) = (secrets.redact(&name), secrets.redact(&text));
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            header.set_mtime(u64::try_from(now.timestamp()).unwrap_or_default());
            archive.append_data(&mut header, format!("{folder}/{name}"), text.as_bytes())?;
            written.push((name, text.len()));
        }
        archive.into_inner()?.finish()?.flush()?;
        Ok(written)
    }
}

/// Of the names of the file and of the folder in it.
pub(crate) fn stamp(now: DateTime<Utc>) -> String {
    now.format("%Y%m%dT%H%M%SZ").to_string()
}

fn json_text(value: &impl serde::Serialize) -> Result<String> {
    Ok(serde_json::to_string_pretty(value).context("cannot write JSON")? + "\n")
}

/// Every table by what its log says; one that cannot be read says so in its place.
async fn tables(patient: &Patient) -> Result<String> {
    let catalog = Catalog::of(&patient.settings)?;
    let mut tables = Vec::new();
    for name in catalog.names().await? {
        tables.push(match catalog.find(&name).await {
            Ok(None) => continue,
            Err(error) => json!({ "table": name, "problem": format!("{error:#}") }),
            Ok(Some(table)) => json!({
                "table": name,
                "version": table.version(),
                "last_commit": words::from_millis(table.committed_ms()).map(words::rfc3339),
                "rows": table.files().values().filter_map(|file| file.rows).sum::<u64>(),
                "files": table.files().len(),
                "bytes": table.files().values().map(|file| file.size).sum::<u64>(),
            }),
        });
    }
    json_text(&tables)
}

/// The last lines of a log.
fn tail(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    // It may grow while it is read.
    file.take(TAIL).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default().iter().map(|line| format!("{line}\n")).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use flate2::read::GzDecoder;

    use super::super::machine::tests::patient;
    use super::super::{Check, examine};
    use super::*;

    fn unpack(file: &Path) -> BTreeMap<String, String> {
        let mut archive = tar::Archive::new(GzDecoder::new(File::open(file).unwrap()));
        let mut files = BTreeMap::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().iter().skip(1).collect::<std::path::PathBuf>().display().to_string();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            files.insert(name, text);
        }
        files
    }

    #[tokio::test]
    async fn no_secret_is_in_any_file_and_what_cannot_be_had_is_a_problem() {
        let home = tempfile::tempdir().unwrap();
        let url = "postgres://me:hush%401@127.0.0.1:9/serving";
        let mut patient = patient(&[
            ("DATABASE_URL", url),
            ("POSTGRES_PASSWORD", "hush-2"),
            ("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9"),
            ("KAFKA_SASL_PASSWORD", "hush-3"),
            ("KAFKA_SSL_KEY_PASSWORD", "hush-4"),
        ]);
        patient.settings.lake.options.insert("aws_secret_access_key".into(), "hush-5".into());
        patient.settings.lake.url = home.path().join("lakehouse").display().to_string();
        patient.data_dir = home.path().to_owned();
        // What other programs and people write down.
        std::fs::create_dir_all(home.path().join("postgres")).unwrap();
        std::fs::create_dir_all(home.path().join("streams")).unwrap();
        let leak = format!("login hush-2 at {url} with hush@1, hush-3, hush-4 and hush-5; http://ana:hush-6@elsewhere/\n");
        std::fs::write(home.path().join("postgres/server.log"), &leak).unwrap();
        std::fs::write(home.path().join("streams/own.toml"), format!("# {leak}")).unwrap();
        patient.settings.streams_dir = home.path().join("streams").display().to_string();

        let checks: Vec<Check> = examine(&patient).await;
        let mut bundle = Bundle::default();
        bundle.gather(&patient, &Report::of(checks)).await;
        bundle.take("status.json", Ok(leak));
        let out = home.path().join("bundle.tar.gz");
        bundle.write(&patient, &out, Utc::now()).unwrap();

        let files = unpack(&out);
        for name in
            ["doctor.json", "config.json", "streams/own.toml", "postgres.log", "status.json", "tables.json", "problems.txt"]
        {
            assert!(files.contains_key(name), "{name}: {:?}", files.keys());
        }
        for (name, text) in &files {
            assert!(!text.contains("hush"), "{name}: {text}");
        }
        assert!(files["config.json"].contains("postgres://me:***@127.0.0.1:9/serving"));
        for part in ["runs.json", "metrics.txt", "prometheus.log"] {
            assert!(files["problems.txt"].contains(part), "{}", files["problems.txt"]);
        }
    }

    #[test]
    fn a_file_that_is_there_is_not_written_over() {
        let home = tempfile::tempdir().unwrap();
        let out = home.path().join("a.tar.gz");
        std::fs::write(&out, "mine").unwrap();
        assert!(Bundle::default().write(&patient(&[]), &out, Utc::now()).is_err());
        assert_eq!(std::fs::read_to_string(&out).unwrap(), "mine");
    }

    #[test]
    fn a_long_log_is_kept_at_its_end() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("log");
        std::fs::write(&path, (0..5_000).map(|n| format!("line {n}\n")).collect::<String>()).unwrap();
        let kept = tail(&path).unwrap();
        assert_eq!(kept.lines().count(), LINES);
        assert!(kept.starts_with("line 3000\n") && kept.ends_with("line 4999\n"));
    }
}
