//! The way of a made-up record into Kafka, and the book of what arrived.
//!
//! Assumes one thread, which offers records and lets the outbox be served in between. Promises that a record counts as delivered
//! only when Kafka has acknowledged it, that none is written twice, and that nothing that was taken is given up for taking long:
//! while the broker is away the queue fills up and the outbox takes no more.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

/// How long one look at a full queue lasts.
const FULL_WAIT: Duration = Duration::from_millis(5);
/// Delivery reports are fetched after so many records.
const SERVE_EVERY: u64 = 1_000;

/// What arrived and what did not, readable from any thread.
#[derive(Debug, Default)]
pub struct Tally {
    delivered: AtomicU64,
    failed: AtomicU64,
    last_error: Mutex<Option<String>>,
}

impl Tally {
    /// Records that Kafka acknowledged.
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Acquire)
    }

    /// Records that Kafka refused for good.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Acquire)
    }

    fn answered(&self) -> u64 {
        self.delivered() + self.failed()
    }

    /// The last complaint of librdkafka.
    pub fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn complain(&self, error: String) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }
}

struct Reports(Arc<Tally>);

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Debug | RDKafkaLogLevel::Info => tracing::debug!(target: "generator", facility, "{message}"),
            _ => tracing::warn!(target: "generator", facility, "{message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // librdkafka says this again at every attempt to reconnect; the progress line repeats the last one.
        tracing::debug!(target: "generator", "{error}: {reason}");
        self.0.complain(reason.to_owned());
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, report: &DeliveryResult<'_>, (): ()) {
        match report {
            Ok(_) => {
                self.0.delivered.fetch_add(1, Ordering::Release);
            }
            Err((error, _)) => {
                self.0.failed.fetch_add(1, Ordering::Release);
                self.0.complain(error.to_string());
            }
        }
    }
}

/// How large the outbox may grow while Kafka does not answer.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Records.
    pub records: u32,
    /// Kibibytes.
    pub kibibytes: u32,
    /// The largest record, in bytes.
    pub record_bytes: u32,
}

impl Size {
    /// For as much as the machine can make.
    pub const LARGE: Self = Self { records: 500_000, kibibytes: 262_144, record_bytes: 1_000_000 };
    /// For a demo that shares its memory with everything else.
    pub const SMALL: Self = Self { records: 50_000, kibibytes: 32_768, record_bytes: 1_000_000 };
}

/// A producer with its book.
pub struct Outbox {
    producer: BaseProducer<Reports>,
    topic: String,
    tally: Arc<Tally>,
    taken: u64,
}

/// Why a record was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The queue is full: Kafka is slower than the caller, or away. Offer it again.
    #[error("the queue is full")]
    Full,
    /// It will never be taken.
    #[error(transparent)]
    Never(#[from] KafkaError),
}

impl Outbox {
    /// Opens the way to a topic. Connects in the background: a broker that is away is no error. What a person has set in `client`
    /// holds, but for what the promises above need.
    ///
    /// # Errors
    /// When librdkafka refuses the settings.
    pub fn open(mut client: ClientConfig, topic: &str, size: Size, tally: Arc<Tally>) -> Result<Self, KafkaError> {
        client
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // Never give up by time: what was taken stays in the queue until Kafka answers.
            .set("message.timeout.ms", "0")
            // As the Java client does it, so that Kafka's own tools find a key where they expect it.
            .set("partitioner", "murmur2_random");
        // Measured: 5 ms and 10,000 records do as well as larger batches, at a tenth of the delay.
        for (key, value) in [
            ("compression.type", "lz4".to_owned()),
            ("linger.ms", "5".to_owned()),
            ("batch.num.messages", "10000".to_owned()),
            ("batch.size", "1000000".to_owned()),
            ("queue.buffering.max.messages", size.records.to_string()),
            ("queue.buffering.max.kbytes", size.kibibytes.to_string()),
            ("message.max.bytes", size.record_bytes.to_string()),
            ("reconnect.backoff.max.ms", "2000".to_owned()),
        ] {
            if client.get(key).is_none() {
                client.set(key, value);
            }
        }
        let producer = client.create_with_context(Reports(Arc::clone(&tally)))?;
        Ok(Self { producer, topic: topic.to_owned(), tally, taken: 0 })
    }

    /// Takes a record, or waits a moment and says that there is no room.
    ///
    /// # Errors
    /// [`Refused`]; the record was not taken.
    pub fn offer(&mut self, key: &[u8], payload: Option<&[u8]>) -> Result<(), Refused> {
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&self.topic).key(key);
        record.payload = payload;
        match self.producer.send(record) {
            Ok(()) => {
                self.taken += 1;
                if self.taken.is_multiple_of(SERVE_EVERY) {
                    self.serve();
                }
                Ok(())
            }
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                self.producer.poll(FULL_WAIT);
                Err(Refused::Full)
            }
            Err((error, _)) => Err(Refused::Never(error)),
        }
    }

    /// Fetches the delivery reports that are there, without waiting.
    pub fn serve(&self) {
        // One poll without patience fetches one report, of one batch. A report that is not fetched keeps its records' place in the
        // queue: many small batches would fill it although all of them have arrived.
        let mut answered = self.tally.answered();
        loop {
            self.producer.poll(Duration::ZERO);
            let now = self.tally.answered();
            if now == answered {
                return;
            }
            answered = now;
        }
    }

    /// Waits until nothing is on its way any more, or until the deadline. Says how many records are.
    pub fn drain(&self, until: Instant) -> u64 {
        loop {
            let left = self.in_flight();
            let patience = until.saturating_duration_since(Instant::now());
            if left == 0 || patience.is_zero() {
                return left;
            }
            // Its error is the timeout; what else may be wrong shows in the reports.
            let _ = self.producer.flush(patience.min(Duration::from_millis(200)));
        }
    }

    /// Records taken and not yet reported on.
    pub fn in_flight(&self) -> u64 {
        u64::try_from(self.producer.in_flight_count()).unwrap_or(0)
    }

    /// Records taken since it was opened.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// The book.
    pub fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.tally)
    }

    /// What ended this producer for good, if anything did: only a new one can go on.
    pub fn fatal(&self) -> Option<String> {
        self.producer.client().fatal_error().map(|(code, text)| format!("{code}: {text}"))
    }
}
