//! What survives what: kills, torn tails, power cuts, restarts, retention. Embedded only, because it takes hold of the
//! process and of the files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a failed step is a failed test")]

#[path = "durability/clients.rs"]
mod clients;
#[path = "durability/kill.rs"]
mod kill;
#[path = "durability/power.rs"]
mod power;
#[path = "durability/producers.rs"]
mod producers;
#[path = "durability/restart.rs"]
mod restart;
#[path = "durability/retention.rs"]
mod retention;
#[path = "protocol/wire.rs"]
mod wire;
