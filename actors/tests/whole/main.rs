//! The whole pipeline under its supervisor: a real broker, a real PostgreSQL, a real lake, and what the world does to them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)] // a panic in a test is a red test

#[path = "../common/mod.rs"]
mod common;

mod flows;
mod house;
mod troubles;

/// Runs a test on an actix system of its own.
fn in_system(test: impl Future<Output = ()>) {
    actix::System::new().block_on(test);
}
