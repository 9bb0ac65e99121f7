//! What every subcommand begins with: the settings, the log, the declared streams, and where a running `up` has its stores.
//!
//! This is the edge: here, and only here, the environment and the settings file are read.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tributary_core::job::Job;
use tributary_core::settings::layers::{Flag, Layers, Loaded, from_layers};
use tributary_core::settings::{Settings, postgres_url};
use tributary_core::stream::Stream;

use super::globals::Globals;
use super::output::{self, Usage};
use super::{declared, logging};
use crate::acts::{Via, Who};
use crate::embedded::run_file::RunFile;

/// The file that is read when nobody names one.
const FILE: &str = "tributary.toml";

/// Settings in force, and what follows from them.
#[derive(Debug)]
pub(crate) struct Session {
    /// Settings and their origins.
    pub(crate) loaded: Loaded,
}

impl Session {
    /// Reads all settings (those of `flags` are strongest), and switches the log on.
    pub(crate) fn begin(globals: &Globals, flags: Vec<Flag>) -> Result<Self> {
        let (name, text) = file(globals.config.as_deref())?;
        let mut all = globals.flags().map_err(Usage)?;
        all.extend(flags);
        let mut defaults = Settings::default();
        if let Ok(host) = fs::read_to_string("/proc/sys/kernel/hostname") {
            defaults.instance = host.trim().to_owned();
        }
        let loaded = from_layers(Layers {
            defaults,
            file: text.as_deref().map(|text| (name.as_str(), text)),
            // A variable that is not text cannot be one of ours.
            env: std::env::vars_os().filter_map(|(n, v)| Some((n.into_string().ok()?, v.into_string().ok()?))).collect(),
            flags: all,
            read_secret: &|path| fs::read_to_string(path).map_err(|error| error.to_string()),
        })?;
        logging::begin(&loaded.settings.log, globals.colour())?;
        for note in &loaded.notes {
            tracing::warn!("{note}");
        }
        Ok(Self { loaded })
    }

    /// The settings.
    pub(crate) fn settings(&self) -> &Settings {
        &self.loaded.settings
    }

    /// The data folder, from the root: what is printed must be findable from anywhere.
    pub(crate) fn data_dir(&self) -> Result<PathBuf> {
        let path = Path::new(&self.settings().data_dir);
        let clean: PathBuf = path.components().filter(|part| part.as_os_str() != ".").collect();
        std::path::absolute(&clean).with_context(|| format!("cannot find out where {} is", path.display()))
    }

    /// The stream that is compiled in, and those in `streams_dir`; a file may declare that one anew. `KAFKA_TOPIC` and
    /// `streams_only` have their say.
    pub(crate) fn streams(&self) -> Result<Vec<Stream>> {
        declared::streams(&self.loaded)
    }

    /// The jobs of `batch.jobs_dir`, or those that are compiled in. A file that is wrong is told, and hides no other job.
    pub(crate) fn jobs(&self) -> Result<Vec<Job>> {
        let folder = Path::new(&self.settings().batch.jobs_dir);
        let declared = declared::each_job(folder, self.loaded.is_default("batch.jobs_dir"))?;
        declared.broken.iter().for_each(|problem| eprintln!("{problem}\n"));
        Ok(declared.jobs)
    }

    /// The job of that name or alias.
    pub(crate) fn job(&self, name: &str) -> Result<Job> {
        let jobs = self.jobs()?;
        let found = jobs.iter().find(|job| job.is_called(name)).cloned();
        found.ok_or_else(|| output::unknown("job", name, jobs.iter().map(|job| job.name.as_str())).into())
    }

    /// What a running `up` with this data folder says of itself.
    pub(crate) fn running(&self) -> Option<RunFile> {
        RunFile::read(&self.data_dir().ok()?)
    }

    /// The settings with the addresses of a running `up` filled in where none is configured, and the lake from the root.
    pub(crate) fn reachable(&self) -> Settings {
        let mut settings = self.settings().clone();
        if let (true, Ok(data_dir)) = (self.loaded.is_default("lake.url"), self.data_dir()) {
            settings.lake.url = data_dir.join("lakehouse").display().to_string();
        }
        let Some(running) = self.running() else { return settings };
        if settings.kafka.bootstrap_servers.is_none() {
            settings.kafka.bootstrap_servers = running.kafka;
        }
        if settings.serving.database_url.is_none() {
            let password = &settings.serving.embedded_password;
            settings.serving.database_url = running.postgres.map(|(host, port)| postgres_url::embedded(&host, port, password));
        }
        settings
    }

    /// Where PostgreSQL is, configured or embedded in a running `up`.
    pub(crate) fn postgres(&self) -> Result<String> {
        let nothing = "no PostgreSQL is configured and no `tributary up` runs here; start one, or set DATABASE_URL";
        self.reachable().serving.database_url.context(nothing)
    }

    /// Who acts here: `ana@anvil`, on the command line.
    pub(crate) fn who(&self) -> Who {
        Who { person: self.person(), via: Via::Cli }
    }

    fn person(&self) -> String {
        let name = ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok().filter(|name| !name.is_empty()));
        format!("{}@{}", name.as_deref().unwrap_or("somebody"), self.settings().instance)
    }

    /// Where Kafka is, configured or embedded in a running `up`.
    pub(crate) fn kafka(&self) -> Result<String> {
        let nothing =
            "no Kafka is configured and no `tributary up` runs here; start one, or set KAFKA_BOOTSTRAP_SERVERS=host:port";
        self.reachable().kafka.bootstrap_servers.context(nothing)
    }
}

/// Name and text of the settings file. One that was named must be there.
fn file(named: Option<&Path>) -> Result<(String, Option<String>)> {
    let path = named.unwrap_or(Path::new(FILE));
    let name = path.display().to_string();
    match fs::read_to_string(path) {
        Ok(text) => Ok((name, Some(text))),
        Err(error) if error.kind() == ErrorKind::NotFound && named.is_none() => Ok((name, None)),
        Err(error) => Err(Usage(format!("cannot read the settings file {name}: {error}")).into()),
    }
}
