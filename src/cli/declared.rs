//! Files that declare something, `*.toml` of a folder: streams and jobs.
//!
//! A folder that exists is the truth; where the default one does not, what is compiled in stands in for it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tributary_actors::batch_coordinator::leader::Jobs;
use tributary_core::job::{self, Job};
use tributary_core::settings::layers::Loaded;
use tributary_core::stream::{BUILTIN, Stream, parse_all};

use super::output::Usage;

/// Names and texts of a folder's files, by name; none: the folder is not there, and need not be.
pub(crate) fn files(folder: &Path, what: &str, may_be_missing: bool) -> Result<Option<Vec<(String, String)>>> {
    let mut files: Vec<PathBuf> = match fs::read_dir(folder) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(error) if error.kind() == ErrorKind::NotFound && may_be_missing => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read the {what} in {}", folder.display())),
    };
    // Editors leave `.#orders.toml` and the like beside what they edit.
    let hidden = |file: &PathBuf| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    files.retain(|file| file.extension().is_some_and(|extension| extension == "toml") && !hidden(file));
    files.sort();
    files.iter().map(|file| declaration(file)).collect::<Result<Vec<_>>>().map(Some)
}

fn declaration(file: &Path) -> Result<(String, String)> {
    let name = file.display().to_string();
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {name}"))?;
    Ok((name, text))
}

/// Names and texts of the files of jobs.
pub(crate) fn job_files(folder: &Path, may_be_missing: bool) -> Result<Vec<(String, String)>> {
    let builtin = || job::BUILTIN.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
    Ok(files(folder, "jobs", may_be_missing)?.unwrap_or_else(builtin))
}

/// The jobs that a folder declares, and what is wrong with the files that declare none.
pub(crate) fn each_job(folder: &Path, may_be_missing: bool) -> Result<Jobs> {
    let (jobs, broken) = job::parse_each(&job_files(folder, may_be_missing)?);
    Ok(Jobs { jobs, broken: broken.iter().map(ToString::to_string).collect() })
}

/// The jobs that a folder declares; nothing may be wrong with any of its files.
pub(crate) fn jobs(folder: &Path, may_be_missing: bool) -> Result<Vec<Job>> {
    let files = job_files(folder, may_be_missing)?;
    Ok(job::parse_all(&files).map_err(|error| Usage(error.to_string()))?)
}

/// The stream that is compiled in, and those in `streams_dir`; a file may declare that one anew. `KAFKA_TOPIC` and `streams_only` have
/// their say.
pub(crate) fn streams(loaded: &Loaded) -> Result<Vec<Stream>> {
    let settings = &loaded.settings;
    let folder = Path::new(&settings.streams_dir);
    let mut declared = files(folder, "streams", loaded.is_default("streams_dir"))?.unwrap_or_default();
    let builtin = Stream::builtin().name;
    match declared.iter().position(|(file, text)| Stream::parse(text, file).is_ok_and(|stream| stream.name == builtin)) {
        // The first stream is the one that made-up traffic goes to.
        Some(at) => declared[..=at].rotate_right(1),
        None => declared.insert(0, (BUILTIN.0.to_owned(), BUILTIN.1.to_owned())),
    }
    let mut streams = parse_all(&declared).map_err(|error| Usage(error.to_string()))?;
    if let Some(topic) = &settings.kafka.topic {
        let found = streams.iter_mut().find(|stream| stream.name == "user_events");
        found
            .ok_or_else(|| Usage("KAFKA_TOPIC is set, but there is no stream user_events; its file names its topic".into()))?
            .topic = topic.clone();
    }
    if let Some(only) = &settings.streams_only {
        let wanted: Vec<&str> = only.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        let known: Vec<&str> = streams.iter().map(|stream| stream.name.as_str()).collect();
        if let Some(unknown) = wanted.iter().find(|name| !known.contains(name)) {
            return Err(Usage(format!("streams_only: no stream {unknown}; there are: {}", known.join(", "))).into());
        }
        if wanted.is_empty() {
            return Err(Usage(format!("streams_only names no stream; there are: {}", known.join(", "))).into());
        }
        streams.retain(|stream| wanted.contains(&stream.name.as_str()));
    }
    Ok(streams)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_there_is_the_truth_even_when_it_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(jobs(folder.path(), true).unwrap(), []);
        let nowhere = folder.path().join("nowhere");
        let built_in: Vec<String> = jobs(&nowhere, true).unwrap().into_iter().map(|job| job.name).collect();
        assert_eq!(built_in, ["lakehouse_bronze_to_gold", "lakehouse_maintenance"]);
        assert!(jobs(&nowhere, false).unwrap_err().to_string().contains("nowhere"));
    }

    #[test]
    fn hidden_files_and_other_files_declare_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for name in [".#a.toml", "notes.md"] {
            fs::write(folder.path().join(name), "nonsense").unwrap();
        }
        assert_eq!(jobs(folder.path(), true).unwrap(), []);
        fs::write(folder.path().join("a.toml"), "nonsense").unwrap();
        assert!(jobs(folder.path(), true).unwrap_err().to_string().contains("a.toml"));
    }
}
