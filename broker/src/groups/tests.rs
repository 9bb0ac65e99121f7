//! The group's state machine, without a network and with a clock of its own.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::protocol::StrBytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::group::{Group, JoinResult, Joined, Phase};
use super::join::Join;
use super::sync::{Sync, Who};

const SECOND: Duration = Duration::from_secs(1);

fn text(s: &str) -> StrBytes {
    StrBytes::from_string(s.to_owned())
}

fn group() -> Group {
    Group::new("g".into())
}

/// A newcomer that need not come back for its id.
fn newcomer(protocols: &[&str]) -> Join {
    Join {
        member_id: StrBytes::default(),
        instance: None,
        client_id: text("client"),
        client_host: "/127.0.0.1".into(),
        session: 6 * SECOND,
        rebalance: 60 * SECOND,
        protocol_type: text("consumer"),
        protocols: protocols.iter().map(|p| (text(p), Bytes::from_static(b"subscription"))).collect(),
        comes_back: false,
        may_skip: true,
    }
}

fn of_instance(instance: &str) -> Join {
    Join { instance: Some(text(instance)), ..newcomer(&["range"]) }
}

fn answer(receiver: &mut oneshot::Receiver<JoinResult>) -> Option<JoinResult> {
    receiver.try_recv().ok()
}

fn joined(receiver: &mut oneshot::Receiver<JoinResult>) -> Joined {
    answer(receiver).expect("an answer").expect("no refusal")
}

fn who(joined: &Joined) -> Who {
    Who { member_id: joined.member_id.clone(), instance: None, generation: joined.generation }
}

fn bring(group: &mut Group, leader: &Joined, now: Instant) {
    let assignments: HashMap<_, _> = leader.members.iter().map(|(id, ..)| (id.clone(), Bytes::from_static(b"part"))).collect();
    let sync = Sync { who: who(leader), protocol_type: None, protocol: None, assignments };
    let synced = group.sync(sync, now).try_recv().expect("an answer").expect("no refusal");
    assert_eq!(synced.assignment, Bytes::from_static(b"part"));
}

/// A group of one, stable.
fn stable(now: Instant) -> (Group, Joined) {
    let mut group = group();
    let leader = joined(&mut group.join(newcomer(&["range"]), now));
    bring(&mut group, &leader, now);
    assert_eq!(group.phase, Phase::Stable);
    (group, leader)
}

#[test]
fn a_newcomer_is_asked_to_come_back_with_its_id() {
    let (mut group, now) = (group(), Instant::now());
    let join = Join { comes_back: true, ..newcomer(&["range"]) };
    let (error, id) = answer(&mut group.join(join.clone(), now)).unwrap().unwrap_err();
    assert_eq!(error, ResponseError::MemberIdRequired);
    assert!(id.starts_with("client-"));
    let again = joined(&mut group.join(Join { member_id: id.clone(), ..join }, now));
    assert_eq!((again.member_id, again.generation), (id, 1));
}

#[test]
fn an_id_that_is_never_used_holds_nobody_up_for_longer_than_a_session() {
    let (mut group, leader) = stable(Instant::now());
    let now = Instant::now();
    let join = Join { comes_back: true, ..newcomer(&["range"]) };
    drop(group.join(join, now));
    group.prepare_rebalance(now, "test");
    let mut waiting = group.join(Join { member_id: leader.member_id.clone(), ..newcomer(&["range"]) }, now);
    assert!(answer(&mut waiting).is_none());
    let due = group.tick(now).unwrap();
    assert!(due <= now + 6 * SECOND);
    group.tick(now + 7 * SECOND);
    assert_eq!(joined(&mut waiting).generation, 2);
}

#[test]
fn the_leader_alone_is_told_who_is_in_and_a_follower_waits_for_it() {
    let now = Instant::now();
    let (mut group, leader) = stable(now);
    let mut second = group.join(newcomer(&["range"]), now);
    assert_eq!(group.heartbeat(&who(&leader), now), Err(ResponseError::RebalanceInProgress));
    assert!(answer(&mut second).is_none(), "the leader has not joined again yet");
    let mut first = group.join(Join { member_id: leader.member_id.clone(), ..newcomer(&["range"]) }, now);
    let (first, second) = (joined(&mut first), joined(&mut second));
    assert_eq!((first.members.len(), second.members.len()), (2, 0));
    assert_eq!((first.leader.clone(), second.leader.clone()), (leader.member_id.clone(), leader.member_id));
    let follower = Sync { who: who(&second), protocol_type: None, protocol: None, assignments: HashMap::new() };
    let mut waiting = group.sync(follower, now);
    assert!(waiting.try_recv().is_err());
    bring(&mut group, &first, now);
    assert_eq!(waiting.try_recv().unwrap().unwrap().assignment, Bytes::from_static(b"part"));
}

#[test]
fn who_does_not_join_again_within_the_rebalance_timeout_is_out() {
    let now = Instant::now();
    let (mut group, leader) = stable(now);
    let mut second = group.join(newcomer(&["range"]), now);
    // Its heartbeats do not save it: it has to join.
    let _ = group.heartbeat(&who(&leader), now + 58 * SECOND);
    group.tick(now + 59 * SECOND);
    assert!(answer(&mut second).is_none());
    group.tick(now + 60 * SECOND);
    let second = joined(&mut second);
    assert_eq!((second.leader.clone(), second.members.len()), (second.member_id, 1));
}

#[test]
fn a_session_ends_without_heartbeats_and_not_with_them() {
    let now = Instant::now();
    let (mut group, leader) = stable(now);
    for i in 1..10u32 {
        assert_eq!(group.heartbeat(&who(&leader), now + i * 5 * SECOND), Ok(()));
        group.tick(now + i * 5 * SECOND);
    }
    group.tick(now + 45 * SECOND + 6 * SECOND);
    assert_eq!((group.phase, group.members.len()), (Phase::Empty, 0));
    assert_eq!(group.heartbeat(&who(&leader), now), Err(ResponseError::UnknownMemberId));
}

#[test]
fn a_leader_that_brings_no_assignment_is_replaced() {
    let (mut group, now) = (group(), Instant::now());
    let leader = joined(&mut group.join(newcomer(&["range"]), now));
    for i in 1..20u32 {
        let _ = group.heartbeat(&who(&leader), now + i * 5 * SECOND);
        group.tick(now + i * 5 * SECOND);
    }
    assert!(group.members.is_empty());
}

#[test]
fn commits_of_an_earlier_generation_and_of_strangers_are_refused() {
    let now = Instant::now();
    let (mut group, leader) = stable(now);
    let me = who(&leader);
    assert_eq!(group.may_commit(&me, now), Ok(()));
    let earlier = Who { generation: 0, ..me.clone() };
    assert_eq!(group.may_commit(&earlier, now), Err(ResponseError::IllegalGeneration));
    let nobody = Who { member_id: StrBytes::default(), instance: None, generation: -1 };
    assert_eq!(group.may_commit(&nobody, now), Err(ResponseError::UnknownMemberId));
    // While a rebalance gathers, what was read before may still be committed.
    group.prepare_rebalance(now, "test");
    assert_eq!(group.may_commit(&me, now), Ok(()));
    group.leave(&me.member_id, None, now).unwrap();
    assert_eq!(group.may_commit(&nobody, now), Ok(()));
}

#[test]
fn the_protocol_that_all_know_and_most_prefer_is_chosen() {
    let (mut group, now) = (group(), Instant::now());
    let first = joined(&mut group.join(newcomer(&["sticky", "range"]), now));
    let mut second = group.join(newcomer(&["range", "roundrobin"]), now);
    let mut again = group.join(Join { member_id: first.member_id, ..newcomer(&["sticky", "range"]) }, now);
    assert_eq!(joined(&mut again).protocol, Some(text("range")));
    assert_eq!(joined(&mut second).protocol, Some(text("range")));
    let stranger = answer(&mut group.join(newcomer(&["other"]), now)).unwrap().unwrap_err();
    assert_eq!(stranger.0, ResponseError::InconsistentGroupProtocol);
}

#[test]
fn a_static_leader_that_comes_back_keeps_its_place_whatever_its_client_understands() {
    for may_skip in [true, false] {
        let (mut group, now) = (group(), Instant::now());
        let leader = joined(&mut group.join(of_instance("i"), now));
        let old = leader.member_id.clone();
        let sync = Sync {
            who: Who { instance: Some(text("i")), ..who(&leader) },
            protocol_type: None,
            protocol: None,
            assignments: HashMap::from([(old.clone(), Bytes::from_static(b"part"))]),
        };
        drop(group.sync(sync, now));
        let back = joined(&mut group.join(Join { may_skip, ..of_instance("i") }, now));
        assert_eq!((group.phase, back.generation), (Phase::Stable, 1), "no rebalance");
        assert_ne!(back.member_id, old);
        // A client that cannot skip the assignment is not told that it leads.
        assert_eq!((back.leader == back.member_id, back.skip_assignment), (may_skip, may_skip));
        let again = Who { instance: Some(text("i")), ..who(&back) };
        let sync = Sync { who: again, protocol_type: None, protocol: None, assignments: HashMap::new() };
        assert_eq!(group.sync(sync, now).try_recv().unwrap().unwrap().assignment, Bytes::from_static(b"part"));
        let zombie = Who { member_id: old, instance: Some(text("i")), generation: 1 };
        assert_eq!(group.heartbeat(&zombie, now), Err(ResponseError::FencedInstanceId));
    }
}

#[test]
fn a_member_may_leave_by_its_instance_id_alone() {
    let (mut group, now) = (group(), Instant::now());
    drop(group.join(of_instance("i"), now));
    assert_eq!(group.leave(&StrBytes::default(), Some(&text("other")), now), Err(ResponseError::UnknownMemberId));
    assert_eq!(group.leave(&StrBytes::default(), Some(&text("i")), now), Ok(()));
    assert_eq!((group.phase, group.statics.len()), (Phase::Empty, 0));
}
