//! Windows against brute force: whatever the rows, spans and declarations, deltas are what counting one row at a time gives.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // a panic in a test is a red test

mod edges;
mod laws;
mod sales;
