//! One suite, two brokers: the same assertions about what a client sees, run against the embedded broker (started on a
//! temporary directory) or against whatever `CONFORMANCE_BOOTSTRAP=host:port` names, which in CI is Apache Kafka.
//!
//! Every test uses topics and groups of its own name, so they run side by side on one broker.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a failed step is a failed test")]

#[path = "conformance/admin.rs"]
mod admin;
#[path = "conformance/groups.rs"]
mod groups;
#[path = "conformance/harness.rs"]
mod harness;
#[path = "conformance/reading.rs"]
mod reading;
#[path = "conformance/writing.rs"]
mod writing;
