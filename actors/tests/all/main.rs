//! The integration tests of the actors, one program: what they are built from is compiled and linked once.
//!
//! Each room is a group: [`lake`] the commits, [`rooms`] one actor at a time, [`serving`] what is in PostgreSQL, [`repair`] dead letters
//! and damage, [`whole`] the pipeline together. They share no store: `cargo test -p tributary-actors --test all lake::` runs one group.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)] // a panic in a test is a red test

mod common;
mod lake;
mod repair;
mod rooms;
mod serving;
mod whole;
