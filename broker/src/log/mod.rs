//! The log on disk, from the inside out: a [`batch`] is what producers send, a [`segment`] is a file of them with its
//! [`index`], a [`partition`] is a row of segments with a durable end. [`producers`] recognises retries, [`read`] answers
//! fetches and questions about offsets, [`recovery`] opens and closes a partition, [`retention`] takes its old end off.

pub(crate) mod batch;
pub(crate) mod codec;
pub(crate) mod index;
pub(crate) mod partition;
pub(crate) mod producers;
pub(crate) mod read;
pub(crate) mod recovery;
pub(crate) mod retention;
pub(crate) mod segment;
pub(crate) mod waiters;
