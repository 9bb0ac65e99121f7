//! The tools that people have at hand, against the embedded broker: kcat, and Apache Kafka's own command line (the Java
//! client). A tool that is not installed is reported on a line that begins with `SKIPPED`, and the test passes; CI installs
//! all of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a failed step is a failed test")]

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tributary_broker::{Broker, Config, Running};

fn broker() -> (tempfile::TempDir, Running, String) {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(Config::new(dir.path())).unwrap();
    let address = broker.addr().to_string();
    (dir, broker, address)
}

fn run(mut command: Command, input: &str) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}\n{}", out(output), String::from_utf8_lossy(&output.stderr));
    out(output)
}

/// Runs one of Apache Kafka's tools; `None` when it cannot be had here.
fn kafka(tool: &str, arguments: &[&str], input: &str) -> Option<Output> {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../scripts/apache-kafka.sh");
    let mut command = Command::new(script);
    command.arg("tool").arg(tool).args(arguments);
    let output = run(command, input);
    if output.status.code() == Some(77) {
        println!("{}", String::from_utf8_lossy(&output.stderr).trim());
        return None;
    }
    Some(output)
}

#[test]
fn kcat_lists_produces_and_consumes() {
    if Command::new("kcat").arg("-V").output().is_err() {
        println!("SKIPPED kcat: it is not installed");
        return;
    }
    let (_dir, _broker, address) = broker();
    let kcat = |arguments: &[&str], input: &str| {
        let mut command = Command::new("kcat");
        command.args(["-b", &address]).args(arguments);
        succeeded(&run(command, input))
    };
    // kcat cannot create topics, so librdkafka's admin client does.
    create(&address, "t", 2);
    assert!(kcat(&["-L"], "").contains("topic \"t\" with 2 partitions"));
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let input: String = (0..100).map(|i| format!("key-{codec}:{i}\n")).collect();
        kcat(&["-P", "-t", "t", "-p", "1", "-K:", "-z", codec], &input);
    }
    let read = kcat(&["-C", "-t", "t", "-p", "1", "-o", "beginning", "-e", "-q", "-f", "%o %k %s\n"], "");
    let lines: Vec<&str> = read.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[499]), (500, "0 key-none 0", "499 key-zstd 99"));
    let last = kcat(&["-C", "-t", "t", "-p", "1", "-o", "-3", "-e", "-q", "-f", "%o\n"], "");
    assert_eq!(last, "497\n498\n499\n");
    assert!(kcat(&["-Q", "-t", "t:1:0"], "").contains("offset 0"));
    let group = kcat(&["-G", "g", "-q", "-e", "-X", "auto.offset.reset=earliest", "t"], "");
    assert_eq!(group.lines().count(), 500);
}

fn create(address: &str, topic: &str, partitions: i32) {
    use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
    let mut config = rdkafka::ClientConfig::new();
    let admin: AdminClient<rdkafka::client::DefaultClientContext> = config.set("bootstrap.servers", address).create().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    runtime.block_on(admin.create_topics([&new], &AdminOptions::new())).unwrap().remove(0).unwrap();
}

#[test]
fn kafkas_own_tools_work() {
    let (_dir, _broker, address) = broker();
    let b = ["--bootstrap-server", address.as_str()];
    let with = |arguments: &[&'static str]| [&b[..], arguments].concat();
    let create = with(&["--create", "--topic", "t", "--partitions", "3", "--config", "retention.ms=3600000"]);
    let Some(created) = kafka("kafka-topics", &create, "") else { return };
    assert!(succeeded(&created).contains("Created topic t"));
    let tool = |name: &str, arguments: &[&'static str], input: &str| kafka(name, &with(arguments), input).unwrap();

    assert_eq!(succeeded(&tool("kafka-topics", &["--list"], "")), "t\n");
    let described = succeeded(&tool("kafka-topics", &["--describe", "--topic", "t"], ""));
    assert!(described.contains("PartitionCount: 3") && described.contains("retention.ms=3600000"), "{described}");
    assert!(described.contains("TopicId: ") && described.contains("Leader: 1"), "{described}");
    let again = tool("kafka-topics", &["--create", "--topic", "t"], "");
    assert!(!again.status.success() && out(&again).contains("already exists"), "{}", out(&again));

    // The Java producer is idempotent by default; it batches, compresses and acknowledges as librdkafka does not.
    let input: String = (0..1_000).map(|i| format!("message {i}\n")).collect();
    succeeded(&tool("kafka-console-producer", &["--topic", "t", "--compression-codec", "zstd"], &input));
    let read = tool(
        "kafka-console-consumer",
        &["--topic", "t", "--from-beginning", "--group", "g", "--max-messages", "1000", "--timeout-ms", "30000"],
        "",
    );
    let mut lines: Vec<String> = succeeded(&read).lines().map(str::to_owned).collect();
    lines.sort();
    let mut expected: Vec<String> = (0..1_000).map(|i| format!("message {i}")).collect();
    expected.sort();
    assert_eq!(lines, expected);

    let offsets = succeeded(&tool("kafka-get-offsets", &["--topic", "t"], ""));
    let sum: i64 = offsets.lines().map(|l| l.rsplit(':').next().unwrap().parse::<i64>().unwrap()).sum();
    assert_eq!((offsets.lines().count(), sum), (3, 1_000), "{offsets}");

    assert_eq!(succeeded(&tool("kafka-consumer-groups", &["--list"], "")), "g\n");
    let group = succeeded(&tool("kafka-consumer-groups", &["--describe", "--group", "g"], ""));
    let lag: Vec<&str> = group.lines().filter(|l| l.starts_with("g ")).map(|l| l.split_whitespace().nth(5).unwrap()).collect();
    assert_eq!(lag, ["0", "0", "0"], "{group}");
    let reset = ["--group", "g", "--topic", "t", "--reset-offsets", "--to-earliest", "--execute"];
    succeeded(&tool("kafka-consumer-groups", &reset, ""));
    let group = succeeded(&tool("kafka-consumer-groups", &["--describe", "--group", "g"], ""));
    let lag = group.lines().filter(|l| l.starts_with("g ")).map(|l| l.split_whitespace().nth(5).unwrap().parse::<i64>().unwrap());
    assert_eq!(lag.sum::<i64>(), 1_000, "{group}");
    succeeded(&tool("kafka-consumer-groups", &["--delete-offsets", "--group", "g", "--topic", "t:0"], ""));
    succeeded(&tool("kafka-consumer-groups", &["--delete", "--group", "g"], ""));
    assert_eq!(succeeded(&tool("kafka-consumer-groups", &["--list"], "")).trim(), "");

    let alter = ["--alter", "--entity-type", "topics", "--entity-name", "t", "--add-config", "retention.bytes=12345"];
    succeeded(&tool("kafka-configs", &alter, ""));
    let configs = succeeded(&tool("kafka-configs", &["--describe", "--entity-type", "topics", "--entity-name", "t"], ""));
    assert!(configs.contains("retention.bytes=12345") && configs.contains("retention.ms=3600000"), "{configs}");
    let unknown = ["--alter", "--entity-type", "topics", "--entity-name", "t", "--add-config", "cleanup.policy=compact"];
    assert!(!tool("kafka-configs", &unknown, "").status.success());

    succeeded(&tool("kafka-topics", &["--alter", "--topic", "t", "--partitions", "5"], ""));
    succeeded(&tool("kafka-topics", &["--delete", "--topic", "t"], ""));
    assert_eq!(succeeded(&tool("kafka-topics", &["--list"], "")).trim(), "");
}
