//! What a bare machine gets: a broker and a PostgreSQL of its own, so that `tributary up` needs nothing but itself.
//!
//! Each starts only where no address is configured, keeps its data under the data folder, and stops with us.
//!
//! - [`postgres`]: the server process, kept alive. Behind it: [`binaries`] (which PostgreSQL), [`cluster`] (its files and roles),
//!   [`server`] (one run of it), [`leftovers`] (what an earlier run left), [`process`] (users and signals).
//! - [`prometheus`]: scrapes us, where one is installed.
//! - [`broker`]: the Kafka-protocol log, in this process.
//! - [`run_file`]: where a running `up` says where everything is, for the other commands.
//! - [`lock`]: one owner per folder.

use std::net::IpAddr;

use anyhow::{Context, Result};

pub mod binaries;
pub mod broker;
pub mod cluster;
pub mod leftovers;
pub mod lock;
pub mod postgres;
pub mod process;
pub mod prometheus;
pub mod run_file;
pub mod server;

/// An address to listen on, as a number.
pub(crate) fn validated_ip(listen: &str) -> Result<IpAddr> {
    listen.parse().with_context(|| format!("`{listen}` is not an address like 127.0.0.1"))
}

/// Where to connect to for somebody who listens there: every address includes loopback.
pub(crate) fn connect_host(listen: &str) -> String {
    match listen {
        "0.0.0.0" | "::" => "127.0.0.1".into(),
        one => one.into(),
    }
}
