//! Taking partitions and giving them up: what happens inside the rebalance callback.
//!
//! Offsets go into the assignment itself (a seek afterwards would let records slip through). A partition whose start Kafka no longer
//! has, or does not have yet, is not read: it is blocked, loudly, until a person says what to do, while the others go on.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::{Offset, TopicPartitionList};
use tributary_core::span::{Leg, Legs};

use super::floors::{Floor, Silent};
use super::reader::{Part, Reader};
use super::{Mode, NAME};
use crate::kafka::native::{Identity, topic_identity};
use crate::messages::{Ack, Cause, Fence, await_acks};

/// How long the legs may take to make a revoked partition durable; what is not by then is forgotten and read again by its next owner.
const FENCE: Duration = Duration::from_secs(5);
/// How often a store that does not say where it is gets asked again.
const ASK_TWICE: u32 = 2;
const WATERMARKS: Duration = Duration::from_secs(3);

impl Reader {
    /// Decides where to read each partition from, and makes the queue take them. What comes back goes to librdkafka's assign.
    pub(super) fn assign<C: ConsumerContext>(&mut self, consumer: &BaseConsumer<C>, partitions: &[i32]) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        if !partitions.is_empty() && self.same_topic(consumer) {
            match self.ask_floors(partitions) {
                Ok(floors) => {
                    for partition in partitions {
                        let floor = floors.get(partition).copied().unwrap_or_default();
                        if let Some(start) = self.begin(consumer, *partition, floor) {
                            let added = list.add_partition_offset(&self.config.topic.name, *partition, Offset::Offset(start));
                            debug_assert!(added.is_ok(), "an offset is a valid offset");
                        }
                    }
                }
                // One leg's store is away: the other goes on without it.
                Err(Silent { leg: Some(leg), why }) if self.config.legs.without(leg) != Legs::NONE => {
                    tracing::warn!(stream = self.config.stream.name, %leg, "{why}");
                    self.edges.reports.trouble(NAME, Cause::Stalled(leg));
                }
                Err(silent) => self.edges.reports.trouble(NAME, Cause::Failed(silent.why)),
            }
        }
        self.show_blocked();
        if self.config.mode == Mode::Group {
            self.edges.reports.assigned(self.parts.keys().copied().collect());
            self.nudges = 3;
        }
        list
    }

    /// Whether the topic is still the one that the stores know.
    fn same_topic<C: ConsumerContext>(&self, consumer: &BaseConsumer<C>) -> bool {
        let topic = &self.config.topic;
        match topic_identity(consumer.client(), &topic.name, WATERMARKS) {
            Ok(Identity::Id(id)) if id == topic.id => true,
            Ok(Identity::Id(id)) => {
                let words = format!("topic {} was recreated: it was {}, it is {id}", topic.name, topic.id);
                self.edges.reports.trouble(NAME, Cause::TopicChanged(words));
                false
            }
            Ok(Identity::Missing) => {
                self.edges.reports.trouble(NAME, Cause::TopicChanged(format!("topic {} is gone", topic.name)));
                false
            }
            Err(error) => {
                self.edges.reports.trouble(NAME, Cause::Failed(error.to_string()));
                false
            }
        }
    }

    fn ask_floors(&self, partitions: &[i32]) -> Result<BTreeMap<i32, Floor>, Silent> {
        let mut answer = self.config.floors.read(partitions);
        for _ in 1..ASK_TWICE {
            if answer.is_ok() {
                break;
            }
            answer = self.config.floors.read(partitions);
        }
        answer
    }

    /// Begins a partition, or blocks it. Returns where to read from.
    fn begin<C: ConsumerContext>(&mut self, consumer: &BaseConsumer<C>, partition: i32, floor: Floor) -> Option<i64> {
        let (low, high) = match consumer.fetch_watermarks(&self.config.topic.name, partition, WATERMARKS) {
            Ok(watermarks) => watermarks,
            Err(error) => {
                let words = format!("asking for the watermarks of partition {partition}: {error}");
                self.edges.reports.trouble(NAME, Cause::Failed(words));
                return None;
            }
        };
        let floors = floor.resolve(low);
        let legs = self.config.legs;
        let start = legs.iter().map(|leg| floors[leg as usize]).min().unwrap_or(low);
        if let Some(why) = why_blocked(floors, start, low, high, legs.has(Leg::Bronze)) {
            if let Blocked::Refill = why {
                // Only the windows are behind what Kafka has, and bronze has it: they refill from there, on their own.
                self.edges.reports.trouble(NAME, Cause::Stalled(Leg::Serving));
                return None;
            }
            self.block(partition, &why.words(partition, &self.config.stream.name, floors, low, high));
            return None;
        }
        self.epochs += 1;
        let part = Part { epoch: self.epochs, floor: floors, sealed: start, taken: start, faulted: false, times_ms: None };
        self.parts.insert(partition, part);
        self.blocked.remove(&partition);
        self.edges.progress.assigned(partition, start, floors);
        self.edges.progress.watermarks(partition, low, high);
        self.queue.forward(consumer.client(), &self.topic, partition);
        tracing::info!(
            stream = self.config.stream.name,
            partition,
            start,
            bronze = floors[0],
            serving = floors[1],
            low,
            high,
            "reading"
        );
        Some(start)
    }

    /// A leg that catches up reads the same partitions: the main pipeline speaks for both.
    fn show_blocked(&self) {
        if self.config.mode == Mode::Group {
            self.edges.meter.blocked(self.blocked.len());
        }
    }

    pub(super) fn block(&mut self, partition: i32, why: &str) {
        if self.blocked.insert(partition, Instant::now()).is_none() {
            tracing::error!(stream = self.config.stream.name, partition, "{why}");
        }
        self.parts.remove(&partition);
        self.queue.forget(partition);
        self.edges.progress.blocked(partition, why.to_owned());
        self.show_blocked();
    }

    /// Gives partitions up: seals, lets both legs finish or forget, and says which are to be unassigned.
    pub(super) fn revoke<C: ConsumerContext>(
        &mut self,
        consumer: &BaseConsumer<C>,
        partitions: &[i32],
        lost: bool,
    ) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            if self.parts.contains_key(partition) {
                list.add_partition(&self.config.topic.name, *partition);
            }
        }
        self.fence(consumer, partitions, if lost { Duration::from_secs(1) } else { FENCE });
        for partition in partitions {
            self.parts.remove(partition);
            self.blocked.remove(partition);
            self.queue.forget(*partition);
            self.edges.progress.revoked(*partition);
        }
        self.show_blocked();
        if self.config.mode == Mode::Group {
            self.edges.reports.assigned(self.parts.keys().copied().collect());
            self.nudges = 3;
        }
        list
    }

    /// Waits until both legs have made what they hold of these partitions durable, or have forgotten it.
    pub(super) fn fence<C: ConsumerContext>(&mut self, consumer: &BaseConsumer<C>, partitions: &[i32], wait: Duration) {
        if self.stopping {
            return;
        }
        self.seal(consumer.client());
        let fenced: Vec<_> = partitions.iter().filter_map(|p| self.parts.get(p).map(|part| (*p, part.epoch))).collect();
        if fenced.is_empty() {
            return;
        }
        let (done, answers) = Ack::channel();
        let fence = Fence { partitions: fenced.into(), done };
        let asked = self.edges.fences.iter().filter(|room| room.try_send(fence.clone()).is_ok()).count();
        drop(fence);
        if !await_acks(&answers, asked, Instant::now() + wait) {
            tracing::warn!(
                stream = self.config.stream.name,
                ?partitions,
                "not everything was durable when the partitions went; their next owner reads it again"
            );
        }
    }

    /// Somebody else moved these partitions: fences them, asks the stores, and reads again from there. Returns what to seek.
    pub(super) fn reread<C: ConsumerContext>(&mut self, consumer: &BaseConsumer<C>, partitions: &[i32]) -> TopicPartitionList {
        let ours: Vec<i32> = partitions.iter().copied().filter(|p| self.parts.contains_key(p)).collect();
        self.fence(consumer, &ours, FENCE);
        self.assign(consumer, &ours)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blocked {
    Lost,
    Ahead,
    Refill,
}

fn why_blocked(floors: [i64; 2], start: i64, low: i64, high: i64, with_bronze: bool) -> Option<Blocked> {
    if start > high {
        return Some(Blocked::Ahead);
    }
    if start >= low {
        return None;
    }
    let bronze_has_it = floors[Leg::Bronze as usize] >= low;
    if bronze_has_it && with_bronze { Some(Blocked::Refill) } else { Some(Blocked::Lost) }
}

impl Blocked {
    fn words(self, partition: i32, stream: &str, floors: [i64; 2], low: i64, high: i64) -> String {
        let [bronze, serving] = floors;
        match self {
            Self::Lost | Self::Refill => format!(
                "partition {partition}: bronze goes on at {bronze} and the windows at {serving}, but Kafka's oldest record is {low}: what \
                 lies between is lost. To go on without it: tributary topic skip {stream} --partition {partition}"
            ),
            Self::Ahead => format!(
                "partition {partition}: bronze goes on at {bronze} and the windows at {serving}, but Kafka ends at {high}: this is another \
                 cluster, or it lost data. Point KAFKA_BOOTSTRAP_SERVERS at the right one; if the loss is real, begin the topic anew beside \
                 what is stored: tributary topic adopt {stream}"
            ),
        }
    }
}

/// The partitions of a rebalance, as numbers.
pub(super) fn numbers(list: &TopicPartitionList) -> Vec<i32> {
    list.elements().iter().map(|e| e.partition()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_that_kafka_has_is_read() {
        assert_eq!(why_blocked([50, 40], 40, 0, 100, true), None);
        assert_eq!(why_blocked([100, 100], 100, 0, 100, true), None, "nothing new yet");
    }

    #[test]
    fn a_start_that_kafka_lost_is_blocked_unless_bronze_can_refill_the_windows() {
        assert_eq!(why_blocked([10, 10], 10, 30, 100, true), Some(Blocked::Lost));
        assert_eq!(why_blocked([50, 10], 10, 30, 100, true), Some(Blocked::Refill));
        assert_eq!(why_blocked([10, 50], 10, 30, 100, true), Some(Blocked::Lost), "windows cannot refill bronze");
    }

    #[test]
    fn a_start_that_kafka_never_had_is_another_cluster() {
        assert_eq!(why_blocked([500, 500], 500, 0, 100, true), Some(Blocked::Ahead));
    }
}
