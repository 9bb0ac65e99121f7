//! Landing one cut: data files first, then the version that names them. Tries until it knows.
//!
//! Runs beside the encoding of the next files. A store that fails is tried again with the same files and the same commit id for as
//! long as it takes; whoever watches the ledger decides how long is too long.

use std::time::{Duration, Instant};

use tributary_core::batch::Status;
use tributary_core::span::Span;
use uuid::Uuid;

use super::Config;
use crate::gate::Ticket;
use crate::lake::delta_log::{Commit, CommitError, DeltaLog, Kind, Move};
use crate::lake::encoder::Encoded;
use crate::lake::offsets::{first_app, ingest_app};
use crate::lake::{LakeError, delta_error, files};
use crate::telemetry::{self, LegMeter};

/// Files and the offsets that they cover.
pub(super) struct Cut {
    pub(super) files: Vec<Encoded>,
    pub(super) spans: Vec<Span>,
    pub(super) statuses: [u64; Status::ALL.len()],
    pub(super) oldest_record_ms: Option<i64>,
    pub(super) begun: Instant,
    pub(super) _ticket: Option<Ticket>,
}

/// How a cut ended.
pub(super) enum Ended {
    /// At this version.
    Done(u64),
    /// Somebody else owns these partitions.
    Foreign(Vec<i32>),
    /// The next pipeline looks whether the table still fits.
    Failed(String),
    /// No retry mends it.
    Fatal(String),
}

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(2);
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Lands a cut, however long it takes.
pub(super) async fn land(config: Config, meter: LegMeter, mut log: DeltaLog, cut: Cut) -> (DeltaLog, Cut, Ended) {
    let id = Uuid::new_v4();
    let paths: Vec<String> = cut.files.iter().map(|file| files::new_path(file.date)).collect();
    let mut put = false;
    let mut wait = FIRST_WAIT;
    let mut logged: Option<Instant> = None;
    loop {
        let attempt = attempt(&config, &mut log, &cut, id, &paths, &mut put).await;
        let error = match attempt {
            Ok(version) => {
                if let Some(outcome) = log.resolved() {
                    meter.outcome(outcome);
                }
                return (log, cut, Ended::Done(version));
            }
            Err(CommitError::Foreign(moves)) => {
                // Two moves may belong to one partition; the first ones are the offsets, in the spans' order.
                let found = moves.into_iter().filter_map(|i| cut.spans.get(i)).map(|s| s.partition).collect();
                return (log, cut, Ended::Foreign(found));
            }
            Err(error @ (CommitError::TableChanged(_) | CommitError::Outdated(_))) => {
                return (log, cut, Ended::Failed(error.to_string()));
            }
            Err(CommitError::Store(error)) if error.is_permanent() => return (log, cut, Ended::Fatal(error.to_string())),
            Err(CommitError::Store(error)) => error,
        };
        meter.retried();
        if logged.is_none_or(|at| at.elapsed() > LOG_EVERY) {
            logged = Some(Instant::now());
            tracing::warn!(%error, "bronze cannot be written; trying again until it can");
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

async fn attempt(
    config: &Config,
    log: &mut DeltaLog,
    cut: &Cut,
    id: Uuid,
    paths: &[String],
    put: &mut bool,
) -> Result<u64, CommitError> {
    if !*put {
        let needed: u64 = cut.files.iter().map(|f| f.bytes.len() as u64).sum();
        enough_space(config, needed)?;
        files::put(&config.store, cut.files.iter().zip(paths)).await?;
        *put = true;
    }
    log.commit(&commit(config, log, cut, id, paths)).await
}

/// The offsets as the log should say them now: what we expect, or nothing yet.
fn commit(config: &Config, log: &DeltaLog, cut: &Cut, id: Uuid, paths: &[String]) -> Commit {
    let mut moves = Vec::with_capacity(cut.spans.len());
    let mut firsts = Vec::new();
    for span in &cut.spans {
        let app = ingest_app(&config.topic, config.incarnation, span.partition);
        let expected = log.txn(&app).map(|_| span.from);
        if expected.is_none() {
            let app = first_app(&config.topic, config.incarnation, span.partition);
            if log.txn(&app).is_none() {
                firsts.push(Move { app, expected: None, next: span.from });
            }
        }
        moves.push(Move { app, expected, next: span.to });
    }
    moves.extend(firsts);
    let adds = cut.files.iter().zip(paths).map(|(file, path)| files::add(file, path, config.incarnation, &cut.spans));
    Commit { id, adds: adds.collect(), moves, ..Commit::new("STREAMING UPDATE", Kind::Append) }
}

/// A local disk is not filled to the brim: what shares it would fail in worse ways.
fn enough_space(config: &Config, needed: u64) -> Result<(), LakeError> {
    let url = config.store.root_url();
    let Ok(path) = url.to_file_path() else { return Ok(()) };
    let Ok(stat) = rustix::fs::statvfs(&path) else { return Ok(()) };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    telemetry::disk(free, config.min_free_bytes);
    if free < config.min_free_bytes.saturating_add(needed) {
        let words = format!("{} MiB are free, which is below the floor of {} MiB", free >> 20, config.min_free_bytes >> 20);
        return Err(delta_error(url, deltalake::DeltaTableError::generic(words)));
    }
    Ok(())
}
