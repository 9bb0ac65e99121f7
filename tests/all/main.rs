//! The tests of the program, one program: what they are built from is compiled and linked once, and they share one PostgreSQL.
//!
//! Each room is a group: [`cli`] what is said and how it ends, [`up`] the processes that stay, [`batch_commands`] jobs, runs, tables and
//! models, [`audit`] lakes that are wrong in one way, [`generate`] made-up traffic, [`embedded_postgres`] a server's life and death. They
//! share no database and no lake: `cargo test --workspace --test all audit::` runs one group.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests; a panic is a red test")]

mod audit;
mod batch_commands;
mod cli;
mod embedded_postgres;
mod generate;
mod postgres;
mod up;
