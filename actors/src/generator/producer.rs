//! The generator's thread: paces, makes events, offers them to the outbox.
//!
//! Assumes that it is told to stop through the channel. Promises to look at that channel every few thousand events and every few
//! milliseconds while Kafka takes none.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tributary_core::traffic::text::push_digits;
use tributary_core::traffic::{Model, Pace, Population};

use super::outbox::{Outbox, Refused, Size, Tally};
use super::{Config, NAME, PROGRESS_EVERY, Report, TICK};
use crate::telemetry::GeneratorMeter;

/// So many events at most between two looks at the channel.
const BURST: u64 = 4_096;
/// Patience when the generator was dropped without a word.
const DROPPED: Duration = Duration::from_secs(1);

pub(super) struct Producer {
    config: Config,
    size: Size,
    outbox: Outbox,
    tally: Arc<Tally>,
    model: Model,
    pace: Pace,
    origin: Instant,
    first_us: i64,
    last_us: i64,
    key: Vec<u8>,
    payload: Vec<u8>,
    counted: (u64, u64),
    meter: GeneratorMeter,
    progress: Progress,
}

/// What the last line about progress said.
struct Progress {
    at: Instant,
    delivered: u64,
    failed: u64,
}

impl Producer {
    pub(super) fn new(config: Config, size: Size, outbox: Outbox) -> Self {
        let now = now_us();
        Self {
            model: Model::new(config.seed, config.profile),
            tally: outbox.tally(),
            pace: Pace::default(),
            origin: Instant::now(),
            first_us: now,
            last_us: now,
            key: Vec::new(),
            payload: Vec::new(),
            counted: (0, 0),
            meter: GeneratorMeter::new(&config.stream, NAME),
            progress: Progress { at: Instant::now(), delivered: 0, failed: 0 },
            config,
            size,
            outbox,
        }
    }

    /// Works until told to stop.
    pub(super) fn run(mut self, stop: &Receiver<Instant>) -> Report {
        tracing::info!(
            target: "generator",
            topic = %self.config.topic,
            events_per_second = self.config.traffic.events_per_second,
            users = self.config.traffic.num_users,
            users_per_hour = self.config.traffic.user_growth_rate,
            "generating traffic"
        );
        loop {
            let until = match stop.recv_timeout(self.pace.wait(self.rate(), TICK)) {
                Ok(until) => Some(until),
                Err(RecvTimeoutError::Timeout) => self.work(stop),
                Err(RecvTimeoutError::Disconnected) => Some(Instant::now() + DROPPED),
            };
            if let Some(until) = until {
                return self.finish(until);
            }
            self.report();
        }
    }

    /// Events per second at this hour.
    fn rate(&self) -> f64 {
        self.config.traffic.events_per_second * f64::from(self.config.profile.weight(self.last_us)) / 100.0
    }

    /// Sends what is due. Some: it was told to stop meanwhile.
    fn work(&mut self, stop: &Receiver<Instant>) -> Option<Instant> {
        let due = self.pace.due(self.origin.elapsed(), self.rate());
        // Spread over the time since the last look, so that a bunch of ten milliseconds does not happen in one microsecond.
        let (from, now) = (self.last_us, now_us().max(self.last_us));
        self.last_us = now;
        let mut told = None;
        for n in 0..due {
            let at_us = from + ((now - from) as i128 * i128::from(n + 1) / i128::from(due)) as i64;
            self.make(at_us);
            told = self.send(stop);
            if told.is_none() && n % BURST == BURST - 1 {
                told = self.look(stop);
            }
            if told.is_some() {
                break;
            }
        }
        self.outbox.serve();
        told
    }

    fn make(&mut self, at_us: i64) {
        let traffic = &self.config.traffic;
        let population = Population { num_users: traffic.num_users, growth_per_hour: traffic.user_growth_rate };
        let event = self.model.event(at_us, population.after(at_us - self.first_us));
        self.payload.clear();
        self.model.write(&event, &mut self.payload);
        self.key.clear();
        push_digits(&mut self.key, event.user);
    }

    /// Offers the event until it is taken.
    fn send(&mut self, stop: &Receiver<Instant>) -> Option<Instant> {
        let mut full = false;
        loop {
            match self.outbox.offer(&self.key, Some(&self.payload)) {
                Ok(()) => {
                    if full {
                        // Kafka set the pace meanwhile: what it did not take is not owed.
                        self.pace.forgive(self.origin.elapsed());
                    }
                    return None;
                }
                Err(Refused::Full) => full = true,
                Err(Refused::Never(error)) => {
                    // Only a producer that has ended refuses an ordinary event.
                    tracing::error!(target: "generator", %error, "Kafka's client refuses events; starting a new one");
                    self.reopen();
                    if let told @ Some(_) = wait(stop, TICK) {
                        return told;
                    }
                    full = true;
                }
            }
            self.report();
            if let told @ Some(_) = self.look(stop) {
                return told;
            }
        }
    }

    fn look(&self, stop: &Receiver<Instant>) -> Option<Instant> {
        match stop.try_recv() {
            Ok(until) => Some(until),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Instant::now() + DROPPED),
        }
    }

    /// Another producer in the place of one that ended. Its queue is purged: those events count as failed.
    fn reopen(&mut self) {
        match self.config.outbox(self.size, &self.tally) {
            Ok(outbox) => self.outbox = outbox,
            Err(error) => {
                tracing::error!(target: "generator", %error, "cannot start a new client; check the settings of Kafka (tributary config show). Trying again")
            }
        }
    }

    /// Counts what arrived, and now and then says so.
    fn report(&mut self) {
        let (delivered, failed) = (self.tally.delivered(), self.tally.failed());
        self.meter.sent(delivered - self.counted.0, failed - self.counted.1);
        self.counted = (delivered, failed);
        let passed = self.progress.at.elapsed();
        if passed < PROGRESS_EVERY {
            return;
        }
        let (sent, lost) = (delivered - self.progress.delivered, failed - self.progress.failed);
        let per_second = sent as f64 / passed.as_secs_f64();
        let waiting = self.outbox.in_flight();
        if lost > 0 || (sent == 0 && waiting > 0) {
            let error = self.tally.last_error().unwrap_or_default();
            tracing::warn!(target: "generator", delivered, failed, waiting, per_second, %error, "Kafka does not take everything");
        } else {
            tracing::debug!(target: "generator", delivered, waiting, per_second, "events sent");
        }
        self.progress = Progress { at: Instant::now(), delivered, failed };
        if let Some(error) = self.outbox.fatal() {
            tracing::error!(target: "generator", %error, "Kafka's client has ended; starting a new one");
            self.reopen();
        }
    }

    fn finish(mut self, until: Instant) -> Report {
        let unanswered = self.outbox.drain(until);
        self.report();
        let report = Report { delivered: self.tally.delivered(), failed: self.tally.failed(), unanswered };
        if (report.failed, report.unanswered) == (0, 0) {
            tracing::info!(target: "generator", delivered = report.delivered, "stopped; everything sent has arrived");
        } else {
            let Report { delivered, failed, unanswered } = report;
            tracing::warn!(target: "generator", delivered, failed, unanswered, "stopped before everything had arrived");
        }
        report
    }
}

fn wait(stop: &Receiver<Instant>, time: Duration) -> Option<Instant> {
    match stop.recv_timeout(time) {
        Ok(until) => Some(until),
        Err(RecvTimeoutError::Timeout) => None,
        Err(RecvTimeoutError::Disconnected) => Some(Instant::now() + DROPPED),
    }
}

/// The clock, in microseconds since 1970.
fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
