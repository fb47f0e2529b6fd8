//! What a hub counts.

use std::iter::Sum;

/// What has happened since the hub was made, and what there is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Counters {
    pub connections: u64,
    /// Documents in memory.
    pub rooms: u64,
    pub frames_received: u64,
    pub frames_sent: u64,
    pub bytes_received: u64,
    pub bytes_sent: u64,
    /// Changes that have become durable.
    pub changes_stored: u64,
    /// Changes that could not be stored.
    pub changes_lost: u64,
    pub ephemeral_forwarded: u64,
    /// Refusals of documents and of connections.
    pub refusals: u64,
    /// Connections that had to rest.
    pub pauses: u64,
    pub documents_loaded: u64,
    pub documents_evicted: u64,
    pub snapshots_made: u64,
}

/// Of several hubs that are one relay.
impl Sum for Counters {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, hub| Self {
            connections: sum.connections + hub.connections,
            rooms: sum.rooms + hub.rooms,
            frames_received: sum.frames_received + hub.frames_received,
            frames_sent: sum.frames_sent + hub.frames_sent,
            bytes_received: sum.bytes_received + hub.bytes_received,
            bytes_sent: sum.bytes_sent + hub.bytes_sent,
            changes_stored: sum.changes_stored + hub.changes_stored,
            changes_lost: sum.changes_lost + hub.changes_lost,
            ephemeral_forwarded: sum.ephemeral_forwarded + hub.ephemeral_forwarded,
            refusals: sum.refusals + hub.refusals,
            pauses: sum.pauses + hub.pauses,
            documents_loaded: sum.documents_loaded + hub.documents_loaded,
            documents_evicted: sum.documents_evicted + hub.documents_evicted,
            snapshots_made: sum.snapshots_made + hub.snapshots_made,
        })
    }
}
