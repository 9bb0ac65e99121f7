//! What is deployed agrees with itself: compose file, Dockerfile, Prometheus and Grafana name the same ports, variables, users,
//! metrics and columns as the program does.
//!
//! Assumes the repository's files beside the crate. Nothing runs here; what must run is in tests/e2e.

#![allow(clippy::unwrap_used, reason = "helpers of tests; a panic is a red test")]

mod compose;
mod dashboards;
mod files;
mod metrics;
mod rules;
mod settings;
