//! The loop that sends a run: makes a record, offers it until it is taken, adds it to the truth.
//!
//! Assumes a topic that exists. Promises that the truth holds exactly what was taken, and gives up only when Kafka has acknowledged
//! nothing for [`PATIENCE`].

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tributary_actors::generator::outbox::{Outbox, Refused};
use tributary_core::traffic::{Pace, Plan, Record, Truth};

use super::progress::Progress;

/// So long without a single acknowledgement, and it is over.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// So long at most for what is on its way after an interruption.
const LAST_WAIT: Duration = Duration::from_secs(10);
/// Longest sleep between two records at a low rate.
const NAP: Duration = Duration::from_millis(200);
/// Records between two looks at the clock.
const LOOK_EVERY: u64 = 8_192;

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Every record was acknowledged.
    Complete,
    /// Some were refused or not answered.
    Incomplete,
    /// A person stopped it.
    Interrupted,
}

pub(super) struct Sender<'a> {
    outbox: Outbox,
    rate: Option<f64>,
    stop: &'a AtomicBool,
    patience: Patience,
}

/// Since when nothing has arrived.
struct Patience {
    answered: u64,
    since: Instant,
}

impl Patience {
    fn is_over(&mut self, answered: u64, waiting: u64) -> bool {
        if answered != self.answered || waiting == 0 {
            *self = Self { answered, since: Instant::now() };
        }
        self.since.elapsed() > PATIENCE
    }
}

impl<'a> Sender<'a> {
    pub(super) fn new(outbox: Outbox, rate: Option<f64>, stop: &'a AtomicBool) -> Self {
        Self { outbox, rate, stop, patience: Patience { answered: 0, since: Instant::now() } }
    }

    /// Sends the whole run, or as much of it as possible.
    pub(super) fn send(mut self, plan: &Plan) -> (Truth, End) {
        let (mut records, mut truth, mut progress) = (plan.records(), Truth::default(), Progress::new(plan.count));
        let (mut pace, origin, mut due) = (Pace::default(), Instant::now(), 0);
        let mut given_up = None;
        'run: loop {
            while due == 0 {
                due = match self.rate {
                    None => LOOK_EVERY,
                    Some(rate) => pace.due(origin.elapsed(), rate).min(LOOK_EVERY),
                };
                if let Some(rate) = self.rate.filter(|_| due == 0) {
                    std::thread::sleep(pace.wait(rate, NAP));
                }
                self.outbox.serve();
                given_up = self.look(&mut progress);
                if given_up.is_some() || self.stopped() {
                    break 'run;
                }
            }
            due -= 1;
            let Some(record) = records.next() else { break };
            match self.offer(&record, &mut progress) {
                Ok(true) => truth.add(&record.made),
                Ok(false) => break,
                Err(reason) => {
                    given_up = Some(reason);
                    break;
                }
            }
        }
        let end = self.finish(plan, &truth, progress, given_up);
        (truth, end)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Whether it was taken; false when a person stopped it first.
    fn offer(&mut self, record: &Record<'_>, progress: &mut Progress) -> Result<bool, String> {
        loop {
            match self.outbox.offer(record.key, record.payload) {
                Ok(()) => return Ok(true),
                Err(Refused::Full) if self.stopped() => return Ok(false),
                Err(Refused::Full) => {
                    if let Some(reason) = self.look(progress) {
                        return Err(reason);
                    }
                }
                Err(Refused::Never(error)) => return Err(error.to_string()),
            }
        }
    }

    /// Shows how far it is; why to give up, if there is a reason.
    fn look(&mut self, progress: &mut Progress) -> Option<String> {
        let tally = self.outbox.tally();
        let answered = tally.delivered() + tally.failed();
        let over = self.patience.is_over(answered, self.outbox.in_flight());
        let quiet = self.patience.since.elapsed() > Duration::from_secs(3);
        let trouble = quiet.then(|| tally.last_error().unwrap_or_else(|| "Kafka does not answer".to_owned()));
        progress.show(tally.delivered(), trouble.as_deref());
        if over {
            return Some(format!("no acknowledgement for {} s", PATIENCE.as_secs()));
        }
        self.outbox.fatal()
    }

    fn finish(mut self, plan: &Plan, truth: &Truth, mut progress: Progress, mut given_up: Option<String>) -> End {
        let stopped_at = Instant::now();
        let mut left = self.outbox.in_flight();
        while left > 0 && given_up.is_none() && !(self.stopped() && stopped_at.elapsed() > LAST_WAIT) {
            left = self.outbox.drain(Instant::now() + NAP);
            given_up = self.look(&mut progress);
        }
        let tally = self.outbox.tally();
        let (delivered, failed) = (tally.delivered(), tally.failed());
        let all = delivered == truth.total() && failed == 0 && left == 0;
        let mut line = String::new();
        if failed > 0 {
            line += &format!(", {failed} refused");
        }
        if left > 0 {
            line += &format!(", {left} without an answer");
        }
        if let Some(reason) = &given_up {
            line += &format!("; gave up: {reason}");
        }
        if let Some(error) = tally.last_error().filter(|_| !all) {
            line += &format!("; Kafka's last word: {error}");
        }
        progress.finish(delivered, &line);
        match (all && truth.total() == plan.count, self.stopped()) {
            (true, _) => End::Complete,
            (false, true) => End::Interrupted,
            (false, false) => End::Incomplete,
        }
    }
}
