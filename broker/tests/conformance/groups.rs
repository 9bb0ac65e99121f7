//! What members of a consumer group may rely on.

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use crate::harness::*;

/// Counts the rebalances that a member sees.
struct Counter(Arc<AtomicUsize>);

impl ClientContext for Counter {}
impl ConsumerContext for Counter {
    fn post_rebalance(&self, _: &BaseConsumer<Self>, _: &Rebalance<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A member that polls on a thread of its own until it is told to stop.
struct Member {
    stop: Arc<AtomicBool>,
    owned: Arc<Mutex<BTreeSet<i32>>>,
    seen: Arc<Mutex<Vec<(i32, i64)>>>,
    rebalances: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

fn member_config(group: &str, settings: &[(&str, &str)]) -> rdkafka::ClientConfig {
    let mut config = client();
    config
        .set("group.id", group)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "500")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("topic.metadata.refresh.interval.ms", "1000");
    for (k, v) in settings {
        config.set(*k, *v);
    }
    config
}

impl Member {
    fn start(group: &str, topic: &str, settings: &[(&str, &str)]) -> Self {
        let rebalances = Arc::new(AtomicUsize::new(0));
        let context = Counter(rebalances.clone());
        let consumer: BaseConsumer<Counter> = member_config(group, settings).create_with_context(context).unwrap();
        consumer.subscribe(&[topic]).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (owned, seen) = (Arc::<Mutex<BTreeSet<i32>>>::default(), Arc::<Mutex<Vec<(i32, i64)>>>::default());
        let thread = std::thread::spawn({
            let (stop, owned, seen) = (stop.clone(), owned.clone(), seen.clone());
            move || {
                while !stop.load(Ordering::SeqCst) {
                    if let Some(Ok(m)) = consumer.poll(Duration::from_millis(50)) {
                        seen.lock().unwrap().push((m.partition(), m.offset()));
                    }
                    let now = consumer.assignment().unwrap();
                    *owned.lock().unwrap() = now.elements().iter().map(|e| e.partition()).collect();
                }
            }
        });
        Self { stop, owned, seen, rebalances, thread: Some(thread) }
    }

    fn owned(&self) -> BTreeSet<i32> {
        self.owned.lock().unwrap().clone()
    }

    fn owns(&self, n: usize) -> Option<()> {
        (self.owned().len() == n).then_some(())
    }

    fn seen(&self) -> Vec<(i32, i64)> {
        self.seen.lock().unwrap().clone()
    }

    /// Ends the member in the ordinary way; a dynamic one leaves its group.
    fn stop(mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap();
    }
}

#[test]
fn two_members_share_a_topic_and_the_one_that_stays_takes_over() {
    let (topic, group) = (topic("shared", 4), unique("shared"));
    let a = Member::start(&group, &topic, &[]);
    eventually("the first member has everything", || a.owns(4));
    let b = Member::start(&group, &topic, &[]);
    eventually("they share", || a.owns(2).and(b.owns(2)));
    assert_eq!(a.owned().union(&b.owned()).copied().collect::<Vec<_>>(), [0, 1, 2, 3]);
    let producer = producer(&[]);
    for p in 0..4 {
        send_numbers(&producer, &topic, p, 0..100);
    }
    eventually("each message reaches one of them", || (a.seen().len() + b.seen().len() == 400).then_some(()));
    let all: BTreeSet<_> = a.seen().into_iter().chain(b.seen()).collect();
    assert_eq!(all.len(), 400, "some message was delivered twice");
    let left = Instant::now();
    b.stop();
    eventually("the other one takes over", || a.owns(4));
    assert!(left.elapsed() < Duration::from_secs(4), "a member that leaves is not waited for: {:?}", left.elapsed());
    a.stop();
}

/// Runs as a process of its own, to be killed; without its variable it is nothing.
#[test]
fn a_member_to_be_killed() {
    let Ok(spec) = std::env::var("CONFORMANCE_MEMBER") else { return };
    let mut words = spec.split(' ');
    let (group, topic) = (words.next().unwrap(), words.next().unwrap());
    let settings: Vec<_> = words.next().map(|id| ("group.instance.id", id)).into_iter().collect();
    let _member = Member::start(group, topic, &settings);
    std::thread::sleep(Duration::from_secs(120));
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn member_process(spec: &str) -> Killed {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "groups::a_member_to_be_killed"]).stdout(Stdio::null()).stderr(Stdio::null());
    Killed(command.env("CONFORMANCE_BOOTSTRAP", bootstrap()).env("CONFORMANCE_MEMBER", spec).spawn().unwrap())
}

#[test]
fn what_a_killed_member_held_is_taken_over_when_its_session_ends() {
    let (topic, group) = (topic("killed", 2), unique("killed"));
    let survivor = Member::start(&group, &topic, &[]);
    eventually("the first member has everything", || survivor.owns(2));
    let victim = member_process(&format!("{group} {topic}"));
    eventually("the second member has its share", || survivor.owns(1));
    drop(victim);
    let killed = Instant::now();
    eventually("the survivor takes over", || survivor.owns(2));
    let took = killed.elapsed();
    assert!(took > Duration::from_secs(3) && took < Duration::from_secs(12), "session of 6 s, took over after {took:?}");
    survivor.stop();
}

#[test]
fn a_static_member_that_restarts_gets_its_partitions_back_without_a_rebalance() {
    let (topic, group) = (topic("static", 2), unique("static"));
    let stays = Member::start(&group, &topic, &[("group.instance.id", "stays")]);
    eventually("the first member has everything", || stays.owns(2));
    let comes_back = Member::start(&group, &topic, &[("group.instance.id", "comes-back")]);
    eventually("they share", || stays.owns(1).and(comes_back.owns(1)));
    let (before, mine) = (comes_back.owned(), stays.owned());
    // The last round of a cooperative rebalance may still be on its way.
    std::thread::sleep(Duration::from_secs(1));
    let rebalances = stays.rebalances.load(Ordering::SeqCst);
    comes_back.stop();
    let again = Member::start(&group, &topic, &[("group.instance.id", "comes-back")]);
    eventually("it has its partition again", || (again.owned() == before).then_some(()));
    assert_eq!((stays.owned(), stays.rebalances.load(Ordering::SeqCst)), (mine, rebalances));
    again.stop();
    stays.stop();
}

#[test]
fn a_second_holder_of_an_instance_id_fences_the_first() {
    let (topic, group) = (topic("fenced", 1), unique("fenced"));
    let settings = [("group.instance.id", "one"), ("heartbeat.interval.ms", "200")];
    let first: BaseConsumer = member_config(&group, &settings).create().unwrap();
    first.subscribe(&[&topic]).unwrap();
    eventually("the first has the partition", || {
        first.poll(Duration::from_millis(50));
        (first.assignment().unwrap().count() == 1).then_some(())
    });
    let second = Member::start(&group, &topic, &settings);
    let error = eventually("the first is told", || first.poll(Duration::from_millis(100))?.err());
    assert!(first.client().fatal_error().is_some_and(|(e, _)| e == RDKafkaErrorCode::FencedInstanceId), "{error}");
    eventually("the second has the partition", || second.owns(1));
    second.stop();
}

#[test]
fn new_partitions_reach_a_group_that_is_running() {
    let (topic, group) = (topic("grows", 2), unique("grows"));
    let member = Member::start(&group, &topic, &[]);
    eventually("it has two", || member.owns(2));
    let four = rdkafka::admin::NewPartitions::new(&topic, 4);
    wait(admin().create_partitions(&[four], &options())).unwrap().remove(0).unwrap();
    eventually("it has four", || member.owns(4));
    member.stop();
}

fn committed(consumer: &BaseConsumer, topic: &str, partition: i32) -> Offset {
    let mut asked = TopicPartitionList::new();
    asked.add_partition(topic, partition);
    consumer.committed_offsets(asked, PATIENCE).unwrap().elements()[0].offset()
}

#[test]
fn a_group_resumes_where_it_committed_also_inside_a_batch() {
    let (topic, group) = (topic("resume", 1), unique("resume"));
    send_numbers(&producer(&[("compression.type", "lz4")]), &topic, 0, 0..1_000);
    let start = || {
        let consumer: BaseConsumer = member_config(&group, &[]).create().unwrap();
        consumer.subscribe(&[&topic]).unwrap();
        consumer
    };
    let first = start();
    let message = eventually("the tenth message", || {
        let m = first.poll(Duration::from_millis(100))?.unwrap();
        (m.offset() == 9).then(|| m.detach())
    });
    assert_eq!(committed(&first, &topic, 0), Offset::Invalid);
    let mut upto = TopicPartitionList::new();
    upto.add_partition_offset(&topic, 0, Offset::Offset(message.offset() + 1)).unwrap();
    first.commit(&upto, CommitMode::Sync).unwrap();
    assert_eq!(committed(&first, &topic, 0), Offset::Offset(10));
    drop(first);
    let rest = take(&start(), 990);
    assert_eq!(offsets(&rest), (10..1_000).collect::<Vec<_>>());
}

#[test]
fn only_members_may_commit_while_there_are_any() {
    let (topic, group) = (topic("outsider", 1), unique("outsider"));
    send_numbers(&producer(&[]), &topic, 0, 0..10);
    let outsider: BaseConsumer = member_config(&group, &[]).create().unwrap();
    let mut upto = TopicPartitionList::new();
    upto.add_partition_offset(&topic, 0, Offset::Offset(3)).unwrap();
    outsider.commit(&upto, CommitMode::Sync).unwrap();
    let member = Member::start(&group, &topic, &[]);
    eventually("the member is in", || member.owns(1));
    eventually("it begins where the outsider said", || (member.seen().first() == Some(&(0, 3))).then_some(()));
    let refused = outsider.commit(&upto, CommitMode::Sync).unwrap_err();
    assert_eq!(refused.rdkafka_error_code(), Some(RDKafkaErrorCode::UnknownMemberId));
    member.stop();
}

#[test]
fn groups_are_listed_described_and_deleted_when_they_are_empty() {
    let (topic, group) = (topic("listed", 1), unique("listed"));
    send_numbers(&producer(&[]), &topic, 0, 0..10);
    let member = Member::start(&group, &topic, &[("client.id", "the-client")]);
    eventually("the member is in", || member.owns(1));
    let observer: BaseConsumer = client().create().unwrap();
    let state = |group: &str| {
        let list = observer.fetch_group_list(Some(group), PATIENCE).unwrap();
        list.groups().iter().find(|g| g.name() == group).map(|g| (g.state().to_owned(), g.members().len()))
    };
    assert_eq!(state(&group), Some(("Stable".to_owned(), 1)));
    let described = observer.fetch_group_list(Some(&group), PATIENCE).unwrap();
    let found = &described.groups()[0];
    assert_eq!((found.protocol_type(), found.protocol()), ("consumer", "cooperative-sticky"));
    assert_eq!(found.members()[0].client_id(), "the-client");
    let all = observer.fetch_group_list(None, PATIENCE).unwrap();
    assert!(all.groups().iter().any(|g| g.name() == group));
    let delete = || wait(admin().delete_groups(&[&group], &options())).unwrap().remove(0);
    assert_eq!(delete().unwrap_err().1, RDKafkaErrorCode::NonEmptyGroup);
    member.stop();
    eventually("nobody is left", || delete().is_ok().then_some(()));
    assert_eq!(delete().unwrap_err().1, RDKafkaErrorCode::GroupIdNotFound);
}

#[test]
fn a_session_timeout_out_of_bounds_is_refused() {
    let settings = [("session.timeout.ms", "1000"), ("heartbeat.interval.ms", "300")];
    let consumer: BaseConsumer = member_config(&unique("hasty"), &settings).create().unwrap();
    consumer.subscribe(&[&topic("hasty", 1)]).unwrap();
    let error = eventually("an error", || consumer.poll(Duration::from_millis(100))?.err());
    assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::InvalidSessionTimeout));
}
