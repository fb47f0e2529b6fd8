//! Saying no, clearly, to those who can hear it.

use std::time::Duration;

use crdt_core::id::DocumentId;
use crdt_core::wire::{Capability, Denial, DenialCode, Frame, Route};

use super::Hub;
use crate::id::ConnectionId;

/// When to try again what a disk failed to do. Long enough for disks that fail for a moment, short enough that a person
/// who looks at what is pending still believes it.
const DISK_TIME: Duration = Duration::from_secs(5);

/// What is refused of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// To be served it at all.
    Reading,
    /// What was brought for it.
    Writing,
}

impl Hub {
    /// Refuses something about a document. A peer that knows no denials is told that there is nothing to read; that
    /// nothing was written it sees by heads that never cover its changes.
    pub(super) fn refuse_document(
        &mut self,
        id: ConnectionId,
        document: DocumentId,
        refused: Refused,
        code: DenialCode,
        reason: &str,
    ) {
        self.counters.refusals += 1;
        self.note_refusal(id, Some(document), code, reason);
        if self.refuse_put(id, refused, code, reason) {
            return;
        }
        let Some((connection, peer)) = self.connections.get(id).and_then(|it| Some((it, it.peer.as_ref()?)))
        else {
            return;
        };
        let route = Route { sender: self.id.borrowed(), target: peer.id.borrowed() };
        let frame = if connection.has(Capability::Denial) {
            let retry_after = (code == DenialCode::Storage).then_some(DISK_TIME);
            let denial = Denial { document: Some(document), code, reason, retry_after };
            Frame::Denied { route, denial }.encode()
        } else if refused == Refused::Reading {
            Frame::Unavailable { route, document }.encode()
        } else {
            return;
        };
        self.send(id, frame);
    }

    /// As [`Hub::refuse_document`], for a message that no honest peer sends. After several the connection is closed.
    pub(super) fn refuse_malformed(&mut self, id: ConnectionId, document: DocumentId, reason: &str) {
        self.refuse_document(id, document, Refused::Writing, DenialCode::Invalid, reason);
        let is_enough =
            self.connections.get_mut(id).is_some_and(|connection| connection.strike(&self.limits));
        if is_enough {
            self.refuse_connection(id, DenialCode::Invalid, "too many malformed messages");
        }
    }

    /// Refuses to go on with a connection that asks too much at once, and says when to come back.
    pub(super) fn refuse_hasty(&mut self, id: ConnectionId, rest: Duration) {
        let reason = format!("too much at once; come back in {} s", rest.as_millis().div_ceil(1000));
        self.refuse_connection_until(id, DenialCode::Rate, &reason, Some(rest));
    }

    /// Refuses to go on with a connection, says why, and closes it.
    pub(super) fn refuse_connection(&mut self, id: ConnectionId, code: DenialCode, reason: &str) {
        self.refuse_connection_until(id, code, reason, None);
    }

    fn refuse_connection_until(
        &mut self,
        id: ConnectionId,
        code: DenialCode,
        reason: &str,
        retry_after: Option<Duration>,
    ) {
        self.counters.refusals += 1;
        self.note_refusal(id, None, code, reason);
        if self.refuse_put(id, Refused::Writing, code, reason) {
            return;
        }
        let Some(connection) = self.connections.get(id) else { return };
        let (sender, target) = (self.id.borrowed(), connection.peer.as_ref().map(|peer| peer.id.borrowed()));
        let frame = match target.filter(|_| connection.has(Capability::Denial)) {
            Some(target) => {
                let denial = Denial { document: None, code, reason, retry_after };
                Frame::Denied { route: Route { sender, target }, denial }.encode()
            }
            None => Frame::Error { sender: Some(sender), target, message: reason }.encode(),
        };
        self.send(id, frame);
        self.close(id, reason);
    }
}
