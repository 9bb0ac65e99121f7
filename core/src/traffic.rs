//! Made-up users and what they do, and the truth about it.
//!
//! Two callers: the endless generator of the demo draws events from a [`Model`] at the pace of a [`Pace`]; `tributary generate` and
//! the proofs draw a finite run from a [`Plan`], good and bad records mixed, and add each to a [`Truth`] that the stores are then
//! compared with.
//!
//! Assumes nothing: randomness is seeded, the time is an argument. Promises that the same arguments make the same bytes and the
//! same truth, on every machine, and that each record says beforehand what a reader must make of it.
//!
//! - [`model`]: users, event types, pages; how often what.
//! - [`text`]: an event as JSON, without a `String` per event.
//! - [`dress`]: valid events in clothes that JSON allows and nobody expects.
//! - [`flaw`]: records that are wrong in one way each, with the status and reason they deserve.
//! - [`plan`]: a finite run: how many, over which time, how many of them late, repeated or wrong.
//! - [`truth`]: what was made, counted as the stores have to count it.
//! - [`pace`]: how many events are due by now.

mod course;
pub mod dress;
pub mod flaw;
pub mod model;
pub mod pace;
pub mod plan;
#[cfg(test)]
mod tests;
pub mod text;
pub mod truth;

pub use model::{Event, Model, Population, Profile};
pub use pace::Pace;
pub use plan::{Made, Plan, PlanError, Record, Records};
pub use truth::Truth;
