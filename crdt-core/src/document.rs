//! A document: flat root facts that many devices write, and the only home of the Automerge library.
//!
//! Everything durable is one scalar text under one root key, so the whole reading side is [`Document::values`] and
//! [`Document::scan`], the whole writing side is [`Document::edit`], and what devices exchange is [`Change`]s.
//!
//! ```
//! use crdt_core::document::Document;
//! use crdt_core::id::ActorId;
//!
//! let mut phone = Document::new(ActorId::from_bytes([1; 16]));
//! let mut laptop = Document::new(ActorId::from_bytes([2; 16]));
//!
//! let mut edit = phone.edit();
//! edit.put("n/cart", "leave at the door");
//! edit.commit();
//! let mut edit = laptop.edit();
//! edit.put("n/cart", "ring twice");
//! edit.commit();
//!
//! laptop.apply(phone.changes_since(&[]))?;
//! phone.apply(laptop.changes_since(&[]))?;
//! // Both intentions survive, on both devices, in the same order.
//! assert_eq!(phone.values("n/cart").len(), 2);
//! assert_eq!(phone.values("n/cart"), laptop.values("n/cart"));
//! # Ok::<(), crdt_core::document::ApplyError>(())
//! ```

mod change;
mod edit;
mod exchange;
mod fit;
mod held;
mod journal;
mod knot;
mod pack;
mod past;

use automerge::{Automerge, LoadOptions, ROOT, ReadDoc};

pub use self::change::{Change, InvalidChange};
pub use self::edit::{Committed, Edit};
pub use self::journal::{Touched, Version};
pub use self::pack::{Packed, pack};
pub use self::past::Past;

use self::exchange::Refused;
use self::fit::{Batch, Numbers};
use self::held::Held;
use self::journal::Journal;
use crate::graph::chunk::{self, Chunk, ChunkKind, InvalidChunk};
use crate::id::{ActorId, ChangeHash, Dot};
use crate::limits::{DOCUMENT_BYTES_MAX, DOCUMENT_OPS_MAX};

/// One replica's copy of a document, with everything it knows of the document's history.
pub struct Document {
    automerge: Automerge,
    actor: ActorId,
    /// Largest operation counter in the document: the next dot exceeds it.
    op_counter: u64,
    /// Own facts with a larger counter have been handed to nobody.
    shared_counter: u64,
    /// What each change was numbered. Built when first needed: most opened documents are only read.
    numbers: Option<Numbers>,
    held: Held,
    refused: Refused,
    journal: Journal,
}

/// A value found under a root key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Stored {
    /// A scalar text: the only kind that we write.
    Text(String),
    /// Anything else that a foreign writer put there. Inert, reported by `validate`.
    Foreign,
}

impl Stored {
    /// The text, when it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Foreign => None,
        }
    }
}

/// What became of the changes handed to [`Document::apply`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Changes that are part of the document now and were not before, including ones that had been held back.
    pub changes: Vec<ChangeHash>,
    /// Changes that can never be part of this document, with the reason. The others are unaffected.
    pub refused: Vec<(ChangeHash, Refusal)>,
    /// Changes held back until a dependency arrives.
    pub held: usize,
}

/// Why one change was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    #[error("actor {actor} already wrote another change number {seq}: two writers share one actor")]
    SequenceTaken { actor: ActorId, seq: u64 },
    #[error("change number {seq} of actor {actor} does not follow its number {known}")]
    SequenceGap { actor: ActorId, seq: u64, known: u64 },
    #[error("change number {seq} of actor {actor} does not build on the one before")]
    Detached { actor: ActorId, seq: u64 },
    #[error("its operations are numbered from {start}, those it builds on up to {known}")]
    CounterJump { known: u64, start: u64 },
    #[error("it depends on {dependency}, which was refused")]
    DependsOnRefused { dependency: ChangeHash },
    #[error("the document is full: it has {DOCUMENT_OPS_MAX} operations")]
    Full,
    #[error("its operations do not fit the document: {why}")]
    BadOperations { why: String },
}

impl Document {
    /// An empty document, written to as `actor`.
    pub fn new(actor: ActorId) -> Self {
        Self::around(Automerge::new(), actor)
    }

    /// Reads a document that [`Document::save`] or any Automerge library wrote: packed documents and single changes, in
    /// any mixture, one after another.
    ///
    /// The bytes may come from anyone: whatever they hold, the answer is a document or an error, within bounds. Changes
    /// that don't fit the document are left out, as [`Document::apply`] would leave them out.
    pub fn load(bytes: &[u8], actor: ActorId) -> Result<Self, LoadError> {
        Self::load_reporting(bytes, actor).map(|(document, _)| document)
    }

    /// As [`Document::load`], telling also what became of the single changes.
    fn load_reporting(bytes: &[u8], actor: ActorId) -> Result<(Self, Applied), LoadError> {
        if bytes.len() > DOCUMENT_BYTES_MAX {
            return Err(LoadError::TooLarge { bytes: bytes.len() });
        }
        let mut document = None;
        let mut changes = Vec::new();
        for chunk in chunk::split(bytes) {
            let chunk = chunk?;
            if chunk.kind() != ChunkKind::Document {
                changes.push(Change::try_from(&chunk.change()?)?);
                continue;
            }
            let packed = chunk.packed()?;
            let unpacked = packed.unpack()?;
            if document.is_none() && unpacked.check_fit().is_ok() {
                document = Some(Self::around(load_unpacked(&chunk)?, actor.clone()));
            } else {
                for change in unpacked.changes() {
                    changes.push(Change::try_from(&change)?);
                }
            }
        }
        let mut document = document.unwrap_or_else(|| Self::new(actor));
        let applied =
            document.apply(changes).map_err(|error| LoadError::Damaged { why: error.to_string() })?;
        document.mark_shared();
        Ok((document, applied))
    }

    fn around(automerge: Automerge, actor: ActorId) -> Self {
        let automerge = automerge.with_actor(automerge::ActorId::from(actor.as_bytes()));
        let heads = automerge.get_heads();
        let metas = heads.iter().filter_map(|head| automerge.get_change_meta_by_hash(head));
        let op_counter = metas.map(|meta| meta.max_op).max().unwrap_or(0);
        let heads: Vec<_> = heads.iter().map(change::hash_of).collect();
        Self {
            journal: Journal::beginning(&actor, &heads),
            automerge,
            actor,
            op_counter,
            shared_counter: op_counter,
            numbers: None,
            held: Held::default(),
            refused: Refused::default(),
        }
    }

    /// The document packed, for storage. Heads and history survive; nothing is marked as shared.
    pub fn save(&self) -> Vec<u8> {
        self.automerge.save()
    }

    /// A second replica with the same history, written to as another actor.
    ///
    /// # Panics
    /// If `actor` is this replica's own: two writers must never share an actor.
    pub fn fork(&mut self, actor: ActorId) -> Self {
        assert_ne!(actor, self.actor, "two writers must never share an actor");
        self.mark_shared();
        Self::around(self.automerge.fork(), actor)
    }

    pub fn actor(&self) -> &ActorId {
        &self.actor
    }

    /// The changes that nothing in the document depends on yet, sorted. Two replicas with equal heads are equal.
    pub fn heads(&self) -> Vec<ChangeHash> {
        let mut heads: Vec<_> = self.automerge.get_heads().iter().map(change::hash_of).collect();
        heads.sort_unstable();
        heads
    }

    pub fn is_empty(&self) -> bool {
        self.automerge.is_empty()
    }

    /// Whether the change is part of the document.
    pub fn contains(&self, hash: &ChangeHash) -> bool {
        self.automerge.get_change_meta_by_hash(&change::automerge_hash(hash)).is_some()
    }

    /// One change of the document.
    pub fn change(&self, hash: &ChangeHash) -> Option<Change> {
        self.automerge.get_change_by_hash(&change::automerge_hash(hash)).map(Change::from_automerge)
    }

    /// Every change that is not an ancestor of `heads`, in causal order, for storage. Unknown heads are ignored.
    pub fn changes_since(&self, heads: &[ChangeHash]) -> Vec<Change> {
        let known: Vec<_> =
            heads.iter().filter(|hash| self.contains(hash)).map(change::automerge_hash).collect();
        self.automerge.get_changes(&known).into_iter().map(Change::from_automerge).collect()
    }

    /// As [`Document::changes_since`], for a peer: from now on these changes count as shared.
    pub fn changes_for_peer(&mut self, heads: &[ChangeHash]) -> Vec<Change> {
        self.mark_shared();
        self.changes_since(heads)
    }

    /// Declares that everything written so far may have reached a peer.
    ///
    /// What nobody has seen may still be rewritten in place (adds of one line coalesce); what somebody may have seen
    /// never is.
    pub fn mark_shared(&mut self) {
        self.shared_counter = self.op_counter;
    }

    /// Whether `dot` is this replica's own and no peer has been handed it. After a load everything counts as shared.
    pub fn is_unshared(&self, dot: &Dot) -> bool {
        dot.actor == self.actor && dot.counter > self.shared_counter
    }

    /// Takes in changes from storage or from peers, in any order, any number of times.
    ///
    /// Changes whose dependencies are missing are held back (bounded) and applied when those arrive. A change that can
    /// never fit is refused alone. The error speaks of this replica being unable to go on, not of the input.
    pub fn apply(&mut self, changes: impl IntoIterator<Item = Change>) -> Result<Applied, ApplyError> {
        self.numbers.get_or_insert_with(|| Numbers::of(&self.automerge));
        let mut applied = Applied::default();
        let mut ready = Batch::default();
        for change in changes {
            self.admit(change, &mut ready, &mut applied.refused);
        }
        self.apply_ready(ready.into_changes(), &mut applied)?;
        self.refused.extend(applied.refused.iter().map(|(hash, _)| *hash));
        applied.held = self.held.len();
        Ok(applied)
    }

    /// Takes in everything that `other` has.
    pub fn merge(&mut self, other: &mut Self) -> Result<Applied, ApplyError> {
        let heads = self.heads();
        self.apply(other.changes_for_peer(&heads))
    }

    /// Takes in a [`Change::derived`] of our own. Whether it was new here.
    ///
    /// Refused when somebody wrote another change as the derived actor, which no honest device does.
    ///
    /// # Panics
    /// If the change depends on others: derived changes stand alone.
    pub fn write_derived(&mut self, change: Change) -> Result<bool, Refusal> {
        assert!(change.deps().is_empty(), "derived changes depend on nothing");
        let hash = change.hash();
        if self.contains(&hash) {
            return Ok(false);
        }
        let applied = self.apply([change]).expect("a change without dependencies applies to every document");
        let refusal = applied.refused.into_iter().find(|(refused, _)| *refused == hash);
        refusal.map_or(Ok(true), |(_, refusal)| Err(refusal))
    }

    /// Begins one atomic edit. Nothing is visible until it is committed.
    pub fn edit(&mut self) -> Edit<'_> {
        self.tie_heads();
        let last =
            self.numbers.as_mut().map(|numbers| numbers.by_actor.entry(self.actor.clone()).or_default());
        let book = edit::Book {
            op_counter: &mut self.op_counter,
            shared_counter: self.shared_counter,
            last,
            journal: &mut self.journal,
        };
        Edit::begin(&mut self.automerge, &self.actor, book)
    }

    /// Every value that survives under `key`: more than one after concurrent writes, in the same order everywhere.
    pub fn values(&self, key: &str) -> Vec<Stored> {
        let found = self.automerge.get_all(ROOT, key).expect("the root is a map");
        found.into_iter().map(|(value, _)| stored(&value)).collect()
    }

    /// Every key that starts with `prefix`, in order, with all its surviving values.
    pub fn scan<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (String, Vec<Stored>)> + 'a {
        self.automerge
            .map_range(ROOT, prefix.to_owned()..)
            .take_while(move |item| item.key.starts_with(prefix))
            .map(|item| {
                let values =
                    if item.conflict { self.values(&item.key) } else { vec![stored(&item.value.into())] };
                (item.key.into_owned(), values)
            })
    }

    /// The document as it was at these heads. Unknown heads are ignored.
    pub fn at(&self, heads: &[ChangeHash]) -> Past<'_> {
        Past::new(self, heads)
    }

    /// Number of keys.
    pub fn key_count(&self) -> usize {
        self.automerge.length(ROOT)
    }

    /// A mark to hand to [`Document::touched_since`] later.
    pub fn version(&self) -> Version {
        self.journal.version()
    }

    /// The keys written or deleted since `version` was taken, by whomever.
    pub fn touched_since(&self, version: Version) -> Touched {
        self.journal.touched_since(version)
    }

    /// Adds `change` to `ready`, and whatever waited for it; or holds it back; or refuses it.
    fn admit(&mut self, change: Change, ready: &mut Batch, refused: &mut Vec<(ChangeHash, Refusal)>) {
        let mut arrived = vec![change];
        while let Some(change) = arrived.pop() {
            let hash = change.hash();
            let present = |hash: &ChangeHash| ready.contains(hash) || self.contains(hash);
            if present(&hash) || self.held.contains(&hash) {
                continue;
            }
            if let Some(missing) = change.deps().iter().find(|dep| !present(dep)).copied() {
                self.held.insert(change, missing);
                continue;
            }
            let numbers = self.numbers.as_mut().expect("built before anything is admitted");
            let max_op = change.max_op();
            match ready.admit(change, &self.automerge, numbers) {
                Ok(()) => {
                    self.op_counter = self.op_counter.max(max_op);
                    arrived.extend(self.held.take_waiting_for(&hash));
                }
                Err(refusal) => refused.push((hash, refusal)),
            }
        }
    }

    /// Applies changes whose dependencies are present: all at once, or one by one when one of them is bad. Automerge
    /// checks before it changes anything, so a bad one leaves no trace.
    fn apply_ready(&mut self, ready: Vec<Change>, applied: &mut Applied) -> Result<(), ApplyError> {
        if ready.is_empty() {
            return Ok(());
        }
        let whole = self.automerge.apply_changes(ready.iter().map(Change::to_automerge).collect::<Vec<_>>());
        for change in ready {
            let hash = change.hash();
            if whole.is_err()
                && let Err(refusal) = self.apply_one(&change)
            {
                applied.refused.push((hash, refusal));
                continue;
            }
            if !self.contains(&hash) {
                return Err(ApplyError::Lost { hash });
            }
            self.journal.record(&hash, change.touched_keys());
            applied.changes.push(hash);
        }
        if whole.is_err() {
            self.numbers = None;
        }
        Ok(())
    }

    fn apply_one(&mut self, change: &Change) -> Result<(), Refusal> {
        if let Some(dep) = change.deps().iter().find(|dep| !self.contains(dep)) {
            return Err(Refusal::DependsOnRefused { dependency: *dep });
        }
        self.automerge
            .apply_changes([change.to_automerge()])
            .map_err(|error| Refusal::BadOperations { why: error.to_string() })
    }
}

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Document")
            .field("actor", &self.actor)
            .field("heads", &self.heads())
            .finish_non_exhaustive()
    }
}

/// Hands a packed document to Automerge. It trusts what it loads, so only what has been unpacked without a misfit may come
/// here.
fn load_unpacked(chunk: &Chunk<'_>) -> Result<Automerge, LoadError> {
    Automerge::load_with_options(chunk.bytes(), LoadOptions::new())
        .map_err(|error| LoadError::Damaged { why: error.to_string() })
}

fn stored(value: &automerge::Value<'_>) -> Stored {
    value.as_str().map_or(Stored::Foreign, |text| Stored::Text(text.to_owned()))
}

/// Why bytes are not a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    #[error("the document is {bytes} bytes long; at most {DOCUMENT_BYTES_MAX} are accepted")]
    TooLarge { bytes: usize },
    #[error(transparent)]
    Chunk(#[from] InvalidChunk),
    #[error(transparent)]
    Change(#[from] InvalidChange),
    #[error("the document is damaged: {why}")]
    Damaged { why: String },
}

/// Why this replica can't go on. Reload it from storage.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    #[error("change {hash} was accepted but is not part of the document; reload it from storage")]
    Lost { hash: ChangeHash },
}

#[cfg(test)]
mod tests;
