//! A document as a graph of changes: hashes, dependencies and opaque bytes, never opened.
//!
//! This is all that a relay keeps of a document. An [`Item`] goes in once everything it depends on is in; until then it
//! is held back, within bounds. What went in stands in one causal order, its [`Position`]s, and is **settled** from the
//! front as storage reports it durable: only what is settled is shown to anyone, so that nothing is advertised that a
//! crash could take back.
//!
//! ```
//! use crdt_core::document::Document;
//! use crdt_core::graph::chunk::ParsedChange;
//! use crdt_core::graph::{Graph, Item};
//! use crdt_core::id::ActorId;
//! use crdt_core::time::Timestamp;
//!
//! let mut phone = Document::new(ActorId::from_bytes([1; 16]));
//! let mut edit = phone.edit();
//! edit.put("n/cart", "ring twice");
//! edit.commit();
//!
//! let mut graph = Graph::new();
//! for change in phone.changes_for_peer(&[]) {
//!     let parsed = ParsedChange::parse(change.bytes())?;
//!     let item = Item::from(&parsed);
//!     let inserted = graph.insert(item, parsed.bytes, Timestamp::ZERO);
//!     assert!(graph.heads().is_empty(), "nothing is shown before it is durable");
//!     graph.settle(inserted.accepted.end);
//! }
//! assert_eq!(graph.heads(), phone.heads());
//! # Ok::<(), crdt_core::graph::chunk::InvalidChunk>(())
//! ```
//!
//! A graph knows nothing of Automerge: items need an identity, dependencies and perhaps an author. Sealed items,
//! identified by the hash of their ciphertext, have no author to show and fit as they are.
//!
//! * [`chunk`] reads the chunks that Automerge writers exchange: bounded, total, checksums verified.

mod author;
pub mod chunk;
mod held;
mod index;

use std::collections::{BTreeMap, BinaryHeap};
use std::ops::Range;

use self::author::{Authors, Last};
use self::chunk::ParsedChange;
use self::held::Held;
use self::index::Index;
use crate::id::{ActorId, ChangeHash};
use crate::limits::{
    DOCUMENT_CHANGES_MAX, DOCUMENT_OPS_MAX, HEADS_MAX, OP_COUNTER_JUMP_MAX, OP_COUNTER_SKIPPED_MAX,
};
use crate::time::Timestamp;

/// What the graph must know of one change to place it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub id: ChangeHash,
    pub deps: Box<[ChangeHash]>,
    /// Who wrote it; `None` for items that don't tell.
    pub author: Option<Authorship>,
    /// Length of its bytes.
    pub bytes: u32,
}

/// An item's place in its author's own sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorship {
    pub actor: ActorId,
    /// This is the actor's `seq`th change, counted from one without gaps.
    pub seq: u64,
    /// Number of its first operation: larger than those of everything it depends on.
    pub start_op: u64,
    /// Number of its last operation.
    pub max_op: u64,
}

impl From<&ParsedChange> for Item {
    fn from(change: &ParsedChange) -> Self {
        Self {
            id: change.hash,
            deps: change.deps.clone(),
            author: Some(Authorship {
                actor: change.actor.clone(),
                seq: change.seq,
                start_op: change.start_op,
                max_op: change.max_op(),
            }),
            bytes: u32::try_from(change.bytes.len()).expect("changes are bounded"),
        }
    }
}

/// A place in the graph's causal order.
pub type Position = usize;

/// One document's changes. `P` is where an item's bytes are: the bytes themselves, or an offset on disk.
#[derive(Debug)]
pub struct Graph<P> {
    nodes: Vec<Node>,
    /// The dependencies of all nodes, one after another.
    edges: Vec<u32>,
    index: Index,
    /// How many nodes, from the first, are packed in one snapshot and have no bytes of their own, but for those in `kept`.
    packed: u32,
    #[expect(clippy::box_collection, reason = "one word in the many graphs that need none")]
    kept: Option<Box<BTreeMap<Position, P>>>,
    /// Where the bytes of the nodes after the packed ones are.
    payloads: Vec<P>,
    /// How many nodes, from the first, are durable.
    settled: u32,
    /// The settled nodes that no settled node depends on.
    heads: Vec<u32>,
    authors: Authors,
    /// Operation numbers that no change used.
    skipped: u32,
    operations: u32,
    held: Option<Box<Held<P>>>,
}

fn count(changes: usize) -> u32 {
    u32::try_from(changes).expect("the changes of a document are bounded")
}

#[derive(Debug)]
struct Node {
    id: ChangeHash,
    edges_end: u32,
    bytes: u32,
    max_op: u32,
}

/// What became of an item handed to [`Graph::insert`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inserted {
    /// The positions taken: by the item, then by held-back items it released. Empty if it was known, held or refused.
    pub accepted: Range<Position>,
    /// Items that can never be part of this graph.
    pub refused: Vec<(ChangeHash, Refusal)>,
}

/// Why an item was refused. The reasons depend on nothing but the item and what it depends on, or on a broken author.
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
    #[error("the document is full: it has {DOCUMENT_CHANGES_MAX} changes")]
    Full,
    #[error("the document is full: it has {DOCUMENT_OPS_MAX} operations")]
    TooManyOperations,
    #[error("the document has {HEADS_MAX} heads; whoever writes next must merge some")]
    TooManyHeads,
}

/// Why a list of items is not that of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OutOfOrder {
    #[error("change {id} is listed before something it depends on")]
    MissingDependency { id: ChangeHash },
    #[error("change {id} can't be part of the document: {why}")]
    Refused { id: ChangeHash, why: Refusal },
}

impl<P> Default for Graph<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P> Graph<P> {
    /// A document without changes.
    pub fn new() -> Self {
        Self {
            nodes: Vec::new(),
            edges: Vec::new(),
            index: Index::default(),
            packed: 0,
            kept: None,
            payloads: Vec::new(),
            settled: 0,
            heads: Vec::new(),
            authors: Authors::default(),
            skipped: 0,
            operations: 0,
            held: None,
        }
    }

    /// A document whose first changes are packed together in one snapshot: their list, in causal order, as
    /// [`crate::document::pack`] made it. They are settled, and have no bytes of their own. Fails on the first item that
    /// can't follow those before it.
    pub fn from_snapshot(items: impl IntoIterator<Item = Item>) -> Result<Self, OutOfOrder> {
        let mut graph = Self::new();
        for item in items {
            let placeable = item.deps.iter().all(|dep| graph.position(dep).is_some());
            if !placeable {
                return Err(OutOfOrder::MissingDependency { id: item.id });
            }
            graph.place(&item).map_err(|why| OutOfOrder::Refused { id: item.id, why })?;
        }
        graph.packed = count(graph.nodes.len());
        graph.settle(graph.packed());
        Ok(graph)
    }

    /// Bytes of memory that the graph takes beyond its own size, without what payloads own, what is held back, and what
    /// allocators add.
    pub fn memory_bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>()
            + (self.edges.capacity() + self.heads.capacity()) * size_of::<u32>()
            + self.index.memory_bytes()
            + self.payloads.capacity() * size_of::<P>()
            + self.kept_len() * size_of::<(Position, P)>()
            + self.authors.memory_bytes()
    }

    fn packed(&self) -> usize {
        self.packed as usize
    }

    fn kept_len(&self) -> usize {
        self.kept.as_ref().map_or(0, |kept| kept.len())
    }

    /// Takes in one item: places it, holds it back until its dependencies arrive, or refuses it.
    pub fn insert(&mut self, item: Item, payload: P, now: Timestamp) -> Inserted {
        let start = self.nodes.len();
        let mut refused = Vec::new();
        let mut ready = vec![(item, payload)];
        while let Some((item, payload)) = ready.pop() {
            if self.index.find(&item.id, &self.nodes).is_some() {
                continue;
            }
            let missing: Vec<_> =
                item.deps.iter().filter(|dep| self.position(dep).is_none()).copied().collect();
            if !missing.is_empty() {
                self.held.get_or_insert_default().insert(item, payload, &missing, now);
                continue;
            }
            match self.place(&item) {
                Ok(()) => {
                    reserve_lean(&mut self.payloads, 1);
                    self.payloads.push(payload);
                    if let Some(held) = &mut self.held {
                        held.release(&item.id, &mut ready);
                    }
                }
                Err(refusal) => refused.push((item.id, refusal)),
            }
        }
        self.drop_expired(now);
        Inserted { accepted: start..self.nodes.len(), refused }
    }

    /// Drops what was held back for too long, or past the bounds.
    pub fn drop_expired(&mut self, now: Timestamp) {
        if let Some(held) = &mut self.held {
            held.shed(now);
            if held.is_empty() {
                self.held = None;
            }
        }
    }

    /// Declares everything before `end` durable: from now on it is shown.
    ///
    /// # Panics
    /// If there are not that many items.
    pub fn settle(&mut self, end: Position) {
        assert!(end <= self.nodes.len(), "only what is there can be durable");
        for position in self.len()..end {
            let deps = &self.edges[self.edges_of(position)];
            self.heads.retain(|head| !deps.contains(head));
            if self.heads.len() == self.heads.capacity() {
                // Mostly there is one.
                self.heads.reserve_exact(1 + self.heads.len());
            }
            self.heads.push(index_of(position));
        }
        self.settled = self.settled.max(count(end));
    }

    /// The settled changes that no settled change depends on, sorted.
    pub fn heads(&self) -> Vec<ChangeHash> {
        let mut heads: Vec<_> = self.heads.iter().map(|head| self.nodes[*head as usize].id).collect();
        heads.sort_unstable();
        heads
    }

    /// Whether the change is settled.
    pub fn contains(&self, id: &ChangeHash) -> bool {
        self.position(id).is_some_and(|position| position < self.len())
    }

    /// How many changes are settled.
    pub fn len(&self) -> usize {
        self.settled as usize
    }

    pub fn is_empty(&self) -> bool {
        self.settled == 0
    }

    /// How many changes are held back.
    pub fn held_len(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.len())
    }

    /// Where the change stands, settled or not.
    pub fn position(&self, id: &ChangeHash) -> Option<Position> {
        self.index.find(id, &self.nodes)
    }

    /// The change at `position`.
    pub fn id(&self, position: Position) -> ChangeHash {
        self.nodes[position].id
    }

    /// Length of the bytes of the change at `position`, by itself.
    pub fn bytes(&self, position: Position) -> usize {
        self.nodes[position].bytes as usize
    }

    /// Where the bytes of the change at `position` are. `None` for one packed in the snapshot.
    pub fn payload(&self, position: Position) -> Option<&P> {
        match position.checked_sub(self.packed()) {
            Some(offset) => self.payloads.get(offset),
            None => self.kept.as_ref()?.get(&position),
        }
    }

    /// As [`Graph::payload`], to note where storage has put the bytes.
    pub fn payload_mut(&mut self, position: Position) -> Option<&mut P> {
        match position.checked_sub(self.packed()) {
            Some(offset) => self.payloads.get_mut(offset),
            None => self.kept.as_mut()?.get_mut(&position),
        }
    }

    /// Declares that a snapshot has been stored of everything before `end`, but for the changes `left_out`. From now on
    /// these alone, of those before `end`, have bytes of their own.
    ///
    /// # Panics
    /// If not everything before `end` is settled, or an earlier snapshot reaches further.
    pub fn pack(&mut self, end: Position, left_out: &[ChangeHash]) {
        let packed = self.packed();
        assert!((packed..=self.len()).contains(&end), "snapshots grow, and hold only what is durable");
        let unpacked = self.payloads.drain(..end - packed);
        let mut kept = self.kept.take().unwrap_or_default();
        kept.extend(unpacked.enumerate().map(|(offset, payload)| (packed + offset, payload)));
        kept.retain(|position, _| left_out.contains(&self.nodes[*position].id));
        self.kept = (!kept.is_empty()).then_some(kept);
        self.packed = count(end);
    }

    /// Whether any change is packed in a snapshot.
    pub fn has_snapshot(&self) -> bool {
        self.packed() > self.kept_len()
    }

    /// The changes that the one at `position` was made on top of.
    pub fn deps(&self, position: Position) -> impl Iterator<Item = Position> + '_ {
        self.edges[self.edges_of(position)].iter().map(|dep| *dep as usize)
    }

    /// The settled changes that are not ancestors of `known`, nor `known` themselves, in causal order.
    ///
    /// Costs what it returns and what lies between `known`, not what the document holds. Unknown hashes are ignored.
    pub fn since(&self, known: &[ChangeHash]) -> Vec<Position> {
        let mut walk = Walk::default();
        for id in known {
            if let Some(position) = self.position(id) {
                walk.push(position, true);
            }
        }
        for head in &self.heads {
            walk.push(*head as usize, false);
        }
        let mut found = Vec::new();
        while let Some((position, is_known)) = walk.pop() {
            if !is_known {
                found.push(position);
            }
            for dep in self.deps(position) {
                walk.push(dep, is_known);
            }
        }
        found.reverse();
        found
    }

    /// Whether every one of `ids` is settled and an ancestor of `heads`, or one of them. `O(new)` when they are close.
    pub fn covers(&self, heads: &[ChangeHash], ids: &[ChangeHash]) -> bool {
        let positions: Option<Vec<_>> = ids.iter().map(|id| self.position(id)).collect();
        let Some(mut wanted) = positions else { return false };
        wanted.sort_unstable();
        wanted.dedup();
        let Some(oldest) = wanted.first().copied() else { return true };
        let mut walk = Walk::default();
        for id in heads {
            if let Some(position) = self.position(id).filter(|position| *position < self.len()) {
                walk.push(position, false);
            }
        }
        while let Some((position, _)) = walk.pop() {
            if wanted.last() == Some(&position) {
                wanted.pop();
            }
            if wanted.is_empty() || position <= oldest {
                break;
            }
            for dep in self.deps(position).filter(|dep| *dep >= oldest) {
                walk.push(dep, false);
            }
        }
        wanted.is_empty()
    }

    /// What must be asked for so that `wanted` can be placed: those of it, or of what its held-back items depend on,
    /// that are neither here nor held back. At most `max`.
    pub fn missing(&self, wanted: &[ChangeHash], max: usize) -> Vec<ChangeHash> {
        let absent = |id: &ChangeHash| self.position(id).is_none();
        let mut missing = match &self.held {
            Some(held) => held.missing(wanted.iter().copied().filter(absent), absent, max),
            None => wanted.iter().copied().filter(absent).take(max).collect(),
        };
        missing.sort_unstable();
        missing.dedup();
        missing
    }

    /// Places an item whose dependencies are here.
    fn place(&mut self, item: &Item) -> Result<(), Refusal> {
        if self.nodes.len() >= DOCUMENT_CHANGES_MAX {
            return Err(Refusal::Full);
        }
        let deps: Option<Vec<_>> = item.deps.iter().map(|dep| self.position(dep)).collect();
        let deps = deps.expect("an item is placed after its dependencies");
        let merges = |head: &u32| deps.contains(&(*head as usize));
        if self.heads.len() >= HEADS_MAX && !self.heads.iter().any(merges) {
            return Err(Refusal::TooManyHeads);
        }
        let max_op = match &item.author {
            Some(author) => self.check_author(author, &deps)?,
            None => 0,
        };
        let position = self.nodes.len();
        reserve_lean(&mut self.edges, deps.len());
        self.edges.extend(deps.into_iter().map(index_of));
        reserve_lean(&mut self.nodes, 1);
        self.nodes.push(Node {
            id: item.id,
            edges_end: index_of(self.edges.len()),
            bytes: item.bytes,
            max_op,
        });
        self.index.insert(position, &self.nodes);
        Ok(())
    }

    /// Checks that the author's sequence goes on, and notes it. The last operation's number is returned.
    fn check_author(&mut self, author: &Authorship, deps: &[Position]) -> Result<u32, Refusal> {
        let Authorship { actor, seq, start_op, max_op } = author;
        let last = self.authors.last(actor);
        let known = u64::from(last.seq);
        if *seq <= known {
            return Err(Refusal::SequenceTaken { actor: actor.clone(), seq: *seq });
        }
        if *seq != known + 1 {
            return Err(Refusal::SequenceGap { actor: actor.clone(), seq: *seq, known });
        }
        let below = deps.iter().map(|dep| self.nodes[*dep].max_op).max().unwrap_or(0);
        if last.max_op > below {
            return Err(Refusal::Detached { actor: actor.clone(), seq: *seq });
        }
        let below = u64::from(below);
        let jump = Refusal::CounterJump { known: below, start: *start_op };
        let skipped = start_op.checked_sub(below + 1).ok_or_else(|| jump.clone())?;
        // An empty change whose number is not the next one can't be part of a snapshot that Automerge loads.
        let is_empty = max_op < start_op;
        if (is_empty && skipped > 0)
            || skipped > OP_COUNTER_JUMP_MAX
            || u64::from(self.skipped) + skipped > OP_COUNTER_SKIPPED_MAX
        {
            return Err(jump);
        }
        let max_op = u32::try_from(*max_op).map_err(|_| jump)?;
        let operations = u64::from(self.operations) + (u64::from(max_op) + 1).saturating_sub(*start_op);
        if operations > DOCUMENT_OPS_MAX {
            return Err(Refusal::TooManyOperations);
        }
        self.operations = u32::try_from(operations).expect("bounded above");
        self.skipped += u32::try_from(skipped).expect("bounded above");
        self.authors.note(actor, Last { seq: last.seq + 1, max_op });
        Ok(max_op)
    }

    fn edges_of(&self, position: Position) -> Range<usize> {
        let start = position.checked_sub(1).map_or(0, |before| self.nodes[before].edges_end);
        start as usize..self.nodes[position].edges_end as usize
    }
}

/// A walk from newer to older positions. Whatever is reached from a known position is known.
#[derive(Default)]
struct Walk {
    /// Position, and whether it is known; a position may wait more than once.
    waiting: BinaryHeap<(Position, bool)>,
    /// How many of those waiting are not known.
    unknown: usize,
}

impl Walk {
    fn push(&mut self, position: Position, known: bool) {
        self.unknown += usize::from(!known);
        self.waiting.push((position, known));
    }

    /// The newest position waiting, once; `None` when only known ones are left.
    fn pop(&mut self) -> Option<(Position, bool)> {
        if self.unknown == 0 {
            return None;
        }
        let (position, known) = self.waiting.pop()?;
        self.unknown -= usize::from(!known);
        while let Some((next, same_known)) = self.waiting.peek().copied() {
            if next != position {
                break;
            }
            self.waiting.pop();
            self.unknown -= usize::from(!same_known);
        }
        Some((position, known))
    }
}

fn index_of(position: Position) -> u32 {
    u32::try_from(position).expect("graphs are bounded")
}

/// Makes room without doubling: thousands of small graphs are in memory at once.
fn reserve_lean<T>(items: &mut Vec<T>, more: usize) {
    if items.capacity() - items.len() < more {
        items.reserve_exact(more.max(items.len() / 4).max(4));
    }
}

#[cfg(test)]
mod tests;
