//! One file per page: what is asked of the stores, and how it is shown.
//!
//! A page is a function from what was asked to a [`Page`](super::shell::Page), and is called again every two seconds while somebody watches.

pub(crate) mod activity;
pub(crate) mod health;
pub(crate) mod overview;
pub(crate) mod settings;
pub(crate) mod stream;
