//! What is reported of PostgreSQL, by whoever talks to it.

use tributary_core::metric;

use super::{add, observe};

/// A connection was asked for, and this was the answer.
pub fn connection<T, E>(answer: &Result<T, E>) {
    for outcome in ["done", "failed"] {
        add(metric::POSTGRES_CONNECTS, &[outcome], u64::from((outcome == "done") == answer.is_ok()));
    }
}

/// A transaction for this purpose was committed, after so many seconds.
pub fn transaction(purpose: &'static str, seconds: f64) {
    observe(metric::POSTGRES_SECONDS, &[purpose], seconds);
}
