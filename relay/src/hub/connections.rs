//! All connections, and what those of one peer or one subject share.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use crdt_core::time::Timestamp;
use crdt_core::wire::{PeerId, PeerRef};

use super::connection::{Connection, Peer};
use super::limits::Limits;
use super::rate::Bucket;
use crate::access::Permit;
use crate::id::{ConnectionId, Subject, Tenant};

#[derive(Debug, Default)]
pub(super) struct Connections {
    all: BTreeMap<ConnectionId, Connection>,
    /// Who is connected under which peer id.
    peers: BTreeMap<Tenant, BTreeMap<PeerId, BTreeSet<ConnectionId>>>,
    subjects: BTreeMap<(Tenant, Subject), Account>,
    tenants: BTreeMap<Tenant, TenantAccount>,
    /// Connections to which there may be something to say, and room to say it.
    ready: BTreeSet<ConnectionId>,
}

/// What the connections of one authenticated subject share.
#[derive(Debug)]
struct Account {
    connections: BTreeSet<ConnectionId>,
    frames: Bucket,
}

/// What the connections of one tenant share.
#[derive(Debug)]
struct TenantAccount {
    connections: usize,
    frames: Bucket,
}

/// Why a connection is not taken on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The subject has as many connections as it may.
    TooMany,
    /// Another subject is connected under this peer id.
    PeerTaken,
}

impl Connections {
    pub(super) fn insert(
        &mut self,
        id: ConnectionId,
        permit: Permit,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<(), Refused> {
        if permit.is_authenticated {
            let key = (permit.tenant.clone(), permit.subject.clone());
            let account = self.subjects.entry(key).or_insert_with(|| Account {
                connections: BTreeSet::new(),
                frames: Bucket::full(limits.frames_of_subject, now),
            });
            if account.connections.len() >= limits.connections_per_subject_max {
                return Err(Refused::TooMany);
            }
            account.connections.insert(id);
        }
        let full = || TenantAccount { connections: 0, frames: Bucket::full(limits.frames_of_tenant, now) };
        self.tenants.entry(permit.tenant.clone()).or_insert_with(full).connections += 1;
        let before = self.all.insert(id, Connection::new(permit, limits, now));
        assert!(before.is_none(), "{id:?} is used twice");
        Ok(())
    }

    /// Binds the connection to the peer it says it is. Older connections of the same subject's peer are returned: the
    /// device has come back over a new network. Somebody else's are never touched.
    pub(super) fn bind(&mut self, id: ConnectionId, peer: Peer) -> Result<Vec<ConnectionId>, Refused> {
        let permit = &self.all[&id].permit;
        let namesakes = self.peers.get(&permit.tenant).and_then(|peers| peers.get(&peer.id));
        let namesakes: Vec<_> = namesakes.into_iter().flatten().copied().collect();
        let is_own = |other: &ConnectionId| self.all[other].permit.subject == permit.subject;
        if !namesakes.iter().all(is_own) {
            return Err(Refused::PeerTaken);
        }
        let replaced = if permit.is_authenticated { namesakes } else { Vec::new() };
        self.introduce(id, peer);
        Ok(replaced)
    }

    /// Notes who is at the other end of a connection.
    pub(super) fn introduce(&mut self, id: ConnectionId, peer: Peer) {
        let connection = self.all.get_mut(&id).expect("it is connected");
        let peers = self.peers.entry(connection.permit.tenant.clone()).or_default();
        peers.entry(peer.id.clone()).or_default().insert(id);
        connection.peer = Some(peer);
    }

    pub(super) fn remove(&mut self, id: ConnectionId) -> Option<Connection> {
        let connection = self.all.remove(&id)?;
        self.ready.remove(&id);
        let tenant = &connection.permit.tenant;
        let key = (tenant.clone(), connection.permit.subject.clone());
        if let Some(account) = self.subjects.get_mut(&key) {
            account.connections.remove(&id);
            if account.connections.is_empty() {
                self.subjects.remove(&key);
            }
        }
        if let Some(account) = self.tenants.get_mut(tenant) {
            account.connections -= 1;
            if account.connections == 0 {
                self.tenants.remove(tenant);
            }
        }
        if let Some(peers) = self.peers.get_mut(tenant) {
            if let Some(peer) = &connection.peer
                && let Some(namesakes) = peers.get_mut(&peer.id)
            {
                namesakes.remove(&id);
                if namesakes.is_empty() {
                    peers.remove(&peer.id);
                }
            }
            if peers.is_empty() {
                self.peers.remove(tenant);
            }
        }
        Some(connection)
    }

    pub(super) fn get(&self, id: ConnectionId) -> Option<&Connection> {
        self.all.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.all.get_mut(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnectionId, &Connection)> {
        self.all.iter().map(|(id, connection)| (*id, connection))
    }

    /// Those from a bound on, in their order.
    pub(super) fn range(
        &self,
        from: Bound<ConnectionId>,
    ) -> impl Iterator<Item = (ConnectionId, &Connection)> {
        self.all.range((from, Bound::Unbounded)).map(|(id, connection)| (*id, connection))
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether a message that names `author` may come from somebody connected as `permit` says: an author who is
    /// connected as another subject speaks for themselves.
    pub(super) fn may_speak_for(&self, permit: &Permit, author: PeerRef<'_>) -> bool {
        let namesakes = self.peers.get(&permit.tenant).and_then(|peers| peers.get(author.as_str()));
        let is_own = |id: &ConnectionId| self.all[id].permit.subject == permit.subject;
        namesakes.is_none_or(|namesakes| namesakes.iter().all(is_own))
    }

    /// The connections of the same authenticated subject.
    pub(super) fn of_subject(&self, permit: &Permit) -> impl Iterator<Item = ConnectionId> {
        let key = (permit.tenant.clone(), permit.subject.clone());
        self.subjects.get(&key).into_iter().flat_map(|account| account.connections.iter().copied())
    }

    /// Charges one frame to the connection, its subject and its tenant, and says how long the connection has to rest.
    pub(super) fn charge(
        &mut self,
        id: ConnectionId,
        limits: &Limits,
        bytes: usize,
        now: Timestamp,
    ) -> Option<Duration> {
        let connection = self.all.get_mut(&id)?;
        let own = connection.charge(limits, bytes, now);
        let tenant = self.tenants.get_mut(&connection.permit.tenant)?;
        let own = own.max(tenant.frames.take(limits.frames_of_tenant, 1, now));
        if !connection.permit.is_authenticated {
            return own;
        }
        let key = (connection.permit.tenant.clone(), connection.permit.subject.clone());
        let account = self.subjects.get_mut(&key)?;
        own.max(account.frames.take(limits.frames_of_subject, 1, now))
    }

    /// Notes that there may be something to say to the connection.
    pub(super) fn note_ready(&mut self, id: ConnectionId) {
        if self.all.get(&id).is_some_and(Connection::is_ready) {
            self.ready.insert(id);
        }
    }

    /// One connection of those to which there may be something to say.
    pub(super) fn take_ready(&mut self) -> Option<ConnectionId> {
        self.ready.pop_first()
    }
}
