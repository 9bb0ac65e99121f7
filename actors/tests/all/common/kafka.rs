//! An embedded broker of a test's own, and what is produced into it.

use std::net::SocketAddr;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use tempfile::TempDir;
use tributary_broker::{Broker, Config, Running};

use super::payments::payment;

/// Fields are dropped in this order: the broker must not outlive its folder.
pub struct Kafka {
    broker: Option<Running>,
    address: SocketAddr,
    folder: TempDir,
}

impl Kafka {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let broker = Broker::start(Self::config(&folder)).unwrap();
        Self { address: broker.addr(), broker: Some(broker), folder }
    }

    fn config(folder: &TempDir) -> Config {
        // Small segments, so that deletions have something to remove; the payments are older than any retention.
        Config { segment_bytes: 16 << 10, retention_ms: None, ..Config::new(folder.path()) }
    }

    /// Goes away; what it has stays.
    pub fn stop(&mut self) {
        self.broker.take().unwrap().stop().unwrap();
    }

    /// Comes back where it was.
    pub fn start_again(&mut self) {
        self.broker = Some(Broker::start(Config { listen: self.address, ..Self::config(&self.folder) }).unwrap());
    }

    pub fn bootstrap(&self) -> String {
        self.address.to_string()
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.bootstrap());
        config
    }

    pub fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().unwrap()
    }

    pub async fn create(&self, topic: &str, partitions: i32) {
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        self.admin().create_topics([&new], &options()).await.unwrap().pop().unwrap().unwrap();
    }

    pub async fn delete(&self, topic: &str) {
        self.admin().delete_topics(&[topic], &options()).await.unwrap().pop().unwrap().unwrap();
    }

    /// Removes the records below these offsets.
    pub async fn forget(&self, topic: &str, partition: i32, below: i64) {
        let mut list = rdkafka::TopicPartitionList::new();
        list.add_partition_offset(topic, partition, rdkafka::Offset::Offset(below)).unwrap();
        let removed = self.admin().delete_records(&list, &options()).await.unwrap();
        for element in removed.elements() {
            element.error().unwrap();
        }
    }

    /// Produces the payments of a range; the offsets must come out the same.
    pub fn produce(&self, topic: &str, partition: i32, range: std::ops::Range<i64>) {
        let producer: BaseProducer = self.client().set("linger.ms", "1").create().unwrap();
        for offset in range {
            let event = payment(partition, offset);
            let payload = event.payload();
            let record = BaseRecord::<str, str>::to(topic)
                .partition(partition)
                .payload(&payload)
                .key(&event.id)
                .timestamp(event.at_ms + 1_000);
            producer.send(record).unwrap();
        }
        producer.flush(Duration::from_secs(20)).unwrap();
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(super::PATIENCE)).operation_timeout(Some(super::PATIENCE))
}
