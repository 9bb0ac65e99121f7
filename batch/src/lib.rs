//! What **computes over tables**: silver from bronze, models, compaction, ad-hoc queries. Reads pinned files, puts new ones, never
//! writes a log. The only room with DataFusion.
//!
//! - [`silver`]: bronze's valid rows, each event once.
//! - [`session`]: the engine itself: threads, memory and spill of its own, and nothing to read but the given tables.
//! - [`models`]: gold's models, read and planned; what is wrong with them is said before anything runs.
//! - [`build`]: a model over its sources, into files.
//! - [`checks`]: a model's tests.
//! - [`query`]: read-only SQL for people.
//! - [`compact`]: many files into few.
//! - [`writer`]: rows to data files of a table.
//!
//! What others call and wait for is boxed: a bare `async fn` is compiled again, with all of DataFusion that it awaits, in every crate
//! that calls it (the test program of this one took ten times as long).

pub mod build;
pub mod checks;
pub mod compact;
mod error;
mod memory;
pub mod models;
mod pinned;
pub mod query;
pub mod session;
pub mod silver;
mod source;
mod spill;
pub mod writer;
mod yielding;

pub use self::error::{Error, Result};
pub use self::session::{Limits, Local, Stored};
