//! What is for whoever is here now: passed on once, never stored.

use crdt_core::id::DocumentId;
use crdt_core::wire::{Capability, DenialCode, Ephemeral, Frame, PeerRef, Presence, Route};

use super::refusing::Refused;
use super::{Hub, Slot};
use crate::id::{ConnectionId, DocumentKey};

impl Hub {
    /// Passes an ephemeral message on to the other followers of its document.
    ///
    /// The sender need not be the author: tabs behind one connection speak through it, and automerge-repo's clients send
    /// back what they were sent. What has been heard before goes no further.
    pub(super) fn gather(&mut self, id: ConnectionId, ephemeral: Ephemeral<'_>) {
        let Ephemeral { route, document, session, count, .. } = ephemeral;
        let Some(key) = self.speaks_in(id, document, route.sender) else { return };
        let Some(Slot::Open(room)) = self.rooms.get_mut(&key) else { return };
        let seen = &mut room.gathered().ephemeral;
        if !seen.is_news(route.sender, session, count, self.limits.ephemeral_sessions_max) {
            return;
        }
        let followers: Vec<_> = room.followers().collect();
        for follower in followers {
            self.pass_on(follower, id, route.sender, None, |route| {
                Frame::Ephemeral(Ephemeral { route, ..ephemeral }).encode()
            });
        }
    }

    /// Passes a presence on: to the followers of its document, or to the author's other devices.
    pub(super) fn gather_presence(&mut self, id: ConnectionId, author: PeerRef<'_>, presence: Presence<'_>) {
        let Some(receivers) = self.receivers(id, author, &presence) else { return };
        for receiver in receivers {
            self.pass_on(receiver, id, author, Some(Capability::Presence), |route| {
                Frame::Presence { route, presence }.encode()
            });
        }
    }

    /// Who is to hear of a presence; nobody if it is not new, or not the sender's to pass on.
    fn receivers(
        &mut self,
        id: ConnectionId,
        author: PeerRef<'_>,
        presence: &Presence<'_>,
    ) -> Option<Vec<ConnectionId>> {
        let sessions_max = self.limits.ephemeral_sessions_max;
        let (session, count) = (presence.session, presence.count);
        if let Some(document) = presence.document {
            let key = self.speaks_in(id, document, author)?;
            let Some(Slot::Open(room)) = self.rooms.get_mut(&key) else { return None };
            let is_news = room.gathered().presence.is_news(author, session, count, sessions_max);
            return is_news.then(|| room.followers().collect());
        }
        let connection = self.connections.get(id)?;
        let is_news = self.connections.may_speak_for(&connection.permit, author)
            && self.presence.is_news(author, session, count, sessions_max);
        is_news.then(|| self.connections.of_subject(&connection.permit).collect())
    }

    /// The document's key, if the connection follows it and may pass on what `author` says there.
    fn speaks_in(
        &mut self,
        id: ConnectionId,
        document: DocumentId,
        author: PeerRef<'_>,
    ) -> Option<DocumentKey> {
        let connection = self.connections.get(id)?;
        let key = connection.permit.key(document);
        let may_speak = self.connections.may_speak_for(&connection.permit, author);
        let Some(Slot::Open(room)) = self.rooms.get_mut(&key) else { return None };
        room.follower(id)?;
        if !may_speak {
            let reason = "its author is connected as somebody else";
            self.refuse_document(id, document, Refused::Writing, DenialCode::Forbidden, reason);
            return None;
        }
        Some(key)
    }

    /// Sends one receiver what `author` said, unless it said so itself, can't read it, or is too slow to care.
    fn pass_on(
        &mut self,
        receiver: ConnectionId,
        sender: ConnectionId,
        author: PeerRef<'_>,
        needs: Option<Capability>,
        frame: impl FnOnce(Route<'_>) -> Vec<u8>,
    ) {
        let Some(connection) = self.connections.get(receiver) else { return };
        let Some(peer) = &connection.peer else { return };
        let is_author = peer.id.as_str() == author.as_str();
        let is_able = needs.is_none_or(|capability| connection.has(capability));
        if receiver == sender || is_author || !is_able || connection.is_slow() {
            return;
        }
        let frame = frame(Route { sender: author, target: peer.id.borrowed() });
        self.counters.ephemeral_forwarded += 1;
        self.send(receiver, frame);
    }
}
