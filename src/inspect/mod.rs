//! Batch work seen from outside: the lake, the history and the files of jobs and models, read and never changed.
//!
//! What commands and the console say about tables, runs to come and the way of a number comes from here, so that both say the same.
//! Needs no leader and holds no lock; what it says is of the moment at which it looked.
//!
//! - [`jobs`], [`runs`]: what there is to run, and how it went.
//! - [`catalog`]: the tables of the lake. [`fits`]: whether they can hold the streams.
//! - [`tables`], [`entries`], [`columns`], [`files`]: how much is in them, and what it means.
//! - [`query`], [`cells`]: rows of them. [`letters`]: records that are not valid.
//! - [`failed`]: runs that failed and that nothing has mended since. [`tested`]: how the models' tests went last.
//! - [`grid`]: the newest runs of a job with their tasks. [`lines`]: what a run said.
//! - [`plan`]: what a run is made of.
//! - [`behind`]: what each table has not taken over yet of what it is made from.
//! - [`forecast`]: what a run would do now.
//! - [`estimate`]: how much a backfill reads, and how long it may take.
//! - [`leader`]: whether anybody runs jobs.
//! - [`actions`]: what people did.
//! - [`why`]: from a number back to Kafka, hop by hop, and what it waits for.

pub(crate) mod actions;
pub(crate) mod behind;
pub(crate) mod catalog;
pub(crate) mod cells;
pub(crate) mod columns;
pub(crate) mod entries;
pub(crate) mod estimate;
pub(crate) mod failed;
pub(crate) mod files;
pub(crate) mod fits;
pub(crate) mod forecast;
pub(crate) mod grid;
pub(crate) mod jobs;
pub(crate) mod leader;
pub(crate) mod letters;
pub(crate) mod lines;
pub(crate) mod plan;
pub(crate) mod query;
pub(crate) mod runs;
pub(crate) mod tables;
pub(crate) mod tested;
pub(crate) mod why;
