//! Storage: documents as opaque changes, durable before anyone is told.
//!
//! [`Store`] is the one trait. A commit takes many writes and makes them durable with one flush; when it returns, what
//! it reports as done survives a crash. The store never looks inside a change: it keeps bytes, where they go, whose they
//! are, and the change feed.
//!
//! ```
//! use crdt_core::id::{ChangeHash, DocumentId};
//! use crdt_core::time::Timestamp;
//! use relay::id::{DocumentKey, Sequence, Tenant};
//! use relay::store::{Append, Memory, Store, Write};
//!
//! let key = DocumentKey { tenant: Tenant::new("shop")?, document: DocumentId::from_bytes([7; 16]) };
//! let mut store = Memory::default().open()?;
//! let append = Append {
//!     key: key.clone(),
//!     changes: vec![b"a change".to_vec()],
//!     heads: vec![ChangeHash::from_bytes([1; 32])],
//!     access: None,
//!     at: Timestamp::ZERO,
//! };
//! let committed = store.commit(vec![Write::Append(append)]).remove(0)?;
//! let feed = store.feed(&key.tenant, Sequence::default(), 10)?;
//! assert_eq!(feed[0].sequence, committed.sequence);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod check;
mod key;
mod memory;
mod record;
mod records;
mod sled;

use std::ops::Range;

use crdt_core::id::{ChangeHash, DocumentId};
use crdt_core::time::Timestamp;

use crate::access::Access;
use crate::id::{DocumentKey, Position, Sequence, Tenant};

pub use self::memory::Memory;
pub use self::sled::Sled;

/// Version of the layout of stored data. A store refuses to open what a newer version wrote.
pub const FORMAT_VERSION: u32 = 1;

/// Durable documents. One owner writes; reads see everything committed.
pub trait Store: Send {
    /// Makes all writes durable with one flush, each wholly or not at all, and answers for each in order.
    ///
    /// A write that fails alone (all but [`CommitError::Unavailable`]) leaves the others untouched.
    fn commit(&mut self, writes: Vec<Write>) -> Vec<Result<Committed, CommitError>>;

    /// Everything needed to serve a document. A damaged record is an error of this document alone.
    fn load(&self, key: &DocumentKey) -> Result<Loaded, LoadError>;

    /// The bytes of single changes, in the order asked for.
    fn read(&self, key: &DocumentKey, positions: &[Position]) -> Result<Vec<Vec<u8>>, LoadError>;

    /// The bytes of the document's snapshot.
    fn read_snapshot(&self, key: &DocumentKey) -> Result<Vec<u8>, LoadError>;

    /// What the tenant's documents hold together.
    fn usage(&self, tenant: &Tenant) -> Result<Usage, LoadError>;

    /// The tenant's documents after `after`, in the order of their ids, at most `limit` of them; also those
    /// that were erased or are damaged.
    fn list(
        &self,
        tenant: &Tenant,
        after: Option<DocumentId>,
        limit: usize,
    ) -> Result<Vec<Listed>, LoadError>;

    /// The place of the latest commit: no feed has gone further.
    fn latest(&self) -> Sequence;

    /// The latest commit of each document that committed after `after`, oldest first, at most `limit` of them.
    ///
    /// A document appears once, at its latest place: a follower that keeps the last sequence it handled misses nothing,
    /// and the feed never outgrows the number of documents.
    fn feed(&self, tenant: &Tenant, after: Sequence, limit: usize) -> Result<Vec<FeedEntry>, LoadError>;

    /// Shows every document that is or was stored, in the order of tenants, without reading its changes. Fails for one
    /// whose state is damaged.
    fn documents(&self, visit: &mut ShowDocument<'_>) -> Result<(), LoadError>;

    /// Reads every record, and reports those that can't be read, belong to nothing, or contradict others.
    fn check(&self) -> Result<Check, LoadError>;

    /// Mends what [`Store::check`] calls odd and what costs nobody anything: removes what belongs to nothing, and counts
    /// again. Returns what was mended.
    fn mend(&mut self) -> Result<Vec<Oddity>, CommitError>;
}

/// Is shown a document, and what is known of it.
pub type ShowDocument<'a> = dyn FnMut(DocumentKey, Result<Summary, LoadError>) + 'a;

/// One durable step of one document.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Write {
    Append(Append),
    /// Replaces who may use a stored document.
    Access {
        key: DocumentKey,
        access: Access,
    },
    Snapshot {
        key: DocumentKey,
        snapshot: Snapshot,
    },
    /// Leaves nothing of a document but the fact that it was erased. One that is damaged, or was never there, can be erased as
    /// well: whoever brings it later is told that it is gone.
    Erase {
        key: DocumentKey,
        at: Timestamp,
    },
    /// Forgets that a document was erased, so that it may come anew.
    Readmit {
        key: DocumentKey,
    },
}

impl Write {
    pub fn key(&self) -> &DocumentKey {
        match self {
            Self::Append(append) => &append.key,
            Self::Access { key, .. }
            | Self::Snapshot { key, .. }
            | Self::Erase { key, .. }
            | Self::Readmit { key } => key,
        }
    }
}

/// Changes to store after those already there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    pub key: DocumentKey,
    pub changes: Vec<Vec<u8>>,
    /// The document's heads once these changes are part of it: what the feed tells.
    pub heads: Vec<ChangeHash>,
    /// Whose the document is: given with its first changes.
    pub access: Option<Access>,
    pub at: Timestamp,
}

/// A whole document as one chunk, in place of the changes before `through`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The first change that is not covered.
    pub through: Position,
    /// Changes before `through` that the chunk leaves out, in order: they stay as they are.
    pub left_out: Vec<Position>,
    /// Hashes and dependencies of what is covered, as the owner of the store encodes them.
    pub index: Vec<u8>,
    /// The chunk itself.
    pub bytes: Vec<u8>,
}

/// What became durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Where the feed tells of it. A snapshot is not told: it changes nothing.
    pub sequence: Sequence,
    /// Where the first of the appended changes went; the others follow it.
    pub position: Position,
}

/// What is stored under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loaded {
    Unknown,
    Erased { at: Timestamp },
    Document(StoredDocument),
}

/// A stored document, without the bytes of its snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDocument {
    pub access: Option<Access>,
    pub snapshot: Option<SnapshotSummary>,
    /// The changes that are not in the snapshot, in the order of their arrival.
    pub changes: Vec<(Position, Vec<u8>)>,
    pub sequence: Sequence,
    pub modified: Timestamp,
}

/// A [`Snapshot`] without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotSummary {
    pub through: Position,
    pub index: Vec<u8>,
    pub bytes: u64,
}

/// A stored document, as far as it can be told without reading its changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Changes that were stored one by one, in the snapshot or not.
    pub changes: u64,
    /// Those of them that came after the snapshot.
    pub unpacked: u64,
    /// Bytes of changes and snapshot.
    pub bytes: u64,
    pub modified: Timestamp,
    /// Nothing is left of it but this.
    pub erased: bool,
}

/// How much is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub documents: u64,
    /// Bytes of changes and snapshots, without what the backend adds.
    pub bytes: u64,
}

/// One document of a tenant, without anything that is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub document: DocumentId,
    /// Where the feed tells of it.
    pub sequence: Sequence,
    pub modified: Timestamp,
    /// Changes that were ever appended to it.
    pub changes: u64,
    /// Bytes of its changes and its snapshot.
    pub bytes: u64,
    pub standing: Standing,
}

/// What is left of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Standing {
    Stored,
    Erased,
    /// Nothing but its id can be read.
    Damaged,
}

/// The latest thing that happened to one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedEntry {
    pub sequence: Sequence,
    pub document: DocumentId,
    pub news: News,
}

/// What the feed tells of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum News {
    Changed { heads: Vec<ChangeHash> },
    Erased,
}

/// The result of [`Store::check`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Check {
    pub documents: u64,
    pub changes: u64,
    pub bytes: u64,
    pub erased: u64,
    /// Documents that can't be served.
    pub damaged: Vec<(DocumentKey, LoadError)>,
    /// What no document suffers from.
    pub odd: Vec<Oddity>,
}

/// Something stored that should not be, or not like this, and that no document suffers from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Oddity {
    #[error("the {what} belongs to nothing that is stored")]
    Orphan { what: String },
    #[error("a record can't be read: {what}")]
    Unreadable { what: String },
    #[error(
        "tenant {tenant} is said to have {} documents with {} bytes, and has {} with {}",
        told.documents, told.bytes, found.documents, found.bytes
    )]
    Miscounted { tenant: Tenant, told: Usage, found: Usage },
    #[error("the change feed does not tell of {key}")]
    Untold { key: DocumentKey },
}

/// Why a store can't be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    #[error(
        "the data has format version {found}; this relay reads up to {FORMAT_VERSION}. Use a newer relay"
    )]
    NewerFormat { found: u32 },
    #[error("{path} is not a relay's data: {why}")]
    NotOurs { path: String, why: String },
    #[error("{path} is in use: {holder} holds its lock")]
    InUse { path: String, holder: String },
    #[error("{path} can't be opened: {why}")]
    Unavailable { path: String, why: String },
}

/// Why something can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    #[error("the {what} is damaged")]
    Damaged { what: String },
    #[error("the {what} is not stored")]
    Missing { what: String },
    #[error("storage fails: {why}")]
    Unavailable { why: String },
}

/// Why a write is not durable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    #[error("the document was erased")]
    Erased,
    #[error("the document is not stored")]
    Unknown,
    #[error("the document was not erased")]
    NotErased,
    #[error("the snapshot covers changes before {}, but it has to end within {} to {}", through.0, stored.start.0, stored.end.0)]
    BadSnapshot { through: Position, stored: Range<Position> },
    #[error("the {what} is damaged")]
    Damaged { what: String },
    #[error("storage fails: {why}")]
    Unavailable { why: String },
}

#[cfg(test)]
mod conformance;
