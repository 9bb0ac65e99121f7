//! `tributary audit`: proves from the stores alone that every record is in the lake exactly once and in every window exactly once.
//!
//! Shares nothing with what writes but the formats on disk (`docs/STORES.md`) and the declaration of the streams, so that one
//! mistake cannot hide in both. Reads only: it takes no lock, commits nothing, creates nothing, and may run beside a busy pipeline.
//!
//! A tour:
//!
//! - [`stream`]: the order of events for one stream. PostgreSQL's moment first, then bronze once it has reached that moment.
//! - [`serving`] (with [`sql`]): offsets and windows out of one transaction.
//! - [`lake`]: the Delta log: next offsets, live files and the spans in their tags ([`spans`]).
//! - [`scan`]: the rows themselves, folded into a [`tally`] of [`offsets`] and a [`recount`] of the windows.
//! - [`verdict`]: what it all means. [`prove`]: one partition judged. [`windows`]: one window table judged.
//! - [`broker`]: Kafka's watermarks, beside both legs ([`legs`]).
//! - [`batch`]: silver, gold and what is published of it.
//! - [`glance`]: how far each leg is, without reading a row: for `tributary status`.
//! - [`report`]: what comes out; [`text`]: the same for people.

pub(crate) mod batch;
pub(crate) mod broker;
pub(crate) mod finding;
pub(crate) mod glance;
mod lake;
mod legs;
mod offsets;
mod prove;
mod ranges;
mod recount;
pub(crate) mod report;
mod scan;
mod serving;
mod spans;
mod sql;
mod stream;
mod tally;
pub(crate) mod text;
mod verdict;
mod windows;

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{SecondsFormat, Utc};
use tributary_core::stream::Stream;

use self::batch::compute::Compute;
use self::report::Report;

/// Where the stores are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stores {
    /// Path or URL of the lake.
    pub(crate) lake: String,
    /// Options of its object store.
    pub(crate) lake_options: BTreeMap<String, String>,
    /// `postgres://…`; none: no PostgreSQL is known.
    pub(crate) database_url: Option<String>,
    /// Kafka; none: no broker is known.
    pub(crate) brokers: Option<Brokers>,
}

/// Where Kafka is and how to speak to it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Brokers {
    /// `host:port,…`.
    pub(crate) bootstrap_servers: String,
    /// Passed to librdkafka as they are.
    pub(crate) properties: BTreeMap<String, String>,
}

/// What is asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    /// How long the stores may take to reach each other.
    pub(crate) wait: Duration,
    /// Both stores must have reached what Kafka had when the audit began.
    pub(crate) drained: bool,
    /// Leave PostgreSQL alone.
    pub(crate) bronze_only: bool,
    /// An unreachable broker is a finding.
    pub(crate) require_broker: bool,
    /// Offsets of a committed span without a record are findings: right for topics without transactions.
    pub(crate) no_holes: bool,
    /// Leave silver, gold and what is published alone.
    pub(crate) no_batch: bool,
    /// Silver, gold and PostgreSQL that a later run has yet to bring up to date are findings.
    pub(crate) current: bool,
}

/// Hears how far the reading is.
pub(crate) trait Progress: Sync {
    /// A stream's files are about to be read.
    fn begin(&self, stream: &str, bytes: u64);
    /// So many bytes more were read.
    fn advance(&self, bytes: u64);
    /// The stream's files were read.
    fn end(&self);
}

/// Audits the streams, one after the other. Never fails: what cannot be checked is a finding. Needs a multi-threaded runtime.
pub(crate) async fn audit(
    stores: &Stores,
    request: &Request,
    streams: &[Stream],
    compute: Option<&dyn Compute>,
    progress: &dyn Progress,
) -> Report {
    let checked_at = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
    let mut reports = Vec::new();
    for stream in streams {
        reports.push(stream::audit(stores, request, stream, progress).await);
    }
    let batch = match request.no_batch {
        true => None,
        false => Some(batch::audit(stores, request, streams, compute, progress).await),
    };
    let ok = reports.iter().all(|report| report.ok) && batch.as_ref().is_none_or(|batch| batch.ok);
    Report { format: 1, ok, checked_at, lake: stores.lake.clone(), streams: reports, batch }
}
