//! What the relay says: sync messages and what is durable, made only when there is room for them.

use crdt_core::id::DocumentId;
use crdt_core::limits::FRAME_DOCUMENTS_MAX;
use crdt_core::wire::{DenialCode, DocumentHeads, Frame, Route};

use super::refusing::Refused;
use super::room::{Made, Next};
use super::{Hub, Output, Slot};
use crate::id::ConnectionId;

/// Bytes received that cost as much as one byte of changes taken out of a snapshot.
const UNPACKING_COST: usize = 4;

impl Hub {
    /// Says to one connection what there is to say, as long as it keeps up.
    pub(super) fn speak(&mut self, id: ConnectionId) {
        while let Some(document) = self.next_dirty(id) {
            self.speak_about(id, document);
        }
        self.tell_durable(id);
        self.connections.note_ready(id);
    }

    fn next_dirty(&mut self, id: ConnectionId) -> Option<DocumentId> {
        self.connections.get_mut(id).filter(|connection| !connection.is_slow())?.dirty.pop_first()
    }

    /// The next sync message about one document, if there is one to send.
    fn speak_about(&mut self, id: ConnectionId, document: DocumentId) {
        let Some((connection, peer)) = self.connections.get(id).and_then(|it| Some((it, it.peer.as_ref()?)))
        else {
            return;
        };
        let key = connection.permit.key(document);
        let Some(Slot::Open(room)) = self.rooms.get_mut(&key) else { return };
        let Some(Next { outgoing, was_put_off }) = room.next_message(id) else { return };
        room.used = self.now;
        match room.make(id, &outgoing, self.limits.unpacked_bytes_max) {
            Made::Ready { data, work } => {
                let route = Route { sender: self.id.borrowed(), target: peer.id.borrowed() };
                let frame = Frame::Sync { route, document, data: &data }.encode();
                self.send(id, frame);
                self.charge_work(id, work);
            }
            Made::Missing { snapshot, changes } => {
                room.put_off(id, outgoing);
                if let Some(positions) = room.begin_reading(changes) {
                    self.outputs.push_back(Output::Read { key, positions, snapshot });
                }
            }
            Made::Packed { .. } if was_put_off && room.restart(id) => self.note_dirty(id, document),
            Made::Packed { work } => {
                self.charge_work(id, work);
                let reason =
                    "the document is large and packed, which your Automerge library is too old to read";
                self.refuse_document(id, document, Refused::Reading, DenialCode::Other, reason);
                self.leave(id, &key);
            }
        }
    }

    fn charge_work(&mut self, id: ConnectionId, unpacked_bytes: usize) {
        if unpacked_bytes > 0 {
            self.charge(id, UNPACKING_COST * unpacked_bytes);
        }
    }

    /// What is durable of the documents that the peer has opened or written, in one frame.
    fn tell_durable(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id).filter(|connection| !connection.is_slow()) else {
            return;
        };
        if connection.durable.is_empty() {
            return;
        }
        let mut documents = Vec::new();
        while let Some(document) = connection.durable.pop_first() {
            let heads = match self.rooms.get(&connection.permit.key(document)) {
                Some(Slot::Open(room)) => room.graph.heads(),
                _ => Vec::new(),
            };
            documents.push(DocumentHeads { document, heads });
            if documents.len() == FRAME_DOCUMENTS_MAX {
                break;
            }
        }
        let Some(peer) = &connection.peer else { return };
        let route = Route { sender: self.id.borrowed(), target: peer.id.borrowed() };
        let frame = Frame::Durable { route, documents }.encode();
        self.send(id, frame);
    }
}
