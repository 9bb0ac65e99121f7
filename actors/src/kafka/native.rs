//! The one file that talks to librdkafka below its safe wrapper: batch reads from one data queue, positions, topic ids.
//!
//! Why: a batch read costs half the CPU of a poll and names the partition of an error, and neither topic ids nor forwarding inside
//! the rebalance callback exist in the wrapper.
//!
//! What it assumes: a [`DataQueue`] is cleared before the consumer it was forwarded from is dropped, and lives on the thread that
//! owns the consumer. What it promises: a payload is only borrowed for the length of the closure, every message is destroyed.
#![allow(unsafe_code)] // each block says why it is sound

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::time::{Duration, Instant};

use rdkafka::bindings as rd;
use rdkafka::client::{Client, ClientContext};

use super::KafkaError;

/// A handle of a queue; destroyed on drop.
struct Queue(*mut rd::rd_kafka_queue_t);

// SAFETY: librdkafka's queues are reference counted and locked inside; the handle may move between threads.
unsafe impl Send for Queue {}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the handle came from librdkafka, is destroyed once, and before its client (see the file's assumption).
        unsafe { rd::rd_kafka_queue_destroy(self.0) }
    }
}

/// What came out of the data queue.
#[derive(Debug)]
pub enum Taken<'a> {
    /// A record.
    Record {
        /// Kafka partition.
        partition: i32,
        /// Its offset.
        offset: i64,
        /// Kafka's record time.
        timestamp_ms: Option<i64>,
        /// Its value.
        payload: Option<&'a [u8]>,
    },
    /// A partition cannot be read on.
    Fault {
        /// Kafka partition.
        partition: i32,
        /// librdkafka's code.
        code: rd::rd_kafka_resp_err_t,
        /// librdkafka's words.
        text: String,
    },
}

/// All assigned partitions' records in one queue, read in batches.
#[derive(Default)]
pub struct DataQueue {
    shared: Option<Queue>,
    partitions: HashMap<i32, Queue>,
    buffer: Vec<*mut rd::rd_kafka_message_t>,
    came: Option<Instant>,
}

// SAFETY: the buffer is empty between calls; the queues are `Send`.
unsafe impl Send for DataQueue {}

impl DataQueue {
    /// Sends a partition's records here from now on. Call inside the rebalance callback, before the partition is assigned.
    pub fn forward<C: ClientContext>(&mut self, client: &Client<C>, topic: &CStr, partition: i32) {
        let rk = client.native_ptr();
        // SAFETY: `rk` is the live client of the caller, `topic` is a C string; librdkafka counts references of both queues.
        unsafe {
            let own = rd::rd_kafka_queue_get_partition(rk, topic.as_ptr(), partition);
            if own.is_null() {
                return;
            }
            let shared = self.shared.get_or_insert_with(|| Queue(rd::rd_kafka_queue_new(rk))).0;
            rd::rd_kafka_queue_forward(own, shared);
            self.partitions.insert(partition, Queue(own));
        }
    }

    /// Lets go of a revoked partition.
    pub fn forget(&mut self, partition: i32) {
        self.partitions.remove(&partition);
    }

    /// Lets go of everything; must happen before the consumer is dropped.
    pub fn clear(&mut self) {
        self.partitions.clear();
        self.shared = None;
    }

    /// Whether anything was ever forwarded here.
    pub fn is_open(&self) -> bool {
        self.shared.is_some()
    }

    /// How long ago the last wait for records was over.
    pub fn since_they_came(&self) -> Duration {
        self.came.map_or(Duration::ZERO, |came| came.elapsed())
    }

    /// Waits until `most` records are there or `wait` is over, and hands over what came.
    pub fn take(&mut self, most: usize, wait: Duration, mut each: impl FnMut(Taken<'_>)) -> usize {
        let Some(shared) = &self.shared else { return 0 };
        self.buffer.clear();
        self.buffer.reserve(most);
        let wait = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the buffer has room for `most` pointers; librdkafka says how many it wrote.
        let n = unsafe {
            let n = rd::rd_kafka_consume_batch_queue(shared.0, wait, self.buffer.as_mut_ptr(), most);
            let n = usize::try_from(n).unwrap_or(0);
            self.buffer.set_len(n);
            n
        };
        // Destroys what is left if the closure panics.
        struct Rest<'a>(&'a mut Vec<*mut rd::rd_kafka_message_t>, usize);
        impl Drop for Rest<'_> {
            fn drop(&mut self) {
                for message in &self.0[self.1..] {
                    // SAFETY: ours since the batch read, not destroyed yet.
                    unsafe { rd::rd_kafka_message_destroy(*message) }
                }
                self.0.clear();
            }
        }
        self.came = Some(Instant::now());
        let mut rest = Rest(&mut self.buffer, 0);
        while let Some(message) = rest.0.get(rest.1).copied() {
            // SAFETY: a message of the batch is valid until destroyed, its payload too; the borrow ends with the closure.
            unsafe {
                let m = &*message;
                let payload =
                    if m.payload.is_null() { None } else { Some(std::slice::from_raw_parts(m.payload.cast::<u8>(), m.len)) };
                if m.err == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                    let time = rd::rd_kafka_message_timestamp(message, ptr::null_mut());
                    let timestamp_ms = (time >= 0).then_some(time);
                    each(Taken::Record { partition: m.partition, offset: m.offset, timestamp_ms, payload });
                } else {
                    let text = payload.map(|p| String::from_utf8_lossy(p).into_owned()).unwrap_or_default();
                    each(Taken::Fault { partition: m.partition, code: m.err, text });
                }
                rest.1 += 1;
                rd::rd_kafka_message_destroy(message);
            }
        }
        n
    }
}

/// The consumer's position, if it has one: it has none right after an assignment or a seek.
pub fn position<C: ClientContext>(client: &Client<C>, topic: &CStr, partition: i32) -> Option<i64> {
    // SAFETY: the list is ours, has one element, and is destroyed here.
    unsafe {
        let list = rd::rd_kafka_topic_partition_list_new(1);
        rd::rd_kafka_topic_partition_list_add(list, topic.as_ptr(), partition);
        let error = rd::rd_kafka_position(client.native_ptr(), list);
        let element = &*(*list).elems;
        let ok = error == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && element.offset >= 0;
        let offset = element.offset;
        rd::rd_kafka_topic_partition_list_destroy(list);
        ok.then_some(offset)
    }
}

/// What the broker says a topic is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// It exists and has this id.
    Id(String),
    /// It does not exist.
    Missing,
}

/// Asks for a topic's id: it changes when a topic is deleted and created again under the same name.
///
/// # Errors
/// When the broker does not answer, or is too old to know topic ids.
pub fn topic_identity<C: ClientContext>(client: &Client<C>, topic: &str, wait: Duration) -> Result<Identity, KafkaError> {
    let other = |what: String| KafkaError::Other(format!("asking for the id of topic {topic}: {what}"));
    let name = CString::new(topic).map_err(|e| other(e.to_string()))?;
    let millis = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
    let rk = client.native_ptr();
    let unknown = rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    let none = rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
    // SAFETY: every object made here is destroyed here; the event owns what the result pointers name, and is destroyed last.
    unsafe {
        let queue = Queue(rd::rd_kafka_queue_new(rk));
        let mut names = [name.as_ptr()];
        let topics = rd::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), 1);
        let options = rd::rd_kafka_AdminOptions_new(rk, rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
        let mut text = [0 as c_char; 256];
        rd::rd_kafka_AdminOptions_set_request_timeout(options, millis, text.as_mut_ptr(), text.len());
        rd::rd_kafka_DescribeTopics(rk, topics, options, queue.0);
        rd::rd_kafka_AdminOptions_destroy(options);
        rd::rd_kafka_TopicCollection_destroy(topics);
        let event = rd::rd_kafka_queue_poll(queue.0, millis.saturating_add(500));
        if event.is_null() {
            return Err(other("no answer".to_owned()));
        }
        let answer = (|| {
            let error = rd::rd_kafka_event_error(event);
            if error == unknown {
                return Ok(Identity::Missing);
            }
            if error != none {
                let words = rd::rd_kafka_event_error_string(event);
                let words = if words.is_null() { "?".into() } else { CStr::from_ptr(words).to_string_lossy() };
                return Err(other(words.into_owned()));
            }
            let mut n = 0;
            let described =
                rd::rd_kafka_DescribeTopics_result_topics(rd::rd_kafka_event_DescribeTopics_result(event), &raw mut n);
            if n != 1 || described.is_null() {
                return Err(other(format!("{n} answers")));
            }
            let description = *described;
            let code = rd::rd_kafka_error_code(rd::rd_kafka_TopicDescription_error(description));
            if code == unknown {
                return Ok(Identity::Missing);
            }
            if code != none {
                return Err(other(format!("{code:?}")));
            }
            let id = rd::rd_kafka_TopicDescription_topic_id(description);
            let (most, least) = (rd::rd_kafka_Uuid_most_significant_bits(id), rd::rd_kafka_Uuid_least_significant_bits(id));
            if (most, least) == (0, 0) {
                return Err(other("the broker gives none: Apache Kafka 2.8 or later is needed".to_owned()));
            }
            let bits = (u128::from(most as u64) << 64) | u128::from(least as u64);
            Ok(Identity::Id(uuid::Uuid::from_u128(bits).to_string()))
        })();
        rd::rd_kafka_event_destroy(event);
        answer
    }
}

/// Whether the client is a member of its group: not before it has joined, and not once its leave is on its way.
pub fn is_member<C: ClientContext>(client: &Client<C>) -> bool {
    // SAFETY: the client lives; the answer is a C string that we own and give back.
    unsafe {
        let id = rd::rd_kafka_memberid(client.native_ptr());
        if id.is_null() {
            return false;
        }
        let named = !CStr::from_ptr(id).is_empty();
        rd::rd_kafka_mem_free(client.native_ptr(), id.cast());
        named
    }
}

/// Low and high watermark as the last fetch response gave them; `None` until there was one. Asks nobody.
pub fn cached_watermarks<C: ClientContext>(client: &Client<C>, topic: &CStr, partition: i32) -> Option<(i64, i64)> {
    let (mut low, mut high) = (-1, -1);
    // SAFETY: both results are ours for the length of the call.
    let error = unsafe {
        rd::rd_kafka_get_watermark_offsets(client.native_ptr(), topic.as_ptr(), partition, &raw mut low, &raw mut high)
    };
    (error == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && low >= 0 && high >= 0).then_some((low, high))
}
