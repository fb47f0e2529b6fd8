//! One connection: who is at its other end, and what it has been granted and told.

use std::collections::BTreeSet;
use std::time::Duration;

use crdt_core::id::DocumentId;
use crdt_core::time::Timestamp;
use crdt_core::wire::{Capabilities, Capability, PeerId};

use super::limits::Limits;
use super::rate::Bucket;
use crate::access::Permit;

/// A connection from its first byte to its last.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) permit: Permit,
    pub(super) since: Timestamp,
    /// Who it says it is; known once it has joined.
    pub(super) peer: Option<Peer>,
    /// Documents it follows or has asked for.
    pub(super) documents: BTreeSet<DocumentId>,
    /// Documents of which there may be something to say to it.
    pub(super) dirty: BTreeSet<DocumentId>,
    /// Documents whose durable heads it is to be told.
    pub(super) durable: BTreeSet<DocumentId>,
    /// Bytes of its frames that wait for documents to be loaded.
    pub(super) parked_bytes: usize,
    /// Bytes made for it that the driver has not written yet.
    queued_bytes: usize,
    /// Since when it has taken nothing of what waits for it.
    stalled_since: Option<Timestamp>,
    /// More was queued than the high mark, and not yet less than the low one.
    is_slow: bool,
    frames: Bucket,
    bytes: Bucket,
    strikes: u32,
}

/// The other end of a connection, as it introduced itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub id: PeerId,
    /// Those of our extensions that both it and the relay understand.
    pub capabilities: Capabilities,
}

impl Connection {
    pub(super) fn new(permit: Permit, limits: &Limits, now: Timestamp) -> Self {
        Self {
            permit,
            since: now,
            peer: None,
            documents: BTreeSet::new(),
            dirty: BTreeSet::new(),
            durable: BTreeSet::new(),
            parked_bytes: 0,
            queued_bytes: 0,
            stalled_since: None,
            is_slow: false,
            frames: Bucket::full(limits.frames, now),
            bytes: Bucket::full(limits.bytes, now),
            strikes: 0,
        }
    }

    pub(super) fn has(&self, capability: Capability) -> bool {
        self.peer.as_ref().is_some_and(|peer| peer.capabilities.has(capability))
    }

    /// Charges one frame to the connection's rates, and says how long it has to rest.
    pub(super) fn charge(&mut self, limits: &Limits, bytes: usize, now: Timestamp) -> Option<Duration> {
        let frames = self.frames.take(limits.frames, 1, now);
        frames.max(self.bytes.take(limits.bytes, bytes as u64, now))
    }

    /// Counts one malformed message; whether there have been too many.
    pub(super) fn strike(&mut self, limits: &Limits) -> bool {
        self.strikes += 1;
        self.strikes >= limits.strikes_max
    }

    /// Counts bytes on their way to it.
    pub(super) fn queue(&mut self, bytes: usize, limits: &Limits, now: Timestamp) {
        self.queued_bytes += bytes;
        self.stalled_since.get_or_insert(now);
        self.is_slow |= self.queued_bytes > limits.queue_bytes_high;
    }

    /// Counts bytes that it has taken.
    pub(super) fn written(&mut self, bytes: usize, limits: &Limits, now: Timestamp) {
        self.queued_bytes = self.queued_bytes.saturating_sub(bytes);
        self.stalled_since = (self.queued_bytes > 0).then_some(now);
        self.is_slow &= self.queued_bytes >= limits.queue_bytes_low;
    }

    /// Whether nothing more is to be made for it at the moment.
    pub(super) fn is_slow(&self) -> bool {
        self.is_slow
    }

    /// Why the connection can't go on, if it can't.
    pub(super) fn is_over(&self, limits: &Limits, now: Timestamp) -> Option<Over> {
        if self.peer.is_none() && now.since(self.since) >= limits.handshake_time_max {
            return Some(Over::Silent);
        }
        if self.stalled_since.is_some_and(|since| now.since(since) >= limits.stalled_time_max) {
            return Some(Over::Stalled);
        }
        self.permit.is_expired(now).then_some(Over::Expired)
    }

    /// Whether there is anything to say to it, and room to say it.
    pub(super) fn is_ready(&self) -> bool {
        let is_silent = self.dirty.is_empty() && self.durable.is_empty();
        !self.is_slow && !is_silent
    }
}

/// Why a connection can't go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// It has not said who it is.
    Silent,
    /// It has taken nothing for too long.
    Stalled,
    /// Its permit has expired.
    Expired,
}
