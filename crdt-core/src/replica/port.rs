//! What goes into a replica and what comes out of it.

use std::fmt;

use super::command::{Command, CommandId, CommandOutcome};
use super::event::Event;
use super::pace::Conditions;
use super::queue::Priority;
use crate::id::DocumentId;
use crate::wire::StorageId;

/// Somewhere to connect to, as the application numbers it. The driver knows its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(pub u32);

/// One connection, numbered by the replica: dialled ones in [`Output::Dial`], others by [`super::Replica::accept`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {}", self.0)
    }
}

/// One write, numbered by the replica so that its outcome can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteId(pub u64);

/// What somebody at the other end of a connection is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Stores what it shows: operations that its heads cover are confirmed.
    Relay,
    /// Another replica: a tab, a device near by. Confirms nothing.
    Peer,
}

/// Why a document is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Intent {
    /// It may be written to as soon as the local store has been asked, whether anything was there or not: for documents
    /// whose id every device of a person derives, and that come together by merging.
    OpenOrCreate,
    /// It is somebody's document and must be found: in the local store, or at a peer, who is asked for it.
    Find,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// The moment of [`super::Replica::next_deadline`] came.
    Wake,

    /// Opens a document and keeps it in step with every peer. Opening it again raises its priority.
    Open { document: DocumentId, intent: Intent, priority: Priority },
    /// The application needs the document no longer. It leaves memory when it is stored and what is pending is confirmed
    /// (or nobody is there who could confirm it).
    Close { document: DocumentId },

    /// Connects to a place, and stays connected.
    Connect { endpoint: EndpointId, role: Role },
    /// Stops connecting to a place.
    Disconnect { endpoint: EndpointId },
    /// A dialled connection is open, or an accepted one is.
    Connected { connection: ConnectionId },
    /// A frame arrived.
    Received { connection: ConnectionId, frame: Vec<u8> },
    /// The other end gave a sign of life below the frames, such as the pong of a WebSocket.
    Heard { connection: ConnectionId },
    /// The connection is no more, or never came to be.
    Closed { connection: ConnectionId, why: String },
    /// A new token for a place, because [`Event::TokenDue`] asked for one or whenever there is one. Drivers dial with the
    /// newest as well.
    Token { endpoint: EndpointId, token: String },
    /// The system says that there is a network now: whoever waits to connect tries at once.
    NetworkUp,
    /// The system says that there is none.
    NetworkDown,
    /// In what conditions the replica runs now.
    Conditions(Conditions),

    /// The answer to [`StorageRequest::LoadIndex`].
    IndexLoaded { records: Vec<(RecordKey, Vec<u8>)> },
    /// The answer to [`StorageRequest::LoadDocument`]: everything appended since the last replacement, in order, and the
    /// document's own records.
    DocumentLoaded { document: DocumentId, chunks: Vec<u8>, records: Vec<(RecordKey, Vec<u8>)> },
    /// A read failed.
    LoadFailed { document: Option<DocumentId>, why: String },
    /// A write is durable, with all writes before it.
    Stored { write: WriteId },
    /// A write failed. Nothing of it, or all of it, is there.
    StoreFailed { write: WriteId, why: String },

    /// Puts a command into the outbox.
    Submit(Command),
    /// What became of a command that was run.
    CommandDone { command: CommandId, outcome: CommandOutcome },
    /// Tries a dead command again.
    Revive { command: CommandId },
    /// Drops a command, dead or waiting.
    Discard { command: CommandId },

    /// Tells others that this device is here: whoever follows the document, or without one the person's other devices.
    Appear { document: Option<DocumentId>, data: Vec<u8> },
    /// Takes that back.
    Disappear { document: Option<DocumentId> },
    /// The person did something: others see how long ago.
    Active,
    /// Sends something to whoever follows the document now. Never stored.
    Broadcast { document: DocumentId, data: Vec<u8> },
}

/// Something to be done by the driver, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// Open a connection; answer with [`Input::Connected`] or [`Input::Closed`].
    Dial { endpoint: EndpointId, connection: ConnectionId },
    /// Close a connection, once what was sent on it is gone. Nothing more is heard of it.
    Close { connection: ConnectionId },
    /// Send a frame.
    Send { connection: ConnectionId, frame: Vec<u8> },
    /// Read or write the local store.
    Storage(StorageRequest),
    /// Carry out a command; answer with [`Input::CommandDone`]. It may have been carried out before: its id is the key
    /// by which the service recognises it.
    Run { command: Command, attempt: u32 },
    /// Tell the application.
    Event(Event),
}

/// What the local store is asked to do. Writes become durable in the order of their requests.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StorageRequest {
    /// Read every record whose key [`RecordKey::is_in_index`].
    LoadIndex,
    /// Read a document's chunks and its own records.
    LoadDocument { document: DocumentId },
    /// Do all of these, or none.
    Write { write: WriteId, parts: Vec<WritePart> },
}

/// One part of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WritePart {
    /// Adds chunks to those of a document.
    Append {
        document: DocumentId,
        chunks: Vec<u8>,
    },
    /// Puts chunks in the place of all that a document has.
    Replace {
        document: DocumentId,
        chunks: Vec<u8>,
    },
    Put {
        key: RecordKey,
        value: Vec<u8>,
    },
    Delete {
        key: RecordKey,
    },
}

/// The name of a small value in the local store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum RecordKey {
    /// What of a document is not confirmed yet. There only while something is not.
    Standing(DocumentId),
    /// A command of the outbox.
    Command(CommandId),
    /// What a document and a store elsewhere have in common.
    Shared(DocumentId, StorageId),
}

impl RecordKey {
    /// Whether the record is read at the start; the others are read with their document.
    pub fn is_in_index(&self) -> bool {
        matches!(self, Self::Standing(_) | Self::Command(_))
    }
}
