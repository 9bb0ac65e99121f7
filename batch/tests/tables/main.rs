//! The engine over real Parquet files. One program: each that has DataFusion inside takes long to link.

mod common;
mod gold;
mod models;
mod pinned;
mod query;
