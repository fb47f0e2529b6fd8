//! What whoever looks after a relay may want to know, as it happens.

use crdt_core::id::DocumentId;
use crdt_core::wire::{DenialCode, PeerId};

use super::connection::Connection;
use super::{Hub, Output};
use crate::id::{ConnectionId, Subject};

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    Joined {
        connection: ConnectionId,
        subject: Subject,
        peer: PeerId,
    },
    Left {
        connection: ConnectionId,
        subject: Subject,
        peer: PeerId,
    },
    /// Something was refused; without a document, the whole connection.
    Refused {
        connection: ConnectionId,
        document: Option<DocumentId>,
        code: DenialCode,
        reason: String,
    },
}

impl Hub {
    pub(super) fn note_join(&mut self, id: ConnectionId) {
        let Some((connection, peer)) = self.connections.get(id).and_then(|it| Some((it, it.peer.as_ref()?)))
        else {
            return;
        };
        let (subject, peer) = (connection.permit.subject.clone(), peer.id.clone());
        let tenant = connection.permit.tenant.clone();
        let note = Note::Joined { connection: id, subject, peer };
        self.outputs.push_back(Output::Noted { tenant, note });
    }

    /// Notes that somebody who had joined is gone. Only the front does, so that it is said once.
    pub(super) fn note_leave(&mut self, id: ConnectionId, connection: &Connection) {
        let Some(peer) = connection.peer.as_ref().filter(|_| self.shard.is_front()) else { return };
        let (subject, peer) = (connection.permit.subject.clone(), peer.id.clone());
        let note = Note::Left { connection: id, subject, peer };
        self.outputs.push_back(Output::Noted { tenant: connection.permit.tenant.clone(), note });
    }

    pub(super) fn note_refusal(
        &mut self,
        id: ConnectionId,
        document: Option<DocumentId>,
        code: DenialCode,
        reason: &str,
    ) {
        let Some(connection) = self.connections.get(id) else { return };
        let reason = reason.to_owned();
        let note = Note::Refused { connection: id, document, code, reason };
        self.outputs.push_back(Output::Noted { tenant: connection.permit.tenant.clone(), note });
    }
}
