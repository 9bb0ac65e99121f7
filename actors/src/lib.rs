//! What **waits**: the actors, the gate between them, and the stores that they wait for.
//!
//! A tour, in the order in which an event meets the rooms:
//!
//! - [`messages`]: every message, on one screen. [`gate`]: the only backpressure.

pub mod gate;
pub mod lake;
pub mod messages;
pub mod telemetry;
