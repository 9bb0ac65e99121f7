//! What is embedded, started where nothing is configured; and the settings with its addresses filled in.
//!
//! Promises that one `up` at a time works with a data folder, and that [`Parts::stop`] ends the broker before PostgreSQL.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result};
use tributary_core::settings::{Role, Settings};

use super::super::session::Session;
use crate::embedded::broker::{self, Broker};
use crate::embedded::lock::FolderLock;
use crate::embedded::postgres::{self, Postgres};
use crate::embedded::prometheus::{self, Prometheus};
use crate::embedded::run_file::RunFile;
use crate::embedded::server::choose_port;

/// What to start.
#[derive(Debug)]
pub(crate) struct Plan {
    settings: Settings,
    data_dir: PathBuf,
    broker: Option<broker::Options>,
    postgres: Option<postgres::Options>,
    prometheus: Option<prometheus::Options>,
    http_pinned: bool,
    /// A generator or a console alone lives beside an `up` with the same data folder, and takes its addresses.
    guest: bool,
}

/// What runs.
#[derive(Debug)]
pub(crate) struct Parts {
    /// With every address filled in.
    pub(crate) settings: Settings,
    /// From the root.
    pub(crate) data_dir: PathBuf,
    broker: Option<Broker>,
    postgres: Option<Postgres>,
    prometheus: Option<Prometheus>,
    run_file: RunFile,
    guest: bool,
    _lock: Option<FolderLock>,
}

impl Plan {
    pub(crate) fn new(session: &Session, roles: &BTreeSet<Role>) -> Result<Self> {
        let data_dir = session.data_dir()?;
        let loaded = &session.loaded;
        let guest = roles.iter().all(|role| matches!(role, Role::Generator | Role::Console)) && session.running().is_some();
        let reachable = session.reachable();
        // What a crash left in run.json is not read; what another `up` has is the guest's alone.
        let settings = match guest {
            true => reachable,
            false => Settings { lake: reachable.lake, ..session.settings().clone() },
        };
        let broker = settings.kafka.bootstrap_servers.is_none().then(|| broker::Options {
            home: data_dir.join("kafka"),
            kafka: settings.kafka.clone(),
            port_pinned: !loaded.is_default("kafka.embedded_port"),
        });
        let needs_tables = [Role::Bronze, Role::Serving, Role::Batch, Role::Console].iter().any(|role| roles.contains(role));
        let postgres = (settings.serving.database_url.is_none() && needs_tables).then(|| postgres::Options {
            home: data_dir.join("postgres"),
            listen: settings.serving.listen.clone(),
            port: settings.serving.embedded_port,
            port_pinned: !loaded.is_default("serving.port"),
            password: settings.serving.embedded_password.clone(),
            pg_bin: settings.serving.pg_bin.clone().map(PathBuf::from),
        });
        // Whoever brings the stores brings somebody who watches them, too.
        let is_embedded = !guest && (broker.is_some() || postgres.is_some());
        let prometheus = (is_embedded && settings.prometheus.port != 0).then(|| prometheus::Options {
            home: data_dir.join("prometheus"),
            settings: settings.prometheus.clone(),
            port_pinned: !loaded.is_default("prometheus.port"),
            rules_may_be_missing: loaded.is_default("prometheus.rules_dir"),
        });
        Ok(Self { settings, data_dir, broker, postgres, prometheus, http_pinned: !loaded.is_default("http.listen"), guest })
    }
}

impl Parts {
    /// Starts them, one after the other; on an error those that run are stopped again.
    pub(crate) fn start(plan: Plan) -> Result<Self> {
        let lock = match plan.guest {
            true => None,
            false => Some(FolderLock::acquire(&plan.data_dir)?),
        };
        let mut parts = Self {
            settings: plan.settings,
            data_dir: plan.data_dir,
            broker: None,
            postgres: None,
            prometheus: None,
            run_file: RunFile::of_this_process(),
            guest: plan.guest,
            _lock: lock,
        };
        if let Some(options) = plan.postgres {
            let server = Postgres::start(options)?;
            parts.settings.serving.database_url = Some(server.url().to_owned());
            parts.run_file.postgres =
                server.address().rsplit_once(':').and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
            parts.postgres = Some(server);
        }
        if let Some(options) = plan.broker {
            let broker = Broker::start(&options)?;
            parts.settings.kafka.bootstrap_servers = Some(broker.address());
            parts.broker = Some(broker);
        }
        parts.choose_http(plan.http_pinned || plan.guest)?;
        if let Some(options) = plan.prometheus {
            match Prometheus::start(&options, &parts.settings.http.listen) {
                Ok(started) => parts.prometheus = started,
                // Nothing depends on it, unless a person asked for it by name.
                Err(error) if options.settings.bin.is_some() || options.port_pinned => return Err(error),
                Err(error) => tracing::warn!("going on without Prometheus: {error:#}"),
            }
        }
        parts.run_file.prometheus = parts.prometheus().map(|prometheus| prometheus.address().to_owned());
        parts.run_file.kafka = parts.settings.kafka.bootstrap_servers.clone();
        parts.run_file.lake = parts.settings.lake.url.clone();
        parts.run_file.http = parts.settings.http.listen.clone();
        if !parts.guest {
            parts.run_file.write(&parts.data_dir)?;
        }
        Ok(parts)
    }

    /// The metrics' port, or another one when it is taken and nobody asked for it. A guest takes any.
    fn choose_http(&mut self, pinned: bool) -> Result<()> {
        let listen = self.settings.http.listen.replace("localhost:", "127.0.0.1:");
        let (host, port) = listen.rsplit_once(':').context("http.listen is not address:port")?;
        let port = if self.guest { 0 } else { port.parse().context("http.listen is not address:port")? };
        let bare = host.trim_matches(['[', ']']);
        let how = "http.listen in tributary.toml, or TRIBUTARY_HTTP_LISTEN";
        let port = choose_port("the metrics page", bare, port, pinned, how)?;
        self.settings.http.listen = format!("{host}:{port}");
        Ok(())
    }

    /// The embedded PostgreSQL.
    pub(crate) fn postgres(&self) -> Option<&Postgres> {
        self.postgres.as_ref()
    }

    /// The embedded broker.
    pub(crate) fn broker(&self) -> Option<&Broker> {
        self.broker.as_ref()
    }

    /// The Prometheus beside it.
    pub(crate) fn prometheus(&self) -> Option<&Prometheus> {
        self.prometheus.as_ref()
    }

    /// Where everything is.
    pub(crate) fn run_file(&self) -> &RunFile {
        &self.run_file
    }

    /// Ends them: the broker, then PostgreSQL.
    pub(crate) fn stop(&mut self) {
        if !self.guest {
            RunFile::remove(&self.data_dir);
        }
        self.prometheus = None;
        if let Some(broker) = self.broker.take()
            && let Err(error) = broker.stop()
        {
            tracing::error!("{error:#}");
        }
        if let Some(postgres) = self.postgres.take() {
            postgres.stop();
        }
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        self.stop();
    }
}
