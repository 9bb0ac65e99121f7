//! Kafka: whether it answers, whether it can be reached where it says that it is, and whether it has our topics.
//!
//! Asks and never subscribes; no topic is made by asking for it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use tokio::net::{TcpStream, lookup_host};
use tributary_actors::kafka::client_config;
use tributary_core::settings::Kafka;

use super::{Check, Finding, Group, Patient, check};
use crate::words;

/// How long the broker may take.
const ASK: Duration = Duration::from_secs(4);
/// How long a connection to one broker may take.
const CONNECT: Duration = Duration::from_secs(2);
const LIMIT: Duration = Duration::from_secs(5);

/// What the broker says of itself.
#[derive(Debug, Clone, Default)]
struct Told {
    /// Number, and where it says that it is.
    brokers: Vec<(i32, String, u16)>,
    /// Topics and their partitions.
    topics: Vec<(String, usize)>,
}

pub(super) async fn checks(patient: &Patient) -> Vec<Check> {
    let mut told = None;
    let answers = check(Group::Kafka, "answers", LIMIT, async {
        let (finding, answer) = answers(&patient.settings.kafka).await;
        told = answer;
        finding
    })
    .await;
    let unknown = || Finding::skipped("Kafka does not answer");
    let told = told.as_ref();
    vec![
        answers,
        check(Group::Kafka, "listeners", LIMIT, async {
            match told {
                Some(told) => listeners(&told.brokers).await,
                None => unknown(),
            }
        })
        .await,
        check(Group::Kafka, "topics", LIMIT, async {
            let wanted: Vec<&str> = patient.streams.iter().map(|stream| stream.topic.as_str()).collect();
            told.map_or_else(unknown, |told| topics(&wanted, &told.topics, patient.running.is_some()))
        })
        .await,
    ]
}

async fn answers(settings: &Kafka) -> (Finding, Option<Told>) {
    let Some(bootstrap) = settings.bootstrap_servers.clone() else {
        return (Finding::skipped("no Kafka is configured; `tributary up` starts one of its own"), None);
    };
    let (asked, at) = (settings.clone(), bootstrap.clone());
    let docs = "docs/TROUBLESHOOTING.md#tributarykafkaaway";
    let fix = "start it, or mind KAFKA_BOOTSTRAP_SERVERS and kafka.properties (`tributary config show kafka`)";
    match tokio::task::spawn_blocking(move || ask(&asked, &at)).await {
        Ok(Ok(told)) => {
            let many = words::plural(told.brokers.len() as u64, "broker");
            (
                Finding::ok(format!("{bootstrap} answers: {many}, {}", words::plural(told.topics.len() as u64, "topic"))),
                Some(told),
            )
        }
        Ok(Err(problem)) => (Finding::bad(format!("{bootstrap} does not answer: {problem}"), fix).docs(docs), None),
        Err(error) => (Finding::bad(format!("the check itself failed: {error}"), "please report this"), None),
    }
}

fn ask(settings: &Kafka, bootstrap: &str) -> Result<Told, String> {
    let listener = Listener::default();
    let said = Arc::clone(&listener.said);
    let consumer: BaseConsumer<Listener> =
        client_config(settings, bootstrap).create_with_context(listener).map_err(|error| error.to_string())?;
    let metadata = consumer.fetch_metadata(None, ASK).map_err(|error| {
        // Its clients call back from here only.
        let _ = consumer.poll(Duration::ZERO);
        let said = said.lock().map(|said| said.clone()).unwrap_or_default();
        said.unwrap_or_else(|| error.to_string())
    })?;
    let brokers = metadata.brokers().iter();
    let topics = metadata.topics().iter().filter(|topic| topic.error().is_none());
    Ok(Told {
        brokers: brokers.map(|b| (b.id(), b.host().to_owned(), u16::try_from(b.port()).unwrap_or_default())).collect(),
        topics: topics.map(|topic| (topic.name().to_owned(), topic.partitions().len())).collect(),
    })
}

/// Keeps the last thing that librdkafka complained about: its errors say why, and its answer only that time was over.
#[derive(Default)]
struct Listener {
    said: Arc<Mutex<Option<String>>>,
}

impl Listener {
    fn hear(&self, words: &str) {
        if let Ok(mut said) = self.said.lock() {
            *said = Some(words.to_owned());
        }
    }
}

impl ClientContext for Listener {
    fn log(&self, level: RDKafkaLogLevel, _: &str, words: &str) {
        if (level as i32) <= RDKafkaLogLevel::Error as i32 {
            self.hear(words);
        }
    }

    fn error(&self, _: KafkaError, words: &str) {
        self.hear(words);
    }
}

impl ConsumerContext for Listener {}

/// Whether each broker can be reached where it says that it is: all reading goes there, whatever the first address was.
async fn listeners(brokers: &[(i32, String, u16)]) -> Finding {
    let tried = join_all(brokers.iter().map(|(id, host, port)| async move {
        let problem = tokio::time::timeout(CONNECT, connect(host, *port)).await;
        let problem = problem.unwrap_or_else(|_| Some("no connection within 2 s".into()));
        (*id, format!("{host}:{port}"), problem)
    }))
    .await;
    judge_listeners(&tried)
}

async fn connect(host: &str, port: u16) -> Option<String> {
    let unknown = || "this machine knows no such name".to_owned();
    let Ok(addresses) = lookup_host((host, port)).await else { return Some(unknown()) };
    let mut problem = unknown();
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(_) => return None,
            Err(error) => problem = error.to_string(),
        }
    }
    Some(problem)
}

fn judge_listeners(tried: &[(i32, String, Option<String>)]) -> Finding {
    let bad: Vec<String> = tried
        .iter()
        .filter_map(|(id, at, problem)| Some(format!("broker {id} says it is at {at}: {}", problem.as_ref()?)))
        .collect();
    if bad.is_empty() {
        let all: Vec<&str> = tried.iter().map(|(_, at, _)| at.as_str()).collect();
        return Finding::ok(format!("can be reached where it says it is: {}", all.join(", ")));
    }
    let why = "the address that we were given answers, and then sends us to one that cannot be reached from here. That is often \
               the name for other containers, asked from outside of them, or the other way round";
    let fix = "use the listener that is meant for this side (compose: localhost:29092 from outside, kafka:9092 inside), or \
               correct the broker's advertised.listeners";
    Finding::bad(format!("{}; {why}", bad.join(", ")), fix).docs("docs/RUN.md#your-own-kafka")
}

fn topics(wanted: &[&str], there: &[(String, usize)], runs: bool) -> Finding {
    let partitions = |topic: &str| there.iter().find(|(name, _)| name == topic).map(|(_, partitions)| *partitions as u64);
    let found: Vec<String> =
        wanted.iter().filter_map(|topic| Some(format!("{topic} ({})", words::plural(partitions(topic)?, "partition")))).collect();
    let missing: Vec<&str> = wanted.iter().copied().filter(|topic| partitions(topic).is_none()).collect();
    let docs = "docs/RUN.md#your-own-kafka";
    match (missing.is_empty(), wanted.is_empty(), runs) {
        (_, true, _) => Finding::skipped("no stream is known"),
        (true, ..) => Finding::ok(found.join(", ")),
        (false, _, false) => Finding::warn(
            format!("not there yet: {}", missing.join(", ")),
            "`tributary up` makes them, with kafka.partitions each",
        )
        .docs(docs),
        (false, _, true) => {
            let fix = "start `up` again, which makes them; or let somebody make them who may, or grant the right to see them";
            Finding::bad(format!("missing, or not to be seen by this user: {}", missing.join(", ")), fix).docs(docs)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[tokio::test]
    async fn a_broker_that_sends_us_where_nobody_is_is_said_to_mix_up_its_listeners() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        assert_eq!(listeners(&[(1, "127.0.0.1".into(), port)]).await.state, State::Ok);
        drop(free);
        let found = listeners(&[(1, "127.0.0.1".into(), port)]).await;
        assert!(
            found.state == State::Bad && found.found.contains(&format!("broker 1 says it is at 127.0.0.1:{port}")),
            "{found:?}"
        );
        let unknown = listeners(&[(1, "kafka.invalid".into(), 9092)]).await;
        assert!(unknown.state == State::Bad && unknown.fix.unwrap().contains("advertised.listeners"));
    }

    #[test]
    fn a_missing_topic_is_made_by_up_and_missed_by_a_running_one() {
        let there = [("a".to_owned(), 6)];
        assert_eq!(topics(&["a"], &there, true), Finding::ok("a (6 partitions)"));
        assert_eq!(topics(&["a", "b"], &there, false).state, State::Warn);
        assert_eq!(topics(&["a", "b"], &there, true).state, State::Bad);
        assert_eq!(topics(&[], &there, true).state, State::Skipped);
    }

    #[tokio::test]
    async fn nobody_who_answers_is_bad_with_the_reason() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let settings = Kafka { bootstrap_servers: Some(free.to_string()), ..Kafka::default() };
        let (found, told) = answers(&settings).await;
        assert!(found.state == State::Bad && told.is_none() && found.found.contains(&free.to_string()), "{found:?}");
        assert_eq!(answers(&Kafka::default()).await.0.state, State::Skipped);
    }
}
