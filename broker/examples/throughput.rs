//! How fast is the broker? Produces and consumes 181-byte messages through librdkafka, and prints what it took.
//!
//! `cargo run --profile up -p tributary-broker --example throughput -- [MESSAGES] [CODEC] [PARTITIONS]`
//!
//! With `BOOTSTRAP=host:port` it measures that broker instead of an embedded one.

#![allow(clippy::print_stdout, reason = "it is a program for a terminal")]

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use tributary_broker::{Broker, Config};

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let messages: usize = args.first().map_or(Ok(2_000_000), |a| a.parse())?;
    let codec = args.get(1).map_or("lz4", String::as_str);
    let partitions: i32 = args.get(2).map_or(Ok(6), |a| a.parse())?;
    let dir = tempfile::tempdir_in("/var/tmp")?;
    let (broker, bootstrap) = match std::env::var("BOOTSTRAP") {
        Ok(address) => (None, address),
        Err(_) => {
            let broker = Broker::start(Config::new(dir.path()))?;
            let address = broker.addr().to_string();
            (Some(broker), address)
        }
    };
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &bootstrap);
    let topic = format!("throughput-{}", uuid::Uuid::new_v4().simple());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let admin: AdminClient<DefaultClientContext> = client.create()?;
    let new = NewTopic::new(&topic, partitions, TopicReplication::Fixed(1));
    runtime.block_on(admin.create_topics([&new], &AdminOptions::new()))?;

    let before = cpu_seconds()?;
    let began = Instant::now();
    produce(&client, &topic, codec, messages)?;
    report("produced", messages, began.elapsed(), cpu_seconds()? - before);

    let before = cpu_seconds()?;
    let began = Instant::now();
    consume(&client, &topic, partitions, messages)?;
    report("consumed", messages, began.elapsed(), cpu_seconds()? - before);

    let began = Instant::now();
    if let Some(broker) = broker {
        broker.stop()?;
        println!("stopped in {:.3} s", began.elapsed().as_secs_f64());
        let began = Instant::now();
        let again = Broker::start(Config::new(dir.path()))?;
        println!("started again in {:.3} s", began.elapsed().as_secs_f64());
        again.stop()?;
    }
    Ok(())
}

fn produce(client: &ClientConfig, topic: &str, codec: &str, messages: usize) -> anyhow::Result<()> {
    let producer: BaseProducer = client
        .clone()
        .set("compression.type", codec)
        .set("enable.idempotence", "true")
        .set("linger.ms", "5")
        .set("batch.size", "1000000")
        .set("queue.buffering.max.messages", "500000")
        .create()?;
    let mut value = [b'x'; 181];
    for i in 0..messages {
        // Half of it differs from message to message, as ids and times do.
        let mut seed = (i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        for b in &mut value[..90] {
            seed = seed.rotate_left(5).wrapping_mul(0x2545_F491_4F6C_DD1D);
            *b = b'a' + (seed >> 59) as u8 % 26;
        }
        let key = (i % 100_000).to_string();
        let mut record = BaseRecord::to(topic).key(&key).payload(&value[..]);
        while let Err((_, back)) = producer.send(record) {
            producer.poll(Duration::from_millis(5));
            record = back;
        }
        if i % 1_000 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    producer.flush(Duration::from_secs(60))?;
    anyhow::ensure!(producer.in_flight_count() == 0, "not everything was delivered");
    Ok(())
}

fn consume(client: &ClientConfig, topic: &str, partitions: i32, messages: usize) -> anyhow::Result<()> {
    let consumer: BaseConsumer = client
        .clone()
        .set("group.id", "throughput")
        .set("enable.auto.commit", "false")
        .set("fetch.queue.backoff.ms", "5")
        .set("queued.max.messages.kbytes", "16384")
        .create()?;
    let mut list = TopicPartitionList::new();
    for p in 0..partitions {
        list.add_partition_offset(topic, p, Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    let mut n = 0;
    while n < messages {
        if let Some(message) = consumer.poll(Duration::from_secs(10)) {
            message?;
            n += 1;
        }
    }
    Ok(())
}

fn report(what: &str, messages: usize, wall: Duration, cpu: f64) {
    let (wall, millions) = (wall.as_secs_f64(), messages as f64 / 1e6);
    println!(
        "{what} {messages} in {wall:.2} s: {:.0} k/s; {:.2} CPU s per million, client and broker",
        messages as f64 / wall / 1e3,
        cpu / millions
    );
}

/// CPU time of this process so far.
fn cpu_seconds() -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    Ok((ticks(11) + ticks(12)) / 100.0)
}
