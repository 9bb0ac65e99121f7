//! One file per page: what is asked of the stores, and how it is shown.
//!
//! A page is a function from what was asked to a [`Page`](super::shell::Page), and is called again every two seconds while somebody watches.

pub(crate) mod activity;
pub(crate) mod deadletters;
mod files;
pub(crate) mod health;
pub(crate) mod job;
pub(crate) mod jobs;
pub(crate) mod logs;
pub(crate) mod overview;
pub(crate) mod query;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod settings;
pub(crate) mod stream;
pub(crate) mod table;
pub(crate) mod tables;
