//! What the rooms of a stream report: its legs, its partitions, its actors.

use tributary_core::batch::Status;
use tributary_core::metric;
use tributary_core::span::{Leg, Legs};

use super::{add, flag, now, observe, raise, replace, seconds, set};

/// What the generator reports.
#[derive(Debug, Clone)]
pub struct GeneratorMeter {
    stream: String,
    actor: ActorMeter,
}

impl GeneratorMeter {
    /// For the stream that it makes events of.
    pub fn new(stream: &str, actor: &'static str) -> Self {
        Self { stream: stream.to_owned(), actor: ActorMeter::new(stream, actor) }
    }

    /// `n` records were acknowledged by Kafka, `failed` were not.
    pub fn sent(&self, n: u64, failed: u64) {
        add(metric::GENERATED, &[&self.stream], n);
        self.actor.gave(n);
        if failed > 0 {
            add(metric::ACTOR_ERRORS, &[&self.stream, self.actor.actor, "failed"], failed);
        }
        self.actor.alive(now());
    }
}

/// What one actor of one stream reports.
#[derive(Debug, Clone)]
pub struct ActorMeter {
    stream: String,
    actor: &'static str,
}

impl ActorMeter {
    /// For this stream and actor.
    pub fn new(stream: &str, actor: &'static str) -> Self {
        Self { stream: stream.to_owned(), actor }
    }

    /// Records came in.
    pub fn took(&self, records: u64) {
        add(metric::ACTOR_IN, &[&self.stream, self.actor], records);
    }

    /// Something was handed on.
    pub fn gave(&self, n: u64) {
        add(metric::ACTOR_OUT, &[&self.stream, self.actor], n);
    }

    /// One message took this long.
    pub fn handled(&self, seconds: f64) {
        observe(metric::ACTOR_MESSAGE, &[&self.stream, self.actor], seconds);
    }

    /// It was alive then, in seconds since 1970.
    pub fn alive(&self, at: f64) {
        set(metric::ACTOR_HEARTBEAT, &[&self.stream, self.actor], at);
    }
}

/// What one leg of one stream reports.
#[derive(Debug, Clone)]
pub struct LegMeter {
    stream: String,
    leg: Leg,
}

/// Where a leg is in one partition.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PartitionPosition {
    /// Kafka's partition.
    pub partition: i32,
    /// Next offset to make durable.
    pub next: i64,
    /// Records up to Kafka's end, once that is known.
    pub lag: Option<i64>,
    /// Kafka's time of the oldest record that waits, or of the newest durable one, once there is one: milliseconds since 1970.
    pub since_ms: Option<i64>,
}

impl LegMeter {
    /// For this stream and leg.
    pub fn new(stream: &str, leg: Leg) -> Self {
        Self { stream: stream.to_owned(), leg }
    }

    /// A commit became durable: `records` of them, after `seconds`; its oldest record is `age` seconds old.
    pub fn committed(&self, records: u64, seconds: f64, age: Option<f64>, now_seconds: f64) {
        self.outcome("done");
        let labels = [&self.stream, self.leg.as_str()];
        add(metric::RECORDS, &labels, records);
        observe(metric::COMMIT_SECONDS, &labels, seconds);
        if let Some(age) = age {
            observe(metric::RECORD_LATENCY, &labels, age.max(0.0));
        }
        set(metric::LAST_COMMIT, &labels, now_seconds);
    }

    /// A commit ended otherwise, or an error turned out to be none.
    pub fn outcome(&self, outcome: &'static str) {
        add(metric::COMMITS, &[&self.stream, self.leg.as_str(), outcome], 1);
    }

    /// An attempt failed and is tried again.
    pub fn retried(&self) {
        add(metric::COMMIT_ERRORS, &[&self.stream, self.leg.as_str()], 1);
    }

    /// Where the leg is in all partitions that are its own.
    pub fn positions(&self, partitions: &[PartitionPosition]) {
        let first = [self.stream.as_str(), self.leg.as_str()];
        let rows = |value: fn(&PartitionPosition) -> Option<f64>| {
            partitions.iter().filter_map(move |p| Some((vec![p.partition.to_string()], value(p)?)))
        };
        replace(metric::NEXT_OFFSET, &first, rows(|p| Some(p.next as f64)));
        replace(metric::LAG, &first, rows(|p| Some(p.lag?.max(0) as f64)));
        replace(metric::LAG_SINCE, &first, rows(|p| Some(seconds(p.since_ms?))));
    }

    /// Whether the main pipeline feeds the leg.
    pub fn attached(&self, attached: bool) {
        set(metric::LEG_ATTACHED, &[&self.stream, self.leg.as_str()], flag(attached));
    }

    /// The leg was detached.
    pub fn detached(&self) {
        add(metric::DETACHED, &[&self.stream, self.leg.as_str()], 1);
    }
}

/// The actors of a pipeline.
const ACTORS: [&str; 5] = ["kafka_consumer", "window_aggregator", "delta_writer", "postgres_sink", "offset_ledger"];

/// What one stream reports.
#[derive(Debug, Clone)]
pub struct StreamMeter {
    stream: String,
}

impl StreamMeter {
    /// For this stream.
    pub fn new(stream: &str) -> Self {
        Self { stream: stream.to_owned() }
    }

    /// Shows what has not happened yet as 0: the first time is an increase, too.
    pub fn begin(&self, legs: Legs) {
        for status in Status::ALL.into_iter().filter(|status| *status != Status::Ok && legs.has(Leg::Bronze)) {
            self.rejected(status.as_str(), 0);
        }
        for leg in legs.iter() {
            for outcome in ["done", "foreign", "landed", "repeated"] {
                add(metric::COMMITS, &[&self.stream, leg.as_str(), outcome], 0);
            }
            for m in [metric::COMMIT_ERRORS, metric::DETACHED, metric::RECORDS] {
                add(m, &[&self.stream, leg.as_str()], 0);
            }
        }
        for actor in ACTORS {
            for cause in ["panicked", "hung", "chain_broken", "failed"] {
                add(metric::RESTARTS, &[&self.stream, actor, cause], 0);
                add(metric::ACTOR_ERRORS, &[&self.stream, actor, cause], 0);
            }
        }
        add(metric::GATE_WAIT, &[&self.stream], 0);
        add(metric::REBALANCES, &[&self.stream], 0);
        self.kafka(true);
    }

    /// Payload was taken from Kafka.
    pub fn consumed(&self, bytes: u64) {
        add(metric::CONSUMED_BYTES, &[&self.stream], bytes);
    }

    /// Whether a broker answers.
    pub fn kafka(&self, connected: bool) {
        set(metric::KAFKA_CONNECTED, &[&self.stream], flag(connected));
    }

    /// Bronze has `n` more records of this status, which is not `ok`.
    pub fn rejected(&self, status: &'static str, n: u64) {
        add(metric::REJECTED, &[&self.stream, status], n);
    }

    /// Kafka's high watermark of all partitions that are read.
    pub fn high_watermarks(&self, partitions: impl IntoIterator<Item = (i32, i64)>) {
        let rows = partitions.into_iter().map(|(partition, high)| (vec![partition.to_string()], high as f64));
        replace(metric::HIGH_WATERMARK, &[&self.stream], rows);
    }

    /// What is inside the gate, in rows and bytes, and what may be.
    pub fn gate(&self, used: (usize, usize), limit: (usize, usize)) {
        set(metric::GATE_ROWS, &[&self.stream], used.0 as f64);
        set(metric::GATE_BYTES, &[&self.stream], used.1 as f64);
        set(metric::GATE_ROWS_LIMIT, &[&self.stream], limit.0 as f64);
        set(metric::GATE_BYTES_LIMIT, &[&self.stream], limit.1 as f64);
    }

    /// There is no gate any more.
    pub fn gate_gone(&self) {
        for m in [metric::GATE_ROWS, metric::GATE_BYTES, metric::GATE_ROWS_LIMIT, metric::GATE_BYTES_LIMIT] {
            replace(m, &[&self.stream], []);
        }
    }

    /// The consumer has waited this many more whole seconds for credit.
    pub fn gate_waited(&self, seconds: u64) {
        add(metric::GATE_WAIT, &[&self.stream], seconds);
    }

    /// Partitions that wait for a person.
    pub fn blocked(&self, partitions: usize) {
        set(metric::BLOCKED, &[&self.stream], partitions as f64);
    }

    /// The group was rebalanced.
    pub fn rebalanced(&self) {
        add(metric::REBALANCES, &[&self.stream], 1);
    }

    /// An actor failed, in one of few ways.
    pub fn failed(&self, actor: &'static str, kind: &'static str) {
        add(metric::ACTOR_ERRORS, &[&self.stream, actor, kind], 1);
    }

    /// The pipeline is rebuilt, because an actor could not go on.
    pub fn restarted(&self, actor: &'static str, cause: &'static str) {
        add(metric::RESTARTS, &[&self.stream, actor, cause], 1);
    }

    /// A generation begins.
    pub fn generation(&self, generation: u64) {
        set(metric::GENERATION, &[&self.stream], generation as f64);
    }

    /// The actors that live: when they last showed it (seconds since 1970) and how many batches wait for them.
    pub fn actors(&self, actors: &[(&'static str, f64, Option<u64>)]) {
        // Each by itself: the generator is an actor of the stream, too, and shows itself.
        for actor in ACTORS {
            let found = actors.iter().find(|(name, ..)| *name == actor);
            let waiting = found.and_then(|(_, _, waiting)| *waiting);
            replace(metric::ACTOR_HEARTBEAT, &[&self.stream, actor], found.map(|(_, at, _)| (Vec::new(), *at)));
            replace(metric::ACTOR_QUEUE, &[&self.stream, actor], waiting.map(|waiting| (Vec::new(), waiting as f64)));
        }
    }

    /// Rows of windows were written.
    pub fn windows(&self, rows: u64) {
        add(metric::WINDOW_ROWS, &[&self.stream], rows);
    }

    /// A table of windows has counted so many more events.
    pub fn window_events(&self, table: &str, events: u64) {
        add(metric::WINDOW_EVENTS, &[&self.stream, table], events);
    }

    /// Newest event time counted by the windows.
    pub fn newest_event(&self, millis: i64) {
        raise(metric::NEWEST_EVENT, &[&self.stream], seconds(millis));
    }
}
