//! What the consumer's thread holds between two turns: partitions, the batch under way and its credit.
//!
//! Kept apart from the thread's loop so that the rebalance callback, which librdkafka runs inside a poll on the same thread, can seal
//! the batch before a partition goes.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::client::Client;
use rdkafka::types::RDKafkaRespErr;
use tributary_core::decode::{Decoder, Record};
use tributary_core::span::Span;

use super::{Config, Edges, NAME};
use crate::gate::Ticket;
use crate::kafka::native::{self, DataQueue, Taken};
use crate::messages::{Cause, EventBatch};

/// One assigned partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) epoch: u32,
    pub(super) floor: [i64; 2],
    /// End of the last sealed span.
    pub(super) sealed: i64,
    /// Next offset expected from Kafka.
    pub(super) taken: i64,
    /// librdkafka reported an error since the last seal: its position may point beyond it.
    pub(super) faulted: bool,
    /// Kafka's times of the oldest and the newest record since the last seal.
    pub(super) times_ms: Option<(i64, i64)>,
}

impl Part {
    /// Where the next span ends. The position is right where it is known, unless an error bumped it; markers and aborted records
    /// move it without a message. It has none right after an assignment.
    pub(super) fn end(&self, position: Option<i64>) -> i64 {
        match position {
            Some(position) if !self.faulted => self.taken.max(position),
            _ => self.taken,
        }
    }
}

/// A record's place among the reasons why a partition stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) partition: i32,
    pub(super) code: RDKafkaRespErr,
    pub(super) text: String,
}

pub(super) struct Reader {
    pub(super) config: Config,
    pub(super) edges: Edges,
    pub(super) topic: CString,
    pub(super) queue: DataQueue,
    pub(super) parts: BTreeMap<i32, Part>,
    pub(super) blocked: BTreeMap<i32, Instant>,
    pub(super) epochs: u32,
    /// Turns left in which a staying partition's watermarks are asked for, which wakes its fetcher after a rebalance.
    pub(super) nudges: u8,
    /// Leaving: partitions go without ceremony.
    pub(super) stopping: bool,
    decoder: Decoder,
    ticket: Option<Ticket>,
    begun: Option<Instant>,
    oldest_record_ms: Option<i64>,
    positions_at: Instant,
}

/// Memory that a batch may take; credit for it is held before the first record is read.
const BATCH_BYTES: usize = 4 << 20;
/// Records of one read.
const READ: usize = 2000;
/// How often positions and watermarks are looked at when nothing comes.
const LOOK: Duration = Duration::from_millis(500);

impl Reader {
    pub(super) fn new(config: Config, edges: Edges) -> Result<Self, std::ffi::NulError> {
        let topic = CString::new(config.topic.name.as_str())?;
        let decoder = Decoder::new(Arc::clone(&config.stream), config.incarnation);
        Ok(Self {
            config,
            edges,
            topic,
            queue: DataQueue::default(),
            parts: BTreeMap::new(),
            blocked: BTreeMap::new(),
            epochs: 0,
            nudges: 0,
            stopping: false,
            decoder,
            ticket: None,
            begun: None,
            oldest_record_ms: None,
            positions_at: Instant::now(),
        })
    }

    /// Whether there is credit to read with, taking it when there is not.
    pub(super) fn has_credit(&mut self) -> bool {
        if self.ticket.is_none() {
            let gate = &self.edges.gate;
            self.ticket = gate.admit(gate.weight(self.config.batch_rows), BATCH_BYTES, Duration::ZERO);
        }
        self.ticket.is_some()
    }

    /// Reads what is there, up to one read; seals the batch when it is full or old enough. Returns faults for the thread to judge.
    pub(super) fn read<C: rdkafka::ClientContext>(&mut self, client: &Client<C>) -> Vec<Fault> {
        let _busy = self.edges.pulse.engaged();
        let wait = match self.begun {
            Some(begun) => self.config.batch_wait.saturating_sub(begun.elapsed()).min(Duration::from_millis(20)),
            None => Duration::from_millis(20),
        };
        let most = READ.min(self.config.batch_rows);
        let (parts, decoder) = (&mut self.parts, &mut self.decoder);
        let (mut faults, mut oldest, mut bytes) = (Vec::new(), self.oldest_record_ms, 0);
        let n = self.queue.take(most, wait, |taken| match taken {
            Taken::Record { partition, offset, timestamp_ms, payload } => {
                let Some(part) = parts.get_mut(&partition) else { return };
                if offset < part.taken {
                    return;
                }
                part.taken = offset + 1;
                if let Some(time) = timestamp_ms {
                    oldest = Some(oldest.map_or(time, |o: i64| o.min(time)));
                    part.times_ms = Some(part.times_ms.map_or((time, time), |(old, new)| (time.min(old), time.max(new))));
                }
                bytes += payload.map_or(0, <[u8]>::len) as u64;
                decoder.push(Record { partition, offset, timestamp_ms, payload });
            }
            Taken::Fault { partition, code, text } => {
                if let Some(part) = parts.get_mut(&partition) {
                    part.faulted = true;
                    faults.push(Fault { partition, code, text });
                }
            }
        });
        self.oldest_record_ms = oldest;
        if n > 0 {
            self.edges.meter.consumed(bytes);
            self.edges.pulse.meter().took(n as u64);
            self.begun.get_or_insert_with(Instant::now);
        }
        self.seal_if_due(client);
        if n > 0 {
            self.edges.pulse.meter().handled(self.queue.since_they_came().as_secs_f64());
        }
        faults
    }

    fn seal_if_due<C: rdkafka::ClientContext>(&mut self, client: &Client<C>) {
        if self.positions_at.elapsed() >= LOOK {
            self.positions_at = Instant::now();
            self.look(client);
        }
        let full = self.decoder.rows() + READ > self.config.batch_rows || self.decoder.bytes() >= BATCH_BYTES;
        if full || self.begun.is_some_and(|b| b.elapsed() >= self.config.batch_wait) {
            self.seal(client);
        }
    }

    /// Positions that moved without a record begin a batch too; watermarks go to whoever watches.
    fn look<C: rdkafka::ClientContext>(&mut self, client: &Client<C>) {
        for (partition, part) in &self.parts {
            if let Some((low, high)) = native::cached_watermarks(client, &self.topic, *partition) {
                self.edges.progress.watermarks(*partition, low, high);
            }
            if part.end(native::position(client, &self.topic, *partition)) > part.sealed {
                self.begun.get_or_insert_with(Instant::now);
            }
        }
    }

    /// Sends the batch under way to every leg.
    pub(super) fn seal<C: rdkafka::ClientContext>(&mut self, client: &Client<C>) {
        self.begun = None;
        let mut spans = Vec::with_capacity(self.parts.len());
        for (partition, part) in &mut self.parts {
            let to = part.end(native::position(client, &self.topic, *partition));
            if to > part.sealed {
                spans.push(Span { partition: *partition, epoch: part.epoch, from: part.sealed, to, floor: part.floor });
                (part.sealed, part.taken, part.faulted) = (to, to, false);
                if let Some(times_ms) = part.times_ms.take() {
                    self.edges.progress.under_way(*partition, to, times_ms);
                }
            }
        }
        let oldest_record_ms = self.oldest_record_ms.take();
        if spans.is_empty() {
            return;
        }
        let batch = self.decoder.finish();
        let Some(ticket) = self.ticket.take() else {
            // Records are only read with credit in hand.
            self.edges.reports.trouble(NAME, Cause::ChainBroken("a batch without credit".to_owned()));
            return;
        };
        ticket.resize(self.edges.gate.weight(batch.rows.num_rows()), batch.rows.get_array_memory_size());
        self.edges.progress.sealed(&spans, self.config.legs);
        let sent = EventBatch {
            generation: self.edges.reports.generation,
            batch: Arc::new(batch),
            spans: spans.into(),
            oldest_record_ms,
            ticket: Arc::new(ticket),
        };
        self.edges.pulse.meter().gave(sent.batch.rows.num_rows() as u64);
        for (room, pulse) in &self.edges.batches {
            pulse.posted();
            if room.try_send(sent.clone()).is_err() {
                // Closed: the room's tombstone has told. Full: the gate failed its promise. Either way the chain is broken.
                self.edges.reports.trouble(NAME, Cause::ChainBroken("a room did not take a batch".to_owned()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(sealed: i64, taken: i64) -> Part {
        Part { epoch: 1, floor: [0, 0], sealed, taken, faulted: false, times_ms: None }
    }

    #[test]
    fn a_span_ends_at_the_position_so_that_markers_are_covered() {
        assert_eq!(part(0, 31).end(Some(40)), 40, "control records and aborted batches follow the last message");
        assert_eq!(part(10, 10).end(Some(40)), 40, "and may be all there is");
    }

    #[test]
    fn a_position_that_is_unknown_or_was_bumped_by_an_error_is_not_believed() {
        assert_eq!(part(0, 31).end(None), 31, "right after an assignment there is none");
        let faulted = Part { faulted: true, ..part(0, 31) };
        assert_eq!(faulted.end(Some(32)), 31);
    }

    #[test]
    fn a_position_behind_what_was_taken_moves_nothing_back() {
        assert_eq!(part(0, 31).end(Some(12)), 31);
    }
}
