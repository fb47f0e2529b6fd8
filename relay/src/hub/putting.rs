//! Changes brought by somebody who does not stay: taken like any writer's, answered once, when they are durable.

use std::collections::BTreeSet;
use std::time::Duration;

use crdt_core::graph::chunk::ParsedChange;
use crdt_core::id::{ChangeHash, DocumentId};
use crdt_core::wire::DenialCode;

use super::connections::Refused as NotTakenOn;
use super::refusing::Refused;
use super::version::{Condition, Version};
use super::{Call, Hub, Output, Slot};
use crate::access::{Permit, Right};
use crate::id::{ConnectionId, DocumentKey};

/// Changes for one document, and on what they are to be taken.
#[derive(Clone, Debug)]
pub struct Put {
    pub permit: Permit,
    pub document: DocumentId,
    /// Each after those it builds on.
    pub changes: Vec<ParsedChange>,
    pub condition: Condition,
}

/// Everything that was brought is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutDone {
    /// What the document has come to.
    pub heads: Vec<ChangeHash>,
    /// Whether it was not there before.
    pub is_new: bool,
}

/// Why something that was brought is not, or not known to be, durable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PutError {
    /// It may not be read, and whether it is there is nobody's business.
    #[error("there is no such document, or it is not yours")]
    NotFound,
    /// It is not what it should have been; nothing was taken.
    #[error("the document is not as you expect it")]
    Unexpected { version: Option<Version> },
    #[error("{reason}")]
    Refused { code: DenialCode, reason: String, retry_after: Option<Duration> },
}

/// A put that has not been answered.
#[derive(Debug)]
pub(super) struct Putting {
    put: Put,
    is_new: bool,
}

impl Hub {
    pub(super) fn put(&mut self, id: ConnectionId, put: Put) {
        let (document, permit) = (put.document, put.permit.clone());
        let bytes = put.changes.iter().map(|change| change.bytes.len()).sum();
        self.puts.insert(id, Putting { put, is_new: false });
        if self.connections.insert(id, permit, &self.limits, self.now) == Err(NotTakenOn::TooMany) {
            let reason = "you do too much at once";
            return self.end_put(id, Err(refused(DenialCode::Rate, reason, Some(Duration::from_secs(1)))));
        }
        self.counters.bytes_received += bytes as u64;
        if let Some(rest) = self.connections.charge(id, &self.limits, bytes, self.now) {
            self.counters.pauses += 1;
            return self.end_put(id, Err(refused(DenialCode::Rate, "you bring too much", Some(rest))));
        }
        self.call(id, document, Call::Put);
    }

    /// Takes in what was brought for a document that is in memory.
    pub(super) fn take_put(&mut self, id: ConnectionId, key: &DocumentKey) {
        let Some(right) = self.admit(id, key) else { return };
        let (Some(Slot::Open(room)), Some(putting)) = (self.rooms.get(key), self.puts.get_mut(&id)) else {
            return;
        };
        let version = room.is_begun().then(|| Version::of(&room.heads_at(room.end())));
        if right < Right::Write {
            let reason = "you may read this document, but not write it";
            return self.refuse_document(id, key.document, Refused::Writing, DenialCode::Forbidden, reason);
        }
        if !putting.put.condition.holds(version.as_ref()) {
            return self.end_put(id, Err(PutError::Unexpected { version }));
        }
        let mut brought = BTreeSet::new();
        for change in &putting.put.changes {
            let is_here = |dep: &&ChangeHash| brought.contains(*dep) || room.graph.position(dep).is_some();
            if let Some(dep) = change.deps.iter().find(|dep| !is_here(dep)) {
                let reason =
                    format!("change {} builds on {dep}, which is neither here nor before it", change.hash);
                return self.end_put(id, Err(refused(DenialCode::Invalid, &reason, None)));
            }
            brought.insert(change.hash);
        }
        putting.is_new = version.is_none();
        let changes = std::mem::take(&mut putting.put.changes);
        self.take_in(id, key, changes);
        let Some(Slot::Open(room)) = self.rooms.get_mut(key) else { return };
        if room.follower(id).is_none_or(|follower| follower.awaits.is_none()) {
            self.finish_put(id, key);
        }
    }

    /// Answers a put whose changes are all durable. Others' connections are left alone.
    pub(super) fn finish_put(&mut self, id: ConnectionId, key: &DocumentKey) {
        let (Some(putting), Some(Slot::Open(room))) = (self.puts.get(&id), self.rooms.get(key)) else {
            return;
        };
        let done = PutDone { heads: room.graph.heads(), is_new: putting.is_new };
        self.end_put(id, Ok(done));
    }

    /// Answers a put, if this is one and not answered yet, and forgets it.
    pub(super) fn end_put(&mut self, id: ConnectionId, result: Result<PutDone, PutError>) {
        if self.puts.remove(&id).is_some() {
            self.outputs.push_back(Output::Put { connection: id, result });
            self.forget(id);
        }
    }

    /// Answers a put of which something is refused; whether this is one.
    pub(super) fn refuse_put(
        &mut self,
        id: ConnectionId,
        what: Refused,
        code: DenialCode,
        reason: &str,
    ) -> bool {
        if !self.puts.contains_key(&id) {
            return false;
        }
        let error = match (what, code) {
            (Refused::Reading, DenialCode::Forbidden) => PutError::NotFound,
            _ => refused(code, reason, None),
        };
        self.end_put(id, Err(error));
        true
    }
}

fn refused(code: DenialCode, reason: &str, retry_after: Option<Duration>) -> PutError {
    PutError::Refused { code, reason: reason.to_owned(), retry_after }
}
