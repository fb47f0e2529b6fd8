//! What an exchange with a peer asks of a document.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::change::{automerge_hash, hash_of};
use super::{Applied, Change, Document, LoadError, load_unpacked};
use crate::graph::chunk::{Chunk, split};
use crate::id::ChangeHash;
use crate::limits::{DOCUMENT_BYTES_MAX, REFUSED_REMEMBERED_MAX};

/// Up to so many changes are fetched one at a time; more are found faster in one pass over what is newer.
const FETCHED_SINGLY_MAX: usize = 16;

impl Document {
    /// As [`Document::changes_since`], but only their hashes: cheap.
    pub fn hashes_since(&self, heads: &[ChangeHash]) -> Vec<ChangeHash> {
        let known: Vec<_> = heads.iter().filter(|hash| self.contains(hash)).map(automerge_hash).collect();
        self.automerge.get_changes_meta(&known).iter().map(|meta| hash_of(&meta.hash)).collect()
    }

    /// What a change of the document was made on top of. Nothing, if it is not part of the document.
    pub fn deps(&self, hash: &ChangeHash) -> Vec<ChangeHash> {
        let meta = self.automerge.get_change_meta_by_hash(&automerge_hash(hash));
        meta.map(|meta| meta.deps.iter().map(hash_of).collect()).unwrap_or_default()
    }

    /// These changes, in the order given. Those that are not part of the document are left out.
    pub fn changes(&self, hashes: &[ChangeHash]) -> Vec<Change> {
        let mut found = BTreeMap::new();
        if hashes.len() > FETCHED_SINGLY_MAX {
            let wanted: BTreeSet<_> = hashes.iter().copied().collect();
            let below: BTreeSet<_> =
                hashes.iter().flat_map(|hash| self.deps(hash)).filter(|dep| !wanted.contains(dep)).collect();
            let newer = self.changes_since(&below.into_iter().collect::<Vec<_>>());
            found.extend(newer.into_iter().map(|change| (change.hash(), change)));
        }
        hashes.iter().filter_map(|hash| found.remove(hash).or_else(|| self.change(hash))).collect()
    }

    /// What must be asked for to have `wanted`: those of it, or of what its held-back changes depend on, that are
    /// neither part of the document nor held back nor refused. Sorted, at most `max`.
    pub fn missing(&self, wanted: &[ChangeHash], max: usize) -> Vec<ChangeHash> {
        let mut seen = BTreeSet::new();
        let mut missing = BTreeSet::new();
        let mut stack = wanted.to_vec();
        while let Some(hash) = stack.pop() {
            if missing.len() == max {
                break;
            }
            if !seen.insert(hash) || self.contains(&hash) || self.refused.contains(&hash) {
                continue;
            }
            match self.held.get(&hash) {
                Some(change) => stack.extend(change.deps()),
                None => drop(missing.insert(hash)),
            }
        }
        missing.into_iter().collect()
    }

    /// Takes in a whole document that a peer packed.
    pub fn apply_packed(&mut self, bytes: &[u8]) -> Result<Applied, LoadError> {
        if bytes.len() > DOCUMENT_BYTES_MAX {
            return Err(LoadError::TooLarge { bytes: bytes.len() });
        }
        let mut applied = Applied::default();
        for chunk in split(bytes) {
            let chunk = chunk?;
            let packed = chunk.packed()?;
            let unpacked = packed.unpack()?;
            // A document is taken as it is only if each of its changes would be, so that all devices take the same.
            let is_taken = unpacked.check_fit().is_ok() && !unpacked.has_marks();
            if is_taken && self.is_empty() && self.held.len() == 0 {
                self.take_whole(&chunk)?;
                applied.changes.extend(unpacked.hashes());
                continue;
            }
            let mut changes = Vec::new();
            for (index, hash) in unpacked.hashes().iter().enumerate() {
                if !self.contains(hash) {
                    changes.push(Change::try_from(&unpacked.change(index))?);
                }
            }
            let added = self.apply(changes).map_err(|error| LoadError::Damaged { why: error.to_string() })?;
            applied.extend(added);
        }
        Ok(applied)
    }

    /// Becomes what a peer packed.
    fn take_whole(&mut self, chunk: &Chunk<'_>) -> Result<(), LoadError> {
        let automerge = load_unpacked(chunk)?;
        let packed = Self::around(automerge, self.actor.clone());
        self.automerge = packed.automerge;
        self.op_counter = packed.op_counter;
        self.shared_counter = packed.op_counter;
        self.numbers = None;
        self.journal.forget();
        Ok(())
    }
}

impl Applied {
    /// Adds what became of further changes.
    pub fn extend(&mut self, later: Self) {
        self.changes.extend(later.changes);
        self.refused.extend(later.refused);
        self.held = later.held;
    }
}

/// The changes refused last, so that peers are not asked for them again. Bounded: the oldest are forgotten.
#[derive(Default)]
pub(super) struct Refused {
    hashes: BTreeSet<ChangeHash>,
    order: VecDeque<ChangeHash>,
}

impl Refused {
    fn contains(&self, hash: &ChangeHash) -> bool {
        self.hashes.contains(hash)
    }

    pub(super) fn extend(&mut self, hashes: impl Iterator<Item = ChangeHash>) {
        for hash in hashes {
            if !self.hashes.insert(hash) {
                continue;
            }
            self.order.push_back(hash);
            if self.order.len() > REFUSED_REMEMBERED_MAX {
                let oldest = self.order.pop_front().expect("just pushed");
                self.hashes.remove(&oldest);
            }
        }
    }
}
