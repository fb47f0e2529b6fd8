//! Oracles: what must hold in every world, whatever went wrong in it.
//!
//! | oracle | demands |
//! |---|---|
//! | [`Promises`] | what a relay advertised, or a device called confirmed, is on a disk by then; that, and what a device has on its own disk, is everywhere in the end |
//! | [`Commands`] | a command that a device took is delivered, and a repetition carries the same key |
//! | [`Readers`] | a document's content goes to those who may read it, and to nobody once it is erased |
//! | [`convergence`] | in the end everyone who may read a document sees the same |
//!
//! That an exchange ends and that queues stay within their bounds is watched by the world itself, which alone sees every
//! frame and every machine.

mod commands;
pub mod convergence;
mod promises;
mod readers;

pub use self::commands::Commands;
pub use self::promises::{Promise, Promises};
pub use self::readers::Readers;

use crdt_core::id::{ChangeHash, DocumentId};
use relay::id::Sequence;

use crate::network::NodeId;
use crate::plan::Person;

/// What an oracle found: a bug, in the machines or in the world.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    #[error("change {change} of {document} was promised ({promise:?}) before it was durable")]
    Premature { change: ChangeHash, document: DocumentId, promise: Promise },
    #[error("change {change} of {document} was promised ({promise:?}) and {node} does not have it")]
    Lost { change: ChangeHash, document: DocumentId, promise: Promise, node: NodeId },
    #[error("{one} and {other} see {document} differently: {why}")]
    Diverged { one: NodeId, other: NodeId, document: DocumentId, why: String },
    #[error("{device} was told that change {change} of {document}, which it may write, is refused: {why}")]
    Unjust { device: NodeId, document: DocumentId, change: ChangeHash, why: String },
    #[error("{relay} sent the content of {document} to {person}, who may not read it")]
    Leaked { relay: NodeId, document: DocumentId, person: Person },
    #[error("{relay} has or sends something of {document}, which was erased there")]
    Risen { relay: NodeId, document: DocumentId },
    #[error("the change feed of {relay} does not tell what became of {document}")]
    Untold { relay: NodeId, document: DocumentId },
    #[error("the change feed of {relay} ends at {end:?}, though it had come to {advanced:?}")]
    Behind { relay: NodeId, end: Sequence, advanced: Sequence },
    #[error("command {key} of {device} was never delivered")]
    CommandLost { device: NodeId, key: String },
    #[error("command {key} was delivered, and nobody had submitted it under this key")]
    CommandUnknown { key: String },
    #[error("command {key} was delivered with two contents")]
    CommandChanged { key: String },
    #[error("{node} holds {amount} {what}, at most {bound} are allowed")]
    Unbounded { node: NodeId, what: &'static str, amount: usize, bound: usize },
    #[error("after {seconds} quiet seconds the nodes still exchange sync messages, the last from {last}")]
    Endless { seconds: u64, last: NodeId },
    #[error("{events} things happened in one moment, the last to {last}")]
    Restless { events: u64, last: NodeId },
    #[error("a machine panicked: {what}")]
    Panicked { what: String },
}
