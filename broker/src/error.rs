//! Errors: what can go wrong for the owner of a broker. What goes wrong for a client is a Kafka error code instead.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Why a broker did not start, or why it ended by itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another process (or another broker of this one) owns the directory.
    #[error("the log directory {} is in use by another broker (process {holder}); stop that one or choose another directory", dir.display())]
    Locked {
        /// The directory that was asked for.
        dir: PathBuf,
        /// The process id that the holder left in the lock file.
        holder: String,
    },
    /// The address is reachable from other machines, and nobody asked for that.
    #[error(
        "refusing to listen on {0}: this broker has no authentication and no TLS, so it binds to loopback unless `allow_non_loopback` is set"
    )]
    NotLoopback(SocketAddr),
    /// The listener could not be opened.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, #[source] io::Error),
    /// A step on disk failed.
    #[error("cannot {step} {}: {source}", path.display())]
    Io {
        /// What was tried.
        step: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system answered.
        #[source]
        source: io::Error,
    },
    /// Data that had been made durable no longer reads back. Nothing is thrown away to hide that.
    #[error("{} is damaged at byte {position}: {reason}; this was durable data, so the broker does not start over it", path.display())]
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// Where the damage was met.
        position: u64,
        /// What was wrong there.
        reason: String,
    },
    /// A setting makes no sense.
    #[error("bad setting: {0}")]
    Config(String),
    /// The broker gave up: what it had promised to be durable may not be (a failed fsync must never be retried).
    #[error("the broker stopped itself: {0}")]
    Fatal(String),
}

impl Error {
    pub(crate) fn io(step: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { step, path: path.to_owned(), source }
    }
}
