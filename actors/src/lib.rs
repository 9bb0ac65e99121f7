//! What **waits**: the actors, the gate between them, and the stores that they wait for.
//!
//! A tour, in the order in which an event meets the rooms:
//!
//! - [`messages`]: every message, on one screen. [`gate`]: the only backpressure.
//! - [`generator`]: made-up traffic, into Kafka.
//! - [`kafka_consumer`]: one read of the topic, decoded once, for every leg.
//! - [`delta_writer`]: rows into the lake. [`window_aggregator`] and [`postgres_sink`]: deltas into the windows.
//! - [`offset_ledger`]: what is durable, what lags, what stalls.
//! - [`pipeline`]: these rooms together, the unit of restart. [`line`]: one stream and its stores, what pipelines are made from.
//! - [`supervisor`]: keeps pipelines running, and a leg that stalls from holding up the other.
//! - [`batch_coordinator`]: bronze to silver to gold to PostgreSQL, and maintenance. [`engine`]: what it asks of whoever computes over
//!   tables.
//! - [`decisions`]: what a person says when the pipeline will not go on by itself. [`repair`]: what a person does about wrong numbers.
//! - [`kafka`], [`lake`], [`serving`]: the stores' clients. [`room`], [`sink`], [`progress`], [`board`],
//!   [`telemetry`]: what rooms share.
//!
//! Rooms never import rooms: they hold one recipient per edge, and the wiring is in [`pipeline`].

pub mod batch_coordinator;
pub mod board;
pub mod decisions;
pub mod delta_writer;
pub mod engine;
pub mod gate;
pub mod generator;
pub mod kafka;
pub mod kafka_consumer;
pub mod lake;
pub mod line;
pub mod messages;
pub mod offset_ledger;
pub mod pipeline;
pub mod postgres_sink;
pub mod progress;
pub mod repair;
pub mod room;
pub mod serving;
pub mod sink;
pub mod supervisor;
pub mod telemetry;
pub mod window_aggregator;
