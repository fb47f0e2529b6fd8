//! One document with one peer, until both hold the same.
//!
//! This is the Automerge sync protocol, versions 1 and 2, spoken from either side by one machine: [`State`] is what is
//! known of one peer, and a [`History`] is either a relay's [`crate::graph::Graph`], which opens nothing, or an open
//! [`Document`]. Messages come in by [`State::receive`], which needs no history, and go out by [`State::generate`], which
//! compares what is known of the peer with what is there now. So a relay may take changes in, wait until they are
//! durable, and only then look at what there is to say.
//!
//! What keeps it cheap, and apart from the reference implementation on the wire only in what it omits:
//! * A peer whose heads are all known here has a known state: what it lacks is told by the graph alone. Bloom filters
//!   are made and used only between peers that both hold something unknown to the other.
//! * Each message declares as common what the receiver will hold once it has read it, so that nothing echoes.
//! * Batches are bounded in bytes; the next waits for the answer to the last.
//! * A cold peer gets the snapshot in one chunk, then what is newer.
//! * An exchange in which neither side's heads move is broken off after [`SYNC_IDLE_ROUNDS_MAX`] rounds.
//!
//! ```
//! use crdt_core::document::Document;
//! use crdt_core::id::ActorId;
//! use crdt_core::sync::{Manner, State};
//!
//! let mut phone = Document::new(ActorId::from_bytes([1; 16]));
//! let mut laptop = Document::new(ActorId::from_bytes([2; 16]));
//! let mut edit = phone.edit();
//! edit.put("n/cart", "ring twice");
//! edit.commit();
//!
//! let (mut on_phone, mut on_laptop) = (State::new(Manner::OPEN), State::new(Manner::OPEN));
//! loop {
//!     let to_laptop = on_phone.generate_for(&mut phone);
//!     if let Some(message) = &to_laptop {
//!         on_laptop.receive_into(&mut laptop, message)?;
//!     }
//!     let to_phone = on_laptop.generate_for(&mut laptop);
//!     if let Some(message) = &to_phone {
//!         on_phone.receive_into(&mut phone, message)?;
//!     }
//!     if to_laptop.is_none() && to_phone.is_none() {
//!         break;
//!     }
//! }
//! assert_eq!(phone.heads(), laptop.heads());
//! # Ok::<(), crdt_core::sync::SyncError>(())
//! ```
//!
//! [`SYNC_IDLE_ROUNDS_MAX`]: crate::limits::SYNC_IDLE_ROUNDS_MAX

mod bloom;
mod history;
mod message;
mod plan;
mod state;

pub use self::bloom::{Bloom, InvalidBloom};
pub use self::history::History;
pub use self::message::{Flags, Have, InvalidMessage, Message};
pub use self::state::{InvalidState, Manner, Outgoing, Received, State};

use crate::document::{Applied, ApplyError, Change, Document, InvalidChange, LoadError};

impl State {
    /// Takes a peer's message into an open document.
    pub fn receive_into(&mut self, document: &mut Document, bytes: &[u8]) -> Result<Applied, SyncError> {
        let received = self.receive(&Message::decode(bytes)?)?;
        let mut applied = Applied::default();
        for packed in received.documents {
            applied.extend(document.apply_packed(&packed)?);
        }
        let changes: Result<Vec<_>, _> = received.changes.iter().map(Change::try_from).collect();
        applied.extend(document.apply(changes?)?);
        Ok(applied)
    }

    /// The next message for the peer from an open document, if there is anything to say. Whatever it holds counts as
    /// shared from now on.
    pub fn generate_for(&mut self, document: &mut Document) -> Option<Vec<u8>> {
        let outgoing = self.generate(document)?;
        let packed = if outgoing.snapshot { document.save() } else { Vec::new() };
        let changes = document.changes(&outgoing.changes);
        if outgoing.snapshot || !changes.is_empty() {
            document.mark_shared();
        }
        let snapshot = outgoing.snapshot.then_some(packed.as_slice());
        Some(outgoing.encode(snapshot.into_iter().chain(changes.iter().map(Change::bytes))))
    }
}

/// Why a peer's message could not be taken in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    #[error(transparent)]
    Message(#[from] InvalidMessage),
    #[error(transparent)]
    Change(#[from] InvalidChange),
    #[error(transparent)]
    Document(#[from] LoadError),
    #[error(transparent)]
    Apply(#[from] ApplyError),
}
