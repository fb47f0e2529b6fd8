//! The relay as one pure machine: rooms, sync, fan-out, access, quotas.
//!
//! [`Hub::handle`] takes one [`Input`] at one moment; then [`Hub::poll_output`] is called until it has nothing more to
//! say. Nothing in here touches a socket, a disk, a clock or a random number, so a driver and the simulator run the very
//! same machine. A driver turns each [`Output`] into its effect and each result into an [`Input`], and decides nothing.
//!
//! What it promises:
//! * **Durable before advertised.** A change goes out as [`Output::Append`]. Only after [`Input::Stored`] is it part of the
//!   heads that anyone is shown, is it forwarded, is its author answered. A failed append closes the room: peers are told,
//!   and what is served next is what the disk has.
//! * **It never opens a document.** Changes are hashes, dependencies and opaque bytes; see [`crdt_core::graph`].
//! * **One peer's trouble is its own.** Whatever a peer sends costs others no more than the changes in it. Everything that
//!   it can make grow is bounded by [`Limits`].
//! * **Idle documents cost nothing.** A document that nobody follows leaves memory; one that nobody has is never there.
//!
//! A tenant's documents are a world of their own: peers, rooms, quotas and feeds never meet another tenant's. Hubs run side by
//! side where one core is too little: see [`Shards`].
//!
//! ```
//! use crdt_core::time::Timestamp;
//! use crdt_core::wire::{Frame, PeerId, PeerMetadata, PeerRef};
//! use relay::access::Permit;
//! use relay::hub::{Hub, Input, Limits, Output};
//! use relay::id::{ConnectionId, Subject, Tenant};
//!
//! let mut hub = Hub::new(PeerId::new("relay")?, None, Limits::default());
//! let (now, phone) = (Timestamp::ZERO, ConnectionId(1));
//! let permit = Permit::user(Tenant::new("shop")?, Subject::new("student-7")?);
//! hub.handle(now, Input::Connected { connection: phone, permit });
//!
//! let (sender, metadata) = (PeerRef::new("phone")?, PeerMetadata::default());
//! let frame = Frame::Join { sender, metadata, versions: vec!["1"] }.encode();
//! hub.handle(now, Input::Received { connection: phone, frame });
//!
//! let sent = std::iter::from_fn(|| hub.poll_output()).find_map(|output| match output {
//!     Output::Send { connection, frame } => Some((connection, frame)),
//!     _ => None,
//! });
//! let (connection, frame) = sent.expect("an answer");
//! assert_eq!(connection, phone);
//! assert!(matches!(Frame::decode(&frame)?, Frame::Peer { .. }));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod connection;
mod connections;
mod counters;
mod gathering;
mod greeting;
mod hearing;
mod limits;
mod noting;
mod putting;
mod rate;
mod refusing;
mod room;
mod seen;
mod sessions;
mod shard;
mod snapshot;
mod speaking;
mod storing;
mod tidying;
mod version;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crdt_core::id::{ChangeHash, DocumentId};
use crdt_core::time::Timestamp;
use crdt_core::wire::{DenialCode, PeerId, StorageId};

pub use self::connection::Peer;
pub use self::counters::Counters;
pub use self::limits::Limits;
pub use self::noting::Note;
pub use self::putting::{Put, PutDone, PutError};
pub(crate) use self::rate::Bucket;
pub use self::rate::Rate;
pub use self::sessions::Session;
pub use self::shard::{Place, Shard, Shards};
pub use self::snapshot::{decode_index, encode_index};
pub use self::version::{Condition, Version, Versions};

use self::connections::Connections;
use self::putting::Putting;
use self::room::{Room, Sizes};
use self::seen::Seen;
use crate::access::{Access, Permit};
use crate::id::{ConnectionId, DocumentKey, Position, Sequence, Tenant};
use crate::store::{Append, CommitError, Committed, LoadError, Loaded, Usage};

/// What a hub is told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Input {
    /// Somebody with this permit has connected.
    Connected { connection: ConnectionId, permit: Permit },
    /// A whole frame has come.
    Received { connection: ConnectionId, frame: Vec<u8> },
    /// The peer's socket has taken a frame of so many bytes, sent earlier.
    Written { connection: ConnectionId, bytes: usize },
    /// The connection is no more.
    Closed { connection: ConnectionId },
    /// Somebody brings changes and does not stay. For the hub that handles the document; answered by [`Output::Put`].
    Put { connection: ConnectionId, put: Box<Put> },
    /// The connection's permit has been renewed or narrowed.
    Permitted { connection: ConnectionId, permit: Permit },
    /// The answer to [`Output::Renew`] when the token is not accepted; otherwise it is [`Input::Permitted`].
    NotRenewed { connection: ConnectionId, why: String },
    /// What let the connection in is not accepted any more.
    Revoked { connection: ConnectionId },
    /// The hub that decides about connections says so by [`Output::Joined`].
    Joined { connection: ConnectionId, permit: Permit, peer: Peer },
    /// The answer to [`Output::Load`].
    Loaded { key: DocumentKey, loaded: Result<(Loaded, Usage), LoadError> },
    /// The answer to [`Output::Read`].
    Read { key: DocumentKey, read: Result<ReadBytes, LoadError> },
    /// The answer to [`Output::Append`]. Appends of one document are answered in their order.
    Stored { key: DocumentKey, stored: Result<Committed, CommitError> },
    /// The answer to [`Output::Compact`]; `None` if it could not be done.
    Compacted { key: DocumentKey, compacted: Option<Compacted> },
    /// The access of a document has been changed, and stored.
    AccessChanged { key: DocumentKey, access: Access },
    /// A document has been erased from the store, and the change feed tells so here.
    Erased { key: DocumentKey, sequence: Sequence },
    /// The relay is about to stop. Peers are asked to come back at a random moment within this span.
    GoingAway { reconnect_after_min: Duration, reconnect_after_max: Duration },
    /// Time has passed. Due about once a second.
    Tick,
}

/// What a hub wants done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// Send the frame, and say [`Input::Written`] once the socket has taken it.
    Send {
        connection: ConnectionId,
        frame: Vec<u8>,
    },
    /// Read nothing more from the connection until then.
    Pause {
        connection: ConnectionId,
        until: Timestamp,
    },
    /// Close the connection once what was sent is written. The hub has forgotten it.
    Close {
        connection: ConnectionId,
        reason: String,
    },
    /// Look at the new token that the connection brings; answer with [`Input::Permitted`] or [`Input::NotRenewed`].
    Renew {
        connection: ConnectionId,
        token: String,
    },
    Load {
        key: DocumentKey,
    },
    /// Read single changes, and the snapshot if so said.
    Read {
        key: DocumentKey,
        positions: Vec<Position>,
        snapshot: bool,
    },
    /// Make durable, together with whatever else waits to be.
    Append(Append),
    /// Pack everything before this position into a snapshot, in the background.
    Compact {
        key: DocumentKey,
        through: Position,
    },
    /// Only from the front of several hubs: let the others know of the connection, or of its new permit, with
    /// [`Input::Joined`] before anything that follows reaches the peer.
    Joined {
        connection: ConnectionId,
        permit: Permit,
        peer: Peer,
    },
    /// Only from the front of several hubs: let the others know with [`Input::Closed`].
    Left {
        connection: ConnectionId,
    },
    /// The answer to [`Input::Put`], which ends its connection.
    Put {
        connection: ConnectionId,
        result: Result<PutDone, PutError>,
    },
    /// Something that whoever looks after the relay may want to know.
    Noted {
        tenant: Tenant,
        note: Note,
    },
    /// The tenant's change feed goes on to here.
    Advanced {
        tenant: Tenant,
        sequence: Sequence,
    },
}

/// Bytes read from the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadBytes {
    /// In the order in which they were asked for.
    pub changes: Vec<Vec<u8>>,
    /// Present if it was asked for.
    pub snapshot: Option<Vec<u8>>,
}

/// A snapshot that has been stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// Changes before its end that it does not hold.
    pub left_out: Vec<ChangeHash>,
    /// Length of the packed document.
    pub bytes: u64,
}

/// The relay.
#[derive(Debug)]
pub struct Hub {
    id: PeerId,
    storage: Option<StorageId>,
    shard: Shard,
    limits: Limits,
    now: Timestamp,
    connections: Connections,
    rooms: BTreeMap<DocumentKey, Slot>,
    /// Who has asked for documents that nobody has brought yet.
    wanted: BTreeMap<DocumentKey, BTreeSet<ConnectionId>>,
    /// Those who brought something and wait for it to be durable.
    puts: BTreeMap<ConnectionId, Putting>,
    /// Bytes stored of each tenant that has been active.
    tenant_bytes: BTreeMap<Tenant, u64>,
    /// What all rooms take together.
    sizes: Sizes,
    /// Rooms with bytes in memory, some of which may have gone cold.
    hot: VecDeque<DocumentKey>,
    /// When to look whether rooms that became quiet still are.
    quiet: BTreeSet<(Timestamp, DocumentKey)>,
    /// Presences that belong to no document.
    presence: Seen,
    counters: Counters,
    outputs: VecDeque<Output>,
}

/// The place of a document in the hub.
#[derive(Debug)]
enum Slot {
    /// It is being loaded; what came for it meanwhile waits.
    Loading(Box<Loading>),
    Open(Box<Room>),
    /// An append failed. So many more are on their way, and have to be answered before it may be loaded again.
    Failed {
        appends: usize,
    },
}

/// Those who wait for a document to be loaded.
#[derive(Debug, Default)]
struct Loading {
    waiting: Vec<Waiting>,
}

/// Something that came for a document that is being loaded.
#[derive(Debug)]
struct Waiting {
    connection: ConnectionId,
    call: Call<'static>,
}

/// What a peer does to a document.
#[derive(Debug)]
enum Call<'a> {
    /// It asks for it, with a sync message.
    Request { data: Cow<'a, [u8]> },
    /// It goes on with a sync message.
    Sync { data: Cow<'a, [u8]> },
    /// It opens the document, of which it has these heads.
    Open { heads: Vec<ChangeHash> },
    /// It has brought changes, which are among the hub's puts.
    Put,
}

impl Hub {
    /// A relay without connections, called `id` by its peers, over the store that calls itself `storage`.
    pub fn new(id: PeerId, storage: Option<StorageId>, limits: Limits) -> Self {
        Self::shard(id, storage, limits, Shard::SOLE)
    }

    /// As [`Hub::new`], for a share of the documents: one of several hubs that are one relay together. The limits are those
    /// of the whole relay.
    pub fn shard(id: PeerId, storage: Option<StorageId>, limits: Limits, shard: Shard) -> Self {
        Self {
            id,
            storage,
            shard,
            limits: shard.limits(limits),
            now: Timestamp::ZERO,
            connections: Connections::default(),
            rooms: BTreeMap::new(),
            wanted: BTreeMap::new(),
            puts: BTreeMap::new(),
            tenant_bytes: BTreeMap::new(),
            sizes: Sizes::default(),
            hot: VecDeque::new(),
            quiet: BTreeSet::new(),
            presence: Seen::default(),
            counters: Counters::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes in one input. Drain [`Hub::poll_output`] afterwards; several inputs may be handled before.
    pub fn handle(&mut self, now: Timestamp, input: Input) {
        self.now = now;
        match input {
            Input::Connected { connection, permit } => self.connected(connection, permit),
            Input::Received { connection, frame } => self.received(connection, &frame),
            Input::Written { connection, bytes } => self.written(connection, bytes),
            Input::Closed { connection } => self.forget(connection),
            Input::Put { connection, put } => self.put(connection, *put),
            Input::Permitted { connection, permit } => self.permitted(connection, permit),
            Input::NotRenewed { connection, why } => {
                self.refuse_connection(connection, DenialCode::Unauthenticated, &why);
            }
            Input::Revoked { connection } => {
                self.refuse_connection(
                    connection,
                    DenialCode::Unauthenticated,
                    "your permit has been revoked",
                );
            }
            Input::Joined { connection, permit, peer } => self.introduced(connection, permit, peer),
            Input::Loaded { key, loaded } => self.loaded(&key, loaded),
            Input::Read { key, read } => self.read(&key, read),
            Input::Stored { key, stored } => self.stored(&key, stored),
            Input::Compacted { key, compacted } => self.compacted(&key, compacted),
            Input::AccessChanged { key, access } => self.access_changed(&key, access),
            Input::Erased { key, sequence } => self.erased(&key, sequence),
            Input::GoingAway { reconnect_after_min, reconnect_after_max } => {
                self.going_away(reconnect_after_min, reconnect_after_max);
            }
            Input::Tick => self.tick(),
        }
    }

    /// The next thing to do, if any. What there is to say to peers is only made here, so that whatever happened since the
    /// last drain is said at once.
    pub fn poll_output(&mut self) -> Option<Output> {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return Some(output);
            }
            let connection = self.connections.take_ready()?;
            self.speak(connection);
        }
    }

    pub fn counters(&self) -> Counters {
        Counters {
            // Each once, however many hubs know it.
            connections: if self.shard.is_front() { self.connections.len() as u64 } else { 0 },
            rooms: self.rooms.len() as u64,
            ..self.counters
        }
    }

    /// Bytes of memory that active documents take, roughly.
    pub fn memory_bytes(&self) -> usize {
        let rooms = self.rooms.values().map(|slot| match slot {
            Slot::Open(room) => room.memory_bytes(),
            Slot::Loading(_) | Slot::Failed { .. } => 0,
        });
        rooms.sum::<usize>() + self.rooms.len() * (size_of::<DocumentKey>() + size_of::<Slot>())
    }

    /// Sends an encoded frame.
    fn send(&mut self, id: ConnectionId, frame: Vec<u8>) {
        if let Some(connection) = self.connections.get_mut(id) {
            connection.queue(frame.len(), &self.limits, self.now);
            self.counters.frames_sent += 1;
            self.counters.bytes_sent += frame.len() as u64;
            self.outputs.push_back(Output::Send { connection: id, frame });
        }
    }

    /// Notes that there may be something to say about the document.
    fn note_dirty(&mut self, id: ConnectionId, document: DocumentId) {
        if let Some(connection) = self.connections.get_mut(id) {
            connection.dirty.insert(document);
            self.connections.note_ready(id);
        }
    }
}

#[cfg(any(test, fuzzing))]
pub mod tests;
