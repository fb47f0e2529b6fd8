//! What a replica tells its application.

use std::collections::BTreeSet;
use std::time::Duration;

use super::command::CommandId;
use super::endpoint::ConnectionStatus;
use super::port::EndpointId;
use crate::id::{ChangeHash, DocumentId};
use crate::wire::{DenialCode, DeviceId, PeerId, SessionId};

/// One operation of one person: the change that it became.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(pub ChangeHash);

/// Something an application may want to show or act on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The document can be read and edited. `is_new`: nothing of it is known yet.
    Opened { document: DocumentId, is_new: bool },
    /// Nobody who is connected has the document. Not for ever: it opens when somebody brings it.
    Unavailable { document: DocumentId },
    /// Changes of others, or of this device's past, came into the document: refresh its views.
    Changed { document: DocumentId, changes: usize },
    /// These keys have several values now, written concurrently.
    ConflictSurfaced { document: DocumentId, keys: BTreeSet<Box<str>> },
    /// The document left memory.
    Evicted { document: DocumentId },

    /// An exchange with a peer about a document began, or began again.
    SyncStarted { document: DocumentId, peer: PeerId },
    /// Both have the same.
    SyncCompleted { document: DocumentId, peer: PeerId },
    /// An exchange ended without that, or something else went wrong with a peer.
    SyncFailed { document: Option<DocumentId>, peer: Option<PeerId>, failure: Failure },

    /// An edit is part of the document here, and pending.
    OperationQueued { document: DocumentId, operation: OperationId },
    /// An operation is on a relay's disk.
    OperationConfirmed { document: DocumentId, operation: OperationId },
    /// A relay refused the operation. It stays in this copy of the document, and stays refused, until the application
    /// undoes it or is given the right.
    OperationRejected { document: DocumentId, operation: OperationId, failure: Failure },

    /// Something was not done because there would be too much of it.
    QuotaExceeded { quota: Quota, max: usize },
    /// The local store failed. What is in memory is kept, and written again.
    StorageFailed { document: Option<DocumentId>, failure: Failure },
    /// A connection that is to be kept came, went, or is being tried.
    NetworkChanged { endpoint: EndpointId, status: ConnectionStatus },

    /// A command waits in the outbox, and is on the disk.
    CommandQueued { command: CommandId },
    /// A command was carried out.
    CommandDone { command: CommandId },
    /// A command failed, and is tried again after a while.
    CommandRetried { command: CommandId, failure: Failure, after: Duration },
    /// A command failed for good. It is kept for the application to revive or discard.
    CommandDead { command: CommandId, failure: Failure },

    /// What a relay permits ends soon: [`Input::Token`](super::Input::Token) with a new token keeps the connection.
    TokenDue { endpoint: EndpointId, expires_after: Duration },

    /// Somebody came, or told something new about themselves.
    Appeared { session: SessionId, device: DeviceId, document: Option<DocumentId> },
    /// Somebody left, or was not heard of for too long.
    Disappeared { session: SessionId, device: DeviceId, document: Option<DocumentId> },
    /// Somebody sent something to whoever follows the document now.
    Broadcast { document: DocumentId, sender: PeerId, data: Vec<u8> },
}

/// What went wrong, for a person to read and a program to act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub class: ErrorClass,
    /// For a person.
    pub message: String,
    /// When it is tried again, or may be. `None`: trying again does not help by itself.
    pub retry_after: Option<Duration>,
}

/// What kind of thing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ErrorClass {
    /// The connection, or the other end, is not there.
    Network,
    /// Who this is, is not known, or this is not theirs to do.
    Authentication,
    /// Something is malformed or breaks a rule.
    Validation,
    /// Two writers broke the order of changes, or an exchange found no end.
    Conflict,
    /// A disk failed, here or there.
    Storage,
    /// There would be too much of something.
    Quota,
}

impl Failure {
    pub(super) fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), retry_after: None }
    }

    pub(super) fn retried_after(self, after: Duration) -> Self {
        Self { retry_after: Some(after), ..self }
    }
}

impl From<DenialCode> for ErrorClass {
    fn from(code: DenialCode) -> Self {
        match code {
            DenialCode::Unauthenticated | DenialCode::Forbidden => Self::Authentication,
            DenialCode::TooLarge | DenialCode::Quota | DenialCode::Rate => Self::Quota,
            DenialCode::Storage => Self::Storage,
            DenialCode::Stalled => Self::Conflict,
            DenialCode::Invalid | DenialCode::Other => Self::Validation,
        }
    }
}

/// What there may be only so much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Quota {
    /// Documents in memory.
    OpenDocuments,
    /// Operations of one document that are not confirmed.
    PendingOperations,
    /// Commands in the outbox.
    Commands,
    /// Bytes of one command.
    CommandBytes,
    /// Bytes of a message to others.
    MessageBytes,
}
