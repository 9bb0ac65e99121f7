//! The limit that the pipeline is measured against: librdkafka alone, draining a topic with the same batch reads, doing nothing with
//! what it reads but adding up the bytes. Prints one JSON line.
//!
//! `raw_drain BOOTSTRAP TOPIC`
#![allow(clippy::print_stdout)] // the line is the result

use std::ffi::CString;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use tributary_actors::kafka::consumer_config;
use tributary_actors::kafka::native::{DataQueue, Taken};
use tributary_core::settings::Kafka;

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let (Some(bootstrap), Some(topic)) = (arguments.next(), arguments.next()) else {
        return Err("usage: raw_drain BOOTSTRAP TOPIC".into());
    };
    let config = consumer_config(&Kafka::default(), &bootstrap, "raw-drain", None);
    let consumer: BaseConsumer = config.create()?;
    let wait = Duration::from_secs(10);
    let metadata = consumer.fetch_metadata(Some(&topic), wait)?;
    let partitions: Vec<i32> = metadata.topics().iter().flat_map(|t| t.partitions()).map(|p| p.id()).collect();
    let (mut list, mut wanted) = (TopicPartitionList::new(), 0);
    let mut queue = DataQueue::default();
    let name = CString::new(topic.as_str())?;
    for partition in partitions {
        let (low, high) = consumer.fetch_watermarks(&topic, partition, wait)?;
        wanted += high - low;
        list.add_partition_offset(&topic, partition, Offset::Offset(low))?;
        queue.forward(consumer.client(), &name, partition);
    }
    let (begun, cpu) = (Instant::now(), cpu_seconds()?);
    consumer.assign(&list)?;
    let (mut records, mut bytes) = (0_i64, 0_usize);
    while records < wanted {
        consumer.poll(Duration::ZERO);
        queue.take(2000, Duration::from_millis(20), |taken| {
            if let Taken::Record { payload, .. } = taken {
                records += 1;
                bytes += payload.map_or(0, <[u8]>::len);
            }
        });
        if begun.elapsed() > Duration::from_secs(300) {
            return Err(format!("only {records} of {wanted} records came").into());
        }
    }
    let (seconds, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds()? - cpu);
    println!(r#"{{"records": {records}, "bytes": {bytes}, "seconds": {seconds:.4}, "cpu_seconds": {cpu:.2}}}"#);
    queue.clear();
    Ok(())
}

/// User and system time of this process, in hundredths of a second as the kernel counts.
fn cpu_seconds() -> Result<f64, Error> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: f64 = [11, 12].iter().filter_map(|i| fields.get(*i)?.parse::<f64>().ok()).sum();
    Ok(ticks / 100.0)
}
