//! The embedded broker: the Kafka-protocol log of `tributary-broker`, with its data under `<data>/kafka`.
//!
//! For whoever names no Kafka of their own. Promises the port that was asked for, or another one with a word when nobody asked.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};
use tributary_broker::{Broker as Log, Config, Running};
use tributary_core::settings::Kafka;

use super::server::choose_port;

/// How to start one.
#[derive(Debug, Clone)]
pub struct Options {
    /// `<data>/kafka`.
    pub home: PathBuf,
    /// Port, partitions and retention.
    pub kafka: Kafka,
    /// Whether a person asked for that port.
    pub port_pinned: bool,
}

/// A broker that runs. Dropping it stops it.
#[derive(Debug)]
pub struct Broker(Running);

impl Broker {
    /// Starts the broker; blocks while it checks what a crash may have torn.
    pub fn start(options: &Options) -> Result<Self> {
        let how = "kafka.embedded_port in tributary.toml, or TRIBUTARY_KAFKA_EMBEDDED_PORT";
        let port = choose_port("the broker", "127.0.0.1", options.kafka.embedded_port, options.port_pinned, how)?;
        let mut config = Config::new(&options.home);
        config.listen = SocketAddr::from(([127, 0, 0, 1], port));
        config.default_partitions = options.kafka.partitions;
        config.retention_ms = Some(i64::try_from(options.kafka.retention.as_millis()).unwrap_or(i64::MAX));
        config.retention_bytes = Some(options.kafka.retention_bytes);
        Log::start(config).map(Self).context("cannot start the embedded broker")
    }

    /// `127.0.0.1:29092`.
    pub fn address(&self) -> String {
        self.0.addr().to_string()
    }

    /// The broker itself.
    pub fn running(&self) -> &Running {
        &self.0
    }

    /// Stops it: what it confirmed is on disk already.
    pub fn stop(self) -> Result<()> {
        self.0.stop().context("the embedded broker did not stop cleanly")
    }
}
