//! Who is connected, for whoever looks after the relay.

use std::ops::Bound;

use crdt_core::time::Timestamp;
use crdt_core::wire::PeerId;

use super::Hub;
use crate::id::{ConnectionId, Subject, Tenant};

/// One connection that has joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub connection: ConnectionId,
    pub subject: Subject,
    pub peer: PeerId,
    pub since: Timestamp,
    /// Documents of this hub that it follows or has asked for.
    pub documents: usize,
}

impl Hub {
    /// The tenant's connections after `after`, in their order, at most `limit`.
    pub fn sessions(&self, tenant: &Tenant, after: ConnectionId, limit: usize) -> Vec<Session> {
        let own = self.connections.range(Bound::Excluded(after)).filter_map(|(connection, it)| {
            let peer = it.peer.as_ref().filter(|_| it.permit.tenant == *tenant)?;
            Some(Session {
                connection,
                subject: it.permit.subject.clone(),
                peer: peer.id.clone(),
                since: it.since,
                documents: it.documents.len(),
            })
        });
        own.take(limit).collect()
    }
}
