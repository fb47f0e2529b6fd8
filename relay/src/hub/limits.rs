//! What a relay grants its peers: every bound of the hub, as data, with the defaults and their reasons.

use std::time::Duration;

use crdt_core::limits::FRAME_BYTES_MAX;

use super::rate::Rate;

/// The hub's bounds. An operator may change any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a connection may take to say who it is.
    pub handshake_time_max: Duration,
    /// Frames from one connection. Opening thousands of documents at once is a burst.
    pub frames: Rate,
    /// Bytes from one connection.
    pub bytes: Rate,
    /// As `frames`, from all connections of one authenticated subject together.
    pub frames_of_subject: Rate,
    /// As `frames`, from all connections of one tenant together, so that no shop slows down the others.
    pub frames_of_tenant: Rate,
    /// A connection that would have to rest for longer is closed, and told when to come back.
    pub rest_time_max: Duration,
    /// Connections of one authenticated subject: devices, tabs, and some that have not been noticed to be gone.
    pub connections_per_subject_max: usize,
    /// Documents that one connection may follow or have asked for.
    pub documents_per_connection_max: usize,
    /// Bytes of frames that wait for their documents to be loaded, for one connection.
    pub parked_bytes_max: usize,
    /// When more bytes wait to be written to a connection, nothing more is made for it. What it misses meanwhile it is
    /// told in one message later: a slow reader costs what is in its queue and no more.
    pub queue_bytes_high: usize,
    /// When fewer bytes wait, it is told what it missed.
    pub queue_bytes_low: usize,
    /// A reader that takes nothing for this long is gone.
    pub stalled_time_max: Duration,
    /// Malformed messages after which a connection is closed. Bugs make a few, attacks many.
    pub strikes_max: u32,
    /// Stored bytes of one tenant.
    pub tenant_bytes_max: u64,
    /// Stored bytes of one document.
    pub document_bytes_max: u64,
    /// Bytes of changes held back until what they depend on arrives, over all documents.
    pub held_bytes_max: usize,
    /// Bytes of changes kept in memory for whoever follows next, over all documents.
    pub cache_bytes_max: usize,
    /// A document's bytes leave memory when nobody has needed them for this long.
    pub cache_time_max: Duration,
    /// A document leaves memory altogether when nobody has followed it for this long. Devices that lose their network come
    /// back within seconds.
    pub linger_time_max: Duration,
    /// Changes stored one by one after which a document is packed into a snapshot, or more when the snapshot is larger.
    pub compact_after: usize,
    /// For a peer that can't read snapshots, one is taken apart if its changes together are no longer than this: what a
    /// message to such a peer may cost, a few hundredths of a second. Larger documents are not available to it.
    pub unpacked_bytes_max: usize,
    /// Authors whose ephemeral messages a document remembers, to tell new from repeated.
    pub ephemeral_sessions_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake_time_max: Duration::from_secs(10),
            frames: Rate { per_second: 2_000, burst: 20_000 },
            bytes: Rate { per_second: 16 << 20, burst: 2 * FRAME_BYTES_MAX as u64 },
            frames_of_subject: Rate { per_second: 10_000, burst: 100_000 },
            frames_of_tenant: Rate { per_second: 100_000, burst: 1_000_000 },
            rest_time_max: Duration::from_secs(30),
            connections_per_subject_max: 100,
            documents_per_connection_max: 10_000,
            parked_bytes_max: FRAME_BYTES_MAX + (8 << 20),
            queue_bytes_high: 1 << 20,
            queue_bytes_low: 256 << 10,
            stalled_time_max: Duration::from_mins(1),
            strikes_max: 8,
            tenant_bytes_max: 64 << 30,
            document_bytes_max: 256 << 20,
            held_bytes_max: 64 << 20,
            cache_bytes_max: 128 << 20,
            cache_time_max: Duration::from_secs(2),
            linger_time_max: Duration::from_secs(10),
            compact_after: 256,
            unpacked_bytes_max: 8 << 20,
            ephemeral_sessions_max: 256,
        }
    }
}
