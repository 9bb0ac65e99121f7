//! The thread: one turn is events first, then orders, then records.
//!
//! Gate shut means: leave the data queue alone and keep polling for events. Pausing would purge what librdkafka has prefetched.

use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use super::assign::numbers;
use super::reader::{Fault, Reader};
use super::{Config, Control, Edges, Mode, NAME};
use crate::kafka::{KafkaError, native};
use crate::messages::Cause;

/// How long a poll waits when there is nothing else to do.
const IDLE: Duration = Duration::from_millis(50);
/// How long a poll waits while the group is being left.
const LEAVING: Duration = Duration::from_millis(2);
/// How long leaving the group may take.
const LEAVE: Duration = Duration::from_secs(1);
/// How often a blocked partition is looked at again: a person may have said what to do.
const RETRY_BLOCKED: Duration = Duration::from_secs(5);

/// librdkafka's callbacks, on the thread that polls.
pub(super) struct Context {
    reader: Mutex<Reader>,
}

impl Context {
    fn reader(&self) -> MutexGuard<'_, Reader> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                tracing::warn!(target: "librdkafka", facility, "{message}");
            }
            _ => tracing::debug!(target: "librdkafka", facility, "{message}"),
        }
    }

    fn error(&self, error: ClientError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, "{reason}");
    }

    fn stats(&self, statistics: Statistics) {
        // Only brokers that were learned: the addresses of the settings are let go of once those are known.
        let mut learned = statistics.brokers.values().filter(|broker| broker.nodeid >= 0).peekable();
        let away = learned.peek().is_some() && learned.all(|broker| broker.state != "UP");
        let reader = self.reader();
        match (reader.edges.progress.is_kafka_away(), away) {
            (false, true) => tracing::warn!(stream = reader.config.stream.name, "no broker answers; waiting for one"),
            (true, false) => tracing::info!(stream = reader.config.stream.name, "a broker answers again"),
            _ => {}
        }
        reader.edges.progress.set_kafka_away(away);
        if reader.config.mode == Mode::Group {
            reader.edges.meter.kafka(!away);
        }
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, event: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions = numbers(list);
        let mut reader = self.reader();
        reader.edges.meter.rebalanced();
        let done = match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                tracing::info!(stream = reader.config.stream.name, ?partitions, "assigned");
                let list = reader.assign(consumer, &partitions);
                consumer.incremental_assign(&list)
            }
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => {
                let lost = consumer.assignment_lost();
                tracing::info!(stream = reader.config.stream.name, ?partitions, lost, "revoked");
                let list = reader.revoke(consumer, &partitions, lost);
                consumer.incremental_unassign(&list)
            }
            other => {
                tracing::warn!(stream = reader.config.stream.name, ?other, "a rebalance failed");
                Ok(())
            }
        };
        if let Err(error) = done {
            reader.edges.reports.trouble(NAME, Cause::Failed(format!("the group's assignment was refused: {error}")));
        }
    }
}

/// Starts the thread.
pub(super) fn spawn(config: Config, edges: Edges, ear: Receiver<Control>) -> Result<JoinHandle<()>, KafkaError> {
    let client = config.client.clone();
    let reader = Reader::new(config, edges).map_err(|e| KafkaError::Other(format!("the topic's name: {e}")))?;
    let context = Context { reader: Mutex::new(reader) };
    std::thread::Builder::new()
        .name(NAME.to_owned())
        .spawn(move || {
            let _tombstone = context.reader().edges.reports.tombstone(NAME);
            let reports = context.reader().edges.reports.clone();
            match client.create_with_context::<_, BaseConsumer<Context>>(context) {
                Ok(consumer) => run(consumer, &ear),
                Err(error) => reports.trouble(NAME, Cause::Fatal(format!("librdkafka refuses its settings: {error}"))),
            }
        })
        .map_err(|e| KafkaError::Other(format!("no thread for the consumer: {e}")))
}

fn run(consumer: BaseConsumer<Context>, ear: &Receiver<Control>) {
    let context = Arc::clone(consumer.context());
    if let Err(error) = begin(&consumer, &context) {
        context.reader().edges.reports.trouble(NAME, Cause::Failed(format!("cannot subscribe: {error}")));
    }
    let mut sealed = false;
    let mut shut = Duration::ZERO;
    loop {
        context.reader().edges.pulse.beat();
        let open = !sealed && context.reader().queue.is_open();
        let wait = if open { Duration::ZERO } else { IDLE };
        if let Some(Err(error)) = consumer.poll(wait) {
            event(&context, &error);
        }
        match ear.try_recv() {
            Ok(Control::Seal(answer)) => {
                context.reader().seal(consumer.client());
                sealed = true;
                let _ = answer.send(());
            }
            Ok(Control::Reread(partitions)) => reread(&consumer, &context, &partitions),
            Ok(Control::Commit(offsets)) => commit(&consumer, &context, &offsets),
            Ok(Control::Stop) | Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {}
        }
        if !sealed {
            nudge(&consumer, &context);
            retry_blocked(&consumer, &context);
        }
        if !open {
            continue;
        }
        if !context.reader().has_credit() {
            let since = Instant::now();
            if let Some(Err(error)) = consumer.poll(IDLE) {
                event(&context, &error);
            }
            shut += since.elapsed();
            let whole = shut.as_secs();
            context.reader().edges.meter.gate_waited(whole);
            shut -= Duration::from_secs(whole);
            continue;
        }
        let faults = context.reader().read(consumer.client());
        for fault in faults {
            judge(&consumer, &context, &fault);
        }
    }
    let mut reader = context.reader();
    reader.stopping = true;
    reader.queue.clear();
    let grouped = reader.config.mode == Mode::Group;
    drop(reader);
    if grouped {
        // A member with a fixed name leaves only when it says so, and says so only once its partitions are given back. And a client
        // that is closed between the two never says it: everybody else would wait for its session to expire.
        consumer.unsubscribe();
        let until = Instant::now() + LEAVE;
        while native::is_member(consumer.client()) && Instant::now() < until {
            let _ = consumer.poll(LEAVING);
        }
    }
    drop(consumer);
}

fn begin(consumer: &BaseConsumer<Context>, context: &Context) -> Result<(), ClientError> {
    let (topic, mode) = {
        let reader = context.reader();
        (reader.config.topic.name.clone(), reader.config.mode.clone())
    };
    match mode {
        Mode::Group => consumer.subscribe(&[&topic]),
        Mode::Manual(partitions) => {
            let list = context.reader().assign(consumer, &partitions);
            consumer.assign(&list)
        }
    }
}

/// What a poll of the main queue said. Outages are librdkafka's to mend; a topic that is gone is not.
fn event(context: &Context, error: &ClientError) {
    let reader = context.reader();
    match error {
        ClientError::MessageConsumption(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
            let words = format!("topic {} is gone", reader.config.topic.name);
            reader.edges.reports.trouble(NAME, Cause::TopicChanged(words));
        }
        ClientError::MessageConsumptionFatal(code) => {
            reader.edges.reports.trouble(NAME, Cause::Failed(format!("the consumer failed: {code}")));
        }
        other => tracing::debug!(error = %other, "the consumer goes on"),
    }
}

/// A partition that cannot be read on.
fn judge(consumer: &BaseConsumer<Context>, context: &Context, fault: &Fault) {
    let Fault { partition, code, text } = fault;
    let mut reader = context.reader();
    match code {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET => {
            // Kafka does not have the offset: ask the stores and the watermarks, then block or go on.
            drop(reader);
            reread(consumer, context, &[*partition]);
        }
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART | RDKafkaRespErr::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC => {
            let words = format!("topic {} is gone", reader.config.topic.name);
            reader.edges.reports.trouble(NAME, Cause::TopicChanged(words));
        }
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED => {
            reader.seal(consumer.client()); // what was read of it goes out with its span
            reader.block(*partition, &format!("partition {partition}: not allowed to read the topic: {text}"));
        }
        other => tracing::warn!(partition, code = ?other, "{text}"),
    }
}

fn reread(consumer: &BaseConsumer<Context>, context: &Context, partitions: &[i32]) {
    let mut reader = context.reader();
    let list = reader.reread(consumer, partitions);
    let blocked: Vec<i32> = partitions.iter().copied().filter(|p| reader.blocked.contains_key(p)).collect();
    if list.count() > 0 {
        let wanted = numbers(&list);
        let failed = match consumer.seek_partitions(list, Duration::from_secs(5)) {
            Ok(answers) => answers.elements().iter().find_map(|e| e.error().err()),
            Err(error) => Some(error),
        };
        if let Some(error) = failed {
            // Whatever comes next lies behind a hole that is none: nothing more may be taken of them.
            reader.parts.retain(|partition, _| !wanted.contains(partition));
            reader.edges.reports.trouble(NAME, Cause::Failed(format!("cannot seek: {error}")));
        }
    }
    if !blocked.is_empty() {
        let mut list = TopicPartitionList::new();
        for partition in &blocked {
            list.add_partition(&reader.config.topic.name, *partition);
        }
        let _ = consumer.incremental_unassign(&list);
    }
}

/// After a rebalance the fetcher of a partition that stays may sleep for a second; a question wakes it.
fn nudge(consumer: &BaseConsumer<Context>, context: &Context) {
    let mut reader = context.reader();
    if reader.nudges > 0
        && let Some(partition) = reader.parts.keys().next().copied()
    {
        reader.nudges -= 1;
        let _ = consumer.fetch_watermarks(&reader.config.topic.name, partition, Duration::from_millis(200));
    }
}

fn retry_blocked(consumer: &BaseConsumer<Context>, context: &Context) {
    let mut reader = context.reader();
    let due: Vec<i32> = reader.blocked.iter().filter(|(_, at)| at.elapsed() >= RETRY_BLOCKED).map(|(p, _)| *p).collect();
    if due.is_empty() {
        return;
    }
    for partition in &due {
        reader.blocked.insert(*partition, Instant::now());
    }
    let list = reader.assign(consumer, &due);
    if list.count() > 0
        && let Err(error) = consumer.incremental_assign(&list)
    {
        reader.edges.reports.trouble(NAME, Cause::Failed(format!("cannot take up a partition again: {error}")));
    }
}

fn commit(consumer: &BaseConsumer<Context>, context: &Context, offsets: &[(i32, i64)]) {
    let mut list = TopicPartitionList::new();
    let reader = context.reader();
    for (partition, next) in offsets.iter().filter(|(p, _)| reader.parts.contains_key(p)) {
        let added = list.add_partition_offset(&reader.config.topic.name, *partition, Offset::Offset(*next));
        debug_assert!(added.is_ok(), "an offset is a valid offset");
    }
    drop(reader);
    // For dashboards only: the stores know better, and the next commit follows soon.
    if list.count() > 0
        && let Err(error) = consumer.commit(&list, CommitMode::Async)
    {
        tracing::debug!(%error, "the group's offsets were not committed");
    }
}
