//! Joining a group: who may come in, and when the group has to be shared out anew.
//!
//! May assume: called under the group's lock. Promises: a newcomer that can be told apart from a retry is asked to come
//! back with its id first; a restarted static member gets its place back without a rebalance.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::protocol::StrBytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::group::{Group, JoinResult, Member, Phase};

/// A request to join.
#[derive(Debug, Clone)]
pub(crate) struct Join {
    /// Empty for a newcomer.
    pub(crate) member_id: StrBytes,
    pub(crate) instance: Option<StrBytes>,
    pub(crate) client_id: StrBytes,
    pub(crate) client_host: String,
    pub(crate) session: Duration,
    pub(crate) rebalance: Duration,
    pub(crate) protocol_type: StrBytes,
    pub(crate) protocols: Vec<(StrBytes, Bytes)>,
    /// The client understands `MEMBER_ID_REQUIRED` (version 4 and later).
    pub(crate) comes_back: bool,
    /// The client understands that a leader may skip the assignment (version 9 and later).
    pub(crate) may_skip: bool,
}

type Answer = oneshot::Sender<JoinResult>;

impl Group {
    /// Lets a member join; the answer comes when the group has formed.
    pub(crate) fn join(&mut self, join: Join, now: Instant) -> oneshot::Receiver<JoinResult> {
        let (answer, receiver) = oneshot::channel();
        let refused = |answer: Answer, e, id| {
            let _ = answer.send(Err((e, id)));
        };
        if let Err(e) = self.check(&join) {
            refused(answer, e, join.member_id);
            return receiver;
        }
        if join.member_id.is_empty() {
            let id = StrBytes::from_string(match &join.instance {
                Some(instance) => format!("{}-{}", instance.as_str(), uuid::Uuid::new_v4()),
                None => format!("{}-{}", join.client_id.as_str(), uuid::Uuid::new_v4()),
            });
            match join.instance.as_ref().and_then(|i| self.statics.get(i)).cloned() {
                Some(old) => self.replace_static(&old, id, join, answer, now),
                None if join.comes_back && join.instance.is_none() => {
                    self.pending.insert(id.clone(), now + join.session);
                    refused(answer, ResponseError::MemberIdRequired, id);
                }
                None => self.add(id, join, answer, now),
            }
        } else if self.pending.remove(&join.member_id).is_some() {
            self.add(join.member_id.clone(), join, answer, now);
        } else {
            self.rejoin(join, answer, now);
        }
        receiver
    }

    fn check(&self, join: &Join) -> Result<(), ResponseError> {
        let common = |(name, _): &(StrBytes, Bytes)| {
            let others = self.members.iter().filter(|(id, _)| **id != join.member_id);
            others.map(|(_, m)| m).all(|m| m.protocols.iter().any(|(n, _)| n == name))
        };
        let same_type = self.members.is_empty() || self.protocol_type.as_ref() == Some(&join.protocol_type);
        if join.protocol_type.is_empty() || !same_type || !join.protocols.iter().any(common) {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        if !join.member_id.is_empty() {
            self.check_instance(&join.member_id, join.instance.as_ref())?;
        }
        Ok(())
    }

    /// A member that names its instance must be the one that holds it.
    pub(crate) fn check_instance(&self, id: &StrBytes, instance: Option<&StrBytes>) -> Result<(), ResponseError> {
        match instance.map(|i| self.statics.get(i)) {
            None => Ok(()),
            Some(Some(holder)) if holder == id => Ok(()),
            Some(Some(_)) => Err(ResponseError::FencedInstanceId),
            Some(None) => Err(ResponseError::UnknownMemberId),
        }
    }

    fn add(&mut self, id: StrBytes, join: Join, answer: Answer, now: Instant) {
        if self.members.is_empty() {
            self.protocol_type = Some(join.protocol_type.clone());
        }
        if let Some(instance) = &join.instance {
            self.statics.insert(instance.clone(), id.clone());
        }
        self.arrivals += 1;
        let arrival = self.arrivals;
        self.members.insert(id, member(join, Some(answer), arrival, now));
        if self.phase != Phase::PreparingRebalance {
            self.prepare_rebalance(now, "a member came");
        }
        self.complete_join_if_all_are_here(now);
    }

    fn rejoin(&mut self, join: Join, answer: Answer, now: Instant) {
        let id = join.member_id.clone();
        let leads = self.leader.as_ref() == Some(&id);
        let Some(m) = self.members.get_mut(&id) else {
            let _ = answer.send(Err((ResponseError::UnknownMemberId, id)));
            return;
        };
        let same = m.protocols == join.protocols;
        m.protocols = join.protocols;
        m.session = join.session;
        m.rebalance = join.rebalance;
        m.deadline = now + m.session;
        let as_before = match self.phase {
            Phase::CompletingRebalance => same,
            // A leader that joins again has seen something (new partitions, say) that calls for another assignment.
            Phase::Stable => same && !leads,
            _ => false,
        };
        if as_before {
            let _ = answer.send(Ok(self.joined(&id, false)));
            return;
        }
        m.joining = Some(answer);
        if self.phase != Phase::PreparingRebalance {
            self.prepare_rebalance(now, "a member joined again");
        }
        self.complete_join_if_all_are_here(now);
    }

    /// A static member came back under its instance id: it gets a new member id in the old one's place.
    fn replace_static(&mut self, old: &StrBytes, id: StrBytes, join: Join, answer: Answer, now: Instant) {
        let Some(was) = self.members.remove(old) else { return self.add(id, join, answer, now) };
        if let Some(waiting) = was.joining {
            let _ = waiting.send(Err((ResponseError::FencedInstanceId, old.clone())));
        }
        if let Some(waiting) = was.syncing {
            let _ = waiting.send(Err(ResponseError::FencedInstanceId));
        }
        if let Some(instance) = &join.instance {
            self.statics.insert(instance.clone(), id.clone());
        }
        if self.leader.as_ref() == Some(old) {
            self.leader = Some(id.clone());
        }
        let may_skip = join.may_skip;
        let mut m = member(join, None, was.arrival, now);
        m.assignment = was.assignment;
        m.synced = was.synced;
        if self.phase == Phase::Stable {
            self.members.insert(id.clone(), m);
            // What it subscribes to is not compared (its metadata also says what it owned, which is nothing now): the
            // assignment holds as long as the protocol does.
            if self.choose_protocol() == self.protocol {
                let mut joined = self.joined(&id, may_skip);
                if !may_skip && joined.leader == id {
                    // Told that it leads, an older client would assign anew, and the others would not hear of it.
                    joined.leader = old.clone();
                    joined.members.clear();
                }
                let _ = answer.send(Ok(joined));
                return;
            }
            if let Some(m) = self.members.get_mut(&id) {
                m.joining = Some(answer);
            }
            self.prepare_rebalance(now, "a static member came back with other protocols");
            self.complete_join_if_all_are_here(now);
            return;
        }
        m.joining = Some(answer);
        self.members.insert(id, m);
        if self.phase != Phase::PreparingRebalance {
            self.prepare_rebalance(now, "a static member came back changed");
        }
        self.complete_join_if_all_are_here(now);
    }
}

fn member(join: Join, joining: Option<Answer>, arrival: u64, now: Instant) -> Member {
    Member {
        instance: join.instance,
        client_id: join.client_id,
        client_host: join.client_host,
        session: join.session,
        rebalance: join.rebalance,
        protocols: join.protocols,
        assignment: Bytes::new(),
        joining,
        syncing: None,
        synced: false,
        deadline: now + join.session,
        arrival,
    }
}
