//! Comings and goings of connections.

use std::time::Duration;

use crdt_core::time::Timestamp;
use crdt_core::wire::{
    Capabilities, Capability, DenialCode, Frame, GoingAway, PROTOCOL_VERSION, PeerMetadata, PeerRef, Route,
};

use super::connection::{Over, Peer};
use super::connections::Refused;
use super::{Hub, Output, Slot};
use crate::access::Permit;
use crate::id::ConnectionId;

impl Hub {
    pub(super) fn connected(&mut self, id: ConnectionId, permit: Permit) {
        if self.connections.insert(id, permit, &self.limits, self.now) == Err(Refused::TooMany) {
            // Not joined, so nothing is known of its capabilities; the reason goes with the close.
            let max = self.limits.connections_per_subject_max;
            let reason = format!("you have {max} connections; close some first");
            let frame =
                Frame::Error { sender: Some(self.id.borrowed()), target: None, message: &reason }.encode();
            self.outputs.push_back(Output::Send { connection: id, frame });
            self.outputs.push_back(Output::Close { connection: id, reason });
            self.counters.refusals += 1;
        }
    }

    pub(super) fn joined(
        &mut self,
        id: ConnectionId,
        sender: PeerRef<'_>,
        metadata: &PeerMetadata<'_>,
        versions: &[&str],
    ) {
        if !versions.contains(&PROTOCOL_VERSION) {
            let reason = format!("this relay speaks protocol version {PROTOCOL_VERSION} only");
            return self.refuse_connection(id, DenialCode::Invalid, &reason);
        }
        if sender == self.id.borrowed() {
            return self.refuse_connection(id, DenialCode::Invalid, "this peer id is the relay's own");
        }
        let peer =
            Peer { id: sender.to_owned(), capabilities: metadata.capabilities.common(Capabilities::all()) };
        match self.connections.bind(id, peer.clone()) {
            Err(_) => {
                let reason = format!("somebody else is connected as {sender}");
                return self.refuse_connection(id, DenialCode::Forbidden, &reason);
            }
            Ok(older) => {
                for older in older {
                    self.close(older, "the same peer has connected anew");
                }
            }
        }
        self.let_others_know(id);
        self.note_join(id);
        let metadata = PeerMetadata {
            storage: self.storage.as_ref().map(|storage| storage.borrowed()),
            ephemeral: false,
            capabilities: Capabilities::all(),
        };
        let route = Route { sender: self.id.borrowed(), target: sender };
        let frame = Frame::Peer { route, metadata, version: PROTOCOL_VERSION }.encode();
        self.send(id, frame);
        self.tell_expiry(id);
    }

    /// Tells a peer that can bring a new token how long it has for that.
    fn tell_expiry(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(id) else { return };
        let Some(peer) = connection.peer.as_ref().filter(|_| connection.has(Capability::Renewal)) else {
            return;
        };
        if self.shard.is_front() && connection.permit.expires < Timestamp::MAX {
            let route = Route { sender: self.id.borrowed(), target: peer.id.borrowed() };
            let expires_after = connection.permit.expires.since(self.now);
            let frame = Frame::Permitted { route, expires_after }.encode();
            self.send(id, frame);
        }
    }

    /// The front says that this peer has joined, or has a new permit.
    pub(super) fn introduced(&mut self, id: ConnectionId, permit: Permit, peer: Peer) {
        assert!(!self.shard.is_front(), "the front decides about connections");
        if self.connections.get(id).is_some() {
            return self.permitted(id, permit);
        }
        let inserted = self.connections.insert(id, permit, &self.limits, self.now);
        assert_eq!(inserted, Ok(()), "the front has counted");
        self.connections.introduce(id, peer);
    }

    /// Lets the other hubs know of a connection that has joined, and of its permit.
    fn let_others_know(&mut self, id: ConnectionId) {
        if !(self.shard.has_others() && self.shard.is_front()) {
            return;
        }
        let Some(connection) = self.connections.get(id) else { return };
        if let Some(peer) = connection.peer.clone() {
            let permit = connection.permit.clone();
            self.outputs.push_back(Output::Joined { connection: id, permit, peer });
        }
    }

    pub(super) fn written(&mut self, id: ConnectionId, bytes: usize) {
        if let Some(connection) = self.connections.get_mut(id) {
            connection.written(bytes, &self.limits, self.now);
            self.connections.note_ready(id);
        }
    }

    /// Closes a connection and forgets it.
    pub(super) fn close(&mut self, id: ConnectionId, reason: &str) {
        if self.connections.get(id).is_some() {
            self.outputs.push_back(Output::Close { connection: id, reason: reason.to_owned() });
            self.forget(id);
        }
    }

    /// Forgets a connection that is no more.
    pub(super) fn forget(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.remove(id) else { return };
        self.note_leave(id, &connection);
        if self.shard.has_others() && self.shard.is_front() && connection.peer.is_some() {
            self.outputs.push_back(Output::Left { connection: id });
        }
        for document in connection.documents {
            self.leave(id, &connection.permit.key(document));
        }
    }

    /// Ends what connects a connection and a document.
    pub(super) fn leave(&mut self, id: ConnectionId, key: &crate::id::DocumentKey) {
        if let Some(wanting) = self.wanted.get_mut(key) {
            wanting.remove(&id);
            if wanting.is_empty() {
                self.wanted.remove(key);
            }
        }
        if let Some(connection) = self.connections.get_mut(id) {
            connection.documents.remove(&key.document);
            connection.dirty.remove(&key.document);
        }
        if let Some(Slot::Open(room)) = self.rooms.get_mut(key) {
            room.leave(id);
            self.note_quiet(key);
        }
    }

    pub(super) fn permitted(&mut self, id: ConnectionId, permit: Permit) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let before = &connection.permit;
        if (&before.tenant, &before.subject) != (&permit.tenant, &permit.subject) {
            return self.refuse_connection(
                id,
                DenialCode::Forbidden,
                "a new permit must be for the same subject",
            );
        }
        connection.permit = permit;
        self.let_others_know(id);
        self.tell_expiry(id);
        let Some(connection) = self.connections.get(id) else { return };
        let documents: Vec<_> = connection.documents.iter().copied().collect();
        for document in documents {
            let Some(connection) = self.connections.get(id) else { return };
            let key = connection.permit.key(document);
            self.recheck(id, &key);
        }
    }

    /// Ends connections that can't go on.
    pub(super) fn end_overdue(&mut self) {
        let overdue = |(id, connection): (ConnectionId, &super::connection::Connection)| {
            Some((id, connection.is_over(&self.limits, self.now)?))
        };
        let overdue: Vec<_> = self.connections.iter().filter_map(overdue).collect();
        for (id, over) in overdue {
            match over {
                // The front ends it, and says why once.
                // Somebody who does not stay says nothing else.
                Over::Silent if self.puts.contains_key(&id) => {}
                Over::Silent | Over::Expired if !self.shard.is_front() && !self.puts.contains_key(&id) => {}
                Over::Silent => self.refuse_connection(id, DenialCode::Invalid, "a join was due earlier"),
                Over::Expired => {
                    self.refuse_connection(id, DenialCode::Unauthenticated, "your permit has expired");
                }
                Over::Stalled => self.close(id, "it takes nothing of what it is sent"),
            }
        }
    }

    pub(super) fn going_away(&mut self, min: Duration, max: Duration) {
        let ids: Vec<_> = self.connections.iter().map(|(id, _)| id).collect();
        for id in ids {
            let Some(connection) = self.connections.get(id) else { continue };
            let Some(peer) = connection.peer.as_ref().filter(|_| connection.has(Capability::GoingAway))
            else {
                continue;
            };
            let route = Route { sender: self.id.borrowed(), target: peer.id.borrowed() };
            let reason = "the relay is restarting";
            let going = GoingAway { reason, reconnect_after_min: min, reconnect_after_max: max };
            let frame = Frame::GoingAway { route, going }.encode();
            self.send(id, frame);
        }
    }
}
