//! Life in a group: taking the assignment, heartbeats, leaving, and the right to commit offsets.
//!
//! May assume: called under the group's lock. Promises: every sign of life from a member of the current generation
//! extends its session; a member of an earlier generation is told so.

use std::collections::HashMap;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::protocol::StrBytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::group::{Group, Phase, SyncResult, Synced};

/// Who is asking: member id, instance id and generation, as most requests of a member carry them.
#[derive(Debug, Clone)]
pub(crate) struct Who {
    pub(crate) member_id: StrBytes,
    pub(crate) instance: Option<StrBytes>,
    pub(crate) generation: i32,
}

/// A request for the assignment; the leader's brings it.
#[derive(Debug, Clone)]
pub(crate) struct Sync {
    pub(crate) who: Who,
    pub(crate) protocol_type: Option<StrBytes>,
    pub(crate) protocol: Option<StrBytes>,
    pub(crate) assignments: HashMap<StrBytes, Bytes>,
}

impl Group {
    /// The answer comes when the leader has brought the assignment.
    pub(crate) fn sync(&mut self, mut sync: Sync, now: Instant) -> oneshot::Receiver<SyncResult> {
        let (answer, receiver) = oneshot::channel();
        let other = |mine: &Option<StrBytes>, asked: &Option<StrBytes>| asked.is_some() && asked != mine;
        let checked = self.check_member(&sync.who, now).and_then(|()| match self.phase {
            Phase::PreparingRebalance => Err(ResponseError::RebalanceInProgress),
            _ if other(&self.protocol_type, &sync.protocol_type) || other(&self.protocol, &sync.protocol) => {
                Err(ResponseError::InconsistentGroupProtocol)
            }
            _ => Ok(()),
        });
        if let Err(e) = checked {
            let _ = answer.send(Err(e));
            return receiver;
        }
        let leads = self.leader.as_ref() == Some(&sync.who.member_id);
        if let Some(m) = self.members.get_mut(&sync.who.member_id) {
            m.syncing = Some(answer);
        }
        if self.phase == Phase::CompletingRebalance && leads {
            for (id, m) in &mut self.members {
                m.assignment = sync.assignments.remove(id).unwrap_or_default();
            }
            self.phase = Phase::Stable;
            tracing::debug!(group = self.id, generation = self.generation, members = self.members.len(), "stable");
        }
        if self.phase == Phase::Stable {
            self.hand_out(now);
        }
        receiver
    }

    fn hand_out(&mut self, now: Instant) {
        for m in self.members.values_mut() {
            if let Some(waiting) = m.syncing.take() {
                m.synced = true;
                m.deadline = now + m.session;
                let (protocol_type, protocol) = (self.protocol_type.clone(), self.protocol.clone());
                let _ = waiting.send(Ok(Synced { protocol_type, protocol, assignment: m.assignment.clone() }));
            }
        }
        if self.members.values().all(|m| m.synced) {
            self.sync_deadline = None;
        }
    }

    /// Whether this is a member of the current generation; if so its session begins anew.
    fn check_member(&mut self, who: &Who, now: Instant) -> Result<(), ResponseError> {
        self.check_instance(&who.member_id, who.instance.as_ref())?;
        let m = self.members.get_mut(&who.member_id).ok_or(ResponseError::UnknownMemberId)?;
        if who.generation != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        m.deadline = now + m.session;
        Ok(())
    }

    /// A sign of life; the refusal `RebalanceInProgress` tells the member to join again.
    pub(crate) fn heartbeat(&mut self, who: &Who, now: Instant) -> Result<(), ResponseError> {
        self.check_member(who, now)?;
        match self.phase {
            Phase::PreparingRebalance => Err(ResponseError::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    /// Whether these offsets may be committed. Without a member id: only while nobody is in the group.
    pub(crate) fn may_commit(&mut self, who: &Who, now: Instant) -> Result<(), ResponseError> {
        if who.generation < 0 && who.member_id.is_empty() && self.members.is_empty() {
            return Ok(());
        }
        self.check_member(who, now)?;
        match self.phase {
            Phase::CompletingRebalance => Err(ResponseError::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    /// A member goes, by its id or by its instance's.
    pub(crate) fn leave(&mut self, id: &StrBytes, instance: Option<&StrBytes>, now: Instant) -> Result<(), ResponseError> {
        if self.pending.remove(id).is_some() {
            self.complete_join_if_all_are_here(now);
            return Ok(());
        }
        let id = match instance {
            Some(i) if id.is_empty() => self.statics.get(i).cloned().ok_or(ResponseError::UnknownMemberId)?,
            _ => id.clone(),
        };
        self.check_instance(&id, instance)?;
        if !self.members.contains_key(&id) {
            return Err(ResponseError::UnknownMemberId);
        }
        self.remove(&id, now, "a member left");
        Ok(())
    }
}
