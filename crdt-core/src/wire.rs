//! The frames that peers exchange: automerge-repo's protocol 1, and our extensions of it.
//!
//! One frame is one CBOR map in one binary message of whatever carries it. `PROTOCOL.md` says what each means and when
//! it is sent; this module only reads and writes them. Bytes from anyone become a [`Frame`] or a [`DecodeError`], within
//! the bounds of [`limits`](crate::limits), and what is large (`data`) is borrowed, never copied.
//!
//! ```
//! use crdt_core::wire::{Frame, PeerMetadata, PeerRef};
//!
//! let join = Frame::Join { sender: PeerRef::new("phone")?, metadata: PeerMetadata::default(), versions: vec!["1"] };
//! let bytes = join.encode();
//! assert_eq!(Frame::decode(&bytes)?, join);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | frame | says |
//! |---|---|
//! | [`Join`](Frame::Join), [`Peer`](Frame::Peer), [`Leave`](Frame::Leave), [`Error`](Frame::Error) | hello, welcome, goodbye, and a goodbye with a reason |
//! | [`Request`](Frame::Request), [`Sync`](Frame::Sync), [`Unavailable`](Frame::Unavailable) | a sync message about a document; that it is nowhere to be found |
//! | [`Ephemeral`](Frame::Ephemeral) | something for whoever is here now, never stored |
//! | [`RemoteSubscription`](Frame::RemoteSubscription), [`RemoteHeads`](Frame::RemoteHeads) | what a store that is not connected here has |
//! | [`Durable`](Frame::Durable), [`Denied`](Frame::Denied), [`Open`](Frame::Open), [`Presence`](Frame::Presence), [`GoingAway`](Frame::GoingAway), [`Ping`](Frame::Ping), [`Pong`](Frame::Pong), [`Permitted`](Frame::Permitted), [`Renew`](Frame::Renew) | ours, only to peers that announced the [`Capability`] |

mod capability;
mod cbor;
mod decode;
mod encode;
mod extension;
mod fields;
mod name;

pub use self::capability::{Capabilities, Capability};
pub use self::cbor::CborError;
pub use self::decode::split_frames;
pub use self::extension::{Denial, DenialCode, DocumentHeads, GoingAway, Presence};
pub use self::name::{DeviceId, DeviceRef, PeerId, PeerRef, SessionId, SessionRef, StorageId, StorageRef};

use std::time::Duration;

use crate::id::{ChangeHash, DocumentId, InvalidId};
use crate::limits::FRAME_BYTES_MAX;
use crate::time::Timestamp;

/// The version of automerge-repo's protocol that we speak, as it is written in `join` and `peer`.
pub const PROTOCOL_VERSION: &str = "1";

/// One frame, borrowing from the bytes it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Frame<'a> {
    /// The first frame, from whoever connected.
    Join { sender: PeerRef<'a>, metadata: PeerMetadata<'a>, versions: Vec<&'a str> },
    /// The answer to a `join`.
    Peer { route: Route<'a>, metadata: PeerMetadata<'a>, version: &'a str },
    /// The sender is about to close the connection.
    Leave { sender: PeerRef<'a> },
    /// Something went wrong; the connection is closed after it. Some writers leave out who speaks to whom.
    Error { sender: Option<PeerRef<'a>>, target: Option<PeerRef<'a>>, message: &'a str },
    /// A sync message from somebody who has nothing of the document and asks for it.
    Request { route: Route<'a>, document: DocumentId, data: &'a [u8] },
    /// A sync message.
    Sync { route: Route<'a>, document: DocumentId, data: &'a [u8] },
    /// The sender has nothing of the document and knows of nobody who has. Not for ever: it may arrive later.
    Unavailable { route: Route<'a>, document: DocumentId },
    /// Something for whoever follows the document now.
    Ephemeral(Ephemeral<'a>),
    /// The sender wants to hear, or no longer, what these stores have.
    RemoteSubscription { route: Route<'a>, add: Vec<StorageRef<'a>>, remove: Vec<StorageRef<'a>> },
    /// What stores have of a document.
    RemoteHeads { route: Route<'a>, document: DocumentId, heads: Vec<StorageHeads<'a>> },
    /// What is on disk at the sender, of each of these documents.
    Durable { route: Route<'a>, documents: Vec<DocumentHeads> },
    /// The sender refuses something.
    Denied { route: Route<'a>, denial: Denial<'a> },
    /// The sender opens these documents and has these heads of them.
    Open { route: Route<'a>, documents: Vec<DocumentHeads> },
    /// Somebody is here.
    Presence { route: Route<'a>, presence: Presence<'a> },
    /// The sender is about to close every connection.
    GoingAway { route: Route<'a>, going: GoingAway<'a> },
    /// Are you there?
    Ping { route: Route<'a>, count: u64 },
    /// I am, and I saw this ping.
    Pong { route: Route<'a>, count: u64 },
    /// What the receiver is permitted ends when this time has passed from the frame's arrival on.
    Permitted { route: Route<'a>, expires_after: Duration },
    /// A new token, in place of the one that let the sender in.
    Renew { route: Route<'a>, token: &'a str },
    /// A frame of a type that this version does not know. To be ignored.
    Unknown { kind: &'a str },
}

/// From whom, to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route<'a> {
    pub sender: PeerRef<'a>,
    pub target: PeerRef<'a>,
}

/// What a peer says about itself when it connects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerMetadata<'a> {
    /// The store behind the peer, if it has one.
    pub storage: Option<StorageRef<'a>>,
    /// Whether the peer, and what it was told, will be gone after this connection.
    pub ephemeral: bool,
    /// Which of our extensions it understands.
    pub capabilities: Capabilities,
}

/// A message that is never stored. Its sender is the author, also when others forward it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ephemeral<'a> {
    pub route: Route<'a>,
    pub document: DocumentId,
    pub session: SessionRef<'a>,
    /// Rises within a session: whoever sees a count that does not rise has seen the message.
    pub count: u64,
    /// The application's; opaque here.
    pub data: &'a [u8],
}

/// What one store has of a document, and when it told so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageHeads<'a> {
    pub storage: StorageRef<'a>,
    pub heads: Vec<ChangeHash>,
    pub told: Timestamp,
}

/// Why bytes are not a frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    #[error("the frame is {bytes} bytes long; at most {FRAME_BYTES_MAX} are accepted")]
    TooLarge { bytes: usize },
    #[error("the frame is not readable CBOR: {0}")]
    Cbor(#[from] CborError),
    #[error("the frame's field {field} is not as it should be: {error}")]
    Field { field: &'static str, error: CborError },
    #[error("the frame has no field {field}")]
    Missing { field: &'static str },
    #[error("the frame has two fields {field:?}")]
    Repeated { field: String },
    #[error("the frame's {field} is {bytes} bytes long; at most {bytes_max} are accepted")]
    TooLong { field: &'static str, bytes: usize, bytes_max: usize },
    #[error("the frame has more than {max} {what}")]
    TooMany { what: &'static str, max: usize },
    #[error("the frame's data is empty")]
    NoData,
    #[error("a goodbye asks to come back between {min_ms} ms and {max_ms} ms from now")]
    EmptyRange { min_ms: u64, max_ms: u64 },
    #[error(transparent)]
    Id(#[from] InvalidId),
}

#[cfg(test)]
mod tests;
