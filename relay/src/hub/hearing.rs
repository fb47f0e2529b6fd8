//! What peers say: every frame, and what it makes of a document.

use std::borrow::Cow;
use std::time::Duration;

use crdt_core::graph::Refusal;
use crdt_core::graph::chunk::ParsedChange;
use crdt_core::id::{ChangeHash, DocumentId};
use crdt_core::sync::{Manner, Message, State};
use crdt_core::wire::{Capability, DenialCode, DocumentHeads, Frame, PeerRef, Route};

use super::refusing::Refused;
use super::{Call, Hub, Loading, Output, Slot, Waiting};
use crate::access::{Access, Right};
use crate::id::{ConnectionId, DocumentKey};
use crate::store::Append;

/// What looking at a new token counts as, in bytes received.
const RENEWAL_COST_BYTES: usize = 64 << 10;

impl Hub {
    /// Charges a frame, or what it cost, to the connection's rates. Who has used them up is not heard for a while. How long
    /// that is.
    pub(super) fn charge(&mut self, id: ConnectionId, bytes: usize) -> Duration {
        let Some(rest) = self.connections.charge(id, &self.limits, bytes, self.now) else {
            return Duration::ZERO;
        };
        self.counters.pauses += 1;
        self.outputs.push_back(Output::Pause { connection: id, until: self.now + rest });
        rest
    }

    pub(super) fn received(&mut self, id: ConnectionId, bytes: &[u8]) {
        let Some(connection) = self.connections.get(id) else { return };
        let (has_joined, is_expired) = (connection.peer.is_some(), connection.permit.is_expired(self.now));
        self.counters.frames_received += 1;
        self.counters.bytes_received += bytes.len() as u64;
        let rest = self.charge(id, bytes.len());
        if rest > self.limits.rest_time_max {
            return self.refuse_hasty(id, rest);
        }
        if is_expired {
            return self.refuse_connection(id, DenialCode::Unauthenticated, "your permit has expired");
        }
        match Frame::decode(bytes) {
            Err(error) => self.refuse_connection(id, DenialCode::Invalid, &error.to_string()),
            Ok(Frame::Join { sender, metadata, versions }) if !has_joined => {
                self.joined(id, sender, &metadata, &versions);
            }
            Ok(Frame::Join { .. }) => {
                self.refuse_connection(id, DenialCode::Invalid, "a second join on one connection");
            }
            Ok(_) if !has_joined => {
                self.refuse_connection(id, DenialCode::Invalid, "a join has to come first");
            }
            Ok(frame) => self.heard(id, frame),
        }
    }

    /// A frame of a peer that has joined.
    fn heard(&mut self, id: ConnectionId, frame: Frame<'_>) {
        if let Some(sender) = speaker(&frame)
            && !self.is_own(id, sender)
        {
            return;
        }
        match frame {
            Frame::Sync { document, data, .. } => {
                self.call(id, document, Call::Sync { data: Cow::Borrowed(data) });
            }
            Frame::Request { document, data, .. } => {
                self.call(id, document, Call::Request { data: Cow::Borrowed(data) });
            }
            Frame::Open { documents, .. } => {
                let own = documents.into_iter().filter(|it| self.shard.holds(it.document));
                for DocumentHeads { document, heads } in own.collect::<Vec<_>>() {
                    self.call(id, document, Call::Open { heads });
                }
            }
            Frame::Ephemeral(ephemeral) => self.gather(id, ephemeral),
            Frame::Presence { route, presence } => self.gather_presence(id, route.sender, presence),
            Frame::Ping { route, count } => {
                let route = Route { sender: self.id.borrowed(), target: route.sender };
                let frame = Frame::Pong { route, count }.encode();
                self.send(id, frame);
            }
            Frame::Renew { token, .. } => {
                // It costs as much as a large message: a signature has to be checked.
                self.charge(id, RENEWAL_COST_BYTES);
                self.outputs.push_back(Output::Renew { connection: id, token: token.to_owned() });
            }
            Frame::Leave { .. } => self.close(id, "the peer has left"),
            Frame::Error { message, .. } => self.close(id, &format!("the peer reports an error: {message}")),
            Frame::Peer { .. } => {
                self.refuse_connection(id, DenialCode::Invalid, "the relay is the one that welcomes");
            }
            // What a peer lacks it is sent anyway when it comes, and of other stores the relay tells nothing.
            _ => {}
        }
    }

    /// Whether the frame is the peer's own; one that is not ends the connection.
    fn is_own(&mut self, id: ConnectionId, sender: PeerRef<'_>) -> bool {
        let Some(peer) = self.connections.get(id).and_then(|connection| connection.peer.as_ref()) else {
            return false;
        };
        let is_own = peer.id.as_str() == sender.as_str();
        if !is_own {
            let reason = format!("you joined as {}, not as {sender}", peer.id);
            self.refuse_connection(id, DenialCode::Invalid, &reason);
        }
        is_own
    }

    /// Brings a call to its document, which may have to be loaded first.
    pub(super) fn call(&mut self, id: ConnectionId, document: DocumentId, call: Call<'_>) {
        assert!(self.shard.holds(document), "another hub handles {document}");
        let Some(connection) = self.connections.get_mut(id) else { return };
        if !connection.documents.contains(&document) {
            let max = self.limits.documents_per_connection_max;
            if connection.documents.len() >= max {
                let reason = format!("one connection follows at most {max} documents");
                return self.refuse_document(id, document, Refused::Reading, DenialCode::Quota, &reason);
            }
            connection.documents.insert(document);
        }
        let key = connection.permit.key(document);
        match self.rooms.get_mut(&key) {
            Some(Slot::Open(_)) => self.answer(id, &key, &call),
            Some(Slot::Failed { .. }) => self.refuse_failed(id, document),
            Some(Slot::Loading(loading)) => {
                connection.parked_bytes += call.bytes();
                if connection.parked_bytes > self.limits.parked_bytes_max {
                    let reason = "too much waits for documents to be loaded";
                    return self.refuse_connection(id, DenialCode::TooLarge, reason);
                }
                loading.waiting.push(Waiting { connection: id, call: call.into_owned() });
            }
            None => {
                connection.parked_bytes += call.bytes();
                let waiting = vec![Waiting { connection: id, call: call.into_owned() }];
                self.rooms.insert(key.clone(), Slot::Loading(Box::new(Loading { waiting })));
                self.outputs.push_back(Output::Load { key });
            }
        }
    }

    /// Answers a call to a document that is in memory.
    pub(super) fn answer(&mut self, id: ConnectionId, key: &DocumentKey, call: &Call<'_>) {
        let Some(Slot::Open(room)) = self.rooms.get_mut(key) else { return };
        let is_begun = room.is_begun();
        match call {
            Call::Request { .. } if !is_begun => {
                self.want(id, key);
                let Some(peer) = self.connections.get(id).and_then(|connection| connection.peer.as_ref())
                else {
                    return;
                };
                let route = Route { sender: self.id.borrowed(), target: peer.id.borrowed() };
                let frame = Frame::Unavailable { route, document: key.document }.encode();
                self.send(id, frame);
            }
            Call::Request { data } | Call::Sync { data } => self.hear(id, key, data),
            Call::Open { heads } => self.open(id, key, heads),
            Call::Put => self.take_put(id, key),
        }
    }

    /// Notes who is to be told when the document is brought.
    fn want(&mut self, id: ConnectionId, key: &DocumentKey) {
        self.wanted.entry(key.clone()).or_default().insert(id);
    }

    /// What the connection may do with the document; it is refused and ended if that is nothing.
    pub(super) fn admit(&mut self, id: ConnectionId, key: &DocumentKey) -> Option<Right> {
        let (Some(Slot::Open(room)), Some(connection)) = (self.rooms.get_mut(key), self.connections.get(id))
        else {
            return None;
        };
        room.used = self.now;
        let right = room.right_of(&connection.permit, key.document);
        if right.is_none() {
            let reason = "you may not read this document";
            self.refuse_document(id, key.document, Refused::Reading, DenialCode::Forbidden, reason);
            self.leave(id, key);
        }
        right
    }

    /// Takes in one sync message.
    fn hear(&mut self, id: ConnectionId, key: &DocumentKey, data: &[u8]) {
        let Some(right) = self.admit(id, key) else { return };
        let Some(Slot::Open(room)) = self.rooms.get_mut(key) else { return };
        let may_write = right >= Right::Write;
        let message = match Message::decode(data) {
            Ok(message) => message,
            Err(error) => return self.refuse_malformed(id, key.document, &error.to_string()),
        };
        let state = &mut room.follow(id, Manner::RELAY).state;
        state.set_read_only(!may_write);
        let received = match state.receive(&message) {
            Ok(received) => received,
            Err(error) => return self.refuse_malformed(id, key.document, &error.to_string()),
        };
        let is_stalled = state.is_stalled();
        if is_stalled {
            let reason = "the exchange makes no progress and has been ended";
            self.refuse_document(id, key.document, Refused::Writing, DenialCode::Stalled, reason);
        }
        if !may_write && !message.chunks.is_empty() {
            let reason = "you may read this document, but not write it";
            self.refuse_document(id, key.document, Refused::Writing, DenialCode::Forbidden, reason);
        }
        if !received.changes.is_empty() {
            self.take_in(id, key, received.changes);
        }
        self.note_dirty(id, key.document);
    }

    /// Takes in changes, and has those that fit appended.
    pub(super) fn take_in(&mut self, id: ConnectionId, key: &DocumentKey, changes: Vec<ParsedChange>) {
        let (Some(Slot::Open(room)), Some(connection)) = (self.rooms.get_mut(key), self.connections.get(id))
        else {
            return;
        };
        let new_bytes = room.bytes_of_new(&changes);
        let tenant_bytes = self.tenant_bytes.entry(key.tenant.clone()).or_default();
        let document_bytes_max = self.limits.document_bytes_max;
        if room.sizes().stored + new_bytes > document_bytes_max {
            let reason = format!("the document would be larger than {document_bytes_max} bytes");
            return self.refuse_document(id, key.document, Refused::Writing, DenialCode::TooLarge, &reason);
        }
        if *tenant_bytes + new_bytes > self.limits.tenant_bytes_max {
            let reason = "the space of this relay's tenant is used up";
            return self.refuse_document(id, key.document, Refused::Writing, DenialCode::Quota, reason);
        }
        let before = room.sizes();
        let may_hold = self.sizes.held < self.limits.held_bytes_max;
        let taken = room.take_in(changes, may_hold, self.now);
        *tenant_bytes += room.sizes().stored - before.stored;
        self.sizes.replace(before, room.sizes());
        if let Some(end) = taken.awaited {
            room.follow(id, Manner::RELAY).awaits = Some(end);
        }
        if !taken.accepted.is_empty() {
            let first_writer = || Access::owned_by(connection.permit.subject.clone());
            let access = room.access.is_none().then(first_writer);
            room.access = room.access.take().or_else(|| access.clone());
            self.outputs.push_back(Output::Append(Append {
                key: key.clone(),
                changes: taken.accepted,
                heads: taken.heads,
                access,
                at: self.now,
            }));
            self.note_hot(key);
        }
        if let Some(refusal) = taken.refused {
            let code = match refusal {
                Refusal::Full | Refusal::TooManyHeads => DenialCode::TooLarge,
                _ => DenialCode::Invalid,
            };
            self.refuse_document(id, key.document, Refused::Writing, code, &refusal.to_string());
        }
    }

    /// Opens a document for a peer that has `heads` of it.
    fn open(&mut self, id: ConnectionId, key: &DocumentKey, heads: &[ChangeHash]) {
        let Some(Slot::Open(room)) = self.rooms.get(key) else { return };
        if !room.is_begun() && heads.is_empty() {
            self.want(id, key);
            return self.note_durable(id, key.document);
        }
        let Some(right) = self.admit(id, key) else { return };
        let Some(Slot::Open(room)) = self.rooms.get_mut(key) else { return };
        let shared: Vec<_> = heads.iter().filter(|head| room.graph.contains(head)).copied().collect();
        let is_current = room.graph.heads() == heads;
        let follower = room.follow(id, right.manner());
        follower.state = State::resume(right.manner(), shared);
        follower.awaits = None;
        follower.outgoing = None;
        if is_current {
            follower.state.agree(heads);
        } else {
            // Who opens twice is not asked to answer twice: it is known what it has.
            follower.state.hear_heads(heads);
            self.note_dirty(id, key.document);
        }
        self.note_durable(id, key.document);
    }

    /// Notes that the peer is to be told what is durable of the document, if it can be.
    pub(super) fn note_durable(&mut self, id: ConnectionId, document: DocumentId) {
        if let Some(connection) = self.connections.get_mut(id)
            && (connection.has(Capability::DurableHeads) || connection.has(Capability::OpenMany))
        {
            connection.durable.insert(document);
            self.connections.note_ready(id);
        }
    }
}

/// Who has to be the sender of the frame; nobody in particular where it may be passed on for others.
fn speaker<'a>(frame: &Frame<'a>) -> Option<PeerRef<'a>> {
    match frame {
        Frame::Sync { route, .. }
        | Frame::Request { route, .. }
        | Frame::Unavailable { route, .. }
        | Frame::Open { route, .. }
        | Frame::Ping { route, .. }
        | Frame::Pong { route, .. }
        | Frame::Renew { route, .. }
        | Frame::RemoteSubscription { route, .. }
        | Frame::RemoteHeads { route, .. } => Some(route.sender),
        _ => None,
    }
}

impl Call<'_> {
    /// Bytes that the call keeps while it waits.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Request { data } | Self::Sync { data } => data.len(),
            Self::Open { heads } => size_of_val(heads.as_slice()),
            Self::Put => 0,
        }
    }

    fn into_owned(self) -> Call<'static> {
        match self {
            Self::Request { data } => Call::Request { data: Cow::Owned(data.into_owned()) },
            Self::Sync { data } => Call::Sync { data: Cow::Owned(data.into_owned()) },
            Self::Open { heads } => Call::Open { heads },
            Self::Put => Call::Put,
        }
    }
}
