//! Repairs as people rely on them: a record counts once, a window is what bronze says, whatever happens in between.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)] // a panic in a test is a red test

#[path = "../common/mod.rs"]
mod common;

mod drift;
mod heal;
mod letters;
mod replay;
mod replay_faults;
mod world;
