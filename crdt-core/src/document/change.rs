//! One change: what one commit of one actor did, as devices exchange it.

use std::collections::BTreeSet;
use std::num::NonZeroU64;

use automerge::legacy::{Key, ObjectId, OpType};
use automerge::{ExpandedChange, ScalarValue};

use crate::graph::chunk::{InvalidChunk, ParsedChange};
use crate::id::{ActorId, ChangeHash};

/// A well-formed change whose checksum has been verified.
#[derive(Clone, Debug)]
pub struct Change {
    inner: automerge::Change,
    hash: ChangeHash,
    actor: ActorId,
    deps: Vec<ChangeHash>,
}

impl Change {
    /// Reads a change from a peer or from storage.
    ///
    /// Automerge sees the bytes only after [`ParsedChange`] vouches for them.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidChange> {
        Self::try_from(&ParsedChange::parse(bytes)?)
    }

    /// The change that everyone computes alike: these entries, written by `actor` as its first change, at no time and
    /// on top of nothing. It replaces nothing; values already under its keys stay beside it.
    ///
    /// For facts that several devices establish without asking each other (what a document is, an imported row): the
    /// same work done twice is the same change. `actor` must be derived from all that the entries depend on.
    ///
    /// # Panics
    /// If there are no entries.
    pub fn derived(actor: ActorId, entries: &[(&str, &str)]) -> Self {
        let mut scratch = super::Document::new(actor);
        let mut edit = scratch.edit();
        for (key, text) in entries {
            edit.put(key, text);
        }
        let committed = edit.commit().expect("a derived change writes something");
        scratch.change(&committed.hash).expect("just committed")
    }

    /// The change that does nothing but stand on top of `deps`, the largest of whose operation counters is `max_op`.
    /// Everyone makes it alike.
    pub(super) fn tying(deps: &[ChangeHash], max_op: u64) -> Self {
        let parts: Vec<_> = deps.iter().map(ToString::to_string).collect();
        let parts: Vec<_> = std::iter::once("tie").chain(parts.iter().map(String::as_str)).collect();
        let actor = ActorId::derive(&parts);
        Self::from_automerge(automerge::Change::from(ExpandedChange {
            operations: Vec::new(),
            actor_id: automerge::ActorId::from(actor.as_bytes()),
            hash: None,
            seq: 1,
            start_op: NonZeroU64::MIN.saturating_add(max_op),
            time: 0,
            message: None,
            deps: deps.iter().map(automerge_hash).collect(),
            extra_bytes: Vec::new(),
            author: None,
        }))
    }

    /// Every text that this change writes under a root key, in order.
    pub fn texts(&self) -> Vec<(String, String)> {
        let operations = self.inner.decode().operations;
        let texts = operations.into_iter().filter_map(|op| match (op.obj, op.key, op.action) {
            (ObjectId::Root, Key::Map(key), OpType::Put(ScalarValue::Str(text))) => {
                Some((key.to_string(), text.to_string()))
            }
            _ => None,
        });
        texts.collect()
    }

    pub(super) fn from_automerge(inner: automerge::Change) -> Self {
        let actor = ActorId::from_slice(inner.actor_id().to_bytes()).expect("checked when it came in");
        let deps = inner.deps().iter().map(hash_of).collect();
        Self { hash: hash_of(&inner.hash()), actor, deps, inner }
    }

    pub(super) fn to_automerge(&self) -> automerge::Change {
        self.inner.clone()
    }

    pub fn hash(&self) -> ChangeHash {
        self.hash
    }

    pub fn actor(&self) -> &ActorId {
        &self.actor
    }

    /// The changes this one was made on top of.
    pub fn deps(&self) -> &[ChangeHash] {
        &self.deps
    }

    /// This is the actor's `seq`th change, counted from one.
    pub fn seq(&self) -> u64 {
        self.inner.seq()
    }

    /// The change as a chunk, uncompressed.
    pub fn bytes(&self) -> &[u8] {
        self.inner.raw_bytes()
    }

    pub(super) fn start_op(&self) -> u64 {
        self.inner.start_op().get()
    }

    pub(super) fn max_op(&self) -> u64 {
        self.inner.max_op()
    }

    /// The root keys this change writes or deletes.
    pub fn touched_keys(&self) -> BTreeSet<Box<str>> {
        let operations = self.inner.decode().operations;
        let keys = operations.into_iter().filter_map(|op| match op.key {
            Key::Map(key) => Some(key.as_str().into()),
            Key::Seq(_) => None,
        });
        keys.collect()
    }
}

impl TryFrom<&ParsedChange> for Change {
    type Error = InvalidChange;

    fn try_from(parsed: &ParsedChange) -> Result<Self, InvalidChange> {
        let inner = automerge::Change::try_from(&*parsed.bytes)
            .map_err(|error| InvalidChange::Malformed { why: error.to_string() })?;
        let change = Self::from_automerge(inner);
        assert_eq!(change.hash, parsed.hash, "we and Automerge agree on what a change is");
        Ok(change)
    }
}

impl PartialEq for Change {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl Eq for Change {}

pub(super) fn hash_of(hash: &automerge::ChangeHash) -> ChangeHash {
    ChangeHash::from_bytes(hash.0)
}

pub(super) fn automerge_hash(hash: &ChangeHash) -> automerge::ChangeHash {
    automerge::ChangeHash(*hash.as_bytes())
}

/// Why bytes are not a change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidChange {
    #[error(transparent)]
    Chunk(#[from] InvalidChunk),
    #[error("the change is malformed: {why}")]
    Malformed { why: String },
}
