//! What the integration tests share: a stream with its own truth, a lake in a temporary folder, a private PostgreSQL, probes.
//!
//! Promises that every test has stores of its own, and that nothing here computes by the code under test.
#![allow(unreachable_pub)] // a module of a test program

pub mod intercepted;
pub mod kafka;
pub mod lake;
pub mod payments;
pub mod postgres;
pub mod probe;
pub mod proxy;
pub mod rewriter;

use std::time::{Duration, Instant};

/// How long anything may take before it counts as not happening.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until a condition holds; panics with `what` when it does not.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Reproducible dice (splitmix64).
#[derive(Debug)]
pub struct Dice(pub u64);

impl Dice {
    /// From 0 up to, not including, `most`.
    pub fn roll(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % most
    }
}
