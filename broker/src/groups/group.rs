//! One consumer group of the classic protocol, as a state machine.
//!
//! May assume: called under the group's lock, with the time handed in. Promises: nothing here waits; who must wait gets
//! a channel; [`Group::tick`] does everything that is due and says when to come back.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::protocol::StrBytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Where a group stands, in Kafka's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
    Dead,
}

impl Phase {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Phase::Empty => "Empty",
            Phase::PreparingRebalance => "PreparingRebalance",
            Phase::CompletingRebalance => "CompletingRebalance",
            Phase::Stable => "Stable",
            Phase::Dead => "Dead",
        }
    }
}

/// The answer to a member that joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) generation: i32,
    pub(crate) protocol_type: Option<StrBytes>,
    pub(crate) protocol: Option<StrBytes>,
    pub(crate) leader: StrBytes,
    pub(crate) member_id: StrBytes,
    /// Every member with its subscription: for the leader only.
    pub(crate) members: Vec<(StrBytes, Option<StrBytes>, Bytes)>,
    /// The leader came back to an assignment that still holds.
    pub(crate) skip_assignment: bool,
}

/// The answer to a member that synced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Synced {
    pub(crate) protocol_type: Option<StrBytes>,
    pub(crate) protocol: Option<StrBytes>,
    pub(crate) assignment: Bytes,
}

/// A refusal to join: the code, and the member id to use next time.
pub(crate) type JoinResult = Result<Joined, (ResponseError, StrBytes)>;
pub(crate) type SyncResult = Result<Synced, ResponseError>;

/// One member.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) instance: Option<StrBytes>,
    pub(crate) client_id: StrBytes,
    pub(crate) client_host: String,
    pub(crate) session: Duration,
    pub(crate) rebalance: Duration,
    pub(crate) protocols: Vec<(StrBytes, Bytes)>,
    pub(crate) assignment: Bytes,
    /// Waiting for the group to form.
    pub(crate) joining: Option<oneshot::Sender<JoinResult>>,
    /// Waiting for the leader's assignment.
    pub(crate) syncing: Option<oneshot::Sender<SyncResult>>,
    pub(crate) synced: bool,
    /// When it is given up unless it is heard of.
    pub(crate) deadline: Instant,
    /// Members are listed, and leaders elected, in the order of arrival.
    pub(crate) arrival: u64,
}

/// A consumer group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) id: String,
    pub(crate) phase: Phase,
    pub(crate) generation: i32,
    pub(crate) protocol_type: Option<StrBytes>,
    pub(crate) protocol: Option<StrBytes>,
    pub(crate) leader: Option<StrBytes>,
    pub(crate) members: BTreeMap<StrBytes, Member>,
    /// `group.instance.id` to the member that holds it.
    pub(crate) statics: HashMap<StrBytes, StrBytes>,
    /// Ids that were given out and not used yet, with their expiry.
    pub(crate) pending: HashMap<StrBytes, Instant>,
    pub(crate) rebalance_deadline: Option<Instant>,
    pub(crate) sync_deadline: Option<Instant>,
    pub(crate) arrivals: u64,
}

impl Group {
    pub(crate) fn new(id: String) -> Self {
        Self {
            id,
            phase: Phase::Empty,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            statics: HashMap::new(),
            pending: HashMap::new(),
            rebalance_deadline: None,
            sync_deadline: None,
            arrivals: 0,
        }
    }

    /// Begins a rebalance: every member has to join again until the longest rebalance timeout.
    pub(crate) fn prepare_rebalance(&mut self, now: Instant, reason: &str) {
        for m in self.members.values_mut() {
            m.assignment = Bytes::new();
            m.synced = false;
            if let Some(waiting) = m.syncing.take() {
                m.deadline = now + m.session;
                let _ = waiting.send(Err(ResponseError::RebalanceInProgress));
            }
        }
        self.sync_deadline = None;
        self.phase = Phase::PreparingRebalance;
        self.rebalance_deadline = Some(now + self.longest_rebalance());
        tracing::debug!(group = self.id, generation = self.generation, reason, "rebalance begins");
    }

    fn longest_rebalance(&self) -> Duration {
        self.members.values().map(|m| m.rebalance).max().unwrap_or_default()
    }

    /// Ends the joining phase if nobody is missing.
    pub(crate) fn complete_join_if_all_are_here(&mut self, now: Instant) {
        let all = self.members.values().all(|m| m.joining.is_some());
        if self.phase == Phase::PreparingRebalance && all && self.pending.is_empty() {
            self.complete_join(now);
        }
    }

    /// Ends the joining phase with whoever is here. A static member that is not keeps its place until its session ends.
    fn complete_join(&mut self, now: Instant) {
        let missing = self.members.iter().filter(|(_, m)| m.joining.is_none() && m.instance.is_none());
        for id in missing.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            tracing::info!(group = self.id, member = %id, "removed: it did not rejoin within the rebalance timeout");
            self.forget(&id);
        }
        let here = |g: &Self, id: &StrBytes| g.members.get(id).is_some_and(|m| m.joining.is_some());
        if !self.leader.as_ref().is_some_and(|l| here(self, l)) {
            let joined = self.members.iter().filter(|(_, m)| m.joining.is_some());
            self.leader = joined.min_by_key(|(_, m)| m.arrival).map(|(id, _)| id.clone());
        }
        if self.members.is_empty() {
            self.generation = self.generation.wrapping_add(1).max(0);
            self.phase = Phase::Empty;
            self.protocol = None;
            self.rebalance_deadline = None;
            return;
        }
        if self.leader.is_none() {
            // Only static members, none of them here: their sessions decide.
            self.rebalance_deadline = Some(now + self.longest_rebalance());
            return;
        }
        self.generation = self.generation.wrapping_add(1).max(1);
        self.protocol = self.choose_protocol();
        self.phase = Phase::CompletingRebalance;
        self.rebalance_deadline = None;
        self.sync_deadline = Some(now + self.longest_rebalance());
        for id in self.in_order() {
            let answer = self.joined(&id, false);
            if let Some(m) = self.members.get_mut(&id) {
                m.synced = false;
                if let Some(waiting) = m.joining.take() {
                    m.deadline = now + m.session;
                    let _ = waiting.send(Ok(answer));
                }
            }
        }
    }

    /// Member ids by arrival.
    pub(crate) fn in_order(&self) -> Vec<StrBytes> {
        let mut ids: Vec<_> = self.members.iter().map(|(id, m)| (m.arrival, id.clone())).collect();
        ids.sort_unstable();
        ids.into_iter().map(|(_, id)| id).collect()
    }

    /// What a member of the current generation is told.
    pub(crate) fn joined(&self, id: &StrBytes, skip_assignment: bool) -> Joined {
        let leads = self.leader.as_ref() == Some(id);
        let subscription = |m: &Member| {
            let chosen = m.protocols.iter().find(|(name, _)| Some(name) == self.protocol.as_ref());
            chosen.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
        };
        let member = |id: StrBytes| self.members.get(&id).map(|m| (id, m.instance.clone(), subscription(m)));
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            member_id: id.clone(),
            members: if leads { self.in_order().into_iter().filter_map(member).collect() } else { Vec::new() },
            skip_assignment: leads && skip_assignment,
        }
    }

    /// The protocol that every member knows and most prefer.
    pub(crate) fn choose_protocol(&self) -> Option<StrBytes> {
        let known = |name: &StrBytes| self.members.values().all(|m| m.protocols.iter().any(|(n, _)| n == name));
        let mut votes: BTreeMap<StrBytes, usize> = BTreeMap::new();
        for m in self.members.values() {
            if let Some((name, _)) = m.protocols.iter().find(|(n, _)| known(n)) {
                *votes.entry(name.clone()).or_default() += 1;
            }
        }
        votes.into_iter().max_by_key(|(_, n)| *n).map(|(name, _)| name)
    }

    /// Takes a member out without a word to the others.
    pub(crate) fn forget(&mut self, id: &StrBytes) {
        if let Some(m) = self.members.remove(id) {
            if let Some(instance) = m.instance.filter(|i| self.statics.get(i) == Some(id)) {
                self.statics.remove(&instance);
            }
            if let Some(waiting) = m.joining {
                let _ = waiting.send(Err((ResponseError::UnknownMemberId, StrBytes::default())));
            }
            if let Some(waiting) = m.syncing {
                let _ = waiting.send(Err(ResponseError::UnknownMemberId));
            }
        }
        if self.leader.as_ref() == Some(id) {
            self.leader = None;
        }
    }

    /// Takes a member out and lets the others share its work.
    pub(crate) fn remove(&mut self, id: &StrBytes, now: Instant, reason: &str) {
        self.forget(id);
        if matches!(self.phase, Phase::Stable | Phase::CompletingRebalance) {
            self.prepare_rebalance(now, reason);
        }
        self.complete_join_if_all_are_here(now);
    }

    /// Does what is due and returns when something may be due next.
    pub(crate) fn tick(&mut self, now: Instant) -> Option<Instant> {
        self.pending.retain(|_, expiry| *expiry > now);
        let late = |m: &Member| m.deadline <= now && m.joining.is_none() && m.syncing.is_none();
        for id in self.members.iter().filter(|(_, m)| late(m)).map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            tracing::info!(group = self.id, member = %id, "removed: its session timed out");
            self.remove(&id, now, "a session timed out");
        }
        if self.sync_deadline.is_some_and(|d| d <= now) {
            self.sync_deadline = None;
            let silent = self.members.iter().filter(|(_, m)| !m.synced && m.syncing.is_none());
            for id in silent.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
                self.remove(&id, now, "a member did not sync");
            }
            if self.phase == Phase::CompletingRebalance {
                self.prepare_rebalance(now, "the leader did not sync");
            }
        }
        self.complete_join_if_all_are_here(now);
        if self.rebalance_deadline.is_some_and(|d| d <= now) {
            self.pending.clear();
            self.complete_join(now);
        }
        let heard = self.members.values().filter(|m| m.joining.is_none() && m.syncing.is_none()).map(|m| m.deadline);
        let timers = self.rebalance_deadline.into_iter().chain(self.sync_deadline);
        heard.chain(self.pending.values().copied()).chain(timers).min()
    }
}
