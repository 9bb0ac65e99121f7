//! A log that speaks Kafka's protocol, in one process, on one machine, for programs on that machine.
//!
//! It is what `tributary` uses when nobody names a Kafka: the same clients, tools and settings work against it, and the
//! same conformance suite (`tests/conformance.rs`) runs against it and against Apache Kafka.
//!
//! # What it promises
//!
//! - The high watermark is the offset up to which everything was fsynced. A produce request is answered after that fsync
//!   (one for everything written within [`Config::fsync_interval`]), and no consumer sees a record before it.
//! - A failed fsync ends the broker ([`OnFatal`]): retrying one on the same file is how data is lost silently.
//! - Record batches are stored as the producer sent them, whatever the codec. A retried idempotent batch is answered with
//!   the offset of the first write, also after a restart.
//! - A topic's id is random: a topic that was deleted and created again has another one. [`Running::cluster_id`] is as
//!   lasting as the directory.
//! - What arrives from outside is an error code or a closed connection with a log line, never a panic.
//!
//! # What it is not
//!
//! No replication, no authentication, no TLS (so: loopback, unless told otherwise), no transactions, no compacted topics,
//! no KIP-848 groups. Each is refused by name.
//!
//! # A tour
//!
//! ```text
//! running.rs      start, stop, failure: what the owner of a broker holds
//! server.rs       accepts connections; connection.rs reads requests and answers them in order
//! api/            one file per question a client may ask; api/mod.rs is the list with its versions
//! node.rs         what every request can reach: topics, groups, offsets, flusher
//! topics.rs       the catalogue; log/ is what a partition is on disk; flusher.rs makes it durable
//! groups/         consumer groups and their committed offsets
//! disk.rs         the few file operations whose order decides what survives a power cut
//! ```
//!
//! ```no_run
//! let broker = tributary_broker::Broker::start(tributary_broker::Config::new("data/broker"))?;
//! println!("bootstrap.servers={}", broker.addr());
//! broker.stop()?;
//! # Ok::<(), tributary_broker::Error>(())
//! ```

mod api;
mod clock;
mod config;
mod connection;
mod disk;
mod error;
mod flusher;
mod groups;
mod log;
mod node;
mod running;
mod server;
mod topics;

pub use config::{Config, OnFatal};
pub use error::Error;
pub use running::{Broker, Running};
