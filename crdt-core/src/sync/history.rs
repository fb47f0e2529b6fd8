//! What sync must know of a document's history, open or not.

use crate::document::Document;
use crate::graph::Graph;
use crate::id::ChangeHash;

/// A document's changes as one side of a sync sees them. What is shown here may be told to anyone.
pub trait History {
    /// The changes that nothing here depends on, sorted.
    fn heads(&self) -> Vec<ChangeHash>;

    /// Whether the change is here.
    fn contains(&self, hash: &ChangeHash) -> bool;

    /// The changes that are neither `known` nor ancestors of it, in causal order. Unknown hashes are ignored.
    fn since(&self, known: &[ChangeHash]) -> Vec<ChangeHash>;

    /// What a change that is here was made on top of.
    fn deps(&self, hash: &ChangeHash) -> Vec<ChangeHash>;

    /// Lengths of the bytes of changes that are here.
    fn sizes(&self, hashes: &[ChangeHash]) -> Vec<usize>;

    /// Of `wanted`, and of what held-back changes depend on, what is neither here nor on its way, nor known to be of no
    /// use. Sorted, at most `max`.
    fn missing(&self, wanted: &[ChangeHash], max: usize) -> Vec<ChangeHash>;

    /// Whether a change that is here is sent as part of the snapshot, to a peer that can read one.
    fn is_packed(&self, hash: &ChangeHash, peer_is_empty: bool) -> bool;
}

impl<P> History for Graph<P> {
    fn heads(&self) -> Vec<ChangeHash> {
        self.heads()
    }

    fn contains(&self, hash: &ChangeHash) -> bool {
        self.contains(hash)
    }

    fn since(&self, known: &[ChangeHash]) -> Vec<ChangeHash> {
        self.since(known).into_iter().map(|position| self.id(position)).collect()
    }

    fn deps(&self, hash: &ChangeHash) -> Vec<ChangeHash> {
        let position = self.position(hash).into_iter();
        position.flat_map(|position| self.deps(position)).map(|dep| self.id(dep)).collect()
    }

    fn sizes(&self, hashes: &[ChangeHash]) -> Vec<usize> {
        hashes.iter().map(|hash| self.position(hash).map_or(0, |position| self.bytes(position))).collect()
    }

    fn missing(&self, wanted: &[ChangeHash], max: usize) -> Vec<ChangeHash> {
        self.missing(wanted, max)
    }

    fn is_packed(&self, hash: &ChangeHash, _: bool) -> bool {
        self.position(hash).is_some_and(|position| self.payload(position).is_none())
    }
}

impl History for Document {
    fn heads(&self) -> Vec<ChangeHash> {
        self.heads()
    }

    fn contains(&self, hash: &ChangeHash) -> bool {
        self.contains(hash)
    }

    fn since(&self, known: &[ChangeHash]) -> Vec<ChangeHash> {
        self.hashes_since(known)
    }

    fn deps(&self, hash: &ChangeHash) -> Vec<ChangeHash> {
        self.deps(hash)
    }

    fn sizes(&self, hashes: &[ChangeHash]) -> Vec<usize> {
        self.changes(hashes).iter().map(|change| change.bytes().len()).collect()
    }

    fn missing(&self, wanted: &[ChangeHash], max: usize) -> Vec<ChangeHash> {
        self.missing(wanted, max)
    }

    /// An open document packs itself when a peer has nothing of it.
    fn is_packed(&self, _: &ChangeHash, peer_is_empty: bool) -> bool {
        peer_is_empty
    }
}
