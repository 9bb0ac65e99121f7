//! What **talks to a person**: the command line, and what a bare machine gets so that the command line is enough.
//!
//! A tour:
//!
//! - [`main`]: reads the command line and runs one subcommand; `cli/` has one file for each.
//! - [`embedded`]: the broker and the PostgreSQL that start where none is configured.
//! - [`engine`]: what computes over tables, as the coordinator calls it.
//! - `audit`: the proof from the stores alone, behind `tributary audit`.
//! - `acts`: what a person may do to jobs and runs; each leaves a row that says who did it.
//! - `doctor`: what is wrong here and what to do about it, behind `tributary doctor` and the console.
//! - `inspect`: jobs, runs, tables, runs to come and the way of a number, read and never changed; `words`: how such things are said.
//!
//! Everything that waits is in `tributary-actors`, everything that computes over events in `tributary-core`.

mod acts;
mod audit;
mod cli;
mod console;
mod doctor;
pub mod embedded;
pub mod engine;
mod inspect;
mod words;

pub use cli::main;
