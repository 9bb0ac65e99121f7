//! What **computes over events**. No actors, no async, no clock, no environment, no I/O: everything here is a function of its
//! arguments, so that its laws can be tested by the million.
//!
//! A tour, in the order in which an event meets the rooms:
//!
//! - [`stream`]: a stream is data. A TOML file declares topic, fields and windows; everything below follows the declaration.
//!   [`declare`]: what all such files have in common.
//! - [`decode`]: bytes from Kafka become rows of a bronze [`batch`]; what cannot be read becomes a row with a reason.
//! - [`span`]: which offsets a batch covers, half-open, chained; the floor below which a store already has them.
//! - [`window`]: rows become additive integer deltas per partition and window.
//! - [`restart`]: how often and how fast a broken pipeline is rebuilt.
//! - [`replay`]: which rows became valid afterwards, and who has taken them over.
//! - [`traffic`]: the generator's model of users, and the truth about what it made.
//! - [`settings`]: every setting, its default and where its value came from.
//! - [`table`], [`model`], [`job`]: what batch work is about: a table at one version, a SELECT that makes one, what is done when. [`work`]:
//!   what whoever coordinates and whoever computes tell each other.
//! - [`file_stats`]: what Delta's log says of a data file.
//! - [`metric`]: the one list of metric names.

pub mod batch;
pub mod declare;
pub mod decode;
pub mod file_stats;
pub mod job;
pub mod metric;
pub mod model;
pub mod replay;
pub mod restart;
pub mod settings;
pub mod span;
pub mod stream;
pub mod table;
pub mod traffic;
pub mod window;
pub mod work;
