//! The engine over real Parquet files. One program: each that has DataFusion inside takes long to link.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests; a panic is a red test")]
#![allow(clippy::cloned_ref_to_slice_refs, reason = "a list of one table reads like a list of two")]

mod common;
mod gold;
mod models;
mod pinned;
mod query;
